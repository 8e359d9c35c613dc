"""Webhooks over a real server: signatures, batches, what is no contact, and what cannot be read."""

from __future__ import annotations

import base64
import hmac
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from services.ingest_social.app import build_social
from services.ingest_social.platforms.port import pieces
from services.ingest_social.settings import MessengerAccount, SocialSettings, TelegramAccount
from shared.ids import thread_key
from shared.metrics import Catalogue, ProcessMetrics
from shared.vocabulary import MessageKind
from shared.web_server import web_app
from tests.eventually import eventually
from tests.unit.ingest_support.world import WORKSPACE, World, running, served
from tests.unit.router.test_replica import HandClock

SECRET = "telegram-secret"
APP_SECRET = "app-secret"
TELEGRAM = "/webhooks/telegram/bot"
MESSENGER = "/webhooks/messenger/page"
TOKEN_HEADER = "X-Telegram-Bot-Api-Secret-Token"


def settings(tmp_path: Path, **changes: Any) -> SocialSettings:
    tokens = {name: changes.pop(name, None) for name in ("bot_token", "page_token")}
    fields = {
        "telegram": {
            "bot": TelegramAccount(workspace=WORKSPACE, webhook_secret=SecretStr(SECRET), bot_token=tokens["bot_token"])
        },
        "messenger": {
            "page": MessengerAccount(
                workspace=WORKSPACE,
                app_secret=SecretStr(APP_SECRET),
                verify_token=SecretStr("verify-me"),
                page_token=tokens["page_token"],
            )
        },
        "data_dir": tmp_path,
        **changes,
    }
    return SocialSettings(**fields)


@pytest.fixture
def world() -> World:
    return World()


