"""Everything hostile or mistaken gets a clear 4xx that names the field, and no command comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.router.api.app import Limits
from tests.unit.api.conftest import World, world
from tests.unit.api.test_messages import MESSAGE

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[World]:
    """One for all: nothing here may leave a trace."""
    async with world() as made:
        yield made


def with_fields(**fields: Any) -> bytes:
    return json.dumps({**MESSAGE, **fields}).encode()


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        (b"", 400, "line 1"),
        (b"{", 400, "line 1"),
        (b"[]", 422, ""),
        (b'{"source_key": "a", "source_key": "b"}', 400, "source_key"),
        (b'{"source_key": "\\ud800"}', 400, "source_key"),
        (b'{"priority": NaN}', 400, "priority"),
        (b'{"priority": ' + b"9" * 5000 + b"}", 400, "priority"),
        (b'{"text": "\xff\xfe"}', 400, "UTF-8"),
        (b'{"attributes": ' + b"[" * 100_000, 400, "nested"),
        (with_fields(text=5), 422, "text"),
        (with_fields(priority="5"), 422, "priority"),
        (with_fields(priority=True), 422, "priority"),
        (with_fields(channel="pigeon"), 422, "channel"),
        (with_fields(nonsense=1), 422, "nonsense"),
        (with_fields(sender={"id": "s1", "admin": True}), 422, "sender.admin"),
        (with_fields(skills={"billing": 9}), 422, "skills.billing"),
        (with_fields(source_key=""), 422, "source_key"),
        (with_fields(source_key="x" * 257), 422, "source_key"),
        (with_fields(language="e"), 422, "language"),
        (with_fields(language_confidence=1.5), 422, "language_confidence"),
        (with_fields(provider_time="yesterday"), 422, "provider_time"),
        (with_fields(attributes={"a b": "c"}), 422, "attributes"),
    ],
)
async def test_a_bad_message_is_refused_by_name(api: World, body: bytes, status: int, names: str) -> None:
    answer = await api.client.post("/v1/messages", content=body, headers={**JSON, **api.as_("adapter")})

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    told = problem["detail"] if status == 400 else " ".join(error["field"] for error in problem["errors"])
    assert names in told
    assert api.router.seen == []


async def test_errors_do_not_repeat_what_was_sent(api: World) -> None:
    answer = await api.client.post(
        "/v1/messages", content=with_fields(text=["my secret"]), headers={**JSON, **api.as_("adapter")}
    )

    assert answer.status_code == 422
    assert "secret" not in answer.text


async def test_a_large_body_is_refused_by_its_announcement(api: World) -> None:
    answer = await api.client.post("/v1/messages", content=b"x" * 5_000_000, headers={**JSON, **api.as_("adapter")})

    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/body-too-large"
    assert answer.json()["limit"] == 1_048_576


async def test_a_large_body_in_chunks_is_refused_while_it_arrives(api: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 10_000

    answer = await api.client.post("/v1/messages", content=chunks(), headers={**JSON, **api.as_("adapter")})

    assert answer.status_code == 413


async def test_an_endless_body_is_cut_off(api: World) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b"x" * 100_000

    with contextlib.suppress(httpx.TransportError):
        await api.client.post("/v1/messages", content=chunks(), headers={**JSON, **api.as_("adapter")})

    assert 1_048_576 < sent < 50_000_000


async def test_nobody_makes_us_read_a_body_without_a_key(api: World) -> None:
    answer = await api.client.post("/v1/messages", content=b"{", headers=JSON)

    assert answer.status_code == 401


async def test_a_body_that_trickles_is_given_up() -> None:
    async with world(limits=Limits(body_read_s=0.2)) as made:
        host, port = made.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = made.keys["adapter"].token
        head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 10\r\n\r\n{{"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/messages", 405, "method-not-allowed"),
        ("POST", "/v1/messages", 415, "unsupported-media-type"),
    ],
)
async def test_the_frameworks_own_errors_are_problems_too(
    api: World, method: str, path: str, status: int, slug: str
) -> None:
    headers = {**api.as_("adapter"), "Content-Type": "text/plain"}

    answer = await api.client.request(method, path, content=b"x" if method == "POST" else None, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"


async def test_a_bug_is_a_500_that_tells_nothing() -> None:
    async def broken() -> list[dict[str, Any]]:
        raise ValueError("customer@example.org")

    async with world(replicas=broken) as made:
        answer = await made.client.get("/v1/replicas", headers=made.as_("operator"))

    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal-error"
    assert "customer" not in answer.text


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/v1/contacts?limit=0", {}, "query.limit"),
        ("/v1/contacts?state=lost", {}, "query.state"),
        ("/v1/contacts?min_seq=x", {}, "min_seq"),
        ("/v1/contacts", {"X-Min-Seq": "-1"}, "min_seq"),
    ],
)
async def test_bad_queries_are_named(api: World, path: str, headers: dict[str, str], field: str) -> None:
    answer = await api.client.get(path, headers={**api.as_("supervisor"), **headers})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_bad_idempotency_keys_and_waits_are_named(api: World) -> None:
    too_long = await api.client.post("/v1/offers/o1/accept", headers={**api.as_("ana"), "Idempotency-Key": "k" * 256})
    too_patient = await api.client.post("/v1/offers/o1/accept?wait=nan", headers=api.as_("ana"))

    assert too_long.json()["errors"][0]["field"] == "Idempotency-Key"
    assert too_patient.json()["errors"][0]["field"] == "wait"
    assert api.router.seen == []
