"""A running process of the embedded default that a test may kill: same folder, same ports, started again and again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60.0


class Centre:
    """`python -m services.embedded` with one data folder and fixed ports."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.http, self.admin, self.smtp = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.process: asyncio.subprocess.Process | None = None
        self.log = data_dir.parent / "process.log"

    async def start(self) -> None:
        """Start it and wait until it leads. Raises AssertionError with the end of its log if it does not."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.embedded",
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "DATA_DIR": str(self.data_dir),
                    "PORT": str(self.http),
                    "ADMIN_PORT": str(self.admin),
                    "SMTP_PORT": str(self.smtp),
                    "LOG_LEVEL": "warning",
                },
                stdout=log,
                stderr=log,
            )
        await self._until_ready()

    async def _until_ready(self) -> None:
        assert self.process is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        async with httpx.AsyncClient() as client:
            while loop.time() < deadline:
                assert self.process.returncode is None, self._tail()
                try:
                    ready = await client.get(f"http://127.0.0.1:{self.admin}/readyz")
                    if ready.status_code == 200 and (self.data_dir / "demo.json").exists():
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)
        raise AssertionError(f"not ready within {START_S:.0f} s:\n{self._tail()}")

    async def kill(self) -> None:
        """`kill -9`: nothing is flushed, nobody says goodbye."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """An orderly stop; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            return await self.process.wait()

    @property
    def facts(self) -> dict[str, Any]:
        """`demo.json`."""
        facts: dict[str, Any] = json.loads((self.data_dir / "demo.json").read_text())
        return facts

    def _tail(self) -> str:
        return self.log.read_text()[-4000:] if self.log.exists() else ""
