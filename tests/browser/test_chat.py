"""The customer's page against the stand-in: writing, waiting, being answered, and bad networks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.browser.standin import Standin, rfc3339
from tests.browser.visitor import Visitor
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_customer_writes_waits_is_answered_and_is_done(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await chat.get_by_label("Your name (optional)").fill("Guest")
    await chat.locator("#text").fill("Halo, saldo saya belum masuk.")
    await chat.keyboard.press("Enter")
    await expect(chat.locator("#where-title")).to_have_text("You are in the queue for Payments")
    await expect(chat.locator(".message.own")).to_contain_text("Received")
    await desk.get_by_role("button", name="Accept").click()
    await expect(desk.locator("#conversation h1")).to_have_text("Guest")
    await expect(chat.locator("#where-title")).to_have_text("Ana is with you")
    await desk.locator("#reply").fill("Halo Guest, saya bantu.")
    await desk.keyboard.press("Enter")
    await expect(chat.locator(".message:not(.own) .bubble")).to_have_text("Halo Guest, saya bantu.")
    await chat.locator("#text").fill("Terima kasih")
    await chat.get_by_role("button", name="Send").click()
    await expect(desk.locator(".message .text").last).to_have_text("Terima kasih")
    await desk.get_by_role("button", name="Complete").click()
    await desk.locator("dialog").get_by_role("button", name="Complete").click()
    await expect(chat.locator("#where-title")).to_have_text("This conversation has ended")
    assert standin.chat.hellos[0] == {"token": None, "last_seq": 0, "name": "Guest", "language": "en-GB"}


async def test_resumes_behind_the_last_line_after_the_socket_drops(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await _say(chat, "first")
    await expect(chat.locator(".message.own")).to_contain_text("Received")
    await standin.chat.drop_sockets()
    await eventually(lambda: len(standin.chat.hellos) == 2)
    again = standin.chat.hellos[1]
    assert (again["last_seq"], again["token"] in standin.chat.sessions) == (1, True)
    await _say(chat, "second")
    await expect(chat.locator(".message.own .bubble")).to_have_text(["first", "second"])
    assert len(standin.contacts) == 1


async def test_a_lost_acknowledgement_is_sent_again_under_the_same_id_and_shown_once(
    standin: Standin, visitor: Visitor
) -> None:
    standin.chat.swallow_acks = 1
    chat = await visitor.open("/chat/")
    await _say(chat, "exactly once")
    await eventually(lambda: len(standin.chat.hellos) == 2)
    await expect(chat.locator(".message.own")).to_have_count(1)
    await expect(chat.locator(".message.own.unsent")).to_have_count(0)
    assert len({said["client_message_id"] for said in standin.chat.said}) == 1
    contact = next(iter(standin.contacts))
    assert [line["text"] for line in standin.transcripts[contact]] == ["exactly once"]


async def test_what_was_not_sent_outlives_a_reload(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await chat.context.set_offline(True)
    await _say(chat, "written in a tunnel")
    await expect(chat.locator(".message.own.unsent")).to_contain_text("Not sent yet")
    await expect(chat.locator("#link")).to_contain_text("what you write is kept")
    own = await chat.evaluate("JSON.parse(localStorage['switchdesk.chat.web']).unsent[0].client_message_id")
    await chat.context.set_offline(False)
    await chat.reload()
    await expect(chat.locator(".message.own")).to_contain_text("Received")
    # Perhaps sent before the reload as well, but never as another message.
    assert {said["client_message_id"] for said in standin.chat.said} == {own}


async def test_a_reload_brings_the_conversation_back(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await _say(chat, "first")
    await expect(chat.locator(".message.own")).to_contain_text("Received")
    await chat.locator("#text").fill("half a thought")
    await chat.reload()
    await expect(chat.locator(".message.own .bubble")).to_have_text(["first"])
    await expect(chat.locator("#text")).to_have_value("half a thought")
    await expect(chat.locator("#where-title")).to_have_text("You are in the queue for Payments")


async def test_plain_http_where_sockets_do_not_get_through(standin: Standin, visitor: Visitor) -> None:
    standin.chat.refuse_sockets = True
    chat = await visitor.open("/chat/")
    await _say(chat, "over plain HTTP")
    await expect(chat.locator(".message.own")).to_contain_text("Received", timeout=15_000)
    contact = next(iter(standin.contacts))
    await standin.assign(contact)
    await standin.chat.reply(contact, {"id": "r-1", "text": "and back", "at": "2026-01-01T00:00:00Z"})
    await expect(chat.locator(".message:not(.own) .bubble")).to_have_text("and back")
    await _say(chat, "twice")
    await expect(chat.locator(".message.own .bubble")).to_have_text(["over plain HTTP", "twice"])
    assert len(standin.chat.said) == 2


async def test_leaving_asks_first_and_starts_anew_afterwards(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await _say(chat, "never mind")
    await chat.get_by_role("button", name="Leave chat").click()
    await chat.get_by_role("button", name="Stay").click()
    await expect(chat.locator("#where-title")).to_contain_text("in the queue")
    await chat.get_by_role("button", name="Leave chat").click()
    await chat.locator("dialog").get_by_role("button", name="Leave chat").click()
    await expect(chat.locator("#where-title")).to_have_text("You left the chat")
    session = next(iter(standin.chat.sessions.values()))
    await eventually(lambda: session["state"] == {"state": "abandoned"})
    await chat.get_by_role("button", name="New conversation").click()
    await expect(chat.get_by_text("Hello. How can we help?")).to_be_visible()
    await _say(chat, "one more thing")
    await eventually(lambda: len(standin.chat.sessions) == 2)


async def test_says_how_long_the_wait_nearly_always_is_until_it_has_taken_longer(
    standin: Standin, visitor: Visitor
) -> None:
    chat = await visitor.open("/chat/")
    await _say(chat, "hello")
    await expect(chat.locator("#where")).to_be_visible()
    contact = next(iter(standin.contacts))
    told = {"usually_under_s": 300, "nearly_always_under_s": 600, "since": rfc3339(time.time())}
    await standin.chat.tell(contact, {"state": "waiting", "queue": "payments", "wait_range": told})
    await expect(chat.locator("#where-more")).to_have_text(
        "Usually answered within 5 minutes, nearly always within 10 minutes."
    )
    late = {**told, "since": rfc3339(time.time() - 700)}
    await standin.chat.tell(contact, {"state": "waiting", "queue": "payments", "wait_range": late})
    await expect(chat.locator("#where-more")).to_have_text(
        "If your connection breaks, we keep your place for a short while."
    )


async def test_says_when_the_answer_comes_by_another_channel(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await _say(chat, "hello")
    await expect(chat.locator("#where")).to_be_visible()
    contact = next(iter(standin.contacts))
    await standin.chat.tell(contact, {"state": "waiting", "queue": "payments", "redirected_to": "email"})
    await expect(chat.locator("#notices")).to_contain_text("We will answer you by E-mail.")
    await expect(chat.get_by_role("link", name="Are all services working?")).to_have_attribute(
        "href", "/status/?workspace=wallet"
    )


async def test_speaks_the_customers_language(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/", locale="id-ID")
    await expect(chat.locator("h1")).to_have_text("Obrolan dengan kami")
    assert await chat.evaluate("document.documentElement.lang") == "id"
    await chat.locator("#language").select_option("ar")
    assert await chat.evaluate("document.documentElement.dir") == "rtl"
    missing = await chat.evaluate(
        """async () => {
          const { WORDS } = await import("/chat/words.js");
          const holes = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join();
          return Object.entries(WORDS).flatMap(([code, words]) => Object.entries(WORDS.en)
            .filter(([key, english]) => typeof words[key] !== "string" || holes(words[key]) !== holes(english))
            .map(([key]) => `${code}.${key}`));
        }"""
    )
    assert missing == []


async def _say(chat: Page, text: str) -> None:
    await chat.locator("#text").fill(text)
    await chat.keyboard.press("Enter")
