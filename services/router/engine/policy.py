"""The routing policy as decisions read it: frozen, in milliseconds, looked up by name.

Validated at the border (`shared.contracts.policy`) and recorded whole in `PolicyAdopted`; this is only its other shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.vocabulary import UNKNOWN_LANGUAGE, Presence, channel_name


@dataclass(frozen=True, slots=True)
class MissRule:
    """After so many offers in a row ran out, the agent's presence becomes this."""

    after_misses: int
    set_presence: str


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How one queue waits, is ordered and is offered. Times in ms."""

    name: str
    rank: int
    skills: tuple[tuple[str, int], ...]
    language_min: int
    strategy: str
    offer_timeout: int
    retry_delay: int
    wrap_up: int
    decline: str
    on_miss: MissRule | None
    target: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """Where contacts of one channel start, and where they go when it is down."""

    kind: str
    account: str
    queue: str
    language: str
    priority: int
    fallback: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return channel_name(self.kind, self.account)


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Everything that decides how a workspace routes."""

    queues: Mapping[str, QueuePolicy]
    channels: Mapping[str, ChannelPolicy]
    presences: frozenset[str]
    lease: int
    grace: int
    keep_on_loss: frozenset[str]
    language_confidence: float
    profile_confidence: float
    keep_ended: int


NO_POLICY = RoutingPolicy(
    queues={},
    channels={},
    presences=frozenset(p.value for p in Presence),
    lease=30_000,
    grace=60_000,
    keep_on_loss=frozenset(),
    language_confidence=0.8,
    profile_confidence=0.5,
    keep_ended=86_400_000,
)
"""Before the first adoption: nothing routes, presence can be declared."""


def base_language(code: str) -> str:
    """The language without region or script: `pt-BR` asks for Portuguese."""
    return code.split("-", 1)[0].lower() if code else UNKNOWN_LANGUAGE


def spoken(levels: Mapping[str, int]) -> dict[str, int]:
    """The best level per language without region: who speaks `pt: 2` and `pt-BR: 5` speaks Portuguese at 5."""
    best: dict[str, int] = {}
    for code, level in levels.items():
        language = base_language(code)
        best[language] = max(level, best.get(language, 0))
    return best


def routing_policy(document: Mapping[str, Any]) -> RoutingPolicy:
    """The frozen form of a document that `shared.contracts.policy.Policy` dumped."""
    return RoutingPolicy(
        queues={queue["name"]: _queue(queue) for queue in document["queues"]},
        channels={
            channel_name(c["kind"], c["account"]): ChannelPolicy(
                kind=c["kind"],
                account=c["account"],
                queue=c["queue"],
                language=base_language(c["language"]),
                priority=c["priority"],
                fallback=tuple((step["channel"], step["account"]) for step in c["fallback"]),
            )
            for c in document["channels"]
        },
        presences=frozenset({*(p.value for p in Presence), *document["presences"]}),
        lease=document["lease"]["lease_s"] * 1000,
        grace=document["lease"]["grace_s"] * 1000,
        keep_on_loss=frozenset(kind for kind, what in document["lease"]["on_lost"].items() if what == "keep"),
        language_confidence=document["language_confidence"],
        profile_confidence=document["language_profile_confidence"],
        keep_ended=document["keep_ended_s"] * 1000,
    )


def _queue(queue: Mapping[str, Any]) -> QueuePolicy:
    on_miss = queue["on_miss"]
    return QueuePolicy(
        name=queue["name"],
        rank=queue["rank"],
        skills=tuple(sorted(queue["skills"].items())),
        language_min=queue["language_min"],
        strategy=queue["strategy"],
        offer_timeout=queue["offer_timeout_s"] * 1000,
        retry_delay=queue["retry_delay_s"] * 1000,
        wrap_up=queue["wrap_up_s"] * 1000,
        decline=queue["decline"]["policy"],
        on_miss=MissRule(on_miss["after_misses"], on_miss["set_presence"]) if on_miss else None,
        target={kind: seconds * 1000 for kind, seconds in queue["target_s"].items()},
    )
