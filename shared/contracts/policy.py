"""The policy document: queues, channels, fallbacks and times, as an operator writes it (YAML or JSON).

This model validates; `services.router.engine.policy` is the frozen form that decisions read. Durations are seconds
here and milliseconds inside. Every refusal names the place: `queues.1.offer_timeout_s`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.message import Language, Line, Name, Strict
from shared.contracts.queue_policy import KindName, Match, Priority, Queue, Seconds
from shared.contracts.slo_policy import Slo
from shared.vocabulary import UNKNOWN_LANGUAGE, ChannelKind, Presence, channel_name


class FallbackStep(Strict):
    """Where contacts go when their channel is down; taken only if the customer can be reached there."""

    channel: KindName = Field(description="The kind of the channel to go on with.")
    account: Name = Field(description="Our account there; the pair must be one of `channels`.")


class HealthRules(Strict):
    """When a channel counts as down, and as up again, by what adapters report: so that one which flaps does not move
    its customers to and fro. What an operator reports counts at once."""

    down_after: int = Field(
        3,
        ge=1,
        le=100,
        description="So many reports of `down` in a row make it down. Before the last of them it is `degraded`, which "
        "moves nobody.",
    )
    within_s: Seconds = Field(300, description="A row that began longer ago begins anew.")
    up_after_s: Seconds = Field(
        60,
        description="It stays down until for so long nobody has reported it down and somebody well; 0: until one "
        "report says so.",
    )


class Channel(Strict):
    """One of our accounts on a kind of channel, and where its contacts start."""

    kind: KindName = Field(description="`chat`, `email`, `telegram`, `messenger`, … or one of `own_kinds`.")
    account: Name = Field(description="Our name on it: an address, a bot, a page. Kind and account name the channel.")
    queue: Name = Field(description="The queue that a contact of this channel enters unless the message names one.")
    language: Language = Field(UNKNOWN_LANGUAGE, description="Taken when neither text nor profile tells the language.")
    flow: Name | None = Field(None, description="The flow that its contacts take, in place of the queue.")
    priority: Priority = Field(0, description="Added to what the message says; a station of a flow may set another.")
    reopen_s: Seconds = Field(
        0,
        description="A customer who writes again in the conversation so soon after their contact was completed or "
        "abandoned reopens it; later, and with 0 always, another contact begins.",
    )
    last_agent: bool = Field(
        default=False,
        description="Who served the customer last is preferred, unless the message names others; how, the queue's "
        "`preferred` says.",
    )
    fallback: tuple[FallbackStep, ...] = Field(
        (), max_length=5, description="Tried in order when this channel is down; none twice."
    )
    health: HealthRules = Field(HealthRules(), description="When it counts as down, and as up again.")

    @property
    def name(self) -> str:
        return channel_name(self.kind, self.account)


class SkipIf(Strict):
    """When a station is passed by, judged once, at the moment of entering it. One condition that holds is enough."""

    waiting_at_least: Annotated[int, Field(ge=1)] | None = Field(
        None, description="So many contacts wait or are offered in its queue, the one that would enter not counted."
    )
    staffed_below: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Fewer agents than that are in a presence that its queue accepts, full or not."
    )
    channel_down: KindName | None = Field(None, description="Every one of `channels` of this kind is down.")

    @model_validator(mode="after")
    def _names_a_condition(self) -> Self:
        if self.waiting_at_least is None and self.staffed_below is None and self.channel_down is None:
            raise ValueError("name waiting_at_least, staffed_below or channel_down")
        return self


class FlowStep(Strict):
    """One station of a flow. It ends when the contact is so old, counted from its creation or, if it was booked, from
    when it is due."""

    queue: Name = Field(description="Where the contact waits at this station.")
    until_age_s: Seconds | None = Field(
        None, description="The contact's age at which the station ends. None: until it is answered; last step only."
    )
    priority: Priority | None = Field(None, description="The contact's priority from this station on.")
    only_agents: tuple[Name, ...] | Literal["$preferred"] | None = Field(
        None, description="Only these are asked here; `$preferred`: those that the contact prefers, in their order."
    )
    skip_if_none_available: bool = Field(
        default=False,
        description="Leave at once if nobody of the queue has a fitting presence, and when the last one goes while "
        "nobody was asked. Available but full is somebody.",
    )
    skip_if: SkipIf | None = Field(
        None,
        description="Pass the station by on entering; unlike `skip_if_none_available` it is not looked at later.",
    )


class FlowFilter(Strict):
    """Contacts whose attributes match go this way; the first filter that matches counts."""

    id: Name | None = Field(
        None,
        description="What the feed, a contact's history and `explain` call it when they tell why a contact went this "
        "way; none twice. Absent: its place in the list, as `#2`.",
    )
    match: Match = Field(default_factory=dict, description="Empty: every contact.")
    steps: tuple[FlowStep, ...] = Field(
        min_length=1, max_length=20, description="The stations, in order; only the last may be without an end."
    )


class Flow(Strict):
    """Which queues a contact goes through, by its attributes, until it is answered or sent elsewhere."""

    name: Name = Field(description="What channels and messages call it by.")
    default_queue: Name = Field(description="For contacts that no filter matches.")
    filters: tuple[FlowFilter, ...] = Field(
        (), max_length=100, description="Looked at in order; the first that matches decides the whole way."
    )
    end: Literal["cancel", "default_queue", "callback", "stay"] = Field(
        "cancel",
        description="What becomes of a contact behind its last step. `default_queue`: it waits on there, for good; "
        "`callback`: there too, as a contact of the channel `callback`; `stay`: it never leaves the last step, "
        "whatever that one says of its end.",
    )


class LanguageStep(Strict):
    """A further language in which a contact may be answered."""

    language: Language = Field(description="Asked for at the same least level as the contact's own.")
    after_s: Seconds = Field(0, description="From so long in the queue on.")


class RampStep(Strict):
    """How many contacts an agent who has just signed in holds at most, up to a time. Neither a break nor a desk that
    was silent for a while begins it anew."""

    until_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        description="So long after the agent became available for the first time since they were offline."
    )
    max_open: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="Open contacts, offers included; 0: nothing is offered yet."
    )


class Lease(Strict):
    """How long an agent's silence is borne. The lease itself is kept by the API."""

    lease_s: Annotated[int, Field(ge=5, le=600)] = Field(
        30, description="After so much silence of a desk its agent counts as gone and is offered nothing."
    )
    grace_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        60, description="So much longer the agent keeps the contacts they hold."
    )
    on_lost: dict[KindName, Literal["keep", "requeue"]] = Field(
        default_factory=dict, description="Per channel, after the grace; `requeue` unless said otherwise."
    )


