"""Topics are made as they must be, and refused with words where they are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.log.kafka import KafkaLog
from shared.log.kafka.topics import plans
from shared.log.kafka.url import KafkaUrl
from shared.log.port import LogMisconfigured, LogUnavailable
from tests.support.kafka import KafkaCluster
from tests.support.ports import free_ports
from tests.unit.log.conftest import Open
from tests.unit.log.kafka_topics import Topics


def made_with(url: str, short: str) -> dict[str, str]:
    """The settings that the log makes a topic with."""
    parsed = KafkaUrl.parse(url)
    (plan,) = (plan for plan in plans(parsed) if plan.name == parsed.topic(short))
    return {setting.name: setting.wanted for setting in plan.settings}


async def test_a_first_start_makes_what_a_second_accepts(open_log: Open, topics: Topics) -> None:
    await (await open_log()).close()
    await (await open_log()).close()

    assert await topics.sizes() == {
        "commands": 9,
        "inbound": 9,
        "journal": 9,
        "snapshots": 9,
        "content": 9,
        "routers": 1,
        "workspaces": 1,
    }
    journal = await topics.settings("journal")
    assert journal["retention.ms"] == journal["retention.bytes"] == "-1"
    assert journal["cleanup.policy"] == "delete"
    assert journal["message.timestamp.type"] == "LogAppendTime"
    assert journal["max.message.bytes"] == "8388608"
    assert journal["unclean.leader.election.enable"] == "false"
    assert (await topics.settings("inbound"))["retention.ms"] == str(14 * 86_400_000)
    for short in ("content", "snapshots", "workspaces"):
        assert (await topics.settings(short))["cleanup.policy"] == "compact"


async def test_two_first_starts_at_once_both_succeed(open_log: Open) -> None:
    await asyncio.gather(open_log(), open_log(), open_log())


@pytest.mark.parametrize(
    ("short", "setting", "value"),
    [
        ("journal", "retention.ms", "604800000"),
        ("journal", "retention.bytes", "1000000"),
        ("journal", "cleanup.policy", "compact"),
        ("journal", "max.message.bytes", "1000000"),
        ("journal", "message.timestamp.type", "CreateTime"),
        ("journal", "unclean.leader.election.enable", "true"),
        ("inbound", "retention.ms", "3600000"),
        ("content", "cleanup.policy", "delete"),
        ("workspaces", "cleanup.policy", "compact,delete"),
        ("content", "delete.retention.ms", "1000"),
    ],
)
async def test_a_topic_that_safety_cannot_rest_on_is_refused(
    open_log: Open, log_url: str, topics: Topics, short: str, setting: str, value: str
) -> None:
    partitions = 1 if short == "workspaces" else 9
    wanted = made_with(log_url, short)
    await topics.make(short, partitions, {**wanted, setting: value})

    with pytest.raises(LogMisconfigured) as refused:
        await open_log()

    for word in (topics.name(short), setting, value, wanted[setting]):
        assert word in str(refused.value)


async def test_a_topic_that_is_only_different_is_not(open_log: Open, log_url: str, topics: Topics) -> None:
    await topics.make(
        "inbound", 9, {**made_with(log_url, "inbound"), "retention.ms": "-1", "max.message.bytes": "4194304"}
    )
    await topics.make("content", 9, {**made_with(log_url, "content"), "segment.bytes": "1048576"})

    await open_log()


async def test_another_number_of_partitions_is_refused(open_log: Open, log_url: str, topics: Topics) -> None:
    await topics.make("commands", 8, made_with(log_url, "commands"))

    with pytest.raises(LogMisconfigured, match=r"commands has 8 partitions, it must have 9"):
        await open_log()


async def test_a_topic_with_too_few_replicas_is_refused(kafka: str, prefix: str, log_url: str, topics: Topics) -> None:
    parsed = KafkaUrl.parse(f"kafka://{kafka}?prefix={prefix}&partitions=1&replication=2&min_isr=1")
    for plan in plans(parsed):
        settings = {setting.name: setting.wanted for setting in plan.settings}
        await topics.make(plan.name.removeprefix(f"{prefix}."), plan.partitions, settings)

    with pytest.raises(LogMisconfigured, match=r"1 replicas, there must be 2"):
        await KafkaLog(parsed).open()


async def test_a_topic_that_too_few_copies_acknowledge_is_refused(three_brokers: KafkaCluster, prefix: str) -> None:
    url = KafkaUrl.parse(f"kafka://{three_brokers.bootstrap}?prefix={prefix}&partitions=1&replication=3&min_isr=2")
    async with Topics(three_brokers.bootstrap, prefix) as topics:
        wanted = made_with(f"kafka://{three_brokers.bootstrap}?prefix={prefix}&replication=3&min_isr=2", "journal")
        await topics.make("journal", 1, {**wanted, "min.insync.replicas": "1"}, replication=3)

        with pytest.raises(LogMisconfigured, match=r"journal: min.insync.replicas is 1, it must be at least 2"):
            await KafkaLog(url).open()


async def test_a_broker_that_makes_topics_by_itself_is_refused(prefix: str) -> None:
    with KafkaCluster() as cluster:
        (file,) = cluster.folder.rglob("server.properties")
        text = file.read_text()
        assert "auto.create.topics.enable=false" in text
        file.write_text(text.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true"))
        cluster.start()
        with pytest.raises(LogMisconfigured, match=r"auto.create.topics.enable is true, it must be false"):
            await KafkaLog(f"kafka://{cluster.bootstrap}?prefix={prefix}&partitions=1&replication=1&min_isr=1").open()


async def test_more_replicas_than_there_are_brokers_are_waited_for(kafka: str, prefix: str, topics: Topics) -> None:
    log = KafkaLog(f"kafka://{kafka}?prefix={prefix}&partitions=1&replication=3&min_isr=2", patience_s=0.8)

    with pytest.raises(LogUnavailable, match="cannot be made yet"):
        await log.open()


async def test_a_broker_that_is_not_there_is_waited_for_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    log = KafkaLog(f"kafka://127.0.0.1:{port}", patience_s=1.2)

    async with asyncio.timeout(4):
        with pytest.raises(LogUnavailable, match="no broker answers"):
            await log.open()

    assert log.healthy() == "no broker has answered yet"
    assert "waiting for the log" in [record.message for record in caplog.records]
    with pytest.raises(LogUnavailable):
        await log.journal.identity(0)


async def test_a_journal_that_was_made_anew_is_another(open_log: Open, topics: Topics) -> None:
    first = await open_log()
    identities: list[Any] = [await first.journal.identity(0), await (await open_log()).journal.identity(0)]
    await first.close()
    await topics.delete("journal")

    identities.append(await (await open_log()).journal.identity(0))

    assert identities[0] == identities[1] != identities[2]
    assert identities[0].split(":")[0] == identities[2].split(":")[0]
