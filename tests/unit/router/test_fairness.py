"""Fairness and load as metrics: from commands through the journal to the series that Prometheus reads."""

from __future__ import annotations

from typing import Any

import pytest

from services.router.fairness import Fairness
from services.router.gauges import Gauges
from services.router.metrics import RouterMetrics
from services.router.partition import PartitionRouter
from services.router.replica import ReplicaSettings
from services.router.twin.day import Day
from services.router.twin.measure import measure
from services.router.twin.play import Played, _Centre
from services.router.twin.policies import policy_for
from shared.contracts import commands as cmd
from shared.contracts.commands import Actor, Command
from shared.log.memory import MemoryLog, MemoryStore
from shared.views.memory import MemoryViews
from shared.vocabulary import AgentId, ContactId
from tests.builders import ADAPTER, OPERATOR, SUPERVISOR, acting, agent, message, policy, presence, queue
from tests.unit.router.test_perform import Seat
from tests.unit.router.test_replica import HandClock, put
from tests.unit.twin import days

MINUTE = 60.0
ANA = acting("ana")


class Floor:
    """A router that always leads, on a clock turned by hand, with a workspace and whoever is named at their desk."""

    def __init__(self, *names: str, by_agent: bool = False, **rules: Any) -> None:
        self.store, self.clock, self.metrics = MemoryStore(), HandClock(), RouterMetrics()
        log = MemoryLog(self.store)
        settings = ReplicaSettings(resend_s=0.02, idle_s=0.01)
        self.router = PartitionRouter(
            log=log, views=MemoryViews(), clock=self.clock, metrics=self.metrics, settings=settings
        )
        self.gauges = Gauges(self.metrics, log, self.clock, lambda: [self.router], by_agent=by_agent)
        self._names, self._rules = names, rules

    async def open(self) -> Floor:
        await self.router.replica.recover()
        await self.router.replica.begin()
        self.router.ready.set()
        queues = self._rules.pop("queues", [queue(auto_accept=True, target_s={"chat": 60})])
        await self.do(cmd.CreateWorkspace(name="w"))
        await self.do(cmd.AdoptPolicy(policy=policy(queues, **self._rules)))
        for name in self._names:
            await self.do(agent(name, capacity=4, languages={"en": 5}))
            await self.do(presence(name), by=acting(name))
        await self.gauges.look()
        return self

    async def do(self, command: Command, *, by: Actor = OPERATOR) -> None:
        put(self.store, command, by=by)
        await self.settle()

    async def settle(self) -> None:
        """Everything is decided that there is to decide."""
        replica = self.router.replica
        while (await replica.log.inputs.end(0)) != replica.positions or replica.engine.due(self.clock.ms):
            await replica.step()

    async def wait(self, minutes: float) -> None:
        """Time passes, with a look now and then as in a running router."""
        left = minutes * MINUTE
        while left > 0:
            self.clock.pass_s(min(left, 100.0))
            left -= 100.0
            await self.settle()
            await self.gauges.look()

    async def comes(self, name: str, **fields: Any) -> None:
        """A customer writes."""
        await self.do(message(name, **{"language": "en", **fields}), by=ADAPTER)

    async def is_done(self, name: str) -> None:
        await self.do(cmd.CompleteContact(contact=self.contact(name)), by=SUPERVISOR)

    def contact(self, name: str) -> ContactId:
        contacts = self.router.replica.engine.state.workspaces["w"].contacts
        return next(contact.id for contact in contacts.values() if contact.source_key == name)

    def value(self, name: str, **labels: str) -> float | None:
        found: float | None = self.metrics.registry.get_sample_value(f"switchdesk_{name}", labels)
        return found

    def up_to(self, edge: str, measure: str = "clock") -> float | None:
        """How many agents had at most so much."""
        return self.value("agents_by_occupancy", measure=measure, le=edge)

    def outcomes(self, language: str) -> tuple[float, float, float]:
        """In time, late, unanswered."""
        name = "language_contacts_total"
        in_time, late, unanswered = (
            self.value(name, language=language, outcome=outcome) or 0 for outcome in ("in_time", "late", "unanswered")
        )
        return in_time, late, unanswered


# Agents


async def test_occupancy_is_told_by_the_clock_and_by_load_without_names() -> None:
    floor = await Floor("ana", "ben").open()
    await floor.wait(10)
    await floor.comes("c1")
    await floor.wait(15)
    await floor.is_done("c1")
    await floor.wait(25)

    # One of two had one of four things in hand for 15 of 50 minutes: 0.3 by the clock, 0.075 by load.
    assert [floor.up_to(edge) for edge in ("0.1", "0.2", "0.3", "1.0", "+Inf")] == [1, 1, 2, 2, 2]
    assert [floor.up_to(edge, "load") for edge in ("0.1", "+Inf")] == [2, 2]
    assert floor.value("occupancy_spread_ratio", measure="clock") == pytest.approx(0.15)
    assert floor.value("occupancy_spread_ratio", measure="load") == pytest.approx(0.0375)
    assert floor.value("jain_index", queue="general") == pytest.approx(0.5)
    assert floor.value("agents_available_seconds_total") == pytest.approx(100 * MINUTE)
    assert floor.value("agents_busy_seconds_total") == pytest.approx(15 * MINUTE)
    assert floor.value("agents_loaded_seconds_total") == pytest.approx(15 * MINUTE / 4)
    assert all(sample.name != "switchdesk_agent_occupancy_ratio" for sample in samples(floor.metrics))


