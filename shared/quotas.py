"""How much one source may send in: a token bucket for each of our accounts and for each sender to it.

A process counts for itself and in memory: several of a kind allow so many times as much, and a restart begins anew.
Whoever is refused keeps the message and sends it again, so nothing is lost by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from shared.contracts.message import InboundMessage
from shared.intake import normal_address
from shared.metrics import ProcessMetrics
from shared.settings import Settings
from shared.vocabulary import ChannelKind, channel_name

_MOST_BUCKETS: Final = 10_000


class RateLimit:
    """A token bucket per key: `burst` at once, then `per_minute`. With 0 a minute there is no limit."""

    def __init__(self, per_minute: int, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take one: 0.0 if there was one, else the seconds until there will be."""
        wait_s = self.wait_s(key)
        if not wait_s:
            self.charge(key, 1)
        return wait_s

    def wait_s(self, key: str) -> float:
        """0.0 if there is one now, else the seconds until there will be. Takes nothing."""
        if not self._per_second:
            return 0.0
        tokens = self._charged(key, 0)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._per_second

    def charge(self, key: str, count: int) -> None:
        """Take so many, also more than there are: the debt has to be waited for."""
        if self._per_second:
            self._charged(key, count)

    def _charged(self, key: str, count: int) -> float:
        """What is left in the bucket after taking so many."""
        now = self._monotonic()
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second) - count
        self._buckets[key] = (tokens, now)
        # The least recently used goes first; by then its bucket is most likely full again.
        while len(self._buckets) > _MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return tokens


class QuotaSettings(Settings):
    """How much one source may send. Far more than customers do: only a flood is held back."""

    sender_per_minute: Annotated[int, Field(ge=0)] = Field(
        300, description="Messages of one sender to one account, for each process; 0: no limit."
    )
    sender_burst: Annotated[int, Field(ge=1)] = Field(
        300, description="So many of them at once, before the rate counts."
    )
    account_per_minute: Annotated[int, Field(ge=0)] = Field(
        30_000, description="Messages to one account, for each process; 0: no limit."
    )
    account_burst: Annotated[int, Field(ge=1)] = Field(
        30_000, description="So many of them at once, before the rate counts."
    )


class Scope(StrEnum):
    """Whose quota is used up."""

    ACCOUNT = "account"
    SENDER = "sender"


class OverQuota(Exception):
    """Refused for now: nothing was stored of it."""

    def __init__(self, scope: Scope, wait_s: float) -> None:
        whose = "for this account" if scope is Scope.ACCOUNT else "from this sender"
        super().__init__(f"too many messages {whose} at the moment; please send it again later")
        self.scope = scope
        self.retry_after = str(math.ceil(wait_s))
        """Whole seconds, as HTTP wants them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One of our accounts, and who writes to it."""

    channel: ChannelKind
    account: str
    """Unlike any other workspace's."""
    sender: str


class Quotas:
    """Of one process. Look first, then charge: what is one request to a provider is taken whole or not at all, so a
    request of more messages than a burst is taken as well, and paid for afterwards."""

    def __init__(self, settings: QuotaSettings, monotonic: Callable[[], float]) -> None:
        self._accounts = RateLimit(settings.account_per_minute, settings.account_burst, monotonic)
        self._senders = RateLimit(settings.sender_per_minute, settings.sender_burst, monotonic)
        self._metrics: ProcessMetrics | None = None

    def observe(self, metrics: ProcessMetrics) -> None:
        """Count there from now on."""
        self._metrics = metrics

    def account(self, channel: ChannelKind, account: str, *, messages: int = 1) -> OverQuota | None:
        """Why nothing is taken in for this account now, if so; then `messages` are counted as refused."""
        return self._refused(channel, Scope.ACCOUNT, self._accounts.wait_s(account), messages)

    def sender(self, source: Source, *, messages: int = 1) -> OverQuota | None:
        """Why nothing is taken in of this sender now, if so; then `messages` are counted as refused."""
        return self._refused(source.channel, Scope.SENDER, self._senders.wait_s(_key(source)), messages)

    def charge(self, source: Source, messages: int = 1) -> None:
        """These are taken in."""
        self._accounts.charge(source.account, messages)
        self._senders.charge(_key(source), messages)

    def take(self, source: Source) -> None:
        """One message that stands for itself. Raises `OverQuota`."""
        refused = self.account(source.channel, source.account) or self.sender(source)
        if refused is not None:
            raise refused
        self.charge(source)

    def _refused(self, channel: ChannelKind, scope: Scope, wait_s: float, messages: int) -> OverQuota | None:
        if not wait_s:
            return None
        if self._metrics is not None:
            self._metrics.over_quota.labels(channel.value, scope.value).inc(messages)
        return OverQuota(scope, wait_s)


def source_of(workspace: str, message: InboundMessage) -> Source:
    """Whom a message counts for. One that names no account counts for an account of its own kind."""
    sender = normal_address(message.channel.value, message.sender.id)
    return Source(message.channel, account_of(workspace, message.channel, message.account), sender)


def account_of(workspace: str, channel: ChannelKind, account: str | None) -> str:
    """An account's name among those of all workspaces."""
    return f"{workspace}/{channel_name(channel, account or '')}"


def _key(source: Source) -> str:
    return f"{source.account}/{source.sender}"
