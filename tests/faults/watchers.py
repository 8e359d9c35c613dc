"""Those who only look while a run goes on, and the operator who declares a channel down now and then."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Final

import httpx

from tests.faults.caller import Caller
from tests.faults.history import Followed, ReplicaSeen
from tests.faults.staff import REPORTS

REPLICAS_EVERY_S: Final = 1.0
FEED_SILENCE_S: Final = 20.0
FLAPPING: Final = ("telegram:bot", "messenger:page")


async def watch_replicas(caller: Caller) -> None:
    """Note what every replica says of its state, about once a second."""
    while not caller.stop.now.is_set():
        await note_replicas(caller)
        await asyncio.sleep(caller.dice.uniform(0.5, 1.5) * REPLICAS_EVERY_S)


async def note_replicas(caller: Caller) -> list[ReplicaSeen]:
    """Ask once; what was told, if anything."""
    response = await caller.ask("GET", "/v1/replicas")
    if response is None or response.status_code != 200:
        return []
    seen = [
        ReplicaSeen(
            replica=line["replica"],
            partition=line["partition"],
            leader=line["leader"],
            seq=line["seq"],
            head=line["head"],
            state_seq=line["state_seq"],
            state_hash=line["state_hash"],
            at=caller.history.now,
        )
        for line in response.json()
    ]
    for replica in seen:
        caller.history.add(replica)
    return seen


async def follow_feed(caller: Caller, name: str, after: str) -> None:
    """Follow the public feed from the event `after` on, over every break, as a warehouse would."""
    while not caller.stop.now.is_set():
        try:
            timeout = httpx.Timeout(FEED_SILENCE_S, connect=2.0)
            url = f"{caller.base}/v1/events"
            headers = {"Accept": "application/x-ndjson"}
            async with caller.http.stream(
                "GET", url, params={"after": after}, headers=headers, timeout=timeout
            ) as stream:
                if stream.status_code == 200:
                    async for line in stream.aiter_lines():
                        if line:
                            event = json.loads(line)
                            after = event["id"]
                            caller.history.add(
                                Followed(follower=name, id=after, digest=digest_of(event), at=caller.history.now)
                            )
        except httpx.TransportError:
            pass
        caller.turn_away()
        await asyncio.sleep(caller.dice.uniform(0.05, 0.3))


def digest_of(event: object) -> str:
    """Equal for events of equal content."""
    return hashlib.sha256(json.dumps(event, sort_keys=True).encode()).hexdigest()[:16]


async def flap(caller: Caller) -> None:
    """Declare a channel down for some seconds, so that contacts move to another one and back."""
    while not caller.stop.soon.is_set():
        channel = caller.dice.choice(FLAPPING)
        await _wait(caller, caller.dice.uniform(5, 15))
        for _ in range(REPORTS):
            await _declare(caller, channel, "down")
        await _wait(caller, caller.dice.uniform(1, 4))
        await _declare(caller, channel, "healthy")


async def _declare(caller: Caller, channel: str, state: str) -> None:
    path = f"/v1/channels/{channel}/health"
    await caller.change("health", channel, "PUT", path, json={"state": state, "evidence": "the test says so"})


async def _wait(caller: Caller, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await caller.stop.soon.wait()
    except TimeoutError:
        return
