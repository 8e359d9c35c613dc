"""A Kafka cluster of real processes for tests: one or three KRaft nodes, each broker and controller at once.

    with KafkaCluster(nodes=3) as cluster:
        cluster.start()
        … cluster.bootstrap …
        cluster.kill(2)

A *lane* is one more listener on every node whose advertised port is not the broker's own but a proxy's: whoever
bootstraps at a lane reaches every node through the proxies of that lane, and only they are hit when these are cut.
"""

from __future__ import annotations

import asyncio
import base64
import resource
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from aiokafka import AIOKafkaClient
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.support.jars import KafkaHome, kafka_home
from tests.support.ports import free_ports

START_S: Final = 90.0
STOP_S: Final = 20.0
HEAP: Final = ("-Xms48m", "-Xmx256m", "-XX:+UseSerialGC")

_SETTINGS: Final = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
log.dirs={data}
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
unclean.leader.election.enable=false
default.replication.factor={replication}
min.insync.replicas={min_isr}
offsets.topic.num.partitions=1
offsets.topic.replication.factor={replication}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={min_isr}
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=262144
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """A way to the cluster through proxies: per node the port that it advertises and the port where it listens."""

    name: str
    ports: Sequence[tuple[int, int]]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{advertised}" for advertised, _ in self.ports)


