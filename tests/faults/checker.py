"""Judges a run: what the outside was promised against what the public outputs say, and these against themselves.

The feed is booked into the simulation's ledger, which shares no code with the engine and knows the invariants of
`docs/architecture.md`; this module adds what only the outside can know. Every finding is a sentence that begins with
the invariant's number (or `feed`, `view`, `text`, `end`, `trouble`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from tests.faults.booked import Booked
from tests.faults.ending import READY_S, met
from tests.faults.gaps import BOUNDS_S, SILENCE_S, gaps, silences
from tests.faults.history import WRITTEN, History, Operation, Outcome, Standing
from tests.faults.outputs import Outputs
from tests.faults.patience import HANG_S
from tests.faults.watchers import digest_of
from tests.simulation.ledger import WorkspaceBook

MOST: Final = 200
"""So many findings of one kind are enough."""
MARGIN_S: Final = 10.0
"""Between the wait for a process and what is noted of it."""

Event = Mapping[str, Any]


class Checker:
    """One run's judgement; `findings` is empty if nothing is wrong.

    The pairs of the matching rule are computed by trying everybody with everything, which is slow: of the offers only
    every `every`-th is held against them. What an offer has to keep to by itself is asked of each.
    """

    def __init__(self, history: History, outputs: Outputs, *, every: int = 1) -> None:
        self.history = history
        self.outputs = outputs
        self.findings: list[str] = []
        self.lost = self.doubled = 0
        """Acknowledged messages that are nowhere, and messages that were taken more than once."""
        self._every = every
        self._by_kind: Counter[str] = Counter()
        self._events = outputs.events

    def check(self) -> list[str]:
        """All findings."""
        for trouble in self.history.troubles:
            self._find("trouble", f"{trouble.what} at {trouble.at:.1f} s: {trouble.detail}")
        self._check_feed()
        book = Booked(self._find, every=self._every).all_of(self._events)
        self._check_followers()
        self._check_messages()
        self._check_offers()
        self._check_replies_and_ends()
        self._check_transfers()
        self._check_answers()
        self._check_readings()
        self._check_replicas()
        self._check_contacts(book)
        self._check_histories()
        self._check_transcripts()
        self._check_times()
        self._check_standings()
        self._check_agreement()
        return self.findings

    def _find(self, invariant: str, text: str) -> None:
        self._by_kind[invariant] += 1
        if self._by_kind[invariant] <= MOST:
            self.findings.append(f"[{invariant}] {text}")

    # The feed by itself

    def _check_feed(self) -> None:
        """Ids rise, numbers have no gap, no id comes twice, and all of it lies on one partition."""
        before: tuple[int, ...] = ()
        number: int | None = None
        for event in self._events:
            place = _place(event["id"])
            if before and place[0] != before[0]:
                self._find("9", f"event {event['id']} is of another partition than {':'.join(map(str, before))}")
            if place <= before:
                self._find("9", f"event {event['id']} comes after {':'.join(map(str, before))}")
            if number is not None and event["sequence"] != number + 1:
                self._find("9", f"event {event['id']} has the number {event['sequence']} after {number}")
            before, number = place, event["sequence"]

    def _check_followers(self) -> None:
        """Whoever followed the feed through the trouble got what it holds now: each event, once, in order."""
        known = {event["id"]: (index, digest_of(event)) for index, event in enumerate(self._events)}
        last: dict[str, int] = {}
        for seen in self.history.followed:
            if seen.id not in known:
                self._find("9", f"{seen.follower} got event {seen.id}, which is not in the feed")
                continue
            index, digest = known[seen.id]
            if digest != seen.digest:
                self._find("9", f"{seen.follower} got event {seen.id} with another content")
            if index != last.get(seen.follower, index - 1) + 1:
                self._find("9", f"{seen.follower} got event {seen.id} after {self._id(last[seen.follower])}")
            last[seen.follower] = index

    def _id(self, index: int) -> str:
        return str(self._events[index]["id"])

    # What was promised

    def _check_messages(self) -> None:
        """Each acknowledged message is in exactly one contact, and nobody's message was made up."""
        taken: dict[str, list[str]] = defaultdict(list)
        for event in self._of("MessageReceived", "MessageIgnored"):
            taken[event["data"]["source_key"]].append(event["data"].get("contact") or "")
        written = {operation.key for operation in self.history.of(*WRITTEN)}
        for key, contacts in taken.items():
            if len(contacts) > 1:
                self.doubled += 1
                self._find("1", f"message {key} was taken {len(contacts)} times: {contacts}")
            if key not in written:
                self._find("1", f"message {key} was never written")
        for operation in self.history.of(*WRITTEN, outcome=Outcome.OK):
            contacts = taken.get(operation.key, [])
            if not contacts:
                self.lost += 1
                self._find("1", f"message {operation.key} was acknowledged at {operation.end:.1f} s and is lost")
            promised = operation.told.get("subject")
            if promised is not None and contacts and contacts[0] != promised:
                self._find("1", f"message {operation.key} was told to be in {promised}, it is in {contacts[0]}")
        # Where nobody knows, it may be either.
        unsure = {operation.key for operation in self.history.of(*WRITTEN) if operation.outcome is not Outcome.REFUSED}
        for operation in self.history.of(*WRITTEN, outcome=Outcome.REFUSED):
            if operation.key in taken and operation.key not in unsure:
                words = f"with {operation.status} at {operation.end:.1f} s"
                self._find("9", f"{operation.kind} {operation.key} was refused {words} and taken")
        for operation in self.history.of(*WRITTEN):
            if operation.unfit and (operation.outcome is Outcome.OK or operation.key in taken):
                self._find("9", f"{operation.kind} {operation.key} had to be refused, and was told {operation.status}")

    def _check_offers(self) -> None:
        """An accept that was answered is in the feed once, a refused one is not, and nobody has another's offer."""
        made = {event["data"]["offer"]: event["data"]["agent"] for event in self._of("OfferMade")}
        accepted: dict[str, list[str]] = defaultdict(list)
        declined: Counter[str] = Counter()
        for event in self._of("OfferAccepted"):
            accepted[event["data"]["offer"]].append(event["data"]["agent"])
        for event in self._of("OfferDeclined"):
            declined[event["data"]["offer"]] += 1
        for offer, agents in accepted.items():
            if len(agents) > 1:
                self._find("2", f"offer {offer} was accepted {len(agents)} times, by {agents}")
        for operation in self.history.of("accept"):
            by = accepted.get(operation.about, [])
            if operation.outcome is Outcome.OK and by != [operation.who]:
                self._find("2", f"{operation.who} was told that {operation.about} is theirs; accepted by {by}")
            if operation.outcome is Outcome.REFUSED and by == [operation.who]:
                self._find("9", f"{operation.who} was refused {operation.about} and has it")
        for operation in self.history.of("steal"):
            if operation.outcome is Outcome.OK or accepted.get(operation.about) == [operation.who]:
                self._find("2", f"{operation.who} got the offer {operation.about} of {made.get(operation.about)}")
        for operation in self.history.of("reject", outcome=Outcome.OK):
            if declined[operation.about] != 1:
                self._find("9", f"{operation.who} was told to have declined {operation.about}")
        for sighting in self.history.sightings.values():
            if made.get(sighting.offer) != sighting.agent:
                self._find("view", f"{sighting.agent} saw {sighting.offer}, made to {made.get(sighting.offer)}")

    def _check_replies_and_ends(self) -> None:
        """Replies, completions, give-backs and departures that were answered are in the feed once."""
        replies = Counter(event["data"]["message"] for event in self._of("ReplyQueued"))
        ends: dict[str, Counter[str]] = {
            kind: Counter(event["data"]["contact"] for event in self._of(name))
            for kind, name in (("complete", "ContactCompleted"), ("abandon", "ContactAbandoned"))
        }
        back = Counter(
            (event["data"]["contact"], event["data"]["agent"])
            for event in self._of("ContactRequeued")
            if event["data"]["reason"] == "agent"
        )
        told = Counter[str]()
        for operation in self.history.of("reply", outcome=Outcome.OK):
            message = operation.told["subject"]
            told[message] += 1
            if replies[message] != 1:
                self._find("9", f"reply {message} was acknowledged and is there {replies[message]} times")
        for message, times in told.items():
            if times > 1:
                self._find("9", f"{times} replies were told to be {message}")
        unsure = sum(1 for _ in self.history.of("reply", outcome=Outcome.UNKNOWN))
        if len(replies) > len(told) + unsure:
            self._find("9", f"{len(replies)} replies, but {len(told)} acknowledged and {unsure} unknown")
        for kind, counted in ends.items():
            for operation in self.history.of(kind, outcome=Outcome.OK):
                if counted[operation.about] != 1:
                    self._find("9", f"{kind} of {operation.about} was acknowledged; there {counted[operation.about]}")
        promised = Counter((o.about, o.who) for o in self.history.of("requeue", outcome=Outcome.OK))
        for (contact, agent), times in promised.items():
            if back[contact, agent] < times:
                self._find("9", f"{agent} gave {contact} back {times} times; there {back[contact, agent]}")

    def _check_transfers(self) -> None:
        """Whoever was told that they handed a contact on did so, once for each time."""
        handed_on = Counter(
            event["data"]["contact"]
            for event in self._of("ContactMoved", "ContactAssigned")
            if event["data"]["reason"] == "transfer"
        )
        promised = Counter(operation.about for operation in self.history.of("transfer", outcome=Outcome.OK))
        unsure = Counter(operation.about for operation in self.history.of("transfer", outcome=Outcome.UNKNOWN))
        for contact in promised.keys() | handed_on.keys():
            there, times = handed_on[contact], promised[contact]
            if not times <= there <= times + unsure[contact]:
                self._find("9", f"{contact} was handed on {times} times, as was told; there {there}")

    def _check_answers(self) -> None:
        """One key, one answer: repeated calls are told the same as the first."""
        first: dict[tuple[str, str], Operation] = {}
        for operation in self.history.operations:
            if operation.outcome is Outcome.UNKNOWN:
                continue
            known = first.setdefault((operation.who, operation.key), operation)
            if known is operation:
                continue
            if known.outcome is not operation.outcome:
                words = f"{known.outcome} ({known.status}) and {operation.outcome} ({operation.status})"
                self._find("9", f"{operation.who} was told of {operation.key}: {words}")
            for name in ("subject", "seq"):
                # Some answers hold the resource and some the bare decision, so not each of them has both.
                before, now = known.told.get(name), operation.told.get(name)
                if known.outcome is Outcome.OK and None not in (before, now) and before != now:
                    words = f"{before} and {now}"
                    self._find("9", f"{operation.who} was told of {operation.key}: {name} {words}")

    def _check_readings(self) -> None:
        for reading in self.history.readings:
            if reading.seq < reading.min_seq:
                words = f"of {reading.seq} after an own change in {reading.min_seq}"
                self._find("9", f"{reading.who} read {reading.contact} {words}")

    def _check_replicas(self) -> None:
        """Equal number, equal head, equal state: over all replicas and all of the run."""
        heads: dict[tuple[int, int], str] = {}
        states: dict[tuple[int, int], str] = {}
        for seen in [*self.history.replicas, *self.outputs.replicas]:
            place = (seen.partition, seen.seq)
            if heads.setdefault(place, seen.head) != seen.head:
                self._find("7", f"{seen.replica} holds another entry {seen.seq} of partition {seen.partition}")
            if seen.state_seq is None or seen.state_hash is None:
                continue
            if states.setdefault((seen.partition, seen.state_seq), seen.state_hash) != seen.state_hash:
                words = f"after entry {seen.state_seq} of partition {seen.partition}"
                self._find("7", f"{seen.replica} has another state {words}")

    # The views, when all is quiet

    def _check_contacts(self, book: WorkspaceBook) -> None:
        """Received = open + ended, and every contact's document says what the feed says."""
        times = Counter(contact["id"] for contact in self.outputs.contacts)
        for contact, count in times.items():
            if count > 1:
                self._find("1", f"contact {contact} is listed {count} times")
        listed = {contact["id"]: contact for contact in self.outputs.contacts}
        for contact in listed.keys() - book.contacts.keys():
            self._find("1", f"contact {contact} is listed and not in the feed")
        for contact in book.contacts.keys() - listed.keys():
            self._find("1", f"contact {contact} is in the feed and not listed")
        for contact in listed.keys() & book.contacts.keys():
            known, document = book.contacts[contact], listed[contact]
            agent = document["agent"] if document["state"] == "assigned" else known.agent
            if (document["state"], agent) != (known.state, known.agent):
                words = f"{document['state']} of {document['agent']}, by the feed {known.state} of {known.agent}"
                self._find("view", f"contact {contact} is {words}")
        still_open = [contact.id for contact in book.contacts.values() if contact.ended_at is None]
        if book.received != len(still_open) + book.ended:
            self._find("1", f"{book.received} received, {len(still_open)} open, {book.ended} ended")
        if still_open:
            self._find("8", f"{len(still_open)} contacts were not served in the time to do so: {still_open[:5]}")

    def _check_histories(self) -> None:
        """A contact's own history and the feed tell the same events."""
        by_contact: dict[str, dict[str, Event]] = defaultdict(dict)
        for event in self._events:
            if event["data"].get("contact") in self.outputs.histories:
                by_contact[event["data"]["contact"]][event["id"]] = event
        for contact, items in self.outputs.histories.items():
            ids = [item["id"] for item in items]
            if ids != sorted(set(ids), key=_place):
                self._find("9", f"the history of {contact} is not in order: {ids}")
            if set(ids) != by_contact[contact].keys():
                self._find("9", f"history and feed of {contact} differ in {set(ids) ^ by_contact[contact].keys()}")
            for item in items:
                data = by_contact[contact].get(item["id"], {"data": {}})["data"]
                if any(item.get(name) != value for name, value in data.items()):
                    self._find("9", f"event {item['id']} is another one in the history of {contact}")

    def _check_transcripts(self) -> None:
        """Whoever reads a contact's transcript reads what was written, all of it, once and in order."""
        spoken: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for event in self._of("MessageReceived", "ReplyQueued"):
            data = event["data"]
            way, key = ("customer", data["source_key"]) if "source_key" in data else ("agent", data["message"])
            spoken[data["contact"]].append((data["message"], way, key))
        sent = _Sent.of(self.history)
        for contact, lines in self.outputs.transcripts.items():
            for message, times in Counter(line["id"] for line in lines).items():
                if times > 1:
                    self._find("text", f"message {message} is {times} times in the transcript of {contact}")
            read = {line["id"]: line for line in lines}
            order = [message for message, _, _ in spoken[contact]]
            if list(read) != order:
                self._find("text", f"the transcript of {contact} has the messages {list(read)}, by the feed {order}")
            for message, way, key in spoken[contact]:
                line = read.get(message)
                if line is None:
                    continue  # Missing, as was just said.
                texts = sent.texts(way, key, contact)
                if line["direction"] != way:
                    self._find("text", f"message {message} of {contact} is the {line['direction']}'s, not the {way}'s")
                if texts and line["text"] not in texts:
                    self._find("text", f"message {message} of {contact} reads {line['text']!r}, not {min(texts)!r}")

    # Time

    def _check_times(self) -> None:
        """No request hangs, and offers come again after whatever was done. The bounds are such that only a hang breaks
        them; what was measured is in the report."""
        for late in self.history.lates:
            # The process itself may have been stood still meanwhile, which is not its fault.
            began = late.at - late.seconds
            still = sum(
                max(0.0, min(fault.until, late.at) - max(fault.at, began))
                for fault in self.history.faults
                if fault.kind == "api-pause"
            )
            if late.seconds - still > HANG_S - 1.0:
                told = f"answered {late.status}" if late.status else "not answered"
                self._find("time", f"{late.who}: {late.what} was {told} after {late.seconds:.0f} s, at {late.at:.1f} s")
        for gap in gaps(self.history, BOUNDS_S):
            if not gap.shadowed and gap.seconds > BOUNDS_S[gap.kind]:
                words = f"{gap.kind} of {gap.target} at {gap.at:.1f} s"
                self._find("time", f"no offer for {gap.seconds:.1f} s around {words}")
        mended = self.history.mended
        for begin, end in silences(self.history, mended.at) if mended is not None else ():
            if end - begin > SILENCE_S:
                self._find("time", f"no offer from {begin:.1f} s to {end:.1f} s, and nothing was broken")

    # The end

    def _check_standings(self) -> None:
        """Nobody ever stops a partition, and whoever was broken is ready in time and stays so."""
        stopped = {(seen.process, seen.reason): seen for seen in self.history.standings if "is stopped" in _words(seen)}
        for seen in stopped.values():
            self._find("end", f"{seen.process} at {seen.at:.1f} s: {seen.reason}")
        mended = self.history.mended
        if mended is None:
            self._find("end", "nobody noted that the faults were over")
            return
        for process in mended.processes:
            after = [seen for seen in self.history.standings if seen.process == process and seen.at >= mended.at]
            ready = next((seen.at for seen in after if seen.reason is None), None)
            if not after or after[-1].reason is not None:
                words = _words(after[-1]) if after else "nobody could ask it"
                self._find("end", f"{process} is not ready at the end: {words}")
            elif ready is not None and ready - mended.at > READY_S + MARGIN_S:
                words = f"{ready - mended.at:.0f} s after the last fault ({_words(after[0])})"
                self._find("end", f"{process} was not ready until {words}")

    def _check_agreement(self) -> None:
        """Replicas told of one and the same state that is newer than the last fault; `_check_replicas` compares."""
        mended = self.history.mended
        if mended is not None and not met(self.history):
            told: dict[str, int] = {}
            for seen in self.history.replicas:
                if seen.partition == mended.partition and seen.state_seq is not None:
                    told[seen.replica] = seen.state_seq
            words = f"{mended.copies} replicas of a state after entry {mended.seq}"
            self._find("7", f"after the last fault nobody saw {words}; last seen: {told}")

    def _of(self, *names: str) -> Iterator[Event]:
        wanted = {f"switchdesk.{name}" for name in names}
        return (event for event in self._events if event["type"] in wanted)


