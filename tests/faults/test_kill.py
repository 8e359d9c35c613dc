"""`kill -9` at any moment, fifty times, under load: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.eventually import eventually
from tests.faults.centre import Centre
from tests.faults.load import Record, customer, desk

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "1"))
AGENTS = ("desk-jakarta-1", "desk-london-1", "desk-london-2")


async def test_fifty_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    print(f"KILLS={KILLS} SEED={SEED}")
    dice = random.Random(SEED)
    centre, record = Centre(tmp_path / "data"), Record()
    await centre.start()
    facts, stop = centre.facts, asyncio.Event()
    try:
        async with asyncio.TaskGroup() as load:
            for number in range(4):
                load.create_task(customer(number, centre.url, facts["adapter_key"], record, stop, SEED))
            for agent in AGENTS:
                load.create_task(desk(agent, facts["agents"][agent], centre.url, record, stop, SEED))
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.02, 0.5))
                await centre.kill()
                await centre.start()
            await asyncio.sleep(0.5)
            stop.set()
        assert len(record.messages) > KILLS
        assert record.accepted
        assert record.replies
        assert record.unknown, "no request was ever caught by a kill, so nothing was tested"
        await _check(centre, record)
    finally:
        await centre.stop()


async def _check(centre: Centre, record: Record) -> None:
    facts = centre.facts
    supervisor = {"Authorization": f"Bearer {facts['supervisor_token']}"}
    async with httpx.AsyncClient(base_url=centre.url, timeout=30) as client:
        events = await _whole_feed(client, facts)
        _check_feed(events)
        _check_promises(events, record)
        contacts = await _all_contacts(client, supervisor)
        ids = Counter(contact["id"] for contact in contacts)
        assert [id for id, times in ids.items() if times > 1] == []
        created = {event["data"]["contact"] for event in events if event["type"] == "switchdesk.ContactCreated"}
        assert created == set(ids), "received = open + ended"

        async def audited() -> bool:
            metrics = (await client.get(f"http://127.0.0.1:{centre.admin}/metrics")).text
            return "\nswitchdesk_double_assign_total 0.0" in metrics and "\nswitchdesk_orphans 0.0" in metrics

        await eventually(audited, within_s=10)


async def _whole_feed(client: httpx.AsyncClient, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """All public events up to a last one made for this purpose: everything before that has then been read whole.

    The journal's head alone would not do: the entry it names may hold several events, or none that is public.
    """
    operator = {"Authorization": f"Bearer {facts['operator_key']}"}
    desk = {"Authorization": f"Bearer {facts['agents'][AGENTS[0]]}"}
    last = await client.put(f"/v1/agents/{AGENTS[0]}/presence", headers=desk, json={"presence": "offline"})
    assert last.status_code == 200, last.text
    mark = last.json()["seq"]
    events: list[dict[str, Any]] = []
    headers = {**operator, "Accept": "application/x-ndjson"}
    async with client.stream("GET", "/v1/events", params={"after": "0:1:0"}, headers=headers) as stream:
        assert stream.status_code == 200
        async with asyncio.timeout(60):
            async for line in stream.aiter_lines():
                if line:
                    events.append(json.loads(line))
                if events and int(events[-1]["id"].split(":")[1]) >= mark:
                    return events
    raise AssertionError(f"the feed ended before entry {mark}")


def _check_feed(events: list[dict[str, Any]]) -> None:
    ids = [event["id"] for event in events]
    assert len(ids) == len(set(ids))
    places = [tuple(int(part) for part in id.split(":")) for id in ids]
    assert places == sorted(places), "ids rise"
    numbers = [event["sequence"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "the workspace's numbers have no gap"


def _check_promises(events: list[dict[str, Any]], record: Record) -> None:
    received: dict[str, list[str]] = {}
    accepted: dict[str, list[tuple[str, str]]] = {}
    replies: Counter[str] = Counter()
    completed: Counter[str] = Counter()
    holder: dict[str, str | None] = {}
    for event in events:
        data = event["data"]
        match event["type"]:
            case "switchdesk.MessageReceived":
                received.setdefault(data["source_key"], []).append(data["contact"])
            case "switchdesk.OfferAccepted":
                accepted.setdefault(data["offer"], []).append((data["contact"], data["agent"]))
                assert holder.get(data["contact"]) is None, f"{data['contact']} was already held"
                holder[data["contact"]] = data["agent"]
            case "switchdesk.ContactRequeued":
                holder[data["contact"]] = None
            case "switchdesk.ContactCompleted":
                completed[data["contact"]] += 1
            case "switchdesk.ReplyQueued":
                replies[data["message"]] += 1
    for source_key, contact in record.messages.items():
        assert received.get(source_key) == [contact], f"{source_key} was acknowledged as part of {contact}"
    assert [key for key, contacts in received.items() if len(contacts) > 1] == []
    for offer, promise in record.accepted.items():
        assert accepted.get(offer) == [promise], f"{promise[1]} was told that {offer} is theirs"
    for message in record.replies.values():
        assert replies[message] == 1, f"reply {message} was acknowledged"
    for contact in record.completed:
        assert completed[contact] == 1, f"{contact} was completed"


async def _all_contacts(client: httpx.AsyncClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    contacts: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/contacts", params=params, headers=headers)).json()
        contacts += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return contacts
