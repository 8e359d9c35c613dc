"""The opening intervals of the policy in force: continued before they come to their end.

They are computed outside, because a time-zone database is not pure; here they are only put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.router.engine.admission import is_closed
from services.router.engine.context import Context
from services.router.engine.policy import RoutingPolicy
from services.router.engine.state import Workspace
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import QueueName

Intervals = Sequence[Sequence[int]]
"""`(begin, end)` in ms, sorted."""


def extend_hours(ctx: Context, command: cmd.ExtendHours) -> list[ev.Event]:
    """The queues whose intervals end earlier are continued. Of another version's hours nothing is taken: who adopted
    the one in force has computed its own."""
    ws = ctx.workspace
    if ws.policy_document is None or command.policy_version != ws.policy_version:
        return [ev.CommandNoted(reason="other_policy_version")]
    known = {queue["name"]: queue.get("open_until_ms", 0) for queue in ws.policy_document["queues"]}
    hours = {
        name: intervals
        for name, intervals in command.hours.items()
        if name in ws.policy.queues and ws.policy.queues[name].hours is not None and known[name] < command.until
    }
    if not hours:
        return [ev.CommandNoted(reason="unchanged")]
    policy, _ = extended(ws, hours, command.until, ctx.now)
    # A queue whose hours had run out already may be open now.
    turned = [
        ev.QueueHours(queue=QueueName(name), open=policy.queues[name].open_at(ctx.now))
        for name in sorted(hours)
        if policy.queues[name].open_at(ctx.now) == is_closed(ctx, name)
    ]
    return [ev.HoursExtended(policy_version=command.policy_version, until=command.until, hours=hours), *turned]


def extended(
    ws: Workspace, hours: Mapping[str, Intervals], until: int, at: int
) -> tuple[RoutingPolicy, dict[str, Any]]:
    """The policy of a workspace with these intervals added by queue, and its document. What is over is left out, so
    that neither grows with the years."""
    assert ws.policy_document is not None, f"{ws.name} has no policy"
    policies, documents = dict(ws.policy.queues), []
    for document in ws.policy_document["queues"]:
        name = document["name"]
        if name in hours:
            # The queue's next turn is looked for from its last one on.
            _, turned = ws.queue_hours.get(name, (True, at))
            together = _joined([*document.get("open_ms", ()), *hours[name]], min(at, turned))
            document = {**document, "open_ms": together, "open_until_ms": until}
            policies[name] = replace(policies[name], hours=tuple((begin, end) for begin, end in together))
        documents.append(document)
    return replace(ws.policy, queues=policies), {**ws.policy_document, "queues": documents}


def _joined(intervals: Intervals, since: int) -> list[list[int]]:
    """All of them that are not over at `since`, in order; what overlaps or touches is one."""
    joined: list[list[int]] = []
    for begin, end in sorted((begin, end) for begin, end in intervals):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        elif end >= since:
            joined.append([begin, end])
    return joined