class _Sent:
    """The texts that were sent."""

    def __init__(self) -> None:
        self._messages: dict[str, set[str]] = defaultdict(set)
        self._replies: dict[str, set[str]] = defaultdict(set)
        self._unsure: dict[str, set[str]] = defaultdict(set)

    @classmethod
    def of(cls, history: History) -> Self:
        """All of a run. Of a reply whose fate was never told only the contact is known."""
        sent = cls()
        for operation in history.of(*WRITTEN, "reply"):
            if operation.text is None:
                continue
            if operation.kind != "reply":
                sent._messages[operation.key].add(operation.text)
            elif operation.outcome is Outcome.OK:
                sent._replies[operation.told["subject"]].add(operation.text)
            else:
                sent._unsure[operation.about].add(operation.text)
        return sent

    def texts(self, way: str, key: str, contact: str) -> set[str]:
        """What a message may read: `key` is its source key on the way in, its id on the way out. Empty for one that
        nobody wrote, which is found elsewhere."""
        if way == "customer":
            return self._messages.get(key, set())
        return self._replies.get(key, set()) or self._unsure.get(contact, set())


def check(history: History, outputs: Outputs, *, every: int = 1) -> list[str]:
    """All findings about a run; an empty list if nothing is wrong."""
    return Checker(history, outputs, every=every).check()


def _words(seen: Standing) -> str:
    return (seen.reason or "ready").strip()


def _place(id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in id.split(":"))
