"""`Intake.accept`: durable before it returns, the same message once, nothing personal in the record."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from shared import intake
from shared.contracts.commands import Actor, LanguageCandidate
from shared.contracts.message import Address, InboundMessage, Sender
from shared.ids import address_key, address_ref, content_ref, message_command_id, thread_key
from shared.intake import Intake, UnknownChannel
from shared.log.memory import Call
from shared.log.port import LogUnavailable
from shared.vocabulary import ChannelKind, Role, Topic
from tests.unit.ingest_support.world import WORKSPACE, World

ADAPTER = Actor(role=Role.ADAPTER, id="test")


def mail(**changes: object) -> InboundMessage:
    """A mail with defaults for everything."""
    fields: dict[str, object] = {
        "source_key": "email:support@acme.example:message:1@x",
        "channel": "email",
        "account": "support@acme.example",
        "thread": "1@x",
        "sender": Sender(id="Jane@Example.org", name="Jane"),
        "text": "Where is my order?",
        "subject": "Order",
    }
    return InboundMessage.model_validate({**fields, **changes})


@pytest.fixture
def world() -> World:
    return World()


async def test_a_message_becomes_content_and_a_record(world: World) -> None:
    receipt = await world.intake.accept(WORKSPACE, mail(), actor=ADAPTER)

    (record,) = world.inputs(Topic.INBOUND)
    assert record.id == receipt.command_id == message_command_id(WORKSPACE, "email:support@acme.example:message:1@x")
    assert (record.actor, record.digest, receipt.partition) == (ADAPTER, "", 0)
    (said,) = world.messages()
    sender = address_key(WORKSPACE, "email", "jane@example.org")
    assert said.sender == sender
    assert said.thread == thread_key(WORKSPACE, "email", "support@acme.example", "1@x")
    assert world.stored(said.content_ref)["text"] == "Where is my order?"
    assert world.stored(address_ref(sender))["address"] == "jane@example.org"
    assert world.log.store.content[WORKSPACE, said.content_ref][0] == sender


async def test_the_record_holds_nothing_personal(world: World) -> None:
    await world.intake.accept(WORKSPACE, mail(text="canary-text", subject="canary-subject"), actor=ADAPTER)
    raw = world.log.store.inputs[Topic.INBOUND, 0][0].lower()
    assert not [word for word in (b"canary", b"jane", b"example.org") if word in raw]


async def test_the_same_key_keeps_its_first_text(world: World) -> None:
    first = await world.intake.accept(WORKSPACE, mail(text="the first"), actor=ADAPTER)
    second = await world.intake.accept(WORKSPACE, mail(text="another"), actor=ADAPTER)
    assert first == second
    assert world.stored(content_ref(WORKSPACE, mail().source_key))["text"] == "the first"


async def test_a_claimed_address_does_not_replace_its_owners(world: World) -> None:
    await world.intake.accept(WORKSPACE, mail(native={"message_id": "1@x"}), actor=ADAPTER)
    claim = mail(
        source_key="chat:web:message:s:1",
        channel="chat",
        account="web",
        sender=Sender(
            id="s", addresses=(Address(channel=ChannelKind.EMAIL, address="JANE@example.org", consent=True),)
        ),
    )
    await world.intake.accept(WORKSPACE, claim, actor=ADAPTER)
    key = address_key(WORKSPACE, "email", "jane@example.org")
    assert world.stored(address_ref(key))["native"] == {"message_id": "1@x"}
    reach = world.messages()[1].reach
    assert [(r.channel, r.account, r.key == key, r.verified, r.consent) for r in reach] == [
        ("chat", "web", False, False, True),
        ("email", "support@acme.example", True, False, True),
    ]


async def test_an_address_on_a_channel_we_do_not_have_is_left_out(world: World) -> None:
    addresses = (Address(channel=ChannelKind.TELEGRAM, address="77"),)
    await world.intake.accept(WORKSPACE, mail(sender=Sender(id="a@b.example", addresses=addresses)), actor=ADAPTER)
    assert [reach.channel for reach in world.messages()[0].reach] == ["email"]


async def test_the_account_may_be_the_workspaces_first(world: World) -> None:
    await world.intake.accept(WORKSPACE, mail(account=None), actor=ADAPTER)
    assert world.messages()[0].account == "support@acme.example"
    with pytest.raises(UnknownChannel):
        await world.intake.accept(WORKSPACE, mail(account=None, channel="messenger"), actor=ADAPTER)
    assert len(world.messages()) == 1


async def test_only_a_trusted_caller_names_a_thread_by_its_key(world: World) -> None:
    named = mail(thread="key:t0123")
    await world.intake.accept(WORKSPACE, named, actor=ADAPTER)
    await world.intake.accept(WORKSPACE, named, actor=ADAPTER, trusted_thread=True)
    assert [said.thread == "t0123" for said in world.messages()] == [False, True]


async def test_a_detector_that_fails_costs_only_the_language(world: World) -> None:
    class Broken:
        def detect(self, text: str) -> tuple[LanguageCandidate, ...]:
            raise RuntimeError("broken")

    intake = Intake(world.log.inputs, world.log.content, world.clock, world.partition_of, Broken())
    await intake.accept(WORKSPACE, mail(language="pt-BR"), actor=ADAPTER)
    (said,) = world.messages()
    assert (said.language, said.candidates) == ("pt", ())


async def test_times_without_a_zone_are_utc(world: World) -> None:
    await world.intake.accept(WORKSPACE, mail(provider_time=datetime(2026, 1, 1)), actor=ADAPTER)  # noqa: DTZ001
    assert world.messages()[0].provider_at == 1_767_225_600_000


async def test_an_absent_log_is_told_and_nothing_is_doubled(world: World) -> None:
    world.switch.down = True
    with pytest.raises(LogUnavailable):
        await world.intake.accept(WORKSPACE, mail(), actor=ADAPTER)
    world.switch.down = False
    world.switch.loses_acknowledgement = True
    with pytest.raises(LogUnavailable):
        await world.intake.accept(WORKSPACE, mail(), actor=ADAPTER)
    world.switch.loses_acknowledgement = False
    await world.intake.accept(WORKSPACE, mail(), actor=ADAPTER)
    assert len(world.messages()) == 2, "the unacknowledged one and its repeat"
    assert len(world.distinct()) == 1


async def test_three_slow_writes_have_one_deadline_and_a_repeat_is_harmless(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write stays below the deadline and all together do not, as on a log that is slow and not away."""
    monkeypatch.setattr(intake, "DEADLINE_S", 0.3)
    before = world.switch.before

    async def slow(call: Call) -> None:
        await asyncio.sleep(0.2)
        await before(call)

    monkeypatch.setattr(world.switch, "before", slow)
    began = asyncio.get_running_loop().time()
    with pytest.raises(LogUnavailable, match="not known"):
        await world.intake.accept(WORKSPACE, mail(), actor=ADAPTER)
    assert asyncio.get_running_loop().time() - began < 0.39

    monkeypatch.setattr(world.switch, "before", before)
    receipts = [await world.intake.accept(WORKSPACE, mail(text="said again"), actor=ADAPTER) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert world.distinct() == {receipts[0].command_id}


async def test_an_account_that_nobody_tells_counts_against_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "DEADLINE_S", 0.05)

    async def never(workspace: str, kind: ChannelKind) -> str | None:
        await asyncio.sleep(60)
        return None

    monkeypatch.setattr(world.intake, "_policy_accounts", never)
    with pytest.raises(LogUnavailable):
        await world.intake.accept(WORKSPACE, mail(account=None), actor=ADAPTER)


async def test_a_time_out_of_somebody_else_stays_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(workspace: str, kind: ChannelKind) -> str | None:
        raise TimeoutError("not ours")

    monkeypatch.setattr(world.intake, "_policy_accounts", fails)
    with pytest.raises(TimeoutError, match="not ours"):
        await world.intake.accept(WORKSPACE, mail(account=None), actor=ADAPTER)
