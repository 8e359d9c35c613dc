"""Compiles the engine: `python -m deploy.scripts.compiled INTO [--with-tests]`.

What the image holds is copied into the new folder INTO, and compiled there by mypyc: the sources are the same to the
letter, and beside each compiled one lies what Python loads in its place. Never in the source tree, where it would go on
ruling after the source has changed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HELD = ("shared", "services", "web", "deploy/config")
"""What the image holds."""
COMPILED = (
    "services/router/engine/*.py",
    "services/router/twin/generate.py",
    "services/router/twin/physics.py",
    "services/router/twin/play.py",
)
LEFT = {
    "services/router/engine/__init__.py": "holds nothing",
    "services/router/engine/records.py": "snapshots are read by its fields' types, which a compiled dataclass forgets",
    "services/router/engine/outbound_records.py": "the same",
}
"""What stays as it is, and why. The contracts do for the same reason: the journal is read by them."""
BUILD = """
import sys
from setuptools import setup
from mypyc.build import mypycify

modules = mypycify(sys.argv[2:], opt_level=sys.argv[1], debug_level="0")
setup(name="engine", packages=[], ext_modules=modules, script_args=["--quiet", "build_ext", "--inplace"])
"""
QUICKER = "-Wno-misleading-indentation"
"""gcc looks for misleading indentation by reading the file anew from its first line, which took it half of the time."""


class CannotGoOn(Exception):
    """Something a person has to do; the message is the whole of what they need to read."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compile the engine into a folder of its own.")
    parser.add_argument("into", type=Path, help="a folder that is not there yet, or is empty")
    parser.add_argument("--with-tests", action="store_true", help="copy the tests too, to be run there")
    options = parser.parse_args(arguments)
    into: Path = options.into.resolve()
    try:
        look_for_tools()
        copy(into)
        modules = compile_in(into)
    except CannotGoOn as error:
        print(error, file=sys.stderr)
        return 1
    if options.with_tests:
        for name in ("tests", "deploy/scripts"):
            shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", into)
    print(f"{modules} modules are compiled. Run them from that folder, with its data apart:")
    print(f"  cd {into} && DATA_DIR={ROOT / '.data'} {sys.executable} -m services.embedded")
    return 0


def look_for_tools() -> None:
    """Raises `CannotGoOn` for what is missing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise CannotGoOn(f"There is no C compiler ({compiler}). On Debian: sudo apt-get install gcc libc6-dev")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        raise CannotGoOn(f"Python's headers are not in {headers}. On Debian: sudo apt-get install python3-dev")
    for name, remedy in (("mypyc", "it is a part of mypy: make setup"), ("setuptools", "pip install setuptools")):
        if importlib.util.find_spec(name) is None:
            raise CannotGoOn(f"{sys.executable} has no {name}; {remedy}")


def copy(into: Path) -> None:
    """Copies what the image holds. Raises `CannotGoOn` if something is there already."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CannotGoOn(f"{into} is not empty. Remove it, unless it holds data of yours, or name another folder.")
    for name in HELD:
        if into.is_relative_to(ROOT / name):
            raise CannotGoOn(f"{into} lies in what is copied. Name a folder elsewhere, build/compiled for example.")
    for name in HELD:
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))


def compile_in(into: Path) -> int:
    """Compiles the modules of `COMPILED` where they lie, and says how many these were. Raises `CannotGoOn`."""
    found = sorted(str(file.relative_to(into)) for pattern in COMPILED for file in into.glob(pattern))
    modules = [name for name in found if name not in LEFT]
    level = os.environ.get("MYPYC_OPT_LEVEL", "2")
    command = [sys.executable, "-c", BUILD, level, f"--config-file={ROOT / 'pyproject.toml'}", *modules]
    flags = f"{os.environ.get('CFLAGS', '')} {QUICKER}"
    done = subprocess.run(  # noqa: S603
        command, cwd=into, env={**os.environ, "CFLAGS": flags}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = [line for line in (done.stdout + done.stderr).splitlines() if ": warning: " not in line]
        raise CannotGoOn("\n".join(["mypyc or the C compiler failed; the last that they said:", *words[-20:]]))
    for scratch in ("build", ".mypy_cache"):
        shutil.rmtree(into / scratch, ignore_errors=True)
    return len(modules)


if __name__ == "__main__":
    sys.exit(main())
