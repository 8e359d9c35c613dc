"""Requests that were the provider's and that we could not read: kept raw, for an operator and nobody else.

Nothing here is ever deleted but by a replay that succeeded. A full file gets a number and stays; past `BOUND_BYTES` in
all an alert asks a person to look, because what is kept may be a customer's only message.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from shared.clock import Clock, new_id
from shared.metrics import ProcessMetrics

_LARGEST_FILE: Final = 16 * 1024 * 1024
BOUND_BYTES: Final = 256 * 1024 * 1024
"""Past this the alert `DeadLettersPiling` fires (`deploy/prometheus/alerts.yml`)."""


class Reason(StrEnum):
    """Why a request was put aside; a closed set, for metrics."""

    UNREADABLE = "unreadable"
    UNKNOWN_CHANNEL = "unknown_channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One request. `at` in ms; `reason` names places in the request, never what a customer wrote."""

    id: str
    at: int
    provider: str
    account: str
    workspace: str
    reason: str
    raw: bytes


class DeadLetters:
    """One JSON line per request in `dead_letters/{service}.jsonl`; a full file becomes `….1`, `….2` and so on.

    Several processes of one machine may use the same folder: who writes holds a lock on a file in it.
    """

    def __init__(self, data_dir: Path, service: str, clock: Clock) -> None:
        self._folder = data_dir / "dead_letters"
        self._path = self._folder / f"{service}.jsonl"
        self._clock = clock
        self._turn = asyncio.Lock()
        self._metrics: ProcessMetrics | None = None

    def observe(self, metrics: ProcessMetrics) -> None:
        """Count there from now on."""
        self._metrics = metrics
        for reason in Reason:
            metrics.webhook_dead_letters.labels(reason.value)
        metrics.webhook_dead_letter_bytes.set_function(self.size)

    async def put(
        self, *, provider: str, account: str, workspace: str, kinds: Set[Reason], reason: str, raw: bytes
    ) -> str:
        """Durable when it returns; returns the letter's id. Raises `OSError`: then do not answer 200."""
        letter = new_id("d")
        line = json.dumps(
            {
                "id": letter,
                "at": self._clock.now_ms(),
                "provider": provider,
                "account": account,
                "workspace": workspace,
                "reason": reason,
                "raw": base64.b64encode(raw).decode(),
            }
        )
        async with self._turn:
            await asyncio.to_thread(self._append, line.encode() + b"\n")
        if self._metrics is not None:
            for kind in kinds:
                self._metrics.webhook_dead_letters.labels(kind.value).inc()
        return letter

    def size(self) -> int:
        """Bytes of everything that is kept."""
        total = 0
        for path in self._files():
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                # Replayed to its last letter a moment ago.
                continue
        return total

    def letters(self) -> list[Letter]:
        """All that are kept, oldest first. A line that a crash tore is passed over, and stays."""
        if not self._folder.exists():
            return []
        with self._locked():
            lines = [line for path in self._files() for line in path.read_bytes().splitlines()]
        return [letter for letter in map(_letter, lines) if letter is not None]

    def remove(self, ids: Set[str]) -> None:
        """Forget letters for good; durable when it returns. Raises `OSError`."""
        with self._locked():
            for path in self._files():
                lines = path.read_bytes().splitlines(keepends=True)
                kept = [line for line in lines if (letter := _letter(line)) is None or letter.id not in ids]
                if len(kept) == len(lines):
                    continue
                if not kept:
                    path.unlink()
                    continue
                beside = path.with_name(path.name + ".new")
                beside.unlink(missing_ok=True)
                _write(beside, b"".join(kept))
                os.replace(beside, path)
            _sync_folder(self._folder)

    def _files(self) -> list[Path]:
        """Oldest first: numbered ones in their order, then the one that is written to."""
        beside = self._folder.glob(f"{self._path.name}.*")
        files = sorted((path for path in beside if path.suffix[1:].isdecimal()), key=_number)
        return [*files, self._path] if self._path.exists() else files

    def _append(self, line: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if self._path.exists() and self._path.stat().st_size > _LARGEST_FILE:
                taken = max((_number(path) for path in self._files() if path != self._path), default=0)
                os.replace(self._path, self._path.with_name(f"{self._path.name}.{taken + 1}"))
            _write(self._path, line)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _letter(line: bytes) -> Letter | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        return Letter(**{**fields, "raw": base64.b64decode(fields["raw"])})
    except (ValueError, KeyError, TypeError):
        return None
