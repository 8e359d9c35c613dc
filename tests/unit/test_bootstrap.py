"""Making the environment on machines that lack something: the real scripts, with stand-ins for what a machine has."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.scripts import bootstrap

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "deploy" / "scripts"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


_FAKE_VENV = """mkdir -p "$1/bin" && touch "$1/pyvenv.cfg"
printf '#!/bin/sh\\necho "$2" >>{log}\\n' >"$1/bin/python" && chmod +x "$1/bin/python\""""


class Machine:
    """A repository with empty locks and a PATH that holds only what a test puts there."""

    def __init__(self, base: Path) -> None:
        self.root = base / "repository"
        self.bin = base / "bin"
        self.log = base / "log"
        self.venv = self.root / ".venv"
        self.bin.mkdir()
        self.log.touch()
        shutil.copytree(SCRIPTS, self.root / "deploy" / "scripts")
        for lock in ("requirements.lock", "requirements-dev.lock"):
            (self.root / "deploy" / lock).write_text("")
        for tool in ("sh", "dirname", "sed", "expand", "cat", "touch", "mkdir", "chmod"):
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)

    def stub(self, name: str, script: str) -> Path:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    def old_python(self, name: str, version: str) -> Path:
        return self.stub(name, f'printf "{version}"; exit 1')

    def python(self, name: str = "python3", *, venv: str = "FAKE", asroot: bool = True) -> Path:
        """A new enough Python whose `-m venv` does what the test says: REAL makes a real environment (4 s), FAKE one
        whose pip notes that it was called. Who asks is root or not, as the test says.
        """
        fake = self.stub("fake-venv", _FAKE_VENV.format(log=self.log))
        venv = venv.replace("REAL", f'exec {sys.executable} "$@"').replace("FAKE", f'exec {fake} "$3"')
        as_user = f"import os; os.geteuid = lambda: {0 if asroot else 1000}; "
        run_as = (
            f"{as_user}import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        return self.stub(
            name,
            f"""case "$1:$2" in
            -m:venv) echo venv >>{self.log}; {venv} ;;
            *bootstrap.py:*) exec {sys.executable} -c "{run_as}" "$@" ;;
            *) exec {sys.executable} "$@" ;;
            esac""",
        )

    def bootstrap(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "sh"), "deploy/scripts/bootstrap.sh", *(arguments or ("runtime",))],
            cwd=self.root,
            env={"PATH": str(self.bin), "HOME": str(self.root), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


NO_VENV = "echo 'The virtual environment was not created: ensurepip is not available'; exit 1"


def test_makes_an_environment_once(machine: Machine) -> None:
    machine.python(venv="REAL")
    first, second = machine.bootstrap(), machine.bootstrap()
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert machine.calls == ["venv"]
    assert second.stderr == ""
    assert (machine.venv / "bin" / "python").exists()


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15", "3.10.13"])
def test_refuses_an_old_python_by_name(machine: Machine, version: str) -> None:
    machine.old_python("python3", version)
    done = machine.bootstrap()
    assert done.returncode == 1
    assert f"python3 is Python {version}" in done.stderr
    assert "3.11 or newer" in done.stderr
    assert not machine.venv.exists()


def test_takes_a_newer_python_beside_an_old_python3(machine: Machine) -> None:
    machine.old_python("python3", "3.9.2")
    machine.python("python3.12")
    assert machine.bootstrap().returncode == 0


def test_python_variable_is_honoured_and_never_replaced_by_another(machine: Machine) -> None:
    machine.python()
    old = machine.old_python("ancient", "3.8.10")
    done = machine.bootstrap(PYTHON=str(old))
    assert done.returncode == 1
    assert "ancient is Python 3.8.10" in done.stderr
    own = machine.python("own-python")
    machine.bootstrap(PYTHON=str(own))
    assert machine.calls == ["venv", "pip"]


def test_says_so_when_there_is_no_python_at_all(machine: Machine) -> None:
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "There is no python3 here" in done.stderr


def test_root_on_a_bare_debian_gets_the_packages_installed(machine: Machine) -> None:
    machine.python(venv=f"[ -e {machine.root}/installed ] || {{ {NO_VENV}; }}; FAKE")
    machine.stub("apt-get", f'echo "apt-get $*" >>{machine.log}; [ "$1" = update ] || touch {machine.root}/installed')
    done = machine.bootstrap()
    assert done.returncode == 0, done.stderr
    install = "apt-get install -y -qq --no-install-recommends python3-venv ca-certificates"
    assert machine.calls == ["venv", "apt-get update -qq", install, "venv", "pip"]


def test_anybody_else_on_a_bare_debian_is_told_the_one_command(machine: Machine) -> None:
    machine.python(venv=NO_VENV, asroot=False)
    machine.stub("apt-get", f'echo "apt-get $*" >>{machine.log}')
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "sudo apt-get install -y python3-venv ca-certificates" in done.stderr
    assert machine.calls == ["venv"]
    assert not machine.venv.exists()


def test_where_there_is_no_apt_the_interpreters_own_words_are_shown(machine: Machine) -> None:
    machine.python(venv=NO_VENV)
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "ensurepip is not available" in done.stderr


def test_a_half_made_environment_is_made_anew(machine: Machine) -> None:
    machine.python()
    machine.bootstrap()
    (machine.venv / ".unfinished").touch()
    (machine.venv / "rubbish").touch()
    assert machine.bootstrap().returncode == 0
    assert not (machine.venv / "rubbish").exists()
    assert machine.calls == ["venv", "pip", "venv", "pip"]


def test_another_lock_makes_another_environment(machine: Machine) -> None:
    machine.python()
    machine.bootstrap()
    (machine.root / "deploy" / "requirements.lock").write_text("# other\n")
    machine.bootstrap()
    assert machine.calls == ["venv", "pip", "venv", "pip"]


def test_tests_add_to_the_environment_that_runs(machine: Machine) -> None:
    machine.python()
    machine.bootstrap("runtime")
    assert machine.bootstrap("dev").returncode == 0
    assert machine.bootstrap("runtime").stderr == ""
    assert machine.calls == ["venv", "pip", "pip"]


def test_a_folder_that_is_no_environment_is_left_alone(machine: Machine) -> None:
    machine.python()
    machine.venv.mkdir()
    (machine.venv / "thesis.txt").touch()
    done = machine.bootstrap()
    assert done.returncode == 1
    assert "is not a Python environment" in done.stderr
    assert (machine.venv / "thesis.txt").exists()


def test_a_package_that_cannot_be_installed_leaves_no_stamp(machine: Machine) -> None:
    machine.python(venv="REAL")
    unobtainable = "nothing-of-this-name==1 --hash=sha256:" + "0" * 64
    (machine.root / "deploy" / "requirements.lock").write_text(unobtainable + "\n")
    done = machine.bootstrap(PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert "Trying again starts afresh" in done.stderr
    assert not list(machine.venv.glob(".complete-*"))


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    return Debian(tmp_path, monkeypatch)


class Debian:
    """Where tests run as root in CI: all packages are installed, and of the commands those that a test names."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.policy = base / "policy-rc.d"
        self.commands = {"apt-get", *bootstrap.DEBIAN_FOR_COMMANDS}
        self.asked: list[list[str]] = []
        self.answer: int | None = None
        monkeypatch.setattr(bootstrap, "SERVICE_POLICY", self.policy)
        monkeypatch.setattr(bootstrap, "is_root", lambda: True)
        monkeypatch.setattr(bootstrap, "_is_installed", lambda package: True)
        monkeypatch.setattr(bootstrap, "_apt_install", self._install)
        monkeypatch.setattr(shutil, "which", lambda command: command if command in self.commands else None)

    def _install(self, packages: list[str]) -> None:
        self.asked.append(packages)
        self.answer = subprocess.run([self.policy], check=False).returncode


def test_a_machine_that_has_the_commands_needs_no_packages(debian: Debian) -> None:
    bootstrap.ensure_debian_packages_for_tests()
    assert debian.asked == []


def test_missing_servers_are_installed_but_not_started(debian: Debian) -> None:
    debian.commands -= {"redis-server", "promtool"}
    bootstrap.ensure_debian_packages_for_tests()
    assert debian.asked == [["redis-server", "prometheus"]]
    assert debian.answer == 101, "action forbidden by policy"
    assert not debian.policy.exists()


def test_a_policy_that_is_there_already_stays(debian: Debian) -> None:
    debian.commands -= {"java"}
    debian.policy.write_text("#!/bin/sh\nexit 104\n")
    debian.policy.chmod(0o755)
    bootstrap.ensure_debian_packages_for_tests()
    assert debian.answer == 104
    assert debian.policy.exists()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_by_hash_and_name_no_index(name: str) -> None:
    text = (REPOSITORY / "deploy" / name).read_text()
    assert "://" not in text
    pins = [line for line in text.splitlines() if line[:1].isalnum()]
    assert len(pins) > 20
    assert all("==" in pin and pin.endswith("\\") for pin in pins)


def test_what_is_tested_is_what_is_shipped() -> None:
    runtime, dev = (
        {line for line in (REPOSITORY / "deploy" / name).read_text().splitlines() if line[:1].isalnum()}
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime <= dev


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec env CI=true make test"
