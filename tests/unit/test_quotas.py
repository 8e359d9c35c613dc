"""Token buckets, and quotas of accounts and senders over them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from shared.contracts.message import InboundMessage, Sender
from shared.metrics import Catalogue, ProcessMetrics
from shared.quotas import OverQuota, Quotas, QuotaSettings, RateLimit, Scope, Source, source_of
from shared.vocabulary import ChannelKind
from tests.unit.router.test_replica import HandClock

ANA = Source(ChannelKind.TELEGRAM, "acme/telegram:bot", "ana")
BEN = Source(ChannelKind.TELEGRAM, "acme/telegram:bot", "ben")


def quotas(clock: HandClock, **changes: Any) -> Quotas:
    return Quotas(QuotaSettings(**changes), clock.monotonic)


def test_a_burst_then_the_rate() -> None:
    clock = HandClock()
    limit = RateLimit(30, 3, clock.monotonic)
    assert [limit.take("ana") for _ in range(4)] == [0, 0, 0, 2.0]
    assert limit.take("ben") == 0
    clock.pass_s(1.5)
    assert limit.take("ana") == 0.5
    clock.pass_s(0.5)
    assert [limit.take("ana"), limit.take("ana")] == [0, 2.0]
    clock.pass_s(3600)
    assert [limit.take("ana") for _ in range(4)] == [0, 0, 0, 2.0]


def test_more_than_there_is_has_to_be_waited_for() -> None:
    clock = HandClock()
    limit = RateLimit(60, 10, clock.monotonic)
    limit.charge("ana", 100)
    assert limit.wait_s("ana") == 91
    clock.pass_s(91)
    assert limit.wait_s("ana") == 0


def test_without_a_rate_there_is_no_limit() -> None:
    limit = RateLimit(0, 1, HandClock().monotonic)
    assert {limit.take("ana") for _ in range(1000)} == {0}


def test_buckets_do_not_pile_up() -> None:
    limit = RateLimit(60, 1, HandClock().monotonic)
    for number in range(20_000):
        limit.take(str(number))
    assert len(limit._buckets) == 10_000


def test_one_sender_leaves_room_for_the_others_of_an_account() -> None:
    few = quotas(HandClock(), sender_per_minute=60, sender_burst=2)
    few.take(ANA)
    few.take(ANA)
    with pytest.raises(OverQuota) as caught:
        few.take(ANA)
    assert (caught.value.scope, caught.value.retry_after) == (Scope.SENDER, "1")
    few.take(BEN)


def test_an_account_has_room_for_so_many_of_all_its_senders() -> None:
    clock = HandClock()
    few = quotas(clock, account_per_minute=60, account_burst=2)
    few.take(ANA)
    few.take(BEN)
    with pytest.raises(OverQuota) as caught:
        few.take(Source(ANA.channel, ANA.account, "new"))
    assert caught.value.scope is Scope.ACCOUNT
    few.take(Source(ANA.channel, "acme/telegram:other", "new"))
    clock.pass_s(1)
    few.take(Source(ANA.channel, ANA.account, "new"))


def test_what_is_refused_is_counted_and_costs_nothing() -> None:
    metrics = ProcessMetrics(Catalogue(CollectorRegistry()))
    clock = HandClock()
    few = quotas(clock, sender_per_minute=60, sender_burst=1)
    few.observe(metrics)
    few.take(ANA)
    for _ in range(3):
        with pytest.raises(OverQuota):
            few.take(ANA)
    labels = {"channel": "telegram", "scope": "sender"}
    assert metrics.catalogue.registry.get_sample_value("switchdesk_messages_over_quota_total", labels) == 3
    clock.pass_s(1)
    few.take(ANA)


def test_the_same_address_is_the_same_sender_however_it_is_spelled() -> None:
    def source(workspace: str, sender: str) -> Source:
        message = InboundMessage(source_key="k", channel=ChannelKind.EMAIL, account="help@x", sender=Sender(id=sender))
        return source_of(workspace, message)

    assert source("acme", "Jane@Example.org ") == source("acme", "jane@example.org")
    assert source("acme", "jane@example.org") != source("other", "jane@example.org")
