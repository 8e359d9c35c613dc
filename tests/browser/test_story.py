"""The README's story in a real browser against the real process: three roads in, desks, a crash in the middle."""

from __future__ import annotations

import asyncio
import json
import signal
import smtplib
import urllib.request
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.process import Embedded
from tests.browser.visitor import Visitor

if TYPE_CHECKING:
    from playwright.async_api import Page

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

AGENT = "desk-jakarta-1"
QUESTION = "Halo, saldo saya belum masuk sejak kemarin padahal sudah transfer. Tolong dibantu ya."


@pytest_asyncio.fixture(loop_scope="session")
async def embedded(tmp_path: Path) -> AsyncIterator[Embedded]:
    process = Embedded(tmp_path)
    try:
        await process.start()
        yield process
    finally:
        await process.end()


@pytest_asyncio.fixture(loop_scope="session")
async def people(browser: Any, embedded: Embedded) -> AsyncIterator[Visitor]:
    made = Visitor(browser, embedded.facts["base_url"])
    try:
        yield made
        made.assert_clean()
    finally:
        await made.close()


async def test_a_message_reaches_the_right_agent_is_answered_and_completed(embedded: Embedded, people: Visitor) -> None:
    chat = await people.open(f"/chat/?account={embedded.facts['chat_account']}")
    await chat.get_by_label("Your name (optional)").fill("Guest")
    await chat.locator("#text").fill(QUESTION)
    await chat.keyboard.press("Enter")
    await expect(chat.locator("#where-title")).to_contain_text("You are in the queue for")
    await expect(chat.locator(".message.own")).to_contain_text("Received")

    # An agent without the language is available first, and must not get it.
    london = await _desk(people, embedded, "desk-london-2")
    desk = await _desk(people, embedded, AGENT)
    offer = desk.locator(".offer")
    await expect(offer).to_contain_text("Indonesian")
    await expect(offer.locator(".preview")).to_contain_text("saldo saya belum masuk")
    await expect(london.locator(".offer")).to_have_count(0)

    await desk.locator("body").press("Escape")
    await desk.wait_for_timeout(450)
    await desk.keyboard.press("a")
    await expect(desk.locator(".message .text")).to_have_text([QUESTION])
    await expect(desk.locator("#conversation h1")).to_have_text("Guest")
    await expect(chat.locator("#where-title")).to_contain_text("with you")
    await desk.locator("#reply").fill("Halo Guest, saya cek dulu transfernya.")
    await desk.keyboard.press("Enter")
    await expect(chat.locator(".message:not(.own) .bubble")).to_have_text("Halo Guest, saya cek dulu transfernya.")
    await expect(desk.locator(".message.own")).to_contain_text("Delivered")

    # The process dies at once and comes back; both sides go on where they were.
    await desk.locator("#reply").fill("draft")
    await embedded.end(signal.SIGKILL)
    await chat.locator("#text").fill("Terima kasih")
    await chat.keyboard.press("Enter")
    await expect(chat.locator(".message.own.unsent .bubble")).to_have_text("Terima kasih")
    await expect(desk.locator("#connection")).to_have_text("Reconnecting")
    await embedded.start()
    await expect(desk.locator("#connection")).to_have_text("Live", timeout=30_000)
    await expect(chat.locator(".message.own.unsent")).to_have_count(0, timeout=30_000)
    await expect(desk.locator(".message .text")).to_have_text(
        [QUESTION, "Halo Guest, saya cek dulu transfernya.", "Terima kasih"], timeout=30_000
    )
    await expect(desk.locator("#reply")).to_have_value("draft")

    await desk.locator("#reply").fill("")
    await desk.get_by_role("button", name="Complete").click()
    await desk.locator("dialog").get_by_role("button", name="Complete").click()
    await expect(chat.locator("#where-title")).to_have_text("This conversation has ended")
    await expect(desk.locator("#assignments li")).to_have_count(0)
    done = desk.get_by_role("button", name="I am done")
    if await done.is_visible():
        await done.click()
        await expect(desk.locator("#wrap-up")).to_be_hidden()


