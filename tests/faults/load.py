"""Customers and desks that go on while the process is killed: each retries with the same key until it is told, and
remembers what it was told."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

TRYING = (httpx.TransportError,)
UNKNOWN = (202, 503, 429)


@dataclass(slots=True)
class Record:
    """What the outside was promised."""

    messages: dict[str, str] = field(default_factory=dict)
    """source key → contact id, for every message that was acknowledged with its contact."""
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    """offer id → (contact id, agent), for every accept that was answered with 200."""
    replies: dict[str, str] = field(default_factory=dict)
    """idempotency key of a reply → message id."""
    completed: set[str] = field(default_factory=set)
    unknown: int = 0


async def customer(number: int, base: str, key: str, record: Record, stop: asyncio.Event, seed: int) -> None:
    """Writes one message after another, each until it is acknowledged."""
    dice = random.Random(f"{seed}:{number}")
    said = 0
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=6) as client:
        while not stop.is_set():
            said += 1
            source_key = f"test:{number}:{said}"
            body = {
                "source_key": source_key,
                "channel": "telegram",
                "sender": {"id": f"customer-{number}-{said // 3}"},
                "text": "Where is my money? I sent it yesterday.",
                "language": dice.choice(["en", "id"]),
            }
            answer = await _until_told(client, "POST", "/v1/messages", record, json=body)
            if answer is not None and answer.get("contact_id"):
                record.messages[source_key] = answer["contact_id"]
            await asyncio.sleep(dice.uniform(0.0, 0.03))


async def desk(agent: str, token: str, base: str, record: Record, stop: asyncio.Event, seed: int) -> None:
    """Takes what is offered, answers, completes; sometimes declines or gives back."""
    dice = random.Random(f"{seed}:{agent}")
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=6) as client:
        while not stop.is_set():
            try:
                await client.put(f"/v1/agents/{agent}/presence", json={"presence": "available"})
                work = (await client.get(f"/v1/agents/{agent}/work")).json()
            except TRYING:
                await asyncio.sleep(0.02)
                continue
            for offer in work.get("offers", ()):
                if dice.random() < 0.1:
                    await _until_told(client, "POST", f"/v1/offers/{offer['id']}/reject", record)
                    continue
                taken = await _until_told(client, "POST", f"/v1/offers/{offer['id']}/accept", record)
                if taken is not None:
                    record.accepted[offer["id"]] = (offer["contact"]["id"], agent)
            for assignment in work.get("assignments", ()):
                await _handle(client, assignment["contact"]["id"], record, dice)
            if work.get("wrap_up"):
                await _until_told(client, "POST", f"/v1/agents/{agent}/wrap-up", record, json={"finish": True})
            await asyncio.sleep(0.01)


async def _handle(client: httpx.AsyncClient, contact: str, record: Record, dice: random.Random) -> None:
    idempotency_key = f"reply-{contact}-{dice.getrandbits(32)}"
    sent = await _until_told(
        client, "POST", f"/v1/contacts/{contact}/messages", record, key=idempotency_key, json={"text": "It is there."}
    )
    if sent is not None:
        record.replies[idempotency_key] = sent["id"]
    if dice.random() < 0.1:
        await _until_told(client, "POST", f"/v1/contacts/{contact}/requeue", record)
    elif await _until_told(client, "POST", f"/v1/contacts/{contact}/complete", record) is not None:
        record.completed.add(contact)


async def _until_told(
    client: httpx.AsyncClient, method: str, path: str, record: Record, *, key: str | None = None, **request: Any
) -> dict[str, Any] | None:
    """The answer, however often it takes; None for a refusal. The same key every time, so asking again is safe."""
    headers = {"Idempotency-Key": key or f"{method} {path} {random.getrandbits(64)}"}
    for _ in range(2000):
        try:
            response = await client.request(method, path, headers=headers, **request)
        except TRYING:
            record.unknown += 1
            await asyncio.sleep(0.02)
            continue
        if response.status_code in UNKNOWN:
            record.unknown += 1
            await asyncio.sleep(0.02)
            continue
        if response.is_success:
            told: dict[str, Any] = response.json()
            return told
        assert response.status_code < 500, f"{method} {path}: {response.status_code} {response.text}"
        return None
    raise AssertionError(f"{method} {path} was never answered")