def samples(metrics: RouterMetrics) -> list[Any]:
    return [sample for family in metrics.registry.collect() for sample in family.samples]


async def test_an_hour_later_nothing_is_left_of_it() -> None:
    floor = await Floor("ana", "ben").open()
    await floor.comes("c1")
    await floor.wait(20)
    await floor.is_done("c1")
    await floor.wait(30)
    assert floor.up_to("0.1") == 1
    await floor.wait(40)
    assert floor.up_to("0.1") == 2
    assert floor.value("occupancy_spread_ratio", measure="clock") == 0
    assert floor.value("jain_index", queue="general") == 1
    assert floor.value("agents_busy_seconds_total") == pytest.approx(20 * MINUTE), "a counter forgets nothing"


async def test_only_available_time_counts_and_an_offer_is_no_work() -> None:
    queues = [queue(offer_timeout_s=600, wrap_up_s=300)]
    floor = await Floor("ana", queues=queues).open()
    await floor.comes("c1")
    await floor.wait(5)  # on offer: available, nothing in hand
    await floor.do(cmd.AcceptOffer(offer=next(iter(floor.router.replica.engine.state.workspaces["w"].offers))), by=ANA)
    await floor.wait(5)  # in hand
    await floor.do(cmd.CompleteContact(contact=floor.contact("c1")), by=ANA)
    await floor.wait(5)  # in wrap-up: by the clock, though nothing takes room
    await floor.do(presence("ana", "away"), by=ANA)
    await floor.wait(20)  # not there for anybody
    assert floor.value("agents_available_seconds_total") == pytest.approx(15 * MINUTE)
    assert floor.value("agents_busy_seconds_total") == pytest.approx(10 * MINUTE)
    assert floor.value("agents_loaded_seconds_total") == pytest.approx(5 * MINUTE / 4)
    assert (floor.up_to("0.6"), floor.up_to("0.7")) == (0, 1)


async def test_whose_desk_is_silent_is_not_available() -> None:
    floor = await Floor("ana").open()
    await floor.wait(10)
    await floor.do(cmd.LoseLease(agent=AgentId("ana")))
    await floor.wait(10)
    assert floor.value("agents_available_seconds_total") == pytest.approx(10 * MINUTE)


async def test_a_policy_changes_who_is_available() -> None:
    floor = await Floor("ana").open()
    await floor.do(presence("ana", "away"), by=ANA)
    await floor.wait(10)
    assert floor.value("agents_available_seconds_total") == 0
    await floor.do(cmd.AdoptPolicy(policy=policy([queue(accepts_presence=["available", "away"])])))
    await floor.gauges.look()
    await floor.wait(10)
    # It is seen at the next look, half a minute later at most.
    assert floor.value("agents_available_seconds_total") == pytest.approx(10 * MINUTE, abs=100)


async def test_who_was_there_for_a_moment_is_not_told_of() -> None:
    floor = await Floor("ana").open()
    await floor.comes("c1")
    await floor.wait(4)
    assert floor.up_to("+Inf") == 0
    assert floor.value("jain_index", queue="general") is None
    await floor.wait(2)
    assert floor.up_to("+Inf") == 1


async def test_jains_index_is_of_those_who_may_serve_the_queue() -> None:
    floor = await Floor(
        queues=[queue("help", auto_accept=True), queue("sales", auto_accept=True), queue("none")],
    ).open()
    for name, queues in (("ana", ("help",)), ("ben", ("help", "sales")), ("cem", ("sales",))):
        await floor.do(agent(name, capacity=1, queues=queues))
        await floor.do(presence(name), by=acting(name))
    await floor.comes("c1", queue="sales", language=None)
    await floor.comes("c2", queue="sales", language=None)
    await floor.wait(10)
    assert floor.value("jain_index", queue="help") == pytest.approx(0.5), "Ben is full and Ana has nothing"
    assert floor.value("jain_index", queue="sales") == 1, "both are full"
    assert floor.value("jain_index", queue="none") is None


async def test_agents_are_named_where_the_settings_say_so() -> None:
    floor = await Floor("ana", "ben", by_agent=True).open()
    await floor.comes("c1")
    await floor.wait(10)
    told = {
        (sample.labels["agent"], sample.labels["measure"]): sample.value
        for sample in samples(floor.metrics)
        if sample.name == "switchdesk_agent_occupancy_ratio"
    }
    assert sorted(told.values()) == [0, 0, 0.25, 1]
    assert {name for name, _ in told} == {"ana", "ben"}
    for name in ("ana", "ben"):
        await floor.do(presence(name, "offline"), by=acting(name))
    await floor.wait(70)
    assert floor.value("jain_index", queue="general") is None
    assert all(sample.name != "switchdesk_agent_occupancy_ratio" for sample in samples(floor.metrics))


