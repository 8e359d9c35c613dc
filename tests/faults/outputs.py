"""The public outputs of a workspace, read whole when a run is over."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.faults.history import ReplicaSeen

READ_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where to ask and as whom."""

    base: str
    operator_key: str
    supervisor_key: str
    agent: str
    agent_token: str
    """One agent, whose presence changes make the event up to which the feed is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What everybody may see. `events` are the feed's, in the order it gave them; `histories` and `transcripts` are of
    some contacts."""

    events: Sequence[Mapping[str, Any]]
    contacts: Sequence[Mapping[str, Any]]
    histories: Mapping[str, Sequence[Mapping[str, Any]]]
    transcripts: Mapping[str, Sequence[Mapping[str, Any]]]
    replicas: Sequence[ReplicaSeen] = ()


async def feed_start(access: Access) -> str:
    """An id behind which the whole feed of the workspace lies. Makes an event to learn the partition."""
    headers = {"Authorization": f"Bearer {access.operator_key}", "Accept": "application/x-ndjson"}
    async with (
        asyncio.timeout(READ_S),
        httpx.AsyncClient(base_url=access.base, timeout=30) as http,
        http.stream("GET", "/v1/events", headers=headers) as stream,
    ):
        stream.raise_for_status()
        lines = stream.aiter_lines()
        # The first line is a heartbeat: from here on nothing is missed.
        await anext(lines)
        await mark(http, access)
        async for line in lines:
            if line:
                partition = str(json.loads(line)["id"]).split(":")[0]
                return f"{partition}:1:0"
    raise AssertionError("the feed ended before it told its partition")


async def read_outputs(access: Access, *, after: str, sample: int, seed: int) -> Outputs:
    """Everything up to a last event made for this purpose, which the feed must then reach."""
    async with httpx.AsyncClient(base_url=access.base, timeout=30) as http, asyncio.timeout(READ_S):
        last = await mark(http, access)
        events = await _feed(http, access, after, last)
        contacts = await _contacts(http, access, last)
        ids = sorted(contact["id"] for contact in contacts)
        chosen = random.Random(seed).sample(ids, min(sample, len(ids)))
        histories = {id: await _history(http, access, id) for id in chosen}
        transcripts = {id: await _transcript(http, access, id) for id in chosen}
    return Outputs(events=events, contacts=contacts, histories=histories, transcripts=transcripts)


async def mark(http: httpx.AsyncClient, access: Access) -> int:
    """The number of an entry that holds a public event and comes after everything that was answered before.

    The journal's head alone would not do: the entry that it names may hold several events, or none that is public.
    """
    headers = {"Authorization": f"Bearer {access.agent_token}"}
    for presence in ("away", "offline"):
        answer = await http.put(f"/v1/agents/{access.agent}/presence", headers=headers, json={"presence": presence})
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        seq: int = answer.json()["seq"]
    return seq


async def _feed(http: httpx.AsyncClient, access: Access, after: str, last: int) -> list[Mapping[str, Any]]:
    headers = {"Authorization": f"Bearer {access.operator_key}", "Accept": "application/x-ndjson"}
    events: list[Mapping[str, Any]] = []
    async with http.stream("GET", "/v1/events", params={"after": after}, headers=headers) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            if line:
                events.append(json.loads(line))
                if int(events[-1]["id"].split(":")[1]) >= last:
                    return events
    raise AssertionError(f"the feed ended before entry {last}")


async def _contacts(http: httpx.AsyncClient, access: Access, last: int) -> list[Mapping[str, Any]]:
    headers = {"Authorization": f"Bearer {access.supervisor_key}"}
    contacts: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "500", "min_seq": str(last), **({"cursor": cursor} if cursor else {})}
        answer = await http.get("/v1/contacts", params=params, headers=headers)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        page = answer.json()
        contacts += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return contacts


async def _history(http: httpx.AsyncClient, access: Access, contact: str) -> list[Mapping[str, Any]]:
    headers = {"Authorization": f"Bearer {access.supervisor_key}"}
    answer = await http.get(f"/v1/contacts/{contact}/history", headers=headers)
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    items: list[Mapping[str, Any]] = answer.json()["items"]
    return items


async def _transcript(http: httpx.AsyncClient, access: Access, contact: str) -> list[Mapping[str, Any]]:
    headers = {"Authorization": f"Bearer {access.supervisor_key}"}
    lines: list[Mapping[str, Any]] = []
    cursor: str | None = "0"
    while cursor is not None:
        answer = await http.get(f"/v1/contacts/{contact}/messages", params={"cursor": cursor}, headers=headers)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        page = answer.json()
        lines += page["items"]
        cursor = page["next_cursor"]
    return lines
