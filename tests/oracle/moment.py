"""The facts at one instant, to be played with: what a pair changes is changed here, never in the state."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from services.router.engine.policy import QueuePolicy, RoutingPolicy
from services.router.engine.records import Agent, Contact
from services.router.engine.slo import Load
from services.router.engine.state import Workspace
from shared.contracts.commands import Membership
from shared.vocabulary import AgentId, ChannelHealth, ContactState


@dataclass
class Moment:
    """A workspace at `now` (ms). `offered`: by contact, who is looking at an offer of it. Records are copies."""

    policy: RoutingPolicy
    now: int
    contacts: dict[str, Contact]
    agents: dict[str, Agent]
    offered: dict[str, list[str]]
    down: set[str]
    frozen: frozenset[str]
    queue_limits: dict[str, int | None]
    agent_limit: int | None
    loads: dict[str, Load]
    patient: bool = False
    """Whether contacts that can wait are looked at. The router does when they come, when somebody gets free, and from
    time to time, so of a single pass it can only be said that those it pairs may be paired."""

    @classmethod
    def of(cls, ws: Workspace, now: int | None = None) -> Moment:
        """The workspace as it is, without what has ended; without `now`, at the newest instant that a fact speaks
        of."""
        held = {contact for agent in ws.agents.values() for contact in agent.held}
        living = [contact for contact in ws.contacts.values() if contact.state.is_open or contact.id in held]
        return cls(
            policy=ws.policy,
            now=_newest(ws) if now is None else now,
            contacts={str(contact.id): copy(contact) for contact in living},
            agents={str(agent.id): copy(agent) for agent in ws.agents.values()},
            offered={str(contact.id): [str(ws.offers[offer].agent) for offer in contact.offers] for contact in living},
            down={name for name, channel in ws.channels.items() if channel.state is ChannelHealth.DOWN},
            frozen=ws.frozen,
            queue_limits=dict(ws.queue_limits),
            loads=dict(ws.loads),
            agent_limit=ws.policy.max_per_agent if ws.agent_limit is None else ws.agent_limit[0],
        )

    def queue_of(self, contact: Contact) -> QueuePolicy:
        return self.policy.queues[contact.queue]

    def give(self, contact_id: str, agent_id: str) -> None:
        """A pair is made: an offer, which takes capacity at once; or an assignment, where the queue accepts for its
        agents, which takes back what others are offered of the contact."""
        contact, agent = self.contacts[contact_id], self.agents[agent_id]
        agent.held = {**agent.held, contact.id: contact.channel}
        agent.assigned_last = {**agent.assigned_last, contact.queue: self.now}
        if not self.queue_of(contact).auto_accept:
            self.offered[contact_id].append(agent_id)
            contact.state = ContactState.OFFERED
            return
        for other in self.offered[contact_id]:
            colleague = self.agents[other]
            colleague.held = {held: kind for held, kind in colleague.held.items() if held != contact.id}
        self.offered[contact_id] = []
        contact.state = ContactState.ASSIGNED
        contact.agent = AgentId(agent_id)
        times = (*agent.assigned_times.get(contact.queue, ()), self.now)
        agent.assigned_times = {**agent.assigned_times, contact.queue: times}


def is_member(agent: Agent, queue: str) -> bool:
    """Agents serve the queues they name, or all."""
    return not agent.queues or queue in agent.queues


def membership(agent: Agent, queue: str) -> Membership:
    """What holds for the agent in a queue: plain defaults where nothing is said."""
    for each in agent.memberships:
        if each.queue == queue:
            return each
    return Membership(queue=queue)


def terms(agent: Agent, contact: Contact) -> tuple[int, int]:
    """The agent's priority and delay (ms) for the contact: by its kind of channel, else as in its queue."""
    member = membership(agent, contact.queue)
    priority, delay = member.priority, member.delay
    for each in member.per_channel:
        if each.channel == contact.channel:
            priority = priority if each.priority is None else each.priority
            delay = delay if each.delay is None else each.delay
    return priority, delay


def working(moment: Moment, agent: Agent) -> list[tuple[str, Contact]]:
    """(channel kind, contact) of what takes the agent's capacity: held or offered, but not parked."""
    return [(kind, moment.contacts[held]) for held, kind in agent.held.items() if held not in agent.parked]


def places(moment: Moment, agent: Agent) -> list[str]:
    """The channel kinds of all places that are taken: by what is worked on, and by wrap-ups that keep theirs."""
    kept = [kind for kind, until in agent.wrap_up_slots.values() if until > moment.now]
    return [*(kind for kind, _ in working(moment, agent)), *kept]


def used(moment: Moment, agent: Agent) -> int:
    """Capacity in use, in thousandths of a unit: what is worked on by its weight, what is parked by one credit."""
    parked = sum(agent.capacity_parked for held in agent.held if held in agent.parked)
    return parked + sum(agent.capacity_weights.get(kind, 1000) for kind in places(moment, agent))


def _newest(ws: Workspace) -> int:
    contacts = [contact.state_since for contact in ws.contacts.values()]
    agents = [max(agent.presence_since, agent.idle_since) for agent in ws.agents.values()]
    return max([ws.created_at, *contacts, *agents])
