"""The agent's desk against the stand-in: what an agent does in a day, and what goes wrong meanwhile."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.browser.standin import Standin, rfc3339, token_for
from tests.browser.visitor import Visitor
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.async_api import Page

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TEXT = "Halo, saldo saya belum masuk."


async def test_offer_accept_reply_complete_wrap_up(standin: Standin, visitor: Visitor) -> None:
    standin.wrap_up_s = 40
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator("#offers-empty")).to_contain_text("You are available")

    contact = await standin.contact(TEXT)
    await standin.offer(contact)
    offer = desk.locator(".offer")
    await expect(offer).to_contain_text("Payments")
    await expect(offer).to_contain_text("Indonesian")
    await expect(offer.locator(".preview")).to_have_text(TEXT)
    await expect(desk.locator("#announce-offers")).to_contain_text("New offer: Chat, Payments, Indonesian.")
    await expect(desk).to_have_title("(1) Desk · Switchdesk")
    await offer.get_by_role("button", name="Accept").click()

    await expect(offer).to_have_count(0)
    await expect(desk.locator(".message .text")).to_have_text([TEXT])
    await expect(desk.locator("#reply")).to_be_focused()
    await desk.keyboard.type("Saya cek dulu ya.")
    await desk.keyboard.press("Enter")
    reply = desk.locator(".message.own")
    await expect(reply.locator(".text")).to_have_text("Saya cek dulu ya.")
    await expect(reply).to_contain_text("On its way")
    await standin.delivered(contact, "delivered")
    await expect(reply).to_contain_text("Delivered")
    assert standin.calls_to("/messages") == [{"text": "Saya cek dulu ya."}]

    await desk.locator("#conversation").get_by_role("button", name="Complete").click()
    await desk.get_by_label("Wrap-up code (optional)").fill("solved")
    await desk.locator("dialog").get_by_role("button", name="Complete").click()
    await expect(desk.locator("#wrap-up")).to_contain_text("0:")
    await expect(desk.get_by_label("Wrap-up code (optional)")).to_be_focused()
    assert standin.calls_to("/complete") == [{"wrap_up_code": "solved"}]

    await desk.get_by_role("button", name="1 minute more").click()
    await expect(desk.locator("#wrap-up")).to_contain_text("1:")
    await desk.get_by_role("button", name="I am done").click()
    await expect(desk.locator("#wrap-up")).to_be_hidden()
    assert standin.calls_to("/wrap-up") == [{"extend_s": 60}, {"finish": True}]


async def test_drafts_belong_to_their_contact_and_outlive_a_reload(standin: Standin, visitor: Visitor) -> None:
    first = await standin.contact("first", name="Ayu")
    second = await standin.contact("second", name="Budi")
    await standin.assign(first)
    await standin.assign(second)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await desk.locator("#reply").fill("half a thought")
    await desk.get_by_role("button", name="Budi").click()
    await expect(desk.locator("#reply")).to_have_value("")
    await desk.get_by_role("button", name="Ayu").click()
    await expect(desk.locator("#reply")).to_have_value("half a thought")
    await desk.reload()
    await expect(desk.locator("#conversation h1")).to_have_text("Ayu")
    await expect(desk.locator("#reply")).to_have_value("half a thought")


async def test_unread_messages_are_marked_until_read(standin: Standin, visitor: Visitor) -> None:
    first = await standin.contact("first", name="Ayu")
    second = await standin.contact("second", name="Budi")
    await standin.assign(first)
    await standin.assign(second)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    budi = desk.locator(f'[data-contact="{second}"]')
    await standin.says(second, "are you there?", name="Budi")
    await expect(budi.locator(".unread")).to_have_text("2")
    await expect(budi).to_contain_text("are you there?")
    await expect(desk).to_have_title("(1) Desk · Switchdesk")
    await budi.get_by_role("button").click()
    await expect(budi.locator(".unread")).to_be_hidden()
    await standin.says(second, "hello?", name="Budi")
    await expect(desk.locator(".message .text")).to_have_text(["second", "are you there?", "hello?"])
    await expect(budi.locator(".unread")).to_be_hidden()


async def test_keys_accept_and_decline_but_not_while_writing(standin: Standin, visitor: Visitor) -> None:
    held = await standin.contact("held", name="Ayu")
    await standin.assign(held)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await expect(desk.locator("#reply")).to_be_focused()

    declined = await standin.contact("no")
    await standin.offer(declined)
    await expect(desk.locator(".offer")).to_have_count(1)
    await desk.keyboard.type("dada")
    await expect(desk.locator("#reply")).to_have_value("dada")
    assert len(standin.offers) == 1

    await desk.keyboard.press("Escape")
    await _settled(desk)
    await desk.keyboard.press("d")
    await eventually(lambda: not standin.offers)
    assert standin.contacts[declined]["state"] == "waiting"

    for key in ("a", "Enter"):
        accepted = await standin.contact("yes")
        await standin.offer(accepted)
        await expect(desk.locator(".offer")).to_have_count(1)
        await _settled(desk)
        await desk.keyboard.press(key)
        await eventually(partial(standin.assignments.get, accepted))
        await expect(desk.locator("#reply")).to_be_focused()
        await desk.keyboard.press("Escape")

    await desk.keyboard.press("?")
    await expect(desk.get_by_role("dialog", name="Settings")).to_be_visible()
    await desk.keyboard.press("Escape")
    await desk.keyboard.press("j")
    await expect(desk.locator('[aria-current="true"]')).to_have_count(1)


async def test_everything_can_be_reached_by_tab(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.offer(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator(".offer")).to_have_count(1)
    reached = []
    for _ in range(12):
        await desk.keyboard.press("Tab")
        if await desk.evaluate("document.activeElement === document.body"):
            break
        reached.append(
            await desk.evaluate("document.activeElement.textContent.trim() || document.activeElement.ariaLabel")
        )
        outline = await desk.evaluate(
            "(() => { const e = document.activeElement; "
            "const shown = e.matches('input[type=radio]') ? e.nextElementSibling : e; "
            "return getComputedStyle(shown).outlineStyle })()"
        )
        assert outline != "none", f"no visible focus on {reached[-1]!r}"
    assert {"AcceptA", "DeclineD", "Settings and sign-out"} <= set(reached)


async def test_a_refusal_is_shown_in_the_servers_words(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    offer = await standin.offer(contact)
    standin.problems[f"/v1/offers/{offer}/accept"] = (409, "the offer was withdrawn: the customer left")
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Accept").click()
    await expect(desk.locator("#toasts")).to_contain_text("the offer was withdrawn: the customer left")
    await expect(desk.get_by_role("button", name="Accept")).to_be_enabled()


async def test_a_lost_answer_does_not_send_the_reply_twice(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Guest").click()
    standin.lose_answers = 1
    await desk.locator("#reply").fill("once only")
    await desk.keyboard.press("Enter")
    await expect(desk.locator(".message.own")).to_have_count(1)
    await expect(desk.locator(".message.own")).to_contain_text("On its way")
    assert [line["text"] for line in standin.transcripts[contact]] == [TEXT, "once only"]
    assert len(standin.calls_to("/messages")) == 1


async def test_a_refused_reply_is_kept_and_can_be_sent_again(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Guest").click()
    standin.problems[f"/v1/contacts/{contact}/messages"] = (409, "the channel is paused")
    await desk.locator("#reply").fill("worth keeping")
    await desk.keyboard.press("Enter")
    await expect(desk.locator(".message.failed")).to_contain_text("the channel is paused")
    await desk.get_by_role("button", name="Try again").click()
    await expect(desk.locator(".message.failed")).to_have_count(0)
    await expect(desk.locator(".message.own .text")).to_have_text(["worth keeping"])


async def test_a_broken_stream_resumes_where_it_was(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Guest").click()
    await desk.locator("#reply").fill("kept over the break")
    await expect(desk.locator("#connection")).to_have_text("Live")
    seen = standin.seq
    await standin.drop_streams()
    await eventually(lambda: len(standin.stream_ids) >= 2)
    assert standin.stream_ids[-1] == f"0:{seen}:0"
    await standin.says(contact, "after the break")
    await expect(desk.locator(".message .text")).to_have_text([TEXT, "after the break"])
    await expect(desk.locator("#connection")).to_have_text("Live")
    await expect(desk.locator("#reply")).to_have_value("kept over the break")


async def test_polls_where_streams_do_not_get_through(standin: Standin, visitor: Visitor) -> None:
    standin.streams_allowed = False
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator("#connection")).to_have_attribute("data-state", "polling", timeout=15_000)
    contact = await standin.contact(TEXT)
    await standin.offer(contact)
    await expect(desk.locator(".offer")).to_have_count(1)


async def test_presence_and_what_comes_next(standin: Standin, visitor: Visitor) -> None:
    standin.presence = "offline"
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator("#offers-empty")).to_contain_text("Set yourself to Available")
    await desk.get_by_role("radio", name="Available").check()
    await eventually(lambda: standin.presence == "available")
    contact = await standin.contact(TEXT)
    await standin.assign(contact)
    await desk.get_by_label("When you have nothing left to do").select_option("away")
    await eventually(lambda: standin.next_presence == "away")
    await expect(desk.locator("#load")).to_contain_text("1 of 4")
    await desk.get_by_role("radio", name="Away").check()
    await eventually(lambda: standin.presence == "away")


async def test_the_last_choice_of_presence_counts_although_the_one_before_is_not_answered(
    standin: Standin, visitor: Visitor
) -> None:
    await standin.assign(await standin.contact(TEXT))
    desk = await visitor.open(f"/desk/#token={standin.token}")
    afterwards = desk.get_by_label("When you have nothing left to do")
    standin.presence_answers.clear()
    await afterwards.select_option("away")
    await eventually(lambda: standin.next_presence == "away")
    await afterwards.select_option("offline")
    await desk.get_by_role("radio", name="Away").check()
    await desk.get_by_role("radio", name="Available").check()
    await afterwards.select_option("offline")
    assert standin.calls_to("/presence") == [{"presence": "available", "next": "away"}]
    standin.presence_answers.set()
    await eventually(lambda: standin.next_presence == "offline")
    await expect(afterwards).to_have_value("offline")
    assert len(standin.calls_to("/presence")) == 2


async def test_a_choice_of_presence_that_is_refused_does_not_stay_on_the_page(
    standin: Standin, visitor: Visitor
) -> None:
    await standin.assign(await standin.contact(TEXT))
    desk = await visitor.open(f"/desk/#token={standin.token}")
    standin.problems[f"/v1/agents/{standin.agent}/presence"] = (409, "Not now.")
    afterwards = desk.get_by_label("When you have nothing left to do")
    await afterwards.focus()
    await afterwards.select_option("away")
    await expect(desk.get_by_text("Not now.")).to_be_visible()
    await expect(afterwards).to_have_value("")
    assert standin.next_presence is None


async def test_an_offer_counts_down_and_goes_when_withdrawn(standin: Standin, visitor: Visitor) -> None:
    desk = await visitor.open(f"/desk/#token={standin.token}")
    offer = await standin.offer(await standin.contact(TEXT), seconds=7)
    await expect(desk.locator(".offer.urgent .countdown")).to_have_text("5")
    await standin.withdraw(offer)
    await expect(desk.locator(".offer")).to_have_count(0)


async def test_the_token_leaves_the_address_and_stays_in_the_tab(standin: Standin, visitor: Visitor) -> None:
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator("#connection")).to_have_text("Live")
    assert "token" not in desk.url
    assert await desk.evaluate("history.length") == 2  # the empty tab and this page
    await desk.reload()
    await expect(desk.locator("#connection")).to_have_text("Live")
    await desk.get_by_role("button", name="Settings and sign-out").click()
    await desk.get_by_role("button", name="Sign out").click()
    await expect(desk.get_by_role("heading", name="Sign in to your desk")).to_be_visible()
    assert await desk.evaluate("Object.keys(sessionStorage).length") == 0


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("nonsense", "not a sign-in token"),
        (token_for("ana", role="supervisor"), "supervisor"),
        (token_for("ana", ttl_s=-3600), "expired"),
        ("a.b.c", "cannot be read"),
    ],
)
async def test_a_wrong_token_is_explained(standin: Standin, visitor: Visitor, token: str, words: str) -> None:
    desk = await visitor.open("/desk/")
    await desk.locator("#token").fill(token)
    await desk.get_by_role("button", name="Sign in").click()
    await expect(desk.locator("#sign-in-problem")).to_contain_text(words)


async def test_a_refused_token_leads_back_to_the_sign_in(standin: Standin, visitor: Visitor) -> None:
    desk = await visitor.open(f"/desk/#token={token_for('ana', ttl_s=7200)}")
    await expect(desk.locator("#sign-in-problem")).to_contain_text("not valid any more")


async def test_a_mail_shows_its_subject_and_a_moved_contact_its_way(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(
        "My card was blocked.",
        channel="email",
        account="support@wallet.example",
        redirects=[{"from": "chat", "channel": "email"}],
    )
    standin.transcripts[contact][0]["subject"] = "Card blocked"
    await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Guest").click()
    await expect(desk.locator(".message .subject")).to_have_text("Card blocked")
    await expect(desk.locator(".talk-head")).to_contain_text("From Chat")


async def test_works_on_a_phone(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.offer(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}", viewport={"width": 360, "height": 740})
    await desk.get_by_role("button", name="Accept").click()
    await desk.locator("#reply").fill("from my pocket")
    await desk.get_by_role("button", name="Send reply").click()
    await expect(desk.locator(".message.own .text")).to_have_text("from my pocket")
    await desk.get_by_role("button", name="Back to your work").click()
    await expect(desk.locator("#assignments")).to_be_visible()
    await expect(desk.locator("#conversation")).to_be_hidden()


async def test_a_wrong_clock_does_not_lie_about_the_time_left(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT)
    await standin.offer(contact, seconds=600)
    desk = await visitor.open("/desk/")
    await desk.clock.install(time=time.time() + 3600)
    await desk.goto(f"/desk/?clock#token={standin.token}")
    await expect(desk.locator(".offer .countdown")).to_have_text("9min")
    standin.wrap_up = {"until": rfc3339(time.time() + 120), "contact": contact}
    await standin.change()
    await expect(desk.locator("#wrap-up")).to_contain_text("1:5")


async def _settled(desk: Page) -> None:
    """Keys rest for a moment after an offer appears; wait until they count."""
    await desk.wait_for_timeout(450)
