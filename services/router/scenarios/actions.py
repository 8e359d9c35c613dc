"""An action of the timeline as the command that it is in the API: whatever a scenario can do, that can do."""

from __future__ import annotations

from typing import Any

from services.router.scenarios import messages, timeline
from services.router.scenarios.centre import ADAPTER, OPERATOR, Centre
from services.router.scenarios.rules import texts
from services.router.scenarios.vocabulary import UnreadableScenarios
from shared.contracts import commands as cmd
from shared.vocabulary import AddressKey, AgentId, ChannelHealth, ContactId, OfferId, OutboundId, Role, ThreadKey


def act(centre: Centre, action: timeline.Action) -> None:
    """One action of the timeline, now."""
    command, actor = _command(centre, action)
    refused = command is None
    if command is not None:
        answer = centre.do(command, actor).answer
        assert answer is not None
        refused = answer.refused is not None
        if isinstance(action, timeline.Arrive):
            if answer.refused is not None or answer.subject is None:
                raise UnreadableScenarios(f"contact {action.id!r}: {answer.refused}")
            centre.contacts[action.id] = ContactId(answer.subject)
        elif isinstance(action, timeline.Send):
            if answer.subject is not None:
                centre.messages[action.id] = OutboundId(answer.subject)
            elif action.ref is None:
                raise UnreadableScenarios(f"message {action.id!r}: {answer.refused}")
    if action.ref is not None:
        centre.refused[action.ref] = refused


def _command(centre: Centre, action: timeline.Action) -> tuple[cmd.Command | None, cmd.Actor]:
    match action:
        case timeline.Arrive():
            return _arrive(centre, action), OPERATOR
        case timeline.SetAgentPresence():
            command = cmd.SetPresence(agent=AgentId(action.agent), presence=action.presence)
            return command, as_agent(action.agent)
        case timeline.SetAgentChannel():
            presence = centre.workspace.agents[AgentId(action.agent)].presence
            switch = {action.channel: action.available}
            return (
                cmd.SetPresence(agent=AgentId(action.agent), presence=presence, channels=switch),
                as_agent(action.agent),
            )
        case timeline.Accept() | timeline.Reject():
            return _answer(centre, action), as_agent(action.agent)
        case timeline.Complete():
            return cmd.CompleteContact(contact=centre.id_of(action.contact)), as_agent(action.agent)
        case timeline.Cancel():
            return cmd.CancelContact(contact=centre.id_of(action.contact)), OPERATOR
        case timeline.Reopen():
            return cmd.ReopenContact(contact=centre.id_of(action.contact)), OPERATOR
        case timeline.Assign():
            command_ = cmd.AssignContact(contact=centre.id_of(action.contact), agent=AgentId(action.agent))
            return command_, OPERATOR
        case timeline.ContactActive():
            return cmd.SetContactActive(contact=centre.id_of(action.contact), active=action.active), OPERATOR
        case timeline.Transfer():
            return (
                cmd.TransferContact(
                    contact=centre.id_of(action.contact),
                    queue=action.to_queue,
                    agent=AgentId(action.to_agent) if action.to_agent is not None else None,
                    channel=action.to_channel,
                    account=_account_of(centre, action),
                    exclude_self=action.exclude_self,
                    keep_age=action.keep_age,
                ),
                as_agent(action.agent),
            )
        case timeline.Consult():
            make = cmd.StartConsult if action.do == "consult" else cmd.EndConsult
            contact_, colleague = centre.id_of(action.contact), AgentId(action.colleague)
            return make(contact=contact_, agent=colleague), as_agent(action.agent)
        case timeline.Lease():
            lease = cmd.LoseLease if action.do == "lose_desk" else cmd.RegainLease
            return lease(agent=AgentId(action.agent)), OPERATOR
        case timeline.SetPriority():
            return cmd.PrioritiseContact(contact=centre.id_of(action.contact), priority=action.priority), OPERATOR
        case timeline.AdjustAge():
            return cmd.AdjustAge(contact=centre.id_of(action.contact), add=round(action.add_s * 1000)), OPERATOR
        case timeline.SetLimit():
            agent = AgentId(action.agent) if action.agent is not None else None
            return cmd.SetLimit(most=action.max, agent=agent, queue=action.queue), OPERATOR
        case timeline.FreezeQueue():
            return cmd.FreezeQueue(queue=action.queue, frozen=action.do == "freeze_queue"), OPERATOR
        case timeline.ChannelDown():
            state = ChannelHealth.DOWN if action.do == "channel_down" else ChannelHealth.HEALTHY
            account = centre.account(action.channel, action.account)
            report = cmd.ReportChannelHealth(channel=action.channel, account=account, state=state)
            return report, OPERATOR if action.by == "operator" else ADAPTER
        case timeline.Send():
            contact = centre.id_of(action.contact) if action.contact is not None else None
            return messages.sending(action, contact, centre.account), OPERATOR
        case timeline.Deliver():
            return messages.report(action, centre.outbound(action.message)), OPERATOR
    raise AssertionError(f"an action of unknown kind {action!r}")


