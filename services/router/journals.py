"""Readers of all partitions' journals, made as they are asked for: histories, adopted policies, the public feed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from services.router.adoptions import Adoptions
from services.router.feed import JournalReader
from shared.log.port import Journal


class Journals:
    """Finds the partition of a workspace and reads there."""

    def __init__(self, journal: Journal, partition_of: Callable[[str], int]) -> None:
        self._journal = journal
        self._partition_of = partition_of
        self._readers: dict[int, JournalReader] = {}
        self._adoptions: dict[int, Adoptions] = {}

    async def history(self, workspace: str, contact: str, seqs: Sequence[int]) -> list[dict[str, Any]]:
        """`History` of the API."""
        return await self._of(workspace).history(workspace, contact, seqs)

    def feed(self, workspace: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
        """`Feed` of the API."""
        return self._of(workspace).feed(workspace, after)

    def adoptions(self, workspace: str) -> Adoptions:
        """The adopted policies of the workspace's partition."""
        partition = self._partition_of(workspace)
        return self._adoptions.setdefault(partition, Adoptions(self._journal, partition))

    def _of(self, workspace: str) -> JournalReader:
        partition = self._partition_of(workspace)
        reader = self._readers.get(partition)
        if reader is None:
            reader = self._readers[partition] = JournalReader(self._journal, partition)
        return reader
