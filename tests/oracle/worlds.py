"""Random small worlds: policies of rich options, staff, contacts and what people do, as plain values that shrink to
nothing in particular. `judged.py` plays them."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from shared.contracts.commands import ChannelTerms
from shared.contracts.queue_policy import Strategy

Drawn = st.SearchStrategy[dict[str, Any]]

QUEUES = ("general", "cards", "loans")
KINDS = ("chat", "email")
LANGUAGES = ("en", "fr", "id")
SKILLS = ("refunds", "fraud")
MOST_AGENTS = 6
AGENTS = tuple(f"a{number}" for number in range(MOST_AGENTS))
STRATEGIES: tuple[str, ...] = get_args(Strategy)

FEW_SECONDS = st.sampled_from([0, 2, 5, 10])
NUMBER = st.integers(0, 11)
"""Picks one of however many there are, round and round."""


def levels(names: tuple[str, ...], *, least: int = 0) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(names), st.integers(1, 5), min_size=least, max_size=len(names))


def subset(names: tuple[str, ...], *, least: int = 0, most: int | None = None) -> st.SearchStrategy[tuple[str, ...]]:
    chosen = st.sets(st.sampled_from(names), min_size=least, max_size=most or len(names))
    return chosen.map(lambda picked: tuple(sorted(picked)))


def some(options: dict[str, st.SearchStrategy[Any]], *, most: int, least: int = 0) -> Drawn:
    """So many of the options: with all of them at once nobody would ever get anything."""
    names = st.sets(st.sampled_from(sorted(options)), min_size=least, max_size=most)
    return names.flatmap(lambda picked: st.fixed_dictionaries({name: options[name] for name in sorted(picked)}))


LOW_LEVELS = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 3), max_size=2)


EXCLUDED = "trainee"
"""A skill of some agents that no queue wants."""


# Policies

STEP = some(
    {
        "set_min": levels(SKILLS),
        "drop_skills": subset(SKILLS, least=1),
        "drop_language": st.just(True),
        "any_agent": st.just(True),
        "open_tier": st.integers(2, 3),
        "raise_tiers_to": st.integers(2, 3),
        "max_offers": st.sampled_from([2, "all"]),
        "set_priority": st.integers(0, 2),
        "only_agents": subset(AGENTS, most=3),
    },
    most=2,
)


@st.composite
def steps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to three steps in the order of their times."""
    times = sorted(draw(st.lists(FEW_SECONDS, min_size=1, max_size=3)))
    return [{**draw(STEP), "after_s": after} for after in times]


