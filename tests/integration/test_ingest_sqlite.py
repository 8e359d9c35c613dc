"""Mail, chat and webhook on the real SQLite log: what was acknowledged is still there after a restart."""

from __future__ import annotations

import json
from pathlib import Path

import aiosmtplib
import httpx
from pydantic import SecretStr

from services.ingest_chat.app import build_chat
from services.ingest_chat.settings import ChatSettings
from services.ingest_email.app import build_email
from services.ingest_email.settings import EmailSettings
from services.ingest_social.app import build_social
from services.ingest_social.settings import SocialSettings, TelegramAccount
from shared.clock import SystemClock
from shared.contracts.commands import ReceiveMessage
from shared.intake import Intake
from shared.language import language_detector
from shared.log.codec import decode_input
from shared.log.port import Positions
from shared.log.sqlite import SqliteLog
from shared.views.memory import MemoryViews
from tests.unit.ingest_support.world import WORKSPACE, running, served

MAIL = b"From: jane@example.org\r\nMessage-ID: <1@x>\r\nSubject: Order\r\n\r\nWhere is my order? It is a week late.\r\n"
UPDATE = {
    "message_id": 1,
    "from": {"id": 42},
    "chat": {"id": 42},
    "text": "Pesanan saya belum sampai juga sejak kemarin",
}


async def test_three_roads_in_and_a_restart(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    await log.open()
    clock = SystemClock()
    ports = {"inputs": log.inputs, "content": log.content, "clock": clock, "partition_of": lambda workspace: 0}
    intake = Intake(**ports, detector=language_detector())  # type: ignore[arg-type]
    rest = {**ports, "intake": intake, "views": MemoryViews()}
    chat = build_chat(ChatSettings(accounts={"web": WORKSPACE}, session_secret=SecretStr("s" * 32)), **rest)  # type: ignore[arg-type]
    mail = build_email(
        EmailSettings(accounts={"support@acme.example": WORKSPACE}, port=0, signing_secret=SecretStr("s" * 32)),
        **rest,  # type: ignore[arg-type]
    )
    bot = TelegramAccount(workspace=WORKSPACE, webhook_secret=SecretStr("secret"))
    social = build_social(SocialSettings(telegram={"bot": bot}, data_dir=tmp_path), **rest)  # type: ignore[arg-type]
    port = await mail.listen()
    async with served(chat.routes, social.routes) as address, running(chat), running(mail), running(social):
        await aiosmtplib.send(
            MAIL,
            sender="jane@example.org",
            recipients=["support@acme.example"],
            hostname="127.0.0.1",
            port=port,
            start_tls=False,
        )
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            token = (await client.post("/chat/web/sessions", json={})).json()["token"]
            said = await client.post(
                "/chat/web/messages",
                json={"client_message_id": "m1", "text": "¿Dónde está mi pedido?"},
                headers={"Authorization": f"Bearer {token}"},
            )
            told = await client.post(
                "/webhooks/telegram/bot",
                json={"update_id": 1, "message": UPDATE},
                headers={"X-Telegram-Bot-Api-Secret-Token": "secret"},
            )
    assert (said.status_code, told.status_code) == (200, 200)
    await log.close()

    again = SqliteLog(tmp_path)
    await again.open()
    try:
        records = await again.inputs.read(0, Positions(0, 0), limit=100, wait_s=0)
        commands = [decode_input(record.data).command for record in records]
        received = [command for command in commands if isinstance(command, ReceiveMessage)]
        assert [(one.channel, one.candidates[0].language) for one in received] == [
            ("email", "en"),
            ("chat", "es"),
            ("telegram", "id"),
        ]
        texts = [json.loads(await again.content.get(WORKSPACE, one.content_ref) or b"{}")["text"] for one in received]
        assert texts[1] == "¿Dónde está mi pedido?"
    finally:
        await again.close()
