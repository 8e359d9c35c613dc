"""Requests that were the provider's and that we could not read: kept raw, for an operator and nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Final

from shared.clock import Clock, new_id

_LARGEST_FILE: Final = 16 * 1024 * 1024


class DeadLetters:
    """One JSON line per request in `dead_letters/{service}.jsonl`; a full file becomes `.1`, the one before goes."""

    def __init__(self, data_dir: Path, service: str, clock: Clock) -> None:
        self._path = data_dir / "dead_letters" / f"{service}.jsonl"
        self._clock = clock
        self._turn = asyncio.Lock()

    async def put(self, *, provider: str, account: str, workspace: str, reason: str, raw: bytes) -> str:
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
        return letter

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path.exists() and self._path.stat().st_size > _LARGEST_FILE:
            os.replace(self._path, self._path.with_suffix(".jsonl.1"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
