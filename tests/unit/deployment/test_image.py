"""The image, without Docker: what the Dockerfile copies is all that its commands import, and it pins what is tested."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.scripts.compiled import HELD
from tests.support.compose import REPOSITORY

DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text()
ENTRY_POINTS = sorted(
    ".".join(file.relative_to(REPOSITORY).parent.parts) for file in (REPOSITORY / "services").glob("*/__main__.py")
)
LOADED = """
import importlib.metadata, re, sys

class Absent:
    "As if only what the lock names were installed."
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def spelled(name):
    return re.sub("[-_.]+", "-", name).lower()

locked = set(sys.argv[2:])
owners = importlib.metadata.packages_distributions()
hidden = {top for top, names in owners.items() if not any(spelled(name) in locked for name in names)}
sys.meta_path.insert(0, Absent())
importlib.import_module(sys.argv[1] + ".__main__")
for name, module in sys.modules.items():
    if name.partition(".")[0] in ("services", "shared") and module.__file__:
        print(module.__file__)
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly what the image has in its `/app`."""
    folder = tmp_path_factory.mktemp("image")
    for source, target in re.findall(r"^COPY (\S+) /app/(\S+)$", DOCKERFILE, re.MULTILINE):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / source, folder / target, ignore=ignored)
    return folder


def run(app: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python with nothing of ours but what lies in `app`."""
    command = [sys.executable, "-B", *arguments]
    return subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_a_command_finds_all_it_imports(app: Path, module: str) -> None:
    lock = (REPOSITORY / "deploy" / "requirements.lock").read_text()
    done = run(app, "-c", LOADED, module, *re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    assert done.returncode == 0, done.stderr
    assert [file for file in done.stdout.splitlines() if not file.startswith(str(app))] == []


def test_the_default_command_finds_its_files(app: Path) -> None:
    done = run(app, "-c", "from services.embedded.demo import read_policy; from services.router.web import web_routes; "
                          "print(len(read_policy().queues), len(web_routes()))")  # fmt: skip
    assert done.returncode == 0, done.stderr
    queues, pages = map(int, done.stdout.split())
    assert queues > 1
    assert pages > 10


def test_all_stages_have_the_same_python_and_it_is_the_one_that_is_tested() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["python:${PYTHON}", "interpreted", "${ENGINE}", "python:${PYTHON}"]
    (version,) = re.findall(r"^ARG PYTHON=(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert f'python_version = "{version}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_packages_come_by_hash_and_as_wheels() -> None:
    installs = re.findall(r"^RUN pip (.*?[^\\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    locks = [re.findall(r"-r /build/(\S+)", install) for install in installs]
    assert locks == [["requirements.lock"], ["requirements-dev.lock"]]
    for install, (lock,) in zip(installs, locks, strict=True):
        assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(install.split())
        packages = re.split(r"\n(?=\w)", (REPOSITORY / "deploy" / lock).read_text())
        assert [package.split()[0] for package in packages if "==" in package and "--hash=sha256:" not in package] == []


def test_the_engine_is_interpreted_unless_one_asks_and_the_image_has_no_compiler() -> None:
    assert re.findall(r"^ARG ENGINE=(\w+)$", DOCKERFILE, re.MULTILINE) == ["interpreted"]
    assert re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE) == ["interpreted", "compiled", "chosen"]
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    assert set(re.findall(r"--from=(\w+)", last_stage)) == {"chosen"}
    assert "apt-get" not in last_stage


def test_what_is_compiled_is_what_the_image_holds() -> None:
    assert re.findall(r"^COPY (\S+) /app/\S+$", DOCKERFILE, re.MULTILINE) == list(HELD)


def test_it_runs_as_nobody_in_particular() -> None:
    last_stage = DOCKERFILE.rpartition("FROM ")[2]
    (uid,) = re.findall(r"useradd .*--uid (\d+)", last_stage)
    assert int(uid) >= 10_000
    assert last_stage.index("USER switchdesk") < last_stage.index("ENTRYPOINT")
    assert "HEALTHCHECK" not in DOCKERFILE, "what healthy means stands in the compose files"


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (REPOSITORY / source).exists(), source
        assert source.split("/")[0] not in ignored
