"""The ordered set against the plainest thing that could do its work: a sorted list."""

from __future__ import annotations

from bisect import insort

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.router.engine.ordered import CHUNK, OrderedSet

ITEMS = st.tuples(st.integers(0, 30), st.sampled_from(["a", "b", "c"]))


class OrderedSetAgainstAList(RuleBasedStateMachine):
    """Both get the same; both must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered: OrderedSet[tuple[int, str]] = OrderedSet()
        self.plain: list[tuple[int, str]] = []

    @rule(item=ITEMS)
    def add(self, item: tuple[int, str]) -> None:
        if item not in self.plain:
            self.ordered.add(item)
            insort(self.plain, item)

    @rule(count=st.integers(1, 3 * CHUNK), step=st.sampled_from([-1, 1]))
    def add_a_run(self, count: int, step: int) -> None:
        low = self.plain[0][0] if self.plain else 0
        high = self.plain[-1][0] if self.plain else 0
        for n in range(1, count + 1):
            item = (high + n, "run") if step > 0 else (low - n, "run")
            self.ordered.add(item)
            insort(self.plain, item)

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = self.plain.pop(data.draw(st.integers(0, len(self.plain) - 1)))
        self.ordered.remove(item)

    @precondition(lambda self: self.plain)
    @rule(count=st.integers(1, 2 * CHUNK))
    def remove_the_first(self, count: int) -> None:
        for item in self.plain[:count]:
            assert self.ordered.first() == item
            self.ordered.remove(item)
        del self.plain[:count]

    @rule(item=ITEMS)
    def remove_what_is_not_there(self, item: tuple[int, str]) -> None:
        if item not in self.plain:
            with pytest.raises(KeyError):
                self.ordered.remove(item)

    @rule(items=st.lists(ITEMS, unique=True))
    def put_many_in(self, items: list[tuple[int, str]]) -> None:
        new = [item for item in items if item not in self.plain]
        self.ordered.add_all(new)
        self.plain = sorted([*self.plain, *new])

    @rule(items=st.lists(ITEMS, unique=True))
    def take_many_out(self, items: list[tuple[int, str]]) -> None:
        there = [item for item in items if item in self.plain]
        self.ordered.remove_all(there)
        self.plain = [item for item in self.plain if item not in there]

    @invariant()
    def says_the_same(self) -> None:
        assert list(self.ordered) == self.plain
        assert len(self.ordered) == len(self.plain)
        assert bool(self.ordered) == bool(self.plain)
        if self.plain:
            assert self.ordered.first() == self.plain[0]

    @rule(item=ITEMS)
    def look_past(self, item: tuple[int, str]) -> None:
        assert list(self.ordered.after(item)) == [each for each in self.plain if each > item]
        assert self.ordered.count_to(item) == sum(1 for each in self.plain if each <= item)


TestOrderedSetAgainstAList = OrderedSetAgainstAList.TestCase
TestOrderedSetAgainstAList.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_first_of_nothing_is_an_error() -> None:
    with pytest.raises(IndexError):
        OrderedSet[tuple[int]]().first()


@pytest.mark.parametrize("there", [3, 3 * CHUNK])
def test_many_go_or_come_as_each_for_itself_would(there: int) -> None:
    """Once by one look at all there are, once one by one, because they are few."""
    ordered: OrderedSet[tuple[int]] = OrderedSet()
    ordered.add_all([(number,) for number in reversed(range(there))])
    ordered.remove_all([(0,), (2,)])
    ordered.add_all([(2,), (-1,)])
    assert list(ordered) == [(-1,), (1,), *[(number,) for number in range(2, there)]]
    with pytest.raises(KeyError):
        ordered.remove_all([(0,), (1,)])


@settings(max_examples=30, deadline=None)
@given(st.permutations(list(range(3 * CHUNK))))
def test_chunks_stay_small_and_in_order_whatever_the_order_of_arrival(numbers: list[int]) -> None:
    ordered: OrderedSet[tuple[int]] = OrderedSet()
    for number in numbers:
        ordered.add((number,))
    assert list(ordered) == [(n,) for n in range(3 * CHUNK)]
    assert all(0 < len(chunk) <= 2 * CHUNK for chunk in ordered._chunks)
    assert ordered._lasts == [chunk[-1] for chunk in ordered._chunks]
    for number in numbers:
        ordered.remove((number,))
    assert (list(ordered), ordered._chunks, ordered._lasts) == ([], [], [])
