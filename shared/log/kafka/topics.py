"""The log's topics: what they must be like, made where they are missing, checked at every start.

A topic that differs in what safety rests on is refused with words. Nothing is mended: a topic that somebody changed may
have lost records already, and only its operator can know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiokafka import errors
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from shared.log.kafka.cluster import Cluster, Lane, Metadata
from shared.log.kafka.url import KafkaUrl
from shared.log.port import LogMisconfigured, LogUnavailable
from shared.vocabulary import Topic as InputTopic

log = logging.getLogger(__name__)

COMMANDS: Final = str(InputTopic.COMMANDS)
INBOUND: Final = str(InputTopic.INBOUND)
JOURNAL: Final = "journal"
SNAPSHOTS: Final = "snapshots"
CONTENT: Final = "content"
ROUTERS: Final = "routers"
WORKSPACES: Final = "workspaces"

LARGE_BYTES: Final = 8 * 1024 * 1024
INPUT_BYTES: Final = 1024 * 1024 + 12
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
TOMBSTONES_KEPT_MS: Final = 30 * DAY_MS

CREATE_TIMEOUT_MS: Final = 3000
RETRY_S: Final = 0.5
_TOPIC: Final = 2
_BROKER: Final = 4
AUTO_CREATE: Final = "auto.create.topics.enable"


class Rule(StrEnum):
    """How a setting that was found is compared with the one that is wanted."""

    SAME = "must be"
    AT_LEAST = "must be at least"
    FREE = "may be"
    """Set when the topic is made; the operator's business afterwards."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A topic's setting. -1 is more than any number, as in Kafka's limits."""

    name: str
    wanted: str
    rule: Rule = Rule.SAME

    def holds(self, found: str) -> bool:
        match self.rule:
            case Rule.SAME:
                return found == self.wanted
            case Rule.AT_LEAST:
                return found == "-1" or (found.lstrip("-").isdecimal() and int(found) >= int(self.wanted))
            case Rule.FREE:
                return True


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What a topic must be like."""

    name: str
    partitions: int
    replication: int
    settings: Sequence[Setting]


def plans(url: KafkaUrl) -> list[TopicPlan]:
    """All topics of a log, under their full names."""

    def plan(name: str, *settings: Setting, partitions: int = url.partitions) -> TopicPlan:
        common = (
            Setting("min.insync.replicas", str(url.min_isr), Rule.AT_LEAST),
            Setting("unclean.leader.election.enable", "false"),
            Setting("message.timestamp.type", "LogAppendTime"),
        )
        return TopicPlan(url.topic(name), partitions, url.replication, (*common, *settings))

    return [
        *(plan(name, *_deleted_after(14 * DAY_MS), _max_bytes(INPUT_BYTES)) for name in (COMMANDS, INBOUND)),
        plan(JOURNAL, *_never_deleted(), _max_bytes(LARGE_BYTES)),
        # Old snapshots are large, and a load reads past those that compaction has not reached yet.
        plan(
            SNAPSHOTS,
            *_compacted(segment_bytes=64 * 1024 * 1024, tombstones_ms=HOUR_MS, lag_ms=HOUR_MS),
            _max_bytes(INPUT_BYTES),
        ),
        # An erased text should leave the disks within about a day, and its tombstone be there for every table that
        # was away meanwhile.
        plan(
            CONTENT,
            *_compacted(segment_bytes=64 * 1024 * 1024, tombstones_ms=TOMBSTONES_KEPT_MS, lag_ms=DAY_MS),
            _max_bytes(LARGE_BYTES),
        ),
        plan(ROUTERS, *_deleted_after(HOUR_MS), _max_bytes(INPUT_BYTES), partitions=1),
        plan(
            WORKSPACES,
            *_compacted(segment_bytes=16 * 1024 * 1024, tombstones_ms=TOMBSTONES_KEPT_MS, lag_ms=DAY_MS),
            _max_bytes(INPUT_BYTES),
            partitions=1,
        ),
    ]


async def prepare(cluster: Cluster, url: KafkaUrl) -> Metadata:
    """Make what is missing, wait until it can be used, check everything.

    Raises `LogMisconfigured` for a topic that is not as it must be, `LogUnavailable` for everything that may go over.
    """
    wanted = plans(url)
    lane = Lane(cluster)
    try:
        metadata = await cluster.refresh()
        await cluster.reach()
        missing = [plan for plan in wanted if plan.name not in metadata.topics]
        if missing:
            await _create(lane, missing)
            metadata = await _until_usable(cluster, wanted)
        await _check_broker(lane, metadata)
        _check_shape(wanted, metadata)
        await _check_settings(lane, wanted)
        return metadata
    finally:
        await lane.close()


def _deleted_after(retention_ms: int) -> tuple[Setting, ...]:
    return (
        Setting("cleanup.policy", "delete"),
        Setting("retention.ms", str(retention_ms), Rule.AT_LEAST),
        Setting("retention.bytes", "-1"),
    )


def _never_deleted() -> tuple[Setting, ...]:
    return (
        Setting("cleanup.policy", "delete"),
        Setting("retention.ms", "-1"),
        Setting("retention.bytes", "-1"),
    )


def _compacted(*, segment_bytes: int, tombstones_ms: int, lag_ms: int) -> tuple[Setting, ...]:
    return (
        Setting("cleanup.policy", "compact"),
        Setting("delete.retention.ms", str(tombstones_ms), Rule.AT_LEAST),
        Setting("max.compaction.lag.ms", str(lag_ms), Rule.FREE),
        Setting("min.cleanable.dirty.ratio", "0.1", Rule.FREE),
        Setting("segment.bytes", str(segment_bytes), Rule.FREE),
    )


def _max_bytes(most: int) -> Setting:
    return Setting("max.message.bytes", str(most), Rule.AT_LEAST)


async def _create(lane: Lane, missing: Sequence[TopicPlan]) -> None:
    wire: list[Any] = [
        (plan.name, plan.partitions, plan.replication, [], [(one.name, one.wanted) for one in plan.settings])
        for plan in missing
    ]
    answer = await lane.ask_any(CreateTopicsRequest(wire, CREATE_TIMEOUT_MS, False))
    for name, code, *message in answer.topic_errors:
        error = errors.for_code(code)
        if error is errors.NoError:
            log.info("topic made", extra={"topic": name})
        elif error in (errors.InvalidReplicationFactorError, errors.RequestTimedOutError) or error.retriable:
            # Other brokers may be on their way still.
            raise LogUnavailable(f"topic {name} cannot be made yet: {error.__name__} {_words(message)}")
        elif error is not errors.TopicAlreadyExistsError:
            raise LogMisconfigured(f"topic {name} cannot be made: {error.__name__} {_words(message)}")


def _words(message: Sequence[str | None]) -> str:
    return " ".join(one for one in message if one)


async def _until_usable(cluster: Cluster, wanted: Sequence[TopicPlan], within_s: float = 10.0) -> Metadata:
    """Brokers learn one after the other of new topics, and of who leads them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        metadata = await cluster.refresh()
        waiting = [plan.name for plan in wanted if not _has_leaders(metadata, plan)]
        if not waiting:
            return metadata
        if loop.time() > deadline:
            raise LogUnavailable(f"topics have no leaders yet: {', '.join(waiting)}")
        await asyncio.sleep(0.05)


