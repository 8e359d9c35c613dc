"""The policy document: queues, channels, fallbacks and times, as an operator writes it (YAML or JSON).

This model validates; `services.router.engine.policy` is the frozen form that decisions read. Durations are seconds
here and milliseconds inside. Every refusal names the place: `queues.1.offer_timeout_s`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.message import Language, Level, Line, Name, Strict
from shared.vocabulary import UNKNOWN_LANGUAGE, ChannelKind, Presence, channel_name

Seconds = Annotated[int, Field(ge=0, le=31 * 86_400)]


class FallbackStep(Strict):
    """Where contacts go when their channel is down; taken only if the customer can be reached there."""

    channel: ChannelKind
    account: Name


class Channel(Strict):
    """One of our accounts on a kind of channel, and where its contacts start."""

    kind: ChannelKind
    account: Name
    queue: Name = Field(description="The queue that a contact of this channel enters unless the message names one.")
    language: Language = Field(UNKNOWN_LANGUAGE, description="Taken when neither text nor profile tells the language.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    fallback: tuple[FallbackStep, ...] = Field(
        (), max_length=5, description="Tried in order when this channel is down; none twice."
    )

    @property
    def name(self) -> str:
        return channel_name(self.kind, self.account)


class OnMiss(Strict):
    """What happens to an agent who lets offers run out, so that contacts do not circle past an empty chair."""

    after_misses: Annotated[int, Field(ge=1, le=20)] = 2
    set_presence: Name = Presence.AWAY.value


class Decline(Strict):
    """How a contact that somebody declined is offered again."""

    policy: Literal["others_first", "never"] = Field(
        default="others_first",
        description="`others_first`: decliners again only when nobody else can; `never`: not to them again.",
    )


class Queue(Strict):
    """Contacts waiting under one set of rules."""

    name: Name
    rank: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="Between queues: lower is served first.")
    skills: dict[Name, Level] = Field(
        default_factory=dict, max_length=16, description="Required on top of the contact's."
    )
    language_min: Level = Field(1, description="The least proficiency in the contact's language.")
    strategy: Literal["longest_idle", "least_active", "best_skill"] = "longest_idle"
    offer_timeout_s: Annotated[int, Field(ge=5, le=86_400)] = 30
    retry_delay_s: Seconds = Field(0, description="Pause of a contact after a decline, before it is offered again.")
    wrap_up_s: Seconds = Field(0, description="The agent's time after a contact, when they get nothing new.")
    decline: Decline = Field(default_factory=Decline)
    on_miss: OnMiss | None = Field(default_factory=OnMiss)
    target_s: dict[ChannelKind, Seconds] = Field(
        default_factory=dict, description="Answer within; service level counts against it."
    )


class Lease(Strict):
    """How long an agent's silence is borne. The lease itself is kept by the API."""

    lease_s: Annotated[int, Field(ge=5, le=600)] = 30
    grace_s: Annotated[int, Field(ge=0, le=86_400)] = 60
    on_lost: dict[ChannelKind, Literal["keep", "requeue"]] = Field(
        default_factory=dict, description="Per channel, after the grace; `requeue` unless said otherwise."
    )


class Policy(Strict):
    """Everything that decides how a workspace routes. Adopted whole, by an event; versions count up."""

    description: Line = ""
    channels: tuple[Channel, ...] = Field(min_length=1, max_length=200)
    queues: tuple[Queue, ...] = Field(min_length=1, max_length=500)
    presences: dict[Name, Line] = Field(
        default_factory=dict,
        max_length=50,
        description="Presences beside available, away and offline; none takes offers.",
    )
    lease: Lease = Lease()
    language_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.8, description="From here on a detected language is believed without asking the profile."
    )
    language_profile_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="From here on a detected language is believed if the customer's profile says the same."
    )
    keep_ended_s: Annotated[int, Field(ge=60, le=31 * 86_400)] = Field(
        86_400, description="How long an ended contact stays readable in the views; the journal keeps it for good."
    )

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        queues = [queue.name for queue in self.queues]
        _refuse_twice("queues", queues)
        channels = [channel.name for channel in self.channels]
        _refuse_twice("channels", channels)
        for index, channel in enumerate(self.channels):
            if channel.queue not in queues:
                raise ValueError(f"channels.{index}.queue: there is no queue {channel.queue!r}")
            _refuse_twice(f"channels.{index}.fallback", [channel_name(s.channel, s.account) for s in channel.fallback])
            for step_index, step in enumerate(channel.fallback):
                if channel_name(step.channel, step.account) not in channels:
                    raise ValueError(
                        f"channels.{index}.fallback.{step_index}: there is no channel "
                        f"{channel_name(step.channel, step.account)!r}"
                    )
        allowed = {*self.presences, *(presence.value for presence in Presence)}
        for index, queue in enumerate(self.queues):
            if queue.on_miss is not None and queue.on_miss.set_presence not in allowed:
                raise ValueError(
                    f"queues.{index}.on_miss.set_presence: there is no presence {queue.on_miss.set_presence!r}"
                )
        cycle = _fallback_cycle(self.channels)
        if cycle:
            raise ValueError(f"channels: the fallbacks go in a circle: {' -> '.join(cycle)}")
        return self


def _refuse_twice(place: str, names: list[str]) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{place}.{index}: {name!r} is already there as {place}.{seen[name]}")
        seen[name] = index


def _fallback_cycle(channels: tuple[Channel, ...]) -> list[str]:
    """The names along a circle of fallbacks, or nothing: a contact must never come back to where it left."""
    steps = {c.name: [channel_name(s.channel, s.account) for s in c.fallback] for c in channels}
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for following in steps.get(name, ()):
            found = walk(following, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in steps:
        found = walk(name, [])
        if found:
            return found
    return []
