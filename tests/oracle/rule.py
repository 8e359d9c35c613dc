"""The rule: the best-ordered of the agents' bests goes to the best agent of those whose best it is, until no pair is
left."""

from __future__ import annotations

from collections.abc import Container, Iterable

from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from tests.oracle.asks import lane
from tests.oracle.deadline import can_wait
from tests.oracle.eligible import eligible, waits_for_an_offer
from tests.oracle.moment import Moment, terms
from tests.oracle.order import first
from tests.oracle.ranking import best

Pair = tuple[str, str]
"""(contact, agent)."""


def pairs(ws: Workspace, now: int | None = None) -> list[Pair]:
    """(contact, agent) as the rule makes them, in its order, until no pair is left. Of several agents between whom a
    lot decides, the first by id. `now` in ms; by default the newest instant that a fact speaks of."""
    moment = Moment.of(ws, now)
    made: list[Pair] = []
    while (chosen := _next(moment)) is not None:
        contact, agents = chosen
        pair = (str(contact.id), min(str(agent.id) for agent in agents))
        moment.give(*pair)
        made.append(pair)
    return made


def disagreement(moment: Moment, made: Iterable[Pair]) -> str | None:
    """The first place where pairs that were made differ from what the rule says, in words, or a pair that they leave
    apart; None if nowhere. The moment is the one after these pairs when it returns."""
    wrong = first_wrong(moment, made)
    if wrong is not None:
        return wrong
    chosen = _next(moment)
    if chosen is not None:
        contact, agents = chosen
        return f"left apart: {contact.id} and {' or '.join(sorted(str(agent.id) for agent in agents))}"
    return None


def first_wrong(moment: Moment, made: Iterable[Pair]) -> str | None:
    """The first pair that is not the rule's next one, in words; None if all are. Where a lot decides, any of the
    equally good agents is right. There may be more pairs after them.

    An agent whose best contact is one that can wait, now or earlier in the pass, may be in the running for others or
    not: the router does not always look at those that can wait (`Moment.patient`). Where it does, another contact that
    cannot wait may be an agent's best than where it does not, because the firsts of several kinds of order are compared
    by age."""
    promised: set[str] = set()
    for number, (contact_id, agent_id) in enumerate(made, start=1):
        promised |= _promised(moment)
        if can_wait(moment, moment.contacts[contact_id]):
            if not _is_best(moment, contact_id, agent_id):
                return f"pair {number}: {contact_id} -> {agent_id}, who has another best contact or cannot be spared"
            moment.give(contact_id, agent_id)
            continue
        chosen = _next(moment)
        if promised and not _is_chosen(chosen, contact_id, agent_id):
            chosen = _next(moment, without=promised - {agent_id})
        if not _is_chosen(chosen, contact_id, agent_id) and _is_best(moment, contact_id, agent_id):
            chosen = _next(moment, without=promised - {agent_id}, patient=agent_id) or chosen
        if chosen is None:
            return f"pair {number}: {contact_id} -> {agent_id}, where the rule makes no further pair"
        if not _is_chosen(chosen, contact_id, agent_id):
            contact, agents = chosen
            names = sorted(str(agent.id) for agent in agents)
            return (
                f"pair {number}: {contact_id} -> {agent_id}, where the rule says {contact.id} -> {' or '.join(names)}"
            )
        moment.give(contact_id, agent_id)
    return None


Chosen = tuple[Contact, list[Agent]]
"""A contact and the agents to whom it may go, equally good."""


def _is_chosen(chosen: Chosen | None, contact_id: str, agent_id: str) -> bool:
    return chosen is not None and chosen[0].id == contact_id and agent_id in {str(agent.id) for agent in chosen[1]}


def _promised(moment: Moment) -> set[str]:
    """The agents whose best contact is one that can wait."""
    if not any(can_wait(moment, contact) for contact in moment.contacts.values()):
        return set()
    moment.patient = True
    bests = {str(agent.id): _best_for(moment, agent) for agent in moment.agents.values()}
    moment.patient = False
    return {name for name, contact in bests.items() if contact is not None and can_wait(moment, contact)}


def _is_best(moment: Moment, contact_id: str, agent_id: str) -> bool:
    moment.patient = True
    best_contact = _best_for(moment, moment.agents[agent_id])
    moment.patient = False
    return best_contact is moment.contacts[contact_id]


def left_apart(ws: Workspace, now: int) -> list[Pair]:
    """Contacts and agents who wait although nothing keeps them apart."""
    moment = Moment.of(ws, now)
    return [
        (str(contact.id), str(agent.id))
        for contact in moment.contacts.values()
        if waits_for_an_offer(moment, contact)
        for agent in moment.agents.values()
        if eligible(moment, contact, agent)
    ]


def _next(moment: Moment, without: Container[str] = (), patient: str | None = None) -> Chosen | None:
    """`patient`: the agent for whom contacts that can wait are looked at."""
    bests: dict[str, Contact] = {}
    for agent in moment.agents.values():
        moment.patient = agent.id == patient
        found = _best_for(moment, agent) if agent.id not in without else None
        moment.patient = False
        if found is not None:
            bests[agent.id] = found
    if not bests:
        return None
    contact = first(moment, [(each, moment.agents[name]) for name, each in bests.items()])
    candidates = [moment.agents[name] for name, each in bests.items() if each is contact]
    return contact, best(moment, contact, candidates)


def _best_for(moment: Moment, agent: Agent) -> Contact | None:
    """The eligible contact with the lowest (lane, agent's priority of the queue, rank of the queue, order)."""
    mine = [contact for contact in moment.contacts.values() if eligible(moment, contact, agent)]
    if not mine:
        return None

    def rank(contact: Contact) -> tuple[int, int, int]:
        ahead = lane(moment, contact)
        if ahead == 1:
            return (ahead, 0, 0)
        return (ahead, terms(agent, contact)[0], moment.queue_of(contact).rank)

    lowest = min(map(rank, mine))
    return first(moment, [(contact, agent) for contact in mine if rank(contact) == lowest])