async def test_mail_and_webhook_take_the_same_road(embedded: Embedded, people: Visitor) -> None:
    desk = await _desk(people, embedded, "desk-london-1")
    smtp = embedded.facts["smtp"]
    await asyncio.to_thread(_mail, smtp["host"], smtp["port"], smtp["address"])
    await desk.get_by_role("button", name="Accept").click()
    await expect(desk.locator(".message .subject")).to_have_text("Card blocked")
    await desk.locator("#reply").fill("We have unblocked it.")
    await desk.keyboard.press("Enter")
    await expect(desk.locator(".message.own .text")).to_have_text("We have unblocked it.")

    jakarta = await _desk(people, embedded, AGENT)
    await asyncio.to_thread(_telegram, embedded.facts, QUESTION)
    await jakarta.get_by_role("button", name="Accept").click()
    await expect(jakarta.locator(".message .text")).to_have_text([QUESTION])

    status = await people.open(f"/status/?workspace={embedded.facts['workspace']}")
    await expect(status.locator("h1")).to_have_text("Everything works")
    await expect(status.locator("#queues")).to_contain_text("Payments")


async def test_a_colleague_is_asked_and_takes_over(embedded: Embedded, people: Visitor) -> None:
    london = await _desk(people, embedded, "desk-london-1")
    smtp = embedded.facts["smtp"]
    await asyncio.to_thread(_mail, smtp["host"], smtp["port"], smtp["address"])
    await london.get_by_role("button", name="Accept").click()
    await expect(london.locator(".message .subject")).to_have_text("Card blocked")

    cairo = await _desk(people, embedded, "desk-cairo-1")
    await london.get_by_role("button", name="Ask").click()
    await london.get_by_role("textbox", name="Colleague").fill("desk-cairo-1")
    await london.get_by_label("What do you want to know?").fill("Did the bank block it, or did we?")
    await london.get_by_role("dialog").get_by_role("button", name="Ask").click()
    await cairo.locator("#consults > li").get_by_role("button").click()
    await expect(cairo.locator(".colleague.asked")).to_contain_text("Did the bank block it, or did we?")
    await expect(cairo.locator(".message .subject")).to_have_text("Card blocked")
    await expect(cairo.locator("#reply")).to_be_hidden()

    await london.get_by_role("button", name="Hand over to desk-cairo-1").click()
    await london.get_by_role("dialog").get_by_role("button", name="Hand over").click()
    await expect(london.locator("#assignments > li")).to_have_count(0)
    await cairo.locator("#reply").fill("It was us; it works again.")
    await cairo.keyboard.press("Enter")
    await expect(cairo.locator(".message.own .text")).to_have_text("It was us; it works again.")
    await expect(cairo.locator("#consults-area")).to_be_hidden()


async def _desk(people: Visitor, embedded: Embedded, agent: str) -> Page:
    desk = await people.open(f"/desk/#token={embedded.facts['agents'][agent]}")
    await expect(desk.locator("#connection")).to_have_text("Live")
    await desk.get_by_role("radio", name="Available").check()
    await expect(desk.get_by_role("radio", name="Available")).to_be_checked()
    return desk


def _mail(host: str, port: int, to: str) -> None:
    mail = EmailMessage()
    mail["From"] = "Customer <customer@example.net>"
    mail["To"] = to
    mail["Subject"] = "Card blocked"
    mail["Message-ID"] = "<story-1@example.net>"
    mail.set_content("My card was blocked this morning while I was travelling. What can I do to use it again?")
    with smtplib.SMTP(host, port, timeout=10) as smtp:
        smtp.send_message(mail)


def _telegram(facts: dict[str, Any], text: str) -> None:
    channel = next(name for name in facts["webhook_secrets"] if name.startswith("telegram:"))
    update = {
        "update_id": 7001,
        "message": {
            "message_id": 11,
            "date": 1767225600,
            "chat": {"id": 4712, "type": "private"},
            "from": {"id": 4712, "is_bot": False, "first_name": "Budi", "language_code": "id"},
            "text": text,
        },
    }
    request = urllib.request.Request(
        f"{facts['base_url']}/webhooks/telegram/{channel.partition(':')[2]}",
        data=json.dumps(update).encode(),
        headers={
            "Content-Type": "application/json",
            "X-Telegram-Bot-Api-Secret-Token": facts["webhook_secrets"][channel],
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
