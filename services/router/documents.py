"""The documents that the world may see, one small function per kind; `shared/views/port.py` describes them."""

from __future__ import annotations

from typing import Any

from services.router.engine.fallback import why_unreachable
from services.router.engine.index import Index
from services.router.engine.outbound_records import Outbound
from services.router.engine.records import FINAL_DELIVERIES, Agent, Answer, Contact, Key, Message, Thread
from services.router.engine.state import Workspace
from services.router.engine.waits import line_name, remaining, said_of
from shared.times import rfc3339
from shared.vocabulary import ChannelKind, ContactState, MessageId, ThreadKey, channel_name

Doc = dict[str, Any]
UNITS = 1000


def _time(at: int | None) -> str | None:
    return rfc3339(at) if at is not None else None


def contact_doc(ws: Workspace, contact: Contact) -> Doc:
    """`Contact out` of the API. `_seqs`: the entries that touched it; `_sender`: the address key owning its texts;
    `_promise`: the bounds from which the API says what they mean at the time of reading; `_notes`: where what the
    consulted were told lies."""
    return {
        "id": contact.id,
        "workspace": ws.name,
        "source_key": contact.source_key,
        "channel": contact.channel,
        "account": contact.account,
        "thread": contact.thread,
        "queue": contact.queue,
        "language": contact.language,
        "language_confidence": contact.language_confidence,
        "skills": dict(contact.skills),
        "priority": contact.priority,
        "attributes": contact.attributes,
        "state": contact.state.value,
        "exhausted": contact.exhausted,
        "agent": contact.agent,
        "participants": participants(contact),
        "offers": [
            {"id": offer, "agent": ws.offers[offer].agent, "expires_at": _time(ws.offers[offer].expires_at)}
            for offer in contact.offers
        ],
        "enqueued_at": rfc3339(contact.age_from),
        "state_since": rfc3339(contact.state_since),
        "scheduled_at": _time(contact.scheduled_at),
        "answered_at": _time(contact.answered_at),
        "ended_at": _time(contact.ended_at),
        "end_reason": contact.end_reason,
        "wrap_up_code": contact.wrap_up_code,
        "redirects": [
            {"from": hop.from_channel, "channel": hop.channel, "rule": hop.rule, "at": rfc3339(hop.at)}
            for hop in contact.redirects
        ],
        "customer": contact.customer,
        "previous": contact.previous,
        "messages": len(contact.messages),
        "created_at": rfc3339(contact.created_at),
        "wait_range": None,
        "_promise": _promise(contact),
        "_notes": contact.consult_notes,
        "_sender": contact.sender,
        "_seqs": list(contact.seqs),
    }


def participants(contact: Contact) -> list[Doc]:
    """Who has to do with an open contact now: its owner, who holds it, and those whom they consult."""
    owner = contact.agent if contact.state.is_open else None
    consulted = [{"agent": agent, "role": "consult"} for agent in contact.consulted]
    return [*([{"agent": owner, "role": "owner"}] if owner is not None else []), *consulted]


def _promise(contact: Contact) -> Doc | None:
    """The bounds that were given for its wait, if they may be told; ms."""
    given = contact.promise
    if given is None or not given.told:
        return None
    return {"since": given.at, "half": given.half, "most": given.most}


def wait_range(said: tuple[int, int] | None) -> Doc | None:
    """How a range of waits is told: seconds, rounded up."""
    return {"usually_under_s": said[0], "nearly_always_under_s": said[1]} if said is not None else None


def summary(contact: Contact) -> Doc:
    """What an agent sees of a contact in a list of work."""
    return {
        "id": contact.id,
        "channel": contact.channel,
        "account": contact.account,
        "queue": contact.queue,
        "language": contact.language,
        "skills": dict(contact.skills),
        "priority": contact.priority,
        "state": contact.state.value,
        "enqueued_at": rfc3339(contact.age_from),
        "customer": contact.customer,
        "messages": len(contact.messages),
        "last_message_at": _time(contact.last_message_at),
        "redirects": [
            {"from": hop.from_channel, "channel": hop.channel, "rule": hop.rule} for hop in contact.redirects
        ],
    }


def messages_doc(contact: Contact) -> Doc:
    """The transcript without its texts."""
    return {
        "contact": contact.id,
        "messages": [
            {
                "id": message.id,
                "direction": message.direction,
                "ref": message.ref,
                "at": rfc3339(message.at),
                "kind": message.kind,
                "refers_to": message.refers_to,
                "author": message.author,
                "channel": message.channel,
                "account": message.account,
                "status": message.status,
                "thread": message.thread,
                "thread_seq": message.thread_seq,
            }
            for message in contact.messages
        ],
    }


def _capacity(agent: Agent) -> Doc:
    return {
        "total": agent.capacity_total / UNITS if agent.capacity_total is not None else None,
        "per_channel": agent.capacity_per_channel,
        "weights": {kind: weight / UNITS for kind, weight in agent.capacity_weights.items()},
        "parked": agent.capacity_parked / UNITS,
        "max_contacts": agent.max_contacts,
        "profiles": agent.profiles,
    }


