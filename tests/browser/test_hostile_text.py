"""What customers write is text: on the desk, on their own page, in names, subjects and file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.standin import Standin
from tests.browser.visitor import Visitor

if TYPE_CHECKING:
    from playwright.async_api import Page

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CORPUS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><iframe srcdoc="<script>parent.alert(1)</script>"></iframe>',
    "<a href=javascript:alert(1)>click</a>",
    "javascript:alert(1)",
    "<style>@import 'javascript:alert(1)';*{display:none}</style>",
    '<form action="//evil.example"><input name=token autofocus onfocus=alert(1)></form>',
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//evil.example/>",
    "<details open ontoggle=alert(1)>x</details>",
    "<template><script>alert(1)</script></template>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)}",
    "&lt;img src=x onerror=alert(1)&gt; &#60;b&#62;",
    "__proto__",
    "\u202eevil\u2066 text\u2069 \ufeff\u0000end",
    "Z̸̢̛͔a̵̧͝l̶̰̓g̶̨͑o̶̡͝ " * 8,
    "ﷺ" * 60 + "W" * 400,
)
SHOWN = [text.replace("\u0000", "") for text in CORPUS]


async def test_the_desk_shows_text_as_text(standin: Standin, visitor: Visitor) -> None:
    contacts = []
    for text in SHOWN:
        contact = await standin.contact(text, name=text, queue=text[:60], account=text[:60], skills={text[:20]: 3})
        standin.transcripts[contact][0] |= {"subject": text, "attachments": [{"name": text, "mime": "image/png"}]}
        contacts.append(contact)
    await standin.offer(contacts[0])
    for contact in contacts:
        if contact != contacts[0]:
            await standin.assign(contact)
    desk = await visitor.open(f"/desk/#token={standin.token}")
    await expect(desk.locator(".offer .preview")).to_have_text(SHOWN[0])
    for contact, text in list(zip(contacts, SHOWN, strict=True))[1:]:
        await desk.locator(f'[data-contact="{contact}"] button').click()
        await expect(desk.locator("#conversation h1")).to_have_text(text)
        shown = await desk.locator(".message .text").all_text_contents()
        assert shown == [text]
    await _nothing_but_ours(desk)


async def test_the_customers_page_shows_text_as_text(standin: Standin, visitor: Visitor) -> None:
    chat = await visitor.open("/chat/")
    await chat.locator("#name").fill("<b onmouseover=alert(1)>Guest</b>")
    await chat.locator("#text").fill(CORPUS[1])
    await chat.keyboard.press("Enter")
    await expect(chat.locator(".message.own")).to_contain_text("Received")
    contact = next(iter(standin.contacts))
    for number, text in enumerate(SHOWN):
        await standin.chat.reply(contact, {"id": f"r-{number}", "text": text, "at": "2026-01-01T00:00:00Z"})
    await standin.chat.tell(contact, {"state": "assigned", "agent_name": CORPUS[2], "redirected_to": CORPUS[1]})
    await expect(chat.locator(".message:not(.own)")).to_have_count(len(SHOWN))
    assert await chat.locator(".message:not(.own) .bubble").all_text_contents() == SHOWN
    await expect(chat.locator("#where-title")).to_contain_text(CORPUS[2])
    await _nothing_but_ours(chat)


async def test_the_status_page_shows_text_as_text_and_no_foreign_schemes(standin: Standin, visitor: Visitor) -> None:
    standin.status["notices"] = [CORPUS[1], {"text": CORPUS[2]}]
    standin.status["queues"].append({"queue": CORPUS[0], "wait_ranges": {}})
    standin.status["links"] |= {
        "evil": "javascript:alert(1)",
        "elsewhere": "//evil.example",
        "help": "https://help.example/",
    }
    status = await visitor.open("/status/?workspace=wallet")
    await expect(status.locator("#notices li")).to_have_text([CORPUS[1], CORPUS[2]])
    links = await status.locator("#links a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
    assert links == ["/chat/", "https://help.example/"]
    await _nothing_but_ours(status)


async def _nothing_but_ours(page: Page) -> None:
    """No element that only a customer's text could have made; `visitor` fails on dialogs and violations."""
    foreign = "#messages :is(a, img, iframe, form, style, base, meta, template), .messages a, [onerror], [onload]"
    assert await page.locator(foreign).count() == 0
    assert await page.evaluate("document.querySelectorAll('script').length") == 1
