"""An ordered set: sorted chunks with bisection, exact removal, iteration in order.

Lazy heaps with stale entries would be as fast, but a leader undoes speculative changes and several readers walk in
order; with exact removal there is nothing stale to reason about (`docs/adr/0007-ordered-sets-not-heaps.md`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

CHUNK = 256
FEW = 16
"""Where one in so many comes or goes, each for itself is quicker than a look at all."""

T = TypeVar("T", bound=tuple[object, ...])


class OrderedSet(Generic[T]):
    """A set of tuples kept in order. `add` and `remove` cost two bisections and a short move, `first` is free."""

    __slots__ = ("_chunks", "_lasts", "size")

    def __init__(self) -> None:
        self._chunks: list[list[T]] = []
        self._lasts: list[T] = []
        self.size = 0
        """How many; whoever asks very often is spared the call of `len`."""

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return self.size > 0

    def __iter__(self) -> Iterator[T]:
        for chunk in self._chunks:
            yield from chunk

    def first(self) -> T:
        """The least item. Raises IndexError when empty."""
        return self._chunks[0][0]

    def after(self, item: T) -> Iterator[T]:
        """The items that are greater, in order."""
        at = bisect_right(self._lasts, item)
        for number in range(at, len(self._chunks)):
            chunk = self._chunks[number]
            yield from chunk[bisect_right(chunk, item) :] if number == at else chunk

    def count_to(self, item: T) -> int:
        """How many items are not greater."""
        at = bisect_right(self._lasts, item)
        before = sum(map(len, self._chunks[:at]))
        return before + bisect_right(self._chunks[at], item) if at < len(self._chunks) else before

    def add(self, item: T) -> None:
        """Put `item` in. It must not be there yet: a double entry is a bug of the caller."""
        self.size += 1
        lasts = self._lasts
        at = bisect_left(lasts, item)
        if at == len(lasts):
            if at and len(self._chunks[-1]) < CHUNK:
                self._chunks[-1].append(item)
                lasts[-1] = item
            else:
                self._chunks.append([item])
                lasts.append(item)
            return
        chunk = self._chunks[at]
        insort(chunk, item)
        if len(chunk) > 2 * CHUNK:
            half = chunk[CHUNK:]
            del chunk[CHUNK:]
            self._chunks.insert(at + 1, half)
            lasts[at] = chunk[-1]
            lasts.insert(at + 1, half[-1])

    def add_all(self, items: Sequence[T]) -> None:
        """Put many in at once: one sort instead of a bisection each."""
        if len(items) * FEW < self.size:
            for item in items:
                self.add(item)
        else:
            self._hold(sorted((*self, *items)))

    def _hold(self, everything: list[T]) -> None:
        self._chunks = [everything[at : at + CHUNK] for at in range(0, len(everything), CHUNK)]
        self._lasts = [chunk[-1] for chunk in self._chunks]
        self.size = len(everything)

    def remove_all(self, items: Sequence[T]) -> None:
        """Take many out at once: one look at all there are. Raises KeyError if one is not there."""
        if len(items) * FEW < self.size:
            for item in items:
                self.remove(item)
            return
        going = set(items)
        left = [item for item in self if item not in going]
        if len(left) + len(going) != self.size:
            raise KeyError(next(iter(going.difference(self))))
        self._hold(left)

    def remove(self, item: T) -> None:
        """Take `item` out. Raises KeyError if it is not there."""
        lasts = self._lasts
        at = bisect_left(lasts, item)
        if at == len(lasts):
            raise KeyError(item)
        chunk = self._chunks[at]
        inside = bisect_left(chunk, item)
        if inside == len(chunk) or chunk[inside] != item:
            raise KeyError(item)
        del chunk[inside]
        self.size -= 1
        if not chunk:
            del self._chunks[at]
            del lasts[at]
        elif inside == len(chunk):
            lasts[at] = chunk[-1]
