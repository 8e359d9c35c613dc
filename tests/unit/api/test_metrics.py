"""Metrics: closed labels, the contact centre's formulas, the pages that list them, and the admin port."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from services.router.api.problems import Problem
from services.router.engine.waits import Line
from services.router.metrics import QueueNow, RouterMetrics
from shared.admin import admin_app
from shared.contracts import events as ev
from shared.contracts.policy import Policy
from shared.vocabulary import (
    AddressKey,
    AgentId,
    ChannelHealth,
    ContactId,
    MessageId,
    OfferId,
    OutboundId,
    OutboundState,
    QueueName,
    ThreadKey,
)
from tests.unit.api.conftest import POLICY, World, serving

REPOSITORY = Path(__file__).resolve().parents[3]
FACTS: dict[str, Any] = {"channel": "chat", "queue": "billing", "age_from": 10_000, "created_at": 10_000}
CONTACT, AGENT, OFFER = ContactId("c1"), AgentId("ana"), OfferId("o1")


def value(metrics: RouterMetrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(name, labels)
    return found


def with_policy() -> RouterMetrics:
    metrics = RouterMetrics()
    metrics.set_policy([Policy.model_validate(POLICY).model_dump(mode="json")])
    return metrics


def accepted() -> ev.OfferAccepted:
    return ev.OfferAccepted(offer=OFFER, contact=CONTACT, agent=AGENT)


def test_an_answered_contact_is_measured() -> None:
    metrics = with_policy()
    metrics.on_event(accepted(), at_ms=32_000, contact=FACTS)
    completed = ev.ContactCompleted(contact=CONTACT, agent=AGENT, wrap_up_until=99_000)
    metrics.on_event(completed, at_ms=92_000, contact=FACTS)
    metrics.on_event(ev.WrapUpEnded(agent=AGENT, cause="agent"), at_ms=95_000)

    by_queue = {"channel": "chat", "queue": "billing"}
    assert value(metrics, "switchdesk_contacts_answered_total", **by_queue) == 1
    assert value(metrics, "switchdesk_contacts_ended_total", **by_queue, outcome="completed") == 1
    answered = {"channel": "chat", "outcome": "answered"}
    assert value(metrics, "switchdesk_contact_wait_seconds_sum", **answered) == 22
    # The service level "within 25 s" counts it, "within 20 s" does not.
    assert value(metrics, "switchdesk_contact_wait_seconds_bucket", **answered, le="20.0") == 0
    assert value(metrics, "switchdesk_contact_wait_seconds_bucket", **answered, le="25.0") == 1
    assert value(metrics, "switchdesk_handle_seconds_sum", channel="chat") == 60
    assert value(metrics, "switchdesk_wrap_up_seconds_sum") == 3


def test_who_leaves_at_once_is_a_short_abandon() -> None:
    metrics = with_policy()
    for waited in (3_000, 60_000):
        metrics.on_event(ev.ContactAbandoned(contact=CONTACT, waited=waited), at_ms=0, contact=FACTS)

    by_queue = {"channel": "chat", "queue": "billing"}
    assert value(metrics, "switchdesk_contacts_ended_total", **by_queue, outcome="abandoned") == 2
    assert value(metrics, "switchdesk_contacts_short_abandoned_total", **by_queue) == 1
    assert value(metrics, "switchdesk_contact_wait_seconds_count", channel="chat", outcome="abandoned") == 2


def test_a_contact_given_back_is_handled_by_whoever_completes_it() -> None:
    metrics = with_policy()
    metrics.on_event(accepted(), at_ms=20_000, contact=FACTS)
    metrics.on_event(ev.ContactRequeued(contact=CONTACT, agent=AGENT, reason="agent"), at_ms=50_000, contact=FACTS)
    metrics.on_event(accepted(), at_ms=70_000, contact=FACTS)
    metrics.on_event(ev.ContactCompleted(contact=CONTACT, agent=AGENT), at_ms=80_000, contact=FACTS)

    assert value(metrics, "switchdesk_handle_seconds_sum", channel="chat") == 10
    assert value(metrics, "switchdesk_offers_total", outcome="accepted") == 2


def test_a_notice_counts_for_the_queue_whose_step_told_it() -> None:
    metrics = with_policy()
    metrics.on_event(ev.ContactStepped(contact=CONTACT, steps=1), at_ms=0, contact=FACTS)
    told = ev.ContactStepped(contact=CONTACT, steps=2, notify="hurry", queue=QueueName("billing"))
    metrics.on_event(told, at_ms=0, contact={**FACTS, "queue": "general"})

    assert value(metrics, "switchdesk_step_notices_total", queue="billing") == 1
    assert value(metrics, "switchdesk_step_notices_total", queue="general") is None


def test_a_channels_state_is_one_of_all() -> None:
    metrics = with_policy()
    changed = ev.ChannelHealthChanged(channel="chat", account="web", state=ChannelHealth.DOWN, evidence="x")
    metrics.on_event(changed, at_ms=0)

    for state in ChannelHealth:
        shown = value(metrics, "switchdesk_channel_state", channel="chat:web", state=state)
        assert shown == float(state is ChannelHealth.DOWN)


def test_outbound_messages_are_counted_by_channel_and_outcome() -> None:
    metrics = with_policy()
    what: dict[str, Any] = {"outbound": OutboundId("o"), "channel": "email", "account": "support", "step": 0}
    message = MessageId("m")
    events: list[ev.Event] = [
        ev.OutboundSkipped(**what, reason="no_address"),
        ev.OutboundAttempted(**what, message=message, thread=ThreadKey("t"), address=AddressKey("a"), content_ref="r"),
        ev.OutboundAdvanced(**what, message=message, reason="no_status"),
        ev.OutboundEnded(outbound=OutboundId("o"), state=OutboundState.FAILED, reason="exhausted"),
        ev.OutboundEnded(
            outbound=OutboundId("o"), state=OutboundState.SUCCEEDED, reason="read", channel="email", message=message
        ),
    ]
    for event in events:
        metrics.on_event(event, at_ms=0)

    for outcome in ("no_address", "made", "no_status", "succeeded"):
        assert value(metrics, "switchdesk_outbound_attempts_total", channel="email", outcome=outcome) == 1
    assert value(metrics, "switchdesk_outbound_ended_total", state="failed", reason="exhausted") == 1
    assert value(metrics, "switchdesk_outbound_ended_total", state="succeeded", reason="read") == 1


def series(metrics: RouterMetrics) -> int:
    return len([line for line in generate_latest(metrics.registry).splitlines() if not line.startswith(b"#")])


def say_anything(metrics: RouterMetrics, word: str) -> None:
    """One of everything, with `word` wherever a stranger may choose."""
    facts = {**FACTS, "channel": word, "queue": word}
    contact, agent = ContactId(word), AgentId(word)
    offer = OfferId(word)
    events: list[ev.Event] = [
        ev.OfferAccepted(offer=offer, contact=contact, agent=agent),
        ev.OfferDeclined(offer=offer, contact=contact, agent=agent, reason=word),
        ev.OfferWithdrawn(offer=offer, contact=contact, agent=agent, reason=word),
        ev.ContactQueued(contact=contact, queue=QueueName(word), reason=word),
        ev.ContactRequeued(contact=contact, agent=agent, reason=word),
        ev.ContactCompleted(contact=contact, agent=agent, wrap_up_code=word),
        ev.ContactCancelled(contact=contact, reason=word),
        ev.ContactAbandoned(contact=contact, waited=1),
        ev.MessageIgnored(source_key=word, reason=word),
        ev.CommandRefused(reason=word),
        ev.OutboundSkipped(outbound=OutboundId(word), step=0, channel=word, account=word, reason=word),
        ev.OutboundEnded(outbound=OutboundId(word), state=OutboundState.FAILED, reason=word, channel=word),
        ev.ChannelHealthChanged(channel=word, account=word, state=ChannelHealth.DOWN, evidence=word),
    ]
    for event in events:
        metrics.on_event(event, at_ms=0, contact=facts)
    metrics.set_queues([QueueNow(word, 1, 1.0, 1)])
    metrics.set_deadlines({(word, word): (1, 1.0)}, frozenset())
    metrics.set_wait_bounds([(word, Line(judged=1))])
    metrics.set_agents({word: 1}, reachable=1)
    metrics.set_channel(word, word, "down")
    metrics.set_contacts({word: 1})
    metrics.fairness.count(word, "late")


def test_coverage_of_wait_bounds_weighs_lines_by_what_they_remember() -> None:
    metrics = with_policy()
    metrics.set_wait_bounds(
        [
            ("chat", Line(judged=100, half_kept=0.4, most_kept=0.8)),
            ("chat", Line(judged=5_000, half_kept=0.6, most_kept=0.92)),
            ("email", Line()),
        ]
    )
    name = "switchdesk_wait_bound_coverage_ratio"
    assert value(metrics, name, channel="chat", bound="0.9") == pytest.approx((0.8 + 3 * 0.92) / 4)
    assert value(metrics, name, channel="chat", bound="0.5") == pytest.approx((0.4 + 3 * 0.6) / 4)
    assert value(metrics, "switchdesk_wait_bound_judged_contacts", channel="chat") == 5_100
    assert value(metrics, name, channel="email", bound="0.9") is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=20), max_size=10))
def test_no_word_of_a_stranger_makes_a_series(words: list[str]) -> None:
    metrics = with_policy()
    say_anything(metrics, "unheard-of")
    before = series(metrics)
    for word in words:
        say_anything(metrics, f"x-{word}")
    assert series(metrics) == before


async def test_addresses_that_are_no_routes_are_one_series(api: World) -> None:
    for number in range(20):
        await api.client.get(f"/v1/nothing/{number}")
        await api.client.get(f"/v1/contacts/c{number}", headers=api.as_("supervisor"))
        await api.client.request(f"METHOD{number}", "/v1/contacts")

    metrics = api.deps.metrics
    lines = generate_latest(metrics.registry).decode().splitlines()
    routes = {line for line in lines if line.startswith("switchdesk_http_requests_total{")}
    assert len(routes) <= 4, routes
    of_contact = {"method": "GET", "route": "/v1/contacts/{contact}", "status": "404"}
    assert value(metrics, "switchdesk_http_requests_total", **of_contact) == 20
    assert value(metrics, "switchdesk_http_requests_total", method="GET", route="other", status="404") == 20


async def test_a_stream_is_counted_while_it_is_open_and_is_not_a_slow_answer(api: World) -> None:
    metrics = api.deps.metrics
    async with api.client.stream("GET", "/v1/agents/ana/events", headers=api.as_("ana")):
        assert value(metrics, "switchdesk_http_streams") == 1
    api.deps.stopping.set()
    route = "/v1/agents/{agent}/events"
    assert value(metrics, "switchdesk_http_request_seconds_count", route=route) is None


async def test_the_admin_port() -> None:
    metrics = RouterMetrics()
    ready: list[bool | str] = [False]
    stopping = asyncio.Event()
    app = admin_app(metrics.registry, lambda: ready[0], stopping)
    async with serving(app) as base_url, httpx.AsyncClient(base_url=base_url, verify=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        ready[0] = "recovering"
        assert (await client.get("/readyz")).text == "recovering\n"
        ready[0] = True
        assert (await client.get("/readyz")).status_code == 200
        shown = await client.get("/metrics")
        assert shown.headers["content-type"].startswith("text/plain")
        assert "# HELP switchdesk_double_assign_total" in shown.text
        assert "process_resident_memory_bytes" in shown.text
        assert (await client.get("/elsewhere")).status_code == 404
        stopping.set()
        told = await client.get("/readyz")
        assert (told.status_code, told.text) == (503, "stopping\n")
        assert (await client.get("/healthz")).status_code == 200


def test_two_services_in_one_process_do_not_collide() -> None:
    assert RouterMetrics().registry is not RouterMetrics(CollectorRegistry()).registry


def rows(page: str) -> list[list[str]]:
    """The tables' rows that begin with a name in code."""
    lines = (REPOSITORY / "docs" / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_the_page_of_metrics_is_the_code() -> None:
    listed = {tuple(row) for row in rows("metrics.md") if len(row) == 4}
    known = {(f"`{each.name}`", each.kind, ", ".join(each.labels), each.help) for each in RouterMetrics().catalogue}
    assert listed == known


def test_names_are_prometheus_own() -> None:
    for metric in RouterMetrics().catalogue:
        assert re.fullmatch(r"switchdesk_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.help.endswith(".")


def test_the_page_of_problems_is_the_code() -> None:
    listed = {(row[0].strip("`"), int(row[1]), row[2]) for row in rows("problems.md")}
    known: list[type[Problem]] = [Problem]
    for problem in known:
        known.extend(each for each in problem.__subclasses__() if each.slug != "http-error")
    assert listed == {(problem.slug, problem.status, problem.title) for problem in known}


def test_a_queue_that_is_led_elsewhere_has_no_numbers_here() -> None:
    metrics = RouterMetrics()
    metrics.set_policy([{"channels": [], "queues": [{"name": "cards"}, {"name": "post"}], "presences": {}}])
    names = ("switchdesk_queue_waiting", "switchdesk_queue_oldest_age_seconds", "switchdesk_queue_staffed_agents")

    def told(queue: str) -> list[float | None]:
        return [metrics.registry.get_sample_value(name, {"queue": queue}) for name in names]

    metrics.set_queues([QueueNow("cards", 2, 60.0, 0), QueueNow("post", 1, 5.0, 3), QueueNow("cards", 1, 90.0, 4)])
    assert told("cards") == [3, 90, 0], "of two workspaces"
    assert told("post") == [1, 5, 3]
    metrics.set_queues([QueueNow("post", 0, 0.0, 3)])
    assert told("cards") == [None, None, None]
    assert told("post") == [0, 0, 3]
    metrics.set_queues([])
    assert told("post") == [None, None, None]