@asynccontextmanager
async def social(world: World, tmp_path: Path, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    service = build_social(settings(tmp_path, **changes), **world.ports())
    async with (
        served(service.routes) as address,
        running(service),
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        yield client


def update(**changes: Any) -> dict[str, Any]:
    message = {
        "message_id": 7,
        "from": {"id": 42, "is_bot": False, "first_name": "Budi", "last_name": "S", "language_code": "id"},
        "chat": {"id": -100, "type": "group"},
        "date": 1_767_225_600,
        "text": "Pesanan saya belum sampai",
        **changes,
    }
    return {"update_id": 1, "message": message}


async def tell(client: httpx.AsyncClient, request: Any, secret: str | None = SECRET) -> httpx.Response:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return await client.post(TELEGRAM, content=body, headers={TOKEN_HEADER: secret} if secret is not None else {})


def sign(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()}


async def post(client: httpx.AsyncClient, *events: Any) -> httpx.Response:
    body = json.dumps({"object": "page", "entry": [{"id": "p", "time": 1, "messaging": list(events)}]}).encode()
    return await client.post(MESSENGER, content=body, headers=sign(body))


def event(**what: Any) -> dict[str, Any]:
    return {"sender": {"id": "24"}, "recipient": {"id": "p"}, "timestamp": 1_767_225_600_000, **what}


def letters(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "dead_letters" / "ingest_social.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- Telegram ---------------------------------------------------------------------------------------------------------


async def test_a_telegram_message_is_durable_before_200(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path) as client:
        assert (await tell(client, update())).json() == {"accepted": 1, "dead_letters": 0}
        (said,) = world.messages()
        assert said.source_key == "telegram:bot:message:-100:7"
        assert said.thread == thread_key(WORKSPACE, "telegram", "bot", "-100")
        assert (said.verified, said.provider_at, said.attributes) == (True, 1_767_225_600_000, {"locale": "id"})
        body = world.stored(said.content_ref)
        assert (body["text"], body["sender"]["name"]) == ("Pesanan saya belum sampai", "Budi S")
        assert body["native"] == {"chat_id": "-100", "message_id": "7"}
        await tell(client, update())
        assert len(world.distinct()) == 1


async def test_edits_buttons_and_pictures(world: World, tmp_path: Path) -> None:
    picture = [{"file_id": "small", "file_size": 1}, {"file_id": "large", "file_size": 99}]
    edited = {"update_id": 2, "edited_message": {**update()["message"], "edit_date": 1_767_225_700, "text": "new"}}
    pressed = {
        "update_id": 3,
        "callback_query": {
            "id": "555",
            "from": {"id": 42, "is_bot": False, "first_name": "Budi"},
            "data": "yes",
            "message": {"message_id": 6, "chat": {"id": -100}, "from": {"id": 1, "is_bot": True}, "text": "Sure?"},
        },
    }
    captioned = update(photo=picture, caption="look", message_id=8)
    del captioned["message"]["text"]
    async with social(world, tmp_path) as client:
        for request in (edited, pressed, captioned):
            assert (await tell(client, request)).json()["accepted"] == 1
        edit, press, photo = world.messages()
        assert (edit.message_kind, edit.refers_to) == (MessageKind.EDIT, "telegram:bot:message:-100:7")
        assert edit.source_key == "telegram:bot:edit:-100:7:1767225700"
        assert (press.message_kind, press.source_key) == (MessageKind.POSTBACK, "telegram:bot:postback:555")
        assert world.stored(press.content_ref)["text"] == "yes"
        shown = world.stored(photo.content_ref)
        assert (shown["text"], [file["ref"] for file in shown["attachments"]]) == ("look", ["telegram:large"])


@pytest.mark.parametrize(
    "request_",
    [
        {"update_id": 1, "channel_post": {"message_id": 1, "chat": {"id": 1}, "text": "x"}},
        {"update_id": 1, "my_chat_member": {}},
        {"update_id": 1, "message_reaction": {}},
        update(**{"from": {"id": 9, "is_bot": True}}),
        {"update_id": 1, "message": {"message_id": 1, "chat": {"id": 1}, "date": 1, "text": "in a channel's name"}},
        {
            "update_id": 1,
            "message": {**{k: v for k, v in update()["message"].items() if k != "text"}, "new_chat_title": "x"},
        },
    ],
)
async def test_what_is_no_contact_is_answered_and_left(world: World, tmp_path: Path, request_: Any) -> None:
    async with social(world, tmp_path) as client:
        assert (await tell(client, request_)).json() == {"accepted": 0, "dead_letters": 0}
        assert world.messages() == []


@pytest.mark.parametrize(
    ("secret", "status"), [(None, 401), ("", 401), ("wrong", 403), (SECRET + "x", 403), (SECRET.upper(), 403)]
)
async def test_telegrams_secret_is_required(world: World, tmp_path: Path, secret: str | None, status: int) -> None:
    async with social(world, tmp_path) as client:
        answer = await tell(client, update(), secret)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert world.messages() == []
        assert letters(tmp_path) == [], "only the provider's own requests are kept"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"update_id": 1, "message": NaN}',
        b'{"update_id": 1, "message": []}',
        b'{"update_id": 1, "message": {"from": {"id": 1.5}, "chat": {"id": 1}, "message_id": 1, "text": "x"}}',
        b'{"update_id": 1, "message": {"from": {"id": 1}, "chat": {}, "message_id": 1, "text": "x"}}',
        b'{"update_id": 1, "message": {"from": {"id": 1}, "chat": {"id": 1}, "message_id": 1, "text": 5}}',
        b'{"update_id": 1, "message": {"from": {"id": 1}, "chat": {"id": 1}, "message_id": 1, "text": "\\ud800"}}',
        b'{"update_id": 1, "message": {"from": {"id": 1}, "chat": {"id": 1}, "message_id": 1, "text": "", "date": ""}}',
        b'{"update_id": 1, "message": {"from": {"id": 1}, "chat": {"id": 1}, "message_id": 1, "text": "\xff"}}',
        b'{"nothing": "known"}',
        b"[" * 100_000,
    ],
)
async def test_what_is_signed_and_unreadable_goes_to_the_dead_letters(
    world: World, tmp_path: Path, body: bytes
) -> None:
    async with social(world, tmp_path) as client:
        answer = await tell(client, body)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 0, "dead_letters": 1})
        (letter,) = letters(tmp_path)
        assert base64.b64decode(letter["raw"]) == body
        assert (letter["provider"], letter["account"], letter["workspace"]) == ("telegram", "bot", WORKSPACE)
        path = tmp_path / "dead_letters" / "ingest_social.jsonl"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert world.messages() == []


async def test_big_bodies_and_unknown_places_are_refused(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path, largest_body=10_000) as client:
        assert (await tell(client, b"x" * 20_000)).status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 1000

        chunked = await client.post(TELEGRAM, content=endless(), headers={TOKEN_HEADER: SECRET})
        assert chunked.status_code == 413
        for path in ("/webhooks/telegram/other", "/webhooks/nobody/bot", "/webhooks/messenger/bot"):
            assert (await client.post(path, content=b"{}")).status_code == 404
        assert (await client.get("/webhooks/telegram/other")).status_code == 404
        assert (await client.get(TELEGRAM)).status_code == 403, "Telegram shakes no hands"


