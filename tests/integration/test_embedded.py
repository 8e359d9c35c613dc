"""`python -m services.embedded` as a newcomer meets it: a real process, real sockets, the printed commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.eventually import eventually

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


class Running:
    """One process, started and read until its banner is complete."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        ports = {"PORT": "0", "ADMIN_PORT": "0", "SMTP_PORT": "0"}
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.embedded"],
            cwd=REPOSITORY,
            env={**os.environ, **ports, "DATA_DIR": str(data_dir), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = "", ""
        self._said = threading.Event()
        self._readers = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.out += line
            if line.startswith("Stop with"):
                self._said.set()
        self._said.set()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err += line

    def ready(self) -> Running:
        assert self._said.wait(60)
        assert self.process.poll() is None, self.err
        return self

    def ended(self, within_s: float = 15) -> int:
        code = self.process.wait(within_s)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.ended()

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.data_dir / "demo.json").read_text())
        return facts


@pytest.fixture
def started() -> Iterator[list[Running]]:
    running: list[Running] = []
    yield running
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.ended()


def test_starts_says_where_everything_is_and_stops_in_order(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(tmp_path / "data"))
    first = started[-1].ready()
    facts = first.facts
    assert stat.S_IMODE((tmp_path / "data" / "demo.json").stat().st_mode) == 0o600
    assert facts["base_url"] in first.out
    assert httpx.get(f"{facts['admin_url']}/readyz").status_code == 200
    for agent, token in facts["agents"].items():
        answer = httpx.get(f"{facts['base_url']}/v1/agents/{agent}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
    assert first.stop() == 0, first.err

    # A restart keeps every credential.
    started.append(Running(tmp_path / "data"))
    again = started[-1].ready().facts
    for key in ("operator_key", "adapter_key", "supervisor_token", "agents", "webhook_secrets", "workspace"):
        assert again[key] == facts[key]
    assert started[-1].stop(signal.SIGINT) == 0


def test_says_which_port_is_busy_and_whose_folder_it_is(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(tmp_path / "data"))
    facts = started[-1].ready().facts
    port = facts["base_url"].rpartition(":")[2]
    for environment, words in (
        ({"PORT": port}, rf"^port {port} is in use \(PORT\)"),
        ({"SMTP_PORT": str(facts["smtp"]["port"])}, r"is in use \(SMTP_PORT\)"),
        ({"ADMIN_PORT": facts["admin_url"].rpartition(":")[2]}, r"is in use \(ADMIN_PORT\)"),
    ):
        busy = Running(tmp_path / "other", **environment)
        assert busy.ended() == 2
        assert re.search(words, busy.err, re.MULTILINE), busy.err
    second = Running(tmp_path / "data")
    assert second.ended() == 2
    assert "belongs to a running process (DATA_DIR)" in second.err
    assert started[0].stop() == 0


def test_a_faulty_setting_is_named(tmp_path: Path) -> None:
    faulty = Running(tmp_path, PORT="eighty")
    assert faulty.ended() == 2
    assert faulty.err.startswith("settings: port (PORT): ")


@pytest.mark.parametrize("start", ["curl -sS http", "printf"], ids=["telegram", "mail"])
def test_the_printed_commands_work_as_printed(tmp_path: Path, started: list[Running], start: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install -y curl")
    started.append(Running(tmp_path / "data"))
    running = started[-1].ready()
    printed = running.out[running.out.index(start) :].partition("\n\n")[0]
    done = subprocess.run(["sh", "-c", printed], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    facts = running.facts
    headers = {"Authorization": f"Bearer {facts['supervisor_token']}"}

    def contacts() -> list[dict[str, Any]]:
        answer = httpx.get(f"{facts['base_url']}/v1/contacts", headers=headers).json()
        found: list[dict[str, Any]] = answer["items"] if isinstance(answer, dict) else answer
        return found

    found: list[dict[str, Any]] = asyncio.run(eventually(contacts, within_s=10))
    expected = {"curl -sS http": ("telegram", "id"), "printf": ("email", "en")}[start]
    assert [(contact["channel"], contact["language"]) for contact in found] == [expected]
    assert running.stop() == 0
