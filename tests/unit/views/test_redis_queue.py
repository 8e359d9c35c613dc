"""The queue before Redis: in order, bounded, the newest of each document, settled exactly once."""

from __future__ import annotations

import random

import pytest

from shared.views.redis_queue import BATCH_BYTES, BATCH_DOCUMENTS, Batch, Clearing, Document, PartitionQueue


def document(id: str, seq: int, data: bytes = b"{}") -> Document:
    return Document("w1", "contact", id, seq, data)


def batch(queue: PartitionQueue) -> Batch:
    todo = queue.next()
    assert isinstance(todo, Batch)
    return todo


def test_entries_that_wait_go_together_and_the_newest_of_each_document_counts() -> None:
    queue = PartitionQueue()
    assert queue.put(1, [document("a", 1), document("b", 1)])
    assert queue.put(2, [document("a", 2)])
    assert queue.put(3, [document("b", 3, b"")])

    todo = batch(queue)
    assert (todo.through, todo.seq) == (3, 3)
    assert todo.documents == [document("a", 2), document("b", 3, b"")]
    assert len(queue) == 3
    queue.settle(todo.through)
    assert (queue.next(), len(queue), queue.bytes, queue.settled) == (None, 0, 0, 3)


def test_of_two_writes_of_one_document_the_one_of_the_newer_entry_counts_whatever_came_last() -> None:
    queue = PartitionQueue()
    queue.put(5, [document("a", 5)])
    queue.put(4, [document("a", 4)])

    assert batch(queue) == Batch(2, 5, [document("a", 5)])


def test_a_part_of_writing_anew_has_no_seq() -> None:
    queue = PartitionQueue()
    queue.put(None, [document("a", 1)])
    assert batch(queue).seq is None

    queue.put(7, [])
    assert batch(queue).seq == 7


@pytest.mark.parametrize("size", [2, BATCH_BYTES // 3], ids=["many", "large"])
def test_a_large_entry_goes_in_parts_and_is_complete_with_the_last(size: int) -> None:
    queue = PartitionQueue()
    documents = [document(f"{n}", 9, b"x" * size) for n in range(2 * BATCH_DOCUMENTS + 1 if size == 2 else 7)]
    assert queue.put(9, documents)

    written: list[Document] = []
    while isinstance(todo := queue.next(), Batch):
        assert len(todo.documents) <= BATCH_DOCUMENTS
        assert sum(one.size for one in todo.documents) <= BATCH_BYTES
        written += todo.documents
        assert (todo.seq == 9) == (len(written) == len(documents))
        queue.settle(todo.through)
    assert written == documents
    assert queue.bytes == 0


def test_what_does_not_fit_is_refused_whole_but_an_empty_queue_takes_anything() -> None:
    queue = PartitionQueue(max_entries=3, max_bytes=1_000)
    assert queue.put(1, [document("a", 1, b"x" * 5_000)])
    assert not queue.put(2, [document("a", 2)])
    assert len(queue) == 1
    queue.settle(1)
    for seq in (2, 3, 4):
        assert queue.put(seq, [])
    assert not queue.put(5, [])
    assert queue.crowded


def test_clearing_takes_the_place_of_all_before_it_and_lets_nothing_pass() -> None:
    queue = PartitionQueue()
    queue.put(1, [document("a", 1)])
    under_way = batch(queue)
    queue.clear(["w1"])
    queue.put(2, [document("b", 2)])

    # What was under way ends now; it was dropped already, and takes nothing newer with it.
    queue.settle(under_way.through)
    assert queue.next() == Clearing(2, ("w1",))
    queue.settle(2)
    assert batch(queue).documents == [document("b", 2)]


def test_numbers_and_bytes_agree_through_any_life() -> None:
    dice = random.Random(3)
    queue = PartitionQueue(max_entries=50)
    handed = 0
    for _ in range(5_000):
        what = dice.random()
        if what < 0.6:
            before = len(queue)
            if queue.put(1, [document("a", 1, b"x" * dice.randrange(9)) for _ in range(dice.randrange(4))]):
                handed += len(queue) - before
        elif what < 0.9 and (todo := queue.next()) is not None:
            queue.settle(todo.through)
        elif what < 0.95:
            queue.clear(["w1"])
            handed += 1
        else:
            queue.drop()
        assert queue.handed == handed
        assert queue.settled + len(queue) == handed
        assert (queue.bytes == 0) or len(queue) > 0
    queue.drop()
    assert queue.bytes == 0
