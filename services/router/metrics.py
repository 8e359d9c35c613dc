"""Every metric of the router, with its help line: `docs/metrics.md` lists them, and a test holds the two equal.

Base units (seconds, bytes), Prometheus' suffixes, and labels from closed sets only: whatever is not in its set is
counted as `other`, so that no customer, agent or stranger can make a series. There is no workspace label.

Counters count what the journal says, once per entry performed here; every formula of a contact centre (service level,
ASA, AHT, abandonment, occupancy) can be derived from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry

from services.router.engine.waits import HALF, KEPT_MEMORY, MOST, Line
from services.router.fairness_metrics import FairnessMetrics
from services.router.release import engine_compiled, this_release
from shared.contracts import events as ev
from shared.metrics import FAST_BUCKETS, OTHER, Catalogue, Metric, ProcessMetrics, closed
from shared.vocabulary import AutoClass, ChannelHealth, ChannelKind, ContactState, Delivery, Presence, Topic

WAIT_BUCKETS: Final = (
    1, 5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 240, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400,
)  # fmt: skip
"""The service levels that contact centres promise, then what mail takes."""
DECISION_BUCKETS: Final = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1)
SIZE_BUCKETS: Final = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576)
SHORT_ABANDON_MS: Final = 5_000

_CHANNELS: Final = frozenset(kind.value for kind in ChannelKind)
_WITHDRAWN: Final = frozenset(
    {
        "presence",
        "agent_lost",
        "channel_down",
        "cancelled",
        "abandoned",
        "profile",
        "policy",
        "accepted_by_another",
        "moved",
        "age",
        "assigned",
    }
)
_QUEUED: Final = frozenset({"received", "due", "declined", "expired", "withdrawn", "requeued", "agent_lost"})
_REQUEUED: Final = frozenset({"agent", "supervisor", "agent_lost", "full"})
_IGNORED: Final = frozenset({"refers_to_nothing", *(auto.value for auto in AutoClass)})
_OUTBOUND_OUTCOMES: Final = frozenset(
    {
        "made",
        "succeeded",
        "failed",
        "rejected",
        "no_status",
        "channel_down",
        "unknown_channel",
        "no_address",
        "not_verified",
        "no_consent",
    }
)
_OUTBOUND_ENDS: Final = frozenset({"delivered", "read", "answered", "exhausted", "deadline"})
_REFUSED: Final = frozenset(
    {
        "invalid_route",
        "unknown_workspace",
        "unknown_agent",
        "unknown_contact",
        "unknown_offer",
        "unknown_queue",
        "unknown_flow",
        "no_room",
        "unreachable",
        "channel_down",
        "not_there",
        "too_many",
        "unknown_channel",
        "unknown_presence",
        "unknown_message",
        "unknown_key",
        "not_yours",
        "offer_expired",
        "offer_withdrawn",
        "offer_declined",
        "offer_accepted_by_another",
        "wrong_state",
        "no_wrap_up",
        "already_exists",
        "policy_invalid",
        "cannot_reply",
        "forbidden",
        "duplicate_key",
        "id_reused",
    }
)


class QueueNow(NamedTuple):
    """One queue of one workspace as it is now."""

    queue: str
    waiting: int
    oldest_age_s: float
    staffed: int

    def with_another(self, other: QueueNow) -> QueueNow:
        """Both under one name: all who wait, the oldest, and the agents of the one that has fewer."""
        return QueueNow(
            self.queue,
            self.waiting + other.waiting,
            max(self.oldest_age_s, other.oldest_age_s),
            min(self.staffed, other.staffed),
        )


class RouterMetrics:
    """The router's metrics on a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._names = Catalogue(registry)
        self.registry = self._names.registry
        self.process = ProcessMetrics(self._names)
        self.fairness = FairnessMetrics(self._names)
        self._queues: frozenset[str] = frozenset()
        self._accounts: frozenset[str] = frozenset()
        self._dated: set[tuple[str, str]] = set()
        """The labels of contacts by deadlines that were there at some time."""
        self._presences: frozenset[str] = frozenset(presence.value for presence in Presence)
        self._answered_at: dict[str, int] = {}
        self._wrap_up_from: dict[str, int] = {}
        self._define_contacts()
        self._define_agents()
        self._define_channels()
        self._define_machine()

    @property
    def catalogue(self) -> list[Metric]:
        """Everything that there is, for the page that lists it."""
        return self._names.metrics

    # The names

    def _define_contacts(self) -> None:
        by_queue = ("channel", "queue")
        self.contacts_received = self._names.counter(
            "switchdesk_contacts_received_total", "Contacts that came in (offered, in call centres' words).", by_queue
        )
        self.contacts_answered = self._names.counter(
            "switchdesk_contacts_answered_total", "Contacts that an agent accepted, each time they were.", by_queue
        )
        self.contacts_ended = self._names.counter(
            "switchdesk_contacts_ended_total",
            "Contacts that ended, by outcome: completed, abandoned, cancelled.",
            ("channel", "queue", "outcome"),
        )
        self.short_abandoned = self._names.counter(
            "switchdesk_contacts_short_abandoned_total",
            "Contacts abandoned within 5 s: also counted as abandoned; many centres leave them out of service level.",
            by_queue,
        )
        self.contacts_queued = self._names.counter(
            "switchdesk_contacts_queued_total", "Times a contact began to wait, by reason.", ("queue", "reason")
        )
        self.step_notices = self._names.counter(
            "switchdesk_step_notices_total", "Notices of steps that contacts took, by queue.", ("queue",)
        )
        self.contacts_exhausted = self._names.counter(
            "switchdesk_contacts_exhausted_total",
            "Contacts that everybody who was there and able had declined, by queue. Alarm.",
            ("queue",),
        )
        self.contacts_requeued = self._names.counter(
            "switchdesk_contacts_requeued_total", "Assignments given back to their queue, by reason.", ("reason",)
        )
        self.contacts_redirected = self._names.counter(
            "switchdesk_contacts_redirected_total",
            "Contacts that a rule moved to another channel.",
            ("from_channel", "channel"),
        )
        self.redirects_refused = self._names.counter(
            "switchdesk_redirects_refused_total", "Contacts that stayed on a channel that was down: no other way."
        )
        self.wait_seconds = self._names.histogram(
            "switchdesk_contact_wait_seconds",
            "Time from a contact's arrival until it was answered, abandoned or cancelled while waiting.",
            ("channel", "outcome"),
            WAIT_BUCKETS,
        )
        self.handle_seconds = self._names.histogram(
            "switchdesk_handle_seconds", "Time from accepting a contact to completing it.", ("channel",), WAIT_BUCKETS
        )
        self.wrap_up_seconds = self._names.histogram(
            "switchdesk_wrap_up_seconds", "Agents' time after a contact.", (), WAIT_BUCKETS
        )
        self.contacts_open = self._names.gauge("switchdesk_contacts_open", "Open contacts now, by state.", ("state",))
        self._queues_told: set[str] = set()
        self.queue_waiting = self._names.gauge(
            "switchdesk_queue_waiting", "Contacts waiting now, by queue.", ("queue",)
        )
        self.overdue = self._names.gauge(
            "switchdesk_overdue_contacts",
            "Contacts that wait past their target, in queues by deadlines.",
            ("channel", "language"),
        )
        self.oldest_by_language = self._names.gauge(
            "switchdesk_oldest_age_seconds",
            "Age of the oldest contact that waits for an offer, in queues by deadlines; 0 if none does.",
            ("channel", "language"),
        )
        self.wait_bound_coverage = self._names.gauge(
            "switchdesk_wait_bound_coverage_ratio",
            "Share of the newest waits that stayed under the bound given at their beginning; 0.5 and 0.9 are meant.",
            ("channel", "bound"),
        )
        self.wait_bound_judged = self._names.gauge(
            "switchdesk_wait_bound_judged_contacts", "Waits that were held against their bounds so far.", ("channel",)
        )
        self.queue_oldest = self._names.gauge(
            "switchdesk_queue_oldest_age_seconds", "Age of the oldest waiting contact; 0 if none waits.", ("queue",)
        )
        self.messages_received = self._names.counter(
            "switchdesk_messages_received_total", "Customers' messages that became part of a contact.", ("channel",)
        )
        self.messages_ignored = self._names.counter(
            "switchdesk_messages_ignored_total",
            "Messages that open nothing (automatic replies and the like).",
            ("reason",),
        )
        self.replies = self._names.counter("switchdesk_replies_total", "Replies that agents sent.", ("channel",))
        self.deliveries = self._names.counter(
            "switchdesk_deliveries_total", "Reports about replies and attempts on their way, by status.", ("status",)
        )
        self.outbound_attempts = self._names.counter(
            "switchdesk_outbound_attempts_total",
            "Steps of outbound messages: made, succeeded, or why they came to nothing.",
            ("channel", "outcome"),
        )
        self.outbound_ended = self._names.counter(
            "switchdesk_outbound_ended_total", "Outbound messages that ended, by outcome and why.", ("state", "reason")
        )

    def _define_agents(self) -> None:
        self.offers = self._names.counter(
            "switchdesk_offers_total",
            "Offers, made and by how they ended. `expired` are agents' non-responses.",
            ("outcome",),
        )
        self.offers_withdrawn = self._names.counter(
            "switchdesk_offers_withdrawn_total", "Offers taken back, by reason.", ("reason",)
        )
        self.leases = self._names.counter(
            "switchdesk_agent_leases_total",
            "Desks that fell silent (lost), spoke again (regained), or stayed silent past the grace (grace_ended).",
            ("change",),
        )
        self.agents = self._names.gauge("switchdesk_agents", "Agents now, by declared presence.", ("presence",))
        self.agents_reachable = self._names.gauge("switchdesk_agents_reachable", "Agents whose desk speaks, now.")
        self.capacity_used = self._names.gauge(
            "switchdesk_capacity_used_units", "Capacity taken by offers and assignments."
        )
        self.capacity_total = self._names.gauge("switchdesk_capacity_total_units", "Capacity of the available agents.")
        self.queue_staffed = self._names.gauge(
            "switchdesk_queue_staffed_agents",
            "Agents who could serve the queue and are available; of several workspaces with a queue of this name, of "
            "the one with fewest.",
            ("queue",),
        )

    def _define_channels(self) -> None:
        self.channel_state = self._names.gauge(
            "switchdesk_channel_state", "1 for the state that a channel is in, 0 for the others.", ("channel", "state")
        )
        self.channel_changes = self._names.counter(
            "switchdesk_channel_changes_total",
            "Channels' changes of state (failovers and fail-backs).",
            ("channel", "state"),
        )

    def _define_machine(self) -> None:
        self.engine_compiled = self._names.gauge(
            "switchdesk_engine_compiled", "1 if the engine here is compiled, 0 if Python interprets it."
        )
        self.engine_compiled.set(engine_compiled())
        self.release = self._names.gauge(
            "switchdesk_release_info",
            "1; its labels say what this process is made of.",
            ("switchdesk", "contracts", "python", "tzdata"),
        )
        made_of = this_release()
        self.release.labels(made_of.switchdesk, str(made_of.contracts), made_of.python, made_of.tzdata).set(1)
        self.events = self._names.counter("switchdesk_events_total", "Events performed by this process.")
        self.refused = self._names.counter(
            "switchdesk_commands_refused_total", "Commands answered with no, by reason.", ("reason",)
        )
        self.rejected = self._names.counter(
            "switchdesk_commands_rejected_total",
            "Commands that could not be decided: a bug of ours. Alarm.",
        )
        self.dead_letters = self._names.counter(
            "switchdesk_dead_letters_total", "Inputs that could not be read or decided and were put aside. Alarm."
        )
        self.double_assign = self._names.counter(
            "switchdesk_double_assign_total", "Contacts found with two live assignments. Must stay 0. Alarm."
        )
        self.orphans = self._names.gauge(
            "switchdesk_orphans", "Contacts found in no state or place. Must stay 0. Alarm."
        )
        self.journal_seq = self._names.gauge(
            "switchdesk_journal_seq", "Newest journal entry read back.", ("partition",)
        )
        self.journal_bytes = self._names.histogram(
            "switchdesk_journal_entry_bytes", "Size of journal entries.", (), SIZE_BUCKETS
        )
        self.journal_seconds = self._names.histogram(
            "switchdesk_journal_append_seconds", "Time from proposing an entry to reading it back.", (), FAST_BUCKETS
        )
        self.journal_void = self._names.counter(
            "switchdesk_journal_void_total", "Proposals that lost to another entry, or came twice."
        )
        self.decision_seconds = self._names.histogram(
            "switchdesk_decision_seconds", "Time to decide one command.", (), DECISION_BUCKETS
        )
        self.inputs_lag = self._names.gauge(
            "switchdesk_inputs_lag", "Inputs that are durable and not read yet.", ("partition", "topic")
        )
        self.messages_held = self._names.gauge(
            "switchdesk_messages_held",
            "1 while the leader leaves customers' messages in the log because too many contacts are open. Alarm.",
            ("partition",),
        )
        self._define_cluster()

    def _define_cluster(self) -> None:
        self.leading = self._names.gauge("switchdesk_leading", "1 if this process leads the partition.", ("partition",))
        self.stopped = self._names.gauge(
            "switchdesk_partition_stopped",
            "1 while this process has stopped the partition: it contradicts itself, or a bug ended it. Alarm.",
            ("partition",),
        )
        self.outdated = self._names.gauge(
            "switchdesk_partition_outdated",
            "1 while this process must not lead the partition: a newer release wrote into its journal. Alarm.",
            ("partition",),
        )
        self.replicas_differ = self._names.gauge(
            "switchdesk_replicas_differ",
            "1 while the replicas of a partition differ in this: switchdesk (the release), python, tzdata. Alarm.",
            ("partition", "what"),
        )
        self.leader_changes = self._names.counter(
            "switchdesk_leader_changes_total",
            "How this process came to lead a partition (started, timed_out, bye) or ceased to (deposed, stopped).",
            ("partition", "how"),
        )
        self.replicas = self._names.gauge(
            "switchdesk_replicas",
            "Replicas of a partition that have recovered and fold close to its head, as far as this process hears.",
            ("partition",),
        )
        self.journal_lag = self._names.gauge(
            "switchdesk_journal_lag_records", "Journal records that this replica has not folded yet.", ("partition",)
        )
        self.journal_gap = self._names.gauge(
            "switchdesk_journal_gap_records",
            "Journal records behind the newest snapshot known here that are gone: nobody could start from it. Alarm.",
            ("partition",),
        )
        self.snapshot_age = self._names.gauge(
            "switchdesk_snapshot_age_entries", "Entries since this process's newest snapshot.", ("partition",)
        )
        self.views_rebuilds = self._names.counter(
            "switchdesk_views_rebuilds_total", "Times that a partition's views were written anew.", ("partition",)
        )
        self.clock_steps = self._names.counter(
            "switchdesk_clock_steps_total", "Times that the clock stepped and deadlines were protected from it."
        )

    # The closed sets

    def set_policy(self, policies: Iterable[Mapping[str, Any]]) -> None:
        """Which queues, channels and presences there are, from all policies in force; what is unknown is `other`."""
        queues: set[str] = set()
        accounts: set[str] = set()
        presences = {presence.value for presence in Presence}
        for policy in policies:
            queues.update(queue["name"] for queue in policy.get("queues", ()))
            accounts.update(f"{channel['kind']}:{channel['account']}" for channel in policy.get("channels", ()))
            presences.update(policy.get("presences", ()))
        self._queues, self._accounts, self._presences = frozenset(queues), frozenset(accounts), frozenset(presences)

    def _queue(self, name: object) -> str:
        return closed(name, self._queues)

    # From events

    def on_event(self, event: ev.Event, *, at_ms: int, contact: Mapping[str, Any] | None = None) -> None:
        """Count one performed event. `contact` are the facts of its contact: `channel`, `queue`, `age_from`, and
        `assigned_at` where it has been accepted (ms); what is missing is not measured."""
        facts = contact or {}
        self.events.inc()
        channel = closed(facts.get("channel"), _CHANNELS)
        queue = self._queue(facts.get("queue"))
        match event:
            case ev.ContactCreated():
                self.contacts_received.labels(closed(event.channel, _CHANNELS), self._queue(event.queue)).inc()
            case ev.MessageReceived():
                self.messages_received.labels(closed(event.channel, _CHANNELS)).inc()
            case ev.MessageIgnored():
                self.messages_ignored.labels(closed(event.reason, _IGNORED)).inc()
            case ev.ContactQueued():
                self.contacts_queued.labels(self._queue(event.queue), closed(event.reason, _QUEUED)).inc()
            case ev.ContactStepped(notify=str()):
                self.step_notices.labels(self._queue(event.queue)).inc()
            case ev.ContactExhausted():
                self.contacts_exhausted.labels(self._queue(event.queue)).inc()
            case ev.OfferMade():
                self.offers.labels("made").inc()
            case ev.OfferAccepted():
                self.offers.labels("accepted").inc()
                self.contacts_answered.labels(channel, queue).inc()
                self._waited(channel, "answered", facts, at_ms)
                self._answered_at[event.contact] = at_ms
            case ev.OfferDeclined():
                self.offers.labels("declined").inc()
            case ev.OfferExpired():
                self.offers.labels("expired").inc()
            case ev.OfferWithdrawn():
                self.offers.labels("withdrawn").inc()
                self.offers_withdrawn.labels(closed(event.reason, _WITHDRAWN)).inc()
            case ev.ContactRequeued():
                self.contacts_requeued.labels(closed(event.reason, _REQUEUED)).inc()
                self._answered_at.pop(event.contact, None)
            case ev.ContactCompleted():
                self._ended(channel, queue, "completed")
                self._handled(channel, event.contact, facts, at_ms)
                if event.wrap_up_until is not None:
                    self._wrap_up_from[event.agent] = at_ms
            case ev.ContactAbandoned():
                self._ended(channel, queue, "abandoned")
                self.wait_seconds.labels(channel, "abandoned").observe(event.waited / 1000)
                if event.waited <= SHORT_ABANDON_MS:
                    self.short_abandoned.labels(channel, queue).inc()
            case ev.ContactCancelled():
                self._ended(channel, queue, "cancelled")
                if self._answered_at.pop(event.contact, None) is None and facts.get("assigned_at") is None:
                    self._waited(channel, "cancelled", facts, at_ms)
            case ev.WrapUpEnded():
                since = self._wrap_up_from.pop(event.agent, None)
                if since is not None:
                    self.wrap_up_seconds.observe(max(0, at_ms - since) / 1000)
            case ev.ContactRedirected():
                kinds = closed(event.from_channel, _CHANNELS), closed(event.channel, _CHANNELS)
                self.contacts_redirected.labels(*kinds).inc()
            case ev.RedirectRefused():
                self.redirects_refused.inc()
            case ev.ReplyQueued():
                self.replies.labels(closed(event.channel, _CHANNELS)).inc()
            case ev.DeliveryReported():
                self.deliveries.labels(closed(event.status, frozenset(Delivery))).inc()
            case ev.OutboundAttempted():
                self._outbound(event.channel, "made")
            case ev.OutboundSkipped() | ev.OutboundAdvanced():
                self._outbound(event.channel, event.reason)
            case ev.OutboundEnded():
                self.outbound_ended.labels(event.state.value, closed(event.reason, _OUTBOUND_ENDS)).inc()
                if event.channel is not None:
                    self._outbound(event.channel, "succeeded")
            case ev.AgentLost():
                self.leases.labels("lost").inc()
            case ev.AgentRegained():
                self.leases.labels("regained").inc()
            case ev.AgentGraceEnded():
                self.leases.labels("grace_ended").inc()
            case ev.ChannelHealthChanged():
                name = closed(f"{event.channel}:{event.account}", self._accounts)
                self.channel_changes.labels(name, closed(event.state, frozenset(ChannelHealth))).inc()
                self.set_channel(event.channel, event.account, event.state)
            case ev.CommandRefused():
                self.refused.labels(closed(event.reason, _REFUSED)).inc()
            case ev.CommandRejected():
                self.rejected.inc()
            case _:
                pass

    def _outbound(self, channel: str, outcome: str) -> None:
        self.outbound_attempts.labels(closed(channel, _CHANNELS), closed(outcome, _OUTBOUND_OUTCOMES)).inc()

    def _ended(self, channel: str, queue: str, outcome: str) -> None:
        self.contacts_ended.labels(channel, queue, outcome).inc()

    def _waited(self, channel: str, outcome: str, facts: Mapping[str, Any], at_ms: int) -> None:
        since = facts.get("age_from", facts.get("created_at"))
        if since is not None:
            self.wait_seconds.labels(channel, outcome).observe(max(0, at_ms - since) / 1000)

    def _handled(self, channel: str, contact: str, facts: Mapping[str, Any], at_ms: int) -> None:
        seen = self._answered_at.pop(contact, None)
        since = facts.get("assigned_at", seen)
        if since is not None:
            self.handle_seconds.labels(channel).observe(max(0, at_ms - since) / 1000)

    # From looking

    def set_contacts(self, counts: Mapping[str, int]) -> None:
        """Open contacts by state, whole: a state that is not there has none."""
        for state in ContactState:
            if state.is_open:
                self.contacts_open.labels(state.value).set(counts.get(state.value, 0))

    def set_queues(self, found: Iterable[QueueNow]) -> None:
        """Every queue that is led here, whole: what is led here no more has no numbers here. Of queues of one name, in
        several workspaces, the sum of who waits, the oldest, and the fewest agents."""
        by_name: dict[str, QueueNow] = {}
        for each in found:
            name = self._queue(each.queue)
            same = by_name.get(name)
            by_name[name] = each if same is None else same.with_another(each)
        for name, now in by_name.items():
            self.queue_waiting.labels(name).set(now.waiting)
            self.queue_oldest.labels(name).set(now.oldest_age_s)
            self.queue_staffed.labels(name).set(now.staffed)
        for gone in self._queues_told - by_name.keys():
            for gauge in (self.queue_waiting, self.queue_oldest, self.queue_staffed):
                gauge.remove(gone)
        self._queues_told = set(by_name)

    def set_deadlines(self, found: Mapping[tuple[str, str], tuple[int, float]], languages: frozenset[str]) -> None:
        """By (kind of channel, language): how many are overdue, and the oldest age (s). Languages that nobody speaks
        are summed up; what is not in `found` any more is 0."""
        known: dict[tuple[str, str], tuple[int, float]] = dict.fromkeys(self._dated, (0, 0.0))
        for (channel, language), (overdue, oldest) in found.items():
            labels = (closed(channel, _CHANNELS), closed(language, languages) if language else "any")
            count, age = known.get(labels, (0, 0.0))
            known[labels] = (count + overdue, max(age, oldest))
        self._dated = set(known)
        for labels, (overdue, oldest) in known.items():
            self.overdue.labels(*labels).set(overdue)
            self.oldest_by_language.labels(*labels).set(oldest)

    def set_wait_bounds(self, lines: Iterable[tuple[str, Line]]) -> None:
        """From (kind of channel, what is known of one of its lines): lines with more waits weigh more, up to as many as
        are remembered. A kind that had none yet has no series."""
        sums: dict[str, list[float]] = {}
        for kind, line in lines:
            if line.judged:
                weight = min(line.judged, 1 / KEPT_MEMORY)
                found = sums.setdefault(closed(kind, _CHANNELS), [0.0, 0.0, 0.0, 0])
                found[:] = (
                    found[0] + weight,
                    found[1] + weight * line.half_kept,
                    found[2] + weight * line.most_kept,
                    found[3] + line.judged,
                )
        for channel, (weight, half, most, judged) in sums.items():
            self.wait_bound_coverage.labels(channel, str(HALF)).set(half / weight)
            self.wait_bound_coverage.labels(channel, str(MOST)).set(most / weight)
            self.wait_bound_judged.labels(channel).set(judged)

    def set_agents(self, counts: Mapping[str, int], *, reachable: int) -> None:
        """Agents by presence, whole; presences outside the policy are summed up."""
        known = dict.fromkeys([*self._presences, OTHER], 0)
        for presence, count in counts.items():
            known[closed(presence, self._presences)] += count
        for presence, count in known.items():
            self.agents.labels(presence).set(count)
        self.agents_reachable.set(reachable)

    def set_capacity(self, *, used: float, total: float) -> None:
        self.capacity_used.set(used)
        self.capacity_total.set(total)

    def set_channel(self, kind: str, account: str, state: str) -> None:
        name = closed(f"{kind}:{account}", self._accounts)
        for each in ChannelHealth:
            self.channel_state.labels(name, each.value).set(each == state)

    def set_journal(self, partition: int, *, seq: int) -> None:
        self.journal_seq.labels(str(partition)).set(seq)

    def on_entry(self, *, size: int, took_s: float | None) -> None:
        """An entry became true; `took_s` from proposing it, for own ones."""
        self.journal_bytes.observe(size)
        if took_s is not None:
            self.journal_seconds.observe(took_s)

    def set_lag(self, partition: int, *, commands: int, inbound: int) -> None:
        self.inputs_lag.labels(str(partition), Topic.COMMANDS.value).set(commands)
        self.inputs_lag.labels(str(partition), Topic.INBOUND.value).set(inbound)

    def set_journal_lag(self, partition: int, *, behind: int, gap: int) -> None:
        self.journal_lag.labels(str(partition)).set(behind)
        self.journal_gap.labels(str(partition)).set(gap)

    def forget_lag(self, partition: int) -> None:
        """Nobody knows it now."""
        self.inputs_lag.remove_by_labels({"partition": str(partition)})

    def forget_journal_lag(self, partition: int) -> None:
        """Nobody knows it now."""
        self.journal_lag.remove(str(partition))
        self.journal_gap.remove(str(partition))

    def forget_partition(self, partition: int) -> None:
        """It does not run here any more: figures of a replica that is gone would stay what they were for ever.

        That this process does not lead it, that it stopped it or left it to a newer release, and what it hears of the
        replicas of others stays true.
        """
        self.forget_lag(partition)
        self.forget_journal_lag(partition)
        for gauge in (self.journal_seq, self.snapshot_age, self.messages_held, self.process.content_lag):
            gauge.remove(str(partition))

    def set_leading(self, partition: int, leading: bool) -> None:
        self.leading.labels(str(partition)).set(leading)

    def set_outdated(self, partition: int, outdated: bool) -> None:
        self.outdated.labels(str(partition)).set(outdated)

    def set_stopped(self, partition: int, stopped: bool) -> None:
        self.stopped.labels(str(partition)).set(stopped)
