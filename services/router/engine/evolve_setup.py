"""Making events about a workspace true: its keys, policy, agents, channels and hours."""

from __future__ import annotations

from services.router.engine.evolve_waiting import draw_anew
from services.router.engine.hours import extended
from services.router.engine.lines import forget_lines
from services.router.engine.policy import RoutingPolicy
from services.router.engine.records import Agent, ChannelState, Key
from services.router.engine.state import Workspace
from services.router.engine.truth import Evolve
from services.router.engine.world import World
from shared.contracts import events as ev
from shared.vocabulary import (
    ChannelHealth,
    Presence,
    channel_name,
)


def _key_created(world: World, ws: Workspace, event: ev.KeyCreated, at: int) -> None:
    key = Key(key_id=event.key_id, key_hash=event.key_hash, role=event.role, agent=event.agent, label=event.label)
    world.state.undo.put(ws.keys, event.key_id, key)
    world.touched.append(("key", ws.name, event.key_id))


def _key_revoked(world: World, ws: Workspace, event: ev.KeyRevoked, at: int) -> None:
    world.state.undo.delete(ws.keys, event.key_id)
    world.touched.append(("key", ws.name, event.key_id))


def _policy_adopted(world: World, ws: Workspace, event: ev.PolicyAdopted, at: int) -> None:
    world.state.undo.save(ws)
    before = ws.policy
    ws.set_policy(event.version, event.policy)
    _end_limits_by_hand(ws, before)
    # Whoever waits on a channel that is down may have a way out under the new fallbacks.
    ws.health_version += 1
    for name, channel in ws.policy.channels.items():
        if name not in ws.channels:
            state = ChannelState(name=name, kind=channel.kind, account=channel.account, since=at)
            world.state.undo.put(ws.channels, name, state)
    for name in [name for name in ws.channels if name not in ws.policy.channels]:
        world.state.undo.delete(ws.channels, name)
    forget_lines(world, ws)
    world.touched.append(("policy", ws.name, "current"))


def _end_limits_by_hand(ws: Workspace, before: RoutingPolicy) -> None:
    """A limit that was set by hand holds until a policy says something new about it: the newer word counts."""
    if ws.policy.max_per_agent != before.max_per_agent:
        ws.agent_limit = None
    if not ws.queue_limits:
        return
    old, new = before.queues, ws.policy.queues
    ws.queue_limits = {
        name: most
        for name, most in ws.queue_limits.items()
        if name in new and name in old and new[name].max_per_agent == old[name].max_per_agent
    }


def _reserve_reviewed(world: World, ws: Workspace, event: ev.ReserveReviewed, at: int) -> None:
    world.state.undo.save(ws)
    ws.reserve_reviewed = at
    world.touched.append(("reserve", ws.name, ""))


def _agent_profile_set(world: World, ws: Workspace, event: ev.AgentProfileSet, at: int) -> None:
    if event.agent not in ws.agents:
        world.state.undo.put(ws.agents, event.agent, Agent(id=event.agent, presence_since=at))
    agent = world.change_agent(ws, event.agent)
    agent.name = event.name
    agent.languages = event.languages
    agent.skills = event.skills
    agent.queues = event.queues
    agent.channels = event.channels
    agent.capacity_total = event.capacity_total
    agent.capacity_per_channel = event.capacity_per_channel
    agent.capacity_weights = event.capacity_weights
    agent.capacity_parked = event.capacity_parked
    agent.memberships = event.memberships
    agent.position = event.position
    agent.max_contacts = event.max_contacts
    agent.profiles = event.profiles
    agent.while_on = event.while_on
    agent.wrap_up = event.wrap_up
    agent.reject_pause = event.reject_pause
    agent.attributes = event.attributes


