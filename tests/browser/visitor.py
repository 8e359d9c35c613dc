"""A person with a browser: opens pages, and notices what the browser complains of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page

# Breaks in the connection are what these tests are about; the browser reports each as an error of its own.
_EXPECTED = ("Failed to load resource", "WebSocket connection to", "net::ERR_")


class Visitor:
    """Pages of one fresh browser profile, and the complaints about them."""

    def __init__(self, browser: Browser, base_url: str) -> None:
        self._browser = browser
        self._base_url = base_url
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    async def open(self, path: str, **options: Any) -> Page:
        """A page in a profile of its own; `options` go to the profile (`viewport`, `color_scheme`, `locale`)."""
        context = await self._browser.new_context(
            **({"base_url": self._base_url, "locale": "en-GB", "viewport": {"width": 1280, "height": 800}} | options)
        )
        context.set_default_timeout(8000)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)
        await page.goto(path)
        return page

    async def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"a script opened a dialog: {dialog.message}")
        await dialog.dismiss()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in _EXPECTED):
            self.complaints.append(f"{message.type}: {message.text}")

    def assert_clean(self) -> None:
        assert self.complaints == []

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