class Policy(Strict):
    """Everything that decides how a workspace routes. Adopted whole, by an event; versions count up."""

    description: Line = Field("", description="For people; no rule reads it.")
    channels: tuple[Channel, ...] = Field(
        min_length=1, max_length=200, description="Every account that customers write to; none twice."
    )
    queues: tuple[Queue, ...] = Field(
        min_length=1, max_length=500, description="Every queue; the order of the list means nothing, `rank` does."
    )
    own_kinds: tuple[KindName, ...] = Field(
        (), max_length=20, description="Kinds of channels beside the built-in ones, for adapters of your own: `voice`."
    )
    presences: dict[Name, Line] = Field(
        default_factory=dict,
        max_length=50,
        description="Presences beside available, away and offline. Which of them take offers, each queue says.",
    )
    flows: tuple[Flow, ...] = Field(
        (), max_length=100, description="Ways through several queues, for channels and messages that name one."
    )
    max_per_agent: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Open contacts that an agent without a limit of their own holds."
    )
    slo: Slo = Field(default_factory=Slo, description="The numbers behind contact_order and strategy `slo`.")
    ramp: tuple[RampStep, ...] = Field(
        (),
        max_length=10,
        description="Little by little after signing in, so that whoever comes first does not get the whole backlog. In "
        "order of `until_s`; after the last step only the other limits hold.",
    )
    while_on_counts_parked: bool = Field(
        default=False,
        description="An agent's profile may say which channels are offered while a contact of another is held "
        "(`while_on`). True: also while that contact is parked, so that no customer comes back to somebody who is at "
        "something else; false: whose customer is silent keeps nothing away.",
    )
    lease: Lease = Field(Lease(), description="What an agent's silence means.")
    language_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.8, description="From here on a detected language is believed without asking the profile."
    )
    language_profile_confidence: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="From here on a detected language is believed if the customer's profile says the same."
    )
    language_fallback: dict[Language, Annotated[tuple[LanguageStep, ...], Field(max_length=10)]] = Field(
        default_factory=dict,
        max_length=200,
        description="By the contact's language: which others will do when nobody speaks it, and from when on. Whoever "
        "speaks an earlier one of the chain is asked first.",
    )
    keep_ended_s: Annotated[int, Field(ge=60, le=31 * 86_400)] = Field(
        86_400,
        description="How long an ended contact or outbound message stays readable in the views; the journal keeps it "
        "for good. A contact stays as long as a message to it is under way.",
    )

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        queues = [queue.name for queue in self.queues]
        _refuse_twice("queues", queues)
        channels = [channel.name for channel in self.channels]
        _refuse_twice("channels", channels)
        flows = [flow.name for flow in self.flows]
        _refuse_twice("flows", flows)
        kinds = {*self.own_kinds, *(kind.value for kind in ChannelKind)}
        # Kinds first: of a channel whose kind is misspelt no fallback is to blame.
        for index, channel in enumerate(self.channels):
            _refuse_unknown(f"channels.{index}.kind", "kind of channel", channel.kind, kinds)
        for index, channel in enumerate(self.channels):
            _refuse_unknown(f"channels.{index}.queue", "queue", channel.queue, queues)
            _refuse_unknown(f"channels.{index}.flow", "flow", channel.flow, flows)
            if channel.reopen_s > self.keep_ended_s:
                raise ValueError(f"channels.{index}.reopen_s: ended contacts are kept for {self.keep_ended_s} s only")
            steps = [channel_name(step.channel, step.account) for step in channel.fallback]
            _refuse_twice(f"channels.{index}.fallback", steps)
            for step_index, step in enumerate(steps):
                _refuse_unknown(f"channels.{index}.fallback.{step_index}", "channel", step, channels)
        for index, flow in enumerate(self.flows):
            _refuse_unknown(f"flows.{index}.default_queue", "queue", flow.default_queue, queues)
            _refuse_twice(
                f"flows.{index}.filters", [each.id or f"#{number}" for number, each in enumerate(flow.filters)]
            )
            for filter_index, each in enumerate(flow.filters):
                for step_index, station in enumerate(each.steps):
                    place = f"flows.{index}.filters.{filter_index}.steps.{step_index}"
                    _refuse_unknown(f"{place}.queue", "queue", station.queue, queues)
                    watched = station.skip_if.channel_down if station.skip_if is not None else None
                    own = {channel.kind for channel in self.channels}
                    _refuse_unknown(f"{place}.skip_if.channel_down", "channel of the kind", watched, own)
                ages = [station.until_age_s for station in each.steps]
                if any(age is None for age in ages[:-1]):
                    raise ValueError(f"flows.{index}.filters.{filter_index}: a step without an end must be the last")
        presences = {*self.presences, *(presence.value for presence in Presence)}
        for index, queue in enumerate(self.queues):
            self._check_queue(f"queues.{index}", queue, queues, presences)
            for kind in queue.target_s:
                _refuse_unknown(f"queues.{index}.target_s", "kind of channel", kind, kinds)
            for kind in queue.channel_offer_timeout_s:
                _refuse_unknown(f"queues.{index}.channel_offer_timeout_s", "kind of channel", kind, kinds)
        for code, chain in self.language_fallback.items():
            if [step.after_s for step in chain] != sorted(step.after_s for step in chain):
                raise ValueError(f"language_fallback.{code}: in order of after_s")
        for field, named in (
            ("target_s", self.slo.target_s),
            ("age_cap", self.slo.age_cap),
            ("reserve.channels", self.slo.reserve.channels if self.slo.reserve is not None else ()),
        ):
            for kind in named:
                _refuse_unknown(f"slo.{field}", "kind of channel", kind, kinds)
        ends = [step.until_s for step in self.ramp]
        if ends != sorted(set(ends)):
            raise ValueError("ramp: in order of until_s, none twice")
        for kind in self.lease.on_lost:
            _refuse_unknown("lease.on_lost", "kind of channel", kind, kinds)
        cycle = _fallback_cycle(self.channels)
        if cycle:
            raise ValueError(f"channels: the fallbacks go in a circle: {' -> '.join(cycle)}")
        return self

    @staticmethod
    def _check_queue(place: str, queue: Queue, queues: list[str], presences: set[str]) -> None:
        if queue.on_miss is not None:
            _refuse_unknown(f"{place}.on_miss.set_presence", "presence", queue.on_miss.set_presence, presences)
        for number, presence in enumerate(queue.accepts_presence):
            _refuse_unknown(f"{place}.accepts_presence.{number}", "presence", presence, presences)
        for number, step in enumerate(queue.steps):
            _refuse_unknown(f"{place}.steps.{number}.move_to", "queue", step.move_to, queues)
        for number, overflow in enumerate(queue.overflow):
            _refuse_unknown(f"{place}.overflow.{number}.queue", "queue", overflow.queue, queues)


def _refuse_unknown(place: str, what: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise ValueError(f"{place}: there is no {what} {name!r}")


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
