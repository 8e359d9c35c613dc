"""The routing policy as decisions read it: frozen, in milliseconds, looked up by name.

Validated at the border (`shared.contracts.policy`) and recorded whole in `PolicyAdopted`; this is only its other shape.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.router.engine.slo import PLAIN, SloRule
from shared.vocabulary import UNKNOWN_LANGUAGE, Presence, channel_name


@dataclass(frozen=True, slots=True)
class MissRule:
    """After so many offers in a row ran out, the agent's presence becomes this: everywhere, or towards the queue."""

    after_misses: int
    set_presence: str
    scope: str = "agent"


@dataclass(frozen=True, slots=True)
class DeclineRule:
    """How a decliner stands towards the contact afterwards. `after` in ms."""

    policy: str = "others_first"
    after: int = 0
    most: int | None = None
    reset_on_login: bool = False
    steps_on: bool = False
    """Whether a contact that everybody declined goes on at once, by the queue's next step or its flow."""

    def excludes(self, declines: int) -> bool:
        """Whether an agent with so many declines of a contact is out for it, whatever the time."""
        return declines > 0 and (self.policy == "never" or (self.most is not None and declines >= self.most))

    def rank(self, declines: int) -> int:
        """How far behind the others an agent with so many declines of a contact stands."""
        return declines if self.policy == "others_first" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStep:
    """What changes for a contact `after` ms in the queue."""

    after: int
    set_min: Mapping[str, int]
    drop_skills: frozenset[str]
    drop_language: bool
    any_agent: bool
    open_tier: int | None
    raise_tiers_to: int | None
    max_offers: int
    """0: as before."""
    set_priority: int | None
    only_agents: tuple[str, ...] | None
    move_to: str | None
    notify: str | None


@dataclass(frozen=True, slots=True)
class BucketRule:
    """Contacts whose attributes match are served before later buckets."""

    match: tuple[tuple[str, str], ...]
    order_attr: str | None


