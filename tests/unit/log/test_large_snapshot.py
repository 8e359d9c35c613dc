"""A snapshot of a large centre, larger by far than a record of any log: cut to chunks, kept, and the same again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from services.router import snapshot
from shared.log.chunks import CHUNK_BYTES
from shared.log.kafka.topics import LARGE_BYTES
from shared.log.memory import MemoryLog
from shared.log.port import Log, Snapshot
from shared.vocabulary import AddressKey, ContactId, CustomerId, MessageId, ThreadKey
from tests.builders import Centre, policy, queue
from tests.unit.log.conftest import Open

CONTACTS = 100_000


@pytest.fixture(scope="module")
def saved() -> Snapshot:
    """One customer's waiting contact, as often as there are customers. Every id of each is its own and looks drawn by
    lot, so that what is compressed is about what real ones would leave."""
    centre = Centre(policy([queue()]))
    centre.write("one", language="tr")
    (workspace,) = centre.engine.state.workspaces.values()
    (one,) = workspace.contacts.values()
    for number in range(CONTACTS):
        id, lot = ContactId(_lot(number, "contact")), _lot(number, "customer")
        message = replace(one.messages[0], id=MessageId(_lot(number, "message")), thread=ThreadKey(lot))
        contact = replace(
            one,
            id=id,
            source_key=_lot(number, "source"),
            thread=ThreadKey(lot),
            threads=(ThreadKey(lot),),
            customer=CustomerId(lot),
            sender=AddressKey(lot),
            created_at=one.created_at + 137 * number,
        )
        contact.messages = [message]
        workspace.contacts[id] = contact
    data = snapshot.dump(centre.engine.state)
    return Snapshot(partition=0, seq=7, hash="head", offset=9, format=snapshot.FORMAT, data=data)


async def test_a_snapshot_beyond_every_limit_comes_back_as_it_was(saved: Snapshot) -> None:
    log = MemoryLog()
    await log.snapshots.save(saved)
    (stored,) = log.store.snapshots
    assert len(saved.data) > LARGE_BYTES
    assert len(stored.chunks) == -(-len(saved.data) // CHUNK_BYTES)
    assert {len(chunk) for chunk in stored.chunks[:-1]} == {CHUNK_BYTES}
    found = await loaded(log, saved)
    state = snapshot.load(found.data)
    (workspace,) = state.workspaces.values()
    assert len(workspace.contacts) == CONTACTS + 1
    assert snapshot.dump(state) == saved.data


async def test_a_byte_that_is_wrong_in_one_of_many_chunks_is_noticed(saved: Snapshot) -> None:
    log = MemoryLog()
    await log.snapshots.save(saved)
    (stored,) = log.store.snapshots
    middle = bytearray(stored.chunks[len(stored.chunks) // 2])
    middle[len(middle) // 2] ^= 1
    stored.chunks[len(stored.chunks) // 2] = bytes(middle)
    assert await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT) is None


async def test_kafka_takes_every_chunk_of_it(saved: Snapshot, open_log: Open) -> None:
    log = await open_log()
    await log.snapshots.save(saved)
    another = await open_log()
    await loaded(another, saved)


async def loaded(log: Log, saved: Snapshot) -> Snapshot:
    found = await log.snapshots.load_newest_valid(0, format=snapshot.FORMAT)
    assert found is not None
    # Not `==` of the whole: a failure would be written out.
    assert hashlib.sha256(found.data).digest() == hashlib.sha256(saved.data).digest()
    assert replace(found, data=b"") == replace(saved, data=b"")
    return found


def _lot(number: int, what: str) -> str:
    return hashlib.blake2b(f"{what} {number}".encode(), digest_size=13).hexdigest()
