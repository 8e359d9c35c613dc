"""The newest records of one stream in memory, so that reading back what was just written costs no query."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

MAX_RECORDS = 8_192
MAX_BYTES = 8 * 1024 * 1024


class Stored(Protocol):
    """A record that knows its place."""

    @property
    def offset(self) -> int: ...

    @property
    def data(self) -> bytes: ...


R = TypeVar("R", bound=Stored)


class Tail(Generic[R]):
    """The records from `start` up to `end`, without a gap. What lies before `start` is read from the file."""

    def __init__(self, end: int, *, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self.start = end
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._records: list[R] = []
        self._bytes = 0

    @property
    def end(self) -> int:
        return self.start + len(self._records)

    def add(self, record: R) -> None:
        """Take the next record in; one that is known already changes nothing."""
        if record.offset < self.end:
            return
        assert record.offset == self.end, f"record {record.offset} does not follow {self.end}"
        self._records.append(record)
        self._bytes += len(record.data)
        if len(self._records) > self._max_records or self._bytes > self._max_bytes:
            self._forget_older_half()

    def read(self, offset: int, limit: int) -> list[R]:
        """Up to `limit` records at and after `offset`, which must not lie before `start`."""
        assert offset >= self.start, f"offset {offset} lies before {self.start}"
        return self._records[offset - self.start : offset - self.start + limit]

    def forget(self, before: int) -> None:
        """The records before this offset are not stored any more."""
        self._forget(min(before, self.end) - self.start)

    def _forget_older_half(self) -> None:
        self._forget((len(self._records) + 1) // 2)

    def _forget(self, count: int) -> None:
        if count <= 0:
            return
        self._bytes -= sum(len(record.data) for record in self._records[:count])
        del self._records[:count]
        self.start += count