def _load(agent: Agent) -> Doc:
    per_channel: dict[str, int] = {}
    for kind in agent.held.values():
        per_channel[kind] = per_channel.get(kind, 0) + 1
    return {"used": agent.used / UNITS, "per_channel": per_channel}


def agent_doc(agent: Agent) -> Doc:
    """Profile, presence and load."""
    return {
        "id": agent.id,
        "name": agent.name,
        "languages": agent.languages,
        "skills": agent.skills,
        "attributes": agent.attributes,
        "queues": list(agent.queues),
        "memberships": [
            {
                "queue": member.queue,
                "priority": member.priority,
                "tier": member.tier,
                "delay_s": member.delay // 1000,
                "position": member.position,
                "channels": list(member.channels),
                "per_channel": {
                    terms.channel: {
                        "priority": terms.priority,
                        "delay_s": terms.delay // 1000 if terms.delay is not None else None,
                    }
                    for terms in member.per_channel
                },
            }
            for member in agent.memberships
        ],
        "channels": list(agent.channels),
        "while_on": agent.while_on,
        "capacity": _capacity(agent),
        "presence": agent.presence,
        "presence_since": rfc3339(agent.presence_since),
        "next_presence": agent.next_presence,
        "channel_switch": agent.channel_switch,
        "reachable": agent.reachable,
        "load": _load(agent),
        "contacts": [contact for contact in agent.held],
    }


def work_doc(ws: Workspace, agent: Agent) -> Doc:
    """What an agent's desk shows: offers, assignments, the contacts of others about which they were asked, wrap-up."""
    return {
        "agent": agent.id,
        "presence": agent.presence,
        "next_presence": agent.next_presence,
        "reachable": agent.reachable,
        "capacity": _capacity(agent),
        "load": _load(agent),
        "offers": [
            {
                "id": offer,
                "contact": summary(ws.contacts[ws.offers[offer].contact]),
                "made_at": rfc3339(ws.offers[offer].made_at),
                "expires_at": _time(ws.offers[offer].expires_at),
            }
            for offer in agent.offers
        ],
        "assignments": [
            {
                "contact": summary(contact),
                "since": rfc3339(contact.state_since),
                "parked": not contact.active,
                "consulted": list(contact.consulted),
                "ways": _ways(ws, contact),
            }
            for contact in (ws.contacts[contact_id] for contact_id in agent.held)
            if contact.agent == agent.id
        ],
        "consults": [
            {"contact": summary(contact), "owner": contact.agent, "note": agent.id in contact.consult_notes}
            for contact in (ws.contacts[contact_id] for contact_id in agent.consulting)
        ],
        "wrap_up": _wrap_up(agent),
    }


def _ways(ws: Workspace, contact: Contact) -> list[str]:
    """The other channels where the customer may be written to: names alone, whether they are up or not."""
    if not contact.reach:
        return []
    return [
        name
        for name, channel in ws.policy.channels.items()
        if name != contact.channel_name and why_unreachable(contact, channel.kind) is None
    ]


def _wrap_up(agent: Agent) -> Doc | None:
    """The wrap-up that keeps the agent from all work, else the one that is over last."""
    if agent.wrap_up_until is not None:
        return {"until": rfc3339(agent.wrap_up_until), "contact": agent.wrap_up_contact, "queue": None}
    beside = agent.wrap_up_beside
    if beside is None:
        return None
    return {"until": rfc3339(beside.until), "contact": beside.contact, "queue": beside.queue}


def thread_doc(ws: Workspace, thread: Thread) -> Doc:
    """What the customer of a conversation may know. An offer is the agents' affair: to the customer it is waiting."""
    contact = ws.contacts[thread.contacts[-1]]
    state = ContactState.WAITING if contact.state is ContactState.OFFERED else contact.state
    agent = ws.agents.get(contact.agent) if contact.agent is not None else None
    moved = contact.thread != thread.key
    return {
        "thread": thread.key,
        "contact": contact.id,
        "state": state.value,
        "queue": contact.queue,
        "language": contact.language,
        "agent_name": agent.name if agent is not None and state is ContactState.ASSIGNED else None,
        "redirected_to": contact.channel if moved and contact.state.is_open else None,
        "wait_range": _whole_wait(contact),
        "next_seq": thread.next_seq,
        "messages": [
            {
                "seq": message.thread_seq,
                "id": message.id,
                "direction": message.direction,
                "ref": message.ref,
                "at": rfc3339(message.at),
                "kind": message.kind,
                "refers_to": message.refers_to,
                "source_key": message.source_key,
                "status": message.status,
            }
            for message in _lines(ws, thread.key)
        ],
    }


def _whole_wait(contact: Contact) -> Doc | None:
    """What the customer is told of the wait as a whole, counted from `since`."""
    given = contact.promise
    if given is None or not given.told:
        return None
    told = wait_range(remaining(given.at, given.half, given.most, given.at))
    return {**told, "since": rfc3339(given.at)} if told is not None else None


def _lines(ws: Workspace, key: ThreadKey) -> list[Message]:
    contacts = ws.threads[key].contacts
    lines = [m for contact in contacts for m in ws.contacts[contact].messages if m.thread == key]
    return sorted(lines, key=lambda message: message.thread_seq)