CONTACT_ORDER = st.sampled_from(
    [
        {"contact_order": "slo", "target_s": {"chat": 4, "email": 10}},
        {"contact_order": "slo", "target_s": {"chat": 10}},
        {"contact_order": "score", "priority_unit_s": 1},
        {"contact_order": "score", "priority_unit_s": 60},
        {"contact_order": "buckets", "buckets": [{"match": {"vip": "yes"}}]},
        {
            "contact_order": "buckets",
            "buckets": [{"match": {"vip": "no"}, "order_attr": "due"}, {"match": {"vip": "yes"}}],
        },
    ]
)
DECLINE = st.sampled_from(
    [
        {"policy": "never"},
        {"policy": "after_s", "after_s": 5},
        {"policy": "after_s", "after_s": 3, "max": 2},
        {"policy": "others_first", "max": 2},
        {"policy": "never", "reset_on_login": True},
        {"policy": "others_first", "max": 1, "reset_on_login": True},
    ]
)
ON_MISS = st.fixed_dictionaries(
    {
        "after_misses": st.integers(1, 2),
        "set_presence": st.sampled_from(["away", "busy"]),
        "scope": st.sampled_from(["agent", "queue"]),
    }
)
PREFERRED = st.fixed_dictionaries(
    {
        "wait_s": st.sampled_from([5, 15]),
        "channel_wait_s": st.sampled_from([{}, {"chat": 8}, {"email": 3}]),
        "fallback": st.sampled_from(["any", "hold"]),
        "bypass": subset(("capacity", "skills", "presence")),
        "skip_if_unavailable": st.booleans(),
    }
)
QUEUE_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "rank": st.integers(1, 2),
    "lanes": st.sampled_from(
        [{"strict_priority": 1}, {"starvation_s": 4}, {"starvation_s": 8}, {"strict_priority": 2, "starvation_s": 3}]
    ),
    "order": CONTACT_ORDER,
    "strategy": st.sampled_from(STRATEGIES),
    "tie_break": st.lists(st.sampled_from(STRATEGIES[:-1]), min_size=1, max_size=2, unique=True),
    "order_by": st.sampled_from(
        [
            [{"skill": "fraud", "dir": "asc"}],
            [{"skill": "refunds", "dir": "desc"}],
            [{"language": "en-GB", "dir": "asc"}, {"attribute": "years"}],
            [{"attribute": "years", "dir": "asc"}],
            [{"attribute": "years", "dir": "desc"}, {"language": "fr"}],
        ]
    ),
    "skill_match": st.sampled_from(["closest", "ignore"]),
    "skills": LOW_LEVELS,
    "default_skills": LOW_LEVELS,
    "preferred_skills": LOW_LEVELS,
    "excluded_skills": st.just([EXCLUDED]),
    "language_min": st.integers(1, 3),
    "default_language": st.sampled_from(LANGUAGES),
    "any_language_after_s": FEW_SECONDS,
    "auto_assign": st.sampled_from([True, True, False]),
    "auto_accept": st.just(True),
    "max_offers": st.sampled_from([2, 3, "all"]),
    "offer_timeout_s": st.sampled_from([None, 3, 8]),
    "retry_delay_s": st.just(4),
    "decline": DECLINE,
    "on_miss": ON_MISS,
    "wrap_up": st.sampled_from(
        [{"wrap_up_s": 6}, {"wrap_up_s": 6, "wrap_up_scope": "queue"}, {"wrap_up_s": 6, "wrap_up_holds": "capacity"}]
    ),
    "accepts_presence": st.sampled_from([("available", "busy"), ("available", "busy"), ("busy",)]),
    "tiers": st.sampled_from(
        [
            {"initial_tier": 1},
            {"initial_tier": 2},
            {"initial_tier": 1, "skip_empty_tiers": True},
            {"initial_tier": 2, "skip_empty_tiers": True},
        ]
    ),
    "steps": steps(),
    "preferred": PREFERRED,
    "max_per_agent": st.integers(1, 2),
    "rate_limit": st.fixed_dictionaries({"max": st.integers(1, 2), "window_s": st.just(7)}),
    "max_wait_s": st.just(20),
    "max_age_s": st.sampled_from([4, 12]),
    "exclude": st.just([{"vip": "no"}]),
    "open_s": st.sampled_from([[(0, 6)], [(4, 60)], [(0, 3), (9, 60)]]),
}
GROUPED = ("order", "wrap_up", "tiers", "lanes")
"""Options that stand for several fields."""


def _queue(drawn: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in drawn.items() if name not in GROUPED}
    for name in GROUPED:
        fields.update(drawn.get(name, {}))
    return fields


