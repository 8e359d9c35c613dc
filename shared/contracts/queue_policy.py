"""One queue of a policy, as an operator writes it: who waits how, who gets what, and when the rules change.

Durations are seconds; the engine's frozen form (`services.router.engine.policy`) counts in milliseconds. Where the
field's vendors differ there is an option, with its default here.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from shared.contracts.message import Language, Level, Line, Name, Strict
from shared.vocabulary import Presence

Seconds = Annotated[int, Field(ge=0, le=31 * 86_400)]
KindName = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]
"""A kind of channel: one of ours, or an adapter's own such as `voice`."""
AttributeValue = Annotated[str, Field(max_length=256)]
Match = Annotated[dict[Name, AttributeValue], Field(max_length=16)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
MaxOffers = Annotated[int, Field(ge=1, le=50)] | Literal["all"]

Strategy = Literal[
    "slo",
    "longest_idle",
    "round_robin",
    "fixed_order",
    "least_active",
    "most_available",
    "lowest_utilisation",
    "fewest_completed",
    "least_talk_time",
    "best_skill",
    "nearest_skill",
    "most_skills",
    "best_language",
    "weighted_random",
]


class Bucket(Strict):
    """Contacts whose attributes match, served before those of later buckets."""

    match: Match = Field(description="All of these attributes have these values.")
    order_attr: Name | None = Field(
        None, description="Inside the bucket: ascending by this attribute (numbers as numbers); else longest waiting."
    )


class OrderBy(Strict):
    """One criterion, of a skill, a language or an attribute: agents by its level or number. Who does not have it comes
    last, in either direction."""

    skill: Name | None = Field(
        None, description="The skill whose level counts, whether the contact requires it or not."
    )
    language: Language | None = Field(
        None, description="The language whose level counts, whatever the contact's; of any region."
    )
    attribute: Name | None = Field(None, description="The attribute of the agent's profile whose number counts.")
    dir: Literal["asc", "desc"] = Field("desc", description="`desc`: the highest level or number first.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if [self.skill, self.language, self.attribute].count(None) != 2:
            raise ValueError("name a skill, a language or an attribute, one of the three")
        return self


class Step(Strict):
    """What changes for a contact that has been in this queue for so long. What a step does not name stays."""

    after_s: Seconds = Field(description="Counted from entering this queue; a contact takes each step once.")
    set_min: dict[Name, Level] = Field(default_factory=dict, description="New least levels of required skills.")
    drop_skills: tuple[Name, ...] = Field((), description="Skills that are no longer required.")
    drop_language: bool = Field(default=False, description="The language is no longer required.")
    any_agent: bool = Field(default=False, description="Neither skills nor language are looked at any more.")
    open_tier: Annotated[int, Field(ge=1, le=100)] | None = Field(None, description="Tiers up to this one are open.")
    raise_tiers_to: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="For this contact lower tiers count as this one."
    )
    max_offers: MaxOffers | None = Field(
        None,
        description="So many agents are asked at once from here on, if that is more than queue and earlier steps say.",
    )
    set_priority: Priority | None = Field(None, description="The contact's priority from here on, in later queues too.")
    only_agents: tuple[Name, ...] | None = Field(None, description="From here on only these agents.")
    move_to: Name | None = Field(None, description="The queue that the contact goes on in, with its age.")
    notify: Annotated[Line, Field(min_length=1)] | None = Field(
        None,
        description="A text for who watches: told once, in the feed, in the contact's history and by `explain`, and "
        "counted. Routing stays as it is.",
    )


class OverflowWhen(Strict):
    """Exactly one condition."""

    waiting_at_least: Annotated[int, Field(ge=1)] | None = Field(
        None, description="On arrival: so many contacts wait or are offered already."
    )
    closed: bool = Field(default=False, description="On arrival: outside the opening hours.")
    wait_exceeds_s: Seconds | None = Field(None, description="In this queue for longer than that.")
    expected_wait_exceeds_s: Seconds | None = Field(
        None,
        description="On arrival: about half of those who wait here on this kind of channel are expected to wait longer "
        "than that. Never for a contact for which somebody is free, nor before enough waits were seen to trust the "
        "bounds.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        limits = (self.waiting_at_least, self.wait_exceeds_s, self.expected_wait_exceeds_s)
        if self.closed + sum(limit is not None for limit in limits) != 1:
            raise ValueError("name exactly one of waiting_at_least, closed, wait_exceeds_s and expected_wait_exceeds_s")
        return self


class Overflow(Strict):
    """What happens to a contact that should not (go on to) wait here."""

    when: OverflowWhen = Field(description="The condition, and with it the moment of the check.")
    action: Literal["move_to", "cancel", "refuse", "callback"] = Field(
        description="`move_to`: on to another queue; `cancel`: ended; `refuse`: ended, and told apart as refused; "
        "`callback`: it waits on, as a contact of the channel `callback`."
    )
    queue: Name | None = Field(
        None, description="Where `move_to` goes. A contact moved by overflow is taken there without checks."
    )

    @model_validator(mode="after")
    def _move_names_a_queue(self) -> Self:
        if (self.action == "move_to") != (self.queue is not None):
            raise ValueError("queue: goes with action move_to, and only with it")
        return self


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None
    return name


Hours = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
"""`09:00-17:00`; an end that is not after the begin lies on the next day."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class BusinessHours(Strict):
    """When a queue is open. Outside, contacts are held unless an overflow says otherwise; opening releases them."""

    tz: Annotated[str, AfterValidator(_zone)] = Field(description="A name of the tz database, as `Asia/Jakarta`.")
    weekly: dict[Weekday, Hours | tuple[Hours, ...]] = Field(description="Days that are not named are closed.")
    closed_dates: tuple[date, ...] = Field(
        (), max_length=500, description="Days on which the queue does not open, whatever the week says."
    )


class RateLimit(Strict):
    """At most `max` assignments of this queue to one agent within any `window_s`."""

    max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="So many assignments; an offer that is out may become one and counts as long."
    )
    window_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = Field(description="The length of the window, which slides.")


class Preferred(Strict):
    """How a contact that names preferred agents waits for them."""

    enabled: bool = Field(default=True, description="False: this queue looks at nobody's preferences.")
    wait_s: Seconds = Field(0, description="So long only the preferred agents are asked.")
    channel_wait_s: dict[KindName, Seconds] = Field(
        default_factory=dict,
        max_length=16,
        description="In place of `wait_s` for contacts of these kinds of channels: a chat may wait for seconds, a mail "
        "for a day.",
    )
    fallback: Literal["any", "hold"] = Field("any", description="Afterwards anybody, or nobody else for ever.")
    bypass: tuple[Literal["capacity", "presence", "skills"], ...] = Field(
        (),
        description="What preferred agents need not have. `capacity` is all of the profile's capacity and the limit in "
        "its place, not what this queue says in `max_per_agent` and `rate_limit`. `presence`: they are asked in any "
        "presence but `offline`, though not in wrap-up, nor while they pause or are about to go.",
    )
    skip_if_unavailable: bool = Field(
        default=False, description="While none of them could be offered the contact, everybody is asked."
    )


class OnMiss(Strict):
    """What happens to an agent who lets offers run out, so that contacts do not circle past an empty chair."""

    after_misses: Annotated[int, Field(ge=1, le=20)] = Field(2, description="In a row; an acceptance begins anew.")
    set_presence: Name = Field(Presence.AWAY.value, description="What the agent's presence becomes.")
    scope: Literal["agent", "queue"] = Field("agent", description="`queue`: the presence only towards this queue.")


class Decline(Strict):
    """How a contact that somebody declined is offered again. A time-out is a decline too."""

    policy: Literal["others_first", "never", "after_s"] = Field(
        default="others_first",
        description="`others_first`: decliners again only when nobody else can; `never`: not to them again; "
        "`after_s`: to them again when so much time has passed.",
    )
    after_s: Seconds = Field(0, description="For policy `after_s`.")
    max: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="After so many declines an agent is out for the contact."
    )
    reset_on_login: bool = Field(default=False, description="Declines are forgotten when the agent comes from offline.")
    when_exhausted: Literal["next_step", "stay"] = Field(
        "next_step",
        description="When everybody who is there and able has declined a contact, full or not, it is exhausted: the "
        "feed and the metrics tell it. `next_step`: the queue's next step holds at once, or, if it has no more, the "
        "contact goes on to the next station of its flow, if there is one; `stay`: it is told, and no more. A contact "
        "is never dropped for this.",
    )


class Queue(Strict):
    """Contacts waiting under one set of rules."""

    name: Name = Field(description="What channels, flows, steps, overflows and agents call it by; none twice.")
    rank: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="Between queues: lower is served first.")

    contact_order: Literal["slo", "priority", "score", "buckets"] = Field(
        "slo",
        description="`slo`: whom it is worth most to serve now, by deadlines and by how well the agent can; "
        "`priority`: higher first, then longest waiting; `score`: waiting seconds + priority x "
        "`priority_unit_s`, highest first; `buckets`: by the first bucket that matches.",
    )
    priority_unit_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        60, description="How many seconds of waiting one step of priority is worth, for contact_order `score`."
    )
    buckets: tuple[Bucket, ...] = Field(
        (), max_length=50, description="For contact_order `buckets`, in order; who matches none comes last."
    )
    strict_priority: Priority | None = Field(
        None,
        description="Contacts of this priority or a higher one go before all others, of every queue, whatever ranks, "
        "orders and ages say: the strict lane. Among themselves they keep ranks and orders.",
    )
    starvation_s: Annotated[int, Field(ge=1, le=31 * 86_400)] | None = Field(
        None,
        description="A contact so old goes before all others, of every queue, but those of the strict lane; of several "
        "the oldest first. So nobody starves behind a rank, a priority or an order.",
    )

    strategy: Strategy = Field(
        "slo",
        description="Which of the eligible agents gets a contact. `slo`: whom it costs least, by how well they can "
        "serve it and by what else they are at.",
    )
    tie_break: tuple[Strategy, ...] = Field(
        (), max_length=6, description="Tried in order on a tie; afterwards always longest_idle, position, id."
    )
    order_by: tuple[OrderBy, ...] = Field((), max_length=8, description="In place of `strategy`.")
    skill_match: Literal["all", "closest", "ignore"] = Field(
        "all",
        description="`all`: every skill at its level, and the language; `closest`: nobody is excluded, the strategy "
        "ranks; `ignore`: neither is looked at.",
    )
    skills: dict[Name, Level] = Field(
        default_factory=dict, max_length=16, description="Required on top of the contact's."
    )
    default_skills: dict[Name, Level] = Field(
        default_factory=dict, max_length=16, description="Required of contacts that name no skills."
    )
    preferred_skills: dict[Name, Level] = Field(
        default_factory=dict,
        max_length=16,
        description="A wish: of those who may get a contact, whoever has more of these skills at their level comes "
        "before the strategy is asked.",
    )
    excluded_skills: tuple[Name, ...] = Field(
        (), max_length=16, description="Who has any of these gets nothing of this queue, whatever the level."
    )
    language_min: Level = Field(1, description="The least proficiency in the contact's language.")
    any_language_after_s: Seconds | None = Field(
        None,
        description="The contact's language is a wish: from so long in this queue on, 0 for at once, whoever speaks "
        "another will do too, and who speaks it is still asked first. None: it is required, but for what "
        "`language_fallback` and steps say.",
    )
    default_language: Language | None = Field(None, description="Of contacts whose language nobody knows.")

    auto_assign: bool = Field(default=True, description="False: nothing is offered, contacts are only picked by hand.")
    auto_accept: bool = Field(default=False, description="An offer is accepted in the same instant.")
    max_offers: MaxOffers = Field(
        1, description="How many agents see a contact at the same time; the first accept wins."
    )
    offer_timeout_s: Annotated[int, Field(ge=1, le=86_400)] | None = Field(
        30, description="None: an offer stays until it is answered."
    )
    channel_offer_timeout_s: dict[KindName, Annotated[int, Field(ge=1, le=86_400)] | None] = Field(
        default_factory=dict,
        max_length=16,
        description="In place of `offer_timeout_s` for contacts of these kinds of channels: a call is answered within "
        "seconds, a mail may be looked at first.",
    )
    retry_delay_s: Seconds = Field(0, description="Pause of a contact after a decline, before it is offered again.")
    decline: Decline = Field(default_factory=Decline, description="Who is asked again after a no.")
    on_miss: OnMiss | None = Field(
        default_factory=OnMiss, description="What comes of offers that nobody answers. None: nothing."
    )
    wrap_up_s: Seconds = Field(0, description="The agent's time after a contact, when they get nothing new.")
    wrap_up_scope: Literal["agent", "queue"] = Field(
        "agent", description="`queue`: nothing new of this queue; other queues go on."
    )
    wrap_up_holds: Literal["agent", "capacity"] = Field(
        "agent",
        description="`capacity`: the agent goes on getting contacts; what the ended one took of the total and of its "
        "channel's maximum stays taken until the wrap-up is over.",
    )
    accepts_presence: tuple[Name, ...] = Field(
        (Presence.AVAILABLE.value,), min_length=1, max_length=20, description="Agents in one of these are offered work."
    )

    initial_tier: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="The highest tier that is open to a fresh contact; all if absent."
    )
    skip_empty_tiers: bool = Field(
        default=False, description="If nobody of the open tiers is there, the next tier counts as open."
    )
    steps: tuple[Step, ...] = Field((), max_length=20, description="In order of `after_s`.")
    preferred: Preferred = Field(
        default_factory=Preferred, description="How contacts that name preferred agents wait for them."
    )

    parked_when_full: Literal["keep", "requeue"] = Field(
        "keep",
        description="When the customer of a parked contact writes again and its agent has no room for it any more. "
        "`keep`: it stays with them, above their capacity and limits; `requeue`: it waits again with its age, for that "
        "agent first as long as `preferred` lets contacts wait for whom they name. Who resumes a contact by hand keeps "
        "it.",
    )

    max_per_agent: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Open contacts of this queue that one agent holds."
    )
    rate_limit: RateLimit | None = Field(None, description="How fast one agent gets contacts of this queue.")
    max_waiting: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, description="With so many waiting or offered, a further arrival is refused."
    )
    require_staff: bool = Field(
        default=False, description="Refuse arrivals while nobody here is in a fitting presence."
    )
    max_wait_s: Seconds | None = Field(None, description="After so long in the queue a contact is cancelled.")
    max_wait_interrupts_offer: bool = Field(
        default=True, description="False: an offer that is out runs to its end before that."
    )
    overflow: tuple[Overflow, ...] = Field((), max_length=20, description="`closed` first, then in this order.")
    business_hours: BusinessHours | None = Field(None, description="When it is open. None: always.")
    max_age_s: Seconds | None = Field(None, description="Older contacts are not offered any more.")
    exclude: tuple[Match, ...] = Field((), max_length=50, description="Contacts that match are not offered.")

    target_s: dict[KindName, Seconds] = Field(
        default_factory=dict, description="Answer within; service level counts against it."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        ordered = [step.after_s for step in self.steps]
        if ordered != sorted(ordered):
            raise ValueError("steps: in order of after_s")
        if self.contact_order == "buckets" and not self.buckets:
            raise ValueError("buckets: contact_order is buckets, and there are none")
        if self.wrap_up_holds == "capacity" and self.wrap_up_scope == "queue":
            raise ValueError("wrap_up_scope: a wrap-up that holds capacity alone keeps nobody from a queue")
        if self.business_hours is None and any(each.when.closed for each in self.overflow):
            raise ValueError("overflow: a queue without business_hours is never closed")
        for name in ("skills", "default_skills", "preferred_skills"):
            both = sorted(set(self.excluded_skills).intersection(getattr(self, name)))
            if both:
                raise ValueError(f"excluded_skills: {both[0]!r} is in {name} too, and nobody can have and not have it")
        return self
