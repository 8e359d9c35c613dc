"""What is due when: (due, kind, id), of everything that happens only because time passes.

Redirects are not here: they are due as soon as a channel is down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tests.simulation.ledger.books import WAITS, AgentBook, ContactBook, Document, OutboundBook, WorkspaceBook

Due = tuple[int, str, str]


def timers(ws: WorkspaceBook) -> Iterator[Due]:
    """Everything that a workspace waits for."""
    if not ws.policy:
        return
    for name, queue in ws.queues.items():
        turn = next_turn(queue, ws.hours[name][1]) if name in ws.hours else None
        if turn is not None:
            yield turn, "hours", name
    for name, health in ws.health.items():
        up = health.up_at(ws.channels[name]["health"])
        if up is not None:
            yield up, "health", name
    for offer in ws.offers.values():
        if not offer.outcome and offer.expires_at is not None:
            yield offer.expires_at, "offer", offer.id
    for agent in ws.agents.values():
        yield from _of_agent(ws, agent)
    for contact in ws.contacts.values():
        yield from _of_contact(ws, contact)
    for outbound in ws.outbounds.values():
        yield from _of_outbound(ws, outbound)


def next_turn(queue: Document, since: int) -> int | None:
    """When a queue with opening hours opens or closes next."""
    if queue["business_hours"] is None:
        return None
    return min((time for interval in queue["open_ms"] for time in interval if time > since), default=None)


def _of_agent(ws: WorkspaceBook, agent: AgentBook) -> Iterator[Due]:
    for kind, due in (("grace", agent.grace_until), ("wrap_up", agent.wrap_up_until), ("pause", agent.paused_until)):
        if due is not None:
            yield due, kind, agent.id
    ahead = [step["until_s"] * 1000 for step in ws.policy["ramp"] if step["until_s"] * 1000 > agent.ramped]
    if agent.signed_in_at is not None and ahead:
        yield agent.signed_in_at + ahead[0], "ramp", agent.id
    for queue, (_, until) in agent.queue_wrap_up.items():
        yield until, "queue_wrap_up", f"{agent.id}:{queue}"
    for contact, (_, until) in agent.wrap_up_slots.items():
        yield until, "slot_wrap_up", f"{agent.id}:{contact}"
    for queue, times in agent.recent.items():
        rate = ws.queues[queue]["rate_limit"] if queue in ws.queues else None
        if rate is not None and times:
            yield times[0] + rate["window_s"] * 1000, "rate", f"{agent.id}:{queue}"


def _of_outbound(ws: WorkspaceBook, outbound: OutboundBook) -> Iterator[Due]:
    if outbound.ended_at is not None:
        yield outbound.ended_at + ws.policy["keep_ended_s"] * 1000, "forget_outbound", outbound.id
        return
    yield outbound.deadline, "outbound_deadline", outbound.id
    if outbound.due is not None:
        yield outbound.due, "outbound", outbound.id


def _of_contact(ws: WorkspaceBook, contact: ContactBook) -> Iterator[Due]:
    if contact.state == "scheduled":
        yield contact.scheduled_at or 0, "scheduled", contact.id
    elif contact.ended_at is not None:
        if is_written_to(ws, contact):
            return
        yield contact.ended_at + ws.policy["keep_ended_s"] * 1000, "forget", contact.id
    elif contact.state in WAITS:
        if contact.retry_at is not None and not ws.is_down(contact.channel_name):
            yield contact.retry_at, "retry", contact.id
        for kind, due in _rules(ws, contact):
            yield due, kind, contact.id


def is_written_to(ws: WorkspaceBook, contact: ContactBook) -> bool:
    """Whether a message to the contact's customer is under way, which needs the contact's addresses."""
    return any(each.contact == contact.id and each.ended_at is None for each in ws.outbounds.values())


def _rules(ws: WorkspaceBook, contact: ContactBook) -> Iterator[tuple[str, int]]:
    queue, since = ws.queues[contact.queue], contact.queue_since
    if contact.steps < len(queue["steps"]):
        yield "step", since + queue["steps"][contact.steps]["after_s"] * 1000
    members = [m for a in ws.agents.values() for m in a.memberships.values() if m.queue == contact.queue]
    delays = [delay for m in members for delay in (m.delay, *(each.delay or 0 for each in m.per_channel))]
    for delay in delays:
        if delay > contact.delay:
            yield "delay", since + delay
    chain = language_chain(ws, contact)
    if contact.widened < len(chain):
        yield "language", since + chain[contact.widened]["after_s"] * 1000
    wanted = queue["preferred"]
    if contact.wishes(wanted) and wanted["fallback"] != "hold":
        yield "preference", since + wish_s(wanted, contact) * 1000
    if queue["decline"]["policy"] == "after_s" and contact.declined_at:
        yield "decline", min(contact.declined_at.values()) + queue["decline"]["after_s"] * 1000
    if queue["max_age_s"] is not None and contact.past_age < queue["max_age_s"] * 1000:
        yield "age", contact.age_from + queue["max_age_s"] * 1000 + 1
    near = deadline(ws, contact)
    if near is not None and not contact.deadline_near and not goes_first(queue, contact):
        yield "deadline", near
    if queue["starvation_s"] is not None and contact.starved < queue["starvation_s"] * 1000:
        yield "starving", contact.age_from + queue["starvation_s"] * 1000
    if queue["max_wait_s"] is not None and (queue["max_wait_interrupts_offer"] or not contact.offers):
        yield "max_wait", since + queue["max_wait_s"] * 1000
    for rule in overflows(ws, contact):
        yield "overflow", since + rule["when"]["wait_exceeds_s"] * 1000
    station = ws.station(contact)
    if station is not None and station["until_age_s"] is not None:
        yield "flow", contact.came_in + station["until_age_s"] * 1000
    if contact.state == "waiting" and ws.leaves_unstaffed(contact):
        yield "unstaffed", since


def wish_s(wanted: Document, contact: ContactBook) -> int:
    """How long the contact waits for the agents that it names."""
    seconds: int = wanted["channel_wait_s"].get(contact.channel, wanted["wait_s"])
    return seconds


def goes_first(queue: Document, contact: ContactBook) -> bool:
    """Whether the contact goes before others, for its priority or because it has starved: nothing is kept free before
    it then."""
    strict, bound = queue["strict_priority"], queue["starvation_s"]
    return (strict is not None and contact.priority >= strict) or (
        bound is not None and contact.starved >= bound * 1000
    )


def deadline(ws: WorkspaceBook, contact: ContactBook) -> int | None:
    """When so much of its target is used up that no room is kept free before a contact; None if none ever is."""
    queue, slo = ws.queues[contact.queue], ws.policy["slo"]
    reserve = slo["reserve"]
    if queue["contact_order"] != "slo" or reserve is None or contact.channel not in reserve["channels"]:
        return None
    target_s = queue["target_s"].get(contact.channel) or slo["target_s"].get(contact.channel, slo["other_target_s"])
    target: int = target_s * 1000
    if slo["priority_shortens"] and contact.priority > 0:
        target //= 1 + contact.priority
    elif slo["priority_shortens"]:
        target *= 1 - contact.priority
    share: float = reserve["until_share"]
    return contact.age_from + math.ceil(target * share)


def language_chain(ws: WorkspaceBook, contact: ContactBook) -> list[Document]:
    """The other languages that will do in time, for the language asked for."""
    language = contact.language
    if language == "und":
        language = ws.queues[contact.queue]["default_language"] or "und"
    chain = list(ws.policy.get("language_fallback", {}).get(language, ()))
    wish = ws.queues[contact.queue]["any_language_after_s"]
    if wish is None or language == "und":
        return chain
    return [*(step for step in chain if step["after_s"] <= wish), {"language": "any", "after_s": wish}]


def overflows(ws: WorkspaceBook, contact: ContactBook) -> list[Document]:
    """The overflows by waiting that have not had their turn with the contact."""
    return [
        rule
        for rule in ws.queues[contact.queue]["overflow"]
        if rule["when"]["wait_exceeds_s"] is not None
        and rule["queue"] not in contact.overflowed
        and not (rule["action"] == "callback" and contact.channel == "callback")
    ]
