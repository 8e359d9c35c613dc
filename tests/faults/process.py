"""One of our processes as a test holds it: started again and again with one environment, killed, paused, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

REPOSITORY: Final = Path(__file__).resolve().parents[2]
READY_S: Final = 60.0
STOP_S: Final = 15.0
"""The service's own limit is 10 s, and one more for its watchdog."""


class NeverReady(AssertionError):
    """The process ended or did not become ready; the message holds the end of its log."""


class Process:
    """`python -m …` with an admin port. `log` is its output over all its lives; `build` is the folder of the code that
    it runs from its next start on."""

    def __init__(self, name: str, module: Sequence[str], env: Mapping[str, str], admin_port: int, folder: Path) -> None:
        self.name = name
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.log = folder / f"{name}.log"
        self.build = REPOSITORY
        self._command = [sys.executable, "-m", *module]
        self.environment = {**os.environ, **env, "HOST": "127.0.0.1", "ADMIN_PORT": str(admin_port)}
        self._process: asyncio.subprocess.Process | None = None
        self._told_to_end = False
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it unless it runs; `until_ready` waits."""
        async with self._starting:
            if self.alive:
                return
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, cwd=self.build, env=self.environment, stdout=log, stderr=log
                )
            self._told_to_end = False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def died(self) -> int | None:
        """The exit code if it ended without being told to."""
        if self._process is None or self._told_to_end:
            return None
        return self._process.returncode

    async def ready(self) -> str | None:
        """None if it says that it is ready, else what it says instead."""
        try:
            async with httpx.AsyncClient(timeout=2) as http:
                answer = await http.get(f"{self.admin}/readyz")
        except httpx.TransportError as error:
            return type(error).__name__
        return None if answer.status_code == 200 else answer.text

    async def until_ready(self, within_s: float = READY_S) -> None:
        """Raises `NeverReady` if it ends or takes longer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while (reason := await self.ready()) is not None:
            if not self.alive:
                raise NeverReady(f"{self.name} ended:\n{self.tail()}")
            if loop.time() > deadline:
                raise NeverReady(f"{self.name} is not ready after {within_s:g} s ({reason}):\n{self.tail()}")
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """`kill -9`: nothing is flushed, nobody says goodbye."""
        if self.alive:
            assert self._process is not None
            self._told_to_end = True
            self._process.kill()
            await self._process.wait()

    async def stop(self, within_s: float = STOP_S) -> int | None:
        """SIGTERM; the exit code, or None if it had to be killed after `within_s`."""
        if not self.alive:
            return None
        assert self._process is not None
        self._told_to_end = True
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            return None

    async def wait(self, within_s: float) -> int:
        """The exit code of a process that is expected to end by itself. Raises TimeoutError."""
        assert self._process is not None, f"{self.name} was never started"
        self._told_to_end = True
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        if self.alive:
            assert self._process is not None
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.alive:
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)

    def tail(self, characters: int = 4000) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""
