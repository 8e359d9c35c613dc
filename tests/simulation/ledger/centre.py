"""Events of the centre itself: keys, policies, agents' profiles, limits, hours, the health of channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contracts import events as ev
from tests.simulation.ledger.books import AgentBook, Booking, HealthBook, Instant, WorkspaceBook, is_open
from tests.simulation.ledger.violation import require


def key_created(ws: WorkspaceBook, event: ev.KeyCreated, now: Instant) -> None:
    require(event.key_id not in ws.keys, "9", f"key {event.key_id} is there already")
    ws.keys[event.key_id] = event.key_hash


def key_revoked(ws: WorkspaceBook, event: ev.KeyRevoked, now: Instant) -> None:
    del ws.keys[event.key_id]


def policy_adopted(ws: WorkspaceBook, event: ev.PolicyAdopted, now: Instant) -> None:
    require(event.version == ws.policy_version + 1, "9", f"policy {event.version} after {ws.policy_version}")
    ws.policy_version = event.version
    if ws.policy and ws.policy.get("max_per_agent") != event.policy.get("max_per_agent"):
        ws.agent_limit = None
    ws.policy = event.policy
    said = {name: queue["max_per_agent"] for name, queue in ws.queues.items()}
    ws.queues = {queue["name"]: queue for queue in event.policy["queues"]}
    for name, queue in ws.queues.items():
        if name in said and said[name] != queue["max_per_agent"]:
            ws.queue_limits.pop(name, None)
    for name in ws.queue_limits.keys() - ws.queues.keys():
        del ws.queue_limits[name]
    ws.channels = {f"{c['kind']}:{c['account']}": c for c in event.policy["channels"]}
    ws.flows = {flow["name"]: flow for flow in event.policy.get("flows", ())}
    ws.health = {name: ws.health.get(name, HealthBook()) for name in ws.channels}


def profile_set(ws: WorkspaceBook, event: ev.AgentProfileSet, now: Instant) -> None:
    agent = ws.agents.setdefault(event.agent, AgentBook(event.agent))
    agent.queues = event.queues
    agent.memberships = {member.queue: member for member in event.memberships}
    agent.channels = event.channels
    agent.total = event.capacity_total
    agent.per_channel = dict(event.capacity_per_channel)
    agent.weights = dict(event.capacity_weights)
    agent.parked_credit = event.capacity_parked
    agent.profiles = dict(event.profiles)
    agent.while_on = dict(event.while_on)
    agent.max_contacts = event.max_contacts
    agent.wrap_up = event.wrap_up
    agent.reject_pause = event.reject_pause


def limit_set(ws: WorkspaceBook, event: ev.LimitSet, now: Instant) -> None:
    require(event.agent is None or event.queue is None, "3", "a limit is of an agent, a queue or all, not of two")
    if event.agent is not None:
        ws.agents[event.agent].max_contacts = event.most
    elif event.queue is not None:
        require(event.queue in ws.queues, "9", f"a limit of {event.queue}, which no policy names")
        ws.queue_limits[event.queue] = event.most
    else:
        ws.agent_limit = (event.most,)


def queue_hours(ws: WorkspaceBook, event: ev.QueueHours, now: Instant) -> None:
    queue = ws.queues[event.queue]
    right = is_open(queue, now.at)
    require(event.open == right, "time", f"{event.queue} is said to be {'open' if event.open else 'closed'}")
    ws.hours[event.queue] = (event.open, now.at)


def hours_extended(ws: WorkspaceBook, event: ev.HoursExtended, now: Instant) -> None:
    require(event.policy_version == ws.policy_version, "9", f"hours of version {event.policy_version} are continued")
    for name, intervals in event.hours.items():
        queue = ws.queues[name]
        require(queue["business_hours"] is not None, "9", f"{name} gets opening hours, it is always open")
        ws.queues[name] = {**queue, "open_ms": _joined([*queue["open_ms"], *intervals])}


def _joined(intervals: Iterable[Sequence[int]]) -> list[list[int]]:
    """As few intervals as cover the same time: where two meet, nothing turns."""
    times: list[list[int]] = []
    for begin, end in sorted((begin, end) for begin, end in intervals):
        if times and begin <= times[-1][1]:
            times[-1][1] = max(times[-1][1], end)
        else:
            times.append([begin, end])
    return times


def queue_frozen(ws: WorkspaceBook, event: ev.QueueFrozen, now: Instant) -> None:
    require((event.queue in ws.frozen) != event.frozen, "9", f"{event.queue} is frozen or unfrozen twice")
    if event.frozen:
        ws.frozen.add(event.queue)
    else:
        ws.frozen.remove(event.queue)


def reserve_reviewed(ws: WorkspaceBook, event: ev.ReserveReviewed, now: Instant) -> None:
    require(now.at - ws.reserve_reviewed >= 15_000, "time", f"room to spare is looked at again after {now.at} ms")
    ws.reserve_reviewed = now.at


def health_changed(ws: WorkspaceBook, event: ev.ChannelHealthChanged, now: Instant) -> None:
    name = f"{event.channel}:{event.account}"
    require(name in ws.channels, "9", f"health of {name}, which no policy names")
    book, rules = ws.health[name], ws.channels[name]["health"]
    word, state = (event.reported or event.state).value, event.state.value
    if not now.actor:
        due = book.up_at(rules)
        require(due is not None and due <= now.at, "time", f"{name} counts as up again, which is due at {due}")
        require(state == book.word != "down", "9", f"{name} counts as {state}, last reported {book.word}")
        ws.health[name] = HealthBook(state=state, word=state)
        return
    if now.role == "operator":
        require(state == word, "9", f"an operator's word, {word}, does not count for {name}")
        ws.health[name] = HealthBook(state=word, word=word)
        return
    if word == "down":
        is_old = bool(book.row) and now.at - book.row[0] > rules["within_s"] * 1000
        row = [now.at] if is_old else [*book.row, now.at]
        is_down = book.state == "down" or len(row) >= rules["down_after"]
        require((state == "down") == is_down, "9", f"{name} is {state} after {len(row)} reports of down in a row")
        ws.health[name] = HealthBook(state=state, word=word, row=row)
        return
    stays = book.state == "down" and bool(rules["up_after_s"])
    require((state == "down") == stays, "9", f"{name} is {state} when {word} is reported, it was {book.state}")
    since = (now.at if book.well_since is None else book.well_since) if stays else None
    ws.health[name] = HealthBook(state=state, word=word, well_since=since)


BOOK: Booking = {
    ev.KeyCreated: key_created,
    ev.KeyRevoked: key_revoked,
    ev.PolicyAdopted: policy_adopted,
    ev.AgentProfileSet: profile_set,
    ev.LimitSet: limit_set,
    ev.QueueHours: queue_hours,
    ev.HoursExtended: hours_extended,
    ev.QueueFrozen: queue_frozen,
    ev.ReserveReviewed: reserve_reviewed,
    ev.ChannelHealthChanged: health_changed,
}
