"""What every log keeps, whatever stands behind it. An adapter's test class inherits a suite and gives the fixtures.

`log` is an open log on fresh data. `other` is the same data as another process sees it (the same object where an
adapter allows but one). `reopen` closes a log and opens its data again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from services.router.chain import Diverged, Head
from shared.log.port import InputRecord, Log, LogCorrupt, Positions, Snapshot, Text
from shared.vocabulary import Topic
from tests.unit.log.replica import Replica

START = Positions(0, 0)
Reopen = Callable[[Log], Awaitable[Log]]


async def fill(log: Log, *, commands: int = 0, inbound: int = 0, partition: int = 0) -> None:
    for topic, count in ((Topic.COMMANDS, commands), (Topic.INBOUND, inbound)):
        for n in range(count):
            await log.inputs.append(topic, partition, f"{topic} {n}".encode())


def names(records: list[InputRecord]) -> list[str]:
    return [record.data.decode() for record in records]


class InputsSuite:
    async def test_what_was_appended_is_read_in_order_with_offsets_from_0(self, log: Log) -> None:
        offsets = [await log.inputs.append(Topic.INBOUND, 0, data) for data in (b"a", b"b", b"c")]

        assert offsets == [0, 1, 2]
        assert await log.inputs.read(0, START, limit=10, wait_s=0) == [
            InputRecord(Topic.INBOUND, 0, b"a"),
            InputRecord(Topic.INBOUND, 1, b"b"),
            InputRecord(Topic.INBOUND, 2, b"c"),
        ]

    async def test_commands_come_first_and_inbound_gets_the_room_that_is_left(self, log: Log) -> None:
        await fill(log, commands=2, inbound=5)

        assert names(await log.inputs.read(0, START, limit=4, wait_s=0)) == [
            "commands 0",
            "commands 1",
            "inbound 0",
            "inbound 1",
        ]
        assert names(await log.inputs.read(0, START, limit=2, wait_s=0)) == ["commands 0", "commands 1"]

    async def test_messages_can_be_left_where_they_are(self, log: Log) -> None:
        await fill(log, commands=1, inbound=2)

        assert names(await log.inputs.read(0, START, limit=4, wait_s=0, inbound=False)) == ["commands 0"]
        # Neither does one that is waited for end with a message, nor is a later one kept from what was left.
        assert await log.inputs.read(0, Positions(1, 0), limit=4, wait_s=0.1, inbound=False) == []
        waiting = asyncio.create_task(log.inputs.read(0, Positions(1, 0), limit=4, wait_s=10, inbound=False))
        await asyncio.sleep(0.05)
        await log.inputs.append(Topic.INBOUND, 0, b"a message")
        await log.inputs.append(Topic.COMMANDS, 0, b"a command")
        assert names(await waiting) == ["a command"]
        left = await log.inputs.read(0, Positions(2, 0), limit=4, wait_s=5)
        assert names(left) == ["inbound 0", "inbound 1", "a message"]

    async def test_reading_starts_at_the_given_positions_every_time(self, log: Log) -> None:
        await fill(log, commands=3, inbound=3)

        later = await log.inputs.read(0, Positions(2, 1), limit=10, wait_s=0)
        again = await log.inputs.read(0, START, limit=1, wait_s=0)

        assert names(later) == ["commands 2", "inbound 1", "inbound 2"]
        assert names(again) == ["commands 0"]

    async def test_topics_and_partitions_count_their_offsets_apart(self, log: Log) -> None:
        await fill(log, commands=2, inbound=1)
        await fill(log, inbound=3, partition=7)

        assert await log.inputs.end(0) == Positions(commands=2, inbound=1)
        assert await log.inputs.end(7) == Positions(commands=0, inbound=3)
        assert len(await log.inputs.read(7, START, limit=10, wait_s=0)) == 3

    async def test_a_burst_of_appends_gets_every_offset_once(self, log: Log) -> None:
        bodies = [f"burst {n}".encode() for n in range(1_000)]

        offsets = await asyncio.gather(*(log.inputs.append(Topic.INBOUND, 0, body) for body in bodies))

        assert sorted(offsets) == list(range(1_000))
        stored = await log.inputs.read(0, START, limit=2_000, wait_s=0)
        assert {record.offset: record.data for record in stored} == dict(zip(offsets, bodies, strict=True))
        assert [record.offset for record in stored] == list(range(1_000))

    async def test_an_empty_read_ends_with_the_time(self, log: Log) -> None:
        async with asyncio.timeout(5):
            assert await log.inputs.read(0, START, limit=10, wait_s=0) == []
            assert await log.inputs.read(0, START, limit=10, wait_s=0.02) == []

    @pytest.mark.parametrize("topic", list(Topic))
    async def test_a_waiting_read_wakes_when_something_comes(self, log: Log, other: Log, topic: Topic) -> None:
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(log.inputs.read(0, START, limit=10, wait_s=60))
            await asyncio.sleep(0.05)
            assert not waiting.done()

            await other.inputs.append(topic, 0, b"news")

            assert await waiting == [InputRecord(topic, 0, b"news")]

    async def test_a_read_that_was_given_up_does_no_harm(self, log: Log) -> None:
        waiting = asyncio.create_task(log.inputs.read(0, START, limit=10, wait_s=60))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        await fill(log, commands=1)

        assert names(await log.inputs.read(0, START, limit=10, wait_s=5)) == ["commands 0"]

    async def test_two_processes_append_to_one_stream(self, log: Log, other: Log) -> None:
        offsets = await asyncio.gather(
            *((log, other)[n % 2].inputs.append(Topic.COMMANDS, 0, b"%d" % n) for n in range(40))
        )

        assert sorted(offsets) == list(range(40))
        for reader in (log, other):
            stored = await reader.inputs.read(0, START, limit=100, wait_s=0)
            assert {record.offset: int(record.data) for record in stored} == {o: n for n, o in enumerate(offsets)}

    async def test_a_position_behind_the_end_means_that_records_are_gone(self, log: Log) -> None:
        await fill(log, commands=3, inbound=1)

        with pytest.raises(LogCorrupt):
            await log.inputs.read(0, Positions(4, 0), limit=10, wait_s=0)
        with pytest.raises(LogCorrupt):
            await log.inputs.read(0, Positions(3, 2), limit=10, wait_s=0)

    async def test_appended_records_are_there_after_a_restart(self, log: Log, reopen: Reopen) -> None:
        await fill(log, commands=3, inbound=2)
        before = await log.inputs.read(0, START, limit=10, wait_s=0)

        again = await reopen(log)

        assert await again.inputs.read(0, START, limit=10, wait_s=0) == before
        assert await again.inputs.append(Topic.COMMANDS, 0, b"next") == 3


class JournalSuite:
    async def test_a_proposal_on_the_head_becomes_the_next_entry(self, log: Log) -> None:
        replica = await Replica.start(log)

        for seq in (1, 2, 3):
            proposal = await replica.propose()
            assert await replica.catch_up(wait_s=5) == replica.head
            assert (replica.head.seq, replica.head.hash) == (seq, proposal.hash)

        assert await log.journal.bounds(0) == (0, 3)
        assert [r.offset for r in await log.journal.read(0, 0, limit=10, wait_s=0)] == [0, 1, 2]

    async def test_of_two_proposers_at_once_one_wins_and_both_see_who(self, log: Log, other: Log) -> None:
        one, two = await Replica.start(log, "one"), await Replica.start(other, "two")

        for seq in range(1, 21):
            proposals = await asyncio.gather(one.propose(), two.propose())
            heads = {await one.catch_up(wait_s=5), await two.catch_up(wait_s=5)}
            assert len(heads) == 1
            head = heads.pop()
            assert head.seq == seq
            assert head.hash in {proposal.hash for proposal in proposals}

        assert one.entries == two.entries

    async def test_a_paused_proposer_that_wakes_changes_nothing(self, log: Log, other: Log) -> None:
        paused, active = await Replica.start(log, "paused"), await Replica.start(other, "active")
        await paused.propose()
        await paused.catch_up(wait_s=5)
        await active.catch_up(wait_s=5)
        late = paused.build()
        for _ in range(5):
            await active.propose()
            await active.catch_up(wait_s=5)

        await paused.send(late)

        assert late.hash not in paused.entries
        assert await paused.catch_up(wait_s=5) == await active.catch_up()
        assert paused.head.seq == 6
        winner = await paused.propose()
        assert (await active.catch_up(wait_s=5)).hash == winner.hash

    async def test_resending_the_same_bytes_after_a_lost_acknowledgement_counts_once(self, log: Log) -> None:
        replica = await Replica.start(log)
        proposal = replica.build()

        for _ in range(3):
            await replica.send(proposal)

        assert (await replica.catch_up(wait_s=5)).seq == 1
        assert replica.entries == [proposal.hash]

    async def test_resending_after_others_went_on_counts_once(self, log: Log, other: Log) -> None:
        one, two = await Replica.start(log, "one"), await Replica.start(other, "two")
        first = await one.propose()
        await two.catch_up(wait_s=5)
        second = await two.propose()

        await one.send(first)

        await one.catch_up(wait_s=5)
        await two.catch_up()
        assert one.entries == two.entries == [first.hash, second.hash]

    async def test_a_proposal_pipelined_behind_a_lost_one_is_lost_too(self, log: Log, other: Log) -> None:
        hasty, winner = await Replica.start(log, "hasty"), await Replica.start(other, "winner")
        won = await winner.propose()
        lost = hasty.build()
        behind = hasty.build(head=Head(lost.seq, lost.hash))
        last = hasty.build(head=Head(behind.seq, behind.hash))

        for proposal in (lost, behind, last):
            await hasty.send(proposal)

        # A log that stores what is void lets the reader see that somebody broke the protocol, and stop.
        with suppress(Diverged):
            await winner.catch_up(wait_s=5)
        assert winner.entries == [won.hash]

    async def test_partitions_have_journals_of_their_own(self, log: Log) -> None:
        zero, seven = await Replica.start(log), await Replica.start(log, partition=7)
        await zero.propose()
        await zero.catch_up(wait_s=5)
        await zero.propose()
        await seven.propose()

        assert (await zero.catch_up(wait_s=5)).seq == 2
        assert (await seven.catch_up(wait_s=5)).seq == 1
        assert await log.journal.bounds(7) == (0, 1)
        assert await log.journal.bounds(8) == (0, 0)

    async def test_reading_goes_on_where_a_limited_read_ended(self, log: Log) -> None:
        replica = await Replica.start(log)
        for _ in range(7):
            await replica.propose()
            await replica.catch_up(wait_s=5)

        whole = await log.journal.read(0, 0, limit=100, wait_s=0)
        pieces = [await log.journal.read(0, offset, limit=3, wait_s=0) for offset in (0, 3, 6)]

        assert [len(piece) for piece in pieces] == [3, 3, 1]
        assert [record for piece in pieces for record in piece] == whole

    async def test_a_waiting_read_wakes_when_an_entry_comes(self, log: Log, other: Log) -> None:
        reader, proposer = await Replica.start(log), await Replica.start(other)
        async with asyncio.timeout(10):
            waiting = asyncio.create_task(reader.catch_up(wait_s=60))
            await asyncio.sleep(0.05)
            assert not waiting.done()

            proposal = await proposer.propose()

            assert (await waiting).hash == proposal.hash

    async def test_an_empty_read_ends_with_the_time(self, log: Log) -> None:
        async with asyncio.timeout(5):
            assert await log.journal.read(0, 0, limit=10, wait_s=0.02) == []

    async def test_an_offset_that_the_journal_does_not_hold_is_an_error(self, log: Log) -> None:
        replica = await Replica.start(log)
        await replica.propose()

        for offset in (-1, 2):
            with pytest.raises(LogCorrupt):
                await log.journal.read(0, offset, limit=10, wait_s=0)

    async def test_entries_and_identity_are_there_after_a_restart(self, log: Log, reopen: Reopen) -> None:
        before = await Replica.start(log)
        for _ in range(3):
            await before.propose()
            await before.catch_up(wait_s=5)

        again = await reopen(log)

        after = await Replica.start(again)
        assert await after.catch_up() == before.head
        proposal = await after.propose()
        assert (await after.catch_up(wait_s=5)).hash == proposal.hash

    async def test_a_trimmed_journal_begins_later_and_goes_on(self, log: Log, other: Log, reopen: Reopen) -> None:
        replica = await Replica.start(log)
        for _ in range(9):
            await replica.propose()
            await replica.catch_up(wait_s=5)
        whole = await log.journal.read(0, 0, limit=100, wait_s=0)
        start = whole[4].offset

        await log.journal.trim(0, start)

        for seen in (log, other):
            assert (await seen.journal.bounds(0))[0] == start
            assert await seen.journal.read(0, start, limit=100, wait_s=0) == whole[4:]
            with pytest.raises(LogCorrupt):
                await seen.journal.read(0, start - 1, limit=100, wait_s=0)
        await log.journal.trim(0, start)
        await log.journal.trim(0, 0)
        assert (await log.journal.bounds(0))[0] == start, "what is gone is gone, and no more than that"
        await replica.propose()
        assert (await replica.catch_up(wait_s=5)).seq == 10

        again = await reopen(log)
        assert (await again.journal.bounds(0))[0] == start
        assert await again.journal.read(0, start, limit=5, wait_s=0) == whole[4:]
        assert await again.journal.bounds(1) == (0, 0)

    async def test_a_journal_is_never_trimmed_to_nothing(self, log: Log) -> None:
        replica = await Replica.start(log)
        for _ in range(3):
            await replica.propose()
            await replica.catch_up(wait_s=5)
        _, end = await log.journal.bounds(0)
        for before in (end, end + 1):
            with pytest.raises(ValueError, match="cannot be trimmed"):
                await log.journal.trim(0, before)
        assert (await log.journal.bounds(0)) == (0, end)
        with pytest.raises(ValueError, match="cannot be trimmed"):
            await log.journal.trim(1, 0)

    async def test_a_trimmed_journal_has_no_second_beginning(self, log: Log) -> None:
        replica = await Replica.start(log)
        genesis = replica.head
        for _ in range(4):
            await replica.propose()
            await replica.catch_up(wait_s=5)
        start = (await log.journal.read(0, 0, limit=3, wait_s=0))[-1].offset
        await log.journal.trim(0, start)

        await replica.send(replica.build(head=genesis))

        with suppress(Diverged):
            assert (await replica.catch_up(wait_s=0.2)).seq == 4
        assert (await log.journal.bounds(0))[0] == start

    @pytest.mark.parametrize("seed", range(8))
    async def test_proposers_who_do_what_they_like_agree_in_the_end(self, log: Log, other: Log, seed: int) -> None:
        dice = random.Random(seed)
        replicas = [await Replica.start(one, f"r{n}") for n, one in enumerate((log, other, log))]
        sent = {replica.name: replica.build() for replica in replicas}
        for _ in range(60):
            replica = dice.choice(replicas)
            match dice.randrange(4):
                case 0:
                    sent[replica.name] = await replica.propose()
                case 1:
                    await replica.send(sent[replica.name])
                case 2:
                    await asyncio.gather(*(replica.send(sent[replica.name]) for replica in replicas))
                case _:
                    for record in await replica.log.journal.read(0, replica.chain.next_offset, limit=3, wait_s=0):
                        replica.fold(record)

        for replica in replicas:
            await replica.catch_up()

        assert replicas[0].entries == replicas[1].entries == replicas[2].entries
        assert replicas[0].head.seq == len(replicas[0].entries) > 0


def snapshot(seq: int = 1, *, partition: int = 0, format: int = 1, data: bytes = b"state") -> Snapshot:
    return Snapshot(partition=partition, seq=seq, hash=f"hash {seq}", offset=seq - 1, format=format, data=data)


def large(seed: int) -> bytes:
    """A little over three chunks."""
    return random.Random(seed).randbytes(3 * 512 * 1024 + 17)


class SnapshotsSuite:
    async def damage_newest(self, log: Log) -> None:
        """Flip one byte of the newest snapshot's state."""
        raise NotImplementedError

    async def lose_a_chunk_of_newest(self, log: Log) -> None:
        raise NotImplementedError

    async def kept(self, log: Log, partition: int) -> list[int]:
        """The seqs of all snapshots that are still stored, with or without a manifest, each once and in order."""
        raise NotImplementedError

    async def test_nothing_is_loaded_where_nothing_was_saved(self, log: Log) -> None:
        assert await log.snapshots.load_newest_valid(0, format=1) is None

    @pytest.mark.parametrize("data", [b"", b"small", large(1)], ids=["empty", "small", "large"])
    async def test_a_snapshot_comes_back_as_it_was(self, log: Log, reopen: Reopen, data: bytes) -> None:
        await log.snapshots.save(snapshot(5, data=data))

        assert await log.snapshots.load_newest_valid(0, format=1) == snapshot(5, data=data)
        again = await reopen(log)
        assert await again.snapshots.load_newest_valid(0, format=1) == snapshot(5, data=data)

    async def test_the_newest_of_the_format_is_loaded(self, log: Log) -> None:
        await log.snapshots.save(snapshot(5, format=1))
        await log.snapshots.save(snapshot(9, format=2))

        assert await log.snapshots.load_newest_valid(0, format=1) == snapshot(5, format=1)
        assert await log.snapshots.load_newest_valid(0, format=2) == snapshot(9, format=2)
        assert await log.snapshots.load_newest_valid(0, format=3) is None

    async def test_an_older_one_is_loaded_where_the_newest_is_of_no_use(self, log: Log) -> None:
        for seq in (3, 7, 7):
            await log.snapshots.save(snapshot(seq))
        assert await log.snapshots.load_newest_valid(0, format=1, before=8) == snapshot(7)
        assert await log.snapshots.load_newest_valid(0, format=1, before=7) is None, "the newest two are of one entry"
        await log.snapshots.save(snapshot(9))

        assert await log.snapshots.load_newest_valid(0, format=1, before=9) == snapshot(7)
        assert await log.snapshots.load_newest_valid(0, format=1, before=3) is None

    async def test_of_two_of_the_same_entry_the_later_is_loaded(self, log: Log) -> None:
        await log.snapshots.save(snapshot(5, data=b"first"))
        await log.snapshots.save(snapshot(5, data=b"second"))

        assert await log.snapshots.load_newest_valid(0, format=1) == snapshot(5, data=b"second")

    async def test_the_newest_two_are_kept(self, log: Log) -> None:
        for seq in (1, 2, 3, 4):
            await log.snapshots.save(snapshot(seq, data=large(seq)))
        await log.snapshots.save(snapshot(1, partition=7))

        assert await self.kept(log, 0) == [3, 4]
        assert await self.kept(log, 7) == [1]

    async def test_a_damaged_snapshot_is_passed_over_loudly(self, log: Log, caplog: pytest.LogCaptureFixture) -> None:
        await log.snapshots.save(snapshot(1, data=large(1)))
        await log.snapshots.save(snapshot(2, data=large(2)))
        await self.damage_newest(log)

        assert await log.snapshots.load_newest_valid(0, format=1) == snapshot(1, data=large(1))
        assert [record.levelname for record in caplog.records if "damaged" in record.message] == ["ERROR"]

    async def test_a_snapshot_that_lacks_a_chunk_is_passed_over(self, log: Log) -> None:
        await log.snapshots.save(snapshot(1, data=large(1)))
        await log.snapshots.save(snapshot(2, data=large(2)))
        await self.lose_a_chunk_of_newest(log)

        assert await log.snapshots.load_newest_valid(0, format=1) == snapshot(1, data=large(1))

    async def test_a_snapshot_that_was_torn_while_written_is_never_seen(self, log: Log, reopen: Reopen) -> None:
        await log.snapshots.save(snapshot(1, data=large(1)))
        newest = 1

        for turns in range(12):
            saving = asyncio.create_task(log.snapshots.save(snapshot(2 + turns, data=large(2 + turns))))
            for _ in range(turns):
                await asyncio.sleep(0.001 * (turns % 3))
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
            # What was given up may still have been finished, now or a little later; but then it is whole.
            loaded = await log.snapshots.load_newest_valid(0, format=1)
            assert loaded is not None
            assert loaded == snapshot(loaded.seq, data=large(loaded.seq))
            assert loaded.seq >= newest
            newest = loaded.seq

        loaded = await (await reopen(log)).snapshots.load_newest_valid(0, format=1)
        assert loaded is not None
        assert loaded == snapshot(loaded.seq, data=large(loaded.seq))

    async def test_what_torn_snapshots_left_behind_goes_with_the_next_ones(self, log: Log) -> None:
        saving = asyncio.create_task(log.snapshots.save(snapshot(1, data=large(1))))
        await asyncio.sleep(0)
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving

        for seq in (2, 3, 4):
            await log.snapshots.save(snapshot(seq))

        assert await self.kept(log, 0) == [3, 4]


