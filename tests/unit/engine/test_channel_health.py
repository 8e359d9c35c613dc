"""What adapters report of a channel has to hold for a while; an operator's word counts at once."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.contracts import commands as cmd
from shared.contracts import events as ev
from shared.vocabulary import ChannelHealth
from tests.builders import ADAPTER, Centre, channel, fallback, kinds, policy, reach

NAME = "chat:web"


def centre_of(**health: int) -> Centre:
    rules = {"down_after": 3, "within_s": 300, "up_after_s": 60, **health}
    return Centre(policy(channels=[channel("chat", fallback=fallback("email"), health=rules), channel("email")]))


def reported(centre: Centre, *states: ChannelHealth) -> list[ChannelHealth]:
    """What the channel counts as after each report of an adapter."""
    told = []
    for state in states:
        centre.health("chat", state, by=ADAPTER)
        told.append(centre.ws.channels[NAME].state)
    return told


DOWN, DEGRADED, HEALTHY, RECOVERING = (
    ChannelHealth.DOWN,
    ChannelHealth.DEGRADED,
    ChannelHealth.HEALTHY,
    ChannelHealth.RECOVERING,
)


def test_reports_of_down_in_a_row_make_it_down() -> None:
    assert reported(centre_of(), DOWN, DOWN, DOWN) == [DEGRADED, DEGRADED, DOWN]


def test_report_in_between_that_is_not_down_begins_the_row_anew() -> None:
    assert reported(centre_of(), DOWN, DOWN, DEGRADED, DOWN, DOWN, DOWN)[2:] == [DEGRADED, DEGRADED, DEGRADED, DOWN]


def test_row_that_began_too_long_ago_begins_anew() -> None:
    centre = centre_of(within_s=60)
    reported(centre, DOWN, DOWN)
    centre.wait(61)
    assert reported(centre, DOWN, DOWN, DOWN) == [DEGRADED, DEGRADED, DOWN]


def test_repeat_of_what_counts_already_changes_nothing() -> None:
    centre = centre_of(down_after=1)
    reported(centre, DOWN)
    assert kinds(centre.health("chat", DOWN, by=ADAPTER).events) == ["CommandNoted"]


def test_it_stays_down_until_it_has_been_well_for_long_enough() -> None:
    centre = centre_of(down_after=1)
    assert reported(centre, DOWN, HEALTHY) == [DOWN, DOWN]
    centre.wait(30)
    assert reported(centre, HEALTHY) == [DOWN]
    centre.wait(29.9)
    assert centre.ws.channels[NAME].state is DOWN
    centre.wait(0.1)
    assert centre.ws.channels[NAME].state is HEALTHY


def test_what_was_reported_last_is_what_it_comes_back_as() -> None:
    centre = centre_of(down_after=1)
    reported(centre, DOWN, HEALTHY, RECOVERING)
    centre.wait(60)
    channel_ = centre.ws.channels[NAME]
    assert (channel_.state, channel_.reported, channel_.well_since) == (RECOVERING, None, None)


def test_report_of_down_in_between_takes_back_that_it_was_well() -> None:
    centre = centre_of(down_after=3)
    reported(centre, DOWN, DOWN, DOWN, HEALTHY)
    centre.wait(59)
    assert reported(centre, DOWN, HEALTHY) == [DOWN, DOWN]
    centre.wait(59)
    assert centre.ws.channels[NAME].state is DOWN


def test_with_no_time_to_wait_for_it_is_up_at_once() -> None:
    assert reported(centre_of(down_after=1, up_after_s=0), DOWN, HEALTHY) == [DOWN, HEALTHY]


def test_operators_word_counts_at_once_and_ends_what_adapters_said() -> None:
    centre = centre_of()
    centre.down("chat")
    assert centre.ws.channels[NAME].state is DOWN
    reported(centre, HEALTHY)
    centre.up("chat")
    channel_ = centre.ws.channels[NAME]
    assert (channel_.state, channel_.reported, channel_.failures, channel_.well_since) == (HEALTHY, None, 0, None)
    centre.wait(61)
    assert reported(centre, DOWN) == [DEGRADED]


def test_since_when_is_when_the_state_changed_and_not_its_evidence() -> None:
    centre = centre_of(down_after=1)
    reported(centre, DOWN)
    since = centre.ws.channels[NAME].since
    centre.wait(5)
    centre.health("chat", DOWN, evidence="another probe", by=ADAPTER)
    assert (centre.ws.channels[NAME].since, centre.ws.channels[NAME].evidence) == (since, "another probe")


def test_contact_moves_when_the_row_is_full_and_not_before() -> None:
    centre = centre_of(down_after=2)
    centre.write("c1", customer="kim", reach=(reach("email", "kim"),))
    reported(centre, DOWN)
    assert centre.contact("c1").channel == "chat"
    reported(centre, DOWN)
    assert centre.last(ev.ContactRedirected).channel == "email"


def test_policy_that_shortens_the_wait_brings_it_up() -> None:
    centre = centre_of(down_after=1, up_after_s=600)
    reported(centre, DOWN, HEALTHY)
    centre.wait(30)
    health = {"down_after": 1, "within_s": 300, "up_after_s": 20}
    channels = [channel("chat", fallback=fallback("email"), health=health), channel("email")]
    centre.do(cmd.AdoptPolicy(policy=policy(channels=channels)))
    assert centre.ws.channels[NAME].state is HEALTHY


def test_time_when_nobody_led_does_not_count_as_well() -> None:
    centre = centre_of(down_after=1)
    reported(centre, DOWN, HEALTHY)
    since = centre.ws.channels[NAME].well_since
    assert since is not None
    centre.leave_unled(50)
    assert centre.ws.channels[NAME].well_since == since + 50_000
    centre.wait(59)
    assert centre.ws.channels[NAME].state is DOWN
    centre.wait(1)
    assert centre.ws.channels[NAME].state is HEALTHY


@pytest.mark.parametrize(("field", "value"), [("down_after", 0), ("within_s", -1), ("up_after_s", 10**9)])
def test_rules_out_of_range_are_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(ValidationError, match=rf"channels\.0\.health\.{field}"):
        policy(channels=[channel("chat", health={field: value})])
