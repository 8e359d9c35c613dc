"""Whether a channel counts as down: what adapters report has to hold for a while, an operator's word counts at once."""

from __future__ import annotations

from services.router.engine.context import Context, Refused
from services.router.engine.policy import HealthRules
from services.router.engine.records import ChannelState
from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth, Role, channel_name


def report_channel_health(ctx: Context, command: cmd.ReportChannelHealth) -> list[ev.Event]:
    """A channel's health, as reported with evidence. Contacts that have to move do so one by one, by timers that are
    due at once: so even a full house moves in entries of bounded size."""
    name = channel_name(command.channel, command.account)
    channel = ctx.workspace.channels.get(name)
    if channel is None:
        raise Refused("unknown_channel", f"there is no channel {name!r}", "channel")
    rules = ctx.workspace.policy.channels[name].health
    if ctx.actor.role is Role.OPERATOR:
        state, failures = command.state, 0
    else:
        failures = failures_after(channel, rules, command.state, ctx.now)
        state = state_after(channel, rules, command.state, failures)
    reported = command.state if state is not command.state else None
    # In a row of reports each counts, be it the same as the one before.
    is_row = command.state is ChannelHealth.DOWN and channel.state is not ChannelHealth.DOWN
    known = (channel.state, channel.evidence, channel.reported, channel.failures)
    if not is_row and known == (state, command.evidence, reported, failures):
        return [ev.CommandNoted(reason="unchanged", subject=name)]
    return [
        ev.ChannelHealthChanged(
            channel=command.channel,
            account=command.account,
            state=state,
            evidence=command.evidence,
            reported=reported,
            failures=failures,
        )
    ]


def failures_after(channel: ChannelState, rules: HealthRules, reported: ChannelHealth, at: int) -> int:
    """How many reports in a row say that the channel is down. A row that lasts too long begins anew with its last one:
    an adapter that tells of errors alone never says that all is well between two of them."""
    if reported is not ChannelHealth.DOWN:
        return 0
    if channel.state is ChannelHealth.DOWN:
        return rules.down_after
    if channel.failures and at - channel.failing_since <= rules.within:
        return channel.failures + 1
    return 1


def state_after(channel: ChannelState, rules: HealthRules, reported: ChannelHealth, failures: int) -> ChannelHealth:
    """What the channel counts as: down from the last report of a row on, and then until it has been well for a while.
    In between it is degraded, which moves nobody."""
    if reported is ChannelHealth.DOWN:
        return ChannelHealth.DOWN if failures >= rules.down_after else ChannelHealth.DEGRADED
    if channel.state is ChannelHealth.DOWN and rules.up_after:
        return ChannelHealth.DOWN
    return reported


def health_due(ctx: Context, name: str) -> list[ev.Event]:
    """It has been well for long enough: it is now what was reported last."""
    channel = ctx.workspace.channels[name]
    assert channel.reported is not None, f"{name} counts as up again, and nothing was reported"
    return [
        ev.ChannelHealthChanged(
            channel=channel.kind, account=channel.account, state=channel.reported, evidence=channel.evidence
        )
    ]
