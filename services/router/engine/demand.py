"""What a contact asks for at a moment, and in which order contacts of a queue stand: the rules about contacts.

Time never decides in here: what changes with time (steps, delays, the end of a preference) is a fact of the contact,
put there by an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

from services.router.engine.policy import FlowStep, QueuePolicy, QueueStep, matches
from services.router.engine.records import Contact
from shared.vocabulary import UNKNOWN_LANGUAGE, ContactId

Order = tuple[int | float | str, ...]
"""Lower is served first; the last element is the contact's id."""

OrderKind = tuple[object, ...]
"""Queues of the same kind order their contacts by the same rule, so that these can be compared."""


Fallback = tuple[tuple[str, int], ...]
"""(language, ms in the queue), in order."""

ANY_LANGUAGE = "*"
"""In a fallback: whatever somebody speaks."""

STRICT, STARVING, PLAIN = range(3)
"""The lanes: every contact of an earlier one goes before all of a later one, whatever agents and queues say else."""


class Demand(NamedTuple):
    """Contacts with an equal demand wait together. Levels are 1-5; `language` empty: none is required.

    `tier`: the highest open one (None: all). `raised`: lower tiers count as this one. `only`: no other agents.
    `delay` (ms): what was waited out of the agents' delays. `bypass`: what the agents in `only` need not have;
    `ranked`: their order counts. `also`: languages that will do too, in order. `target` (ms): of a queue by deadlines,
    0 elsewhere; `spare`: it can wait until room can be spared. `lane`: `STRICT`, `STARVING` or `PLAIN`.
    `barred`: skills that nobody may have.
    """

    queue: str
    kind: str
    language: str = ""
    language_min: int = 1
    skills: tuple[tuple[str, int], ...] = ()
    any_agent: bool = False
    tier: int | None = None
    raised: int = 1
    only: tuple[str, ...] | None = None
    delay: int = 0
    profiles: tuple[str, ...] = ()
    bypass: tuple[str, ...] = ()
    ranked: bool = False
    also: tuple[str, ...] = ()
    target: int = 0
    spare: bool = False
    lane: int = PLAIN
    barred: tuple[str, ...] = ()


def demand_of(
    queue: QueuePolicy,
    contact: Contact,
    preferred: tuple[str, ...] | None,
    station: FlowStep | None = None,
    fallback: Fallback = (),
) -> Demand:
    """What the contact asks for. `preferred`: the agents that it waits for, if it does. `station`: where it is in its
    flow. `fallback`: which other languages may do in time."""
    steps = queue.steps[: contact.steps]
    target = target_of(queue, contact)
    language, skills = asked_language(queue, contact), _required(queue, contact, steps)
    if any(step.drop_language for step in steps):
        language = ""
    return Demand(
        queue=queue.name,
        kind=contact.channel,
        language=language,
        language_min=contact.language_min or queue.language_min,
        skills=skills,
        any_agent=any(step.any_agent for step in steps) or queue.skill_match != "all",
        tier=open_tier(queue, steps),
        raised=max((step.raise_tiers_to or 1 for step in steps), default=1),
        only=_only(steps, preferred, station, contact),
        delay=contact.delay,
        profiles=contact.profiles,
        bypass=tuple(sorted(queue.preferred.bypass)) if preferred is not None else (),
        ranked=preferred is not None or (station is not None and station.preferred_only),
        also=tuple(code for code, _ in fallback[: contact.widened]) if language else (),
        target=target,
        spare=target > 0 and can_wait(queue, contact),
        lane=lane_of(queue, contact),
        barred=queue.excluded_skills,
    )


def lane_of(queue: QueuePolicy, contact: Contact) -> int:
    """The contact's lane: by its priority, then by its age."""
    if queue.strict_priority is not None and contact.priority >= queue.strict_priority:
        return STRICT
    return STARVING if queue.starvation is not None and contact.starved >= queue.starvation else PLAIN


def target_of(queue: QueuePolicy, contact: Contact) -> int:
    """The target (ms) in a queue that serves by deadlines; 0 in others."""
    rule = queue.by_deadline
    return rule.target(contact.channel, queue.target, contact.priority) if rule is not None else 0


def can_wait(queue: QueuePolicy, contact: Contact) -> bool:
    """Whether the contact is of a kind before which room is kept free, not near its deadline yet, and not of those that
    go before all others."""
    reserve = queue.slo.reserve if queue.slo is not None else None
    if reserve is None or contact.deadline_near or contact.channel not in reserve.kinds:
        return False
    return lane_of(queue, contact) == PLAIN


def asked_language(queue: QueuePolicy, contact: Contact) -> str:
    """The contact's language, else the queue's default one; empty if neither is known."""
    return contact.language if contact.language != UNKNOWN_LANGUAGE else queue.default_language or ""


def fallback_of(fallbacks: Mapping[str, Fallback], queue: QueuePolicy, language: str) -> Fallback:
    """Which other languages will do in time for the one asked for: those that the policy names for it, and, where it is
    a wish, any in the end. `fallbacks`: the policy's, by language."""
    chain = fallbacks.get(language, ())
    if queue.any_language is None or not language:
        return chain
    return (*[step for step in chain if step[1] <= queue.any_language], (ANY_LANGUAGE, queue.any_language))


