"""Why this agent: every routing decision about a contact, read from the journal, and who else was there.

A decision's own record tells of the chosen agent, the next ones and how many classes were out. The list of all agents
is not recorded, because a decision must not cost the more the more agents there are: it is found out again by folding
the journal up to the decision (`bystanders.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from services.router import snapshot
from services.router.adoptions import Adoptions
from services.router.bystanders import named
from services.router.chain import decode_entry, hash_of, number_of
from services.router.engine import explain as engine_explain
from services.router.engine.policy import RoutingPolicy
from services.router.engine.policy_document import routing_policy
from services.router.feed import history_in
from services.router.past import BATCH, Place
from services.router.recovery import readable
from services.router.retelling import Story
from shared.contracts.events import PolicyAdopted
from shared.log.port import Log
from shared.times import rfc3339


class Policies:
    """The policies of a workspace that are known, and since which entry each has ruled."""

    def __init__(self, adopted: Iterable[tuple[int, int, RoutingPolicy]] = ()) -> None:
        """`adopted`: (entry, version, policy)."""
        self._adopted = sorted(adopted, key=lambda each: each[:2])

    def with_earlier(self, adopted: Iterable[tuple[int, int, RoutingPolicy]]) -> Policies:
        """These, and others that ruled before them."""
        return Policies([*self._adopted, *adopted])

    def of(self, version: int) -> RoutingPolicy | None:
        """The policy with this version."""
        return next((policy for _, known, policy in self._adopted if known == version), None)

    def at(self, seq: int) -> RoutingPolicy | None:
        """The policy that ruled in entry `seq`."""
        return next((policy for since, _, policy in reversed(self._adopted) if since <= seq), None)


def policies_from_view(document: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]]) -> Policies:
    """What a policy's view and a contact's history know: the policy in force, since the first entry that shows it."""
    if document is None or not document.get("policy"):
        return Policies()
    version = int(document["version"])
    shown = [
        event["seq"]
        for event in events
        if event["type"] == "OfferMade" and event["data"]["decision"]["policy_version"] == version
    ]
    return Policies([(min([int(document["seq"]), *shown]), version, routing_policy(document["policy"]))])


async def policies_that_ruled(
    adoptions: Adoptions, workspace: str, document: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]]
) -> Policies:
    """The policies under which a contact's events came about: the one in force out of its view, earlier ones out of
    the journal, as far back as it goes. Raises `LogCorrupt`, `LogUnavailable`.

    The journal is asked only if something happened before the policy in force.
    """
    current = policies_from_view(document, events)
    if all(current.at(event["seq"]) is not None for event in events):
        return current
    found = await adoptions.of(workspace)
    named = {event["data"]["decision"]["policy_version"] for event in events if event["type"] == "OfferMade"}
    named |= {next((each.version for each in found if each.seq <= event["seq"]), None) for event in events}
    adopted = []
    for each in found:
        if each.version not in named:
            continue
        policy = current.of(each.version)
        if policy is None and (written := await adoptions.policy(workspace, each.version)) is not None:
            policy = routing_policy(written)
        if policy is not None:
            adopted.append((each.seq, each.version, policy))
    return current.with_earlier(adopted)


async def read_whole(log: Log, partition: int, workspace: str, contact: str) -> tuple[list[dict[str, Any]], Policies]:
    """A contact's events and the workspace's policies out of the whole journal, also of a contact that has left the
    state. Raises `LogCorrupt`, `LogUnavailable`.

    Only records with the contact's id or a policy in them are read in full. The first record with a number is that
    entry (see `feed.py`).
    """
    needle = msgspec.json.encode(contact).strip(b'"')
    start, _ = await log.journal.bounds(partition)
    events: list[dict[str, Any]] = []
    adopted = await _kept_policy(log, partition, workspace) if start else []
    newest, offset = 0, start
    while records := await log.journal.read(partition, offset, limit=BATCH, wait_s=0.0):
        offset = records[-1].offset + 1
        for record in records:
            number = number_of(record)
            if number <= newest:
                continue
            newest = number
            if needle not in record.data and b"PolicyAdopted" not in record.data:
                continue
            entry = decode_entry(record, hash_of(record.data))
            events += history_in(entry, workspace, contact)
            adopted += [
                (number, event.version, routing_policy(event.policy))
                for decision in entry.decisions
                for event in decision.events
                if decision.workspace == workspace and isinstance(event, PolicyAdopted)
            ]
    return events, Policies(adopted)


async def _kept_policy(log: Log, partition: int, workspace: str) -> list[tuple[int, int, RoutingPolicy]]:
    """The policy in the newest snapshot: its adoption may lie before the journal's beginning."""
    saved = await log.snapshots.load_newest_valid(partition, format=snapshot.FORMAT)
    state = await readable(saved, snapshot.load) if saved is not None else None
    facts = state.workspaces.get(workspace) if state is not None else None
    return [(saved.seq, facts.policy_version, facts.policy)] if saved is not None and facts is not None else []


# The decisions


def explained(contact: str, partition: int, events: Iterable[Mapping[str, Any]], policies: Policies) -> dict[str, Any]:
    """`{contact, decisions, since}`: each decision with what led to it in `before`, and what came after the last.

    `events` as `JournalReader.history` gives them. A decision is `{decision, id, seq, at, before, queue, step,
    policy_version, strategy, offer, agent, considered, excluded_classes}`; each of `considered` `{agent, score,
    behind_by}` with `score` as `[{by, value}]`, or null where that policy is not known any more.
    """
    story, before, decisions = Story(), list[dict[str, Any]](), list[dict[str, Any]]()
    for event in events:
        place = {"id": f"{partition}:{event['seq']}:{event['index']}", "seq": event["seq"], "at": rfc3339(event["at"])}
        if event["type"] == "OfferMade":
            number = len(decisions) + 1
            decisions.append(
                {"decision": number, **place, "before": before, **_decided(story, event["data"], policies)}
            )
            before = []
            continue
        words = story.tell(event["type"], event["data"], policies.at(event["seq"]))
        if words is not None:
            before.append({**place, "type": event["type"], "what": words})
    return {"contact": contact, "decisions": decisions, "since": before}


