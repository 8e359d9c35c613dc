"""The rules of import and purity hold, and the tools that hold them bite: each violation is planted in a copy."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "services" / "router" / "engine"
BIN = Path(sys.executable).parent

ENGINE_MAY_IMPORT = {
    *(
        "__future__",
        "abc",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
    ),
    *("json", "math", "operator", "types", "typing", "msgspec"),
    *("shared.vocabulary", "shared.ids", "shared.contracts.commands", "shared.contracts.events"),
    "services.router.engine",
}
"""A list of what is allowed, because a list of what is forbidden forgets. `json` and `msgspec` write the snapshot."""

ENGINE_MAY_NOT_CALL = {"open", "print", "input", "hash", "id", "eval", "exec", "__import__", "breakpoint"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("services", "shared"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def run(tool: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / tool), *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def plant(file: Path, code: str) -> None:
    file.write_text(file.read_text().replace("from __future__ import annotations", "") + f"\n{code}\n")


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            module = node.module or ""
            yield from (
                f"{module}.{alias.name}" if module in ("shared", "shared.contracts") else module for alias in node.names
            )


def test_the_engine_imports_only_what_is_harmless() -> None:
    for file in sorted(ENGINE.rglob("*.py")):
        for name in imports_of(file):
            parts = name.split(".")
            prefixes = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
            assert prefixes & ENGINE_MAY_IMPORT, f"{file.relative_to(REPOSITORY)} imports {name}"


def test_the_engine_calls_no_built_in_that_reaches_outside_or_differs_from_process_to_process() -> None:
    for file in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called = f"{file.relative_to(REPOSITORY)}:{node.lineno} calls {node.func.id}"
                assert node.func.id not in ENGINE_MAY_NOT_CALL, called


def test_the_package_that_is_tested_is_this_one() -> None:
    assert Path(shared.__file__ or "").is_relative_to(REPOSITORY)


@pytest.mark.parametrize(
    ("file", "code", "contract"),
    [
        ("services/ingest_chat/__init__.py", "import services.router.chain", "Services do not know each other"),
        ("services/router/__init__.py", "import services.ingest_email", "Services do not know each other"),
        ("services/router/__init__.py", "import services.embedded", "Nobody builds on the embedded"),
        ("shared/ids.py", "import services.router", "What is shared imports no service"),
        ("shared/vocabulary.py", "import pydantic", "The words and records are plain"),
        ("services/router/engine/state.py", "import asyncio", "The engine is pure"),
        ("services/router/engine/state.py", "import shared.log.port", "The engine is pure"),
        # Not the engine itself, but something it imports.
        ("shared/contracts/events.py", "import time", "The engine is pure"),
    ],
)
def test_import_linter_bites(copy: Path, file: str, code: str, contract: str) -> None:
    plant(copy / file, code)
    done = run("lint-imports", "--no-cache", "--no-logo", cwd=copy)
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(line.startswith(contract) for line in broken), broken


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import time", "The engine has no clock"),
        ("from datetime import datetime\nNOW = datetime.now()", "The engine has no clock"),
        ("import random", "The engine has no dice"),
        ("from uuid import uuid4", "Ids derive from the command's id"),
        ("import socket", "The engine touches nothing outside"),
        ("import asyncio", "The engine never waits"),
    ],
)
def test_ruff_bites_in_the_engine_with_words_that_help(copy: Path, code: str, words: str) -> None:
    plant(copy / "services" / "router" / "engine" / "state.py", code)
    done = run("ruff", "check", "--no-cache", "--output-format=concise", "services/router/engine", cwd=copy)
    assert done.returncode == 1
    assert any("TID251" in line and words in line for line in done.stdout.splitlines()), done.stdout


def test_ruff_lets_the_edges_have_clocks(copy: Path) -> None:
    plant(copy / "services" / "router" / "__init__.py", "import time\n\nNOW = time.time()")
    done = run("ruff", "check", "--no-cache", "--output-format=concise", "services/router/__init__.py", cwd=copy)
    assert "TID251" not in done.stdout


def test_nobody_changes_a_command_or_an_event(tmp_path: Path) -> None:
    """Nothing stops it while the program runs, so mypy has to."""
    file = tmp_path / "changes.py"
    file.write_text(
        'from shared.contracts.commands import SetPresence\nSetPresence(presence="away").presence = "available"\n'
    )
    done = run("mypy", str(file), cwd=REPOSITORY)
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'Property "presence" defined in "SetPresence" is read-only' in done.stdout
