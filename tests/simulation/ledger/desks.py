"""Events of agents: presence, leases, wrap-up, pauses, the windows of their rates."""

from __future__ import annotations

from shared.contracts import events as ev
from tests.simulation.ledger.books import Booking, Instant, WorkspaceBook
from tests.simulation.ledger.violation import require


def presence_changed(ws: WorkspaceBook, event: ev.AgentPresenceChanged, now: Instant) -> None:
    agent = ws.agents[event.agent]
    if event.queue is not None:
        require(event.cause == "missed_offers", "4", f"{event.cause} changes a presence towards {event.queue} only")
        agent.queue_presence[event.queue] = event.presence
        agent.missed_in.pop(event.queue, None)
        return
    if event.cause == "agent":
        require(now.actor == f"agent:{agent.id}", "4", f"{now.actor} declares the presence of {agent.id}")
    if event.cause == "next_presence":
        due = agent.next_presence == event.presence and agent.is_done
        require(due, "4", f"next presence of {agent.id} while it holds {agent.held}")
    switched = {**agent.switch, **event.channels}
    if event.presence == agent.presence and event.next_presence is None and switched != agent.switch:
        agent.switch = switched
        return
    if ws.is_work(event.presence) and not ws.is_work(agent.presence):
        agent.idle_since = now.at
        agent.missed = 0
        agent.missed_in = {}
    if event.presence == "offline":
        agent.signed_in_at, agent.ramped = None, 0
    elif event.presence == "available" and agent.signed_in_at is None:
        agent.signed_in_at = now.at
    agent.presence = event.presence
    agent.queue_presence = {}
    agent.next_presence = event.next_presence
    agent.switch.update(event.channels)


def lost(ws: WorkspaceBook, event: ev.AgentLost, now: Instant) -> None:
    agent = ws.agents[event.agent]
    require(agent.reachable, "4", f"{agent.id} is lost twice")
    agent.reachable = False
    agent.grace_until = event.grace_until


def regained(ws: WorkspaceBook, event: ev.AgentRegained, now: Instant) -> None:
    agent = ws.agents[event.agent]
    require(not agent.reachable, "4", f"{agent.id} is regained twice")
    agent.reachable = True
    agent.grace_until = None
    agent.idle_since = max(agent.idle_since, now.at)


def grace_ended(ws: WorkspaceBook, event: ev.AgentGraceEnded, now: Instant) -> None:
    agent = ws.agents[event.agent]
    require(agent.grace_until is not None and agent.grace_until <= now.at, "time", f"grace of {agent.id} too early")
    agent.grace_until = None


def wrap_up_extended(ws: WorkspaceBook, event: ev.WrapUpExtended, now: Instant) -> None:
    agent = ws.agents[event.agent]
    if event.slot_of is not None:
        require(event.slot_of in agent.wrap_up_slots, "4", f"{agent.id} keeps no room of {event.slot_of}")
        agent.wrap_up_slots[event.slot_of] = (agent.wrap_up_slots[event.slot_of][0], event.until)
        return
    if event.queue is not None:
        require(event.queue in agent.queue_wrap_up, "4", f"{agent.id} is in no wrap-up towards {event.queue}")
        agent.queue_wrap_up[event.queue] = (agent.queue_wrap_up[event.queue][0], event.until)
        return
    require(agent.wrap_up_until is not None, "4", f"{event.agent} is not in wrap-up")
    agent.wrap_up_until = event.until


def wrap_up_ended(ws: WorkspaceBook, event: ev.WrapUpEnded, now: Instant) -> None:
    agent = ws.agents[event.agent]
    until = agent.wrap_up_until if event.queue is None else agent.queue_wrap_up.pop(event.queue, ("", None))[1]
    if event.slot_of is not None:
        until = agent.wrap_up_slots.pop(event.slot_of, ("", None))[1]
    require(until is not None, "4", f"{agent.id} is not in wrap-up (queue: {event.queue})")
    if event.cause == "timer":
        require(until is not None and until <= now.at, "time", f"wrap-up of {agent.id} ends too early")
    if event.queue is None and event.slot_of is None:
        agent.wrap_up_until = None
        agent.idle_since = now.at


def paused(ws: WorkspaceBook, event: ev.AgentPaused, now: Instant) -> None:
    agent = ws.agents[event.agent]
    require(event.until == now.at + agent.reject_pause, "time", f"{agent.id} pauses until {event.until}")
    agent.paused_until = event.until


def pause_ended(ws: WorkspaceBook, event: ev.AgentPauseEnded, now: Instant) -> None:
    agent = ws.agents[event.agent]
    over = agent.paused_until is not None and agent.paused_until <= now.at
    require(over, "time", f"the pause of {agent.id} ends too early")
    agent.paused_until = None


def rate_window_moved(ws: WorkspaceBook, event: ev.RateWindowMoved, now: Instant) -> None:
    agent = ws.agents[event.agent]
    since = now.at - ws.queues[event.queue]["rate_limit"]["window_s"] * 1000
    require(event.since == since, "time", f"the window of {agent.id} begins at {event.since}, not at {since}")
    agent.recent[event.queue] = [time for time in agent.recent.get(event.queue, ()) if time > since]


def ramped(ws: WorkspaceBook, event: ev.AgentRamped, now: Instant) -> None:
    agent = ws.agents[event.agent]
    since = now.at - agent.signed_in_at if agent.signed_in_at is not None else -1
    over = sum(step["until_s"] * 1000 <= since for step in ws.policy["ramp"])
    until: int = ws.policy["ramp"][event.steps - 1]["until_s"] * 1000
    right = agent.ramped < until and event.steps == over
    require(right, "time", f"{agent.id} is told to be past {event.steps} steps of the ramp, not {over}")
    agent.ramped = until


BOOK: Booking = {
    ev.AgentPresenceChanged: presence_changed,
    ev.AgentLost: lost,
    ev.AgentRegained: regained,
    ev.AgentGraceEnded: grace_ended,
    ev.WrapUpExtended: wrap_up_extended,
    ev.WrapUpEnded: wrap_up_ended,
    ev.AgentPaused: paused,
    ev.AgentPauseEnded: pause_ended,
    ev.RateWindowMoved: rate_window_moved,
    ev.AgentRamped: ramped,
}