@dataclass(frozen=True, slots=True)
class OverflowRule:
    """What happens to a contact that should not (go on to) wait; `waiting`, `closed`, `wait` (ms) or `expected` (a wait
    in ms that half of the waits are expected to exceed) is when."""

    waiting: int | None
    closed: bool
    wait: int | None
    action: str
    queue: str | None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class PreferredRule:
    """How contacts that name agents wait for them; `wait` in ms, `waits` in its place by kind of channel."""

    enabled: bool = True
    wait: int = 0
    waits: Mapping[str, int] = field(default_factory=dict)
    hold: bool = False
    bypass: frozenset[str] = frozenset()
    skip_if_unavailable: bool = False

    def wait_of(self, kind: str) -> int:
        """How long (ms) contacts of this kind of channel wait."""
        return self.waits.get(kind, self.wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How one queue waits, is ordered and is offered. Times in ms; `hours` are the open intervals, None for always."""

    name: str
    rank: int
    contact_order: str
    priority_unit: int
    buckets: tuple[BucketRule, ...]
    strict_priority: int | None
    """From this priority on a contact goes before all others."""
    starvation: int | None
    """From this age (ms) on a contact goes before all but those."""
    chain: tuple[str, ...]
    """The strategies in order, tie-breaks included: of `order_by` as `skill:NAME:asc`, and so for a language or an
    attribute."""
    skill_match: str
    excluded_skills: tuple[str, ...]
    skills: tuple[tuple[str, int], ...]
    default_skills: tuple[tuple[str, int], ...]
    language_min: int
    any_language: int | None
    """So long (ms) in the queue the contact's language is required; None: for good."""
    default_language: str | None
    auto_assign: bool
    auto_accept: bool
    max_offers: int
    offer_timeout: int | None
    offer_timeouts: Mapping[str, int | None]
    """In its place, by kind of channel."""
    retry_delay: int
    decline: DeclineRule
    on_miss: MissRule | None
    wrap_up: int
    wrap_up_scope: str
    wrap_up_holds: str
    parked_requeues: bool
    """Whether a parked contact waits again if its customer comes back to an agent without room."""
    accepts_presence: frozenset[str]
    initial_tier: int | None
    skip_empty_tiers: bool
    steps: tuple[QueueStep, ...]
    preferred: PreferredRule
    max_per_agent: int | None
    rate_limit: tuple[int, int] | None
    """(assignments, within ms)."""
    max_waiting: int | None
    require_staff: bool
    max_wait: int | None
    max_wait_interrupts_offer: bool
    overflow: tuple[OverflowRule, ...]
    hours: tuple[tuple[int, int], ...] | None
    max_age: int | None
    exclude: tuple[tuple[tuple[str, str], ...], ...]
    target: Mapping[str, int]
    slo: SloRule | None
    """The numbers of the order or strategy `slo`, if it is either."""
    changes: bool
    """Whether a rule of this queue does something to a contact only because time passes."""

    @property
    def by_deadline(self) -> SloRule | None:
        """The numbers, if its contacts are served by deadlines."""
        return self.slo if self.contact_order == "slo" else None

    @property
    def strategy(self) -> str:
        """The first of the chain: what the decision record names."""
        return self.chain[0]

    @property
    def minds_agents(self) -> bool:
        """Whether a rule of this queue's own says which agents may be offered its contacts at a moment."""
        return (
            self.accepts_presence != AVAILABLE
            or self.max_per_agent is not None
            or self.rate_limit is not None
            or self.wrap_up_scope == "queue"
            or (self.on_miss is not None and self.on_miss.scope == "queue")
        )

    def offer_timeout_of(self, kind: str) -> int | None:
        """How long (ms) an offer of a contact of this kind of channel stays out; None: until it is answered."""
        return self.offer_timeouts.get(kind, self.offer_timeout)

    def open_at(self, now: int) -> bool:
        """Whether `now` lies in the opening hours."""
        if self.hours is None:
            return True
        place = bisect_right(self.hours, (now, _FOREVER))
        return place > 0 and now < self.hours[place - 1][1]

    def turns_at(self, now: int) -> int | None:
        """When the queue opens or closes next after `now`; None if it never does."""
        if self.hours is None:
            return None
        place = bisect_right(self.hours, (now, _FOREVER))
        if place > 0 and now < self.hours[place - 1][1]:
            return self.hours[place - 1][1]
        return self.hours[place][0] if place < len(self.hours) else None


AVAILABLE = frozenset({Presence.AVAILABLE.value})
_FOREVER = 1 << 62
ALL_OFFERS = 1 << 30
LAST_CHAIN = ("longest_idle", "fixed_order")
"""What decides at the end, whatever the chain; after it the agent's id."""
BY_SKILL = "skill:"
"""Begins a strategy of the form `skill:NAME:asc|desc`; a name may hold colons itself."""
BY_LANGUAGE = "language:"
BY_ATTRIBUTE = "attribute:"
"""The same, of a language and of an attribute."""
PREFERS = "prefers:"
"""Begins a strategy of the form `prefers:NAME=LEVEL,…`; no name holds a comma or `=`."""


@dataclass(frozen=True, slots=True)
class FlowStep:
    """One station of a flow; `until` is the contact's age (ms) at which it ends."""

    queue: str
    until: int | None
    priority: int | None
    only_agents: tuple[str, ...] | None
    preferred_only: bool
    skip_if_none: bool
    skip_waiting: int | None = None
    """On entering: so many wait there already."""
    skip_staffed: int | None = None
    """On entering: fewer than so many are there."""
    skip_down: str | None = None
    """On entering: every channel of this kind is down."""


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """The stations of contacts whose attributes match, and what the filter is called."""

    id: str
    match: tuple[tuple[str, str], ...]
    steps: tuple[FlowStep, ...]


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """Which stations a contact goes through, by its attributes."""

    name: str
    default_queue: str
    filters: tuple[FlowFilter, ...]
    end: str
    """What becomes of a contact behind the last station. Of `stay` the last station says so: nobody leaves it."""

    def filter_of(self, attributes: Mapping[str, str]) -> FlowFilter | None:
        """The first filter that matches; None if none does."""
        return next((each for each in self.filters if matches(attributes, each.match)), None)

    def route(self, attributes: Mapping[str, str]) -> tuple[FlowStep, ...]:
        """The stations of the first filter that matches; the default queue without an end if none does."""
        chosen = self.filter_of(attributes)
        if chosen is not None:
            return chosen.steps
        return (FlowStep(self.default_queue, None, None, None, preferred_only=False, skip_if_none=False),)


def matches(attributes: Mapping[str, str], match: tuple[tuple[str, str], ...]) -> bool:
    """Whether all of the attributes have these values."""
    return all(attributes.get(name) == value for name, value in match)


@dataclass(frozen=True, slots=True)
class HealthRules:
    """When a channel that adapters report on counts as down, and as up again. Times in ms."""

    down_after: int = 3
    within: int = 300_000
    up_after: int = 60_000


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """Where contacts of one channel start, and where they go when it is down."""

    kind: str
    account: str
    queue: str
    flow: str | None
    language: str
    priority: int
    fallback: tuple[tuple[str, str], ...]
    reopen: int = 0
    """So long (ms) after its end a contact is opened again by its customer's next message."""
    last_agent: bool = False
    health: HealthRules = HealthRules()

    @property
    def name(self) -> str:
        return channel_name(self.kind, self.account)


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Everything that decides how a workspace routes."""

    queues: Mapping[str, QueuePolicy]
    channels: Mapping[str, ChannelPolicy]
    flows: Mapping[str, FlowPolicy]
    presences: frozenset[str]
    max_per_agent: int | None
    ramp: tuple[tuple[int, int], ...]
    """(ms since signing in up to which it holds, most open contacts), in order."""
    while_on_counts_parked: bool
    """Whether a parked contact keeps other channels from its agent too."""
    lease: int
    grace: int
    keep_on_loss: frozenset[str]
    language_confidence: float
    profile_confidence: float
    keep_ended: int
    slo: SloRule
    language_fallback: Mapping[str, tuple[tuple[str, int], ...]]
    """By language, the others that will do: (language, ms in the queue), in order."""


NO_POLICY = RoutingPolicy(
    queues={},
    channels={},
    flows={},
    presences=frozenset(p.value for p in Presence),
    max_per_agent=None,
    ramp=(),
    while_on_counts_parked=False,
    lease=30_000,
    grace=60_000,
    keep_on_loss=frozenset(),
    language_confidence=0.8,
    profile_confidence=0.5,
    keep_ended=86_400_000,
    slo=PLAIN,
    language_fallback={},
)
"""Before the first adoption: nothing routes, presence can be declared."""


def base_language(code: str) -> str:
    """The language without region or script: `pt-BR` asks for Portuguese."""
    return code.split("-", 1)[0].lower() if code else UNKNOWN_LANGUAGE


def spoken(levels: Mapping[str, int]) -> dict[str, int]:
    """The best level per language without region: who speaks `pt: 2` and `pt-BR: 5` speaks Portuguese at 5."""
    best: dict[str, int] = {}
    for code, level in levels.items():
        language = base_language(code)
        best[language] = max(level, best.get(language, 0))
    return best
