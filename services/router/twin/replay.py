"""Yesterday under another policy: the arrivals and the staffing that the journal tells, played again.

A policy is compared with the one that ruled that day, both played by the twin, because a real day has delays that the
twin does not know: how long people looked at offers, who went for a coffee without saying so. How far the twin is from
the day as it was is shown beside.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

from services.router.chain import Chain, Entry, decode_entry
from services.router.past import BATCH
from services.router.twin.day import Agent, Arrival, Day, UnreadableDay
from services.router.twin.play import Case, Played, play
from services.router.twin.policies import policy_for, refined
from services.router.twin.recorded import DAY_MS, Book, Recorded
from shared.contracts.commands import Membership
from shared.contracts.events import ContactCreated
from shared.log.port import Log

SOONER_MS: Final = 10_000
"""From so much on a wait counts as shorter or longer."""


@dataclass(frozen=True, slots=True)
class Change:
    """What another policy would have changed for a group of customers: `gained` would have been answered in time and
    were not, `lost` the other way round; `sooner`, `later`: answered at least ten seconds earlier, or later."""

    n: int
    gained: int
    lost: int
    sooner: int
    later: int


async def recorded(log: Log, partition: int, workspace: str | None, day: date | None) -> Recorded:
    """A day (in UTC) of a workspace; the newest with contacts, and the only workspace, where they are not named. Raises
    `UnreadableDay`, `LogCorrupt`, `LogUnavailable`, `Diverged`."""
    begins: dict[str, int] = {}
    async for entry in _entries(log, partition):
        for decision in entry.decisions:
            if any(isinstance(event, ContactCreated) for event in decision.events):
                begins[decision.workspace] = entry.at // DAY_MS * DAY_MS
    if workspace is None and len(begins) > 1:
        raise UnreadableDay(f"--workspace: name one of {', '.join(sorted(begins))}")
    chosen = workspace or next(iter(begins), None)
    if chosen is None or chosen not in begins:
        raise UnreadableDay(f"the journal tells of no contact{f' in workspace {chosen!r}' if chosen else ''}")
    book = Book(chosen, _midnight(day) if day is not None else begins[chosen])
    async for entry in _entries(log, partition):
        book.read(entry)
    return book.close()


def _midnight(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


async def _entries(log: Log, partition: int) -> AsyncIterator[Entry]:
    """All entries that are true, from the first on."""
    start, _ = await log.journal.bounds(partition)
    if start > 0:
        raise UnreadableDay(
            f"the journal begins at offset {start}: it was trimmed, and who was there at its beginning nobody can tell "
            "any more"
        )
    chain = Chain(await log.journal.identity(partition), partition)
    while records := await log.journal.read(partition, chain.next_offset, limit=BATCH, wait_s=0.0):
        for record in records:
            entry_hash = chain.fold(record)
            if entry_hash is not None:
                yield decode_entry(record, entry_hash)


def replayed(found: Recorded, policy: str | None) -> Played:
    """The day under a named policy or one from a file; under its own if None. Raises `UnreadableDay`."""
    document = refined(copy.deepcopy(dict(found.policy))) if policy is None else policy_for(policy, found.day.config)
    return play(fitted(found.day, document), document, begins=found.begins)


def fitted(day: Day, document: Mapping[str, Any]) -> Day:
    """The day for a policy that may not have the queues that ruled then: contacts of others go where their channel
    leads, agents of others serve all."""
    queues = {queue["name"] for queue in document["queues"]}
    return replace(
        day,
        arrivals=tuple(_asking(each, queues) for each in day.arrivals),
        agents=tuple(_serving(each, queues) for each in day.agents),
    )


def _asking(arrival: Arrival, queues: set[str]) -> Arrival:
    return arrival if arrival.queue in queues else replace(arrival, queue=None)


def _serving(agent: Agent, queues: set[str]) -> Agent:
    memberships: tuple[Membership, ...] = agent.profile["memberships"]
    served = {
        "queues": tuple(name for name in agent.profile["queues"] if name in queues),
        "memberships": tuple(each for each in memberships if each.queue in queues),
    }
    return replace(agent, profile={**agent.profile, **served})


def changes(before: Played, after: Played, group: Callable[[Case], str]) -> dict[str, Change]:
    """What changed between two runs of one day, by group of customers."""
    counts: dict[str, list[int]] = {}
    config = before.day.config
    for was, now in zip(before.cases, after.cases, strict=True):
        good = [_in_time(each, config.target_ms(each.channel)) for each in (was, now)]
        shift = _wait(now, after) - _wait(was, before)
        facts = (True, good == [False, True], good == [True, False], shift <= -SOONER_MS, shift >= SOONER_MS)
        row = counts.setdefault(group(was), [0] * len(facts))
        for place, fact in enumerate(facts):
            row[place] += fact
    return {name: Change(*row) for name, row in sorted(counts.items())}


def _in_time(case: Case, target: int) -> bool:
    return case.answered is not None and case.answered - case.arrival.at <= target


def _wait(case: Case, run: Played) -> int:
    """How long the customer waited, for whatever came of it."""
    until = next((at for at in (case.answered, case.left) if at is not None), run.day.end)
    return until - case.arrival.at
