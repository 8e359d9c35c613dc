"""Parts that run, stop and die together; and the same in a real process with real signals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.service import CannotStart, Part, PartEnded, Stage, StoppedTooLate, run_parts

REPOSITORY = Path(__file__).resolve().parents[2]


async def until_told(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def never(stopping: asyncio.Event) -> None:
    await asyncio.Event().wait()


async def test_parts_stop_when_told() -> None:
    stopping = asyncio.Event()
    running = asyncio.create_task(run_parts([Part(name="a", run=until_told), Part(name="b", run=until_told)], stopping))
    await asyncio.sleep(0)
    assert not running.done()
    stopping.set()
    await asyncio.wait_for(running, 5)


async def test_the_core_stops_after_the_edge_so_that_requests_still_get_their_answer() -> None:
    ended: list[str] = []

    async def edge(stopping: asyncio.Event) -> None:
        await stopping.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append("edge")

    async def core(stopping: asyncio.Event) -> None:
        await stopping.wait()
        ended.append("core")

    stopping = asyncio.Event()
    stopping.set()
    await run_parts([Part(name="core", run=core, stage=Stage.CORE), Part(name="edge", run=edge)], stopping)
    assert ended == ["edge", "core"]


async def test_a_part_that_dies_takes_the_others_down() -> None:
    async def dies(stopping: asyncio.Event) -> None:
        raise ValueError("dead")

    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(
            run_parts([Part(name="a", run=never), Part(name="b", run=dies)], asyncio.Event()), timeout=5
        )
    assert caught.group_contains(ValueError, match="dead")


async def test_a_part_that_ends_by_itself_is_a_fault() -> None:
    async def ends(stopping: asyncio.Event) -> None:
        return

    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(run_parts([Part(name="quitter", run=ends)], asyncio.Event()), timeout=5)
    assert caught.group_contains(PartEnded, match="quitter")


async def test_parts_that_do_not_end_are_named() -> None:
    stopping = asyncio.Event()
    stopping.set()
    parts = [Part(name="good", run=until_told), Part(name="stubborn", run=never), Part(name="slow", run=never)]
    with pytest.raises(ExceptionGroup) as caught:
        await run_parts(parts, stopping, limit_s=0.05)
    assert caught.group_contains(StoppedTooLate, match=r"0\.05 s: stubborn, slow$")


def process(body: str, patience: str = "None") -> subprocess.Popen[str]:
    program = f"""
import asyncio, sys, time
from shared import json_logging
from shared.service import *
from shared.loop_watchdog import Patience
json_logging.configure("test")
async def part(stopping):
    print("running", flush=True)
{body}
async def main(stopping):
    await run_parts([Part(name="only", run=part)], stopping, limit_s=0.2)
sys.exit(run_service(main, limit_s=0.2, patience={patience}))
"""
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_in_order(number: signal.Signals) -> None:
    with process("    await stopping.wait(); print('stopped', flush=True)") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "running\n"
        running.send_signal(number)
        out, _ = running.communicate(timeout=10)
    assert running.returncode == 0
    assert out == "stopped\n"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("    await asyncio.Event().wait()", "still running after 0.2 s: only"),
        ("    await stopping.wait(); time.sleep(30)", "did not stop within 0.2 s"),
    ],
    ids=["a part that waits for ever", "a blocked event loop"],
)
def test_a_stop_that_takes_too_long_ends_in_failure_with_words(body: str, words: str) -> None:
    with process(body) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.terminate()
        _, err = running.communicate(timeout=10)
    assert running.returncode == 1
    assert words in err


def test_a_death_is_logged_with_its_place_and_fails_the_process() -> None:
    with process("    raise KeyError('a customer wrote this')") as running:
        _, err = running.communicate(timeout=10)
    assert running.returncode == 1
    assert "KeyError" in err
    assert "in part" in err
    assert "a customer wrote this" not in err


def test_what_a_person_must_put_right_is_said_plainly() -> None:
    with process("    raise CannotStart('port 1 is in use')") as running:
        _, err = running.communicate(timeout=10)
    assert running.returncode == 2
    assert err.splitlines()[-1] == "port 1 is in use"
    assert issubclass(CannotStart, Exception)


QUICK = "Patience(log_s=0.5, end_s=2)"


def test_a_blocked_loop_is_told_where_it_hangs_and_ends_with_a_code_of_its_own() -> None:
    body = """
    def slow(words):
        time.sleep(60)
    slow("a customer wrote this")
"""
    with process(body, QUICK) as running:
        _, err = running.communicate(timeout=20)
    assert running.returncode == 3
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line["message"] == "the event loop is blocked"]
    assert told["level"] == "error"
    assert told["for_s"] < 2
    assert " in slow\n" in told["exception"] + "\n"
    assert " in part\n" in told["exception"]
    assert "a customer wrote this" not in err
    assert lines[-1]["reason"] == "found its event loop blocked for 2 s"


def test_a_loop_that_turns_again_in_time_is_told_and_nothing_is_ended() -> None:
    with process("    time.sleep(1.5); await stopping.wait()", "Patience(log_s=0.5)") as running:
        assert running.stderr is not None
        told = [json.loads(running.stderr.readline())["message"] for _ in range(2)]
        assert told == ["the event loop is blocked", "the event loop turns again"]
        running.terminate()
        running.communicate(timeout=10)
    assert running.returncode == 0


def test_a_process_that_was_frozen_as_a_whole_goes_on() -> None:
    with process("    await stopping.wait()", QUICK) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "running\n"
        running.send_signal(signal.SIGSTOP)
        time.sleep(4)
        running.send_signal(signal.SIGCONT)
        time.sleep(1.5)
        running.terminate()
        _, err = running.communicate(timeout=10)
    assert running.returncode == 0, err
    assert "blocked" not in err


def test_a_process_whose_log_nobody_reads_is_ended_all_the_same() -> None:
    """Then the log is what blocks the loop, and nothing more can be said."""
    body = """
    import logging
    while True:
        logging.getLogger("services.test").info("so much is said that it does not fit into the pipe")
"""
    with process(body, QUICK) as running:
        assert running.wait(timeout=20) == 3


def test_a_watchdog_can_be_switched_off() -> None:
    with process(
        "    time.sleep(2); print('done', flush=True); await stopping.wait()", "Patience(log_s=0, end_s=0)"
    ) as running:
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == ["running\n", "done\n"]
        running.terminate()
        _, err = running.communicate(timeout=10)
    assert running.returncode == 0
    assert "blocked" not in err
