"""Views in this process's memory: the embedded default.

Nothing here waits between reading and writing, so on one event loop every call is whole. Whoever published the older of
two entries later (a leader that woke up) changes nothing: documents know the entry they are of, and what was deleted is
remembered for a while for the same reason.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Any, Final

from shared.views.port import Change
from shared.views.sorted_ids import SortedIds
from shared.views.watches import BellWatch, Watched, Watches

REMEMBERED_DELETIONS: Final = 10_000

Document = Mapping[str, Any]
Key = tuple[str, str, str]
"""Workspace, kind, id."""


class _Kind:
    """The documents of one kind in one workspace."""

    __slots__ = ("documents", "ids")

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, Document]] = {}
        self.ids = SortedIds()


class MemoryViews:
    """The views port on dictionaries."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._deleted: OrderedDict[Key, int] = OrderedDict()
        self._seqs: dict[int, int] = {}
        self._epochs: dict[int, str] = {}
        self._lost: set[int] = set()
        self._claims: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._waiting: defaultdict[int, dict[asyncio.Future[bool], int]] = defaultdict(dict)
        self._watches = Watches()

    @property
    def waiting(self) -> int:
        """How many wait for a seq or watch a document or kind."""
        return sum(map(len, self._waiting.values())) + len(self._watches)

    async def begin(self, partition: int, epoch: str) -> int:
        if self._epochs.setdefault(partition, epoch) != epoch:
            self._epochs[partition] = epoch
            self._seqs.pop(partition, None)
        return self._seqs.get(partition, 0)

    def lost(self, partition: int) -> bool:
        return partition in self._lost

    async def clear(self, partition: int, workspaces: Sequence[str]) -> None:
        of = set(workspaces)
        for key in [key for key in self._kinds if key[0] in of]:
            del self._kinds[key]
        for gone in [key for key in self._deleted if key[0] in of]:
            del self._deleted[gone]
        self._seqs.pop(partition, None)
        self._lost.discard(partition)

    async def flush(self) -> None:
        return None

    async def claim(self, name: str, owner: str, ttl_s: float) -> bool:
        now = asyncio.get_running_loop().time()
        held = self._claims.get(name)
        if held is not None and held[0] != owner and held[1] > now:
            return False
        self._claims[name] = (owner, now + ttl_s)
        self._claims.move_to_end(name)
        while self._claims and next(iter(self._claims.values()))[1] <= now:
            self._claims.popitem(last=False)
        return True

    async def publish(self, partition: int, seq: int | None, changes: Sequence[Change]) -> None:
        hints: dict[Watched, None] = {}
        for change in changes:
            if self._write(change):
                hints[change.workspace, change.kind, change.id] = None
                hints[change.workspace, change.kind, None] = None
        if seq is not None and seq > self._seqs.get(partition, 0):
            self._seqs[partition] = seq
            self._wake(partition, seq)
        for hint in hints:
            self._watches.ring(hint)

    async def get(self, workspace: str, kind: str, id: str) -> Document | None:
        documents = self._kinds.get((workspace, kind))
        found = documents.documents.get(id) if documents is not None else None
        return found[1] if found is not None else None

    async def list(
        self,
        workspace: str,
        kind: str,
        *,
        after: str = "",
        limit: int = 100,
        where: Callable[[Document], bool] | None = None,
    ) -> list[Document]:
        found = self._kinds.get((workspace, kind))
        if found is None:
            return []
        documents = (found.documents[id][1] for id in found.ids.after(after))
        return list(islice((one for one in documents if where is None or where(one)), limit))

    async def seq(self, partition: int) -> int:
        return self._seqs.get(partition, 0)

    async def wait_for(self, partition: int, seq: int, timeout_s: float) -> bool:
        if self._seqs.get(partition, 0) >= seq:
            return True
        if timeout_s <= 0:
            return False
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[bool] = loop.create_future()
        waiting = self._waiting[partition]
        waiting[reached] = seq
        timer = loop.call_later(timeout_s, _answer, reached, False)
        try:
            return await reached
        finally:
            timer.cancel()
            waiting.pop(reached, None)

    def watch(self, workspace: str, kind: str, id: str | None = None) -> AbstractAsyncContextManager[BellWatch]:
        return self._watches.watch((workspace, kind, id))

    def forget(self) -> None:
        """Lose everything, as a view may at any moment; who watches is told."""
        self._kinds.clear()
        self._deleted.clear()
        self._lost.update(self._seqs)
        self._seqs.clear()
        self._claims.clear()
        self._watches.ring_all()

    def _write(self, change: Change) -> bool:
        """Whether the change was news."""
        key = (change.workspace, change.kind, change.id)
        kind = self._kinds.get(key[:2])
        known = kind.documents.get(change.id) if kind is not None else None
        if change.seq < (known[0] if known is not None else self._deleted.get(key, 0)):
            return False
        if change.data is None:
            self._delete(key, change.seq)
            return known is not None
        if kind is None:
            kind = self._kinds[key[:2]] = _Kind()
        if known is None:
            kind.ids.add(change.id)
            self._deleted.pop(key, None)
        kind.documents[change.id] = (change.seq, change.data)
        return True

    def _delete(self, key: Key, seq: int) -> None:
        workspace, name, id = key
        kind = self._kinds.get((workspace, name))
        if kind is not None and kind.documents.pop(id, None) is not None:
            kind.ids.remove(id)
            if not kind.documents:
                del self._kinds[workspace, name]
        self._deleted[key] = seq
        self._deleted.move_to_end(key)
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)

    def _wake(self, partition: int, seq: int) -> None:
        waiting = self._waiting.get(partition)
        if waiting:
            for reached in [future for future, wanted in waiting.items() if wanted <= seq]:
                _answer(reached, True)


def _answer(future: asyncio.Future[bool], answer: bool) -> None:
    if not future.done():
        future.set_result(answer)
