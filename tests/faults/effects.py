"""Whether what was done to a deployment had its effect: a fault that nobody felt tests nothing, and some have an effect
that must be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.faults.history import Fault, History, Operation, Outcome
from tests.faults.nemesis import DEPOSED_S, LOST_S

STEPS: Final = ("leader-pause", "ingest-kill", "majority-held")
INTAKES: Final = ("message", "webhook")
SETTLED_S: Final = 1.0
"""What was on its way when the brokers went may be answered so much later."""


def effects(history: History, partition: int) -> list[str]:
    """What is missing of the effects of `STEPS`; an empty list if all of them had theirs."""
    return [*_deposed(history, partition), *_ingest_missed(history), *_refused_and_taken(history)]


def _deposed(history: History, partition: int) -> Iterator[str]:
    """The leader that stood still is led by another when it comes back, follows, and claims nothing any more."""
    fault = _first(history, "router-pause")
    if fault is None:
        yield "no leader ever stood still"
        return
    seen = [each for each in history.replicas if each.partition == partition]
    others = [each for each in seen if each.leader and each.replica != fault.target and each.at > fault.at]
    if not others or others[0].at > fault.until:
        yield f"nobody took over from {fault.target} while it stood still"
        return
    taken = others[0].seq
    own = [each for each in seen if each.replica == fault.target and fault.until < each.at < fault.until + DEPOSED_S]
    if not any(each.seq > taken and not each.leader for each in own):
        yield f"{fault.target} did not follow when it came back"
    for each in own:
        # Who takes over says so before its first entry, so that the same number may have been led by both.
        if each.leader and each.seq > taken:
            yield f"{fault.target} says that it leads after entry {each.seq}, when another had led after {taken}"


def _ingest_missed(history: History) -> Iterator[str]:
    """The provider got no answer while its ingest was dead, and got one for the same update later."""
    fault = _first(history, "ingest-kill")
    if fault is None:
        yield "no ingest was ever killed"
    elif not any(0 in each.before for each in _acknowledged_later(history, fault, ("webhook",))):
        yield "no update that a dead ingest had missed was taken later"


def _refused_and_taken(history: History) -> Iterator[str]:
    """Without a majority of brokers nothing is promised, by any road; what was refused then is taken afterwards."""
    fault = _first(history, "majority-held")
    if fault is None:
        yield "the majority of brokers was never lost"
        return
    lost, back = fault.at + SETTLED_S, fault.at + LOST_S
    for operation in history.of(*INTAKES, outcome=Outcome.OK):
        if lost < operation.start and operation.end < back:
            yield f"{operation.key} was acknowledged at {operation.end:.1f} s, without a majority of brokers"
    for kind in INTAKES:
        if not any(503 in each.before for each in _acknowledged_later(history, fault, (kind,))):
            yield f"no {kind} was refused with 503 without a majority of brokers and taken afterwards"


def _acknowledged_later(history: History, fault: Fault, kinds: tuple[str, ...]) -> Iterator[Operation]:
    for operation in history.of(*kinds, outcome=Outcome.OK):
        if operation.start < fault.until and operation.end > fault.at:
            yield operation


def _first(history: History, kind: str) -> Fault | None:
    return next((fault for fault in history.faults if fault.kind == kind), None)