THEMES = (
    ("preferred", "steps", "tiers"),
    ("decline", "offer_timeout_s", "max_offers"),
    ("rate_limit", "auto_accept", "max_per_agent"),
    ("order", "rank", "max_age_s"),
    ("order", "strategy"),
    ("lanes", "order", "rank"),
    ("decline", "steps", "offer_timeout_s"),
)
"""Options that bear on one another: drawn at random alone they would hardly ever meet."""
QUEUE = some(QUEUE_OPTIONS, least=2, most=7).map(_queue)
THEMED = st.sampled_from(THEMES).flatmap(
    lambda theme: st.builds(
        lambda fixed, rest: _queue({**rest, **fixed}),
        st.fixed_dictionaries({name: QUEUE_OPTIONS[name] for name in theme}),
        some(QUEUE_OPTIONS, most=3),
    )
)
STATION = some({"only_agents": subset(AGENTS, most=3) | st.just("$preferred"), "priority": st.integers(0, 2)}, most=2)
STATIONS = st.lists(st.tuples(st.integers(0, 1), STATION, st.sampled_from([3, 6, 10])), min_size=1, max_size=3)
"""Of a flow: which queue, what holds there, and how long after the one before it ends (s)."""
SLO = some(
    {
        "overdue_weight": st.sampled_from([0.3, 1.0]),
        "exponent": st.sampled_from([0, 1, 8]),
        "strict": st.just(True),
        "priority_shortens": st.just(False),
        "age_cap": st.just({"chat": 1.5}),
        "slowdown": st.sampled_from([(1.0,), (1.0, 1.5), (1.0, 1.25, 1.55)]),
        "reserve": st.none()
        | st.fixed_dictionaries({"factor": st.sampled_from([0, 0.5, 1.5]), "until_share": st.sampled_from([0.3, 0.7])}),
    },
    most=4,
)
POLICIES = st.fixed_dictionaries(
    {
        "queues": st.lists(QUEUE | THEMED, min_size=2, max_size=3),
        "stations": STATIONS,
        "rest": some(
            {
                "max_per_agent": st.integers(1, 2),
                "slo": SLO,
                "ramp": st.just([{"until_s": 4, "max_open": 1}])
                | st.just([{"until_s": 2, "max_open": 0}, {"until_s": 9, "max_open": 1}]),
                "while_on_counts_parked": st.just(True),
                "language_fallback": st.just({"fr": [{"language": "en", "after_s": 0}]})
                | st.just({"fr": [{"language": "id", "after_s": 3}, {"language": "en", "after_s": 6}]}),
            },
            most=2,
        ),
    }
)
"""The queues' fields in the order of `QUEUES`, and the policy's own."""

# Staff

MEMBERSHIP = some(
    {
        "priority": st.integers(1, 2),
        "delay": st.sampled_from([3_000, 8_000]),
        "tier": st.integers(1, 3),
        "position": st.integers(0, 2),
        "channels": subset(KINDS, least=1, most=1),
        "per_channel": st.sampled_from(
            [
                (ChannelTerms(channel="chat", priority=2),),
                (ChannelTerms(channel="email", delay=5_000),),
                (
                    ChannelTerms(channel="chat", priority=1, delay=0),
                    ChannelTerms(channel="email", priority=3, delay=3_000),
                ),
            ]
        ),
    },
    most=3,
)
ABILITIES = some(
    {
        "queues": subset(QUEUES[:2], least=1),
        "channels": subset(KINDS, least=1, most=1),
        "memberships": st.dictionaries(st.sampled_from(QUEUES[:2]), MEMBERSHIP, max_size=2),
    },
    most=3,
)
ROOM = some(
    {
        "capacity_total": st.sampled_from([None, 500, 2000, 3000]),
        "capacity_per_channel": st.dictionaries(st.sampled_from(KINDS), st.integers(1, 2), max_size=2),
        "capacity_weights": st.dictionaries(st.sampled_from(KINDS), st.sampled_from([500, 1500]), max_size=2),
        "capacity_parked": st.sampled_from([250, 1000]),
        "position": st.integers(0, 2),
        "max_contacts": st.integers(0, 2),
        "profiles": st.just({"gold": 1}),
        "while_on": st.sampled_from([{"chat": ("chat",)}, {"email": ()}, {"chat": ("email",)}]),
        "wrap_up": st.sampled_from([0, 4_000]),
        "reject_pause": st.just(4_000),
        "attributes": st.fixed_dictionaries({"years": st.integers(-1, 2)}),
    },
    most=3,
)


