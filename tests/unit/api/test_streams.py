"""Work pulled and followed: long polls, server-sent events, how streams resume and end, and the public feed."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from services.router.api.app import Limits
from shared.views.memory import MemoryViews
from shared.views.port import ViewsUnavailable
from shared.vocabulary import Role
from tests.eventually import eventually
from tests.unit.api.conftest import WORKSPACE, World, work_doc, world

EVENTS = "/v1/agents/ana/events"


@dataclass(slots=True)
class Event:
    event: str
    data: Any
    id: str | None = None
    retry: int | None = None


class Reader:
    """Reads a server-sent event stream frame by frame."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self.comments = 0

    async def next(self, within_s: float = 5) -> Event:
        return await asyncio.wait_for(self._next(), within_s)

    async def _next(self) -> Event:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                retry = int(fields["retry"]) if "retry" in fields else None
                return Event(fields["event"], json.loads(fields["data"]), fields.get("id"), retry)
        raise EOFError

    async def ends(self) -> bool:
        try:
            await self.next()
        except EOFError:
            return True
        return False


@asynccontextmanager
async def following(api: World, path: str = EVENTS, who: str = "ana", **headers: str) -> AsyncIterator[Reader]:
    async with api.client.stream("GET", path, headers={**api.as_(who), **headers}) as answer:
        assert answer.status_code == 200
        yield Reader(answer)


async def offer(api: World, name: str) -> int:
    return await api.router.publish(WORKSPACE, [("work", "ana", work_doc(offers=[{"id": name}]))])


async def test_work_is_there_at_once(api: World) -> None:
    answer = await api.client.get("/v1/agents/ana/work?wait=5", headers=api.as_("ana"))

    assert answer.json()["offers"] == []
    assert answer.elapsed.total_seconds() < 2


async def test_a_poll_returns_when_work_changes(api: World) -> None:
    seq = (await api.client.get("/v1/agents/ana/work", headers=api.as_("ana"))).json()["seq"]
    polling = asyncio.ensure_future(api.client.get(f"/v1/agents/ana/work?wait=20&after={seq}", headers=api.as_("ana")))
    done, _ = await asyncio.wait({polling}, timeout=0.1)
    assert not done
    await offer(api, "o1")

    answer = await asyncio.wait_for(polling, 2)

    assert answer.json()["offers"] == [{"id": "o1"}]
    assert answer.json()["seq"] > seq


async def test_a_poll_ends_by_itself_and_when_the_service_stops(api: World) -> None:
    seq = (await api.client.get("/v1/agents/ana/work", headers=api.as_("ana"))).json()["seq"]
    path = f"/v1/agents/ana/work?after={seq}&wait="
    short = await api.client.get(f"{path}0.1", headers=api.as_("ana"))
    assert short.json()["seq"] == seq
    polling = asyncio.ensure_future(api.client.get(f"{path}20", headers=api.as_("ana")))
    await asyncio.wait({polling}, timeout=0.05)

    api.deps.stopping.set()

    assert (await asyncio.wait_for(polling, 2)).json()["seq"] == seq


async def test_polls_have_bounds(api: World) -> None:
    for query in ("wait=26&after=1", "wait=-1", "after=-1", "after=x"):
        assert (await api.client.get(f"/v1/agents/ana/work?{query}", headers=api.as_("ana"))).status_code == 422


async def test_a_stream_begins_with_everything_and_goes_on_with_every_change(api: World) -> None:
    async with following(api) as stream:
        reset, work = await stream.next(), await stream.next()
        assert (reset.event, work.event) == ("reset", "work")
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        assert "content-length" not in stream.answer.headers
        seq = await offer(api, "o1")
        news = await stream.next()

    assert (news.event, news.id, news.data["offers"]) == ("work", f"0:{seq}:0", [{"id": "o1"}])