def _required(queue: QueuePolicy, contact: Contact, steps: tuple[QueueStep, ...]) -> tuple[tuple[str, int], ...]:
    """The contact's skills, else the queue's default ones, with the queue's own on top and as the steps have left
    them."""
    levels = dict(contact.skills or queue.default_skills)
    for skill, level in queue.skills:
        levels[skill] = max(level, levels.get(skill, 0))
    for step in steps:
        for skill, level in step.set_min.items():
            if skill in levels:
                levels[skill] = level
        for skill in step.drop_skills:
            levels.pop(skill, None)
    return tuple(sorted(levels.items()))


def _only(
    steps: tuple[QueueStep, ...], preferred: tuple[str, ...] | None, station: FlowStep | None, contact: Contact
) -> tuple[str, ...] | None:
    """Who may get the contact if not everybody: whom all restrictions name, those of the customer's wish, of the flow
    and of the newest such step; in the order of the first of these."""
    named = [preferred]
    if station is not None:
        named += [contact.preferred if station.preferred_only else None, station.only_agents]
    named.append(next((step.only_agents for step in reversed(steps) if step.only_agents is not None), None))
    lists = [each for each in named if each is not None]
    if not lists:
        return None
    return tuple(name for name in lists[0] if all(name in each for each in lists))


def open_tier(queue: QueuePolicy, steps: tuple[QueueStep, ...]) -> int | None:
    """The highest tier that is open; None for all. Open tiers only add up."""
    if queue.initial_tier is None:
        return None
    return max([queue.initial_tier, *(step.open_tier for step in steps if step.open_tier is not None)])


def most_offers(queue: QueuePolicy, contact: Contact) -> int:
    """How many agents see the contact at the same time: as the queue says, or more by the steps that it took."""
    if not contact.steps:
        return queue.max_offers
    # A later policy may have fewer steps than the contact took.
    return max([queue.max_offers, *[step.max_offers for step in queue.steps[: contact.steps]]])


def preference_of(queue: QueuePolicy, contact: Contact) -> tuple[str, ...]:
    """The agents that the contact still waits for, whoever they are: none once its preference is over."""
    if not contact.preferred or contact.preference_over or not queue.preferred.enabled:
        return ()
    if contact.wish_met and not queue.preferred.hold:
        return ()
    return tuple(contact.preferred)


def is_excluded(queue: QueuePolicy, contact: Contact) -> bool:
    """Whether the contact is not offered at all: by its attributes, its age, or because nothing here is."""
    if is_too_old(queue, contact) or not queue.auto_assign:
        return True
    return bool(queue.exclude) and any(matches(contact.attributes, match) for match in queue.exclude)


def is_too_old(queue: QueuePolicy, contact: Contact) -> bool:
    """Whether the contact is past the longest age at which its queue offers anything."""
    return queue.max_age is not None and contact.past_age >= queue.max_age


# Order


BY_DEADLINE: OrderKind = ("slo",)
"""Contacts of these queues wait by age; which comes first, time and the agent decide (`deadlines.py`)."""


BY_AGE: OrderKind = ("age",)
"""Contacts that starve, of whatever queue: the oldest first."""


def order_kind(queue: QueuePolicy) -> OrderKind:
    """What has to be equal for contacts of two queues to be compared by their order."""
    if queue.contact_order == "score":
        return ("score", queue.priority_unit)
    if queue.contact_order == "buckets":
        return ("buckets", queue.buckets)
    if queue.contact_order == "slo":
        return BY_DEADLINE
    return ("priority",)


def age_of(contact: Contact) -> tuple[int, int, ContactId]:
    """Lower has waited longer; of one moment, who came first."""
    return (contact.age_from, contact.number, contact.id)


def order_of(queue: QueuePolicy, contact: Contact) -> Order:
    """Where the contact stands among those of its queue. All of it is static: who waits together ages together."""
    if queue.starvation is not None and lane_of(queue, contact) == STARVING:
        return age_of(contact)
    if queue.contact_order == "score":
        return (contact.age_from - contact.priority * queue.priority_unit, *age_of(contact))
    if queue.contact_order == "slo":
        return age_of(contact)
    if queue.contact_order == "buckets":
        return (*_bucket(queue, contact.attributes), *age_of(contact))
    return (-contact.priority, *age_of(contact))


def _bucket(queue: QueuePolicy, attributes: Mapping[str, str]) -> tuple[int, int, float, str]:
    """The first bucket that matches and the place in it: numbers before words, what is missing last."""
    for number, bucket in enumerate(queue.buckets):
        if matches(attributes, bucket.match):
            if bucket.order_attr is None:
                return (number, 0, 0.0, "")
            value = attributes.get(bucket.order_attr)
            if value is None:
                return (number, 2, 0.0, "")
            try:
                place = float(value)
            except ValueError:
                return (number, 1, 0.0, value)
            # What is not a number has no place among numbers, and nobody would find the contact in its line again.
            return (number, 1, 0.0, value) if isnan(place) else (number, 0, place, "")
    return (len(queue.buckets), 0, 0.0, "")