@st.composite
def staffs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Three to six agents of few abilities, so that some share a class, with room that differs inside a class."""
    abilities = [
        {"languages": draw(levels(LANGUAGES, least=2)), "skills": draw(levels((*SKILLS, EXCLUDED))), **draw(ABILITIES)}
        for _ in range(3)
    ]
    count = draw(st.integers(3, MOST_AGENTS))
    presences = st.sampled_from(["available", "available", "available", "available", "busy", "offline"])
    return [
        {"fields": {**draw(st.sampled_from(abilities)), **draw(ROOM)}, "presence": draw(presences)}
        for _ in range(count)
    ]


# What happens

CONTACT = some(
    {
        "channel": st.just("email"),
        "language": st.sampled_from(LANGUAGES),
        "language_min": st.integers(1, 4),
        "skills": LOW_LEVELS,
        "priority": st.integers(0, 2),
        "attributes": st.fixed_dictionaries(
            {"vip": st.sampled_from(["yes", "no"])}, optional={"due": st.sampled_from(["1", "2", "x"])}
        ),
        "preferred": st.lists(st.sampled_from(AGENTS), min_size=1, max_size=2, unique=True).map(tuple),
        "profiles": st.just(("gold",)),
        "waited": st.sampled_from([1_000, 6_000]),
    },
    most=4,
)
WISHED = st.builds(
    lambda contact, names: {**contact, "preferred": tuple(names)},
    CONTACT,
    st.lists(st.sampled_from(AGENTS), min_size=1, max_size=3, unique=True),
)
WRITES = st.tuples(st.just("write"), st.integers(0, 3), CONTACT | WISHED)
"""A number that no queue has is the flow's."""
TIME = st.tuples(st.just("wait"), st.sampled_from([1, 3, 5, 12]))

WORK = (
    st.tuples(st.sampled_from(["accept", "complete"]), NUMBER)
    | st.tuples(st.just("reject"), NUMBER, st.sampled_from([None, None, 3]))
    | st.tuples(st.just("presence"), NUMBER, st.sampled_from(["available", "busy", "away", "offline"]), st.booleans())
)
BY_HAND = (
    st.tuples(st.sampled_from(["requeue", "finish", "cancel", "reopen"]), NUMBER)
    | st.tuples(st.just("lease"), NUMBER, st.booleans())
    | st.tuples(st.just("switch"), NUMBER, st.sampled_from(KINDS), st.booleans())
    | st.tuples(st.just("limit"), st.sampled_from(["agent", "queue", "all"]), NUMBER, st.sampled_from([None, 0, 1, 2]))
    | st.tuples(st.just("park"), NUMBER, st.booleans())
    | st.tuples(st.just("assign"), NUMBER, NUMBER)
    | st.tuples(st.just("transfer"), NUMBER, NUMBER, st.booleans(), st.booleans())
    | st.tuples(st.just("prioritise"), NUMBER, st.integers(0, 2))
    | st.tuples(st.just("age"), NUMBER, st.sampled_from([-3_000, 5_000]))
    | st.tuples(st.just("freeze"), NUMBER, st.booleans())
    | st.tuples(st.just("health"), st.sampled_from(KINDS), st.booleans())
    | st.tuples(st.just("profile"), NUMBER, st.fixed_dictionaries({"languages": levels(LANGUAGES)}) | ABILITIES, ROOM)
)
ADOPTS = st.tuples(st.just("adopt"), POLICIES) | st.tuples(
    st.just("retune"), NUMBER, some(QUEUE_OPTIONS, least=1, most=1).map(_queue)
)
"""Another policy, or the same with one option of one queue changed: what nothing changed for stays as it is."""
NOTHING = st.just(("rest",))
"""What an action shrinks to, since there is always the same number of them."""
ACTIONS = NOTHING | WORK | WRITES | TIME | WORK | WORK | TIME | BY_HAND | BY_HAND | ADOPTS

WORLDS = st.fixed_dictionaries(
    {
        "policy": POLICIES,
        "staff": staffs(),
        "before": st.lists(NOTHING | WRITES | WRITES | WRITES | TIME, min_size=7, max_size=7),
        "at_once": st.booleans(),
        "actions": st.lists(ACTIONS, min_size=12, max_size=12),
    }
)
"""`before`: what happens while nothing is offered yet (`at_once`), or while agents come in."""
