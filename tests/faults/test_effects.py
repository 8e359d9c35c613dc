"""A fault without its effect is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.faults.effects import effects
from tests.faults.history import Fault, History, Operation, Outcome, Record, ReplicaSeen

PARTITION = 2


def _seen(at: float, replica: str, seq: int, *, leader: bool) -> ReplicaSeen:
    return ReplicaSeen(
        replica=replica,
        partition=PARTITION,
        leader=leader,
        seq=seq,
        head=f"h{seq}",
        state_seq=None,
        state_hash=None,
        at=at,
    )


def _wrote(kind: str, start: float, end: float, *before: int) -> Operation:
    return Operation(
        kind=kind,
        who="c",
        key=f"{kind}-{start}",
        about="c",
        start=start,
        end=end,
        outcome=Outcome.OK,
        status=200,
        before=before,
    )


PAUSE = Fault(kind="router-pause", target="engine-1", at=10.0, until=14.0, led=True)
KILL = Fault(kind="ingest-kill", target="social-1", at=20.0, until=23.0)
LOST = Fault(kind="majority-held", target="brokers 1 and 2", at=30.0, until=48.0)
TAKEN = _seen(12.0, "engine-2", 100, leader=True)
FOLLOWS = _seen(15.5, "engine-1", 106, leader=False)
MISSED = _wrote("webhook", 20.5, 24.0, 0, 0)
HOOK = _wrote("webhook", 33.0, 49.0, 503, 503)
MESSAGE = _wrote("message", 33.0, 49.0, 0, 503)
RUN: tuple[Record, ...] = (
    _seen(9.0, "engine-1", 90, leader=True),
    PAUSE,
    TAKEN,
    # It comes back with what it last knew, and learns better.
    _seen(14.5, "engine-1", 91, leader=True),
    FOLLOWS,
    KILL,
    MISSED,
    LOST,
    HOOK,
    MESSAGE,
)
CHANGES: list[tuple[str, Callable[[list[Record]], None]]] = [
    ("no leader ever stood still", lambda run: run.remove(PAUSE)),
    ("nobody took over", lambda run: run.remove(TAKEN)),
    ("did not follow", lambda run: run.remove(FOLLOWS)),
    ("says that it leads", lambda run: run.append(dataclasses.replace(FOLLOWS, leader=True))),
    ("no ingest was ever killed", lambda run: run.remove(KILL)),
    ("a dead ingest had missed", lambda run: run.remove(MISSED)),
    ("was never lost", lambda run: run.remove(LOST)),
    ("without a majority of brokers", lambda run: run.append(_wrote("message", 33.0, 34.0))),
    ("no webhook was refused", lambda run: run.remove(HOOK)),
    ("no message was refused", lambda run: run.append(run.pop() and _wrote("message", 33.0, 49.0, 0))),
]


def _effects(run: list[Record]) -> list[str]:
    history = History()
    for record in run:
        history.add(record)
    return effects(history, PARTITION)


def test_a_run_whose_faults_were_felt_lacks_nothing() -> None:
    assert _effects(list(RUN)) == []


@pytest.mark.parametrize(("words", "change"), CHANGES, ids=[words for words, _ in CHANGES])
def test_an_effect_that_is_missing_is_named(words: str, change: Callable[[list[Record]], None]) -> None:
    run = list(RUN)
    change(run)
    found = _effects(run)
    assert len(found) == 1
    assert words in found[0]
