"""Outbound messages in the whole system: a real process, its own adapters, one road out for replies and attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.eventually import eventually
from tests.integration.test_embedded import Running, started

__all__ = ["started"]

pytestmark = pytest.mark.integration


class Caller:
    """Calls the running process as its adapter or its supervisor."""

    def __init__(self, running: Running) -> None:
        facts = running.facts
        self.client = httpx.Client(base_url=facts["base_url"], timeout=15)
        self.adapter = {"Authorization": f"Bearer {facts['adapter_key']}"}
        self.supervisor = {"Authorization": f"Bearer {facts['supervisor_token']}"}

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def post(self, path: str, body: dict[str, Any], *, status: int, **headers: str) -> dict[str, Any]:
        answer = self.client.post(path, json=body, headers=headers or self.adapter)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path, headers=self.supervisor)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def outbound(self, id: str, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The outbound message as soon as it is so."""

        def found() -> Any:
            document = self.get(f"/v1/outbound/{id}")
            return document if is_so(document) else None

        document: dict[str, Any] = asyncio.run(eventually(found, within_s=10))
        return document


def test_a_mail_leaves_where_telegram_is_down(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(tmp_path / "data"))
    with Caller(started[-1].ready()) as caller:
        health = {"state": "down", "evidence": "no answer"}
        states = []
        for _ in range(3):
            answer = caller.client.put("/v1/channels/telegram:wallet_bot/health", json=health, headers=caller.adapter)
            assert answer.status_code == 200, answer.text
            states.append(answer.json()["state"])
        assert states == ["degraded", "degraded", "down"]
        body = {
            "source_key": "shop:1",
            "text": "Your parcel is on its way.",
            "subject": "Parcel 1",
            "route": [{"channel": "telegram", "address": "4711"}, {"channel": "email", "address": "Jane@Shop.example"}],
        }

        first = caller.post("/v1/outbound", body, status=201)
        again = caller.post("/v1/outbound", body, status=200)

        assert again["outbound_id"] == first["outbound_id"]
        done = caller.outbound(first["outbound_id"], lambda document: document["state"] == "succeeded")
        down, sent = done["attempts"]
        assert (down["channel"], down["status"], down["id"]) == ("telegram:wallet_bot", "failed", None)
        assert (sent["channel"], sent["status"]) == ("email:support@wallet.example", "delivered")
        (file,) = (tmp_path / "data").glob("**/*.eml")
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        assert (mail["To"], mail["Subject"], mail["In-Reply-To"]) == ("jane@shop.example", "Parcel 1", None)
        assert "Your parcel is on its way." in mail.get_content()
        # Whoever knows better says so under the attempt's id, as for a reply.
        caller.post(f"/v1/messages/{sent['id']}/status", {"status": "read"}, status=200)
        caller.outbound(first["outbound_id"], lambda document: document["attempts"][1]["status"] == "read")
    assert started[-1].stop() == 0


def test_a_chat_customer_reads_it_on_the_page(tmp_path: Path, started: list[Running]) -> None:
    started.append(Running(tmp_path / "data"))
    with Caller(started[-1].ready()) as caller:
        session = caller.client.post("/chat/web/sessions", json={}).json()
        page = {"Authorization": f"Bearer {session['token']}"}
        caller.post("/chat/web/messages", {"text": "Hello there", "client_message_id": "1"}, status=200, **page)
        found = asyncio.run(eventually(lambda: caller.get("/v1/contacts")["items"], within_s=10))
        contact = found[0]["id"]
        body = {
            "source_key": "shop:2",
            "contact_id": contact,
            "text": "We are closed today.",
            "route": [{"channel": "messenger"}, {"channel": "chat", "within_s": 600}, {"channel": "email"}],
        }

        outbound = caller.post("/v1/outbound", body, status=201)["outbound_id"]

        def lines() -> list[dict[str, Any]]:
            said: list[dict[str, Any]] = caller.client.get("/chat/web/messages", headers=page).json()["messages"]
            return said if len(said) == 2 else []

        said = asyncio.run(eventually(lines, within_s=10))
        assert said[-1]["data"]["text"] == "We are closed today."
        caller.client.get("/chat/web/messages", params={"after": said[-1]["seq"]}, headers=page)
        done = caller.outbound(outbound, lambda document: document["state"] == "succeeded")
        assert done["skipped"] == [{"step": 0, "channel": "messenger:wallet_page", "reason": "no_address"}]
        assert [attempt["status"] for attempt in done["attempts"]] == ["delivered"]
        told = [event["type"] for event in caller.get(f"/v1/contacts/{contact}/history")["items"]]
        wanted = ["OutboundCreated", "OutboundSkipped", "OutboundAttempted", "DeliveryReported", "OutboundEnded"]
        assert [kind for kind in told if kind in wanted] == wanted
    assert started[-1].stop() == 0
