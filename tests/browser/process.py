"""The real thing: `python -m services.embedded` as its own process, with ports and data of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


class Embedded:
    """Starts, kills and starts again on the same data and the same port."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "process.log"
        self._port = "0"
        self._process: asyncio.subprocess.Process | None = None
        self.facts: dict[str, Any] = {}

    async def start(self) -> None:
        file = self._data / "demo.json"
        before = file.stat().st_mtime_ns if file.exists() else 0
        own = {
            "HOST": "127.0.0.1",
            "PORT": self._port,
            "ADMIN_PORT": "0",
            "SMTP_PORT": "0",
            "DATA_DIR": str(self._data),
        }
        with self._log.open("ab") as log:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.embedded", cwd=ROOT, env=os.environ | own, stdout=log, stderr=log
            )

        def announced() -> bool:
            assert process.returncode is None, self._log.read_text()[-4000:]
            return file.exists() and file.stat().st_mtime_ns != before

        await eventually(announced, within_s=30, every_s=0.05)
        self.facts = json.loads(file.read_text())
        self._port = self.facts["base_url"].rpartition(":")[2]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(how)
        async with asyncio.timeout(15):
            await process.wait()
