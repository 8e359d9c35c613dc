"""A short, sound run made by hand: a feed, the history that fits it, the lists that fit both. Tests of the checker
doctor it, one lie at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shared.contracts import events as ev
from shared.contracts.commands import Reach
from shared.contracts.policy import Policy
from shared.times import rfc3339
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    CustomerId,
    MessageId,
    OfferId,
    QueueName,
    ThreadKey,
)
from tests.faults.history import (
    WRITTEN,
    Fault,
    Followed,
    History,
    Late,
    Mended,
    Operation,
    Outcome,
    Reading,
    Record,
    ReplicaSeen,
    Sighting,
    Standing,
)
from tests.faults.outputs import Outputs
from tests.faults.staff import POLICY
from tests.faults.watchers import digest_of

PARTITION: Final = 2
BEGAN: Final = 1_700_000_000_000
ANA, BEN = AgentId("ana"), AgentId("ben")
OFFER_S: Final = 30
"""How long an offer stays out, of whatever queue."""
_TOLD: Final = POLICY | {"queues": [queue | {"offer_timeout_s": OFFER_S} for queue in POLICY["queues"]]}

Fields = dict[str, Any]
Events = Sequence[ev.Event]
Raw = dict[str, Any]
"""An event as the feed gives it."""


@dataclass(slots=True)
class Story:
    """What a checker is given, in pieces that a test may change before it calls `told`."""

    events: list[Raw] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    contacts: list[Fields] = field(default_factory=list)
    replicas: list[ReplicaSeen] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lates: list[Late] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    mended: Mended | None = None
    followed: list[Followed] | None = None
    """None: the follower got exactly the feed."""
    histories: dict[str, list[Fields]] | None = None
    """None: every contact's history is what the feed says of it."""
    transcripts: dict[str, list[Fields]] | None = None
    """None: every contact's transcript is what was written, in the order of the feed."""
    entry: int = 1

    def told(self) -> tuple[History, Outputs]:
        """The story as a run would have left it."""
        history = History()
        followed = self.followed
        if followed is None:
            followed = [Followed(follower="f", id=e["id"], digest=digest_of(e), at=0.0) for e in self.events]
        records: list[Record] = [*self.operations, *self.readings, *self.sightings, *self.replicas, *followed]
        records += [*self.faults, *self.lates, *self.standings, *([self.mended] if self.mended is not None else [])]
        for record in records:
            history.add(record)
        histories = self.histories if self.histories is not None else self.true_histories()
        transcripts = self.transcripts if self.transcripts is not None else self.true_transcripts()
        return history, Outputs(
            events=self.events, contacts=self.contacts, histories=histories, transcripts=transcripts
        )

    def true_histories(self) -> dict[str, list[Fields]]:
        """Each contact's history by the feed."""
        return {
            contact["id"]: [
                {**e["data"], "id": e["id"], "type": e["type"]}
                for e in self.events
                if e["data"].get("contact") == contact["id"]
            ]
            for contact in self.contacts
        }

    def true_transcripts(self) -> dict[str, list[Fields]]:
        """What was written on each contact, by the feed and by those who wrote it."""
        written = {o.key: o.text for o in self.operations if o.kind in WRITTEN}
        written |= {o.told["subject"]: o.text for o in self.operations if o.kind == "reply"}
        lines: dict[str, list[Fields]] = {contact["id"]: [] for contact in self.contacts}
        for event in self.events:
            data = event["data"]
            if event["type"] in ("switchdesk.MessageReceived", "switchdesk.ReplyQueued"):
                way, key = ("customer", data["source_key"]) if "source_key" in data else ("agent", data["message"])
                line = {"id": data["message"], "direction": way, "text": written.get(key)}
                lines.setdefault(data["contact"], []).append(line)
        return lines

    # Telling it

    @property
    def next_ms(self) -> int:
        """The time of the next entry."""
        return BEGAN + (self.entry + 1) * 1000

    def say(self, *events: ev.Event) -> int:
        """One entry of the journal, a second after the one before; its number."""
        self.entry += 1
        for index, event in enumerate(events):
            name = f"switchdesk.{type(event).__name__}"
            self.events.append(
                {
                    "id": f"{PARTITION}:{self.entry}:{index}",
                    "type": name,
                    "time": rfc3339(BEGAN + self.entry * 1000),
                    "sequence": len(self.events) + 2,
                    "data": msgspec.to_builtins(event),
                }
            )
        return self.entry

    def did(self, kind: str, who: str, about: str, outcome: Outcome = Outcome.OK, **told: Any) -> None:
        """An operation of a client, and what it was told."""
        self.operations.append(
            Operation(
                kind=kind,
                who=who,
                key=about if kind == "message" else f"{kind}-{about}-{len(self.operations)}",
                about=about,
                start=float(self.entry),
                end=float(self.entry) + 0.1,
                outcome=outcome,
                status=200 if outcome is Outcome.OK else 409,
                told=told,
                text=f"{kind} about {about}" if kind in ("message", "reply") else None,
            )
        )

    # Changing it

    def see_at(self, *moments: float) -> None:
        """Desks see new offers at these times, the last of them when the run ends."""
        self.sightings = [dataclasses.replace(seen, at=at) for seen, at in zip(self.sightings, moments, strict=True)]
        assert self.mended is not None
        later = max(moments) - self.mended.at
        self.mended = dataclasses.replace(self.mended, at=max(moments))
        self.standings = [dataclasses.replace(seen, at=seen.at + later) for seen in self.standings]

    def find(self, name: str, number: int = 0) -> Raw:
        """The `number`-th event of a type."""
        return [event for event in self.events if event["type"] == f"switchdesk.{name}"][number]

    def drop(self, keep: Callable[[Raw], bool]) -> None:
        """Leave events out so that no gap shows: what is left is numbered anew."""
        self.events = [event for event in self.events if keep(event)]
        self.number()

    def number(self) -> None:
        """Give sequence numbers and indexes anew, in the order of the list."""
        before, index = "", 0
        for sequence, event in enumerate(self.events, start=2):
            place = event["id"].rpartition(":")[0]
            index = index + 1 if place == before else 0
            before = place
            event["id"] = f"{place}:{index}"
            event["sequence"] = sequence

    def change_operation(self, kind: str, number: int = 0, **fields: Any) -> Operation:
        """Put another operation in the place of the `number`-th of a kind."""
        places = [i for i, operation in enumerate(self.operations) if operation.kind == kind]
        place = places[number]
        self.operations[place] = dataclasses.replace(self.operations[place], **fields)
        return self.operations[place]


