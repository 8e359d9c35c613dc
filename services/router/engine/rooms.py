"""What an agent may be offered one more of at this moment: presence, switches, capacity and limits, in one place.

The answer is a *signature*: pairs of (queue group, channel kind) with room, and the profiles with room. Queues without
rules of their own about agents form the group `""`; each other queue is a group for itself. Where a queue says so of
preferred agents, there are groups that look at neither capacity nor presence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.router.engine.demand import preference_of
from services.router.engine.policy import QueuePolicy, RoutingPolicy
from services.router.engine.records import UNIT, Agent, Contact
from services.router.engine.state import Workspace
from shared.vocabulary import AgentId, ContactId, Presence

COMMON = ""
Kind = tuple[str, str]
"""(queue group, channel kind). A group is marked if something of its agents is not looked at, see `marked`."""


def marked(group: str, bypass: Iterable[str]) -> str:
    """The group of those to whom not all rules about agents apply: `!` begins it if capacity, `?` if presence is not
    looked at. No queue's name begins so."""
    return f"{'?' if 'presence' in bypass else ''}{'!' if 'capacity' in bypass else ''}{group}"


class Signature:
    """What there is room for; agents of a class with the same signature are interchangeable to a demand.

    `Rooms` makes one object for each answer, so that two are equal only if they are the same. `number` counts them.
    """

    __slots__ = ("kinds", "number", "profiles")

    def __init__(self, number: int, kinds: frozenset[Kind], profiles: frozenset[str]) -> None:
        self.number = number
        self.kinds = kinds
        self.profiles = profiles

    def is_within(self, other: Signature) -> bool:
        """Whether the other has room for everything that this one has room for."""
        return self is other or (self.kinds <= other.kinds and self.profiles <= other.profiles)


NO_ROOM = Signature(0, frozenset(), frozenset())


