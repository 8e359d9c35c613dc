"""Ids in order, in short runs: adding one to a hundred thousand moves a few hundred, not all of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

RUN = 512


class SortedIds:
    """A set of ids that can be walked in order from any place."""

    def __init__(self) -> None:
        self._runs: list[list[str]] = []
        self._last: list[str] = []
        """The last id of each run."""

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, id: str) -> None:
        """The id must not be there yet."""
        if not self._runs:
            self._runs.append([id])
            self._last.append(id)
            return
        at = min(bisect_left(self._last, id), len(self._runs) - 1)
        run = self._runs[at]
        insort(run, id)
        if len(run) > 2 * RUN:
            self._runs[at : at + 1] = [run[:RUN], run[RUN:]]
            self._last[at : at + 1] = [run[RUN - 1], run[-1]]
        else:
            self._last[at] = run[-1]

    def remove(self, id: str) -> None:
        """The id must be there."""
        at = bisect_left(self._last, id)
        run = self._runs[at]
        place = bisect_left(run, id)
        assert run[place] == id, f"{id!r} is not among the ids"
        del run[place]
        if run:
            self._last[at] = run[-1]
        else:
            del self._runs[at]
            del self._last[at]

    def after(self, id: str) -> Iterator[str]:
        """All ids behind `id`, in order. Nothing may be added or removed meanwhile."""
        at = bisect_right(self._last, id)
        if at == len(self._runs):
            return
        run = self._runs[at]
        yield from run[bisect_right(run, id) :]
        for later in self._runs[at + 1 :]:
            yield from later
