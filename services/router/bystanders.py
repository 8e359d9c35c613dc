"""Who else was there: how every agent stood towards a contact at a decision, or stands now.

Found out by folding the journal up to that moment (`past.py`), which may take long; a serving process has it done by
another one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.router.engine import explain
from services.router.engine.engine import Engine
from services.router.engine.index import Index
from services.router.engine.records import Contact
from services.router.past import PastGone, Place, state_now, states_before
from shared.log.port import Log
from shared.vocabulary import ContactId

logger = logging.getLogger(__name__)

WORKER_S = 60.0
REPOSITORY = Path(__file__).resolve().parents[2]


class CannotExplain(Exception):
    """What was asked for cannot be found out here and now. The text says why, for whoever asked."""


async def agents_at(
    log: Log, partition: int, workspace: str, contact: str, places: Sequence[Place]
) -> list[dict[str, Any]]:
    """For each decision's place in the journal, in order: how every agent stood in that moment.

    `{at, asks_for, held_back, agents: [{agent, name, why_not, score, prefers}]}`. Raises `CannotExplain`, and what
    `states_before` does but for `PastGone`.
    """
    try:
        return [
            {"id": f"{partition}:{place[0]}:{place[1]}", **_standing(engine, workspace, contact)}
            async for place, engine in states_before(log, partition, places)
        ]
    except PastGone as error:
        raise CannotExplain(f"{error}: who was there then cannot be found out any more") from None


async def agents_now(log: Log, partition: int, workspace: str, contact: str) -> dict[str, Any]:
    """How every agent stands after the newest entry: as `agents_at`, with `id` null and the entry as `seq`."""
    seq, engine = await state_now(log, partition)
    return {"id": None, "seq": seq, **_standing(engine, workspace, contact)}


def _standing(engine: Engine, workspace: str, contact_id: str) -> dict[str, Any]:
    facts = engine.state.workspaces.get(workspace)
    contact = facts.contacts.get(ContactId(contact_id)) if facts is not None else None
    if facts is None or contact is None:
        raise CannotExplain(f"contact {contact_id!r} is not in workspace {workspace!r} at that moment")
    index = engine.world.indexes[workspace]
    held_back = explain.held_back(index, contact)
    if contact.state not in explain.OFFERABLE:
        return {"asks_for": None, "held_back": held_back, "agents": []}
    names = explain.names_now(index, contact)
    return {
        "asks_for": _asks_for(index, contact),
        "held_back": held_back,
        "agents": [
            {
                "agent": each.agent,
                "name": facts.agents[each.agent].name,
                "why_not": each.why_not,
                "score": named(names, each.score) if each.why_not is None else None,
                "prefers": each.prefers if held_back is None else None,
            }
            for each in explain.standings(index, contact, engine.state.at)
        ],
    }


def _asks_for(index: Index, contact: Contact) -> dict[str, Any]:
    demand = index.registry.effective(index.requirement_of(contact).demand)
    return {
        "queue": demand.queue,
        "channel": demand.kind,
        "languages": [demand.language, *demand.also] if demand.language and not demand.any_agent else [],
        "language_min": demand.language_min,
        "skills": {} if demand.any_agent else dict(demand.skills),
        "tier": demand.tier,
        "delay_s": demand.delay / 1000,
        "only": list(demand.only) if demand.only is not None else None,
        "profiles": list(demand.profiles),
    }


class AgentsWorker:
    """Finds out who was there in a process of its own, so that no loop stands still for it; one at a time, because each
    costs a core for a while."""

    def __init__(self, address: str, *, most_s: float = WORKER_S) -> None:
        """`address`: the log as in LOG, or a data directory."""
        self._address = address
        self._most_s = most_s
        self._busy = False

    async def __call__(self, partition: int, workspace: str, contact: str, place: Place | None) -> dict[str, Any]:
        """As `agents_at` for one place, or `agents_now` without one. Raises `CannotExplain`."""
        if self._busy:
            raise CannotExplain("another such question is being answered; ask again in a moment")
        self._busy = True
        try:
            return await self._asked(partition, workspace, contact, place)
        finally:
            self._busy = False

    async def _asked(self, partition: int, workspace: str, contact: str, place: Place | None) -> dict[str, Any]:
        moment = "now" if place is None else f"{partition}:{place[0]}:{place[1]}"
        words = ["explain", "--at", moment, "--partition", str(partition), "--", self._address, workspace, contact]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.router",
            *words,
            cwd=REPOSITORY,
            preexec_fn=lambda: os.nice(10),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(self._most_s):
                answer, said = await process.communicate()
        except BaseException as error:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise CannotExplain(
                    f"the journal up to there takes longer than {self._most_s:g} s to fold; the command line does it"
                ) from None
            raise
        if process.returncode != 0:
            logger.error("no agents could be listed", extra={"reason": said.decode(errors="replace")[-500:]})
            raise CannotExplain("the log could not be read for it; this process's log says why")
        found: dict[str, Any] = msgspec.json.decode(answer)
        if "cannot" in found:
            raise CannotExplain(found["cannot"])
        return found


def named(names: Sequence[str] | None, score: Sequence[float]) -> list[dict[str, Any]]:
    """A score as `[{by, value}]`; `by` is null where the names are not known."""
    if names is None:
        # The first is the same in every record; what follows depends on a policy that is not known here.
        return [{"by": "declines" if n == 0 else None, "value": value} for n, value in enumerate(score)]
    return [{"by": name, "value": value} for name, value in zip(names, score, strict=True)]
