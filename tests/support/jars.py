"""Kafka's jars, fetched once per machine and version into a cache outside the clone.

The version stands in `deploy/kafka/pom.xml` alone. A stamp, written last, says that the cache is complete and for which
pom; two test runs that find it missing wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.need import need
from tests.support.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
POM = REPOSITORY / "deploy" / "kafka" / "pom.xml"
FETCH_S, FORMAT_S = 600, 60


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """What a broker is started from."""

    folder: Path

    @property
    def class_path(self) -> str:
        return f"{self.folder / 'jars'}/*"

    @property
    def bootstrap_checkpoint(self) -> Path:
        """What `StorageTool format` writes besides `meta.properties`; the same for every cluster of this version."""
        return self.folder / "bootstrap.checkpoint"

    @property
    def archive(self) -> Path:
        """The classes of a broker, parsed and linked: a third less CPU at each start."""
        return self.folder / "classes.jsa"


def kafka_version() -> str:
    """The pinned version."""
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", POM.read_text(encoding="utf-8"))
    assert found is not None, f"{POM.name} names no kafka.version"
    return found[1]


def cache_folder() -> Path:
    """`SWITCHDESK_CACHE`, or a folder of its own where this user's caches lie."""
    given = os.environ.get("SWITCHDESK_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "switchdesk"


def kafka_home() -> KafkaHome:
    """The jars, complete; fetched with Maven if they are not there. Skips the test (in CI: fails it) without Java."""
    need(shutil.which("java"), "a Kafka broker needs Java", "apt-get install -y default-jre-headless")
    folder = cache_folder() / f"kafka-{kafka_version()}"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "complete"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_text() == wanted):
            stamp.unlink(missing_ok=True)
            _fill(KafkaHome(folder))
            stamp.write_text(wanted)
    return KafkaHome(folder)


def _fill(home: KafkaHome) -> None:
    need(shutil.which("mvn"), "fetching Kafka's jars needs Maven", "apt-get install -y maven")
    shutil.rmtree(home.folder / "jars", ignore_errors=True)
    fetch = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    _run([*fetch, f"-DoutputDirectory={home.folder / 'jars'}"], FETCH_S)
    with tempfile.TemporaryDirectory(prefix="switchdesk-kafka-") as work:
        data = Path(work) / "data"
        port, controller = free_ports(2)
        properties = Path(work) / "rehearsal.properties"
        properties.write_text(
            f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
            f"controller.listener.names=CONTROLLER\nlog.dirs={data}\n"
        )
        java = ["java", "-cp", home.class_path]
        storage = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", "5L6g3nShT-eMCtK--X86sw"]
        _run([*storage, "--config", str(properties)], FORMAT_S)
        shutil.copy(data / "bootstrap.checkpoint", home.bootstrap_checkpoint)
        _rehearse(home, properties)


def _rehearse(home: KafkaHome, properties: Path) -> None:
    """Start a broker and stop it in order, so that Java can keep the classes that one loads."""
    home.archive.unlink(missing_ok=True)
    options = [f"-XX:ArchiveClassesAtExit={home.archive}", "-Xmx256m", "-Dlog4j2.level=INFO", "-cp", home.class_path]
    command = ["java", *options, "kafka.Kafka", str(properties)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as broker:
        assert broker.stdout is not None
        for line in broker.stdout:
            if "Kafka Server started" in line:
                broker.send_signal(signal.SIGTERM)
    assert home.archive.exists(), "the broker ended without leaving its classes"


def _run(command: list[str], within_s: float) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}"
