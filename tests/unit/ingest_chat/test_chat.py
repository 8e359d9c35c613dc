"""The chat over a real server: hello, say, resume, leave, and everything that must be refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.ingest_chat.app import Chat, build_chat
from services.ingest_chat.settings import ChatSettings
from shared.contracts.commands import LeaveThread
from shared.ids import thread_key
from shared.metrics import Catalogue, ProcessMetrics
from shared.web_server import web_app
from tests.eventually import eventually
from tests.unit.ingest_support.world import WORKSPACE, World, running, served


def settings(**changes: Any) -> ChatSettings:
    fields = {"accounts": {"web": WORKSPACE}, "session_secret": SecretStr("x" * 32), "grace_s": 0.2, **changes}
    return ChatSettings(**fields)


@asynccontextmanager
async def chat(world: World, **changes: Any) -> AsyncIterator[str]:
    service: Chat = build_chat(settings(**changes), **world.ports())
    async with served(service.routes) as address, running(service):
        yield address


@pytest.fixture
def world() -> World:
    return World()


class Customer:
    """A page's side of a socket: frames in order, and what they were."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[dict[str, Any]] = []

    async def send(self, type: str, **data: Any) -> None:
        await self.socket.send(json.dumps({"type": type, "data": data}))

    async def next(self, type: str) -> dict[str, Any]:
        """The next frame of a type; others are kept in `frames`."""
        while True:
            frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), 5))
            self.frames.append(frame)
            if frame["type"] == type:
                return frame

    async def hello(self, **data: Any) -> dict[str, Any]:
        await self.send("hello", **data)
        welcome: dict[str, Any] = (await self.next("welcome"))["data"]
        return welcome

    async def say(self, own_id: str, text: str) -> dict[str, Any]:
        await self.send("say", client_message_id=own_id, text=text)
        ack: dict[str, Any] = (await self.next("ack"))["data"]
        return ack


@asynccontextmanager
async def customer(address: str, account: str = "web", **options: Any) -> AsyncIterator[Customer]:
    async with connect(f"ws://{address}/chat/{account}", **options) as socket:
        yield Customer(socket)


async def publish_thread(world: World, session: str, *lines: tuple[str, str, str], state: str = "waiting") -> str:
    """The router's document of a session's thread; `lines` are (direction, id, text)."""
    thread = thread_key(WORKSPACE, "chat", "web", session)
    messages = []
    for number, (direction, id, text) in enumerate(lines, start=1):
        ref = f"r:{id}"
        body = {"text": text, "author_name": "Ana"} if direction == "agent" else {"text": text}
        await world.log.content.put(WORKSPACE, ref, json.dumps(body).encode(), owner="a")
        status = "queued" if direction == "agent" else None
        at = 1_700_000_000_000
        messages.append({"seq": number, "id": id, "direction": direction, "ref": ref, "at": at, "status": status})
    document = {"thread": thread, "contact": "c1", "state": state, "queue": "support", "messages": messages}
    await world.publish("thread", thread, document)
    return thread


