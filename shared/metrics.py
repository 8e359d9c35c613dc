"""Defining metrics: a registry that can be listed, and the metrics that every process has.

Base units (seconds, bytes), Prometheus' suffixes, and labels from closed sets only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

OTHER: Final = "other"
FAST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def closed(value: object, allowed: frozenset[Any]) -> str:
    """A label's value out of its closed set."""
    return str(value) if value in allowed else OTHER


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of `docs/metrics.md`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Catalogue:
    """A registry that remembers what was defined on it."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.metrics: list[Metric] = []

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        self.metrics.append(Metric(name, "counter", labels, text))
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        self.metrics.append(Metric(name, "gauge", labels, text))
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, labels: tuple[str, ...], buckets: Iterable[float]) -> Histogram:
        self.metrics.append(Metric(name, "histogram", labels, text))
        return Histogram(name, text, labels, registry=self.registry, buckets=tuple(buckets))


class ProcessMetrics:
    """What every process tells: itself, how it stands with the log and the views, and what it answers by HTTP."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        ProcessCollector(registry=catalogue.registry)
        PlatformCollector(registry=catalogue.registry)
        GCCollector(registry=catalogue.registry)
        self.log_up = catalogue.gauge("switchdesk_log_up", "1 while the log answers.")
        self.views_up = catalogue.gauge("switchdesk_views_up", "1 while the views answer.")
        self.producer_replacements = catalogue.counter(
            "switchdesk_log_producer_replacements_total", "Producers replaced because nothing was acknowledged."
        )
        self.views_queue = catalogue.gauge(
            "switchdesk_views_queue", "Entries whose documents are not written to the views yet."
        )
        self.views_queue_bytes = catalogue.gauge(
            "switchdesk_views_queue_bytes",
            "Size of what is not written to the views yet; bounded, then they count as lost.",
        )
        self.hints_missed = catalogue.counter(
            "switchdesk_views_hints_missed_total", "Hints that did not arrive; readers looked again by themselves."
        )
        self.content_lag = catalogue.gauge(
            "switchdesk_content_lag_records",
            "Records of the content topic that are not in the content table yet.",
            ("partition",),
        )
        self.webhook_dead_letters = catalogue.counter(
            "switchdesk_webhook_dead_letters_total",
            "Requests of webhooks that were put aside, by reason (unreadable, unknown_channel). Alarm.",
            ("reason",),
        )
        self.webhook_dead_letter_bytes = catalogue.gauge(
            "switchdesk_webhook_dead_letter_bytes", "Size of what webhooks put aside and nobody replayed. Alarm."
        )
        self.over_quota = catalogue.counter(
            "switchdesk_messages_over_quota_total",
            "Messages that were refused for now, by whose quota was used up (account, sender). Alarm.",
            ("channel", "scope"),
        )
        self.loop_lag = catalogue.gauge(
            "switchdesk_loop_lag_seconds", "How late the event loop ran at worst in the last 15 s."
        )
        self.http_requests = catalogue.counter(
            "switchdesk_http_requests_total", "Requests by route template and status.", ("method", "route", "status")
        )
        self.http_seconds = catalogue.histogram(
            "switchdesk_http_request_seconds", "Time to answer, without streams.", ("route",), FAST_BUCKETS
        )
        self.http_streams = catalogue.gauge("switchdesk_http_streams", "Open streams.")
