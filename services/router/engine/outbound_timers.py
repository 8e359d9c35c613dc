"""When something is due for an outbound message, and which of them wait on which channel. Derived from the facts."""

from __future__ import annotations

from services.router.engine.ordered import OrderedSet
from services.router.engine.outbound_records import Attempt, Outbound
from services.router.engine.state import Workspace
from services.router.engine.waiting import Timer, timer
from shared.vocabulary import ChannelHealth, OutboundId, channel_name


class OutboundTimers:
    """One workspace's. Each outbound message has one timer, for whatever is due first."""

    def __init__(self, workspace: Workspace, timers: OrderedSet[Timer]) -> None:
        self._workspace = workspace
        self._timers = timers
        self._timer_of: dict[OutboundId, Timer] = {}
        self._channel_of: dict[OutboundId, str] = {}
        self._waiting_on: dict[str, dict[OutboundId, None]] = {}
        for outbound_id in workspace.outbounds:
            self.sync(outbound_id)

    def sync(self, outbound_id: OutboundId) -> None:
        """Bring the timer and the channel of one outbound message in step with its facts."""
        outbound = self._workspace.outbounds.get(outbound_id)
        self._sync_timer(outbound_id, outbound)
        attempt = outbound.under_way if outbound is not None else None
        old = self._channel_of.pop(outbound_id, None)
        if old is not None:
            del self._waiting_on[old][outbound_id]
        if attempt is not None:
            name = self._channel_of[outbound_id] = channel_name(attempt.channel, attempt.account)
            self._waiting_on.setdefault(name, {})[outbound_id] = None

    def sync_channel(self, name: str) -> None:
        """The health of a channel changed: whatever waits on it goes on if it is down."""
        for outbound_id in list(self._waiting_on.get(name, ())):
            # In an undo the message may be gone already, and its own turn be still to come.
            self._sync_timer(outbound_id, self._workspace.outbounds.get(outbound_id))

    def drop(self) -> None:
        """Take the timers out of the shared set."""
        for due in self._timer_of.values():
            self._timers.remove(due)

    def _sync_timer(self, outbound_id: OutboundId, outbound: Outbound | None) -> None:
        old = self._timer_of.get(outbound_id)
        new = timer(self._workspace, due_of(self._workspace, outbound), "outbound", outbound.id) if outbound else None
        if old == new:
            return
        if old is not None:
            self._timers.remove(old)
            del self._timer_of[outbound_id]
        if new is not None:
            self._timers.add(new)
            self._timer_of[outbound_id] = new


def due_of(workspace: Workspace, outbound: Outbound) -> int:
    """When something is due first (ms): the deadline, the end of a wait, a channel that is down; at last forgetting."""
    if outbound.ended_at is not None:
        return outbound.ended_at + workspace.policy.keep_ended
    dues = [outbound.deadline]
    if outbound.due is not None:
        dues.append(outbound.due)
    if outbound.under_way is not None and (since := down_since(workspace, outbound.under_way)) is not None:
        dues.append(since)
    return min(dues)


def down_since(workspace: Workspace, attempt: Attempt) -> int | None:
    """Since when an attempt's channel is down (ms); a channel that a policy took away counts as down."""
    channel = workspace.channels.get(channel_name(attempt.channel, attempt.account))
    if channel is None:
        return attempt.at
    return channel.since if channel.state is ChannelHealth.DOWN else None
