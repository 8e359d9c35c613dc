"""What a decision may look at: the world, the time, who asks. And the refusals that several handlers share."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.router.engine.index import Index
from services.router.engine.records import Agent, Contact
from services.router.engine.state import Workspace
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.contracts.commands import Actor
from shared.vocabulary import AgentId, ContactId, Role


class Refused(Exception):
    """Raised by a handler to answer no; becomes a `CommandRefused` event. Never leaves `decide`."""

    def __init__(self, reason: str, detail: str = "", field: str | None = None) -> None:
        super().__init__(reason)
        self.event = ev.CommandRefused(reason=reason, detail=detail, field=field)


@dataclass(slots=True)
class Context:
    """One decision under way. Reads only; ids derive from the command's."""

    world: World
    workspace: Workspace
    now: int
    command_id: str
    actor: Actor
    _ids: int = field(default=0)

    def new_id(self) -> str:
        """The next id that derives from the command: `{command_id}.{n}`.

        A command that comes again after its answer was forgotten must not take the ids of what it made the first time.
        """
        while True:
            made = f"{self.command_id}.{self._ids}"
            self._ids += 1
            ws = self.workspace
            known = made in ws.contacts or made in ws.offers or made in ws.messages
            if not known and made not in ws.outbounds and made not in ws.attempts:
                return made

    @property
    def index(self) -> Index:
        return self.world.indexes[self.workspace.name]

    def agent(self, agent_id: AgentId) -> Agent:
        """The agent, or a refusal."""
        agent = self.workspace.agents.get(agent_id)
        if agent is None:
            raise Refused("unknown_agent", f"there is no agent {agent_id!r}", "agent")
        return agent

    def contact(self, contact_id: ContactId) -> Contact:
        """The contact, or a refusal."""
        contact = self.workspace.contacts.get(contact_id)
        if contact is None:
            raise Refused("unknown_contact", f"there is no contact {contact_id!r}", "contact")
        return contact

    def own_agent(self, agent_id: AgentId) -> Agent:
        """The agent, if the caller is that agent or may act for agents."""
        agent = self.agent(agent_id)
        if self.actor.role is Role.AGENT and self.actor.id != agent_id:
            raise Refused("not_yours", "an agent acts only for themselves")
        return agent

    def held_contact(self, contact_id: ContactId) -> tuple[Contact, Agent]:
        """An assigned contact and its agent, if the caller is that agent or may act for agents."""
        contact = self.contact(contact_id)
        if self.actor.role is Role.AGENT and contact.agent != self.actor.id:
            raise Refused("not_yours", "the contact is not assigned to you")
        if contact.agent is None or not contact.state.is_open:
            raise Refused("wrong_state", f"the contact is {contact.state.value}, not assigned")
        return contact, self.workspace.agents[contact.agent]


def withdraw_offers(contact_or_agent: Contact | Agent, workspace: Workspace, reason: str) -> list[ev.Event]:
    """All pending offers of a contact, or of an agent, taken back."""
    return [
        ev.OfferWithdrawn(
            offer=offer, contact=workspace.offers[offer].contact, agent=workspace.offers[offer].agent, reason=reason
        )
        for offer in contact_or_agent.offers
    ]
