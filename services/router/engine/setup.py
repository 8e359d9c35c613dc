"""Setting up a workspace: keys, policy, agents."""

from __future__ import annotations

from itertools import islice

from services.router.engine.classes import CapabilityClass
from services.router.engine.context import Context, Refused, withdraw_offers
from services.router.engine.demand import asked_language, demand_of, fallback_of, is_excluded
from services.router.engine.policy import RoutingPolicy
from services.router.engine.policy_document import routing_policy
from services.router.engine.records import Agent, Offer
from services.router.engine.rooms import is_asked_in, presence_towards
from services.router.engine.waiting import station_here
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ContactState

FOREVER = 1 << 62
MOST_WITHDRAWN = 1_000
"""Offers that one decision takes back for a policy's sake: an entry of the journal has to stay small."""


def create_key(ctx: Context, command: cmd.CreateKey) -> list[ev.Event]:
    """A key may be used from now on."""
    known = ctx.workspace.keys.get(command.key_id)
    if known is not None and known.key_hash == command.key_hash and known.role == command.role:
        return [ev.CommandNoted(reason="unchanged", subject=command.key_id)]
    if known is not None:
        raise Refused("duplicate_key", f"there is a key {command.key_id!r} already", "key_id")
    return [
        ev.KeyCreated(
            key_id=command.key_id,
            key_hash=command.key_hash,
            role=command.role,
            agent=command.agent,
            label=command.label,
        )
    ]


def revoke_key(ctx: Context, command: cmd.RevokeKey) -> list[ev.Event]:
    """A key is worth nothing from now on."""
    if command.key_id not in ctx.workspace.keys:
        raise Refused("unknown_key", f"there is no key {command.key_id!r}", "key_id")
    return [ev.KeyRevoked(key_id=command.key_id)]


def adopt_policy(ctx: Context, command: cmd.AdoptPolicy) -> list[ev.Event]:
    """A policy comes into force whole. Open contacts must still have their queue and channel under it; offers to
    agents whom it makes ineligible are taken back."""
    try:
        policy = routing_policy(command.policy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused("policy_invalid", f"the policy cannot be read: {error!r}", "policy") from error
    if command.policy == ctx.workspace.policy_document:
        return [ev.CommandNoted(reason="unchanged")]
    _refuse_stranding(ctx, policy)
    return [ev.PolicyAdopted(version=ctx.workspace.policy_version + 1, policy=command.policy)]


def withdraw_unfit(ctx: Context) -> list[ev.Event]:
    """At most `MOST_WITHDRAWN` pending offers that the policy in force forbids are taken back; the engine asks again as
    long as there were so many. Looks through all pending offers: for a new policy and a new leader, not for every
    decision."""
    unfit = (
        ev.OfferWithdrawn(offer=offer.id, contact=offer.contact, agent=offer.agent, reason="policy")
        for _, offer in sorted(ctx.workspace.offers.items())
        if not offer.outcome and not _still_eligible(ctx, offer)
    )
    return list(islice(unfit, MOST_WITHDRAWN))


def _refuse_stranding(ctx: Context, policy: RoutingPolicy) -> None:
    current = ctx.workspace.policy
    if current.queues.keys() <= policy.queues.keys() and current.channels.keys() <= policy.channels.keys():
        return
    for name, counts in sorted(ctx.index.queues.items()):
        stranded = counts.waiting + counts.offered + counts.assigned
        if name not in policy.queues and stranded:
            raise Refused("policy_invalid", f"queue {name!r} still has {stranded} open contacts", "queues")
    for _, contact in sorted(ctx.workspace.contacts.items()):
        if not contact.state.is_open:
            continue
        if contact.channel_name not in policy.channels:
            name = contact.channel_name
            raise Refused("policy_invalid", f"channel {name!r} still has open contacts", "channels")
        if contact.state is ContactState.SCHEDULED and contact.queue not in policy.queues:
            raise Refused("policy_invalid", f"queue {contact.queue!r} still has scheduled contacts", "queues")


def _still_eligible(ctx: Context, offer: Offer) -> bool:
    """Whether the agent may still serve the contact, whatever they hold. Where nobody of the open tiers is there, which
    of them are open depends on who comes; and who was asked because the customer wished it stays asked when the time
    of the wish is over."""
    agent, contact = ctx.workspace.agents[offer.agent], ctx.workspace.contacts[offer.contact]
    queue = ctx.workspace.policy.queues[contact.queue]
    here = presence_towards(agent, queue.name)
    if is_excluded(queue, contact) or not is_asked_in(here, agent.id, queue, contact):
        return False
    fallback = fallback_of(ctx.workspace.policy.language_fallback, queue, asked_language(queue, contact))
    demand = demand_of(queue, contact, None, station_here(ctx.workspace, contact), fallback)
    if demand.only is not None and agent.id not in demand.only:
        return False
    wished = queue.preferred.enabled and agent.id in contact.preferred
    demand = demand._replace(
        only=None,
        delay=FOREVER,
        tier=None if queue.skip_empty_tiers else demand.tier,
        bypass=tuple(sorted(queue.preferred.bypass)) if wished else (),
    )
    return CapabilityClass(-1, agent, named=False).why_not(demand) is None


def put_agent(ctx: Context, command: cmd.PutAgent) -> list[ev.Event]:
    """An agent's profile, whole. Offers that no longer fit are taken back; assigned work stays."""
    for queue in (*command.queues, *(member.queue for member in command.memberships)):
        if queue not in ctx.workspace.policy.queues:
            raise Refused("unknown_queue", f"there is no queue {queue!r}", "queues")
    profile = ev.AgentProfileSet(
        agent=command.agent,
        name=command.name,
        languages=command.languages,
        skills=command.skills,
        queues=command.queues,
        channels=command.channels,
        capacity_total=command.capacity_total,
        capacity_per_channel=command.capacity_per_channel,
        capacity_weights=command.capacity_weights,
        capacity_parked=command.capacity_parked,
        memberships=command.memberships,
        position=command.position,
        max_contacts=command.max_contacts,
        profiles=command.profiles,
        while_on=command.while_on,
        wrap_up=command.wrap_up,
        reject_pause=command.reject_pause,
        attributes=command.attributes,
    )
    agent = ctx.workspace.agents.get(command.agent)
    if agent is None:
        return [profile]
    if all(getattr(agent, name) == getattr(command, name) for name in Agent.PROFILE):
        return [ev.CommandNoted(reason="unchanged", subject=agent.id)]
    # Rather take one offer too many back than leave one that the new profile would not have got.
    return [profile, *withdraw_offers(agent, ctx.workspace, "profile")]
