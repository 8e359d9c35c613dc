"""A Redis server of its own for tests, on its own port, that keeps nothing on disk unless told to."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from tests.need import need
from tests.support.ports import free_port

START_S: Final = 15.0


class RedisServer:
    """Nothing runs before `start`; leaving the context ends the server and removes its folder.

    `keep` set to True before that leaves the folder with its log where it is. A `port` given is the one it listens on.
    With `cluster` it is the one node of a cluster and has all slots: what touches two slots at once is refused.
    """

    def __init__(self, *, port: int | None = None, append_only: bool = False, cluster: bool = False) -> None:
        need(shutil.which("redis-server"), "these tests need a Redis server", "apt-get install -y redis-server")
        self.keep = False
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="switchdesk-redis-"))
        self._append_only = append_only
        self._cluster = cluster
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError with the end of its log if it does not."""
        assert self._process is None, "it runs already"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes" if self._append_only else "no", "--daemonize", "no"]
        options += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())] if self._cluster else []
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"it ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"not ready:\n{self.tail()}"
            time.sleep(0.02)
        if self._cluster:
            assert self.ask(b"CLUSTER ADDSLOTSRANGE 0 16383") == b"+OK\r\n", "a new node has no slots"
            while b"cluster_state:ok" not in self.ask(b"CLUSTER INFO"):
                assert time.monotonic() < deadline, f"the cluster does not begin:\n{self.tail()}"
                time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None, "it does not run"
        process, self._process = self._process, None
        process.kill()
        process.wait()

    def restart(self) -> None:
        """`kill -9` if it runs, and start; without `append_only` everything is gone."""
        if self._process is not None:
            self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing moves."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """FLUSHALL."""
        answer = self.ask(b"FLUSHALL")
        assert answer == b"+OK\r\n", answer

    def ask(self, command: bytes) -> bytes:
        """The first bytes of the answer to one inline command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(65536)

    def tail(self, characters: int = 4000) -> str:
        """The end of its log."""
        log = self.folder / "redis.log"
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def close(self) -> None:
        """End it and remove the folder unless it is to be kept; idempotent."""
        if self._process is not None:
            self.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.ask(b"PING") == b"+PONG\r\n"
        except OSError:
            return False