async def test_answers_are_counted_by_route_so_that_an_alert_sees_503(world: World, tmp_path: Path) -> None:
    metrics = ProcessMetrics(Catalogue())
    app = web_app([build_social(settings(tmp_path), **world.ports()).routes], metrics)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await tell(client, update())).status_code == 200
        world.switch.down = True
        assert [(await tell(client, update())).status_code for _ in range(2)] == [503, 503]
        assert (await client.get("/elsewhere/42")).status_code == 404

    def counted(method: str, route: str, status: str) -> float | None:
        labels = {"method": method, "route": route, "status": status}
        return metrics.catalogue.registry.get_sample_value("switchdesk_http_requests_total", labels)

    webhook = "/webhooks/{provider}/{account}"
    assert [counted("POST", webhook, status) for status in ("200", "503")] == [1, 2]
    assert counted("GET", "other", "404") == 1


async def test_a_log_that_is_down_asks_for_a_repeat_and_counts_once(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path) as client:
        world.switch.down = True
        down = await tell(client, update())
        assert (down.status_code, int(down.headers["retry-after"]) > 0) == (503, True)
        assert world.messages() == []
        world.switch.down, world.switch.loses_acknowledgement = False, True
        assert (await tell(client, update())).status_code == 503
        world.switch.loses_acknowledgement = False
        assert (await tell(client, update())).status_code == 200
        assert len(world.distinct()) == 1


# --- Messenger --------------------------------------------------------------------------------------------------------


async def test_a_batch_in_order_without_what_is_no_contact(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path) as client:
        answer = await post(
            client,
            event(message={"mid": "m1", "text": "où est ma commande ?"}),
            event(message={"mid": "m2", "text": "ours", "is_echo": True}),
            event(delivery={"mids": ["m0"], "watermark": 1}),
            event(read={"watermark": 1}),
            event(postback={"mid": "m3", "title": "Yes", "payload": "YES"}),
            event(reaction={"mid": "m1", "action": "react", "reaction": "love", "emoji": "❤"}),
            event(message_edit={"mid": "m1", "text": "where is it?", "num_edit": 1}),
            event(message={"mid": "m1", "is_deleted": True}),
            event(message={"mid": "m4", "attachments": [{"type": "image", "payload": {"url": "https://x.example"}}]}),
        )
        assert answer.json() == {"accepted": 6, "dead_letters": 0}
        message, postback, reaction, edit, unsend, image = world.messages()
        assert message.source_key == "messenger:page:message:m1"
        assert message.thread == thread_key(WORKSPACE, "messenger", "page", "24")
        assert message.provider_at == 1_767_225_600_000
        assert postback.source_key == "messenger:page:postback:m3"
        assert [(m.message_kind, m.refers_to) for m in (reaction, edit, unsend)] == [
            (MessageKind.REACTION, message.source_key),
            (MessageKind.EDIT, message.source_key),
            (MessageKind.UNSEND, message.source_key),
        ]
        assert len({m.source_key for m in world.messages()}) == 6
        assert world.stored(image.content_ref)["attachments"][0]["mime"] == "image/jpeg"
        assert "x.example" not in json.dumps(world.stored(image.content_ref))


async def test_one_unreadable_event_costs_only_itself(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path) as client:
        answer = await post(
            client,
            event(message={"mid": "m1", "text": "one"}),
            {"sender": {}, "message": {"mid": "m2", "text": "who?"}},
            event(message={"mid": 5, "text": "secret words"}),
            event(message={"mid": "m3", "text": "three"}),
        )
        assert answer.json() == {"accepted": 2, "dead_letters": 2}
        (letter,) = letters(tmp_path)
        assert "messaging.1" in letter["reason"]
        assert "secret" not in letter["reason"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "sha1=" + "0" * 40},
        sign(b"other bytes"),
        sign(b'{"object": "page", "entry": []}', "another secret"),
    ],
)
async def test_messengers_signature_is_required(world: World, tmp_path: Path, headers: dict[str, str]) -> None:
    async with social(world, tmp_path) as client:
        answer = await client.post(MESSENGER, content=b'{"object": "page", "entry": []}', headers=headers)
        assert answer.status_code in (401, 403)
        assert letters(tmp_path) == []


