"""Asking a colleague, being asked, handing over, and going on by another channel, at the agent's desk."""

from __future__ import annotations

import pytest

from tests.browser.standin import Standin
from tests.browser.visitor import Visitor
from tests.eventually import eventually

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TEXT = "Halo, saldo saya belum masuk."


async def test_the_holder_asks_a_colleague_and_ends_it(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await desk.get_by_role("button", name="Ask").click()
    await desk.get_by_role("textbox", name="Colleague").fill("ben")
    await desk.get_by_label("What do you want to know?").fill("Is this one for disputes?")
    await desk.get_by_role("dialog").get_by_role("button", name="Ask").click()

    await expect(desk.locator(".colleague")).to_contain_text("ben reads along")
    assert standin.calls_to("/consult") == [{"agent": "ben", "note": "Is this one for disputes?"}]
    await expect(desk.locator("#reply")).to_be_visible()

    await desk.get_by_role("button", name="End the consult of ben").click()
    await expect(desk.locator(".colleague")).to_have_count(0)
    assert standin.calls_to("/consult/ben") == [None]


async def test_a_refused_question_is_told(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.assign(contact)
    standin.problems[f"/v1/contacts/{contact}/consult"] = (409, "ben is not there")
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await desk.get_by_role("button", name="Ask").click()
    await desk.get_by_role("textbox", name="Colleague").fill("ben")
    await desk.keyboard.press("Enter")
    await expect(desk.locator("#toasts")).to_contain_text("ben is not there")
    await expect(desk.locator(".colleague")).to_have_count(0)


async def test_the_holder_hands_over_to_whom_they_asked(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.assign(contact)
    standin.assignments[contact]["consulted"] = ["ben", "cy"]
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await expect(desk.locator(".colleague")).to_have_count(2)
    standin.problems[f"/v1/contacts/{contact}/transfer"] = (409, "cy has no room for the contact")
    for name in ("cy", "ben"):
        await desk.get_by_role("button", name=f"Hand over to {name}").click()
        await desk.get_by_role("dialog").get_by_role("button", name="Hand over").click()
        if name == "cy":
            await expect(desk.locator("#toasts")).to_contain_text("cy has no room for the contact")
    await expect(desk.locator("#assignments > li")).to_have_count(0)
    await expect(desk.locator(".ended")).to_have_text("You do not hold this contact any more.")
    assert standin.calls_to("/transfer") == [{"to_agent": "ben"}]


async def test_a_colleague_reads_along_and_leaves(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator("#connection")).to_have_text("Live")
    await expect(desk.locator("#consults-area")).to_be_hidden()

    await standin.ask(contact, owner="ben", note="Is this one for disputes?")
    await expect(desk.locator("#announce")).to_have_text("ben asks you about a contact.")
    await expect(desk).to_have_title("(1) Desk · Switchdesk")
    entry = desk.locator("#consults > li")
    await expect(entry).to_contain_text("ben asks you")
    await entry.get_by_role("button").click()
    await expect(desk.locator(".message .text")).to_have_text([TEXT])
    await expect(desk.locator(".colleague.asked")).to_contain_text("ben asks you: Is this one for disputes?")
    await expect(desk.locator(".ended")).to_have_text("You read along. ben answers the customer.")
    await expect(desk.locator("#reply")).to_be_hidden()
    for name in ("Ask", "Give back", "Complete"):
        await expect(desk.locator("#conversation").get_by_role("button", name=name, exact=True)).to_be_hidden()
    await expect(desk).to_have_title("Desk · Switchdesk")

    await standin.says(contact, "are you there?", name="Ayu")
    await expect(desk.locator(".message .text")).to_have_text([TEXT, "are you there?"])

    await desk.get_by_role("button", name="Leave the consult").click()
    await expect(entry).to_have_count(0)
    await expect(desk.locator(".colleague")).to_have_count(0)
    await expect(desk.locator(".ended")).to_have_text("You do not hold this contact any more.")
    assert standin.calls_to("/consult/ana") == [None]


async def test_a_consult_that_ends_elsewhere_goes_from_the_desk(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.ask(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.locator("#consults > li").get_by_role("button").click()
    await expect(desk.locator(".colleague.asked span")).to_have_text("ben asks you")
    await standin.stop_asking(contact)
    await expect(desk.locator("#consults-area")).to_be_hidden()
    await expect(desk.locator(".ended")).to_have_text("You do not hold this contact any more.")


async def test_whoever_takes_over_answers(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.ask(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.locator("#consults > li").get_by_role("button").click()
    del standin.consults[contact]
    await standin.assign(contact)
    await desk.locator("#reply").fill("It is me now.")
    await desk.keyboard.press("Enter")
    await expect(desk.locator(".message.own .text")).to_have_text(["It is me now."])


async def test_hostile_notes_and_names_are_text(standin: Standin, visitor: Visitor) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.ask(contact, owner="<b>ben</b>", note=hostile)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.locator("#consults > li").get_by_role("button").click()
    await expect(desk.locator(".colleague.asked span")).to_have_text(f"<b>ben</b> asks you: {hostile}")
    await expect(desk.locator("#conversation img[src=x], #conversation b")).to_have_count(0)


async def test_an_agent_goes_on_by_a_channel_that_reaches_the_customer(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.assign(contact)
    standin.assignments[contact]["ways"] = ["email:support@wallet.example"]
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await desk.get_by_role("button", name="Ayu").click()
    await desk.get_by_role("button", name="Go on by E-mail").click()
    await desk.get_by_role("dialog").get_by_role("button", name="Go on by E-mail").click()

    await eventually(lambda: standin.contacts[contact]["channel"] == "email")
    await expect(desk.locator(".talk-who")).to_contain_text("E-mail · support@wallet.example")
    await expect(desk.locator(".channel.email:visible")).to_have_count(2)
    await expect(desk.locator(".talk-head .chip.amber")).to_have_attribute(
        "title", "Its agent went on by another channel"
    )
    await expect(desk.get_by_role("button", name="Go on by E-mail")).to_have_count(0)
    assert standin.calls_to("/transfer") == [{"to_channel": "email", "account": "support@wallet.example"}]


async def test_it_fits_on_a_phone(standin: Standin, visitor: Visitor) -> None:
    contact = await standin.contact(TEXT, name="Ayu")
    await standin.assign(contact)
    standin.assignments[contact] |= {"consulted": ["a.colleague.with.a.long.name"], "ways": ["email:a@b", "telegram:c"]}
    desk = await visitor.open(f"/desk/#token={standin.token}", viewport={"width": 320, "height": 740})
    await desk.get_by_role("button", name="Ayu").click()
    await expect(desk.get_by_role("button", name="Hand over to a.colleague.with.a.long.name")).to_be_visible()
    assert await desk.evaluate("document.documentElement.scrollWidth") <= 320
