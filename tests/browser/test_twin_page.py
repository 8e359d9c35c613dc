"""The twin's page as a manager sees it: in a window and on a phone, light and dark, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.router.twin.measure import measure
from services.router.twin.report_html import as_html
from tests.unit.twin.days import agent, arrival, played

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """A page about a small day under three policies."""
    arrivals = [
        arrival(number * 25, 80, patience_s=90, language="fr" if number % 4 == 0 else "en") for number in range(60)
    ]
    agents = [agent("ana", capacity=2.0), agent("bea", languages={"en": 0.7, "fr": 1.0})]
    results = {
        name: {0: measure(played(arrivals, agents, name))} for name in ("fifo_longest_idle", "bullseye", "round_robin")
    }
    path = tmp_path / "page.html"
    path.write_text(as_html(results, "A small day", begins_s=8 * 3600, note="What if: nothing."))
    return path


@pytest_asyncio.fixture(loop_scope="session")
async def opened(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The page in a fresh profile, in the colours that the test asks for; nothing but the file may be loaded."""
    context = await browser.new_context(color_scheme=request.param, viewport={"width": 900, "height": 900})
    loaded: list[str] = []
    context.on("request", lambda each: loaded.append(each.url))
    page = await context.new_page()
    await page.goto(page_file.as_uri())
    yield page
    await context.close()
    assert loaded == [page_file.as_uri()]


@pytest.mark.parametrize("opened", ["light"], indirect=True)
async def test_nothing_is_wider_than_a_window_or_a_phone(opened: Any) -> None:
    for width in (900, 360):
        await opened.set_viewport_size({"width": width, "height": 800})
        assert await opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("opened", ["light"], indirect=True)
async def test_every_chart_is_drawn_and_told_to_who_does_not_see_it(opened: Any) -> None:
    charts = opened.get_by_role("img")
    assert await charts.count() == 4 + 3 + 1
    for number in range(await charts.count()):
        box = await charts.nth(number).bounding_box()
        assert box["width"] > 200
        assert box["height"] > 60
    assert await opened.get_by_role("img", name="Answered in time, by channel").is_visible()


@pytest.mark.parametrize("opened", ["light", "dark"], indirect=True)
async def test_words_stand_out_from_their_ground(opened: Any) -> None:
    """At least seven to one for the text, as WCAG's strictest level asks, and four and a half for what is soft."""
    ratio = """selector => {
        const light = colour => {
            const [r, g, b] = colour.match(/\\d+/g).map(Number).map(v => {
                v /= 255;
                return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const style = getComputedStyle(document.querySelector(selector));
        const ink = selector.includes('text') ? style.fill : style.color;
        const both = [light(ink), light(getComputedStyle(document.body).backgroundColor)];
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    }"""
    assert await opened.evaluate(ratio, "h1") >= 7
    assert await opened.evaluate(ratio, ".soft") >= 4.5
    assert await opened.evaluate(ratio, "text.value") >= 4.5