async def test_a_message_is_acknowledged_once_it_is_durable(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        welcome = await page.hello(token=None, last_seq=0, name="Jo", email="jo@example.org", language="id")
        assert (welcome["resumed"], welcome["workspace"]) == (False, WORKSPACE)
        ack = await page.say("m1", "Where is my order?")
        (said,) = world.messages()
        assert ack == {"client_message_id": "m1", "id": next(iter(world.distinct()))}
        assert said.source_key == f"chat:web:message:{welcome['session']}:m1"
        assert said.thread == thread_key(WORKSPACE, "chat", "web", welcome["session"])
        assert said.attributes == {"locale": "id"}
        assert [(r.channel, r.verified, r.consent) for r in said.reach] == [
            ("chat", False, True),
            ("email", False, True),
        ]
        body = world.stored(said.content_ref)
        assert (body["text"], body["sender"]["name"]) == ("Where is my order?", "Jo")


async def test_the_same_client_message_id_is_the_same_message(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        await page.hello()
        first, second = await page.say("m1", "hello"), await page.say("m1", "hello again")
        assert first["id"] == second["id"]
        assert len(world.distinct()) == 1
        assert world.stored(world.messages()[0].content_ref)["text"] == "hello"


async def test_a_reply_reaches_the_page_and_is_reported(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        session = (await page.hello())["session"]
        assert (await page.next("state"))["data"] == {"state": "none"}
        await publish_thread(world, session, ("customer", "m1", "hi"), ("agent", "r1", "On its way"), state="assigned")
        await page.next("message")
        reply = await page.next("message")
        assert reply["seq"] == 2
        assert reply["data"] == {
            "id": "r1", "direction": "agent", "text": "On its way", "at": "2023-11-14T22:13:20.000Z", "author": "Ana",
        }  # fmt: skip
        assert (await page.next("state"))["data"] == {"state": "assigned", "queue": "support"}
        await eventually(lambda: world.reports() == [("r1", "delivered")])


async def test_a_session_resumes_behind_what_the_page_has(world: World) -> None:
    async with chat(world, grace_s=30) as address:
        async with customer(address) as page:
            welcome = await page.hello(name="Jo")
        await publish_thread(
            world, welcome["session"], ("customer", "m1", "hi"), ("agent", "r1", "one"), ("agent", "r2", "two")
        )
        assert world.reports() == [], "nobody was there to read them"
        async with customer(address) as page:
            again = await page.hello(token=welcome["token"], last_seq=2)
            assert (again["resumed"], again["session"]) == (True, welcome["session"])
            assert (await page.next("message"))["data"]["text"] == "two"
            await eventually(lambda: set(world.reports()) == {("r1", "delivered"), ("r2", "delivered")})


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-2] + "xx", lambda t: "", lambda t: "a.b", lambda t: "é" * 50, lambda t: t.split(".")[0]]
)
async def test_a_forged_token_begins_a_new_session(world: World, spoil: Any) -> None:
    async with chat(world) as address:
        async with customer(address) as page:
            welcome = await page.hello()
        async with customer(address) as page:
            again = await page.hello(token=spoil(welcome["token"]), last_seq=5)
            assert again["resumed"] is False
            assert again["session"] != welcome["session"]


