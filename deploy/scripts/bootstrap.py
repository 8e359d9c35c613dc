"""Makes `.venv`: what `make run` needs (`runtime`), or what tests and checks need on top (`dev`).

Standard library only, because it runs before anything is installed. A stamp, written last, says that an environment is
complete and for which lock and Python; without the right stamp the environment is made anew. Packages come from
whatever index this machine's pip is set up for; the lock's hashes say which files are the right ones.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEBIAN_FOR_VENV = ("python3-venv", "ca-certificates")
DEBIAN_FOR_TESTS = ("chromium", "fonts-noto-core", "fonts-wqy-zenhei")
# Packages for commands: whoever has the command from elsewhere needs no package.
DEBIAN_FOR_COMMANDS = {
    "java": "default-jre-headless",
    "mvn": "maven",
    "redis-server": "redis-server",
    "promtool": "prometheus",
    "faketime": "faketime",
}
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LOCKS = {"runtime": "deploy/requirements.lock", "dev": "deploy/requirements-dev.lock"}


class CannotGoOn(Exception):
    """Something a person has to do; the message is the whole of what they need to read."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make or complete .venv.")
    parser.add_argument("--python", default=sys.executable, help="the interpreter the environment is made of")
    parser.add_argument("kind", choices=LOCKS)
    options = parser.parse_args(arguments)
    try:
        with _only_one_at_a_time(ROOT):
            ensure_environment(ROOT, options.kind, options.python)
            if options.kind == "dev" and os.environ.get("CI") == "true":
                ensure_debian_packages_for_tests()
    except CannotGoOn as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def ensure_environment(root: Path, kind: str, python: str) -> None:
    """`.venv` under `root` is complete for `kind` when this returns; nothing is done if it already is."""
    venv = root / ".venv"
    runtime = _stamp(root, "runtime")
    wanted = [("runtime", runtime)] if kind == "runtime" else [("runtime", runtime), ("dev", _stamp(root, "dev"))]
    half_made = _unfinished(venv).exists()
    if not half_made and all(_has_stamp(venv, name, stamp) for name, stamp in wanted):
        return
    # The development packages contain the runtime ones, pinned alike: they can be added, but nothing can be replaced.
    if half_made or not _has_stamp(venv, "runtime", runtime) or _stamp_file(venv, "dev").exists():
        _make_venv(venv, python)
    _unfinished(venv).write_text("While this file is here, the environment is half made.\n")
    for name, stamp in wanted:
        if not _has_stamp(venv, name, stamp):
            _install(venv, root / LOCKS[name])
            _stamp_file(venv, name).write_text(stamp + "\n")
    _unfinished(venv).unlink()


def ensure_debian_packages_for_tests() -> None:
    """In CI no test may be skipped for want of a browser, a broker or a server: as root, install what they need."""
    missing = [name for name in DEBIAN_FOR_TESTS if not _is_installed(name)]
    missing += [package for command, package in DEBIAN_FOR_COMMANDS.items() if not shutil.which(command)]
    if not missing:
        return
    if not (is_root() and shutil.which("apt-get")):
        raise CannotGoOn(f"CI=true needs these Debian packages: apt-get install -y {' '.join(missing)}")
    with _no_service_starts(SERVICE_POLICY):
        _apt_install(missing)


def is_root() -> bool:
    return os.geteuid() == 0


def _make_venv(venv: Path, python: str) -> None:
    if venv.exists():
        if not ((venv / "pyvenv.cfg").exists() or _unfinished(venv).exists()):
            raise CannotGoOn(f"{venv} exists and is not a Python environment. Move it away and try again.")
        shutil.rmtree(venv)
    _say(f"Making {venv.name} with {python} (once)")
    for attempt in (1, 2):
        venv.mkdir(exist_ok=True)
        _unfinished(venv).touch()
        made = subprocess.run([python, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)  # noqa: S603
        if made.returncode == 0:
            return
        shutil.rmtree(venv)
        if attempt == 2 or not _offer_debian_packages():
            raise CannotGoOn(f"{python} cannot make an environment:\n{(made.stdout + made.stderr).strip()}")


def _install(venv: Path, lock: Path) -> None:
    count = sum(1 for line in lock.read_text().splitlines() if line[:1].isalnum())
    _say(f"Installing {count} packages from {lock.name} (once)")
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    if subprocess.run(command, check=False).returncode == 0:  # noqa: S603
        return
    # A bare Debian has no certificates, and pip then trusts nobody.
    if not CERTIFICATES.exists() and _offer_debian_packages():
        again = subprocess.run(command, check=False)  # noqa: S603
        if again.returncode == 0:
            return
    raise CannotGoOn(f"pip could not install {lock.name}; its words are above. Trying again starts afresh.")


def _offer_debian_packages() -> bool:
    """Install what a bare Debian lacks and return True, or say the command that does; False if this is no Debian."""
    if not shutil.which("apt-get"):
        return False
    if is_root():
        _apt_install(DEBIAN_FOR_VENV)
        return True
    raise CannotGoOn(
        f"This machine's Python lacks venv or certificates. Run this, then try again:\n"
        f"  sudo apt-get install -y {' '.join(DEBIAN_FOR_VENV)}"
    )


def _apt_install(packages: list[str] | tuple[str, ...]) -> None:
    _say(f"Installing Debian packages: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)  # noqa: S603
        if done.returncode != 0 and command is install:
            raise CannotGoOn(f"This failed: {' '.join(install)}")


@contextlib.contextmanager
def _no_service_starts(policy: Path) -> Iterator[None]:
    """Tests start the servers they need on ports of their own; Debian's must not start because they are installed.

    Debian asks the file `policy` whether it may; one that somebody else put there stays in force.
    """
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _is_installed(package: str) -> bool:
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "installed"  # noqa: S603
    except FileNotFoundError:
        return False


def _stamp(root: Path, kind: str) -> str:
    """What the environment of `kind` is made of: lock and interpreter. One letter of either makes another stamp."""
    return hashlib.sha256((root / LOCKS[kind]).read_bytes() + sys.version.encode()).hexdigest()


def _stamp_file(venv: Path, kind: str) -> Path:
    return venv / f".complete-{kind}"


def _unfinished(venv: Path) -> Path:
    return venv / ".unfinished"


def _has_stamp(venv: Path, kind: str, stamp: str) -> bool:
    try:
        return _stamp_file(venv, kind).read_text().strip() == stamp
    except OSError:
        return False


@contextlib.contextmanager
def _only_one_at_a_time(root: Path) -> Iterator[None]:
    """Two `make`s in two windows: the second one waits, then finds the work done."""
    directory = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
