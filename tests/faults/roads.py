"""Customers who come by chat and by mail: like a page and a mail server, they say the same again under the same id
until they are told that it is kept, or that it never will be.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiosmtplib
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.caller import Stop
from tests.faults.customers import LANGUAGES, TEXTS, Pace
from tests.faults.history import History, Operation, Outcome, Trouble
from tests.faults.patience import ANSWER_S

UNFIT: Final = 0.05
"""How often something is sent that is refused for good."""
STAYS: Final = 0.5
"""How often a customer waits for an answer for a while, instead of leaving at once."""
LONGEST_SAY: Final = 4_000
"""Characters; a page may not say more."""
_CONNECT_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Roads:
    """Where pages connect to and mail is delivered, and the account of each."""

    chat: str
    page: str
    smtp: int
    mailbox: str


@dataclass(slots=True)
class _Tried:
    """One intention so far."""

    kind: str
    who: str
    text: str
    start: float
    unfit: bool
    statuses: list[int] = field(default_factory=list)
    slowest: float = 0.0

    def done(self, key: str, outcome: Outcome, now: float) -> Operation:
        return Operation(
            kind=self.kind,
            who=self.who,
            key=key,
            about=key,
            start=self.start,
            end=now,
            outcome=outcome,
            status=self.statuses[-1] if self.statuses else 0,
            text=self.text,
            attempts=len(self.statuses),
            before=tuple(self.statuses[:-1]),
            slowest=self.slowest,
            unfit=self.unfit,
        )


class ChatCustomer:
    """One after the other comes to the page, says something, sometimes more, and goes. A line that breaks is taken up
    with the token of the conversation."""

    def __init__(
        self, number: int, roads: Roads, history: History, stop: Stop, dice: random.Random, pace: Pace
    ) -> None:
        self._who = f"chat-{number}"
        self._roads = roads
        self._history = history
        self._stop = stop
        self._dice = dice
        self._pace = pace
        self._page: ClientConnection | None = None
        self._token: str | None = None
        self._session = ""

    async def run(self) -> None:
        """Until it is time to stop."""
        persons = 0
        try:
            while not self._stop.soon.is_set():
                await self._pace.wait(self._dice)
                persons += 1
                await self._be(persons)
        finally:
            await self._hang_up()

    async def _be(self, person: int) -> None:
        self._token, self._session = None, ""
        for line in range(1, self._dice.choice((1, 1, 2, 3)) + 1):
            if self._stop.soon.is_set():
                return
            await self._say(f"{person}.{line}", unfit=self._dice.random() < UNFIT)
            await asyncio.sleep(self._dice.uniform(0.0, 0.5))
        if self._dice.random() < STAYS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._dice.uniform(1, 5)):
                    await self._stop.soon.wait()
        elif self._page is not None:
            with contextlib.suppress(WebSocketException, OSError):
                await self._page.send(_frame("leave", {}))
        await self._hang_up()

    async def _say(self, id: str, *, unfit: bool) -> None:
        history, dice = self._history, self._dice
        text = f"{TEXTS[dice.choice(LANGUAGES)]} ({self._who} {id})"
        if unfit:
            text = text.ljust(LONGEST_SAY + 1, ".")
        tried = _Tried("chat", self._who, text, history.now, unfit)
        outcome = Outcome.UNKNOWN
        while outcome is Outcome.UNKNOWN and not self._stop.now.is_set():
            asked = history.now
            try:
                async with asyncio.timeout(ANSWER_S):
                    page = self._page or await self._come_back()
                    await page.send(_frame("say", {"client_message_id": id, "text": text}))
                    status, outcome = await _told(page, id)
                tried.slowest = max(tried.slowest, history.now - asked)
            except (WebSocketException, OSError, TimeoutError):
                status = 0
                await self._hang_up()
            tried.statuses.append(status)
            if outcome is Outcome.UNKNOWN:
                history.attempts_failed += 1
                await asyncio.sleep(dice.uniform(0.05, 0.5))
        if self._session:
            history.add(tried.done(f"chat:{self._roads.page}:message:{self._session}:{id}", outcome, history.now))

    async def _come_back(self) -> ClientConnection:
        page = await connect(self._roads.chat, open_timeout=_CONNECT_S, close_timeout=1)
        self._page = page
        await page.send(_frame("hello", {"token": self._token} if self._token else {}))
        while (frame := json.loads(await page.recv()))["type"] != "welcome":
            if frame["type"] == "error":
                raise OSError(frame["data"]["code"])
        told = frame["data"]
        if self._session and told["session"] != self._session:
            words = f"{self._session} became {told['session']}"
            self._history.add(Trouble(what="a conversation was not taken up", detail=words, at=self._history.now))
        self._token, self._session = told["token"], told["session"]
        return page

    async def _hang_up(self) -> None:
        page, self._page = self._page, None
        if page is not None:
            with contextlib.suppress(WebSocketException, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await page.close()


async def _told(page: ClientConnection, id: str) -> tuple[int, Outcome]:
    """What becomes of a message, as a status of HTTP. The page may be told other things meanwhile."""
    while True:
        frame = json.loads(await page.recv())
        data: Mapping[str, Any] = frame.get("data", {})
        if frame["type"] == "ack" and data["client_message_id"] == id:
            return 200, Outcome.OK
        if frame["type"] == "error":
            match data["code"]:
                case "bad_frame":
                    return 400, Outcome.REFUSED
                case "rate_limited":
                    return 429, Outcome.UNKNOWN
                case "unavailable":
                    return 503, Outcome.UNKNOWN
                case _:
                    return 404, Outcome.REFUSED


def _frame(type: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": type, "data": data})


async def mail(number: int, roads: Roads, history: History, stop: Stop, dice: random.Random, pace: Pace) -> None:
    """A mail server that keeps each mail until it is taken (250) or refused for good (5xx)."""
    who, said = f"mail-{number}", 0
    while not stop.soon.is_set():
        await pace.wait(dice)
        said += 1
        id = f"{number}-{said}@customer.example"
        text = f"{TEXTS[dice.choice(LANGUAGES)]} ({who} {said})"
        # What the mail itself says of its reader counts for nothing; the envelope does.
        unfit = dice.random() < UNFIT
        to = f"nobody-{said}@shop.example" if unfit else roads.mailbox
        raw = (
            f"From: c-{id}\r\nTo: {roads.mailbox}\r\nMessage-ID: <{id}>\r\nSubject: My money\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        )
        tried = _Tried("mail", who, text, history.now, unfit)
        outcome = Outcome.UNKNOWN
        while outcome is Outcome.UNKNOWN and not stop.now.is_set():
            asked = history.now
            code = await _deliver(roads.smtp, f"c-{id}", to, raw)
            tried.statuses.append(code)
            if code:
                tried.slowest = max(tried.slowest, history.now - asked)
            if code == 250:
                outcome = Outcome.OK
            elif code >= 500:
                outcome = Outcome.REFUSED
            else:
                history.attempts_failed += 1
                await asyncio.sleep(dice.uniform(0.05, 0.5))
        history.add(tried.done(f"email:{roads.mailbox}:message:{id}", outcome, history.now))


async def _deliver(port: int, sender: str, to: str, raw: str) -> int:
    """The code of the answer to one attempt; 0 if none came."""
    smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=ANSWER_S)
    try:
        async with asyncio.timeout(ANSWER_S):
            await smtp.connect()
            await smtp.sendmail(sender, [to], raw)
            return 250
    except aiosmtplib.SMTPRecipientsRefused as error:
        return error.recipients[0].code
    except aiosmtplib.SMTPResponseException as error:
        return error.code
    except (aiosmtplib.SMTPException, OSError, TimeoutError):
        return 0
    finally:
        smtp.close()
