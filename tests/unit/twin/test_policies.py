"""Policies by name and from files, on the twin's scale of levels."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.router.engine.policy_document import routing_policy
from services.router.twin.day import UnreadableDay
from services.router.twin.policies import NAMED, accounts_of, policy_for
from tests.unit.twin.days import agent, arrival, config, played

OWN = """
channels:
  - {kind: chat, account: web, queue: desk}
  - {kind: email, account: mail, queue: desk}
queues:
  - {name: desk, language_min: 4, offer_timeout_s: 20}
"""


@pytest.mark.parametrize("name", NAMED)
def test_every_named_policy_is_one_that_the_engine_reads(name: str) -> None:
    policy = routing_policy(policy_for(name, config()))
    assert all(queue.auto_accept for queue in policy.queues.values())
    assert {channel.kind for channel in policy.channels.values()} == {"chat", "email"}


def test_bullseyes_rings_are_finer_than_five_levels() -> None:
    queues = routing_policy(policy_for("bullseye", config())).queues
    rings = [
        (queues[f"chat_ring_{n}"].language_min, [s.after for s in queues[f"chat_ring_{n}"].steps]) for n in (1, 2, 3)
    ]
    assert rings == [(95, [15_000]), (85, [15_000]), (1, [])]


def test_an_operators_own_policy(tmp_path: Path) -> None:
    """Level 4 asks for nine tenths: who is slower gets nothing."""
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert accounts_of(policy_for(str(path), config())) == {"chat": "web", "email": "mail"}
    slow, quick = agent("slow", languages={"en": 0.89}), agent("quick", languages={"en": 0.9})
    run = played([arrival(0, 100), arrival(1, 100)], [slow, quick], str(path))
    assert [case.agent for case in run.cases] == ["quick", "quick"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OWN.replace("language_min: 4", "language_min: 9"), "own.yaml:6: queues.0.language_min: "),
        (OWN.replace("  - {kind: email, account: mail, queue: desk}\n", ""), "no channel is of that kind"),
    ],
)
def test_policies_that_cannot_be_played(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UnreadableDay) as refused:
        policy_for(str(path), config())
    assert told in str(refused.value)


def test_a_name_that_there_is_no_policy_of() -> None:
    with pytest.raises(UnreadableDay, match="there is no policy 'luck'"):
        policy_for("luck", config())
