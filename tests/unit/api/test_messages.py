"""Customers' messages through the API: received once, answered honestly."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from services.router.api.app import build_api
from shared.contracts.commands import Input, ReceiveMessage, ReportDelivery
from shared.contracts.message import InboundMessage
from shared.log.port import LogUnavailable
from shared.quotas import Quotas, QuotaSettings
from shared.vocabulary import Delivery, MessageId
from tests.eventually import eventually
from tests.unit.api.conftest import World, contact_doc, serving, world
from tests.unit.api.standin import Outcome, refuse
from tests.unit.router.test_replica import HandClock

MESSAGE: dict[str, Any] = {
    "source_key": "chat:web:message:1",
    "channel": "chat",
    "sender": {"id": "s1"},
    "text": "hello",
}


def received(record: Input) -> Outcome:
    contact = f"{record.id}.0"
    return Outcome(subject=contact, docs=[("contact", contact, contact_doc(contact))])


async def test_a_message_becomes_a_contact(api: World) -> None:
    api.router.scripts[ReceiveMessage] = received

    answer = await api.client.post("/v1/messages", json=MESSAGE, headers=api.as_("adapter"))

    assert answer.status_code == 201
    (record,) = api.router.seen
    assert answer.json() == {"contact_id": f"{record.id}.0", "state": "waiting", "seq": api.router.seq}
    assert record.actor.role == "adapter"
    assert record.actor.id == api.keys["adapter"].key_id


async def test_the_same_source_key_again_is_the_same_contact(api: World) -> None:
    api.router.scripts[ReceiveMessage] = received
    first = await api.client.post("/v1/messages", json=MESSAGE, headers=api.as_("adapter"))

    second = await api.client.post("/v1/messages", json={**MESSAGE, "text": "changed"}, headers=api.as_("adapter"))

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["contact_id"] == first.json()["contact_id"]
    assert second.json()["duplicate"] is True
    assert len(api.router.seen) == 1


async def test_a_source_that_floods_is_told_to_wait_and_nothing_is_stored() -> None:
    clock = HandClock()
    quotas = Quotas(QuotaSettings(sender_per_minute=60, sender_burst=1), clock.monotonic)
    async with world(quotas=quotas) as api:
        api.router.scripts[ReceiveMessage] = received

        async def post(**changes: Any) -> httpx.Response:
            return await api.client.post("/v1/messages", json={**MESSAGE, **changes}, headers=api.as_("adapter"))

        assert (await post()).status_code == 201
        refused = await post(source_key="chat:web:message:2")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["type"] == "/problems/too-many-messages"
        assert refused.json()["scope"] == "sender"
        assert (await post(source_key="chat:web:message:3", sender={"id": "s2"})).status_code == 201
        assert len(api.router.seen) == 2
        clock.pass_s(1)
        assert (await post(source_key="chat:web:message:2")).status_code == 201


async def test_of_two_at_once_one_is_the_repeat(api: World) -> None:
    api.router.scripts[ReceiveMessage] = received
    api.router.paused = True
    posts = [
        asyncio.ensure_future(api.client.post("/v1/messages", json=MESSAGE, headers=api.as_("adapter")))
        for _ in range(2)
    ]
    await eventually(lambda: len(api.router.seen) == 2)
    api.router.paused = False

    answers = await asyncio.gather(*posts)

    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert len({answer.json()["contact_id"] for answer in answers}) == 1


async def test_what_opens_nothing_says_why(api: World) -> None:
    api.router.scripts[ReceiveMessage] = lambda record: Outcome(note="ignored:ooo")

    answer = await api.client.post("/v1/messages", json={**MESSAGE, "auto": "ooo"}, headers=api.as_("adapter"))

    assert answer.status_code == 200
    assert answer.json() == {"contact_id": None, "ignored": "ooo", "seq": api.router.seq}


async def test_undecided_in_time_is_202_and_the_result_can_be_fetched(api: World) -> None:
    api.router.scripts[ReceiveMessage] = received
    api.router.paused = True

    answer = await api.client.post("/v1/messages?wait=0", json=MESSAGE, headers=api.as_("adapter"))

    assert answer.status_code == 202
    command = answer.json()["command_id"]
    pending = await api.client.get(f"/v1/commands/{command}", headers=api.as_("adapter"))
    assert pending.json() == {"command_id": command, "state": "pending"}
    hidden = await api.client.get(f"/v1/commands/{command}", headers=api.as_("operator"))
    assert hidden.status_code == 404

    api.router.paused = False
    await api.views.wait_for(0, api.router.seq + 1, 5)
    done = (await api.client.get(f"/v1/commands/{command}", headers=api.as_("adapter"))).json()
    assert (done["state"], done["subject"]) == ("done", f"{command}.0")


async def test_an_unknown_outcome_is_503_and_retrying_is_safe(api: World) -> None:
    class Flaky:
        """Fails after the append, once: the worst kind of failure, because it did happen."""

        failed = False

        async def accept(self, workspace: str, message: InboundMessage, *, actor: Any) -> Any:
            receipt = await api.deps.intake.accept(workspace, message, actor=actor)
            if not self.failed:
                self.failed = True
                raise LogUnavailable("acknowledgement lost")
            return receipt

    api.router.scripts[ReceiveMessage] = received
    api.router.paused = True
    async with serving(build_api(api.with_intake(Flaky()))) as base_url:
        first = await api.client.post(f"{base_url}/v1/messages", json=MESSAGE, headers=api.as_("adapter"))
        api.router.paused = False
        second = await api.client.post(f"{base_url}/v1/messages", json=MESSAGE, headers=api.as_("adapter"))

    assert first.status_code == 503
    assert first.headers["retry-after"] == "1"
    assert first.json()["type"] == "/problems/outcome-unknown"
    assert second.status_code in (200, 201)
    assert len({record.id for record in api.router.seen}) == 1


async def test_an_append_that_hangs_is_given_up_in_time() -> None:
    class Hanging:
        async def accept(self, workspace: str, message: InboundMessage, *, actor: Any) -> Any:
            await asyncio.Event().wait()

    async with world(intake=Hanging(), wait_s=0.2) as made:
        made.gateway._durable_s = 0.2
        answer = await made.client.post("/v1/messages", json=MESSAGE, headers=made.as_("adapter"))

    assert answer.status_code == 503


async def test_unknown_queue_and_channel_name_the_field(api: World) -> None:
    api.router.scripts[ReceiveMessage] = lambda record: refuse("unknown_queue", "there is no queue 'x'", "queue")
    of_engine = await api.client.post("/v1/messages", json={**MESSAGE, "queue": "x"}, headers=api.as_("adapter"))
    of_intake = await api.client.post(
        "/v1/messages", json={**MESSAGE, "source_key": "other", "channel": "custom"}, headers=api.as_("adapter")
    )

    assert (of_engine.status_code, of_intake.status_code) == (422, 422)
    assert of_engine.json()["errors"] == [{"field": "queue", "detail": "there is no queue 'x'"}]
    assert of_engine.json()["reason"] == "unknown_queue"
    assert of_intake.json()["errors"][0]["field"] == "channel"


async def test_an_adapter_reports_how_far_a_reply_got(api: World) -> None:
    answer = await api.client.post("/v1/messages/m1/status", json={"status": "delivered"}, headers=api.as_("adapter"))
    wrong = await api.client.post("/v1/messages/m1/status", json={"status": "queued"}, headers=api.as_("adapter"))

    assert answer.status_code == 200
    assert api.router.commands(ReportDelivery) == [ReportDelivery(message=MessageId("m1"), status=Delivery.DELIVERED)]
    assert wrong.status_code == 422