def _limit_set(world: World, ws: Workspace, event: ev.LimitSet, at: int) -> None:
    if event.agent is not None:
        world.change_agent(ws, event.agent).max_contacts = event.most
        return
    world.state.undo.save(ws)
    if event.queue is not None:
        ws.queue_limits = {**ws.queue_limits, event.queue: event.most}
    else:
        ws.agent_limit = (event.most,)
    world.touched.append(("policy", ws.name, "current"))


def _queue_hours(world: World, ws: Workspace, event: ev.QueueHours, at: int) -> None:
    world.state.undo.save(ws)
    ws.queue_hours = {**ws.queue_hours, event.queue: (event.open, at)}
    world.touched.append(("queue", ws.name, event.queue))


def _hours_extended(world: World, ws: Workspace, event: ev.HoursExtended, at: int) -> None:
    world.state.undo.save(ws)
    ws.policy, ws.policy_document = extended(ws, event.hours, event.until, at)
    # The queues alone: their rules are the same, so nothing else that is derived changes.
    world.touched.extend(("queue", ws.name, name) for name in event.hours)


def _queue_frozen(world: World, ws: Workspace, event: ev.QueueFrozen, at: int) -> None:
    world.state.undo.save(ws)
    ws.frozen = ws.frozen | {event.queue} if event.frozen else ws.frozen - {event.queue}
    world.touched.append(("queue", ws.name, event.queue))


def _channel_health_changed(world: World, ws: Workspace, event: ev.ChannelHealthChanged, at: int) -> None:
    channel = ws.channels[channel_name(event.channel, event.account)]
    world.state.undo.save(channel)
    if (channel.state is ChannelHealth.DOWN) != (event.state is ChannelHealth.DOWN):
        # Who was refused another way may have one now, and who waits on this channel has to look for one.
        world.state.undo.save(ws)
        ws.health_version += 1
    if channel.state is not event.state:
        channel.since = at
    channel.state = event.state
    channel.evidence = event.evidence
    if event.failures <= 1:
        channel.failing_since = at if event.failures else 0
    channel.failures = event.failures
    channel.reported = event.reported
    is_well = event.state is ChannelHealth.DOWN and event.reported is not None
    if not is_well:
        channel.well_since = None
    elif channel.well_since is None:
        channel.well_since = at
    world.touched.append(("channel", ws.name, channel.name))


