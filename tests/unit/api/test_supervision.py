"""What supervisors do by hand: which command each call becomes, and what is refused before there is one."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.commands import (
    AdjustAge,
    AssignContact,
    ChannelTerms,
    Command,
    PrioritiseContact,
    PutAgent,
    ReopenContact,
    SetContactActive,
    SetLimit,
    TransferContact,
)
from shared.vocabulary import AgentId, ContactId
from tests.unit.api.conftest import World
from tests.unit.api.standin import refuse

C1 = ContactId("c-ana")
BEN = AgentId("ben")


@pytest.mark.parametrize(
    ("path", "body", "command"),
    [
        (
            "assign",
            {"agent": "ben", "reason": "knows it"},
            AssignContact(contact=C1, agent=BEN, reason="knows it"),
        ),
        ("transfer", {"to_queue": "cards"}, TransferContact(contact=C1, queue="cards")),
        (
            "transfer",
            {"to_agent": "ben", "keep_age": False, "exclude_self": False},
            TransferContact(contact=C1, agent=BEN, keep_age=False, exclude_self=False),
        ),
        ("transfer", {"to_channel": "email"}, TransferContact(contact=C1, channel="email", account="support")),
        (
            "transfer",
            {"to_channel": "email", "account": "sales"},
            TransferContact(contact=C1, channel="email", account="sales"),
        ),
        ("park", None, SetContactActive(contact=C1, active=False)),
        ("resume", None, SetContactActive(contact=C1, active=True)),
        ("priority", {"priority": 7}, PrioritiseContact(contact=C1, priority=7)),
        ("age", {"add_s": -30}, AdjustAge(contact=C1, add=-30_000)),
        ("reopen", None, ReopenContact(contact=C1)),
    ],
)
async def test_each_call_becomes_its_command(
    api: World, path: str, body: dict[str, Any] | None, command: Command
) -> None:
    answer = await api.client.post(f"/v1/contacts/c-ana/{path}", json=body, headers=api.as_("supervisor"))

    assert answer.status_code == 200, answer.text
    assert api.router.commands(type(command)) == [command]


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"agent": "ben", "max": 2}, SetLimit(most=2, agent=BEN)),
        ({"queue": "cards", "max": 1}, SetLimit(most=1, queue="cards")),
        ({"max": None}, SetLimit(most=None)),
        ({}, SetLimit(most=None)),
        ({"agent": "ben", "max": 0}, SetLimit(most=0, agent=BEN)),
    ],
)
async def test_limits_are_of_an_agent_a_queue_or_everybody(api: World, body: dict[str, Any], command: SetLimit) -> None:
    answer = await api.client.put("/v1/limits", json=body, headers=api.as_("supervisor"))

    assert answer.status_code == 200, answer.text
    assert api.router.commands(SetLimit) == [command]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("contacts/c-ana/transfer", {}, "to_queue"),
        ("contacts/c-ana/transfer", {"to_queue": "a", "to_agent": "b"}, "to_queue"),
        ("contacts/c-ana/transfer", {"to_queue": "a", "to_channel": "email"}, "to_queue"),
        ("contacts/c-ana/transfer", {"to_queue": "a", "account": "b"}, "account"),
        ("contacts/c-ana/priority", {"priority": 5000}, "priority"),
        ("contacts/c-ana/age", {"add_s": "long"}, "add_s"),
        ("contacts/c-ana/assign", {}, "agent"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(api: World, path: str, body: dict[str, Any], field: str) -> None:
    answer = await api.client.post(f"/v1/{path}", json=body, headers=api.as_("supervisor"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert api.router.seen == []


@pytest.mark.parametrize(
    ("reason", "status", "slug"),
    [
        ("unreachable", 409, "unreachable"),
        ("channel_down", 409, "channel-down"),
        ("no_room", 409, "no-room"),
        ("unknown_channel", 422, "invalid"),
    ],
)
async def test_a_channel_that_is_refused_says_why(api: World, reason: str, status: int, slug: str) -> None:
    api.router.scripts[TransferContact] = lambda record: refuse(reason, field="channel")

    answer = await api.client.post("/v1/contacts/c-ana/transfer", json={"to_channel": "email"}, headers=api.as_("ana"))

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert answer.json()["reason"] == reason


async def test_a_profile_may_say_more_of_a_queue_than_its_name(api: World) -> None:
    body = {
        "queues": [
            "cards",
            {
                "queue": "disputes",
                "tier": 2,
                "priority": 3,
                "delay_s": 10,
                "channels": ["chat"],
                "per_channel": {"chat": {"delay_s": 5}, "callback": {"priority": 1}},
            },
        ],
        "capacity": {"total": None, "max_contacts": 4, "profiles": {"fraud": 1}},
        "while_on": {"callback": ["email"]},
        "wrap_up_s": 20,
        "reject_pause_s": 5,
        "attributes": {"years": -2},
    }

    await api.client.put("/v1/agents/cy", json=body, headers=api.as_("operator"))

    (command,) = api.router.commands(PutAgent)
    assert command.queues == ("cards", "disputes")
    (member,) = command.memberships
    assert (member.queue, member.tier, member.priority, member.delay) == ("disputes", 2, 3, 10_000)
    assert member.per_channel == (
        ChannelTerms(channel="callback", priority=1),
        ChannelTerms(channel="chat", delay=5_000),
    )
    assert (command.capacity_total, command.max_contacts, command.profiles) == (None, 4, {"fraud": 1})
    assert command.attributes == {"years": -2}
    assert (command.while_on, command.wrap_up, command.reject_pause) == ({"callback": ("email",)}, 20_000, 5_000)
