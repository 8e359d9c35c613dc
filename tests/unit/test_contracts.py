"""What comes in from outside is refused by the name of the field, before a record exists."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from shared.contracts.message import InboundMessage
from shared.contracts.policy import Policy

MESSAGE: dict[str, Any] = {
    "source_key": "chat:web:message:1",
    "channel": "chat",
    "sender": {"id": "session-1"},
    "text": "Halo, saya butuh bantuan",
}
POLICY: dict[str, Any] = {
    "channels": [
        {"kind": "chat", "account": "web", "queue": "general"},
        {"kind": "email", "account": "support@example.org", "queue": "general"},
    ],
    "queues": [{"name": "general"}, {"name": "cards"}],
}


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with one place set to something else."""
    document = copy.deepcopy(document)
    at: Any = document
    *way, last = path.split(".")
    for part in way:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    at[int(last) if last.isdigit() else last] = value
    return document


def refusal(model: type[BaseModel], document: dict[str, Any] | bytes) -> tuple[str, str]:
    """Where the model refuses the document, and why."""
    data = document if isinstance(document, bytes) else json.dumps(document)
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(data)
    error = caught.value.errors()[0]
    return ".".join(map(str, error["loc"])), error["msg"]


# The inbound message


def test_smallest_message_is_taken_and_the_rest_has_defaults() -> None:
    message = InboundMessage.model_validate_json(json.dumps(MESSAGE))
    assert (message.account, message.thread, message.priority, message.schema_version) == (None, None, 0, "1")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("source_key", ""),
        ("source_key", "x" * 257),
        ("source_key", 7),
        ("channel", "pigeon"),
        ("channel", None),
        ("account", "no spaces"),
        ("account", ""),
        ("sender", "kim"),
        ("sender.id", ""),
        ("sender.name", "x" * 501),
        ("sender.addresses", [{"channel": "email", "address": "a@example.org"}] * 9),
        ("kind", "shout"),
        ("text", ["a"]),
        ("text", "x" * 65_537),
        ("html", "x" * 262_145),
        ("subject", "x" * 501),
        ("attachments", [{"ref": "a", "mime": "text/plain", "size": 1}] * 21),
        ("auto", "maybe"),
        ("language", "e"),
        ("language", "en_US"),
        ("language", "x" * 40),
        ("language_confidence", 1.01),
        ("language_confidence", -0.01),
        ("language_confidence", "sure"),
        ("queue", "a queue"),
        ("skills.cards", 0),
        ("skills.cards", 6),
        ("skills.cards", 2.5),
        ("skills.cards", "5"),
        ("skills.cards", True),
        ("priority", 1001),
        ("priority", 1.0),
        ("priority", "1"),
        ("attributes.tier", "x" * 501),
        ("attributes.tier", {"nested": 1}),
        ("provider_time", "yesterday"),
        ("native.chat_id", 7),
        ("schema_version", "2"),
    ],
)
def test_message_is_refused_by_the_name_of_the_field(path: str, value: Any) -> None:
    place, _ = refusal(InboundMessage, changed(MESSAGE, path, value))
    assert place == path


@pytest.mark.parametrize("field", ["source_key", "channel", "sender"])
def test_missing_field_is_named(field: str) -> None:
    place, why = refusal(InboundMessage, {name: value for name, value in MESSAGE.items() if name != field})
    assert (place, why) == (field, "Field required")


@pytest.mark.parametrize("path", ["txt", "sender.nmae"])
def test_unknown_field_of_a_message_is_named(path: str) -> None:
    place, why = refusal(InboundMessage, changed(MESSAGE, path, "x"))
    assert (place, why) == (path, "Extra inputs are not permitted")


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"channel": "email", "address": ""}, "address"),
        ({"channel": "pigeon", "address": "a"}, "channel"),
        ({"channel": "email", "address": "a@example.org", "verifed": True}, "verifed"),
        ({"channel": "email", "address": "a@example.org", "consent": "perhaps"}, "consent"),
    ],
)
def test_senders_address_is_refused_by_its_place(part: dict[str, Any], place: str) -> None:
    found, _ = refusal(InboundMessage, changed(MESSAGE, "sender.addresses", [part]))
    assert found == f"sender.addresses.0.{place}"


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"ref": "a", "mime": "text", "size": 1}, "mime"),
        ({"ref": "a", "mime": "text/plain", "size": -1}, "size"),
        ({"ref": "a", "mime": "text/plain", "size": 100_000_001}, "size"),
        ({"ref": "", "mime": "text/plain", "size": 1}, "ref"),
    ],
)
def test_attachment_is_refused_by_its_place(part: dict[str, Any], place: str) -> None:
    found, _ = refusal(InboundMessage, changed(MESSAGE, "attachments", [part]))
    assert found == f"attachments.0.{place}"


