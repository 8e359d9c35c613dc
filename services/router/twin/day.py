"""A day of a contact centre: who writes when, who works when, and how fast. Read from three files.

`arrivals.jsonl` has one contact a line, `agents.json` a list of agents, `config.json` the physics: weights, slowdown,
targets, when the day ends. Times in the files are seconds from the beginning of the day, inside milliseconds.
A file with an error is refused whole; the error names file, line and key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

Kind = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[float, Field(ge=0, le=31 * 86_400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Value = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(ge=1, le=100)]

EMAIL: Final = "email"
"""Whoever writes on this channel expects no answer while they watch; every other channel counts as interactive."""
BEGINS: Final = 8 * 3600
MOST_SHOWN: Final = 10


class UnreadableDay(ValueError):
    """A file of the day cannot be read; the message names file, line and key of what is wrong."""


class Config(BaseModel):
    """The physics of a day. Keys of a file that are not named here belong to whoever made the day."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    weight: dict[Kind, Annotated[float, Field(gt=0, le=1000)]] = Field(min_length=1)
    """Capacity that one contact of a channel takes; names all channels."""
    slowdown: dict[Annotated[int, Field(ge=1)], Factor] = Field(min_length=1)
    """By the number of contacts at once: how many times longer each of them takes."""
    sl_target_s: dict[Kind, Seconds]
    drain_until_s: Annotated[float, Field(gt=0, le=31 * 86_400)]
    """The end: whoever waits then is unserved."""
    mean_patience_s: dict[Kind, Annotated[float, Field(gt=0)] | None] = Field(default_factory=dict)
    """Of those whom a rule moves to another channel, which changes how long they wait. None: for ever."""
    reach: dict[Kind, Share] = Field(default_factory=lambda: {"messaging": 0.7, EMAIL: 1.0})
    """How many customers a channel's fallback can reach there."""
    begins_s: Annotated[float, Field(ge=0, lt=86_400)] = BEGINS
    """What the clock says when the day begins, in seconds after midnight."""

    @model_validator(mode="after")
    def _names_agree(self) -> Config:
        for kind in self.weight:
            if kind not in self.sl_target_s:
                raise ValueError(f"sl_target_s says nothing of {kind!r}")
        if sorted(self.slowdown) != list(range(1, len(self.slowdown) + 1)):
            raise ValueError("slowdown: names 1, 2, 3, … without a gap")
        return self

    @property
    def kinds(self) -> list[str]:
        """The channels, those with the shortest target first."""
        return sorted(self.weight, key=lambda kind: (self.sl_target_s[kind], kind))

    def target_ms(self, kind: str) -> int:
        """Answer within."""
        return round(self.sl_target_s[kind] * 1000)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One contact to come. `at` and `patience` in ms (None: never leaves); `work` in seconds of an agent of
    proficiency 1 with nothing else to do. `queue` and `skills` only where a journal told them."""

    id: str
    at: int
    channel: str
    language: str
    work: float
    patience: int | None
    priority: int = 0
    queue: str | None = None
    skills: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Agent:
    """Who works. `languages`: proficiency above 0 up to 1; `shifts`: (begin, end) in ms, in order.
    `profile`: what else a journal tells, by the fields of `PutAgent`."""

    id: str
    languages: Mapping[str, float]
    channels: tuple[str, ...]
    capacity: float
    shifts: tuple[tuple[int, int], ...]
    skills: Mapping[str, int] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)

    @property
    def on_shift(self) -> int:
        """Time at work, in ms."""
        return sum(end - begin for begin, end in self.shifts)


@dataclass(frozen=True, slots=True)
class Day:
    """What the twin plays."""

    arrivals: tuple[Arrival, ...]
    agents: tuple[Agent, ...]
    config: Config

    @property
    def end(self) -> int:
        """When the day is over, in ms."""
        return round(self.config.drain_until_s * 1000)


class _ArrivalLine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int | Name
    t: Seconds
    channel: Kind
    language: Name
    handle_time: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
    patience: Seconds | None
    priority: Annotated[int, Field(ge=0, le=1000)] = 0
    customer: Name | None = None
    orig_channel: Kind | None = None


def _named(values: Mapping[str, float]) -> Mapping[str, float]:
    if not values:
        raise ValueError("an agent speaks at least one language")
    return values


class _AgentRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name
    languages: Annotated[dict[Name, Value], AfterValidator(_named)]
    channels: tuple[Kind, ...]
    capacity: Annotated[float, Field(gt=0, le=1000)]
    start: Seconds
    end: Seconds

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> _AgentRow:
        if self.end <= self.start:
            raise ValueError("end: is not after start")
        return self


_LINE = TypeAdapter(_ArrivalLine)
_ROW = TypeAdapter(_AgentRow)


def read_day(arrivals: Path, agents: Path, config: Path) -> Day:
    """The day that the three files tell. Raises `UnreadableDay`."""
    physics = read_config(config)
    return checked(Day(_read_arrivals(arrivals, physics), _read_agents(agents, physics), physics))


def read_config(path: Path) -> Config:
    """The physics of a file. Raises `UnreadableDay`."""
    try:
        return Config.model_validate_json(_bytes(path))
    except ValidationError as error:
        raise UnreadableDay("\n".join(f"{path}: {told}" for told in _told(error))) from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableDay(f"{path}: {error.strerror}") from None


def _told(error: ValidationError) -> list[str]:
    """Each error as `key: what is wrong`."""
    return [
        ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, "))))
        for each in error.errors(include_url=False, include_input=False)
    ]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = len(problems) - MOST_SHOWN
        raise UnreadableDay("\n".join([*problems[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]))


def _read_arrivals(path: Path, config: Config) -> tuple[Arrival, ...]:
    found: list[Arrival] = []
    problems: list[str] = []
    seen: set[str] = set()
    last = 0.0
    for number, line in enumerate(_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = _LINE.validate_json(line)
        except ValidationError as error:
            problems += [f"{place}: {told}" for told in _told(error)]
            continue
        if row.channel not in config.weight:
            problems.append(f"{place}: channel: config names no channel {row.channel!r}")
        if row.t < last:
            problems.append(f"{place}: t: {row.t:g} comes before the line above")
        if str(row.id) in seen:
            problems.append(f"{place}: id: {row.id!r} is there twice")
        seen.add(str(row.id))
        last = row.t
        found.append(
            Arrival(
                id=str(row.id),
                at=round(row.t * 1000),
                channel=row.channel,
                language=row.language,
                work=row.handle_time,
                patience=None if row.patience is None else round(row.patience * 1000),
                priority=row.priority,
            )
        )
    _refuse(problems)
    if not found:
        raise UnreadableDay(f"{path}: there is no arrival in it")
    return tuple(found)


def _read_agents(path: Path, config: Config) -> tuple[Agent, ...]:
    data = _bytes(path)
    try:
        rows = json.loads(data)
    except ValueError as error:
        raise UnreadableDay(f"{path}: not JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise UnreadableDay(f"{path}: must be a list of agents")
    found: list[Agent] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, (line, value) in enumerate(zip(_lines_of(data, len(rows)), rows, strict=True)):
        place = f"{path}:{line}: {number}"
        try:
            row = _ROW.validate_python(value)
        except ValidationError as error:
            problems += [f"{place}.{told}" for told in _told(error)]
            continue
        problems += [
            f"{place}.channels: config names no channel {kind!r}" for kind in row.channels if kind not in config.weight
        ]
        if row.id in seen:
            problems.append(f"{place}.id: {row.id!r} is there twice")
        seen.add(row.id)
        shift = (round(row.start * 1000), round(row.end * 1000))
        found.append(Agent(row.id, row.languages, row.channels, row.capacity, (shift,)))
    _refuse(problems)
    return tuple(found)


def _lines_of(data: bytes, count: int) -> Iterable[int]:
    """On which line each of the list's values begins."""
    text = data.decode()
    decoder = json.JSONDecoder()
    place = text.index("[") + 1
    for _ in range(count):
        while text[place] in " \t\r\n,":
            place += 1
        yield text.count("\n", 0, place) + 1
        _, place = decoder.raw_decode(text, place)


