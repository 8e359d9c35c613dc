"""A client of several API addresses: goes on to the next one when one fails, and repeats a change under its key until
it is told what became of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.faults.history import History, Operation, Outcome, Trouble
from tests.faults.patience import PatientClient

ASK_AFTER: Final = 0.5
"""How often a client that was told 202 asks what became of the command, instead of repeating it."""

_NOT_TOLD: Final = (202, 408, 429, 500, 502, 503, 504)


@dataclass(slots=True)
class Stop:
    """When clients give up: `soon` ends their work, `now` also what they are in the middle of."""

    soon: asyncio.Event
    now: asyncio.Event


class Caller:
    """One credential at all addresses. Two of them share no state, as two machines would."""

    def __init__(
        self, who: str, token: str, bases: Sequence[str], history: History, stop: Stop, dice: random.Random
    ) -> None:
        self.who = who
        self.history = history
        self.stop = stop
        self.dice = dice
        self._bases = list(bases)
        self._at = dice.randrange(len(self._bases))
        headers = {"Authorization": f"Bearer {token}"}
        self._client = PatientClient(who, history, headers)
        self.http = self._client.http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        await self._client.__aexit__(None, None, None)

    @property
    def base(self) -> str:
        """The address in use."""
        return self._bases[self._at]

    def turn_away(self) -> None:
        """Use the next address from now on."""
        self._at = (self._at + 1) % len(self._bases)

    async def ask(self, method: str, path: str, *, wait_s: float = 0.0, **request: Any) -> httpx.Response | None:
        """One attempt, of a request that itself asks to wait `wait_s`; None if no answer came in time. After a failure
        the next attempt goes to the next address."""
        response = await self._client.send(method, self.base + path, wait_s=wait_s, **request)
        if response is None:
            self.turn_away()
            return None
        if response.status_code >= 500:
            self.turn_away()
            if response.status_code == 500:
                at = self.history.now
                self.history.add(Trouble(what="an answer 500", detail=f"{method} {path}: {response.text}"[:500], at=at))
        return response

    async def read(self, path: str, **request: Any) -> Any:
        """The JSON of a `GET`, however often it takes; None when it is time to give up."""
        while not self.stop.now.is_set():
            response = await self.ask("GET", path, **request)
            if response is not None and response.status_code == 200:
                return response.json()
            await self._pause()
        return None

    async def change(
        self, kind: str, about: str, method: str, path: str, *, key: str | None = None, json: Any = None
    ) -> Operation:
        """Change something under one key (made up if none is given), until it is told or it is time to give up."""
        key = key or f"{kind}-{self.dice.getrandbits(64):x}"
        headers = {"Idempotency-Key": key}
        start, attempts, slowest = self.history.now, 0, 0.0
        outcome, status, told = Outcome.UNKNOWN, 0, dict[str, Any]()
        statuses: list[int] = []
        while outcome is Outcome.UNKNOWN and not self.stop.now.is_set():
            attempts += 1
            asked = self.history.now
            response = await self.ask(method, path, headers=headers, json=json)
            statuses.append(response.status_code if response is not None else 0)
            if response is None:
                self.history.attempts_failed += 1
                await self._pause()
                continue
            slowest = max(slowest, self.history.now - asked)
            status, told = response.status_code, _told(response)
            if status == 202 and self.dice.random() < ASK_AFTER:
                await self._pause()
                outcome, told = await self._look_up(told["command"])
            elif status not in _NOT_TOLD:
                outcome = Outcome.OK if response.is_success else Outcome.REFUSED
            if outcome is Outcome.UNKNOWN:
                self.history.attempts_failed += 1
                await self._pause()
        operation = Operation(
            kind=kind,
            who=self.who,
            key=key,
            about=about,
            start=start,
            end=self.history.now,
            outcome=outcome,
            status=status,
            told=told,
            text=json.get("text") if json else None,
            attempts=attempts,
            before=tuple(statuses[:-1]),
            slowest=slowest,
        )
        self.history.add(operation)
        return operation

    async def _look_up(self, command: str) -> tuple[Outcome, dict[str, Any]]:
        """What `/v1/commands/{id}` tells, at whatever address is next; unknown if nothing yet."""
        self.turn_away()
        response = await self.ask("GET", f"/v1/commands/{command}")
        if response is None or response.status_code != 200:
            return Outcome.UNKNOWN, {}
        found: dict[str, Any] = response.json()
        if found["state"] == "pending":
            return Outcome.UNKNOWN, {}
        if found["state"] == "refused":
            return Outcome.REFUSED, {"seq": found["seq"], "reason": found["refused"]["reason"]}
        told = {"seq": found["seq"], "subject": found["subject"], "command": command}
        return Outcome.OK, {name: value for name, value in told.items() if value is not None}

    async def again(self, first: Operation, method: str, path: str, *, json: Any = None) -> None:
        """Repeat a change that was answered, under its key and at another address."""
        self.turn_away()
        await self.change("again", first.about, method, path, key=first.key, json=json)

    async def _pause(self) -> None:
        await asyncio.sleep(self.dice.uniform(0.05, 0.3))


def _told(response: httpx.Response) -> dict[str, Any]:
    """What an answer promises, by the names that `Operation` uses."""
    try:
        body = response.json()
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    told = {
        "subject": body.get("contact_id") or body.get("id"),
        "seq": body.get("seq"),
        "state": body.get("state"),
        "reason": body.get("type"),
        "command": body.get("command_id"),
        "duplicate": body.get("duplicate"),
        "ignored": body.get("ignored"),
    }
    return {name: value for name, value in told.items() if value is not None}