def test_lone_surrogate_is_refused_by_the_name_of_the_field() -> None:
    data = json.dumps(MESSAGE)
    for field, text in (("source_key", "chat:web"), ("text", "Halo")):
        broken = data.replace(text, text + "\\ud83d", 1).encode()
        with pytest.raises(ValidationError) as caught:
            InboundMessage.model_validate_json(broken)
        assert caught.value.errors()[0]["type"] in ("json_invalid", "value_error"), field
    with pytest.raises(ValidationError) as caught:
        InboundMessage.model_validate({**MESSAGE, "text": "Halo \ud83d"})
    assert caught.value.errors()[0]["loc"] == ("text",)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_number_that_is_none_is_refused_by_the_name_of_the_field(number: str) -> None:
    data = json.dumps({**MESSAGE, "language_confidence": 0}).replace(
        '"language_confidence": 0', f'"language_confidence": {number}'
    )
    assert refusal(InboundMessage, data.encode())[0] == "language_confidence"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b"{}" * 2])
def test_what_is_no_message_at_all_is_refused(data: bytes) -> None:
    refusal(InboundMessage, data)


def test_text_is_normalised_and_control_characters_go() -> None:
    message = InboundMessage.model_validate({**MESSAGE, "text": "cafe\u0301\x00\r\n\tok\x1b", "subject": " a \n b\x07"})
    assert (message.text, message.subject) == ("café\n\tok", "a b")


def test_message_is_frozen() -> None:
    message = InboundMessage.model_validate(MESSAGE)
    with pytest.raises(ValidationError):
        message.text = "other"  # type: ignore[misc]  # that is what must fail


# The policy


def test_smallest_policy_is_taken_and_dumps_with_every_default() -> None:
    policy = Policy.model_validate_json(json.dumps(POLICY))
    again = Policy.model_validate_json(json.dumps(policy.model_dump(mode="json")))
    assert again == policy
    assert again.queues[0].offer_timeout_s == 30


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("channels", []),
        ("queues", []),
        ("channels.0.kind", "Pigeon Post"),
        ("channels.0.account", "a b"),
        ("channels.0.language", "english please"),
        ("channels.0.priority", 1001),
        ("channels.0.fallback", [{}] * 6),
        ("queues.1.name", "no spaces"),
        ("queues.1.rank", 0),
        ("queues.1.skills.cards", 9),
        ("queues.1.language_min", 0),
        ("queues.1.strategy", "luck"),
        ("queues.1.offer_timeout_s", 0),
        ("queues.1.offer_timeout_s", 30.5),
        ("queues.1.channel_offer_timeout_s", {"chat": 0}),
        ("queues.1.retry_delay_s", -1),
        ("queues.1.wrap_up_s", 10**9),
        ("queues.1.decline", {"policy": "sometimes"}),
        ("queues.1.on_miss", {"after_misses": 0}),
        ("queues.1.target_s", {"Pigeon Post": 10}),
        ("queues.1.contact_order", "luck"),
        ("queues.1.max_offers", 0),
        ("queues.1.steps", [{"after_s": -1}]),
        ("queues.1.business_hours", {"tz": "Mars/Olympus", "weekly": {}}),
        ("queues.1.business_hours", {"tz": "Asia/Jakarta", "weekly": {"mon": "9-17"}}),
        ("queues.1.overflow", [{"when": {}, "action": "cancel"}]),
        ("queues.1.overflow", [{"when": {"waiting_at_least": 3}, "action": "move_to"}]),
        ("queues.1.accepts_presence", []),
        ("lease.lease_s", 1),
        ("lease.on_lost", {"chat": "shrug"}),
        ("language_confidence", 1.5),
        ("keep_ended_s", 5),
    ],
)
def test_policy_is_refused_by_the_name_of_the_field(path: str, value: Any) -> None:
    place, _ = refusal(Policy, changed(POLICY, path, value))
    assert place.startswith(path)


@pytest.mark.parametrize(
    "path",
    [
        "quues",
        "channels.0.queu",
        "queues.1.offer_timeout",
        "queues.1.decline.maximum",
        "lease.grace",
        "channels.1.healthy",
    ],
)
def test_typo_in_a_policy_is_named(path: str) -> None:
    place, why = refusal(Policy, changed(POLICY, path, 1))
    assert (place, why) == (path, "Extra inputs are not permitted")


def flow(**station: Any) -> dict[str, Any]:
    """A flow of one station in the queue `cards`."""
    return {"name": "menu", "default_queue": "cards", "filters": [{"steps": [{"queue": "cards", **station}]}]}