async def test_one_changed_byte_breaks_the_signature(world: World, tmp_path: Path) -> None:
    body = b'{"object":"page","entry":[{"messaging":[{"sender":{"id":"1"},"message":{"mid":"m","text":"\\u00e9"}}]}]}'
    same_meaning = json.dumps(json.loads(body), ensure_ascii=False).encode()
    async with social(world, tmp_path) as client:
        for spoilt in (same_meaning, body + b" ", body.replace(b"mid", b"Mid"), body[:-1]):
            assert (await client.post(MESSENGER, content=spoilt, headers=sign(body))).status_code == 403
        assert (await client.post(MESSENGER, content=body, headers=sign(body))).json()["accepted"] == 1


async def test_the_handshake(world: World, tmp_path: Path) -> None:
    good = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "1158201444"}
    async with social(world, tmp_path) as client:
        answer = await client.get(MESSENGER, params=good)
        assert (answer.status_code, answer.text) == (200, "1158201444")
        assert answer.headers["content-type"].startswith("text/plain")
        for wrong in ({**good, "hub.verify_token": "x"}, {**good, "hub.mode": "x"}, {}):
            assert (await client.get(MESSENGER, params=wrong)).status_code == 403


# --- replies ----------------------------------------------------------------------------------------------------------


class Api:
    """The providers' APIs, with the answers that a test wants."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.routes = APIRouter()
        self.routes.add_api_route("/{path:path}", self.answer, methods=["POST"])

    async def answer(self, request: Request, path: str) -> Response:
        self.requests.append((path, dict(request.headers), await request.json()))
        return JSONResponse({}, status_code=self.statuses.pop(0) if self.statuses else 200)


TELEGRAM_REPLY: dict[str, Any] = {
    "message": "k1.0",
    "channel": "telegram",
    "account": "bot",
    "thread": "t1",
    "address": "42",
    "native": {"chat_id": "-100"},
}
MESSENGER_REPLY: dict[str, Any] = {
    "message": "k2.0",
    "channel": "messenger",
    "account": "page",
    "thread": "t2",
    "address": "24",
    "native": {"psid": "24"},
}


async def test_replies_go_to_the_providers(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    api = Api(500)
    caplog.set_level("DEBUG")
    async with served(api.routes) as there:
        changes = {
            "bot_token": SecretStr("123:abc"),
            "page_token": SecretStr("page-token"),
            "telegram_api": f"http://{there}",
            "messenger_api": f"http://{there}/v1",
        }
        async with social(world, tmp_path, **changes):
            await world.reply(text="Hello", **TELEGRAM_REPLY)
            await eventually(lambda: world.reports() == [("k1.0", "delivered")])
            await world.reply(text="x" * 3000, **MESSENGER_REPLY)
            await eventually(lambda: ("k2.0", "delivered") in world.reports())
    first, again, *parts = api.requests
    assert first[0] == again[0] == "bot123:abc/sendMessage"
    assert again[2] == {"chat_id": "-100", "text": "Hello"}
    assert [len(part[2]["message"]["text"]) for part in parts] == [2000, 1000]
    assert parts[0][0] == "v1/me/messages"
    assert parts[0][1]["authorization"] == "Bearer page-token"
    assert parts[0][2]["recipient"] == {"id": "24"}
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("services", "shared", "httpx"))]
    assert not [line for line in ours if "123:abc" in line or "Hello" in line]


async def test_a_provider_that_refuses_has_the_last_word(world: World, tmp_path: Path) -> None:
    api = Api(403)
    async with served(api.routes) as there:
        changes = {"bot_token": SecretStr("123:abc"), "telegram_api": f"http://{there}"}
        async with social(world, tmp_path, **changes):
            await world.reply(text="Hello", **TELEGRAM_REPLY)
            await eventually(lambda: world.reports() == [("k1.0", "failed")])
    assert len(api.requests) == 1


async def test_without_a_token_replies_lie_in_the_outbox(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path):
        await world.reply(text="Hello", **TELEGRAM_REPLY)
        await world.reply(text="Bonjour", **MESSENGER_REPLY)
        await eventually(lambda: len(world.reports()) == 2)
    laid = json.loads((tmp_path / "outbox" / "k1.0.json").read_text())
    assert laid["request"] == {"method": "sendMessage", "chat_id": "-100", "text": "Hello"}
    assert json.loads((tmp_path / "outbox" / "k2.0.json").read_text())["request"]["recipient"] == {"id": "24"}


def test_long_texts_are_broken_between_words() -> None:
    text = "word " * 2000
    parts = list(pieces(text, 4096))
    assert all(len(part) <= 4096 for part in parts)
    assert " ".join(" ".join(parts).split()) == text.strip()
    assert list(pieces("x" * 9000, 4096)) == ["x" * 4096, "x" * 4096, "x" * 808]


# --- Quotas -----------------------------------------------------------------------------------------------------------


def said_by(sender: str, mid: str) -> dict[str, Any]:
    return {**event(message={"mid": mid, "text": f"text of {mid}"}), "sender": {"id": sender}}


async def test_a_sender_who_floods_is_told_to_wait_and_nobody_else(world: World, tmp_path: Path) -> None:
    few = {"sender_per_minute": 60, "sender_burst": 2}
    async with social(world, tmp_path, **few) as client:
        for number in (1, 2):
            assert (await post(client, said_by("flood", f"f{number}"))).status_code == 200
        answer = await post(client, said_by("flood", "f3"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (await post(client, said_by("other", "o1"))).status_code == 200
        assert [said.source_key.rpartition(":")[2] for said in world.messages()] == ["f1", "f2", "o1"]


async def test_of_a_batch_the_others_are_taken_and_the_whole_of_it_comes_again(world: World, tmp_path: Path) -> None:
    """What was taken is recognised; what could not be read is put aside once, when the batch is through."""
    world.clock = clock = HandClock()
    batch = [
        said_by("flood", "f1"),
        said_by("other", "o1"),
        said_by("flood", "f2"),
        event(message={"text": "without an id"}),
    ]
    async with social(world, tmp_path, sender_per_minute=60, sender_burst=1) as client:
        assert (await post(client, said_by("flood", "f0"))).status_code == 200
        assert (await post(client, *batch)).status_code == 429
        assert [said.source_key.rpartition(":")[2] for said in world.messages()] == ["f0", "o1"]
        assert letters(tmp_path) == []
        clock.pass_s(1)
        assert (await post(client, *batch)).json() == {"accepted": 3, "dead_letters": 1}
        assert len(world.distinct()) == 4
        assert [said.source_key.rpartition(":")[2] for said in world.messages()] == ["f0", "o1", "f1", "o1", "f2"]
        assert len(letters(tmp_path)) == 1


async def test_a_batch_larger_than_a_burst_is_taken_whole_and_paid_for(world: World, tmp_path: Path) -> None:
    """Else it would be refused for as long as its provider sends it."""
    world.clock = clock = HandClock()
    async with social(world, tmp_path, sender_per_minute=60, sender_burst=2) as client:
        assert (await post(client, *(said_by("ana", f"a{number}") for number in range(10)))).json()["accepted"] == 10
        answer = await post(client, said_by("ana", "late"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "9")
        clock.pass_s(9)
        assert (await post(client, said_by("ana", "late"))).status_code == 200


async def test_an_account_that_is_flooded_takes_nothing_of_a_request(world: World, tmp_path: Path) -> None:
    metrics = ProcessMetrics(Catalogue())
    service = build_social(settings(tmp_path, account_per_minute=60, account_burst=1), **world.ports())
    service.observe(metrics)
    async with (
        served(service.routes) as address,
        running(service),
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        assert (await post(client, said_by("ana", "a1"))).status_code == 200
        assert (await post(client, said_by("ben", "b1"), said_by("cid", "c1"))).status_code == 429
        assert (await tell(client, update())).status_code == 200
        assert len(world.messages()) == 2
    labels = {"channel": "messenger", "scope": "account"}
    assert metrics.catalogue.registry.get_sample_value("switchdesk_messages_over_quota_total", labels) == 2


async def test_a_forged_request_uses_up_nobodys_quota(world: World, tmp_path: Path) -> None:
    async with social(world, tmp_path, account_per_minute=60, account_burst=1) as client:
        for _ in range(3):
            assert (await tell(client, update(), "forged")).status_code == 403
        assert (await tell(client, update())).status_code == 200


async def test_without_a_rate_any_number_is_taken(world: World, tmp_path: Path) -> None:
    unlimited = {"sender_per_minute": 0, "sender_burst": 1, "account_per_minute": 0, "account_burst": 1}
    async with social(world, tmp_path, **unlimited) as client:
        for number in range(5):
            assert (await post(client, said_by("ana", f"a{number}"))).status_code == 200
