"""The compiled engine is the same engine: our tests hold on it, and it decides to the letter what the other does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.scripts import compiled
from services.router.metrics import RouterMetrics
from tests.need import need

REPOSITORY = Path(__file__).resolve().parents[2]
DAY = ("services.router", "twin", "--scenario", "nominal", "--size", "40", "--policy", "slo", "--seeds", "1")
UNITS = (
    *("-m", "not interpreted", "tests/unit/engine"),
    # Its judge is a class beneath the engine's, which would have to look into each pass of the engine.
    "--ignore=tests/unit/engine/test_full_rule.py",
)
SCENARIOS = ("tests/scenarios/test_policies.py", "tests/scenarios/test_transcripts.py")


def in_folder(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A module of Python's, run in a folder and with what lies there."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The system with its engine compiled, and the tests beside it."""
    compiler = str(sysconfig.get_config_var("CC")).split()[0]
    need(shutil.which(compiler), f"no C compiler ({compiler})", "apt-get install gcc libc6-dev")
    into = tmp_path_factory.mktemp("compiled") / "app"
    made = subprocess.run(
        [sys.executable, "-m", "deploy.scripts.compiled", str(into), "--with-tests"],
        cwd=REPOSITORY,
        # The compiler takes half as long for code that is a little slower.
        env={**os.environ, "MYPYC_OPT_LEVEL": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return into


@pytest.mark.timeout(900)
def test_it_says_that_it_is_compiled(folder: Path) -> None:
    say = (
        "from services.router.metrics import RouterMetrics as M; "
        "print(M().registry.get_sample_value('switchdesk_engine_compiled'))"
    )
    done = subprocess.run([sys.executable, "-c", say], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
    assert RouterMetrics().registry.get_sample_value("switchdesk_engine_compiled") == 0.0


@pytest.mark.timeout(500)
@pytest.mark.parametrize("tests", [UNITS, SCENARIOS], ids=["units", "scenarios"])
def test_our_tests_hold(folder: Path, tests: tuple[str, ...]) -> None:
    done = in_folder(folder, "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("module", [(*DAY, "--report", "json"), ("tests.compiled.story",)], ids=["twin", "story"])
def test_it_decides_the_same_to_the_letter(folder: Path, module: tuple[str, ...]) -> None:
    here, there = in_folder(REPOSITORY, *module), in_folder(folder, *module)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    told, expected = (re.sub(r'"cpu_s": [\d.]+', "", done.stdout) for done in (there, here))
    assert len(expected) > 100
    assert told == expected


def test_what_is_left_as_it_is_is_there() -> None:
    found = {str(file.relative_to(REPOSITORY)) for pattern in compiled.COMPILED for file in REPOSITORY.glob(pattern)}
    assert compiled.LEFT.keys() < found


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal.db").touch()
    assert compiled.main([str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["journal.db"]


def test_it_is_not_made_among_the_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert compiled.main([str(REPOSITORY / "services" / "compiled")]) == 1
    assert "lies in what is copied" in capsys.readouterr().err
    assert not (REPOSITORY / "services" / "compiled").exists()


def test_without_a_compiler_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "nobodys-cc -pthread")
    assert compiled.main([str(tmp_path / "app")]) == 1
    assert "no C compiler (nobodys-cc)" in capsys.readouterr().err
    assert not (tmp_path / "app").exists()


def test_what_the_compiler_says_last_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong.py").write_text('number: int = "three"\n')
    monkeypatch.setattr(compiled, "COMPILED", ("wrong.py",))
    with pytest.raises(compiled.CannotGoOn, match=r"wrong\.py:1: error: Incompatible types"):
        compiled.compile_in(tmp_path)
