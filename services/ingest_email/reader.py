"""Hands mails to the parser: small and plain ones in place, all others to a process that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
from pathlib import Path
from typing import Final

import msgspec

from services.ingest_email.mime import Unparsable
from services.ingest_email.parse import ParsedMail
from services.ingest_email.worker import answer_of

_ROOT: Final = Path(__file__).resolve().parents[2]
_START: Final = "import sys; sys.path.insert(0, sys.argv[1]); from services.ingest_email.worker import main; main()"
_SMALL: Final = 8 * 1024
_START_TIMEOUT_S: Final = 15.0


class ParserBusy(Exception):
    """The parser did not answer in time: the mail may be a bomb, or the machine loaded. Try again later (451)."""


def is_simple(raw: bytes) -> bool:
    """Whether a mail is too small and plain to be worth a process."""
    lower = raw.lower() if len(raw) <= _SMALL else b""
    return bool(lower) and b"multipart/" not in lower and b"html" not in lower and lower.count(b"=?") <= 20


class MailReader:
    """One parser process, started when first needed, replaced when it dies or takes too long."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def read(self, raw: bytes) -> ParsedMail:
        """Raises `Unparsable` (the mail is at fault), `ParserBusy` (perhaps not)."""
        answer = answer_of(raw) if is_simple(raw) else await self._ask(raw)
        if answer[:1] != b"+":
            raise Unparsable(answer[1:].decode("utf-8", "replace"))
        return msgspec.json.decode(answer[1:], type=ParsedMail)

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, raw: bytes) -> bytes:
        async with self._turn:
            process = await self._running()
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await _exchange(process, raw)
            except TimeoutError:
                await self.close()
                raise ParserBusy from None
            except (asyncio.IncompleteReadError, ConnectionError):
                # It died of this mail: of its time or memory limit, or of a bug in a library.
                await self.close()
                raise Unparsable("it needs too much time or memory") from None
            except asyncio.CancelledError:
                # Half a conversation with the process is worth nothing.
                await self.close()
                raise

    async def _running(self) -> asyncio.subprocess.Process:
        """The process, after it has answered a first mail: starting up must not count against a customer's."""
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-c",
                _START,
                str(_ROOT),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
            )
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await _exchange(self._process, b"From: a@invalid\n\nready?")
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                await self.close()
                raise ParserBusy from None
        return self._process


async def _exchange(process: asyncio.subprocess.Process, raw: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(struct.pack(">I", len(raw)) + raw)
    await process.stdin.drain()
    (size,) = struct.unpack(">I", await process.stdout.readexactly(4))
    return await process.stdout.readexactly(size)
