"""What one partition still has to write, in order and bounded: it stands between the leader's loop and Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.log.bell import Bell
from shared.log.codec import encode
from shared.views.port import Change

MAX_ENTRIES: Final = 20_000
"""A minute of outage at some 300 entries a second. After a longer one, writing anew is cheaper than catching up."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""Six partitions of a process may not take more than some 200 MB for what can be derived again."""
BATCH_DOCUMENTS: Final = 500
BATCH_BYTES: Final = 512 * 1024
"""What goes in one round trip: some milliseconds of Redis, in which it serves nobody else."""
OVERHEAD_BYTES: Final = 200
"""What a document costs beside its bytes."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it will be written; without `data` it is deleted."""

    workspace: str
    kind: str
    id: str
    seq: int
    data: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return self.workspace, self.kind, self.id

    @property
    def size(self) -> int:
        return len(self.data) + OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Batch:
    """The newest version of some documents, and the last entry (if any) that is complete with them.

    `through` is the number of the last queued thing in it.
    """

    through: int
    seq: int | None
    documents: Sequence[Document]


@dataclass(frozen=True, slots=True)
class Clearing:
    """Forget these workspaces, before anything behind it is written."""

    through: int
    workspaces: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Piece:
    seq: int | None
    documents: Sequence[Document]
    size: int


def encoded(changes: Sequence[Change]) -> list[Document]:
    return [
        Document(one.workspace, one.kind, one.id, one.seq, b"" if one.data is None else encode(one.data))
        for one in changes
    ]


class PartitionQueue:
    """Numbers what it is handed from 1; `settled` is the number up to which everything is written or dropped."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.news = Bell()
        self.settling = Bell()
        self.settled = 0
        self.bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._waiting: deque[_Piece | Sequence[str]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def handed(self) -> int:
        return self.settled + len(self._waiting)

    @property
    def crowded(self) -> bool:
        """Whether half of the room is taken."""
        return 2 * len(self._waiting) > self._max_entries or 2 * self.bytes > self._max_bytes

    def put(self, seq: int | None, documents: Sequence[Document]) -> bool:
        """False if there is no room; nothing is taken then. An empty queue takes whatever comes.

        (What is in one entry is in memory anyway, and a limit that an entry alone passes would be passed for ever.)
        """
        size = sum(document.size for document in documents)
        if self._waiting and (len(self._waiting) >= self._max_entries or self.bytes + size > self._max_bytes):
            return False
        pieces = _in_pieces(seq, documents)
        self._waiting.extend(pieces)
        self.bytes += sum(piece.size for piece in pieces)
        self.news.ring()
        return True

    def clear(self, workspaces: Sequence[str]) -> None:
        """Drop what is queued: it is of before. The clearing comes first."""
        self.drop()
        self._waiting.append(tuple(workspaces))
        self.news.ring()

    def drop(self) -> None:
        self.settle(self.handed)

    def next(self) -> Batch | Clearing | None:
        """What to do next, left in the queue until it is settled."""
        if not self._waiting:
            return None
        if not isinstance(self._waiting[0], _Piece):
            return Clearing(self.settled + 1, self._waiting[0])
        seq, count, size, through = None, 0, 0, self.settled
        newest: dict[tuple[str, str, str], Document] = {}
        for piece in self._waiting:
            if not isinstance(piece, _Piece):
                break
            if count and (count + len(piece.documents) > BATCH_DOCUMENTS or size + piece.size > BATCH_BYTES):
                break
            count, size, through = count + len(piece.documents), size + piece.size, through + 1
            if piece.seq is not None:
                seq = max(piece.seq, seq or 0)
            for document in piece.documents:
                known = newest.get(document.key)
                if known is None or document.seq >= known.seq:
                    newest[document.key] = document
        return Batch(through, seq, list(newest.values()))

    def settle(self, through: int) -> None:
        """Everything up to this number is done with; what was dropped meanwhile already is."""
        while self.settled < through:
            gone = self._waiting.popleft()
            self.settled += 1
            if isinstance(gone, _Piece):
                self.bytes -= gone.size
        self.settling.ring()


def _in_pieces(seq: int | None, documents: Sequence[Document]) -> list[_Piece]:
    """An entry in parts that fit in a batch; it is complete with the last."""
    pieces: list[_Piece] = []
    part: list[Document] = []
    size = 0
    for document in documents:
        if part and (len(part) == BATCH_DOCUMENTS or size + document.size > BATCH_BYTES):
            pieces.append(_Piece(None, part, size))
            part, size = [], 0
        part.append(document)
        size += document.size
    pieces.append(_Piece(seq, part, size + OVERHEAD_BYTES))
    return pieces