def sound() -> Story:
    """Three contacts: one served; one declined, given back and served by another; one redirected, then abandoned."""
    story = Story()
    _open(story)
    _first_contact(story)
    _second_contact(story)
    _third_contact(story)
    _look(story)
    return story


def _open(story: Story) -> None:
    story.say(ev.PolicyAdopted(version=1, policy=Policy.model_validate(_TOLD).model_dump(mode="json")))
    for agent in (ANA, BEN):
        story.say(
            ev.AgentProfileSet(
                agent=agent,
                name=agent,
                languages={"en": 5},
                skills={},
                queues=(),
                channels=(),
                capacity_total=2000,
                capacity_per_channel={},
                capacity_weights={},
            )
        )
        story.say(
            ev.AgentPresenceChanged(agent=agent, presence="available", cause="agent"), ev.AgentRegained(agent=agent)
        )


def arrives(
    story: Story,
    contact: str,
    queue: str = "money",
    channel: tuple[str, str] = ("telegram", "bot"),
    reach: Iterable[Reach] = (),
) -> tuple[ev.Event, ev.Event]:
    """A contact that the next entry can open, and its message."""
    kind, account = channel
    key = f"{kind}:{account}:message:{contact}"
    created = ev.ContactCreated(
        contact=ContactId(contact),
        source_key=key,
        channel=kind,
        account=account,
        thread=ThreadKey(f"t-{contact}"),
        customer=CustomerId(f"u-{contact}"),
        sender=AddressKey(f"a-{contact}"),
        queue=QueueName(queue),
        language="en",
        language_confidence=1.0,
        language_reason="stated",
        candidates=(),
        skills={},
        priority=0,
        attributes={},
        reach=tuple(reach),
        age_from=story.next_ms,
    )
    received = ev.MessageReceived(
        contact=ContactId(contact),
        message=MessageId(f"m-{contact}"),
        source_key=key,
        channel=kind,
        account=account,
        thread=ThreadKey(f"t-{contact}"),
        sender=AddressKey(f"a-{contact}"),
        content_ref=f"m:{contact}",
    )
    return created, received


def offer(story: Story, number: int, contact: str, agent: AgentId) -> ev.OfferMade:
    """An offer that the next entry can hold."""
    return ev.OfferMade(
        offer=OfferId(f"o{number}"),
        contact=ContactId(contact),
        agent=agent,
        expires_at=story.next_ms + OFFER_S * 1000,
        decision=ev.DecisionRecord(step=0, policy_version=1, strategy="longest_idle", considered=(), excluded={}),
    )


def arrived(story: Story, contact: str, channel: str = "telegram:bot") -> None:
    """The adapter was told so."""
    story.did("message", "customer-1", f"{channel}:message:{contact}", subject=contact, seq=story.entry)


def _sees(story: Story, number: int, contact: str, agent: str) -> None:
    story.sightings.append(Sighting(offer=f"o{number}", contact=contact, agent=agent, at=float(story.entry)))