async def test_a_current_stream_resumes_without_reset_and_an_old_one_with(api: World) -> None:
    seq = await offer(api, "o1")
    async with following(api, **{"Last-Event-ID": f"0:{seq}:0"}) as stream:
        later = await offer(api, "o2")
        first = await stream.next()
        assert (first.event, first.id) == ("work", f"0:{later}:0")
    for stale in ("0:1:0", "0:999999:0", "nonsense"):
        async with following(api, **{"Last-Event-ID": stale}) as stream:
            assert [(await stream.next()).event, (await stream.next()).data["offers"]] == ["reset", [{"id": "o2"}]]


async def test_a_stream_says_bye_when_the_service_stops(api: World) -> None:
    async with following(api) as stream:
        await stream.next(), await stream.next()
        began = time.monotonic()
        api.deps.stopping.set()
        bye = await stream.next()
        assert await stream.ends()

    assert bye.event == "bye"
    assert bye.retry is not None
    assert 500 <= bye.retry < 2500
    assert time.monotonic() - began < 2


async def test_a_stream_ends_with_its_token(api: World) -> None:
    token = api.token(Role.AGENT, "ana", ttl_s=1)
    async with following(api, Authorization=f"Bearer {token}") as stream:
        await stream.next(), await stream.next()
        assert (await stream.next(within_s=3)).event == "reauth"
        assert await stream.ends()


async def test_a_stream_ends_with_its_key(api: World) -> None:
    async with following(api, "/v1/events", "operator", Accept="text/event-stream") as stream:
        key_id = api.keys["operator"].key_id
        await api.router.publish(WORKSPACE, [("key", key_id, None)])
        await api.feed.put({"id": "0:9:0", "type": "X", "at": 0, "sequence": 1, "data": {}})
        assert (await stream.next()).event == "X"
        assert (await stream.next()).event == "reauth"


async def test_silence_is_filled_with_heartbeats() -> None:
    async with world(limits=Limits(heartbeat_s=0.05)) as api, following(api) as stream:
        await stream.next(), await stream.next()
        with pytest.raises(TimeoutError):
            await stream.next(within_s=0.5)
        assert stream.comments >= 3


async def test_streams_are_counted_and_bounded() -> None:
    async with world(limits=Limits(streams_per_caller=2)) as api:
        book = api.app.state.api.streams
        async with following(api), following(api), following(api, "/v1/agents/ben/events", "ben"):
            assert book.total == 3
            refused = await api.client.get(EVENTS, headers=api.as_("ana"))
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-streams")
        await eventually(lambda: book.total == 0)
        async with following(api):
            pass


async def test_a_reader_that_does_not_read_is_let_go() -> None:
    async with world(limits=Limits(send_s=0.3)) as api:
        host, port = api.base_url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        head = f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: {api.as_('ana')['Authorization']}\r\n\r\n"
        writer.write(head.encode())
        book = api.app.state.api.streams
        await eventually(lambda: book.total == 1)
        large = [{"id": "o", "pad": "x" * 1_000_000}]
        for _ in range(40):
            await api.router.publish(WORKSPACE, [("work", "ana", work_doc(offers=large))])
            await asyncio.sleep(0.01)
            if book.total == 0:
                break
        await eventually(lambda: book.total == 0)
        writer.close()


async def test_many_changes_reach_a_slow_reader_as_the_newest(api: World) -> None:
    async with following(api) as stream:
        await stream.next(), await stream.next()
        for number in range(200):
            await offer(api, f"o{number}")
        seen: list[Any] = []
        while not seen or seen[-1] != [{"id": "o199"}]:
            seen.append((await stream.next()).data["offers"])
    assert len(seen) < 200


async def test_a_stream_outlives_lost_views(api: World) -> None:
    async with following(api) as stream:
        await stream.next(), await stream.next()
        api.views.forget()
        seq = await offer(api, "o1")
        news = await stream.next()
    assert (news.event, news.id, news.data["offers"]) == ("work", f"0:{seq}:0", [{"id": "o1"}])


async def test_nobody_follows_somebody_else(api: World) -> None:
    assert (await api.client.get(EVENTS, headers=api.as_("ben"))).status_code == 404
    assert (await api.client.get("/v1/agents/zoe/events", headers=api.as_("zoe"))).status_code == 404