class KafkaCluster:
    """Nodes are numbered from 1. Nothing runs before `start`; leaving the context ends every node and its data.

    `keep` set to True before that leaves the folder with data and logs where it is.
    """

    def __init__(self, nodes: int = 1, *, lanes: Sequence[str] = (), java_options: Sequence[str] | None = None) -> None:
        """`java_options` replace those that make a start cheap at the price of the speed under full load."""
        home = kafka_home()
        self.keep = False
        self.folder = Path(tempfile.mkdtemp(prefix="switchdesk-kafka-"))
        self.numbers = range(1, nodes + 1)
        self._java = java(home, options=java_options)
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._write_nodes(home, lanes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """`HOST:PORT[,…]` of every node, without a proxy between."""
        return ",".join(f"127.0.0.1:{self._clients[number]}" for number in self.numbers)

    def lane(self, name: str) -> Lane:
        return self._lanes[name]

    def start(self) -> None:
        """Start all nodes that do not run and wait until each serves the whole cluster's metadata."""
        for number in self.numbers:
            if number not in self._running:
                self.start_node(number)
        failures: list[BaseException] = []

        def wait() -> None:
            try:
                asyncio.run(self.until_ready())
            except BaseException as error:
                failures.append(error)

        # A thread of its own, because a fixture may be set up while this one already has a loop.
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    def start_node(self, number: int) -> None:
        """Start one node; `until_ready` waits for it."""
        assert number not in self._running, f"node {number} runs already"
        folder = self._folder(number)
        with (folder / "broker.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(folder / "server.properties")], stdout=log, stderr=log, cwd=folder
            )

    async def until_ready(self, within_s: float = START_S) -> None:
        """Returns when every running node serves metadata that names every running node.

        Raises AssertionError with the end of a log if one ended or the time is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        for number in list(self._running):
            while not await sees_all(self._clients[number], self._running):
                assert self._running[number].poll() is None, f"node {number} ended:\n{self.tail(number)}"
                assert loop.time() < deadline, f"node {number} is not ready:\n{self.tail(number)}"
                await asyncio.sleep(0.1)

    async def until_in_sync(self, within_s: float = START_S) -> None:
        """Returns when every partition has all its replicas in sync, so that a further node may go down."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        behind: object = "nobody answered"
        while loop.time() < deadline:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=3000)
            try:
                await admin.start()
                topics = await admin.describe_topics()
                behind = [
                    (topic["topic"], partition["partition"])
                    for topic in topics
                    for partition in topic["partitions"]
                    if len(partition["isr"]) < len(partition["replicas"])
                ]
                if not behind:
                    return
            except (KafkaError, OSError, TimeoutError) as error:
                behind = error
            finally:
                await admin.close()
            await asyncio.sleep(0.2)
        raise AssertionError(f"not in sync within {within_s:g} s: {behind}")

    async def leader_of(self, topic: str, partition: int) -> int | None:
        """The node that leads a partition of a topic; None if that cannot be told now."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=3000)
        try:
            await admin.start()
            (found,) = await admin.describe_topics([topic])
            return next((each["leader"] for each in found["partitions"] if each["partition"] == partition), None)
        except (KafkaError, OSError, TimeoutError):
            return None
        finally:
            await admin.close()

    def kill(self, number: int) -> None:
        """`kill -9`."""
        process = self._running.pop(number)
        process.kill()
        process.wait()

    def stop(self, number: int, within_s: float = STOP_S) -> bool:
        """SIGTERM, and `kill -9` after `within_s`; whether it stopped by itself. Blocks for as long."""
        process = self._running.pop(number)
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def fill_disk(self, number: int) -> None:
        """From now on the node can make no file longer, as on a full disk. It ends itself when it notices; a node that
        is started anew has room again."""
        resource.prlimit(self.pid(number), resource.RLIMIT_FSIZE, (1, 1))

    def ended(self, number: int) -> bool:
        """Whether a node has ended by itself; it can then be started again."""
        if self._running[number].poll() is None:
            return False
        del self._running[number]
        return True

    def pause(self, number: int) -> None:
        """SIGSTOP: connections stay open and nothing moves."""
        self._running[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self._running[number].send_signal(signal.SIGCONT)

    @property
    def running(self) -> list[int]:
        """Nodes that were started and neither killed nor stopped; a paused one counts."""
        return sorted(self._running)

    def pid(self, number: int) -> int:
        return self._running[number].pid

    def tail(self, number: int, characters: int = 4000) -> str:
        """The end of a node's log."""
        log = self._folder(number) / "broker.log"
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def close(self) -> None:
        """End every node and remove the folder unless it is to be kept; idempotent."""
        for number in self.running:
            self.kill(number)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _folder(self, number: int) -> Path:
        return self.folder / f"node-{number}"

    def _write_nodes(self, home: KafkaHome, lanes: Sequence[str]) -> None:
        nodes = len(self.numbers)
        ports = iter(free_ports(nodes * (3 + 2 * len(lanes))))
        self._clients = {number: next(ports) for number in self.numbers}
        internal = {number: next(ports) for number in self.numbers}
        controllers = {number: next(ports) for number in self.numbers}
        self._lanes = {name: Lane(name, [(next(ports), next(ports)) for _ in self.numbers]) for name in lanes}
        voters = ",".join(f"{number}@127.0.0.1:{controllers[number]}" for number in self.numbers)
        cluster_id = _uuid()
        for number in self.numbers:
            listens = {"CLIENT": self._clients[number], "INTERNAL": internal[number]}
            tells = dict(listens)
            for position, lane in enumerate(self._lanes.values()):
                tells[f"LANE{position}"], listens[f"LANE{position}"] = lane.ports[number - 1]
            folder = self._folder(number)
            data = folder / "data"
            data.mkdir(parents=True)
            (folder / "server.properties").write_text(
                _SETTINGS.format(
                    node=number,
                    voters=voters,
                    listeners=_addresses({**listens, "CONTROLLER": controllers[number]}),
                    advertised=_addresses(tells),
                    protocols=",".join(f"{name}:PLAINTEXT" for name in (*listens, "CONTROLLER")),
                    data=data,
                    replication=nodes,
                    min_isr=nodes // 2 + 1,
                )
            )
            # What `StorageTool format` would write; a Java process a node only for this doubles the time of a start.
            (data / "meta.properties").write_text(
                f"version=1\ncluster.id={cluster_id}\nnode.id={number}\ndirectory.id={_uuid()}\n"
            )
            shutil.copy(home.bootstrap_checkpoint, data)


async def sees_all(port: int, numbers: Collection[int]) -> bool:
    """Whether the node that listens at `port` serves metadata that names all of `numbers`."""
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=3000)
    try:
        # Asked first by hand, because the client logs every refusal as an error.
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        await client.bootstrap()
        return {broker.nodeId for broker in client.cluster.brokers()} >= set(numbers)
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()


def java(home: KafkaHome, *, heap: Sequence[str] = HEAP, options: Sequence[str] | None = None) -> list[str]:
    """The command that runs a class of Kafka's; `options` replace those that make a start cheap."""
    quick = ("-XX:TieredStopAtLevel=1",)
    level = "-Dlog4j2.level=INFO"
    return [
        "java",
        *heap,
        *(quick if options is None else options),
        f"-XX:SharedArchiveFile={home.archive}",
        level,
        "-cp",
        home.class_path,
    ]


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _uuid() -> str:
    """Kafka's form of a random id; it refuses one that begins with a dash."""
    while True:
        made = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        if not made.startswith("-"):
            return made