def only(told: dict[str, Any], decision: int | None) -> dict[str, Any]:
    """An explanation cut down to one decision, counted from 1. Raises ValueError if there was no such decision."""
    if decision is None:
        return told
    count = len(told["decisions"])
    if not 1 <= decision <= count:
        raise ValueError(f"there were {count} decisions about this contact")
    return {**told, "decisions": [told["decisions"][decision - 1]], "since": []}


def place_of(event_id: str) -> Place:
    """Where the event `partition:seq:index` lies in its partition. Raises ValueError."""
    _, seq, index = (int(part) for part in event_id.split(":"))
    return seq, index


_WAITING = frozenset({"ContactQueued", "ContactMoved", "ContactRequeued", "OfferMade"})
_OVER = frozenset({"ContactAssigned", "ContactCompleted", "ContactCancelled", "ContactAbandoned", "OfferAccepted"})


def waits(events: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the contact of these events waits at their end, offered to somebody or not."""
    waiting = False
    for event in events:
        if event["type"] in _WAITING:
            waiting = True
        elif event["type"] in _OVER:
            waiting = False
        elif event["type"] == "ContactCreated":
            waiting = event["data"].get("scheduled_at") is None
    return waiting


def _decided(story: Story, data: Mapping[str, Any], policies: Policies) -> dict[str, Any]:
    record = data["decision"]
    considered = [(str(agent), list(score)) for agent, *score in record["considered"]]
    names = _names(story, record, policies, max((len(score) for _, score in considered), default=0))
    first = considered[0][1] if considered else []
    return {
        "queue": story.queue,
        "step": record["step"],
        "policy_version": record["policy_version"],
        "strategy": record["strategy"],
        "offer": data["offer"],
        "agent": data["agent"],
        "considered": [
            {
                "agent": agent,
                "score": named(names, score),
                "behind_by": _behind_by(names, first, score) if number else None,
            }
            for number, (agent, score) in enumerate(considered)
        ],
        "excluded_classes": record["excluded"],
    }


def _names(story: Story, record: Mapping[str, Any], policies: Policies, length: int) -> tuple[str, ...] | None:
    """What the numbers of the record's scores are; None without the policy that ruled."""
    policy = policies.of(record["policy_version"])
    queue = story.ruling(policy)
    if queue is None:
        return None
    # Two numbers are there only where they mattered: the place among the agents named, and among the languages.
    more = length - len(engine_explain.score_names(queue.chain, ranked=False, widened=False))
    dropped = any(step.drop_language for step in queue.steps[: record["step"]])
    widened = more == 2 or (more == 1 and story.widened > 0 and not dropped)
    names = engine_explain.score_names(queue.chain, ranked=more == 2 or (more == 1 and not widened), widened=widened)
    return names if len(names) == length else None


def _behind_by(names: Sequence[str] | None, first: Sequence[float], score: Sequence[float]) -> str | None:
    """The first number in which an agent was worse than the chosen one; `id` if all are the same."""
    for number, (best, value) in enumerate(zip_longest(first, score)):
        if best != value:
            return names[number] if names is not None else "declines" if number == 0 else None
    return "id"


# As lines for a terminal


def lines(told: Mapping[str, Any], agents: Mapping[str | None, Mapping[str, Any]]) -> Iterator[str]:
    """An explanation to read. `agents`: by event id, None for now, as `agents_at` gives them."""
    if "trimmed" in told:
        yield told["trimmed"]
    for decision in told["decisions"]:
        yield from _changes(decision["before"])
        excluded = ", ".join(f"{reason} {count}" for reason, count in sorted(decision["excluded_classes"].items()))
        yield (
            f"{decision['at']}  DECISION {decision['decision']} (event {decision['id']}): offered to "
            f"{decision['agent']} in {decision['queue']}, by {decision['strategy']}, step {decision['step']}, "
            f"policy {decision['policy_version']}"
        )
        for each in decision["considered"]:
            behind = f"   behind by {each['behind_by']}" if each["behind_by"] else ""
            yield f"    {each['agent']}: {_score_words(each['score'])}{behind}"
        if excluded:
            yield f"    classes of agents that were out: {excluded}"
        if decision["id"] in agents:
            yield from _agent_lines(agents[decision["id"]])
    yield from _changes(told["since"])
    if None in agents:
        yield f"now (entry {agents[None]['seq']})"
        yield from _agent_lines(agents[None])


def _changes(changes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (f"{change['at']}  {change['what']}" for change in changes)


def _agent_lines(there: Mapping[str, Any]) -> Iterator[str]:
    if there["held_back"]:
        yield f"    the contact is offered to nobody (else): {there['held_back']}"
    for each in there["agents"]:
        if each["why_not"] is not None:
            yield f"    - {each['agent']}: {each['why_not']}"
        else:
            other = f"   gets {each['prefers']} first" if each["prefers"] else ""
            yield f"    + {each['agent']}: {_score_words(each['score'])}{other}"


_TIMES = {"longest_idle": "idle since", "round_robin": "last one"}
"""Strategies that compare moments."""


def _score_words(score: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['by'] or '?'} {_value(each['by'], each['value'])}" for each in score)


def _value(by: str | None, value: float) -> str:
    if by in _TIMES and value > 0:
        return f"({_TIMES[by]} {rfc3339(int(value))})"
    return str(round(value, 3))
