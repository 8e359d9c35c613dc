"""The demo centre: complete, set up through the log, and an operator's changes outlive a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.embedded import demo
from services.embedded.banner import Addresses, banner, demo_facts
from services.embedded.keys import DemoSecrets, load_or_make
from shared.clock import SystemClock
from shared.contracts.commands import AdoptPolicy, CreateKey, CreateWorkspace, Input, PutAgent
from shared.log.codec import decode_input
from shared.service import CannotStart
from shared.views.memory import MemoryViews
from shared.views.port import Change
from shared.vocabulary import Topic

AnswerTo = Callable[[Input], list[tuple[str, str]] | None]


@pytest.fixture
def keys(tmp_path: Path) -> DemoSecrets:
    return load_or_make(tmp_path, demo.WORKSPACE, now_s=1_800_000_000, token_life_s=86_400)


class Desk:
    """Stands where log and router are: notes each command and publishes its answer and its document."""

    def __init__(self, *, refuse: str | None = None) -> None:
        self.views = MemoryViews()
        self.inputs: list[Input] = []
        self._refuse = refuse

    async def append(self, topic: Topic, partition: int, data: bytes) -> int:
        assert topic is Topic.COMMANDS
        record = decode_input(data)
        self.inputs.append(record)
        seq = len(self.inputs)
        refused = {"reason": self._refuse, "detail": "", "field": None} if self._refuse else None
        changes = [Change(record.workspace, "answer", record.id, seq, {"command_id": record.id, "refused": refused})]
        kind, id = _document(record)
        if refused is None:
            changes.append(Change(record.workspace, kind, id, seq, {"id": id}))
        await self.views.publish(partition, seq, changes)
        return seq

    async def read(self, *_: object, **__: object) -> Any:
        raise NotImplementedError

    async def end(self, partition: int) -> Any:
        raise NotImplementedError

    def deaf_s(self, partition: int) -> float:
        raise NotImplementedError


def _document(record: Input) -> tuple[str, str]:
    match record.command:
        case CreateWorkspace():
            return "workspace", "self"
        case CreateKey(key_id=key_id):
            return "key", key_id
        case AdoptPolicy():
            return "policy", "current"
        case PutAgent(agent=agent):
            return "agent", agent
        case other:
            raise AssertionError(other)


def centre(desk: Desk, keys: DemoSecrets) -> demo.Demo:
    return demo.Demo(desk, desk.views, SystemClock(), keys, lambda workspace: 0)


@pytest.fixture
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(10):
        yield


@pytest.mark.usefixtures("bounded")
async def test_sets_up_everything_once(keys: DemoSecrets) -> None:
    desk = Desk()
    await centre(desk, keys).set_up()
    kinds = [type(record.command).__name__ for record in desk.inputs]
    assert kinds == ["CreateWorkspace", "CreateKey", "CreateKey", "AdoptPolicy", *["PutAgent"] * len(demo.AGENTS)]
    assert all(record.id.startswith("seed-") for record in desk.inputs)
    assert len({record.id for record in desk.inputs}) == len(desk.inputs)
    await centre(desk, keys).set_up()
    assert len(desk.inputs) == len(kinds)


@pytest.mark.usefixtures("bounded")
async def test_only_what_is_missing_is_set_up(keys: DemoSecrets) -> None:
    desk = Desk()
    await desk.views.publish(0, 1, [Change(demo.WORKSPACE, "policy", "current", 1, {"version": 7})])
    await centre(desk, keys).set_up()
    assert not any(isinstance(record.command, AdoptPolicy) for record in desk.inputs)


@pytest.mark.usefixtures("bounded")
async def test_a_refusal_is_said_and_stops_it(keys: DemoSecrets) -> None:
    with pytest.raises(CannotStart, match="seed-workspace: forbidden"):
        await centre(Desk(refuse="forbidden"), keys).set_up()


def test_the_policy_is_valid_and_covers_the_demo() -> None:
    policy = demo.read_policy()
    assert {channel.name for channel in policy.channels} == {
        f"chat:{demo.CHAT_ACCOUNT}",
        f"email:{demo.MAIL_ADDRESS}",
        f"telegram:{demo.TELEGRAM_ACCOUNT}",
        f"messenger:{demo.MESSENGER_ACCOUNT}",
    }


def test_every_queue_has_somebody_for_every_language_a_channel_falls_back_to() -> None:
    policy = demo.read_policy()
    for channel in policy.channels:
        assert any(
            channel.language in agent.languages and (not agent.queues or channel.queue in agent.queues)
            for agent in demo.AGENTS
        )


def test_the_languages_of_the_market_are_spoken() -> None:
    assert {"id", "en", "zh", "hi", "es"} <= {language for agent in demo.AGENTS for language in agent.languages}


def test_demo_json_has_the_promised_keys(keys: DemoSecrets) -> None:
    addresses = Addresses(base_url="http://h:1", admin_url="http://h:2", smtp_host="h", smtp_port=3)
    facts = demo_facts(addresses, keys, supervisor_token="s", agents={a.agent: "t" for a in demo.AGENTS})
    promised = ["base_url", "admin_url", "workspace", "operator_key", "adapter_key", "supervisor_token", "agents"]
    assert list(facts) == [*promised, "webhook_secrets", "smtp", "chat_account"]
    text = banner(facts, Path("/data/demo.json"))
    assert keys.telegram_secret in text
    assert keys.operator_key not in text