def accepts(story: Story, number: int, contact: str, agent: AgentId, *before: ev.Event) -> None:
    """The agent takes the contact; `before`: what is taken back from others."""
    seq = story.say(*before, ev.OfferAccepted(offer=OfferId(f"o{number}"), contact=ContactId(contact), agent=agent))
    story.did("accept", agent, f"o{number}", subject=contact, seq=seq)
    story.readings.append(Reading(who=agent, contact=contact, min_seq=seq, seq=seq, at=float(seq)))


def completes(story: Story, contact: str, agent: AgentId, *, wrap_up: str | None = None, then: Events = ()) -> None:
    """The agent is done, and has a second of wrap-up towards a queue where it says so; `then`: in the same entry."""
    until = story.next_ms + 1000 if wrap_up else None
    done = ev.ContactCompleted(contact=ContactId(contact), agent=agent, wrap_up_until=until, wrap_up_queue=wrap_up)
    seq = story.say(done, *then)
    story.did("complete", agent, contact, subject=contact, seq=seq)
    story.contacts.append({"id": contact, "state": "completed", "agent": agent})


def _first_contact(story: Story) -> None:
    story.say(*arrives(story, "c1"), offer(story, 1, "c1", ANA))
    arrived(story, "c1")
    _sees(story, 1, "c1", ANA)
    story.did("steal", BEN, "o1", Outcome.REFUSED)
    accepts(story, 1, "c1", ANA)
    seq = story.say(
        ev.ReplyQueued(
            message=MessageId("r1"),
            contact=ContactId("c1"),
            agent=ANA,
            channel="telegram",
            account="bot",
            thread=ThreadKey("t-c1"),
            address=AddressKey("a-c1"),
            content_ref="r:1",
        )
    )
    story.did("reply", ANA, "c1", subject="r1", seq=seq)
    completes(story, "c1", ANA)


def _second_contact(story: Story) -> None:
    story.say(*arrives(story, "c2"), offer(story, 2, "c2", BEN))
    arrived(story, "c2")
    _sees(story, 2, "c2", BEN)
    declined = ev.OfferDeclined(offer=OfferId("o2"), contact=ContactId("c2"), agent=BEN, reason="")
    seq = story.say(declined, offer(story, 3, "c2", ANA))
    story.did("reject", BEN, "o2", subject="c2", seq=seq)
    accepts(story, 3, "c2", ANA)
    back = ev.ContactRequeued(contact=ContactId("c2"), agent=ANA, reason="agent")
    seq = story.say(back, offer(story, 4, "c2", BEN))
    story.did("requeue", ANA, "c2", subject="c2", seq=seq)
    accepts(story, 4, "c2", BEN)
    completes(story, "c2", BEN)


def _third_contact(story: Story) -> None:
    for failures, state in ((1, ChannelHealth.DEGRADED), (2, ChannelHealth.DOWN)):
        story.say(
            ev.ChannelHealthChanged(
                channel="telegram",
                account="bot",
                state=state,
                evidence="",
                reported=ChannelHealth.DOWN if state is not ChannelHealth.DOWN else None,
                failures=failures,
            )
        )
    ways = [
        Reach(channel=channel, account=account, key=AddressKey(f"a-{channel}"), verified=True, consent=True)
        for channel, account in (("messenger", "page"), ("email", "support@shop.example"))
    ]
    story.say(
        *arrives(story, "c3", reach=ways),
        ev.ContactRedirected(
            contact=ContactId("c3"),
            from_channel="telegram",
            from_account="bot",
            channel="messenger",
            account="page",
            thread=ThreadKey("t-c3-m"),
            address=AddressKey("a-messenger"),
            rule="channel_down",
            evidence="",
        ),
        offer(story, 5, "c3", ANA),
    )
    arrived(story, "c3")
    withdrawn = ev.OfferWithdrawn(offer=OfferId("o5"), contact=ContactId("c3"), agent=ANA, reason="abandoned")
    seq = story.say(withdrawn, ev.ContactAbandoned(contact=ContactId("c3"), waited=1000))
    story.did("abandon", "customer-1", "c3", subject="c3", seq=seq)
    story.contacts.append({"id": "c3", "state": "abandoned", "agent": None})


def _look(story: Story) -> None:
    for replica in ("engine-1", "engine-2"):
        story.replicas.append(
            ReplicaSeen(
                replica=replica,
                partition=PARTITION,
                leader=replica == "engine-1",
                seq=story.entry,
                head="h",
                state_seq=story.entry,
                state_hash="s",
                at=float(story.entry),
            )
        )
    story.mended = Mended(
        processes=("engine-1", "engine-2"), partition=PARTITION, copies=2, seq=story.entry - 1, at=float(story.entry)
    )
    for process in story.mended.processes:
        story.standings += [
            Standing(process=process, reason="partition 2 is recovering", at=1.0),
            Standing(process=process, reason=None, at=story.entry + 1.0),
        ]