class Rooms:
    """The rules of one workspace about what agents may be offered."""

    def __init__(self, workspace: Workspace) -> None:
        policy = workspace.policy
        self._workspace = workspace
        self.kinds = tuple(sorted({channel.kind for channel in policy.channels.values()} | {"callback"}))
        lasting = {name for agent in workspace.agents.values() for name in towards_queues(agent, policy)}
        minding = lasting | {
            name for name, queue in policy.queues.items() if queue.minds_agents or name in workspace.queue_limits
        }
        self.groups = {name: name if name in minding else COMMON for name in policy.queues}
        self._minding = sorted(minding)
        self._has_common = len(minding) < len(policy.queues)
        bypassed = {what for queue in policy.queues.values() for what in queue.preferred.bypass}
        self._any_capacity, self._any_presence = "capacity" in bypassed, "presence" in bypassed
        self._known: dict[tuple[tuple[str, ...], ...], Signature] = {}
        """By open groups, those that are but for the presence, kinds that fit, kinds that are on, free profiles."""
        self._handled: dict[tuple[str, ...], tuple[str, ...]] = {}
        """By the channels of a profile, which of `kinds` they leave."""

    def group(self, queue: str) -> str:
        """The group of a queue."""
        return self.groups[queue]

    def of(self, agent: Agent) -> Signature:
        """What the agent has room for."""
        if not agent.takes_part:
            return NO_ROOM
        channels = self._channels(agent)
        fitting = with_capacity(agent, channels) if self.within_limit(agent) else ()
        beside = channels if self._any_capacity else ()
        groups = self._open_groups(agent) if fitting or beside else ()
        away = self._open_groups(agent, accepted=False) if self._any_presence and (fitting or beside) else ()
        if not groups and not away:
            return NO_ROOM
        found = (groups, away, fitting, beside, self._free_profiles(agent))
        known = self._known.get(found)
        return known if known is not None else self._make(*found)

    def _make(
        self,
        groups: tuple[str, ...],
        away: tuple[str, ...],
        fitting: tuple[str, ...],
        beside: tuple[str, ...],
        profiles: tuple[str, ...],
    ) -> Signature:
        kinds: set[Kind] = set()
        for each, presence in ((groups, ()), (away, ("presence",))):
            kinds |= {(marked(group, presence), kind) for group in each for kind in fitting}
            kinds |= {(marked(group, ("capacity", *presence)), kind) for group in each for kind in beside}
        made = Signature(len(self._known) + 1, frozenset(kinds), frozenset(profiles))
        self._known[groups, away, fitting, beside, profiles] = made
        return made

    def _channels(self, agent: Agent) -> tuple[str, ...]:
        """The kinds that the agent handles now."""
        if agent.channel_switch or agent.while_on:
            return tuple([kind for kind in self.kinds if self._is_on(agent, kind)])
        if not agent.channels:
            return self.kinds
        handled = self._handled.get(agent.channels)
        if handled is None:
            handled = self._handled[agent.channels] = tuple([kind for kind in self.kinds if kind in agent.channels])
        return handled

    def takes_by(self, agent: Agent, contact: Contact, kind: str) -> bool:
        """Whether the agent who holds a contact could hold it as one of another kind: as if they gave it back and took
        it anew, but that they may be away or in wrap-up, because they have it. Parked it takes its share alone, which
        is the same for all kinds."""
        queue = self._workspace.policy.queues[contact.queue]
        member = next((member for member in agent.memberships if member.queue == queue.name), None)
        if member is not None and member.channels and kind not in member.channels:
            return False
        without = _without(agent, contact)
        return self._is_on(without, kind) and (contact.id in agent.parked or self._has_place(without, queue, kind))

    def takes_back(self, agent: Agent, contact: Contact) -> bool:
        """Whether the agent who holds a parked contact has room for the whole of it, by what they are at and by every
        limit; they may be away or in wrap-up, because they have it."""
        queue, without = self._workspace.policy.queues[contact.queue], _without(agent, contact)
        free = self._is_on(without, contact.channel) and self._has_place(without, queue, contact.channel)
        return free and set(contact.profiles) <= set(self._free_profiles(without))

    def _is_on(self, agent: Agent, kind: str) -> bool:
        return channel_is_on(agent, kind, counts_parked=self._workspace.policy.while_on_counts_parked)

    def _has_place(self, agent: Agent, queue: QueuePolicy, kind: str) -> bool:
        """Whether one more contact fits: in capacity, below the agent's limit and below the queue's."""
        if not with_capacity(agent, (kind,)) or not self.within_limit(agent):
            return False
        most = self._workspace.queue_limits.get(queue.name, queue.max_per_agent)
        return most is None or held_of_queue(agent, queue.name, self._workspace.contacts) < most

    def within_limit(self, agent: Agent) -> bool:
        """Limits of open contacts: the lasting one, and the ramp after signing in."""
        if not self.within_lasting_limit(agent):
            return False
        policy = self._workspace.policy
        return not policy.ramp or _is_below(agent, ramp_limit(agent, policy))

    def within_lasting_limit(self, agent: Agent) -> bool:
        """The agent's own limit of open contacts, else the workspace's."""
        own = agent.max_contacts
        return _is_below(agent, own if own is not None else self._agent_limit())

    def _agent_limit(self) -> int | None:
        changed = self._workspace.agent_limit
        return changed[0] if changed is not None else self._workspace.policy.max_per_agent

    def _open_groups(self, agent: Agent, *, accepted: bool = True) -> tuple[str, ...]:
        """`accepted`: those alone that accept the agent's presence; else any presence but offline will do as well."""
        here = agent.presence == "available" if accepted else agent.presence != Presence.OFFLINE
        common = (COMMON,) if self._has_common and here else ()
        if not self._minding:
            return common
        queues = self._workspace.policy.queues
        mine = [name for name in self._minding if not agent.queues or name in agent.queues]
        return (*common, *[name for name in mine if self._queue_is_open(agent, queues[name], accepted=accepted)])

    def _queue_is_open(self, agent: Agent, queue: QueuePolicy, *, accepted: bool) -> bool:
        here = accepts(agent, queue) or (not accepted and presence_towards(agent, queue.name) != Presence.OFFLINE)
        if not here or queue.name in agent.queue_wrap_up:
            return False
        most = self._workspace.queue_limits.get(queue.name, queue.max_per_agent)
        if most is not None and held_of_queue(agent, queue.name, self._workspace.contacts) >= most:
            return False
        return not self.is_over_rate(agent, queue)

    def is_over_rate(self, agent: Agent, queue: QueuePolicy) -> bool:
        """Whether the agent got as many contacts of the queue within its window as may be. What is on offer to them
        counts: any offer may be accepted."""
        if queue.rate_limit is None:
            return False
        offers, contacts = self._workspace.offers, self._workspace.contacts
        pending = sum(1 for offer in agent.offers if contacts[offers[offer].contact].queue == queue.name)
        return len(agent.assigned_times.get(queue.name, ())) + pending >= queue.rate_limit[0]

    def _free_profiles(self, agent: Agent) -> tuple[str, ...]:
        if not agent.profiles:
            return ()
        contacts = self._workspace.contacts
        taken: dict[str, int] = {}
        for held in agent.held:
            if held not in agent.parked:
                for profile in contacts[held].profiles:
                    taken[profile] = taken.get(profile, 0) + 1
        return tuple(sorted(name for name, most in agent.profiles.items() if taken.get(name, 0) < most))


