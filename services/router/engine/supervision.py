"""What supervisors, and agents who hand on, do by hand: assign, transfer, re-order, limit, reopen, park."""

from __future__ import annotations

from dataclasses import replace

from services.router.engine.channel_transfer import go_on_by
from services.router.engine.context import Context, Refused, withdraw_offers
from services.router.engine.records import Agent, Contact
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ContactState, QueueName

_WAITS = (ContactState.WAITING, ContactState.OFFERED, ContactState.SCHEDULED)


def assign_contact(ctx: Context, command: cmd.AssignContact) -> list[ev.Event]:
    """Give a contact to an agent, whatever limits and presences say; who holds it now loses it."""
    contact, agent = ctx.contact(command.contact), ctx.agent(command.agent)
    if not contact.state.is_open:
        raise Refused("wrong_state", f"the contact is {contact.state.value} already")
    if contact.agent == agent.id:
        return [ev.CommandNoted(reason="unchanged", subject=contact.id)]
    return [
        *withdraw_offers(contact, ctx.workspace, "assigned"),
        ev.ContactAssigned(
            contact=contact.id, agent=agent.id, reason="assigned", from_agent=contact.agent, note=command.reason
        ),
    ]


def transfer_contact(ctx: Context, command: cmd.TransferContact) -> list[ev.Event]:
    """Hand an assigned contact on. To an agent only if there is room; a refusal changes nothing."""
    contact, agent = ctx.held_contact(command.contact)
    if [command.queue, command.agent, command.channel].count(None) != 2:
        raise Refused("invalid", "name a queue, an agent or a channel, one of the three", "queue")
    if command.channel is not None:
        return go_on_by(ctx, contact, agent, command.channel, command.account or "", command.reason)
    if command.agent is not None:
        target = ctx.agent(command.agent)
        if target.id == agent.id:
            raise Refused("invalid", "the agent holds the contact already", "agent")
        _refuse_without_room(ctx, contact, target)
        return [
            ev.ContactAssigned(
                contact=contact.id, agent=target.id, reason="transfer", from_agent=agent.id, note=command.reason
            )
        ]
    assert command.queue is not None
    if command.queue not in ctx.workspace.policy.queues:
        raise Refused("unknown_queue", f"there is no queue {command.queue!r}", "queue")
    target_queue = ctx.workspace.policy.queues[command.queue]
    # Where contacts are held for whom they name, nobody else would ever get it.
    alone = target_queue.preferred.hold and target_queue.preferred.enabled and contact.preferred == (agent.id,)
    return [
        ev.ContactMoved(
            contact=contact.id,
            queue=QueueName(command.queue),
            reason="transfer",
            from_queue=contact.queue,
            age_from=None if command.keep_age else ctx.now,
            excluded=agent.id if command.exclude_self and not alone else None,
        )
    ]


def _refuse_without_room(ctx: Context, contact: Contact, target: Agent) -> None:
    """A direct transfer respects the target's presence, capacity and limits. Whoever hands it on has chosen the person:
    in which queues they work is not asked, whether or not the queue has rules of its own about agents."""
    requirement = ctx.index.plain_requirement_of(contact)
    anywhere = replace(target, queues=()) if target.queues else target
    if not requirement.fits(ctx.index.rooms.of(anywhere)):
        raise Refused("no_room", f"{target.id} has no room for the contact", "agent")


def prioritise_contact(ctx: Context, command: cmd.PrioritiseContact) -> list[ev.Event]:
    """Another priority, at once."""
    contact = ctx.contact(command.contact)
    if not contact.state.is_open:
        raise Refused("wrong_state", f"the contact is {contact.state.value} already")
    if contact.priority == command.priority:
        return [ev.CommandNoted(reason="unchanged", subject=contact.id)]
    return [ev.ContactPrioritised(contact=contact.id, priority=command.priority, reason="supervisor")]


def adjust_age(ctx: Context, command: cmd.AdjustAge) -> list[ev.Event]:
    """The contact counts as older or younger than it is."""
    contact = ctx.contact(command.contact)
    if contact.state not in _WAITS:
        raise Refused("wrong_state", f"the contact is {contact.state.value}, it does not wait")
    return [ev.AgeAdjusted(contact=contact.id, age_from=contact.age_from - command.add)]


def set_limit(ctx: Context, command: cmd.SetLimit) -> list[ev.Event]:
    """Another limit of open contacts, at once; whoever is over it keeps what they hold."""
    if command.agent is not None and command.queue is not None:
        raise Refused("invalid", "name an agent or a queue, not both", "queue")
    if command.agent is not None:
        ctx.agent(command.agent)
    if command.queue is not None and command.queue not in ctx.workspace.policy.queues:
        raise Refused("unknown_queue", f"there is no queue {command.queue!r}", "queue")
    return [ev.LimitSet(most=command.most, agent=command.agent, queue=command.queue)]


def freeze_queue(ctx: Context, command: cmd.FreezeQueue) -> list[ev.Event]:
    """Nothing of the queue is offered until it is unfrozen."""
    if command.queue not in ctx.workspace.policy.queues:
        raise Refused("unknown_queue", f"there is no queue {command.queue!r}", "queue")
    if (command.queue in ctx.workspace.frozen) == command.frozen:
        return [ev.CommandNoted(reason="unchanged", subject=command.queue)]
    return [ev.QueueFrozen(queue=QueueName(command.queue), frozen=command.frozen)]


def reopen_contact(ctx: Context, command: cmd.ReopenContact) -> list[ev.Event]:
    """An ended contact waits again in its queue."""
    contact = ctx.contact(command.contact)
    if contact.state.is_open:
        raise Refused("wrong_state", f"the contact is {contact.state.value}, it has not ended")
    if contact.queue not in ctx.workspace.policy.queues:
        raise Refused("unknown_queue", f"there is no queue {contact.queue!r} any more", "queue")
    return [ev.ContactQueued(contact=contact.id, queue=contact.queue, reason="reopened")]


def set_contact_active(ctx: Context, command: cmd.SetContactActive) -> list[ev.Event]:
    """An assigned contact takes its whole capacity again, over the total or not, or only the share of a parked one."""
    contact, agent = ctx.held_contact(command.contact)
    if contact.active == command.active:
        return [ev.CommandNoted(reason="unchanged", subject=contact.id)]
    return [ev.ContactActivity(contact=contact.id, agent=agent.id, active=command.active)]
