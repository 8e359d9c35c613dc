"""One fault in a policy is one error, at its own key and line, whatever else it leads to."""

from __future__ import annotations

import json
import time

import pytest

from services.router.api.policy_document import read_policy
from services.router.api.problems import InvalidPolicy

GOOD = """\
channels:
  - kind: chat
    account: web
    queue: help
    fallback:
      - {channel: email, account: mail}
  - kind: email
    account: mail
    queue: other
queues:
  - name: help
    rank: 2
    business_hours:
      tz: Asia/Jakarta
      weekly: {mon: "09:00-17:00"}
    overflow:
      - {when: {wait_exceeds_s: 3}, action: move_to, queue: other}
    steps:
      - {after_s: 1, open_tier: 2}
  - name: other
flows:
  - name: menu
    default_queue: help
    filters:
      - match: {topic: card}
        steps:
          - {queue: other, until_age_s: 30}
"""


def errors_in(text: str, media_type: str = "application/yaml") -> list[dict[str, object]]:
    with pytest.raises(InvalidPolicy) as refused:
        read_policy(text.encode(), media_type)
    return list(refused.value.members["errors"])


@pytest.mark.parametrize(
    ("right", "wrong", "field", "line"),
    [
        # A queue that fails is no queue that is missing: the channels and flows that name it are right.
        ("rank: 2", "rnak: 2", "queues.0.rnak", 12),
        ("rank: 2", "rank: two", "queues.0.rank", 12),
        ("open_tier", "open_teir", "queues.0.steps.0.open_teir", 19),
        ("wait_exceeds_s", "wait_exceeds", "queues.0.overflow.0.when.wait_exceeds", 17),
        ("queue: other}\n    steps", "quee: other}\n    steps", "queues.0.overflow.0.quee", 17),
        ("rank: 2", "contact_order: buckets", "queues.0.buckets", 11),
        # A misspelt name of a field that must be there.
        ("name: other", "nmae: other", "queues.1.nmae", 20),
        ("tz:", "zt:", "queues.0.business_hours.zt", 14),
        ("account: web", "acount: web", "channels.0.acount", 3),
        ("queues:", "queus:", "queus", 10),
        # A station that is wrong leaves no flow without stations.
        ("until_age_s", "until_age", "flows.0.filters.0.steps.0.until_age", 27),
        ("until_age_s: 30", "only_agents: [7]", "flows.0.filters.0.steps.0.only_agents.0", 27),
        ("until_age_s: 30", "only_agents: $prefered", "flows.0.filters.0.steps.0.only_agents", 27),
        # What may be of several kinds.
        ("rank: 2", "max_offers: al", "queues.0.max_offers", 12),
        ('"09:00-17:00"', "9-17", "queues.0.business_hours.weekly.mon", 15),
        ('"09:00-17:00"', '["09:00-12:00", 13-17]', "queues.0.business_hours.weekly.mon.1", 15),
        ("mon:", "monday:", "queues.0.business_hours.weekly.monday", 15),
        ("mon:", "1:", "queues.0.business_hours.weekly.1", 15),
        # A channel's kind, which its neighbours' fallbacks name.
        ("kind: email", "kind: emial", "channels.1.kind", 7),
    ],
)
def test_one_typo_is_one_error(right: str, wrong: str, field: str, line: int) -> None:
    assert GOOD.count(right) >= 1
    (error,) = errors_in(GOOD.replace(right, wrong, 1))
    assert (error["field"], error["line"]) == (field, line)


def test_a_misspelt_field_is_told_with_what_is_meant() -> None:
    (error,) = errors_in(GOOD.replace("name: other", "nmae: other"))
    assert error["detail"] == "there is no such field; `name` is missing"


def test_a_value_of_no_kind_is_told_all_of_them() -> None:
    (error,) = errors_in(GOOD.replace("rank: 2", "max_offers: 0"))
    assert error["detail"] == "Input should be greater than or equal to 1, or input should be 'all'"


def test_two_faults_are_two_errors() -> None:
    found = errors_in(GOOD.replace("rank: 2", "rnak: 2").replace("tz:", "zone_of_the_house:"))
    assert {error["field"] for error in found} == {
        "queues.0.rnak",
        "queues.0.business_hours.tz",
        "queues.0.business_hours.zone_of_the_house",
    }


def test_an_empty_list_is_still_too_short() -> None:
    (error,) = errors_in(json.dumps({"channels": [], "queues": [{"name": "q"}]}), "application/json")
    assert error["field"] == "channels"


def test_very_many_faults_are_told_in_time() -> None:
    keys = ", ".join(f"tz{n}: 1" for n in range(20_000))
    began = time.process_time()
    found = errors_in(GOOD.replace("tz: Asia/Jakarta", f"more: {{{keys}}}") + "typo: 1\n")
    wide = errors_in(GOOD.replace("tz: Asia/Jakarta", "\n".join(f"{' ' * 6}t{n}: 1" for n in range(4_000)).lstrip()))
    assert time.process_time() - began < 5
    assert len(found) == 3
    assert len(wide) == 4_000


@pytest.mark.parametrize(
    ("right", "wrong", "field", "line"),
    [
        ("after_s: 1, open_tier: 2", "after_s: 1, only_agents: []", "queues.0.steps.0.only_agents", 19),
        ("until_age_s: 30", "until_age_s: 30, only_agents: []", "flows.0.filters.0.steps.0.only_agents", 27),
    ],
)
def test_a_step_that_leaves_nobody_to_ask_is_refused(right: str, wrong: str, field: str, line: int) -> None:
    (error,) = errors_in(GOOD.replace(right, wrong))
    assert (error["field"], error["line"]) == (field, line)
    assert error["detail"] == "an empty list leaves nobody to ask; leave it out"
    read_policy(GOOD.replace(right, wrong.replace("[]", "[ana]")).encode(), "application/yaml")