def _without(agent: Agent, contact: Contact) -> Agent:
    """The agent as if they did not hold the contact."""
    return replace(
        agent,
        held={held: kind for held, kind in agent.held.items() if held != contact.id},
        parked=tuple(parked for parked in agent.parked if parked != contact.id),
    )


def _is_below(agent: Agent, most: int | None) -> bool:
    return most is None or len(agent.held) - len(agent.parked) < most


def ramp_limit(agent: Agent, policy: RoutingPolicy) -> int | None:
    """The most open contacts so soon after signing in; None when the ramp is behind the agent, or there is none."""
    if agent.signed_in_at is None:
        return None
    return next((most for until, most in policy.ramp if until > agent.ramped), None)


def ramp_turns_at(agent: Agent, policy: RoutingPolicy) -> int | None:
    """When the step of the ramp that limits the agent is over (ms)."""
    if agent.signed_in_at is None:
        return None
    return next((agent.signed_in_at + until for until, _ in policy.ramp if until > agent.ramped), None)


def towards_queues(agent: Agent, policy: RoutingPolicy) -> tuple[str, ...]:
    """The queues towards which an agent has a presence or a wrap-up of their own though the policy has no rule about
    agents there any more: what an earlier one made of them holds until it ends."""
    if not agent.queue_presence and not agent.queue_wrap_up:
        return ()
    queues = policy.queues
    names = {*agent.queue_presence, *agent.queue_wrap_up} & queues.keys()
    return tuple(sorted(name for name in names if not queues[name].minds_agents))


def presence_towards(agent: Agent, queue: str) -> str:
    """The agent's presence as a queue sees it: missed offers may have made it another there."""
    return agent.queue_presence.get(queue, agent.presence)


def accepts(agent: Agent, queue: QueuePolicy) -> bool:
    """Whether the agent's presence, towards this queue, is one in which it offers work."""
    return presence_towards(agent, queue.name) in queue.accepts_presence


def is_asked_in(presence: str, agent: AgentId, queue: QueuePolicy, contact: Contact) -> bool:
    """Whether an agent in this presence, towards the queue, is asked for one of its contacts, or stays so: the queue
    accepts it, or it looks at none because the contact waits for this agent."""
    if presence in queue.accepts_presence:
        return True
    if "presence" not in queue.preferred.bypass or presence == Presence.OFFLINE:
        return False
    return agent in preference_of(queue, contact)


def channel_is_on(agent: Agent, kind: str, *, counts_parked: bool) -> bool:
    """Whether the agent handles this kind now: by profile, by their own switch, and beside what they hold, or what they
    are at: whose customer is silent keeps other channels away only if `counts_parked`."""
    if not agent.channel_switch.get(kind, True) or (agent.channels and kind not in agent.channels):
        return False
    if not agent.while_on:
        return True
    aside = () if counts_parked else agent.parked
    return all(
        kind in agent.while_on[held]
        for contact, held in agent.held.items()
        if held in agent.while_on and contact not in aside
    )


def with_capacity(agent: Agent, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Those kinds of which one more contact fits: in total by weight, and below the maximum of its channel."""
    if agent.capacity_total is not None:
        left = agent.capacity_total - agent.used
        if agent.capacity_weights:
            kinds = tuple([kind for kind in kinds if agent.weight(kind) <= left])
        elif left < UNIT:
            return ()
    limits = agent.capacity_per_channel
    if not limits:
        return kinds
    held = agent.kinds_in_use
    return tuple(kind for kind in kinds if kind not in limits or held.count(kind) < limits[kind])


def free_room(agent: Agent) -> int:
    """How much more fits by weight, in thousandths of a unit. Who has no total has room for as many as their limit, or
    their channels' maxima, say; for one if neither does."""
    if agent.capacity_total is not None:
        return max(0, agent.capacity_total - agent.used)
    own = agent.max_contacts
    most = own if own is not None else sum(agent.capacity_per_channel.values()) or 1
    return max(0, most - len(agent.kinds_in_use)) * UNIT


def held_of_queue(agent: Agent, queue: str, contacts: Mapping[ContactId, Contact]) -> int:
    """How many contacts of a queue the agent holds or is offered, without the parked ones."""
    return sum(1 for held in agent.held if contacts[held].queue == queue and held not in agent.parked)
