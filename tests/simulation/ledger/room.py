"""The bounds of what an agent may hold. An offer takes room like an accepted contact."""

from __future__ import annotations

from tests.simulation.ledger.books import AgentBook, ContactBook, WorkspaceBook


def why_full(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> str | None:
    """The first bound that one more contact would exceed; None if there is room."""
    if not bypasses(ws, contact, agent, "capacity"):
        full = _own_bounds(ws, contact, agent, at)
        if full is not None:
            return full
    return _bounds_of_queue(ws, contact.queue, agent, at)


def bypasses(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, what: str) -> bool:
    """Whether the contact waits for this very agent, in a queue that does not look at this then."""
    rule = ws.queues[contact.queue]["preferred"]
    return bool(contact.wishes(rule) and agent.id in contact.preferred and what in rule["bypass"])


def _own_bounds(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> str | None:
    kind, working = contact.channel, agent.working
    load = sum(agent.weights.get(each, 1000) for each in agent.places) + agent.parked_credit * len(agent.parked)
    if agent.total is not None and load + agent.weights.get(kind, 1000) > agent.total:
        return f"a load of {load} of {agent.total}"
    if agent.places.count(kind) >= agent.per_channel.get(kind, len(agent.places) + 1):
        return f"{agent.per_channel[kind]} of {kind} already"
    for profile in contact.profiles:
        taken = sum(1 for held in working if profile in ws.contacts[held].profiles)
        if taken >= agent.profiles.get(profile, 0):
            return f"{taken} of profile {profile} already"
    limit = own_limit(ws, agent)
    if limit is not None and len(working) >= limit:
        return f"{len(working)} contacts of {limit} already"
    eased = ramp_limit(ws, agent, at)
    if eased is not None and len(working) >= eased:
        return f"{len(working)} contacts, {eased} are the most so soon after signing in"
    return None


def why_not_by(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, kind: str, at: int) -> str | None:
    """Why the agent who holds a contact could not hold it as one of this kind; None if they could. Everything else that
    they hold is counted as it is."""
    member = agent.memberships.get(contact.queue)
    handled = (agent.channels, member.channels if member is not None else ())
    if any(kinds and kind not in kinds for kinds in handled):
        return f"does not handle {kind}"
    return _why_not_beside(ws, contact, agent, kind) or (
        None if contact.id in agent.parked else _why_no_place(ws, contact, agent, kind, at)
    )


def why_not_back(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, at: int) -> str | None:
    """Why the agent has no room for the whole of a contact that they parked; None if they have."""
    if agent.channels and contact.channel not in agent.channels:
        return f"does not handle {contact.channel}"
    for profile in contact.profiles:
        taken = sum(1 for held in agent.working if profile in ws.contacts[held].profiles)
        if taken >= agent.profiles.get(profile, 0):
            return f"has {taken} of profile {profile} beside it"
    return _why_not_beside(ws, contact, agent, contact.channel) or _why_no_place(
        ws, contact, agent, contact.channel, at
    )


def _why_not_beside(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, kind: str) -> str | None:
    """The agent's switch, and what the others that they hold keep away."""
    if not agent.switch.get(kind, True):
        return f"has switched {kind} off"
    counted = agent.held if ws.policy["while_on_counts_parked"] else agent.working
    beside = [of for held, of in counted.items() if held != contact.id]
    if any(kind not in agent.while_on.get(of, (kind,)) for of in beside):
        return f"handles no {kind} beside {sorted(beside)}"
    return None


def _why_no_place(ws: WorkspaceBook, contact: ContactBook, agent: AgentBook, kind: str, at: int) -> str | None:
    """The first bound that the contact exceeds as one of this kind, beside the others that the agent holds."""
    working = {held: of for held, of in agent.working.items() if held != contact.id}
    aside = [held for held in agent.parked if held != contact.id]
    places = [*working.values(), *(of for of, _ in agent.wrap_up_slots.values())]
    load = sum(agent.weights.get(of, 1000) for of in places) + agent.parked_credit * len(aside)
    if agent.total is not None and load + agent.weights.get(kind, 1000) > agent.total:
        return f"has a load of {load} of {agent.total} beside it"
    if kind in agent.per_channel and places.count(kind) >= agent.per_channel[kind]:
        return f"has {agent.per_channel[kind]} of {kind} beside it"
    limit = ws.queue_limits.get(contact.queue, ws.queues[contact.queue]["max_per_agent"])
    of_queue = sum(1 for held in working if ws.contacts[held].queue == contact.queue)
    eased = ramp_limit(ws, agent, at)
    for most, count in ((own_limit(ws, agent), len(working)), (limit, of_queue), (eased, len(working))):
        if most is not None and count >= most:
            return f"has {count} contacts of {most} beside it"
    return None


def own_limit(ws: WorkspaceBook, agent: AgentBook) -> int | None:
    """The agent's own limit, which may be zero, else the one set for everybody, else the policy's."""
    if agent.max_contacts is not None:
        return agent.max_contacts
    if ws.agent_limit is not None:
        return ws.agent_limit[0]
    most: int | None = ws.policy.get("max_per_agent")
    return most


def ramp_limit(ws: WorkspaceBook, agent: AgentBook, at: int) -> int | None:
    """The most contacts so soon after signing in; None when that is long ago."""
    if agent.signed_in_at is None:
        return None
    since = at - agent.signed_in_at
    return next((step["max_open"] for step in ws.policy["ramp"] if since < step["until_s"] * 1000), None)


def _bounds_of_queue(ws: WorkspaceBook, queue: str, agent: AgentBook, at: int) -> str | None:
    rules = ws.queues[queue]
    of_queue = sum(1 for held in agent.working if ws.contacts[held].queue == queue)
    limit = ws.queue_limits.get(queue, rules["max_per_agent"])
    if limit is not None and of_queue >= limit:
        return f"{of_queue} contacts of {queue}, where {limit} are the most"
    rate = rules["rate_limit"]
    if rate is not None:
        since = at - rate["window_s"] * 1000
        recent = sum(1 for time in agent.assigned.get(queue, ()) if time > since)
        asked = sum(1 for offer in agent.offers if ws.contacts[ws.offers[offer].contact].queue == queue)
        if recent + asked >= rate["max"]:
            return f"{recent} contacts of {queue} within {rate['window_s']} s, and {asked} on offer"
    return None