def test_skipping_by_no_condition_is_refused() -> None:
    place, why = refusal(Policy, changed(POLICY, "flows", [flow(skip_if={})]))
    assert place == "flows.0.filters.0.steps.0.skip_if"
    assert why == "Value error, name waiting_at_least, staffed_below or channel_down"


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("channels.1.queue", "typo", "channels.1.queue: there is no queue 'typo'"),
        ("channels.0.kind", "pigeon", "channels.0.kind: there is no kind of channel 'pigeon'"),
        ("channels.0.flow", "typo", "channels.0.flow: there is no flow 'typo'"),
        ("queues.1.target_s", {"pigeon": 10}, "queues.1.target_s: there is no kind of channel 'pigeon'"),
        (
            "queues.1.channel_offer_timeout_s",
            {"pigeon": 10},
            "queues.1.channel_offer_timeout_s: there is no kind of channel 'pigeon'",
        ),
        (
            "flows",
            [flow() | {"filters": [{"id": id, "steps": [{"queue": "cards"}]} for id in ("a", None, "a")]}],
            "flows.0.filters.2: 'a' is already there as flows.0.filters.0",
        ),
        ("queues.1.steps", [{"after_s": 5, "move_to": "x"}], "queues.1.steps.0.move_to: there is no queue 'x'"),
        (
            "flows",
            [flow(skip_if={"channel_down": "voice"})],
            "flows.0.filters.0.steps.0.skip_if.channel_down: there is no channel of the kind 'voice'",
        ),
        ("queues.1.accepts_presence", ["lunch"], "queues.1.accepts_presence.0: there is no presence 'lunch'"),
        (
            "channels.1.fallback",
            [{"channel": "telegram", "account": "bot"}],
            "channels.1.fallback.0: there is no channel 'telegram:bot'",
        ),
        ("queues.1.name", "general", "queues.1: 'general' is already there as queues.0"),
        (
            "channels.1",
            {"kind": "chat", "account": "web", "queue": "cards"},
            "channels.1: 'chat:web' is already there as channels.0",
        ),
        (
            "queues.1.on_miss",
            {"set_presence": "lunch"},
            "queues.1.on_miss.set_presence: there is no presence 'lunch'",
        ),
    ],
)
def test_names_of_a_policy_must_agree_and_the_place_is_told(path: str, value: Any, why: str) -> None:
    assert refusal(Policy, changed(POLICY, path, value))[1] == f"Value error, {why}"


def test_wrap_up_that_holds_capacity_has_no_queue_of_its_own() -> None:
    both = {"name": "cards", "wrap_up_holds": "capacity", "wrap_up_scope": "queue"}
    place, why = refusal(Policy, changed(POLICY, "queues.1", both))
    assert place == "queues.1"
    assert why == "Value error, wrap_up_scope: a wrap-up that holds capacity alone keeps nobody from a queue"


@pytest.mark.parametrize("wanted", ["skills", "default_skills", "preferred_skills"])
def test_a_skill_that_is_wanted_is_not_excluded_too(wanted: str) -> None:
    both = {"name": "cards", wanted: {"cards": 2, "fraud": 3}, "excluded_skills": ["trainee", "fraud"]}
    place, why = refusal(Policy, changed(POLICY, "queues.1", both))
    assert place == "queues.1"
    assert why == f"Value error, excluded_skills: 'fraud' is in {wanted} too, and nobody can have and not have it"


def fallbacks(**chains: list[str]) -> dict[str, Any]:
    def step(kind: str) -> dict[str, str]:
        return {"channel": kind, "account": "a"}

    return {
        "channels": [
            {"kind": kind, "account": "a", "queue": "general", "fallback": [step(to) for to in chain]}
            for kind, chain in chains.items()
        ],
        "queues": [{"name": "general"}],
    }


@pytest.mark.parametrize(
    ("document", "circle"),
    [
        (fallbacks(chat=["chat"]), "chat:a -> chat:a"),
        (fallbacks(chat=["email"], email=["chat"]), "chat:a -> email:a -> chat:a"),
        (
            fallbacks(
                custom=["chat"], chat=["telegram", "email"], email=["messenger"], messenger=["chat"], telegram=[]
            ),
            "chat:a -> email:a -> messenger:a -> chat:a",
        ),
    ],
)
def test_fallbacks_in_a_circle_are_refused_with_the_circle(document: dict[str, Any], circle: str) -> None:
    _, why = refusal(Policy, document)
    assert why == f"Value error, channels: the fallbacks go in a circle: {circle}"


def test_two_ways_to_the_same_channel_are_no_circle() -> None:
    document = fallbacks(chat=["telegram", "email"], telegram=["email"], email=[])
    assert len(Policy.model_validate_json(json.dumps(document)).channels) == 3


def test_same_fallback_twice_is_refused() -> None:
    _, why = refusal(Policy, fallbacks(chat=["email", "email"], email=[]))
    assert why == "Value error, channels.0.fallback.1: 'email:a' is already there as channels.0.fallback.0"


def test_presence_that_the_policy_names_may_be_set_after_misses() -> None:
    document = changed(POLICY, "queues.0.on_miss", {"set_presence": "lunch"})
    document["presences"] = {"lunch": "At lunch"}
    Policy.model_validate_json(json.dumps(document))
