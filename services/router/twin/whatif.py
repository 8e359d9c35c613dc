"""What if: some of the agents are ill, a channel is down for a while. Laid over a day before it is played."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.router.twin.day import Day, UnreadableDay
from services.router.twin.dice import dice
from services.router.twin.play import Outage

_DOWN: Final = re.compile(r"^(?P<channel>[a-z][a-z0-9_]*)@(?P<begin>\d{1,2}:\d\d)-(?P<end>\d{1,2}:\d\d)$")
_MINUTE: Final = 60_000
_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`absent`: the share of agents who do not come; `down`: channels as `chat@12:00-12:20`, by the day's own clock."""

    absent: float = 0.0
    down: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.absent or self.down)

    def told(self) -> str:
        """In words, for a report."""
        parts = [f"{self.absent:.0%} of the agents absent"] if self.absent else []
        for each in self.down:
            channel, _, when = each.partition("@")
            parts.append(f"{channel} down {when.replace('-', '–')}")
        return ", ".join(parts)


def without_absent(day: Day, share: float, seed: int) -> Day:
    """The day without a share of its agents, drawn with the seed. Raises `UnreadableDay` if nobody is left."""
    if not share:
        return day
    gone = set(dice("absent", seed).sample(range(len(day.agents)), round(share * len(day.agents))))
    if len(gone) == len(day.agents):
        raise UnreadableDay(f"--absent {share:g}: nobody is left")
    return replace(day, agents=tuple(agent for number, agent in enumerate(day.agents) if number not in gone))


def outages_of(day: Day, down: Sequence[str]) -> tuple[Outage, ...]:
    """The outages that the words tell, in the day's own time. Raises `UnreadableDay` with what is wrong with one."""
    found = []
    for words in down:
        match = _DOWN.match(words)
        if match is None:
            raise UnreadableDay(f"--down {words}: write it as chat@12:00-12:20")
        channel = match["channel"]
        if channel not in day.config.weight:
            raise UnreadableDay(f"--down {words}: the day has no channel {channel!r}")
        begin, end = (_from_beginning(day, match[name], words) for name in ("begin", "end"))
        if end <= begin:
            end += _DAY
        if begin >= day.end:
            opens = _clock(round(day.config.begins_s * 1000))
            closes = _clock(round(day.config.begins_s * 1000) + day.end)
            raise UnreadableDay(f"--down {words}: the day goes from {opens} to {closes}; --begins tells it otherwise")
        found.append(Outage(channel, begin, min(end, day.end)))
    return tuple(found)


def _from_beginning(day: Day, clock: str, words: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    if hours > 24 or minutes > 59:
        raise UnreadableDay(f"--down {words}: there is no time {clock}")
    return ((hours * 60 + minutes) * _MINUTE - round(day.config.begins_s * 1000)) % _DAY


def _clock(ms: int) -> str:
    minutes = ms // _MINUTE % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
