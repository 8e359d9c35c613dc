"""The delivery desk: at least once, in order per conversation, with patience, and a word to the router at the end."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.contracts.commands import Actor
from shared.delivery import Delivered, DeliveryDesk, Failed, Outcome, Reply, TryAgain
from shared.vocabulary import Role
from tests.eventually import eventually
from tests.unit.ingest_support.world import WORKSPACE, World, running


class Carrier:
    """Answers as told, by message; delivers everything else."""

    def __init__(self, **answers: list[Outcome | Exception]) -> None:
        self.answers = answers
        self.carried: list[str] = []
        self.replies: list[Reply] = []
        self.gate: asyncio.Event | None = None

    async def carry(self, reply: Reply) -> Outcome:
        self.carried.append(reply.message)
        self.replies.append(reply)
        if self.gate is not None and reply.message == "slow":
            await self.gate.wait()
        answers = self.answers.get(reply.message)
        answer = answers.pop(0) if answers else Delivered()
        if isinstance(answer, Exception):
            raise answer
        return answer


def desk(world: World, carrier: Carrier, **changes: Any) -> DeliveryDesk:
    fields: dict[str, Any] = {
        "views": world.views,
        "content": world.log.content,
        "inputs": world.log.inputs,
        "clock": world.clock,
        "partition_of": world.partition_of,
        "actor": Actor(role=Role.ADAPTER, id="test"),
        "carriers": {"email": carrier},
        "workspaces": [WORKSPACE],
        "accounts": {(WORKSPACE, "email", "a@b.example")},
        "backoff_s": 0.02,
        **changes,
    }
    return DeliveryDesk(**fields)


async def reply(world: World, message: str, *, thread: str = "t1", **changes: Any) -> None:
    fields: dict[str, Any] = {
        "account": "a@b.example",
        "native": {},
        "text": "secret",
        "address": "c@d.example",
        **changes,
    }
    await world.reply(message=message, channel="email", thread=thread, **fields)


async def test_what_waits_at_the_start_is_carried() -> None:
    world, carrier = World(), Carrier()
    await reply(world, "m1")
    async with running(desk(world, carrier)):
        await eventually(lambda: world.reports() == [("m1", "delivered")])


async def test_a_conversation_keeps_its_order_over_retries() -> None:
    world, carrier = World(), Carrier(m1=[TryAgain("busy"), TryAgain("busy")])
    await reply(world, "m2", queued_at=world.clock.now_ms() + 1)
    await reply(world, "m1", queued_at=world.clock.now_ms() - 1000)
    async with running(desk(world, carrier)):
        await eventually(lambda: len(world.reports()) == 2)
    assert carrier.carried == ["m1", "m1", "m1", "m2"]


async def test_a_slow_conversation_holds_up_no_other() -> None:
    world, carrier = World(), Carrier()
    carrier.gate = asyncio.Event()
    async with running(desk(world, carrier)):
        await reply(world, "slow", thread="t1")
        await reply(world, "quick", thread="t2")
        await eventually(lambda: world.reports() == [("quick", "delivered")])
        carrier.gate.set()
        await eventually(lambda: ("slow", "delivered") in world.reports())


async def test_an_error_in_a_carrier_is_tried_again() -> None:
    world, carrier = World(), Carrier(m1=[RuntimeError("secret")])
    async with running(desk(world, carrier)):
        await reply(world, "m1")
        await eventually(lambda: world.reports() == [("m1", "delivered")])


async def test_the_word_to_the_router_is_repeated_not_the_reply() -> None:
    world, carrier = World(), Carrier(m1=[Failed("refused")])
    world.switch.loses_acknowledgement = True
    async with running(desk(world, carrier)):
        await reply(world, "m1")
        await eventually(lambda: len(world.commands()) >= 2)
        world.switch.loses_acknowledgement = False
        await eventually(lambda: len(world.commands()) >= 3)
    assert carrier.carried == ["m1"]
    assert world.reports() == [("m1", "failed")]


async def test_a_reply_too_old_is_failed() -> None:
    world, carrier = World(), Carrier(m1=[TryAgain("away")] * 5)
    async with running(desk(world, carrier, give_up_after_s=3600)):
        await reply(world, "m1", queued_at=world.clock.now_ms() - 3_600_001)
        await eventually(lambda: world.reports() == [("m1", "failed")])
    assert carrier.carried == ["m1"]


async def test_what_was_erased_is_failed_and_others_channels_are_left() -> None:
    world, carrier = World(), Carrier()
    async with running(desk(world, carrier)):
        await reply(world, "erased", native=None, address="gone@d.example")
        await reply(world, "foreign", account="other@b.example", thread="t2")
        await reply(world, "mine", thread="t3")
        await eventually(lambda: set(world.reports()) == {("erased", "failed"), ("mine", "delivered")})
    assert carrier.carried == ["mine"]


async def test_an_outbound_message_goes_the_same_road_without_a_contact() -> None:
    world, carrier = World(), Carrier()
    async with running(desk(world, carrier)):
        await reply(world, "o1", contact=None, subject="Parcel")
        await eventually(lambda: world.reports() == [("o1", "delivered")])
    (carried,) = carrier.replies
    assert (carried.contact, carried.title, carried.subject, carried.text) == ("", "Parcel", None, "secret")
    assert carried.address == "c@d.example"
