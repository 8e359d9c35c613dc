"""Desks: agents who take what is offered, decline, answer, complete and give back, by long poll or by stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.faults.caller import Caller
from tests.faults.history import Operation, Outcome, Reading, Sighting
from tests.faults.staff import QUEUES

POLL_S: Final = 8
STREAM_S: Final = 22.0
"""A stream that said nothing for so long is dead: its heartbeat comes every 15 s."""


@dataclass(slots=True)
class Habits:
    """How often an agent does what; chances out of 1. The last phase of a run has none of the troublesome ones."""

    decline: float = 0.06
    let_expire: float = 0.02
    steal: float = 0.03
    reply: float = 0.35
    give_back: float = 0.06
    hand_on: float = 0.06
    again: float = 0.03
    read: float = 0.05
    leave: float = 0.005

    def settle(self) -> None:
        """From now on only take, answer and complete."""
        self.decline = self.let_expire = self.steal = self.give_back = self.hand_on = self.leave = 0.0


@dataclass(slots=True)
class Room:
    """What the desks of a centre know of each other: offers to steal."""

    agents: int
    """How many there are."""
    offers: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=50))


class Desk:
    """One agent's desk."""

    def __init__(self, agent: str, caller: Caller, habits: Habits, room: Room, *, streams: bool) -> None:
        self.agent = agent
        self._caller = caller
        self._habits = habits
        self._room = room
        self._streams = streams
        self._answered: set[str] = set()
        self._finished: dict[str, float] = {}
        self._seq: int | None = None
        self._work: Mapping[str, Any] | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Work until it is time to stop."""
        stop = self._caller.stop
        await self._say("available")
        watching = asyncio.ensure_future(self._watch() if self._streams else self._poll())
        try:
            while not stop.now.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2.0):
                        await self._news.wait()
                self._news.clear()
                if self._work is not None:
                    await self._do(self._work)
                if watching.done():
                    watching.result()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _poll(self) -> None:
        caller = self._caller
        path = f"/v1/agents/{self.agent}/work"
        while not caller.stop.now.is_set():
            params = {} if self._seq is None else {"wait": POLL_S, "after": self._seq}
            response = await caller.ask("GET", path, params=params, wait_s=POLL_S)
            if response is None or response.status_code != 200:
                self._seq = None
                await asyncio.sleep(caller.dice.uniform(0.05, 0.3))
                continue
            self._see(response.json())

    async def _watch(self) -> None:
        caller = self._caller
        path = f"/v1/agents/{self.agent}/events"
        headers: dict[str, str] = {}
        while not caller.stop.now.is_set():
            with contextlib.suppress(httpx.TransportError):
                timeout = httpx.Timeout(STREAM_S, connect=2.0)
                async with caller.http.stream("GET", caller.base + path, headers=headers, timeout=timeout) as stream:
                    if stream.status_code == 200:
                        event = ""
                        async for line in stream.aiter_lines():
                            if line.startswith("id: "):
                                headers["Last-Event-ID"] = line[4:]
                            elif line.startswith("event: "):
                                event = line[7:]
                            elif line.startswith("data: ") and event in ("work", "reset"):
                                self._see(json.loads(line[6:]))
            caller.turn_away()
            await asyncio.sleep(caller.dice.uniform(0.05, 0.3))

    def _see(self, work: Mapping[str, Any]) -> None:
        self._seq = work["seq"]
        self._work = work
        now = self._caller.history.now
        for offer in work["offers"]:
            self._caller.history.add(
                Sighting(offer=offer["id"], contact=offer["contact"]["id"], agent=self.agent, at=now)
            )
            self._room.offers.append((offer["id"], self.agent))
        self._news.set()

    async def _do(self, work: Mapping[str, Any]) -> None:
        offers = [offer for offer in work["offers"] if offer["id"] not in self._answered]
        self._answered.update(offer["id"] for offer in offers)
        now = self._caller.history.now
        # What was finished a moment ago may still be on a desk that is a little behind.
        held = [
            assignment["contact"]["id"]
            for assignment in work["assignments"]
            if self._finished.get(assignment["contact"]["id"], -10.0) < now - 3.0
        ]
        async with asyncio.TaskGroup() as group:
            for offer in offers:
                group.create_task(self._answer(offer["id"]))
            for contact in held:
                group.create_task(self._handle(contact))
        dice = self._caller.dice
        if work["wrap_up"] and dice.random() < 0.5:
            await self._change("wrap_up", self.agent, f"/v1/agents/{self.agent}/wrap-up", {"finish": True})
        if dice.random() < self._habits.steal and self._room.offers:
            offer, owner = dice.choice(self._room.offers)
            if owner != self.agent:
                await self._change("steal", offer, f"/v1/offers/{offer}/accept")
        if work["presence"] != "available":
            await self._say("available")
        elif dice.random() < self._habits.leave:
            await self._say("away")
            await asyncio.sleep(dice.uniform(0.1, 0.5))
            await self._say("available")

    async def _answer(self, offer: str) -> None:
        dice = self._caller.dice
        chance = dice.random()
        if chance < self._habits.let_expire:
            return
        path = f"/v1/offers/{offer}"
        if chance < self._habits.let_expire + self._habits.decline:
            await self._change("reject", offer, f"{path}/reject")
            return
        told = await self._change("accept", offer, f"{path}/accept")
        if told.outcome is Outcome.OK and told.told.get("subject"):
            contact = told.told["subject"]
            self._finished.pop(contact, None)
            if dice.random() < self._habits.read:
                await self._read_back(contact, told.told["seq"])

    async def _handle(self, contact: str) -> None:
        dice = self._caller.dice
        self._finished[contact] = float("inf")
        path = f"/v1/contacts/{contact}"
        try:
            if dice.random() < self._habits.reply:
                await self._change("reply", contact, f"{path}/messages", {"text": self._words()})
            if dice.random() < self._habits.hand_on:
                await self._change("transfer", contact, f"{path}/transfer", self._where_to())
            elif dice.random() < self._habits.give_back:
                await self._change("requeue", contact, f"{path}/requeue")
            else:
                await self._change("complete", contact, f"{path}/complete")
        finally:
            self._finished[contact] = self._caller.history.now

    def _words(self) -> str:
        """No two replies are the same, so that each can be looked for in a transcript."""
        return f"It is on its way, number {self._caller.dice.getrandbits(48):x}."

    def _where_to(self) -> Mapping[str, Any]:
        """Another queue, or a colleague, who may have no room."""
        dice = self._caller.dice
        if dice.random() < 0.5:
            return {"to_queue": dice.choice(QUEUES), "keep_age": dice.random() < 0.8}
        return {"to_agent": f"agent-{dice.randint(1, self._room.agents):02}"}

    async def _read_back(self, contact: str, seq: int) -> None:
        """A read after an own change, elsewhere: it may be refused or late, but not older."""
        caller = self._caller
        caller.turn_away()
        response = await caller.ask("GET", f"/v1/contacts/{contact}", params={"min_seq": seq})
        if response is not None and response.status_code == 200:
            caller.history.add(
                Reading(who=self.agent, contact=contact, min_seq=seq, seq=response.json()["seq"], at=caller.history.now)
            )

    async def _say(self, presence: str) -> None:
        path = f"/v1/agents/{self.agent}/presence"
        await self._caller.change("presence", self.agent, "PUT", path, json={"presence": presence})

    async def _change(self, kind: str, about: str, path: str, body: Mapping[str, Any] | None = None) -> Operation:
        told = await self._caller.change(kind, about, "POST", path, json=body)
        if told.outcome is not Outcome.UNKNOWN and self._caller.dice.random() < self._habits.again:
            await self._caller.again(told, "POST", path, json=body)
        return told