class ContentSuite:
    async def test_what_was_put_is_there(self, log: Log, other: Log) -> None:
        await log.content.put("w1", "m:1", b"text", owner="ana")

        assert await log.content.get("w1", "m:1") == b"text"
        assert await other.content.get("w1", "m:1") == b"text"
        assert await log.content.get("w1", "m:2") is None

    async def test_putting_twice_is_putting_once_and_the_later_counts(self, log: Log) -> None:
        await log.content.put("w1", "a:1", b"old", owner="ana")
        await log.content.put("w1", "a:1", b"old", owner="ana")
        await log.content.put("w1", "a:1", b"new", owner="ana")

        assert await log.content.get("w1", "a:1") == b"new"
        assert await log.content.erase("w1", "ana") == 1

    async def test_a_first_text_stays_whoever_comes_later(self, log: Log, reopen: Reopen) -> None:
        await log.content.put_all("w1", [Text("m:1", b"one", "ana", first=True), Text("a:1", b"old", "ana")])
        await log.content.put_all("w1", [Text("m:1", b"two", "ben", first=True), Text("a:1", b"new", "ana")])

        assert await log.content.get_many("w1", ["m:1", "a:1"]) == {"m:1": b"one", "a:1": b"new"}
        again = await reopen(log)
        assert await again.content.get_many("w1", ["m:1", "a:1"]) == {"m:1": b"one", "a:1": b"new"}
        assert await again.content.erase("w1", "ben") == 0
        assert await again.content.erase("w1", "ana") == 2
        await again.content.put_all("w1", [Text("m:1", b"three", "ben", first=True)])
        assert await again.content.get("w1", "m:1") == b"three"

    async def test_of_first_texts_at_once_one_stays_for_all(self, log: Log, other: Log, reopen: Reopen) -> None:
        logs = [log if n % 2 else other for n in range(10)]
        await asyncio.gather(
            *(one.content.put_all("w1", [Text("m:1", b"%d" % n, f"o{n}", first=True)]) for n, one in enumerate(logs))
        )

        found = await log.content.get("w1", "m:1")
        assert found is not None
        assert await (await reopen(log)).content.get("w1", "m:1") == found

    async def test_many_are_read_at_once_and_missing_ones_left_out(self, log: Log) -> None:
        for n in range(5):
            await log.content.put("w1", f"m:{n}", b"%d" % n, owner="ana")

        found = await log.content.get_many("w1", ["m:3", "m:9", "m:0", "m:3"])

        assert found == {"m:3": b"3", "m:0": b"0"}
        assert await log.content.get_many("w1", []) == {}

    async def test_workspaces_do_not_see_each_other(self, log: Log) -> None:
        await log.content.put("w1", "m:1", b"mine", owner="ana")
        await log.content.put("w2", "m:1", b"yours", owner="ana")

        assert await log.content.get("w1", "m:1") == b"mine"
        assert await log.content.erase("w1", "ana") == 1
        assert await log.content.get("w2", "m:1") == b"yours"
        assert await log.content.get_many("w3", ["m:1"]) == {}

    async def test_erasing_takes_all_of_one_owner_and_nothing_else(self, log: Log, reopen: Reopen) -> None:
        for n in range(3):
            await log.content.put("w1", f"m:{n}", b"secret", owner="ana")
        await log.content.put("w1", "m:other", b"kept", owner="ben")

        assert await log.content.refs("w1", "ana") == ["m:0", "m:1", "m:2"]
        assert await log.content.erase("w1", "ana") == 3
        assert await log.content.erase("w1", "ana") == 0
        assert await log.content.refs("w1", "ana") == []

        again = await reopen(log)
        assert await again.content.get_many("w1", ["m:0", "m:1", "m:2", "m:other"]) == {"m:other": b"kept"}

    async def test_a_ref_belongs_to_whom_it_was_last_put_for(self, log: Log) -> None:
        await log.content.put("w1", "m:1", b"text", owner="ana")
        await log.content.put("w1", "m:1", b"text", owner="ben")

        assert await log.content.refs("w1", "ana") == []
        assert await log.content.refs("w1", "ben") == ["m:1"]
        assert await log.content.erase("w1", "ana") == 0
        assert await log.content.erase("w1", "ben") == 1
