"""The brokers of a composition, as its image would start them, as processes of this machine.

The image's own entry, `kafka.docker.KafkaDockerWrapper`, lies in Kafka's jar: it makes `server.properties` of the
environment and formats the folder of the data. Only host names, ports, that folder and, if asked for, the heap are
other ones here.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.compose import Composition
from tests.support.jars import kafka_home
from tests.support.kafka import HEAP, START_S, java, sees_all
from tests.support.ports import free_port

CLIENTS: Final = "9092"
_ADDRESS: Final = re.compile(r"(?<=[/@])([a-z0-9-]*):(\d+)")
"""Where a broker listens, on any address of its own, or where another is."""


class ComposedKafka:
    """All brokers of `composition`, ready while the context is open. `small`: with the heap of a test instead of their
    own."""

    def __init__(self, composition: Composition, folder: Path, *, small: bool = False) -> None:
        self._home = kafka_home()
        self._folder = folder
        self._small = small
        self._given = {
            name: service.environment
            for name, service in composition.services.items()
            if service.image.startswith("apache/kafka:")
        }
        ports = {inner for given in self._given.values() for _, inner in _ADDRESS.findall(given["KAFKA_LISTENERS"])}
        self._ports = {(name, inner): free_port() for name in self._given for inner in sorted(ports)}
        self._running: dict[str, asyncio.subprocess.Process] = {}

    @property
    def addresses(self) -> dict[str, str]:
        """By the address that our services are given: the one that leads to the same broker here."""
        return {f"{name}:{CLIENTS}": f"127.0.0.1:{self._ports[name, CLIENTS]}" for name in self._given}

    @property
    def bootstrap(self) -> str:
        return ",".join(self.addresses.values())

    async def __aenter__(self) -> Self:
        try:
            for name in self._given:
                await self._start(name)
            await self._until_ready()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self._close()

    def written(self, name: str) -> dict[str, str]:
        """The settings of one broker by Kafka's names, as the image's entry made them of the environment."""
        lines = (self._folder / name / "server.properties").read_text().split("\n")
        return dict(line.split("=", 1) for line in lines if line)

    async def misunderstood(self) -> dict[str, dict[str, str | None]]:
        """By broker: the settings that it does not have as they were written, and what it says of them. A name that
        Kafka does not know has no value: it starts all the same, as if nothing stood there."""
        wrong: dict[str, dict[str, str | None]] = {}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            for name in self._given:
                written = self.written(name)
                (answer,) = await admin.describe_configs(
                    [ConfigResource(ConfigResourceType.BROKER, written["node.id"])]
                )
                ((code, words, _, _, entries),) = answer.resources
                assert code == 0, words
                told: dict[str, str | None] = {entry[0]: entry[1] for entry in entries}
                wrong[name] = {key: told.get(key) for key, value in written.items() if told.get(key) != value}
        finally:
            await admin.close()
        return {name: settings for name, settings in wrong.items() if settings}

    def tail(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")[-4000:]

    async def _start(self, name: str) -> None:
        """What the image does at its start: settings, a formatted folder, the broker."""
        given = {key: self._here(name, value) for key, value in self._given[name].items()}
        final = self._folder / name
        final.mkdir(parents=True)
        given["KAFKA_LOG_DIRS"] = str(self._folder / f"{name}-data")
        heap = HEAP if self._small else tuple(given["KAFKA_HEAP_OPTS"].split())
        command = java(self._home, heap=heap)
        setup = ("kafka.docker.KafkaDockerWrapper", "setup", "-D", "/nowhere", "-M", "/nowhere", "-F", str(final))
        made = await self._run(name, command, setup, given)
        assert await made.wait() == 0, f"{name} could not be set up:\n{self.tail(name)}"
        self._running[name] = await self._run(name, command, ("kafka.Kafka", f"{final}/server.properties"), given)

    async def _run(
        self, name: str, command: list[str], arguments: tuple[str, ...], given: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        with (self._folder / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                *arguments,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**given, "PATH": os.environ["PATH"]},
            )

    def _here(self, name: str, value: str) -> str:
        return _ADDRESS.sub(lambda found: f"127.0.0.1:{self._ports[found[1] or name, found[2]]}", value)

    async def _until_ready(self) -> None:
        numbers = [int(given["KAFKA_NODE_ID"]) for given in self._given.values()]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        for name, process in self._running.items():
            while not await sees_all(self._ports[name, CLIENTS], numbers):
                assert process.returncode is None, f"{name} ended:\n{self.tail(name)}"
                assert loop.time() < deadline, f"{name} is not ready:\n{self.tail(name)}"
                await asyncio.sleep(0.1)

    async def _close(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
