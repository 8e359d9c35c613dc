"""A real Chromium, and the stand-in that the pages talk to."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.browser.standin import Standin, serving
from tests.browser.visitor import Visitor
from tests.need import need

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = "apt-get install -y --no-install-recommends chromium fonts-noto-core"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """One Chromium for all tests; every visitor gets a fresh profile of their own."""
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is missing; make test installs it")
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    need(executable, "Chromium is not installed", f"as root: {CHROMIUM}")
    async with playwright.async_playwright() as driver:
        chromium = await driver.chromium.launch(executable_path=executable, args=FLAGS, headless=True)
        try:
            yield chromium
        finally:
            await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def standin() -> AsyncIterator[Standin]:
    async with serving(Standin()) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Any, standin: Standin) -> AsyncIterator[Visitor]:
    """Somebody with a fresh browser profile. Fails the test afterwards if the page broke its policy or threw."""
    made = Visitor(browser, standin.base_url)
    try:
        yield made
        made.assert_clean()
    finally:
        await made.close()
