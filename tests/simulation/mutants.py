"""Planted bugs, one line each, which the checkers must find: what a checker never caught, it may not see.

A mutant swaps the compiled code of one production function for the same source with one place changed, so that
everybody who imported the function meets the mutant. Those of the journal's rule come from its design; the others are
what contact routers usually get wrong.
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.router import recovery
from services.router.chain import Chain, Head
from services.router.engine import (
    admission,
    chains,
    channel_health,
    channel_transfer,
    consult,
    conversations,
    demand,
    evolve_contacts,
    evolve_offers,
    evolve_outbound,
    evolve_setup,
    evolve_waiting,
    fallback,
    hours,
    lines,
    offers,
    outbound,
    outbound_records,
    passed,
    presence,
    queueing,
    rooms,
    slo,
    supervision,
    truth,
    waiting,
)
from services.router.engine.classes import CapabilityClass, Requirement
from services.router.engine.context import Context, Refused
from services.router.engine.due_timers import DueTimers
from services.router.engine.engine import Engine
from services.router.engine.index import Index
from services.router.engine.opening import Opening
from services.router.engine.policy import QueuePolicy
from services.router.engine.records import Agent, Contact
from services.router.engine.rooms import Rooms
from services.router.engine.undo import Undo
from services.router.engine.world import World
from services.router.journal_time import JournalTime
from services.router.replica import Replica
from shared.vocabulary import ContactId
from tests.simulation.ledger import Violation
from tests.simulation.run import ASKING_FROM, simulate

Function = Any
"""A function of the product, whose `__code__` can be swapped; the checker of types knows no such thing."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` stands exactly once in the source of `place` and becomes `new`."""

    place: Function
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug. `seed` is where it was found last time: looked at first, so that the tests stay quick."""

    name: str
    edits: tuple[Edit, ...]
    seed: int = 0


def _mutant(name: str, place: Function, old: str, new: str, *, seed: int = 0) -> Mutant:
    return Mutant(name, (Edit(place, old, new),), seed)


MUTANTS = (
    # The journal's rule and its loop.
    _mutant(
        "an entry needs the right number only",
        Chain.fold,
        "header.n == self.head.seq + 1 and header.prev == self.head.hash",
        "header.n == self.head.seq + 1",
        seed=1,
    ),
    Mutant(
        "inputs are read from the consumer's own position",
        (
            Edit(
                Replica._fold,
                "            self._pending = None",
                "            self.own_position, self._pending = self._pending.batch.positions, None",
            ),
            Edit(
                Replica._read_inputs,
                "self.partition, self.positions,",
                "self.partition, max(self.positions, getattr(self, 'own_position', self.positions)),",
            ),
        ),
        seed=2,
    ),
    Mutant(
        "a snapshot holds what is only proposed",
        (
            Edit(Replica.save_snapshot, "self._pending is not None or ", ""),
            Edit(Replica.snapshot, "assert self._pending is None, ", "assert True, "),
            Edit(Replica.snapshot, "assert self.engine.world.settled, ", "assert True, "),
        ),
        seed=2,
    ),
    _mutant(
        "an acknowledged proposal is taken for an entry",
        Replica._send,
        "        except LogUnavailable",
        "            await _believe(self)\n        except LogUnavailable",
    ),
    Mutant(
        "a trimmed journal without snapshot is read from its new start",
        (
            Edit(recovery.beginning_of, "if start == 0:", "if True:"),
            Edit(recovery.beginning_of, "Chain(identity, partition), 0", "Chain(identity, partition, offset=start), 0"),
        ),
    ),
    _mutant(
        "another's entry is folded on top of what is pending",
        Replica._fold,
        "self.engine.world.rollback(self._pending.mark)",
        "pass",
        seed=1,
    ),
    _mutant(
        "time goes back with the clock",
        JournalTime.now,
        "return max(newest, wall if wall > newest else steady)",
        "return wall",
        seed=2,
    ),
    # Taking back.
    _mutant("the undo forgets appended items", Undo.rollback, "items.pop()", "pass", seed=1),
    _mutant("the undo forgets deleted keys", Undo.delete, "self._steps.append", "(lambda step: None)", seed=2),
    _mutant(
        "the undo forgets a field",
        Undo.rollback,
        "zip(type(record).MUTABLE, values, strict=True)",
        "list(zip(type(record).MUTABLE, values, strict=True))[:-1]",
        seed=1,
    ),
    _mutant(
        "who joined a line stays in it when that is taken back",
        lines._join,
        "world.state.undo.put(ws.lines, name, line)",
        "ws.lines[name] = line",
        seed=1,
    ),
    _mutant(
        "a release is not undone",
        evolve_waiting._contact_requeued,
        "world.change_agent(ws, event.agent)",
        "ws.agents[event.agent]",
        seed=13,
    ),
    _mutant(
        "the indexes are left as they were undone",
        World.rollback,
        "for kind, workspace, id in undone",
        "for kind, workspace, id in ()",
        seed=1,
    ),
    # The state.
    _mutant("a decline keeps the capacity", evolve_offers._back_to_waiting, "if held != contact.id", "if True"),
    _mutant("completing keeps the capacity", evolve_waiting.release, "if held != contact_id", "if True", seed=1),
    _mutant(
        "a decline loses the age",
        evolve_offers._offer_declined,
        "count_decline(contact, agent.id, at)",
        "count_decline(contact, agent.id, at)\n    contact.age_from = at",
        seed=1,
    ),
    _mutant("capacity weights are ignored", Agent.weight, "self.capacity_weights.get(kind, UNIT)", "UNIT", seed=1),
    _mutant("channel limits are one too generous", rooms.with_capacity, "< limits[kind]", "<= limits[kind]", seed=6),
    _mutant("source keys are not remembered", truth.remember_source, "contact)", "contact) if False else None", seed=5),
    _mutant("answers are not remembered", Engine._remember, "state.undo.put(", "(lambda *rest: None)("),
    _mutant(
        "public numbers start over with every policy",
        evolve_setup._policy_adopted,
        "world.state.undo.save(ws)",
        "world.state.undo.save(ws)\n    ws.sequence = 0",
    ),
    _mutant(
        "a contact is forgotten with its customer's other one",
        evolve_contacts._contact_forgotten,
        "undo.delete(ws.contacts, event.contact)",
        "[undo.delete(ws.contacts, c) for c in {event.contact, *customer.contacts}]",
        seed=5,
    ),
    # The indexes.
    _mutant("an offer's timer stays behind", DueTimers.sync_offer, "self._timers.remove(old)", "pass"),
    _mutant(
        "a freed agent is not fresh",
        Index._sync_free,
        "self.fresh_classes[new.known.number] = new.known",
        "pass",
        seed=1,
    ),
    _mutant("a fresh contact is not noted", Index.sync_contact, "self.fresh_contacts[contact_id] = None", "pass"),
    _mutant(
        "the language's minimum is ignored", CapabilityClass.speaks, "least = demand.language_min", "least = 1", seed=18
    ),
    _mutant("skills are ignored", CapabilityClass.why_not, "< level", "< 0", seed=2),
    # Deciding.
    _mutant("anybody may accept an offer", offers._own_open_offer, "ctx.actor.id != offer.agent", "False", seed=1),
    _mutant(
        "leaving availability keeps the offers",
        presence.withdraw_unaccepted,
        "accepted = is_asked_in(",
        "accepted = presence != Presence.OFFLINE or is_asked_in(",
        seed=6,
    ),
    _mutant("a wish finds nobody on a break", Rooms.__init__, '"presence" in bypassed', "False", seed=34),
    _mutant(
        "a lost desk keeps its offers",
        presence.lose_lease,
        '*withdraw_offers(agent, ctx.workspace, "agent_lost")',
        "",
        seed=12,
    ),
    _mutant("an offer is born expired", offers.make_offer, "ctx.now + timeout", "ctx.now"),
    _mutant(
        "a contact may come back to a channel that it was moved from",
        fallback._why_not,
        "if name in visited",
        "if False",
        seed=26,
    ),
    _mutant(
        "customers are written to without their consent",
        fallback.why_unreachable,
        "if not reach.consent",
        "if False",
        seed=0,
    ),
    _mutant(
        "one conversation opens two contacts",
        conversations._live_contact,
        "reversed(thread.contacts if thread else ())",
        "()",
    ),
    _mutant(
        "the same message opens a contact again",
        conversations.receive_message,
        "if known is not None",
        "if False",
        seed=5,
    ),
    _mutant(
        "a policy leaves offers that it forbids",
        Engine._follow_policy,
        "return made + self._withdraw_unfit(ctx, seq)",
        "return made",
        seed=22,
    ),
    _mutant("ids are made twice", offers.make_offer, "ctx.new_id()", "f'{ctx.command_id}.0'", seed=1),
    _mutant(
        "who waits longest is not asked for",
        chains.agent_score,
        "MEASURES[strategy](agent, chain)",
        "0 if strategy == 'longest_idle' else MEASURES[strategy](agent, chain)",
        seed=24,
    ),
    _mutant(
        "the oldest contact is not the first",
        demand.age_of,
        "contact.age_from, contact.number",
        "-contact.age_from, contact.number",
        seed=5,
    ),
    _mutant("priority does not count", demand.order_of, "-contact.priority", "0", seed=13),
    _mutant(
        "the rank of queues does not count",
        CapabilityClass._best_want,
        "best = (want[0], order)",
        "best = ((0, 0), order)",
        seed=110,
    ),
    _mutant("declines are not counted", evolve_waiting.count_decline, "+ 1", "+ 0", seed=1),
    _mutant("a repeat is decided again", Engine.apply, "if known is not None", "if False"),
    # The rules of queues, agents and time.
    _mutant("a step is forgotten", waiting._rules, "if contact.steps < len(queue.steps)", "if False", seed=2),
    _mutant("a language chain ends at once", waiting._rules, "if contact.widened < len(fallback)", "if False", seed=1),
    _mutant("a flow stands still", waiting._rules, "station.until is not None", "False", seed=0),
    _mutant("tiers are ignored", CapabilityClass._why_not_there, "member.tier > demand.tier", "False", seed=42),
    _mutant("delays are ignored", CapabilityClass._why_not_there, "member.delay > demand.delay", "False", seed=0),
    _mutant("a decline for good is forgotten", Index.bars, "rule.excludes(declines)", "False", seed=7),
    _mutant("who hands a contact on gets it back", Index.bars, "agent == contact.excluded or ", "", seed=7),
    _mutant("preferences are ignored", Index._waits_for, "if not wanted:", "if True:", seed=13),
    _mutant("a frozen queue offers", Opening.sync, " or name in self._workspace.frozen", "", seed=10),
    _mutant("a closed queue offers", Opening.sync, "if name in self.closed or", "if", seed=4),
    _mutant(
        "the rate window is off by one",
        Rooms.is_over_rate,
        ">= queue.rate_limit[0]",
        "> queue.rate_limit[0]",
        seed=41,
    ),
    _mutant(
        "what is on offer is not in the rate",
        Rooms.is_over_rate,
        "pending = sum(",
        "pending = 0 * sum(",
        seed=41,
    ),
    _mutant(
        "a flow goes on after the answer",
        evolve_waiting._contact_requeued,
        "contact.flow = None",
        "pass",
        seed=37,
    ),
    _mutant(
        "a station keeps its people in other queues",
        evolve_waiting._contact_moved,
        'event.reason != "flow" and event.queue != contact.queue',
        "False",
        seed=1,
    ),
    _mutant(
        "who is given back waits since the first time",
        evolve_waiting._contact_requeued,
        "contact.queue_since = at",
        "pass",
        seed=13,
    ),
    _mutant(
        "a letter is written when its record is passed over already",
        Replica.step,
        "if aside and not await self._buried(aside, mark):",
        "if False:",
        seed=9,
    ),
    _mutant("a queue's limit is off by one", Rooms._queue_is_open, ">= most", "> most", seed=32),
    _mutant("nobody is ever overdue", slo.worth, "if share < 1:", "if True:", seed=55),
    _mutant("a deadline passes unnoticed", waiting._rules, 'yield "deadline"', 'if False: yield "deadline"', seed=1),
    _mutant("nothing is kept free", Index.spared, "if not requirement.demand.spare:", "if True:", seed=51),
    _mutant(
        "a pause ends with the other offer", evolve_offers._back_to_waiting, "contact.retry_at)", "retry_at)", seed=201
    ),
    _mutant(
        "a decline is forgotten with its pause",
        evolve_waiting._decline_passed,
        "contact.declined_at = {",
        "contact.declines = {}; contact.declined_at = {",
        seed=7,
    ),
    _mutant(
        "an agent's limit is ignored",
        Rooms.within_lasting_limit,
        "return _is_below",
        "return True or _is_below",
        seed=1,
    ),
    _mutant("profiles are ignored", Requirement.fits, "self.profiles <= signature.profiles", "True", seed=0),
    _mutant("what may be handled beside is ignored", rooms.channel_is_on, "if not agent.while_on", "if True", seed=15),
    _mutant(
        "a wrap-up of one queue is one of all",
        offers.complete_contact,
        'queue.wrap_up_scope == "queue"',
        "False",
        seed=14,
    ),
    _mutant(
        "others keep the offer of an accepted contact", offers.accept_offer, "return [*others, ", "return [", seed=36
    ),
    _mutant(
        "an agent is handed more than fits", supervision._refuse_without_room, "if not", "if False and not", seed=20
    ),
    _mutant(
        "a full queue lets in",
        admission.why_refused,
        "waiting_in(ctx, queue.name) >= queue.max_waiting",
        "False",
        seed=2,
    ),
    _mutant(
        "a call-back overflows for ever", waiting.is_done, "rule.queue in contact.overflowed or", "False or", seed=11
    ),
    _mutant(
        "a station is kept though nobody is there", waiting.leaves_unstaffed, "station.skip_if_none", "False", seed=73
    ),
    _mutant(
        "a station is left though somebody was asked", waiting.leaves_unstaffed, "not contact.asked", "True", seed=200
    ),
    _mutant("the ramp is ignored", rooms.ramp_limit, "if agent.signed_in_at is None:", "if True:", seed=1),
    _mutant("a break begins the ramp anew", evolve_setup._sign_in_or_out, "presence == Presence.OFFLINE", "True"),
    _mutant("hours that go on replace the others", hours.extended, '*document.get("open_ms", ()), ', "", seed=35),
    # What counts only after a while, or once.
    _mutant(
        "one report takes a channel down", channel_health.state_after, "failures >= rules.down_after", "True", seed=1
    ),
    _mutant("a row of reports never ends", channel_health.failures_after, "<= rules.within", ">= 0", seed=34),
    _mutant(
        "the first good word brings a channel up", channel_health.state_after, "and rules.up_after", "and False", seed=9
    ),
    _mutant("a wish comes back", evolve_waiting._contact_moved, "contact.wish_met or held", "contact.wish_met", seed=5),
    _mutant("what may come again is passed by", passed.look_again, "not bars(agent)", "False", seed=12),
    _mutant("all kinds of channel ring alike", QueuePolicy.offer_timeout_of, "get(kind, ", "get(kind[:0], ", seed=1),
    # Outbound messages.
    _mutant(
        "a customer is written to on a channel that is down",
        outbound._way,
        "if channel.state is ChannelHealth.DOWN",
        "if False",
        seed=4,
    ),
    _mutant("a step is tried twice", outbound._advance, "attempt.step + 1", "attempt.step", seed=4),
    _mutant("a step is left out", outbound._advance, "attempt.step + 1", "attempt.step + 2", seed=7),
    _mutant(
        "the next step begins beside a late attempt",
        outbound._report_attempt,
        "attempt is outbound.under_way",
        "True",
        seed=51,
    ),
    _mutant(
        "what has ended goes on",
        outbound._report_attempt,
        "outbound.state is not OutboundState.PENDING",
        "False",
        seed=7,
    ),
    _mutant("an answer ends nothing", outbound.answered, "in contacts", "in ()", seed=49),
    _mutant(
        "what is read was not delivered", outbound_records.is_met, "status is Delivery.READ or", "False or", seed=33
    ),
    _mutant(
        "the wait does not begin anew when the channel has it",
        evolve_outbound._report_attempt,
        "event.status is Delivery.ACCEPTED",
        "False",
        seed=1,
    ),
    _mutant("a deadline is not the end", outbound.outbound_due, "ctx.now >= outbound.deadline", "False", seed=1),
    # Consults, and transfers to another channel.
    _mutant(
        "a consult outlives its contact",
        consult._ended_by,
        'return _of_contact(workspace, event.contact, "ended")',
        "return ()",
        seed=85,
    ),
    _mutant(
        "a consult goes along with the contact",
        consult._ended_by,
        'return _of_contact(workspace, event.contact, "transferred")',
        "return ()",
        seed=108,
    ),
    _mutant("who goes home is still asked", consult._ended_by, "return _of_agent(", "return () and (", seed=116),
    _mutant(
        "anybody may ask about a contact", consult.start_consult, "ctx.held_contact(", "_of_anybody(ctx, ", seed=101
    ),
    _mutant(
        "a contact is taken to another channel without room",
        channel_transfer.go_on_by,
        "if not ctx.index.rooms.takes_by(",
        "if False and not (",
        seed=130,
    ),
    _mutant(
        "a customer is taken where they must not be written to",
        channel_transfer.go_on_by,
        "if unreachable is not None",
        "if unreachable == 'no_address'",
        seed=101,
    ),
    _mutant(
        "a contact on another channel keeps the old one's room",
        evolve_contacts._hold_as,
        "if agent.held[contact.id] != contact.channel",
        "if False",
        seed=85,
    ),
    _mutant(
        "the strict lane is no lane", demand.lane_of, "contact.priority >= queue.strict_priority", "False", seed=106
    ),
    _mutant("who starves goes before nobody", demand.lane_of, "contact.starved >= queue.starvation", "False", seed=31),
    _mutant(
        "what everybody declined waits for its step",
        queueing.exhausted_due,
        "not queue.decline.steps_on",
        "True",
        seed=52,
    ),
)


async def _believe(replica: Replica) -> None:
    """What a leader does who takes the log's acknowledgement for the truth."""
    pending, chain = replica._pending, replica._chain
    if pending is not None and chain is not None:
        chain._remember(Head(pending.proposal.seq, pending.proposal.hash))
        await replica.performer.perform(replica, replica._won(pending))


