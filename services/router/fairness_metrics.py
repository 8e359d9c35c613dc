"""The metrics of fairness and load. What is told of agents is how many of them had how much, not who."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

from services.router.fairness import OUTCOMES, Share, Spent
from shared.metrics import Catalogue, closed

EDGES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CLOCK, LOAD = "clock", "load"


class FairnessMetrics:
    """Counters of what customers of each language and all agents together had, and gauges over the newest hour."""

    def __init__(self, names: Catalogue) -> None:
        self._languages: frozenset[str] = frozenset()
        self.language_contacts = names.counter(
            "switchdesk_language_contacts_total",
            "Contacts without mail, by language, once each: answered within the target (in_time), late, or unanswered.",
            ("language", "outcome"),
        )
        self.available_seconds = names.counter(
            "switchdesk_agents_available_seconds_total", "Time of all agents in which they could be offered work."
        )
        self.busy_seconds = names.counter(
            "switchdesk_agents_busy_seconds_total", "Of it with something in hand or in wrap-up."
        )
        self.loaded_seconds = names.counter(
            "switchdesk_agents_loaded_seconds_total", "Of it, times the share of the agent's capacity in use."
        )
        self.by_occupancy = names.gauge(
            "switchdesk_agents_by_occupancy",
            "Agents whose occupancy of the last hour was at most `le`, by the clock and by load.",
            ("measure", "le"),
        )
        self.spread = names.gauge(
            "switchdesk_occupancy_spread_ratio",
            "Standard deviation of agents' occupancy of the last hour, by the clock and by load.",
            ("measure",),
        )
        self.jain = names.gauge(
            "switchdesk_jain_index",
            "Jain's index of last hour's load of the agents who may serve the queue: 1 if all had the same.",
            ("queue",),
        )
        self.by_agent = names.gauge(
            "switchdesk_agent_occupancy_ratio",
            "Occupancy of the last hour of one agent; only with `ROUTER_METRICS_BY_AGENT`.",
            ("workspace", "agent", "measure"),
        )

    def set_languages(self, languages: frozenset[str]) -> None:
        """Those that agents speak; all others are counted together."""
        self._languages = languages

    def count(self, language: str, outcome: str) -> None:
        """One more contact of which is known whether it was answered in time."""
        known = closed(language, self._languages)
        for each in OUTCOMES:
            # A language of which nobody was in time has a share of 0, not none.
            self.language_contacts.labels(known, each).inc(each == outcome)

    def add_spent(self, spent: Spent) -> None:
        """Time of agents, in ms."""
        self.available_seconds.inc(spent.available / 1000)
        self.busy_seconds.inc(spent.busy / 1000)
        self.loaded_seconds.inc(spent.loaded / 1000)

    def set_agents(self, shares: Sequence[Share], *, by_agent: bool) -> None:
        """What agents had, whole. `by_agent`: each of them as series of their own."""
        self.by_agent.clear()
        for measure, values in ((CLOCK, [each.occ for each in shares]), (LOAD, [each.load for each in shares])):
            values.sort()
            for edge in EDGES:
                # What is above an edge by a rounding is on it.
                self.by_occupancy.labels(measure, str(edge)).set(bisect_right(values, edge + 1e-9))
            self.by_occupancy.labels(measure, "+Inf").set(len(values))
            self.spread.labels(measure).set(_deviation(values))
        for share in shares if by_agent else ():
            self.by_agent.labels(share.workspace, share.agent, CLOCK).set(share.occ)
            self.by_agent.labels(share.workspace, share.agent, LOAD).set(share.load)

    def set_jain(self, indexes: Mapping[str, float]) -> None:
        """By queue, whole: a queue of which nobody was at work has no index."""
        self.jain.clear()
        for queue, index in indexes.items():
            self.jain.labels(queue).set(index)


def _deviation(values: Sequence[float]) -> float:
    """As `statistics.pstdev`, in a hundredth of the time."""
    if not values:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