def _has_leaders(metadata: Metadata, plan: TopicPlan) -> bool:
    facts = metadata.topics.get(plan.name)
    return facts is not None and all(leader >= 0 for leader in facts.leaders.values())


async def _check_broker(lane: Lane, metadata: Metadata) -> None:
    """A broker that makes topics by itself would replace one that was deleted by one of its own making: few partitions,
    clocks of senders, records that go after a week. Asked of the first that answers; one that may not tell is believed.
    """
    trouble = LogUnavailable("no broker is known")
    for broker in metadata.brokers.values():
        try:
            answer = await lane.ask(broker, DescribeConfigsRequest([(_BROKER, str(broker.node), [AUTO_CREATE])]))
        except LogUnavailable as error:
            trouble = error
            continue
        for code, message, _, _, entries in answer.resources:
            if code:
                log.warning("a broker does not tell its settings", extra={"broker": broker.node, "reason": message})
            elif {entry[0]: entry[1] for entry in entries}.get(AUTO_CREATE) == "true":
                raise LogMisconfigured(f"broker {broker.node}: {AUTO_CREATE} is true, it must be false")
        return
    raise trouble


def _check_shape(wanted: Sequence[TopicPlan], metadata: Metadata) -> None:
    for plan in wanted:
        facts = metadata.topics[plan.name]
        if len(facts.leaders) != plan.partitions:
            raise LogMisconfigured(
                f"topic {plan.name} has {len(facts.leaders)} partitions, it must have {plan.partitions}: their number "
                "says which workspace lies where"
            )
        fewest = min(facts.replicas.values())
        if fewest < plan.replication:
            raise LogMisconfigured(
                f"topic {plan.name} has a partition with {fewest} replicas, there must be {plan.replication} of each"
            )


async def _check_settings(lane: Lane, wanted: Sequence[TopicPlan]) -> None:
    resources = [(_TOPIC, plan.name, [setting.name for setting in plan.settings]) for plan in wanted]
    answer = await lane.ask_any(DescribeConfigsRequest(resources))
    found: dict[str, Mapping[str, str]] = {}
    for code, message, _, name, entries in answer.resources:
        if code:
            raise LogUnavailable(f"settings of topic {name} cannot be read: {errors.for_code(code).__name__} {message}")
        found[name] = {entry[0]: entry[1] or "" for entry in entries}
    for plan in wanted:
        for setting in plan.settings:
            value = found[plan.name].get(setting.name, "")
            if not setting.holds(value):
                raise LogMisconfigured(
                    f"topic {plan.name}: {setting.name} is {value or 'not set'}, it {setting.rule} {setting.wanted}"
                )