async def test_a_log_that_is_down_is_said_and_a_repeat_counts_once(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        await page.hello()
        world.switch.down = True
        await page.send("say", client_message_id="m1", text="hello")
        error = (await page.next("error"))["data"]
        assert (error["code"], error["client_message_id"]) == ("unavailable", "m1")
        assert world.messages() == []
        world.switch.down = False
        world.switch.loses_acknowledgement = True
        await page.send("say", client_message_id="m1", text="hello")
        assert (await page.next("error"))["data"]["code"] == "unavailable"
        world.switch.loses_acknowledgement = False
        await page.say("m1", "hello")
        assert len(world.distinct()) == 1


@pytest.mark.parametrize(
    ("frame", "names"),
    [
        ("{", "JSON"),
        ('{"type":"say","data":{"client_message_id":"m1","text":"x","extra":1}}', "data.extra"),
        ('{"type":"say","data":{"client_message_id":"m1","text":NaN}}', "data.text"),
        ('{"type":"say","data":{"client_message_id":"m1","text":"\\ud800"}}', "JSON"),
        ('{"type":"say","data":{"client_message_id":"m1","text":"  "}}', "data.text"),
        ('{"type":"say","data":{"client_message_id":"m1","text":"%s"}}' % ("x" * 4001), "data.text"),
        ('{"type":"say","data":{"client_message_id":"a b","text":"x"}}', "data.client_message_id"),
        ('{"type":"shout"}', "type"),
        ('{"type":"hello"}', "hello"),
        ("[" * 20_000, "JSON"),
    ],
)
async def test_a_bad_frame_is_refused_by_name_and_the_socket_lives(world: World, frame: str, names: str) -> None:
    async with chat(world) as address, customer(address) as page:
        await page.hello()
        await page.socket.send(frame)
        error = (await page.next("error"))["data"]
        assert error["code"] == "bad_frame"
        assert names in error["detail"]
        assert "xxx" not in error["detail"]
        await page.say("m9", "still here")
        assert len(world.messages()) == 1


async def test_a_first_frame_that_is_no_hello_ends_the_socket(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        await page.send("ping")
        await page.next("error")
        with pytest.raises(ConnectionClosed) as closed:
            await page.socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_an_oversized_frame_ends_the_socket(world: World) -> None:
    async with chat(world) as address, customer(address) as page:
        await page.hello()
        await page.socket.send("x" * 33_000)
        with pytest.raises(ConnectionClosed) as closed:
            await page.next("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_messages_are_limited_per_session(world: World) -> None:
    async with chat(world, message_burst=3, messages_per_minute=1) as address, customer(address) as page:
        await page.hello()
        for number in range(3):
            await page.say(f"m{number}", "hello")
        await page.send("say", client_message_id="m4", text="one more")
        assert (await page.next("error"))["data"]["code"] == "rate_limited"
        assert len(world.messages()) == 3


async def test_sockets_and_sessions_are_limited_per_address(world: World) -> None:
    async with chat(world, sockets_per_ip=2, sessions_per_ip_minute=2) as address:
        async with customer(address) as one, customer(address) as two:
            await one.hello()
            await two.hello()
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{address}/chat/web")
            assert refused.value.response.status_code == 429
        async with customer(address) as third:
            await third.send("hello")
            assert (await third.next("error"))["data"]["code"] == "rate_limited"


async def test_unknown_accounts_and_foreign_pages_are_refused(world: World) -> None:
    async with chat(world, origins=("https://shop.example",)) as address:
        for account, origin, status in (("nowhere", None, 404), ("web", "https://evil.example", 403)):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{address}/chat/{account}", origin=origin)  # type: ignore[arg-type]
            assert refused.value.response.status_code == status
        for origin in ("https://shop.example", f"http://{address}"):
            async with customer(address, origin=origin) as page:
                await page.hello()


async def test_a_customer_who_stays_away_leaves(world: World) -> None:
    async with chat(world) as address:
        async with customer(address) as page:
            session = (await page.hello())["session"]
            await page.say("m1", "hello")
        await eventually(lambda: world.commands())
        assert world.commands() == [LeaveThread(thread=thread_key(WORKSPACE, "chat", "web", session))]


async def test_a_customer_who_comes_back_in_time_stays(world: World) -> None:
    async with chat(world, grace_s=0.5) as address:
        async with customer(address) as page:
            welcome = await page.hello()
            await page.say("m1", "hello")
        async with customer(address) as page:
            await page.hello(token=welcome["token"])
            await asyncio.sleep(0.7)  # longer than the grace: nothing may come of it
            assert world.commands() == []


async def test_leaving_needs_no_grace_and_survives_an_absent_log(world: World) -> None:
    async with chat(world, grace_s=60) as address, customer(address) as page:
        await page.hello()
        await page.say("m1", "hello")
        world.switch.down = True
        await page.send("leave")
        with pytest.raises(ConnectionClosed):
            await page.next("never")
        world.switch.down = False
        await eventually(lambda: len(world.commands()) == 1)
        assert isinstance(world.commands()[0], LeaveThread)


async def test_who_never_said_anything_leaves_nothing_behind(world: World) -> None:
    async with chat(world, grace_s=0.05) as address:
        async with customer(address) as silent:
            await silent.hello()
        async with customer(address) as talker:
            await talker.hello()
            await talker.say("m1", "hello")
        await eventually(lambda: world.commands())
        assert len(world.commands()) == 1


async def test_ping_is_answered_and_a_silent_page_is_dropped(world: World) -> None:
    async with chat(world, ping_s=0.1) as address, customer(address) as page:
        await page.hello()
        await page.send("ping")
        await page.next("pong")
        await page.next("ping")
        await page.send("pong")
        with pytest.raises(ConnectionClosed):
            await page.next("never")


async def test_open_sockets_end_with_the_service(world: World) -> None:
    service = build_chat(settings(), **world.ports())
    async with served(service.routes) as address:
        async with running(service):
            socket = await connect(f"ws://{address}/chat/web")
            page = Customer(socket)
            await page.hello()
        with pytest.raises(ConnectionClosed) as closed:
            await page.next("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


async def test_the_http_fallback_says_and_hears_the_same(world: World) -> None:
    async with chat(world, grace_s=30) as address, httpx.AsyncClient(base_url=f"http://{address}/chat/web") as page:
        begun = (await page.post("/sessions", json={"name": "Jo"})).json()
        auth = {"Authorization": f"Bearer {begun['token']}"}
        said = {"client_message_id": "m1", "text": "hello"}
        first = await page.post("/messages", json=said, headers=auth)
        again = await page.post("/messages", json=said, headers=auth)
        assert first.json() == again.json() == {"id": next(iter(world.distinct()))}
        assert (await page.get("/messages?after=0", headers=auth)).json() == {
            "messages": [],
            "state": {"state": "none"},
        }

        poll = asyncio.create_task(page.get("/messages?after=0&wait=10", headers=auth))
        await publish_thread(
            world, begun["session"], ("customer", "m1", "hello"), ("agent", "r1", "Hi Jo"), state="assigned"
        )
        heard = (await asyncio.wait_for(poll, 5)).json()
        assert [line["data"]["text"] for line in heard["messages"]] == ["hello", "Hi Jo"]
        assert heard["state"]["state"] == "assigned"
        assert world.reports() == [], "the page has not said yet that it got them"
        await page.get("/messages?after=2", headers=auth)
        await eventually(lambda: world.reports() == [("r1", "delivered")])


async def test_a_poll_tells_a_state_that_changed_between_polls(world: World) -> None:
    async with chat(world, grace_s=30) as address, httpx.AsyncClient(base_url=f"http://{address}/chat/web") as page:
        begun = (await page.post("/sessions", json={})).json()
        auth = {"Authorization": f"Bearer {begun['token']}"}
        await publish_thread(world, begun["session"], ("customer", "m1", "hello"))
        await page.get("/messages?after=0", headers=auth)
        await publish_thread(world, begun["session"], ("customer", "m1", "hello"), state="offered")
        heard = (await page.get("/messages?after=1&wait=20", headers=auth, timeout=5)).json()
        assert heard == {"messages": [], "state": {"state": "offered", "queue": "support"}}


async def test_a_page_that_may_embed_the_chat_may_read_the_answers(world: World) -> None:
    shop, evil = {"Origin": "https://shop.example"}, {"Origin": "https://evil.example"}
    async with chat(world, origins=(shop["Origin"],)) as address, httpx.AsyncClient() as page:
        base = f"http://{address}/chat/web"
        asked, begun = (
            await page.options(f"{base}/messages", headers=shop),
            await page.post(f"{base}/sessions", headers=shop),
        )
        for answer in (asked, begun):
            assert answer.is_success
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        refused = await page.options(f"{base}/messages", headers=evil)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers


async def test_the_fallback_refuses_with_reasons(world: World) -> None:
    async with chat(world, grace_s=30) as address, httpx.AsyncClient(base_url=f"http://{address}/chat") as page:
        token = (await page.post("/web/sessions", json={})).json()["token"]
        auth = {"Authorization": f"Bearer {token}"}
        message = {"client_message_id": "m1", "text": "hello"}
        big = json.dumps({**message, "text": "x" * 40_000})
        answers = {
            "account": await page.post("/nowhere/sessions", json={}),
            "no token": await page.post("/web/messages", json=message),
            "bad token": await page.post("/web/messages", json=message, headers={"Authorization": "Bearer x.y"}),
            "unknown field": await page.post("/web/messages", json={**message, "admin": True}, headers=auth),
            "surrogate": await page.post(
                "/web/messages", content=b'{"client_message_id":"m","text":"\\ud800"}', headers=auth
            ),
            "too large": await page.post("/web/messages", content=big, headers=auth),
            "number": await page.get("/web/messages?after=x", headers=auth),
            "foreign page": await page.post("/web/sessions", json={}, headers={"Origin": "https://evil.example"}),
        }
        assert {name: answer.status_code for name, answer in answers.items()} == {
            "account": 404, "no token": 401, "bad token": 401, "unknown field": 422, "surrogate": 422, "too large": 413,
            "number": 422, "foreign page": 403,
        }  # fmt: skip
        assert "admin" in answers["unknown field"].json()["detail"]
        assert all(a.headers["content-type"] == "application/problem+json" for a in answers.values())
        world.switch.down = True
        down = await page.post("/web/messages", json=message, headers=auth)
        assert down.status_code == 503
        assert int(down.headers["retry-after"]) >= 1
        assert world.messages() == []


async def test_what_is_sent_without_a_socket_is_counted_by_route_so_that_an_alert_sees_503(world: World) -> None:
    metrics = ProcessMetrics(Catalogue())
    app = web_app([build_chat(settings(), **world.ports()).routes], metrics)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x/chat/web") as page:
        token = (await page.post("/sessions", json={})).json()["token"]
        world.switch.down = True
        message = {"client_message_id": "m1", "text": "hello"}
        said = await page.post("/messages", json=message, headers={"Authorization": f"Bearer {token}"})
        assert said.status_code == 503
    labels = {"method": "POST", "route": "/chat/{account}/messages", "status": "503"}
    assert metrics.catalogue.registry.get_sample_value("switchdesk_http_requests_total", labels) == 1