def delivery_doc(ws: Workspace, message_id: MessageId) -> Doc | None:
    """A reply or an attempt on its way; None once its fate is known, or nobody waits for it any more."""
    outbound_id = ws.attempts.get(message_id)
    if outbound_id is not None:
        return _attempt_delivery(ws.outbounds[outbound_id], message_id)
    known = ws.messages.get(message_id)
    if known is None or known[1].status in FINAL_DELIVERIES:
        return None
    contact_id, message = known
    return {
        "message": message.id,
        "contact": contact_id,
        "channel": message.channel,
        "account": message.account,
        "thread": message.thread,
        "address": ws.contacts[contact_id].sender,
        "ref": message.ref,
        "agent": message.author,
        "queued_at": message.at,
        "status": message.status,
    }


def _attempt_delivery(outbound: Outbound, message_id: MessageId) -> Doc | None:
    """An attempt as an adapter delivers it: like a reply that no agent wrote."""
    attempt = outbound.under_way
    if attempt is None or attempt.id != message_id or attempt.status in FINAL_DELIVERIES:
        return None
    return {
        "message": attempt.id,
        "contact": outbound.contact,
        "channel": attempt.channel,
        "account": attempt.account,
        "thread": attempt.thread,
        "address": attempt.address,
        "ref": outbound.content_ref,
        "agent": "",
        "queued_at": attempt.at,
        "status": attempt.status,
    }


def outbound_doc(outbound: Outbound) -> Doc:
    """What became of an outbound message so far."""
    route = outbound.route
    return {
        "id": outbound.id,
        "source_key": outbound.source_key,
        "contact_id": outbound.contact,
        "state": outbound.state.value,
        "reason": outbound.reason or None,
        "created_at": rfc3339(outbound.created_at),
        "deadline": rfc3339(outbound.deadline),
        "ended_at": _time(outbound.ended_at),
        "attempts": [
            {
                "id": attempt.id,
                "step": attempt.step,
                "channel": channel_name(attempt.channel, attempt.account),
                "until": route[attempt.step].until.value,
                "status": attempt.status,
                "at": rfc3339(attempt.at),
                "status_at": rfc3339(attempt.status_at),
                "given_up": attempt.given_up or None,
                "duplicate_delivered": attempt.duplicate_delivered,
            }
            for attempt in outbound.attempts
        ],
        "skipped": [
            {"step": step, "channel": channel_name(route[step].channel, route[step].account), "reason": reason}
            for step, reason in outbound.skipped
        ],
    }


def queue_doc(ws: Workspace, index: Index, name: str) -> Doc:
    """A queue's live numbers."""
    counts = index.queues[name]
    oldest = counts.pending.first()[0] if counts.pending else None
    return {
        "name": name,
        "waiting": counts.waiting,
        "offered": counts.offered,
        "assigned": counts.assigned,
        "oldest_enqueued_at": rfc3339(oldest) if oldest is not None else None,
        "staffed": counts.staffed,
        "available": counts.available,
        "open": name not in index.closed,
        "frozen": name in ws.frozen,
        "max_per_agent": ws.queue_limits.get(name, ws.policy.queues[name].max_per_agent),
        "limited_by_hand": name in ws.queue_limits,
        "wait_ranges": _wait_ranges(ws, name),
        "_oldest_ms": oldest,
    }


def _wait_ranges(ws: Workspace, queue: str) -> Doc:
    """By kind of channel what is said to whoever comes now; null where the bounds are not calibrated."""
    lines = {kind.value: ws.lines.get(line_name(queue, kind.value)) for kind in ChannelKind}
    return {kind: wait_range(said_of(line)) for kind, line in lines.items() if line is not None}


def channel_doc(ws: Workspace, name: str) -> Doc:
    """A channel's health and where its contacts may go."""
    state = ws.channels[name]
    policy = ws.policy.channels[name]
    return {
        "channel": name,
        "kind": state.kind,
        "account": state.account,
        "state": state.state.value,
        "since": rfc3339(state.since),
        "evidence": state.evidence,
        "reported": state.reported.value if state.reported is not None else None,
        "failures": state.failures,
        "well_since": rfc3339(state.well_since) if state.well_since is not None else None,
        "queue": policy.queue,
        "alternatives": [f"{kind}:{account}" for kind, account in policy.fallback],
        "maintenance": None,
    }


def key_doc(key: Key) -> Doc:
    """A key by its hash."""
    return {
        "key_id": key.key_id,
        "key_hash": key.key_hash,
        "role": key.role.value,
        "agent": key.agent,
        "label": key.label,
    }


def answer_doc(command_id: str, answer: Answer) -> Doc:
    """What a command was told."""
    refused = None
    if answer.refused is not None:
        reason, detail, field = answer.refused
        refused = {"reason": reason, "detail": detail, "field": field}
    return {
        "command_id": command_id,
        "seq": answer.seq,
        "refused": refused,
        "subject": answer.subject,
        "digest": answer.digest,
        "note": answer.note,
        "actor": answer.actor,
    }
