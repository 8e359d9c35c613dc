"""Events and states as a line each, in the words of the transcripts: names for ids, spans for times."""

from __future__ import annotations

from dataclasses import fields
from functools import singledispatchmethod

from shared.contracts import events as ev
from tests.builders import START, Centre


def span(ms: int) -> str:
    """1m30s for 90,000 ms."""
    if ms == 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


class Teller:
    """Tells what happens in one centre."""

    def __init__(self, centre: Centre) -> None:
        self.centre = centre
        self.customers: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def name(self, contact: str) -> str:
        """A contact by its source key, also after it was forgotten."""
        known = self.centre.ws.contacts.get(contact)  # type: ignore[call-overload]  # any id may be asked for
        if known is not None:
            self._names[contact] = known.source_key
        return self._names.get(contact, contact)

    @staticmethod
    def when(at: int) -> str:
        return span(at - START)

    def show(self, name: str) -> str:
        """How a contact or an agent is now."""
        agent = self.centre.ws.agents.get(name)  # type: ignore[call-overload]  # it may be a contact's name
        if agent is not None:
            desk = "" if agent.reachable else ", desk silent"
            wrap_up = f", wrap-up until {self.when(agent.wrap_up_until)}" if agent.wrap_up_until is not None else ""
            return f"{name}: {agent.presence}{desk}{wrap_up}, holds {', '.join(self.centre.holds(name)) or 'nothing'}"
        contact = self.centre.contact(name)
        with_whom = f" {contact.agent}" if contact.agent else ""
        offered = "".join(f" to {who}" for who in self.centre.offered_to(name))
        return (
            f"{name}: {contact.state.value}{with_whom}{offered} in {contact.queue} on {contact.channel}, "
            f"waiting counts from {self.when(contact.age_from)}"
        )

    # Events

    @singledispatchmethod
    def tell(self, event: ev.Event) -> str:
        """One line, or nothing for what no reader of a story wants to know."""
        shown = [str(getattr(event, part.name)) for part in fields(event) if part.name not in ("contact", "agent")]
        who = getattr(event, "agent", None)
        contact = getattr(event, "contact", None)
        subject = [self.name(contact)] if contact else [who] if who else []
        return " ".join([type(event).__name__, *subject, *(part for part in shown if part not in ("", "None", "()"))])

    @tell.register
    def _(self, event: ev.DayTurned) -> str:
        return ""

    @tell.register
    def _(self, event: ev.AgentProfileSet) -> str:
        return f"AgentProfileSet {event.agent}"

    @tell.register
    def _(self, event: ev.PolicyAdopted) -> str:
        return f"PolicyAdopted version {event.version}"

    @tell.register
    def _(self, event: ev.AgentPresenceChanged) -> str:
        then = f" then {event.next_presence}" if event.next_presence else ""
        switches = "".join(f" {kind} {'on' if on else 'off'}" for kind, on in event.channels.items())
        cause = "" if event.cause == "agent" else f" ({event.cause})"
        return f"AgentPresenceChanged {event.agent} {event.presence}{then}{switches}{cause}"

    @tell.register
    def _(self, event: ev.AgentLost) -> str:
        return f"AgentLost {event.agent}, grace until {self.when(event.grace_until)}"

    @tell.register
    def _(self, event: ev.WrapUpExtended) -> str:
        return f"WrapUpExtended {event.agent} until {self.when(event.until)}"

    @tell.register
    def _(self, event: ev.ContactCreated) -> str:
        later = f" for {self.when(event.scheduled_at)}" if event.scheduled_at is not None else ""
        language = f", language {event.language} ({event.language_reason})"
        again = f", after {self.name(event.previous)}" if event.previous else ""
        return f"ContactCreated {self.name(event.contact)} in {event.queue}{later}{language}{again}"

    @tell.register
    def _(self, event: ev.MessageReceived) -> str:
        language = f", language {event.language}" if event.language else ""
        return f"MessageReceived {self.name(event.contact)} on {event.channel}{language}"

    @tell.register
    def _(self, event: ev.OfferMade) -> str:
        return f"OfferMade {self.name(event.contact)} -> {event.agent} until {self.when(event.expires_at or 0)}"

    @tell.register
    def _(self, event: ev.OfferAccepted) -> str:
        return f"OfferAccepted {self.name(event.contact)} -> {event.agent}"

    @tell.register
    def _(self, event: ev.OfferDeclined) -> str:
        retry = f", again from {self.when(event.retry_at)}" if event.retry_at is not None else ""
        return f"OfferDeclined {self.name(event.contact)} -> {event.agent}{retry}"

    @tell.register
    def _(self, event: ev.OfferExpired) -> str:
        retry = f", again from {self.when(event.retry_at)}" if event.retry_at is not None else ""
        return f"OfferExpired {self.name(event.contact)} -> {event.agent} (missed {event.missed}){retry}"

    @tell.register
    def _(self, event: ev.OfferWithdrawn) -> str:
        return f"OfferWithdrawn {self.name(event.contact)} -> {event.agent} ({event.reason})"

    @tell.register
    def _(self, event: ev.ContactRequeued) -> str:
        return f"ContactRequeued {self.name(event.contact)} from {event.agent} ({event.reason})"

    @tell.register
    def _(self, event: ev.ContactCompleted) -> str:
        wrap_up = f", wrap-up until {self.when(event.wrap_up_until)}" if event.wrap_up_until is not None else ""
        return f"ContactCompleted {self.name(event.contact)} by {event.agent}{wrap_up}"

    @tell.register
    def _(self, event: ev.ContactAbandoned) -> str:
        return f"ContactAbandoned {self.name(event.contact)} after {span(event.waited)}"

    @tell.register
    def _(self, event: ev.ReplyQueued) -> str:
        return f"ReplyQueued {self.name(event.contact)} by {event.agent} on {event.channel}"

    @tell.register
    def _(self, event: ev.ChannelHealthChanged) -> str:
        return f"ChannelHealthChanged {event.channel} {event.state.value} ({event.evidence})"

    @tell.register
    def _(self, event: ev.ContactRedirected) -> str:
        refused = "".join(f", not {name} ({why})" for name, why in event.refused)
        return f"ContactRedirected {self.name(event.contact)} {event.from_channel} -> {event.channel}{refused}"

    @tell.register
    def _(self, event: ev.RedirectRefused) -> str:
        refused = "".join(f", not {name} ({why})" for name, why in event.refused)
        return f"RedirectRefused {self.name(event.contact)}{refused}"

    @tell.register
    def _(self, event: ev.Resumed) -> str:
        return f"Resumed after {span(event.gap)}"

    @tell.register
    def _(self, event: ev.CommandRefused) -> str:
        return f"CommandRefused {event.reason}: {event.detail}"

    @tell.register
    def _(self, event: ev.CommandNoted) -> str:
        return f"CommandNoted {event.reason}" + (f" {self.name(event.subject)}" if event.subject else "")
