"""What a `Centre` played, as a journal that the readers of journals can read."""

from __future__ import annotations

from services.router import snapshot
from services.router.chain import Decision, Head, build_proposal, genesis_hash
from services.router.engine.engine import Engine
from shared.log.memory import MemoryStore
from shared.log.port import Journal, Positions, Snapshot
from tests.builders import Centre, Played


def store_of(centre: Centre) -> MemoryStore:
    """A store with the centre's entries, each with the number that it has there."""
    store = MemoryStore()
    for proposal in proposals(centre, store.identity):
        store.add_proposal(0, proposal.data)
    return store


def proposals(centre: Centre, identity: str):  # type: ignore[no-untyped-def]
    """The entries as they would have been proposed, in order."""
    head = Head(0, genesis_hash(identity, 0))
    for played in centre.history:
        made = build_proposal(
            head, at=played.at, by="r", positions=Positions(played.seq, 0), decisions=decisions_of(played)
        )
        head = Head(made.seq, made.hash)
        yield made


async def write(centre: Centre, journal: Journal) -> None:
    """Put the centre's entries into an empty journal."""
    for made in proposals(centre, await journal.identity(0)):
        await journal.propose(0, made.data, seq=made.seq, prev=made.prev, entry_hash=made.hash)


def decisions_of(played: Played) -> list[Decision]:
    return [
        Decision(d.command_id, d.workspace, d.actor, d.digest, d.sequence, d.events) for d in played.decided if d.events
    ]


def snapshot_at(centre: Centre, seq: int, identity: str) -> Snapshot:
    """The snapshot of the state after entry `seq`, which lies at offset `seq` - 1."""
    engine = Engine()
    for played in centre.history[:seq]:
        for d in decisions_of(played):
            engine.fold(d.command_id, d.workspace, d.actor, d.digest, d.events, played.at, played.seq)
        engine.settle(played.at, (played.seq, 0))
    entry_hash = list(proposals(centre, identity))[seq - 1].hash
    return Snapshot(
        partition=0,
        seq=seq,
        hash=entry_hash,
        offset=seq - 1,
        format=snapshot.FORMAT,
        data=snapshot.dump(engine.state),
    )
