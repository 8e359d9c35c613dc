"""The ledger and the engine's facts must tell the same story, about every contact, agent and offer."""

from __future__ import annotations

from services.router.engine.engine import Engine
from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from tests.simulation.ledger import AgentBook, ContactBook, WorkspaceBook, require

_OF_CONTACTS = (
    "queue",
    "channel",
    "account",
    "thread",
    "language",
    "priority",
    "age_from",
    "steps",
    "delay",
    "widened",
    "preference_over",
    "wish_met",
    "past_age",
    "deadline_near",
    "asked",
    "excluded",
    "flow",
    "flow_step",
    "preferred",
    "overflowed",
    "ended_at",
)
"""What both call by the same name."""
_OF_AGENTS = (
    "signed_in_at",
    "ramped",
    "presence",
    "queue_presence",
    "reachable",
    "next_presence",
    "missed",
    "missed_in",
)
_UNTIL = ("wrap_up_until", "queue_wrap_up", "wrap_up_slots", "grace_until", "paused_until")


def compare(engine: Engine, name: str, ws: WorkspaceBook) -> None:
    """Hold the facts of a workspace against the ledger's."""
    facts = engine.state.workspaces[name]
    require(list(facts.contacts) == list(ws.contacts), "1", f"{name} holds other contacts than were received")
    for contact_id, contact in facts.contacts.items():
        _compare_contact(ws.contacts[contact_id], contact)
    for agent_id, agent in facts.agents.items():
        _compare_agent(ws.agents[agent_id], agent)
    _compare_offers(ws, facts)
    _compare_outbounds(ws, facts)
    limits = (frozenset(ws.frozen), ws.queue_limits, ws.agent_limit)
    held = (facts.frozen, dict(facts.queue_limits), facts.agent_limit)
    require(limits == held, "3", f"{name} should be under {limits}, is under {held}")


def _compare_contact(book: ContactBook, contact: Contact) -> None:
    told = {"state": book.state, **{field: getattr(book, field) for field in _OF_CONTACTS}}
    held = {"state": contact.state.value, **{field: getattr(contact, field) for field in _OF_CONTACTS}}
    wrong = {field: (told[field], held[field]) for field in told if told[field] != held[field]}
    require(not wrong, "1", f"{book.id} (should be, is): {wrong}")
    require(tuple(book.consulted) == contact.consulted, "2", f"{contact.consulted} are asked about {book.id}")
    require(book.consult_notes == contact.consult_notes, "2", f"{contact.consult_notes} is told about {book.id}")
    require(book.offers == contact.offers, "2", f"{book.id} should be on offer {book.offers}, is {contact.offers}")
    if book.state in ("waiting", "offered", "assigned"):
        require(book.queue_since == contact.queue_since, "5", f"{book.id} is in its queue since {contact.queue_since}")
        require(book.agent == contact.agent, "2", f"{book.id} should be with {book.agent}, is {contact.agent}")
        require(book.declines == contact.declines, "5", f"{book.id}: {contact.declines} are not the declines")
        require(book.declined_at == contact.declined_at, "5", f"{book.id}: {contact.declined_at} are not the times")
        require(book.retry_at == contact.retry_at, "time", f"{book.id}: pause until {contact.retry_at}")


def _compare_agent(book: AgentBook, agent: Agent) -> None:
    require(book.held == agent.held, "3", f"{book.id} should hold {book.held}, holds {agent.held}")
    require(tuple(book.parked) == agent.parked, "3", f"{book.id} should have parked {book.parked}, has {agent.parked}")
    asked = tuple(book.consulting)
    require(asked == agent.consulting, "2", f"{book.id} is asked about {asked}, not {agent.consulting}")
    require(tuple(book.offers) == agent.offers, "2", f"{book.id} should have {book.offers}, has {agent.offers}")
    for fields, invariant in ((_OF_AGENTS, "4"), (_UNTIL, "time")):
        wrong = {f: (getattr(book, f), getattr(agent, f)) for f in fields if getattr(book, f) != getattr(agent, f)}
        require(not wrong, invariant, f"{book.id} (should be, is): {wrong}")
    recent = {queue: tuple(times) for queue, times in book.recent.items()}
    require(recent == agent.assigned_times, "time", f"{book.id} got {recent}, not {agent.assigned_times}")
    require(book.idle_since == agent.idle_since, "5", f"{book.id} is idle since {agent.idle_since}")


def _compare_outbounds(ws: WorkspaceBook, facts: Workspace) -> None:
    require(list(ws.outbounds) == list(facts.outbounds), "9", f"{ws.name} sends other messages than it was told to")
    for outbound_id, outbound in facts.outbounds.items():
        book = ws.outbounds[outbound_id]
        told = (book.state, book.reason, book.ended_at, book.due)
        held = (outbound.state.value, outbound.reason, outbound.ended_at, outbound.due)
        require(told == held, "9", f"{outbound_id} should be {told}, is {held}")
        tried = [(each.id, each.step, each.status, each.given_up) for each in book.attempts]
        made = [(each.id, each.step, each.status, each.given_up) for each in outbound.attempts if each.id is not None]
        require(tried == made, "9", f"{outbound_id} should have tried {tried}, has {made}")


def _compare_offers(ws: WorkspaceBook, facts: Workspace) -> None:
    for offer_id, made in facts.offers.items():
        book = ws.offers[offer_id]
        same = (book.outcome, book.expires_at) == (made.outcome, made.expires_at)
        require(same, "2", f"offer {offer_id} should be {book}, is {made}")