def _of_anybody(ctx: Context, contact_id: ContactId) -> tuple[Contact, Agent]:
    """A contact and its holder for whoever names it."""
    contact = ctx.contact(contact_id)
    if contact.agent is None:
        raise Refused("wrong_state")
    return contact, ctx.workspace.agents[contact.agent]


HELPERS = {"_believe": _believe, "_of_anybody": _of_anybody}


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The mutant lives inside this context. Raises ValueError if the place that it changes is not there any more."""
    places = list(dict.fromkeys(edit.place for edit in mutant.edits))
    before = [(place, place.__code__) for place in places]
    codes = [_mutated(place, mutant) for place in places]
    try:
        for place, code in zip(places, codes, strict=True):
            place.__globals__.update(HELPERS)
            place.__code__ = code
        yield
    finally:
        for place, code in before:
            place.__code__ = code
            for name in HELPERS:
                place.__globals__.pop(name, None)


def _mutated(place: Function, mutant: Mutant) -> types.CodeType:
    source = inspect.getsource(place)
    for edit in mutant.edits:
        if edit.place is place:
            if source.count(edit.old) != 1:
                raise ValueError(
                    f"mutant {mutant.name!r}: {edit.old!r} stands {source.count(edit.old)} times in {place}"
                )
            source = source.replace(edit.old, edit.new)
    compiled = compile(
        textwrap.dedent(source), place.__code__.co_filename, "exec", __future__.annotations.compiler_flag
    )
    codes = [const for const in compiled.co_consts if isinstance(const, types.CodeType)]
    return next(code for code in codes if code.co_name == place.__name__)


def caught(mutant: Mutant, seeds: int = 60) -> tuple[int, str] | None:
    """The first seed whose world shows the mutant, and what the checkers say; None if none of them does."""
    with planted(mutant):
        worlds = [*range(seeds), *range(ASKING_FROM, ASKING_FROM + seeds)]
        for seed in [mutant.seed, *(s for s in worlds if s != mutant.seed)]:
            try:
                simulate(seed)
            except Violation as violation:
                return seed, str(violation)
    return None