def _agent_presence_changed(world: World, ws: Workspace, event: ev.AgentPresenceChanged, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    if event.queue is not None:
        agent.queue_presence = {**agent.queue_presence, event.queue: event.presence}
        agent.missed_in = {name: count for name, count in agent.missed_in.items() if name != event.queue}
        return
    switched = {**agent.channel_switch, **event.channels}
    if event.presence == agent.presence and event.next_presence is None and switched != agent.channel_switch:
        # A channel is switched, and nothing is declared: what misses made of the presence and what is to follow stay.
        agent.channel_switch = switched
        return
    agent.queue_presence = {}
    if _is_work(ws, event.presence) and not _is_work(ws, agent.presence):
        agent.idle_since = at
        agent.missed = 0
        agent.missed_in = {}
    if event.presence != agent.presence:
        agent.presence_since = at
        draw_anew(ws, agent)
    _sign_in_or_out(agent, event.presence, at)
    agent.presence = event.presence
    agent.next_presence = event.next_presence
    if event.channels:
        agent.channel_switch = switched


def _is_work(ws: Workspace, presence: str) -> bool:
    """Whether any queue offers something in this presence."""
    return presence == Presence.AVAILABLE or any(
        presence in queue.accepts_presence for queue in ws.policy.queues.values()
    )


def _sign_in_or_out(agent: Agent, presence: str, at: int) -> None:
    """A silent desk that speaks again is no new sign-in, and a break is none either."""
    if presence == Presence.OFFLINE:
        agent.signed_in_at = None
        agent.ramped = 0
    elif presence == Presence.AVAILABLE and agent.signed_in_at is None:
        agent.signed_in_at = at


def _agent_lost(world: World, ws: Workspace, event: ev.AgentLost, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    agent.reachable = False
    agent.grace_until = event.grace_until


def _agent_regained(world: World, ws: Workspace, event: ev.AgentRegained, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    agent.reachable = True
    agent.grace_until = None
    draw_anew(ws, agent)
    agent.idle_since = max(agent.idle_since, at)


def _agent_grace_ended(world: World, ws: Workspace, event: ev.AgentGraceEnded, at: int) -> None:
    world.change_agent(ws, event.agent).grace_until = None


def _wrap_up_extended(world: World, ws: Workspace, event: ev.WrapUpExtended, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    if event.queue is not None:
        contact, _ = agent.queue_wrap_up[event.queue]
        agent.queue_wrap_up = {**agent.queue_wrap_up, event.queue: (contact, event.until)}
    elif event.slot_of is None:
        agent.wrap_up_until = event.until
    else:
        kind, _ = agent.wrap_up_slots[event.slot_of]
        agent.wrap_up_slots = {**agent.wrap_up_slots, event.slot_of: (kind, event.until)}


def _agent_paused(world: World, ws: Workspace, event: ev.AgentPaused, at: int) -> None:
    world.change_agent(ws, event.agent).paused_until = event.until


def _agent_pause_ended(world: World, ws: Workspace, event: ev.AgentPauseEnded, at: int) -> None:
    world.change_agent(ws, event.agent).paused_until = None


def _rate_window_moved(world: World, ws: Workspace, event: ev.RateWindowMoved, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    times = tuple(time for time in agent.assigned_times.get(event.queue, ()) if time > event.since)
    agent.assigned_times = {**agent.assigned_times, event.queue: times}


def _agent_ramped(world: World, ws: Workspace, event: ev.AgentRamped, at: int) -> None:
    world.change_agent(ws, event.agent).ramped = ws.policy.ramp[event.steps - 1][0]


def _wrap_up_ended(world: World, ws: Workspace, event: ev.WrapUpEnded, at: int) -> None:
    agent = world.change_agent(ws, event.agent)
    towards_queue, _ = agent.queue_wrap_up.get(event.queue or "", (None, 0))
    contact = towards_queue or event.slot_of or agent.wrap_up_contact
    if event.code is not None and contact in ws.contacts:
        world.change_contact(ws, contact).wrap_up_code = event.code
    if event.queue is not None:
        agent.queue_wrap_up = {name: known for name, known in agent.queue_wrap_up.items() if name != event.queue}
        return
    if event.slot_of is not None:
        agent.wrap_up_slots = {done: slot for done, slot in agent.wrap_up_slots.items() if done != event.slot_of}
        return
    agent.wrap_up_until = None
    agent.wrap_up_contact = None
    agent.idle_since = at


EVOLVE: dict[type, Evolve] = {
    ev.KeyCreated: _key_created,
    ev.KeyRevoked: _key_revoked,
    ev.ReserveReviewed: _reserve_reviewed,
    ev.PolicyAdopted: _policy_adopted,
    ev.AgentProfileSet: _agent_profile_set,
    ev.AgentPresenceChanged: _agent_presence_changed,
    ev.AgentLost: _agent_lost,
    ev.AgentRegained: _agent_regained,
    ev.AgentGraceEnded: _agent_grace_ended,
    ev.WrapUpExtended: _wrap_up_extended,
    ev.WrapUpEnded: _wrap_up_ended,
    ev.LimitSet: _limit_set,
    ev.QueueHours: _queue_hours,
    ev.HoursExtended: _hours_extended,
    ev.QueueFrozen: _queue_frozen,
    ev.AgentPaused: _agent_paused,
    ev.AgentPauseEnded: _agent_pause_ended,
    ev.RateWindowMoved: _rate_window_moved,
    ev.AgentRamped: _agent_ramped,
    ev.ChannelHealthChanged: _channel_health_changed,
}
"""By event: what makes it true."""
