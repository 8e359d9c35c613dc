"""What it takes to take speculative changes back, exactly.

The leader decides on a working state before its entry is read back. Every write on a fact goes through `Undo`, which
remembers what was there; derived indexes are never remembered but brought in step with the restored facts.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from operator import attrgetter
from typing import Any, ClassVar, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R", bound="Fact")


class Fact(Protocol):
    """A mutable fact. `MUTABLE` names the fields that change; their values are replaced, never changed inside.

    `saved_in`: the stretch between two marks in which it was saved last; no fact, and nobody's but the undo's."""

    MUTABLE: ClassVar[tuple[str, ...]]
    saved_in: object


_values_of: dict[type[Fact], Callable[[Any], Any]] = {}
"""By kind of fact, what reads its mutable fields."""


class Undo:
    """A list of steps back, newest last. One for the whole partition, cut at marks."""

    def __init__(self) -> None:
        self._steps: list[tuple[Any, ...]] = []
        self._stretch = object()
        """Since the last mark; another one after each."""

    def __len__(self) -> int:
        """How many changes can be taken back."""
        return len(self._steps)

    def mark(self) -> int:
        """A place to come back to."""
        self._stretch = object()
        return len(self._steps)

    def save(self, record: Fact) -> None:
        """Remember `record` as it is, before writing on it. What it was at the last mark is enough: nobody comes back
        to a place between two marks."""
        if getattr(record, "saved_in", None) is not self._stretch:
            record.saved_in = self._stretch
            values_of = _values_of.get(type(record))
            if values_of is None:
                values_of = _values_of[type(record)] = attrgetter(*record.MUTABLE)
            self._steps.append(("fields", record, values_of(record)))

    def put(self, table: MutableMapping[K, V], key: K, value: V) -> None:
        """`table[key] = value`, to be taken back."""
        if key in table:
            self._steps.append(("value", table, key, table[key]))
        else:
            self._steps.append(("absent", table, key))
        table[key] = value

    def create(self, table: MutableMapping[K, R], key: K, record: R) -> None:
        """`table[key] = record`, which is new: it goes when that is taken back, so that it need not be saved."""
        if key not in table:
            record.saved_in = self._stretch
        self.put(table, key, record)

    def delete(self, table: MutableMapping[K, V], key: K) -> None:
        """`del table[key]`, to be taken back. Raises KeyError if it is not there."""
        self._steps.append(("value", table, key, table[key]))
        del table[key]

    def append(self, items: list[V], item: V) -> None:
        """`items.append(item)`, to be taken back."""
        self._steps.append(("appended", items))
        items.append(item)

    def rollback(self, mark: int) -> None:
        """Take everything since `mark` back, newest first."""
        steps = self._steps
        self._stretch = object()
        while len(steps) > mark:
            step = steps.pop()
            match step:
                case ("fields", record, values):
                    for name, value in zip(type(record).MUTABLE, values, strict=True):
                        setattr(record, name, value)
                case ("value", table, key, value):
                    table[key] = value
                case ("absent", table, key):
                    del table[key]
                case ("appended", items):
                    items.pop()

    def forget(self) -> None:
        """What was done stays done."""
        self._steps.clear()
        self._stretch = object()
