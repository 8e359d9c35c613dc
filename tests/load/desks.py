"""Agents' desks as the bench has them: a stream each, what is offered on it, and the calls that take it off again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from services.router.api.auth import AuthSettings, issue_token
from shared.vocabulary import Role
from tests.eventually import eventually
from tests.load.traffic import Connections, Streams, connections, request

WORKSPACE: Final = "bench"
DESKS: Final = 200
CAPACITY: Final = 20


class Desks:
    """`DESKS` agents on one API, all able and available. `shown(name, at)` is told of each offer, by the name of the
    command that made its contact."""

    def __init__(self, port: int, jwt_secret: str, shown: Callable[[str, float], None]) -> None:
        self.port = port
        self._auth = AuthSettings(jwt_secret=jwt_secret, issuer="switchdesk", audience="switchdesk", token_ttl_s=43_200)
        self._shown = shown
        self._tokens = [self._token(Role.AGENT, f"desk-{number}") for number in range(DESKS)]
        self._supervisor = self._token(Role.SUPERVISOR, "bench")
        self.offered: dict[str, tuple[int, str]] = {}
        """By contact: the desk and the offer."""
        self.streams = Streams(self._heard)

    def _token(self, role: Role, subject: str) -> str:
        now = int(time.time() * 1000)
        return issue_token(self._auth, workspace=WORKSPACE, role=role, subject=subject, now_ms=now, ttl_s=43_200)[0]

    async def set_up(self, operator_key: str, policy: dict[str, Any]) -> None:
        """Adopt the policy, make the agents, open a stream for each."""
        headers = {"Authorization": f"Bearer {operator_key}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30) as http:
            (await http.put("/v1/policy", json=policy)).raise_for_status()
        profile = json.dumps({"languages": {"en": 5}, "capacity": {"total": CAPACITY}}).encode()
        available = json.dumps({"presence": "available"}).encode()
        async with connections(self.port, 16) as to:
            await self._all(
                to,
                [self._request("PUT", f"/v1/agents/desk-{number}", operator_key, profile) for number in range(DESKS)],
            )
            await self._all(
                to,
                [
                    self._request("PUT", f"/v1/agents/desk-{number}/presence", self._tokens[number], available)
                    for number in range(DESKS)
                ],
            )
        for number, token in enumerate(self._tokens):
            raw = self._request("GET", f"/v1/agents/desk-{number}/events", token)
            await self.streams.open(number, self.port, raw)

    async def clear(self) -> None:
        """Cancel whatever is offered."""
        contacts = list(self.offered)
        async with connections(self.port, 32) as to:
            raws = [self._request("POST", f"/v1/contacts/{contact}/cancel", self._supervisor) for contact in contacts]
            await self._all(to, raws)
        await eventually(lambda: not self.offered, within_s=30)

    async def accept(self, to: Connections, desk: int, offer: str) -> float:
        """Seconds until an accept is answered."""
        answer = await to.ask(self._request("POST", f"/v1/offers/{offer}/accept", self._tokens[desk]))
        assert answer.status == 200, answer
        return answer.took_s

    def _heard(self, desk: int, data: bytes, at: float) -> None:
        offers = json.loads(data).get("offers", ())
        now = {offer["contact"]["id"]: (desk, offer["id"]) for offer in offers}
        for contact in [contact for contact, (holder, _) in self.offered.items() if holder == desk]:
            if contact not in now:
                del self.offered[contact]
        for contact in now:
            # A contact is named after the command that made it.
            self._shown(contact.partition(".")[0], at)
        self.offered |= now

    @staticmethod
    def _request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
        return request(method, path, body, Authorization=f"Bearer {token}", Content_Type="application/json")

    @staticmethod
    async def _all(to: Connections, raws: Sequence[bytes]) -> None:
        await asyncio.gather(*(to.insist(raw) for raw in raws))