FACTS = {"id": "0:9:0", "type": "ContactQueued", "at": 1000, "sequence": 7, "subject": "c1"}


async def test_the_feed_as_ndjson(api: World) -> None:
    await api.feed.put({**FACTS, "data": {"queue": "billing", "key_hash": "x", "_private": 1}})
    async with api.client.stream("GET", "/v1/events?after=0:8:0", headers=api.as_("adapter")) as answer:
        lines = (line async for line in answer.aiter_lines() if line)
        event = json.loads(await asyncio.wait_for(anext(lines), 2))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert event == {
        "specversion": "1.0",
        "id": "0:9:0",
        "source": "/v1/workspaces/wallet",
        "type": "ContactQueued",
        "subject": "c1",
        "time": "1970-01-01T00:00:01.000Z",
        "sequence": 7,
        "datacontenttype": "application/json",
        "data": {"queue": "billing"},
    }


async def test_the_feed_as_events_ends_well(api: World) -> None:
    async with following(api, "/v1/events", "adapter", Accept="text/event-stream") as stream:
        await api.feed.put({**FACTS, "data": {}})
        event = await stream.next()
        assert (event.event, event.id, event.data["sequence"]) == ("ContactQueued", "0:9:0", 7)
        api.deps.stopping.set()
        assert (await stream.next()).event == "bye"
        assert await stream.ends()


async def test_a_feed_that_is_asked_for_the_forgotten_says_so(api: World) -> None:
    async with following(api, "/v1/events?after=0:1:0", "adapter", Accept="text/event-stream") as stream:
        assert (await stream.next()).event == "gone"
        assert await stream.ends()
    bad = await api.client.get("/v1/events?after=yesterday", headers=api.as_("adapter"))
    assert bad.status_code == 422


async def test_the_server_stops_in_time_with_open_streams_and_polls(api: World) -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # 0 would mean Nagle
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api.app, log_level="critical", timeout_graceful_shutdown=8))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    await eventually(lambda: server.started)
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    seq = (await api.client.get("/v1/agents/ana/work", headers=api.as_("ana"))).json()["seq"]
    poll = f"{base}/v1/agents/ana/work?wait=25&after={seq}"
    polling = asyncio.ensure_future(api.client.get(poll, headers=api.as_("ana")))
    async with following(api, f"{base}{EVENTS}") as stream, following(api, f"{base}/v1/events", "adapter"):
        await stream.next(), await stream.next()
        began = time.monotonic()
        api.deps.stopping.set()
        server.should_exit = True
        assert (await stream.next()).event == "bye"
        await asyncio.wait_for(serving, 5)

    assert (await polling).status_code == 200
    assert time.monotonic() - began < 3


async def test_a_desk_is_told_when_the_log_stops_taking_what_is_said_and_when_it_does_again() -> None:
    log: dict[str, bool | str] = {"takes": True}
    async with world(saves=lambda: log["takes"]) as api, following(api) as reader:
        assert (await reader.next()).event == "reset"
        assert (await reader.next()).event == "work"
        log["takes"] = "nothing has been acknowledged for 6 s"
        await offer(api, "o1")
        told = await reader.next()
        assert (told.event, told.data) == ("service", {"saves": False})
        assert (await reader.next()).event == "work"
        log["takes"] = True
        await offer(api, "o2")
        told = await reader.next()
        assert (told.event, told.data) == ("service", {"saves": True})


async def test_a_stream_outlives_views_that_are_away() -> None:
    class Away(MemoryViews):
        away = False

        async def get(self, workspace: str, kind: str, id: str) -> Mapping[str, Any] | None:
            if self.away and kind == "work":
                raise ViewsUnavailable("away")
            return await super().get(workspace, kind, id)

    views = Away()
    async with world(views=views) as api, following(api) as reader:
        assert (await reader.next()).event == "reset"
        assert (await reader.next()).event == "work"
        views.away = True
        await offer(api, "o1")
        await asyncio.sleep(0.05)
        views.away = False
        await offer(api, "o2")
        assert (await reader.next()).data["offers"] == [{"id": "o2"}]