def checked(day: Day) -> Day:
    """The day, if its physics says how fast its agents are whatever they hold. Raises `UnreadableDay`."""
    for agent in day.agents:
        lightest = min((day.config.weight[kind] for kind in agent.channels), default=agent.capacity)
        most = int(agent.capacity / lightest + 1e-9)
        if most > len(day.config.slowdown):
            raise UnreadableDay(f"slowdown: agent {agent.id!r} can hold {most} at once, and it says nothing of that")
    return day


def as_files(day: Day, settings: Mapping[str, Any]) -> dict[str, str]:
    """The day as the text of its three files; `settings` go into the config beside its own keys."""
    lines = [
        json.dumps(
            {
                "id": arrival.id,
                "t": arrival.at / 1000,
                "channel": arrival.channel,
                "language": arrival.language,
                "handle_time": arrival.work,
                "patience": None if arrival.patience is None else arrival.patience / 1000,
                "priority": arrival.priority,
            }
        )
        for arrival in day.arrivals
    ]
    rows = [
        {
            "id": agent.id,
            "languages": dict(agent.languages),
            "channels": list(agent.channels),
            "capacity": agent.capacity,
            "start": agent.shifts[0][0] / 1000,
            "end": agent.shifts[-1][1] / 1000,
        }
        for agent in day.agents
    ]
    config = {**settings, **day.config.model_dump(mode="json")}
    return {
        "arrivals.jsonl": "\n".join(lines) + "\n",
        "agents.json": json.dumps(rows, indent=0) + "\n",
        "config.json": json.dumps(config, indent=1) + "\n",
    }
