"""Records the golden journal and what it folds to. The test beside this file holds every later release to it.

Journals are kept for ever, so whatever was journaled once must fold to the same state ever after. This folder holds a
journal as it was stored (`journal.jsonl`, a record a line) and what the code made of it (`folded.json`: the newest
entry, the hash of the state, and a snapshot of it).

    python -m tests.golden.record            folds the journal as it is and writes `folded.json` anew
    python -m tests.golden.record --journal  plays the story below and writes both anew

The first is legitimate with a change that makes `snapshot.FORMAT` go up, because the hash is of the state's form too:
look at the difference of the two states first, it must be what the change means and nothing else. It is not a way to
get a red test green: a journal that folds to another state under the same format is what this test is there to find.
The second is legitimate to add to the story what the journal does not tell yet (a kind of event that is new), on a
commit whose test of the recorded journal was green, and never together with a change of the engine.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from services.router.replica import Performed, Replica
from services.router.snapshot import FORMAT, state_hash
from shared.clock import SystemClock
from shared.contracts import commands as cmd
from shared.log.memory import MemoryLog, MemoryStore
from shared.log.port import InputRecord, Snapshot
from shared.vocabulary import AgentId, AutoClass, Delivery, Role
from tests.builders import (
    ADAPTER,
    OPERATOR,
    SUPERVISOR,
    Centre,
    acting,
    address,
    agent,
    channel,
    contact,
    fallback,
    message,
    policy,
    presence,
    queue,
    reach,
)
from tests.journaled import store_of

FOLDER: Final = Path(__file__).parent
JOURNAL: Final = FOLDER / "journal.jsonl"
FOLDED: Final = FOLDER / "folded.json"


def kept(file: Path) -> Snapshot:
    """The snapshot in a `folded.json`, as a log would hand it out."""
    told = json.loads(file.read_text())
    return Snapshot(
        partition=0,
        seq=told["seq"],
        hash=told["head"],
        offset=told["offset"],
        format=told["format"],
        data=base64.b64decode(told["snapshot"]),
    )


class Silent:
    """Folding for a look performs nothing."""

    async def perform(self, replica: Replica, entry: Performed) -> None:
        return

    async def bury(self, replica: Replica, aside: Sequence[tuple[InputRecord, str]]) -> None:
        return


def recorded() -> MemoryStore:
    """A log that holds the recorded journal and nothing else."""
    store = MemoryStore()
    for line in JOURNAL.read_bytes().splitlines():
        store.add_proposal(0, line)
    return store


async def folded(store: MemoryStore) -> Replica:
    """A replica that has recovered from the log."""
    replica = Replica(partition=0, name="golden", log=MemoryLog(store), clock=SystemClock(), performer=Silent())
    await replica.recover()
    return replica


async def fold() -> dict[str, Any]:
    """What the journal folds to, as `folded.json` holds it."""
    replica = await folded(recorded())
    saved = replica.snapshot()
    return {
        "seq": replica.head.seq,
        "head": replica.head.hash,
        "format": FORMAT,
        "state_hash": state_hash(replica.engine.state),
        "offset": saved.offset,
        "snapshot": base64.b64encode(saved.data).decode(),
    }


def story() -> Centre:
    """A short day of a small centre that does a little of everything."""
    queues = [
        queue(wrap_up_s=30, offer_timeout_s=15),
        queue("german", steps=[{"after_s": 20, "notify": "nobody speaks it", "any_agent": True}]),
    ]
    channels = [channel("chat", fallback=fallback("email")), channel("email"), channel("callback")]
    centre = Centre(policy(queues, channels))
    centre.do(cmd.CreateKey(key_id="desk", key_hash="0" * 64, role=Role.AGENT, agent=AgentId("ana"), label="desk 1"))
    centre.do(cmd.CreateKey(key_id="old", key_hash="1" * 64, role=Role.SUPERVISOR))
    centre.do(cmd.RevokeKey(key_id="old"))
    centre.staff(
        agent("ana", languages={"en": 5, "de": 3}, skills={"billing": 4}, capacity=2, name="Ana"),
        agent("ben", languages={"en": 4}, capacity=1, per_channel={"chat": 1}),
    )

    # A conversation from its first message to the end of the wrap-up after it.
    centre.write("c1", language="en", language_confidence=0.9, detected={"en": 0.9, "nl": 0.1})
    (first,) = centre.offered_to("c1")
    centre.accept(first, "c1")
    centre.reply(first, "c1")
    reply = next(iter(centre.ws.messages))
    centre.delivered(reply, Delivery.ACCEPTED)
    centre.delivered(reply, Delivery.DELIVERED)
    centre.write_again("c1b", to="c1")
    centre.do(cmd.SetContactActive(contact=centre.id_of("c1"), active=False), by=acting(first))
    centre.do(cmd.SetContactActive(contact=centre.id_of("c1"), active=True), by=acting(first))
    centre.complete(first, "c1", code="solved")
    centre.do(cmd.ExtendWrapUp(agent=AgentId(first), extend=30_000), by=acting(first))
    centre.wait(61)

    # Offers that come to nothing, and contacts that are handed on.
    centre.write("c2", skills={"billing": 3}, priority=2)
    centre.decline(centre.offered_to("c2")[0], "c2", retry_after_s=5)
    centre.wait(20)
    centre.write("c3")
    centre.wait(16)
    centre.do(cmd.PrioritiseContact(contact=centre.id_of("c3"), priority=5), by=SUPERVISOR)
    centre.do(cmd.AdjustAge(contact=centre.id_of("c3"), add=60_000), by=SUPERVISOR)
    centre.do(cmd.AssignContact(contact=centre.id_of("c3"), agent=AgentId("ben")), by=SUPERVISOR)
    centre.do(cmd.StartConsult(contact=centre.id_of("c3"), agent=AgentId("ana")), by=acting("ben"))
    centre.do(cmd.EndConsult(contact=centre.id_of("c3"), agent=AgentId("ana")), by=acting("ben"))
    centre.do(cmd.RequeueContact(contact=centre.id_of("c3"), reason="not mine"), by=acting("ben"))
    centre.do(cmd.TransferContact(contact=centre.id_of("c3"), queue="german"), by=SUPERVISOR)
    centre.do(cmd.CancelContact(contact=centre.id_of("c3")), by=SUPERVISOR)
    centre.do(contact("call", at_s=centre.elapsed_s + 30, customer="eve"))
    centre.write("c4", channel="chat", thread="t4")
    centre.do(message("away", channel="email", auto=AutoClass.AUTO_REPLY, refers_to="nothing"), by=ADAPTER)
    centre.do(cmd.AbandonContact(contact=centre.id_of("c4")), by=ADAPTER)
    centre.wait(40)

    # Trouble: a channel, a desk, a leader.
    centre.write("c5", reach=(reach("email", "customer-of-c5"),))
    centre.down("chat")
    centre.up("chat")
    centre.do(cmd.LoseLease(agent=AgentId("ben")), by=OPERATOR)
    centre.do(cmd.RegainLease(agent=AgentId("ben")), by=OPERATOR)
    centre.do(cmd.LoseLease(agent=AgentId("ben")), by=OPERATOR)
    centre.wait(120)
    centre.do(cmd.FreezeQueue(queue="german", frozen=True), by=SUPERVISOR)
    centre.do(cmd.SetLimit(queue="general", most=3), by=SUPERVISOR)
    centre.leave_unled(10)
    centre.do(cmd.CompleteContact(contact=centre.id_of("c1")), by=acting("ben"))
    centre.do(cmd.CancelContact(contact=centre.id_of("c2")), by=SUPERVISOR)
    centre.do(cmd.CancelContact(contact=centre.id_of("c5")), by=SUPERVISOR)
    centre.do(cmd.CancelContact(contact=centre.id_of("call")), by=SUPERVISOR)

    # A message of ours that takes its second road.
    road = tuple(
        cmd.DeliveryStep(
            channel=kind, account="web" if kind == "chat" else "support@example.org", address=address(kind, "eve")
        )
        for kind in ("chat", "email")
    )
    centre.do(cmd.SendOutbound(source_key="o1", content_ref="o:o1", route=road), by=ADAPTER, id="outbound")
    for status in (Delivery.FAILED, Delivery.DELIVERED):
        newest = next(iter(centre.ws.outbounds.values())).attempts[-1].id
        assert newest is not None
        centre.delivered(newest, status)
    centre.wait(86_400)

    # What is there at the end, so that the state is not an empty one.
    centre.do(cmd.FreezeQueue(queue="german", frozen=False), by=SUPERVISOR)
    centre.do(cmd.SetLimit(queue="general", most=None), by=SUPERVISOR)
    for name in ("ana", "ben"):
        centre.do(presence(name), by=acting(name))
    for number in range(5):
        centre.write(f"d{number}", priority=number, language="en", attributes={"plan": "gold"})
    for name in [name for name in ("d0", "d1") if centre.offered_to(name)]:
        (who,) = centre.offered_to(name)
        centre.accept(who, name)
        centre.reply(who, name)
    centre.write("d5", queue="german", language="de", skills={"law": 2})
    centre.wait(25)
    return centre


def main() -> int:
    if sys.argv[1:] == ["--journal"]:
        JOURNAL.write_bytes(b"".join(data + b"\n" for data in store_of(story()).journal[0]))
    FOLDED.write_text(json.dumps(asyncio.run(fold()), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
