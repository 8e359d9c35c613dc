"""Every page: no complaint of the browser, no sideways scrolling on small screens, readable colours."""

from __future__ import annotations

import re

import pytest

from services.router.web import DEFAULT_ROOT
from tests.browser.standin import Standin
from tests.browser.visitor import Visitor

expect = pytest.importorskip("playwright.async_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = ("/", "/desk/", "/chat/", "/status/")
READABLE = [
    *(
        (ink, ground)
        for ink in ("--ink", "--ink-soft", "--ink-faint")
        for ground in ("--paper", "--surface", "--raised")
    ),
    ("--ink-soft", "--sunken"),
    ("--ink-soft", "--hover"),
    ("--accent", "--paper"),
    ("--accent", "--surface"),
    ("--accent", "--amber-soft"),
    ("--on-accent", "--accent"),
    ("--on-accent", "--accent-hover"),
    ("--accent-ink", "--accent-soft"),
    ("--amber", "--amber-soft"),
    ("--amber", "--surface"),
    ("--good", "--good-soft"),
    ("--bad", "--bad-soft"),
    ("--bad", "--paper"),
    ("--bad", "--surface"),
    ("--on-bubble-own", "--bubble-own"),
    ("--ink", "--bubble-other"),
]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), READABLE)
async def test_text_has_the_contrast_of_wcag_aa(ink: str, ground: str, scheme: int) -> None:
    tokens = dict(
        re.findall(
            r"(--[\w-]+): light-dark\((#\w{6}, #\w{6})\);", (DEFAULT_ROOT / "style" / "tokens.css").read_text("utf-8")
        )
    )
    brighter, darker = sorted((_luminance(tokens[name].split(", ")[scheme]) for name in (ink, ground)), reverse=True)
    assert (brighter + 0.05) / (darker + 0.05) >= 4.5


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_scrolls_sideways(standin: Standin, visitor: Visitor, path: str) -> None:
    page = await visitor.open(path)
    await expect(page.locator("h1:visible")).to_have_count(1)
    for width in (320, 360, 768, 1280):
        await page.set_viewport_size({"width": width, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", PAGES)
async def test_every_control_has_a_name_and_every_page_a_heading(standin: Standin, visitor: Visitor, path: str) -> None:
    page = await visitor.open(path)
    await expect(page.locator("h1:visible")).to_have_count(1)
    nameless = await page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, textarea, select")]
          .filter((e) => e.checkVisibility())
          .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    assert await page.evaluate("document.documentElement.lang") != ""


async def test_rings_and_beacons_stand_still_for_those_who_asked(standin: Standin, visitor: Visitor) -> None:
    page = await visitor.open("/", reduced_motion="reduce")
    duration = await page.locator(".wires path").first.evaluate("e => getComputedStyle(e).animationDuration")
    assert float(duration.removesuffix("s")) <= 0.001


async def test_the_status_page_tells_what_is_down_and_what_to_use_instead(standin: Standin, visitor: Visitor) -> None:
    page = await visitor.open("/status/?workspace=wallet")
    await expect(page.locator("h1")).to_have_text("Telegram is not available")
    await expect(page.locator("#channels")).to_contain_text("please use Chat or E-mail")
    await expect(page.locator("#queues")).to_contain_text("Chat: usually under 1 minute, nearly always under 3 minutes")
    await expect(page.locator("#queues")).to_contain_text("E-mail: nearly always under 1.5 hours")


async def test_events_are_read_however_they_are_cut(standin: Standin, visitor: Visitor) -> None:
    page = await visitor.open("/")
    text = (
        "\ufeff: hello\r\nid: 0:1:0\r\nevent: work\r\ndata: {\r\ndata:  \u00fc}\r\n\r\n"
        "data: a\rdata: b\r\rid\nevent: empty\n\nretry: 5\ndata:x\n\ndata: cut off"
    )
    runs = await page.evaluate(
        """async (text) => {
          const { EventParser } = await import("/lib/stream.js");
          const runs = new Set();
          for (let size = 1; size <= text.length; size += 1) {
            const events = [];
            const parser = new EventParser((event) => events.push(event));
            for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
            runs.add(JSON.stringify(events));
          }
          return [...runs].map((run) => JSON.parse(run));
        }""",
        text,
    )
    assert runs == [
        [
            {"event": "work", "data": "{\n ü}", "id": "0:1:0"},
            {"event": "message", "data": "a\nb", "id": "0:1:0"},
            {"event": "message", "data": "x", "id": ""},
        ]
    ]


def _luminance(colour: str) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
