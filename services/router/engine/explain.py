"""Why an agent could be offered a contact at a moment or not, and how they stood: the matcher's own answers, agent by
agent.

Nothing is decided here and nobody is looked for: this costs a step per agent, so it is for people who ask, on a state
that was folded for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.engine.chains import Score, agent_score
from services.router.engine.classes import CapabilityClass, Requirement
from services.router.engine.demand import is_excluded, is_too_old, most_offers
from services.router.engine.index import Index
from services.router.engine.matching import best_of
from services.router.engine.policy import PREFERS
from services.router.engine.records import Agent, Contact
from services.router.engine.rooms import (
    COMMON,
    accepts,
    channel_is_on,
    held_of_queue,
    presence_towards,
    with_capacity,
)
from shared.vocabulary import AgentId, ChannelHealth, ContactId, ContactState, Presence

OFFERABLE = (ContactState.WAITING, ContactState.OFFERED)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one agent stood towards a contact.

    `why_not`: the first reason against them; None if they could be offered it, and then `score` says how good they were
    (named by `score_names`; lower is better, the first difference decides, then the id). `prefers`: the contact that
    they would be offered instead, because in the agent's queues it comes first.
    """

    agent: AgentId
    why_not: str | None
    score: Score = ()
    prefers: ContactId | None = None


def standings(index: Index, contact: Contact, now: int) -> list[Standing]:
    """Every agent of the workspace: those who could be offered the contact, best first, then the others by id."""
    requirement = index.requirement_of(contact)
    index.settle_wants()
    able: list[Standing] = []
    out: list[Standing] = []
    for agent in index.workspace.agents.values():
        reason = _why_not(index, requirement, contact, agent, now)
        if reason is not None:
            out.append(Standing(agent.id, reason))
        else:
            score = _score(requirement, contact, agent)
            able.append(Standing(agent.id, None, score, _preferred(index, contact, agent, now)))
    able.sort(key=lambda each: (each.score, each.agent))
    return able + sorted(out, key=lambda each: each.agent)


def why_not(index: Index, contact: Contact, agent: Agent, now: int) -> str | None:
    """The first reason why the agent cannot be offered the contact now; None if they can.

    What they are: `queue`, `channel`, `not_named`, `tier`, `delay`, `excluded_skill`, `language`, `skill`. What they
    do: `unreachable`, `presence`, `wrap_up`, `paused`, `channel_off`, `capacity`, `limit`, `ramp`, `queue_limit`,
    `rate_limit`, `profile`. What was between the two: `offered`, `declined`, `handed_on`. What others may need:
    `reserve`.
    """
    return _why_not(index, index.requirement_of(contact), contact, agent, now)


def score_of(index: Index, contact: Contact, agent: Agent) -> Score:
    """How good an agent is who could be offered the contact: as a decision's record has it, declines first."""
    return _score(index.requirement_of(contact), contact, agent)


def score_names(chain: Sequence[str], *, ranked: bool, widened: bool) -> tuple[str, ...]:
    """What each number of a score is. `chain`: the queue's strategies; `ranked`: the contact waits for the agents it
    names; `widened`: other languages than its own will do."""
    return (
        "declines",
        *(("preferred",) if ranked else ()),
        "tier",
        *(("language",) if widened else ()),
        *("preferred_skills" if name.startswith(PREFERS) else name for name in chain),
    )


def names_now(index: Index, contact: Contact) -> tuple[str, ...]:
    """`score_names` of the contact at this moment."""
    requirement = index.requirement_of(contact)
    demand = requirement.demand
    ranked = demand.ranked and demand.only is not None
    return score_names(requirement.queue.chain, ranked=ranked, widened=bool(demand.also))


def held_back(index: Index, contact: Contact) -> str | None:
    """Why the contact is offered to nobody (else) now, whoever is there; None if it is to be offered.

    `closed`, `frozen`, `channel_down`, `retry_pause`, `enough_offers`, `aged_out`, `by_hand` (nothing is offered in its
    queue), `excluded` (by its attributes), or the state of a contact that does not wait.
    """
    if contact.state not in OFFERABLE:
        return contact.state.value
    queue = index.workspace.policy.queues[contact.queue]
    if queue.name in index.held_back:
        return "closed" if queue.name in index.closed else "frozen"
    health = index.workspace.channels.get(contact.channel_name)
    if health is not None and health.state is ChannelHealth.DOWN:
        return "channel_down"
    if is_too_old(queue, contact):
        return "aged_out"
    if not queue.auto_assign:
        return "by_hand"
    if is_excluded(queue, contact):
        return "excluded"
    if len(contact.offers) >= most_offers(queue, contact):
        return "enough_offers"
    return "retry_pause" if contact.retry_at is not None else None


def _why_not(index: Index, requirement: Requirement, contact: Contact, agent: Agent, now: int) -> str | None:
    # As if they were named: an agent who is none of those named is told so all the same.
    known = CapabilityClass(-1, agent, named=True)
    reason = known.why_not(index.registry.effective(requirement.demand))
    if reason is not None:
        return reason
    if any(index.workspace.offers[offer].agent == agent.id for offer in contact.offers):
        return "offered"
    if not requirement.fits(index.rooms.of(agent)):
        return _no_room(index, requirement, agent)
    if index.bars(contact, agent.id):
        return "handed_on" if agent.id == contact.excluded else "declined"
    weight = agent.weight(requirement.demand.kind)
    return "reserve" if requirement.demand.spare and not index.spare.of_class(known, weight, now) else None


def _no_room(index: Index, requirement: Requirement, agent: Agent) -> str:
    """The first of the rules in `rooms.py` that is against an agent who has no room."""
    queue, kind = requirement.queue, requirement.demand.kind
    if not agent.reachable:
        return "unreachable"
    if agent.wrap_up_until is not None:
        return "wrap_up"
    if agent.paused_until is not None:
        return "paused"
    common = index.rooms.group(queue.name) == COMMON
    here = agent.presence == "available" if common else accepts(agent, queue)
    if "presence" in requirement.demand.bypass:
        here = here or presence_towards(agent, queue.name) != Presence.OFFLINE
    if not here or agent.next_presence is not None:
        return "presence"
    if not common and queue.name in agent.queue_wrap_up:
        return "wrap_up"
    if not channel_is_on(agent, kind, counts_parked=index.workspace.policy.while_on_counts_parked):
        return "channel_off"
    if "capacity" not in requirement.demand.bypass:
        if not with_capacity(agent, (kind,)):
            return "capacity"
        if not index.rooms.within_limit(agent):
            return "ramp" if index.rooms.within_lasting_limit(agent) else "limit"
    most = index.workspace.queue_limits.get(queue.name, queue.max_per_agent)
    if most is not None and held_of_queue(agent, queue.name, index.workspace.contacts) >= most:
        return "queue_limit"
    if index.rooms.is_over_rate(agent, queue):
        return "rate_limit"
    return "profile" if requirement.demand.profiles else "channel"


def _score(requirement: Requirement, contact: Contact, agent: Agent) -> Score:
    known = CapabilityClass(-1, agent, named=True)
    score, _, _ = known.head(requirement, (*agent_score(agent, requirement.chain), agent.id))
    declined = requirement.queue.decline.rank(contact.declines.get(agent.id, 0))
    return (declined, *score)


def _preferred(index: Index, contact: Contact, agent: Agent, now: int) -> ContactId | None:
    """The other contact that comes first for agents like this one, if there is one."""
    best = best_of(index, index.class_of(agent), index.rooms.of(agent), now)
    if best is None or best[0][-1] == contact.id:
        return None
    return ContactId(str(best[0][-1]))
