"""Small days with a default for everything, so that every argument a test shows matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.router.twin.day import Agent, Arrival, Config, Day
from services.router.twin.play import Case, Outage, Played, play
from services.router.twin.policies import policy_for

HOUR = 3600.0


def config(**fields: Any) -> Config:
    """Chat takes one unit, its target is 60 s; e-mail takes two, its target is an hour. Two at once take 1.25 times."""
    return Config.model_validate(
        {
            "weight": {"chat": 1, "email": 2},
            "slowdown": {1: 1.0, 2: 1.25, 3: 1.55},
            "sl_target_s": {"chat": 60, "email": 3600},
            "drain_until_s": 4 * HOUR,
            **fields,
        }
    )


def arrival(at_s: float, work: float = 100.0, **fields: Any) -> Arrival:
    """A chat in English whose customer waits as long as it takes."""
    patience_s = fields.pop("patience_s", None)
    known = {"id": f"x{at_s:g}", "channel": "chat", "language": "en", **fields}
    patience = None if patience_s is None else round(patience_s * 1000)
    return Arrival(at=round(at_s * 1000), work=work, patience=patience, **known)


def agent(name: str = "ana", *, hours: tuple[float, float] = (0, 4), **fields: Any) -> Agent:
    """Somebody who speaks English as well as can be, takes chat and e-mail, and has room for one unit."""
    known = {"languages": {"en": 1.0}, "channels": ("chat", "email"), "capacity": 1.0, **fields}
    return Agent(id=name, shifts=((round(hours[0] * 3_600_000), round(hours[1] * 3_600_000)),), **known)


def played(
    arrivals: Sequence[Arrival],
    agents: Sequence[Agent],
    policy: str = "fifo_longest_idle",
    *,
    outages: Sequence[Outage] = (),
    **physics: Any,
) -> Played:
    """The day, played."""
    day = Day(tuple(arrivals), tuple(agents), config(**physics))
    return play(day, policy_for(policy, day.config), outages=outages)


def by_id(run: Played) -> Mapping[str, Case]:
    """What became of each arrival."""
    return {case.arrival.id: case for case in run.cases}