async def test_whoever_takes_over_knows_the_hour_before() -> None:
    store, views, clock = MemoryStore(), MemoryViews(), HandClock()
    one, two = await Seat(store, views, clock, "one").start(), await Seat(store, views, clock, "two").start()
    put(store, cmd.CreateWorkspace(name="w"))
    put(store, cmd.AdoptPolicy(policy=policy([queue(auto_accept=True)])))
    put(store, agent("ana", capacity=1))
    put(store, presence("ana"), by=acting("ana"))
    put(store, message("c1"), by=ADAPTER)
    await one.lead()
    gauges = Gauges(two.metrics, two.replica.log, clock, lambda: [two.router])
    two.router.ready.set()
    for _ in range(400):  # beats, so that nobody thinks that the leader is gone
        clock.pass_s(1)
        await one.turn()
        await two.turn()
    await gauges.look()
    assert not two.replica.leading
    assert two.metrics.registry.get_sample_value("switchdesk_agents_busy_seconds_total") == 0, "its leader tells of it"
    await two.lead()
    clock.pass_s(31)
    await gauges.look()
    labels = {"measure": "clock", "le": "0.9"}
    assert two.metrics.registry.get_sample_value("switchdesk_agents_by_occupancy", labels) == 0
    labels["le"] = "1.0"
    assert two.metrics.registry.get_sample_value("switchdesk_agents_by_occupancy", labels) == 1


@pytest.mark.parametrize("name", ["fifo_longest_idle", "slo"])
def test_a_day_of_the_twin_has_the_same_figures_here(name: str) -> None:
    arrivals = [
        days.arrival(20.0 * number, work=90, channel="email" if number % 5 == 0 else "chat") for number in range(120)
    ]
    agents = [
        days.agent("ana", hours=(0, 0.75), capacity=3.0),
        days.agent("ben", hours=(0.1, 0.8), capacity=2.0),
        days.agent("cem", hours=(0.2, 0.5), capacity=3.0, channels=("chat",)),
    ]
    day = Day(tuple(arrivals), tuple(agents), days.config(drain_until_s=0.9 * days.HOUR))

    class Followed(_Centre):
        """The twin's centre, with everybody looked at after everything that happens."""

        def _happens(self, what: int, about: Any) -> None:
            super()._happens(what, about)
            list(fairness.look(self.engine.world, self._base + self._now))

    fairness = Fairness()
    begins = 1_767_571_200_000
    centre = Followed(day, policy_for(name, day.config), (), 0, begins)
    centre.run()
    shares = list(fairness.look(centre.engine.world, begins + day.end))
    played = Played(
        day,
        centre.cases,
        {name: desk.busy for name, desk in centre.desks.items()},
        {name: desk.loaded for name, desk in centre.desks.items()},
        0.0,
    )
    told = {str(share.agent): share for some in shares for share in some}
    expected = measure(played).agents
    assert {name: share.occ for name, share in told.items()} == pytest.approx({each.id: each.occ for each in expected})
    assert {name: share.load for name, share in told.items()} == pytest.approx(
        {each.id: each.load for each in expected}
    )
    assert all(0 < share.load < share.occ for share in told.values())


# Customers


async def test_languages_are_told_by_whether_they_were_answered_in_time() -> None:
    floor = await Floor().open()
    await floor.do(agent("ana", capacity=9, languages={"en": 5, "es": 3}))
    await floor.wait(1)
    await floor.comes("late", language="es-MX")
    await floor.wait(2)
    await floor.do(presence("ana"), by=ANA)
    await floor.comes("first")
    await floor.comes("second")
    await floor.comes("stranger", language="is")
    await floor.comes("gone", language="es")
    await floor.do(cmd.AbandonContact(contact=floor.contact("stranger")), by=ADAPTER)
    assert floor.outcomes("en") == (2, 0, 0)
    assert floor.outcomes("es") == (1, 1, 0)
    assert floor.outcomes("other") == (0, 0, 1), "nobody speaks it"
    assert floor.outcomes("is") == (0, 0, 0)


async def test_a_contact_is_told_once_and_mail_not_at_all() -> None:
    floor = await Floor("ana").open()
    await floor.comes("c1")
    await floor.comes("mail", channel="email")
    await floor.wait(1)
    await floor.do(cmd.RequeueContact(contact=floor.contact("c1")), by=SUPERVISOR)
    await floor.wait(1)
    assert floor.outcomes("en") == (1, 0, 0)
    await floor.do(cmd.CancelContact(contact=floor.contact("c1"), reason="spam"), by=SUPERVISOR)
    assert floor.outcomes("en") == (1, 0, 0), "it was answered before"
