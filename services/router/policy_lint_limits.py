"""The lint rules about limits of what agents hold and get: numbers that other numbers make idle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from services.router.policy_lint_finding import Finding, each_queue
from shared.contracts.policy import Policy


def rate_limit_never_binds(policy: Policy, now: int) -> Iterator[Finding]:
    """A rate that nobody can reach, by how much they may hold and how long they wrap up."""
    for place, queue in each_queue(policy):
        rate = queue.rate_limit
        most = min((n for n in (queue.max_per_agent, policy.max_per_agent) if n is not None), default=None)
        if rate is None or most is None or not queue.wrap_up_s or queue.wrap_up_holds == "capacity":
            continue
        # In each wrap-up's time an agent gets at most one full load: all of it completed at once, then a pause.
        reachable = most * -(-rate.window_s // queue.wrap_up_s)
        if rate.max >= reachable:
            yield Finding(
                f"{place}.rate_limit",
                f"with {most} contacts at a time and {queue.wrap_up_s} s after each, nobody completes more than "
                f"{reachable} in {rate.window_s} s",
                "lower max, or leave the limit out",
            )


def queue_limit_never_binds(policy: Policy, now: int) -> Iterator[Finding]:
    """A queue's limit per agent that is not below the workspace's."""
    for place, queue in each_queue(policy):
        most = policy.max_per_agent
        if queue.max_per_agent is not None and most is not None and queue.max_per_agent >= most:
            yield Finding(
                f"{place}.max_per_agent",
                f"agents hold {most} contacts of all queues together, so {queue.max_per_agent} of this one are reached "
                "only by those with a higher limit of their own",
                f"set it below {most}, or leave it out",
            )


def ramp_step_never_binds(policy: Policy, now: int) -> Iterator[Finding]:
    """A step of the ramp that is not below the lasting limit."""
    most = policy.max_per_agent
    for number, step in enumerate(policy.ramp):
        if most is not None and step.max_open >= most:
            yield Finding(
                f"ramp.{number}.max_open",
                f"agents hold {most} contacts at any time, so {step.max_open} limit only those with a higher limit of "
                "their own",
                f"set it below {most}, or leave the step out",
            )


def ramp_goes_down(policy: Policy, now: int) -> Iterator[Finding]:
    """A step of the ramp that allows less than the one before."""
    for number, (before, step) in enumerate(pairwise(policy.ramp), start=1):
        if step.max_open < before.max_open:
            yield Finding(
                f"ramp.{number}.max_open",
                f"who got {before.max_open} contacts in the first {before.until_s} s gets no other one until they hold "
                f"less than {step.max_open}",
                "let max_open grow from step to step",
            )