def _arrive(centre: Centre, action: timeline.Arrive) -> cmd.Command:
    if action.thread is not None or action.reach:
        return _write(centre, action)
    later = action.scheduled_at_s
    return cmd.CreateContact(
        **_asks(action, centre.account(action.channel, action.account)),
        customer=AddressKey(f"a-{action.customer}") if action.customer is not None else None,
        waited=round(action.waited_s * 1000),
        scheduled_at=centre.start + round(later * 1000) if later is not None else None,
        scheduled_priority=action.scheduled_priority,
    )


def _write(centre: Centre, action: timeline.Arrive) -> cmd.Command:
    """A message on a thread: whether it is a contact of its own, the engine decides."""
    customer, thread = action.customer or action.thread or action.id, action.thread or action.id
    return cmd.ReceiveMessage(
        thread=ThreadKey(f"t-{action.channel}-{action.customer}-{thread}"),
        sender=AddressKey(f"a-{customer}"),
        content_ref=f"m:{action.id}",
        reach=tuple(
            cmd.Reach(
                channel=way.channel,
                account=centre.account(way.channel),
                key=AddressKey(f"a-{customer}-{way.channel}"),
                verified=way.verified,
                consent=way.consent,
            )
            for way in action.reach
        ),
        **_asks(action, centre.account(action.channel, action.account)),
    )


def _answer(centre: Centre, action: timeline.Accept | timeline.Reject) -> cmd.Command | None:
    """The newest offer of this contact to this agent; None if there never was one."""
    contact = centre.workspace.contacts[centre.id_of(action.contact)]
    offers = [o for o in contact.all_offers if centre.workspace.offers[o].agent == action.agent]
    if not offers:
        return None
    if isinstance(action, timeline.Accept):
        return cmd.AcceptOffer(offer=OfferId(offers[-1]))
    return cmd.RejectOffer(offer=OfferId(offers[-1]), retry_after=round(action.retry_after_s * 1000) or None)


def _account_of(centre: Centre, transfer: timeline.Transfer) -> str | None:
    """The account of the channel that a transfer goes to; None if it goes elsewhere."""
    return centre.account(transfer.to_channel, transfer.account) if transfer.to_channel is not None else None


def as_agent(name: str) -> cmd.Actor:
    return cmd.Actor(role=Role.AGENT, id=name)


def _asks(action: timeline.Arrive, account: str) -> dict[str, Any]:
    """What a contact asks for, whether it comes as it is or with a message on a thread. `account`: where it comes."""
    queues = (action.queue,) if isinstance(action.queue, str) else tuple(action.queue or ())
    return {
        "source_key": action.id,
        "channel": action.channel,
        "account": account,
        "language": action.language,
        "language_min": action.language_min if action.language_min > 1 else None,
        "queue": queues[0] if len(queues) == 1 else None,
        "queues": queues if len(queues) > 1 else (),
        "flow": action.workflow,
        "skills": action.skills,
        "priority": action.priority,
        "attributes": texts(action.attributes),
        "preferred": tuple(AgentId(name) for name in action.preferred_agents),
        "profiles": tuple(action.capacity_profiles),
    }
