"""Customers and the adapters that speak for them: they write, write again, repeat themselves, leave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.caller import Caller, Stop
from tests.faults.history import History, Operation, Outcome
from tests.faults.patience import PatientClient

LANGUAGES: Final = ("en", "id")
CHANNELS: Final = (("telegram", "bot"), ("messenger", "page"), ("email", "support@shop.example"))
TEXTS: Final = {
    "en": "Where is my money? I sent it yesterday and it has not arrived.",
    "id": "Di mana uang saya? Saya mengirimnya kemarin dan belum sampai.",
}
"""What each message begins with; what follows is its own, so that each can be looked for in a transcript."""
FORGED: Final = 0.06
"""How often an update comes with a secret that is not the provider's: it is refused, and must never be taken."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Where the provider delivers: addresses of ingest, the account, and the secret that its requests carry."""

    bases: Sequence[str]
    account: str
    secret: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How many messages a second all customers together try to write."""

    per_s: float
    customers: int

    async def wait(self, dice: random.Random) -> None:
        """Returns when the next message of one customer is due."""
        await asyncio.sleep(dice.expovariate(self.per_s / self.customers))


async def customer(number: int, caller: Caller, pace: Pace, workspace: str) -> None:
    """Writes to the API as an adapter does; mostly somebody new, sometimes more on the same thread. What is written to
    two workspaces has the same keys and other words."""
    dice, stop = caller.dice, caller.stop
    person, said = 0, 0
    while not stop.soon.is_set():
        await pace.wait(dice)
        said += 1
        if said == 1 or dice.random() < 0.85:
            person += 1
            channel, account = dice.choice(CHANNELS)
            language = dice.choice(LANGUAGES)
        body = _message(number, person, said, channel, account, f"{TEXTS[language]} ({workspace} ", language, dice)
        told = await caller.change(
            "message", body["source_key"], "POST", "/v1/messages", key=body["source_key"], json=body
        )
        if told.outcome is Outcome.OK and dice.random() < 0.04:
            await caller.again(told, "POST", "/v1/messages", json=body)
        if told.told.get("subject") and dice.random() < 0.02:
            contact = told.told["subject"]
            await caller.change("abandon", contact, "POST", f"/v1/contacts/{contact}/abandon")


def _message(
    number: int, person: int, said: int, channel: str, account: str, words: str, language: str, dice: random.Random
) -> dict[str, Any]:
    sender: dict[str, Any] = {"id": f"customer-{number}-{person}@shop.example", "verified": True}
    if dice.random() < 0.7:
        sender["addresses"] = [
            {"channel": kind, "account": name, "address": f"c-{number}-{person}", "verified": True, "consent": True}
            for kind, name in CHANNELS
            if kind != channel
        ]
    return {
        "source_key": f"{channel}:{account}:message:{number}-{person}-{said}",
        "channel": channel,
        "account": account,
        "sender": sender,
        "text": f"{words}{number}-{person}-{said})",
        "language": language,
        "priority": 5 if dice.random() < 0.1 else 0,
    }


async def telegram(number: int, hooks: Webhooks, history: History, stop: Stop, dice: random.Random, pace: Pace) -> None:
    """A provider that delivers updates and repeats each until it gets its 200, as Telegram does."""
    headers = {"X-Telegram-Bot-Api-Secret-Token": hooks.secret}
    said, at = 0, dice.randrange(len(hooks.bases))
    async with PatientClient(f"telegram-{number}", history, headers) as http:
        while not stop.soon.is_set():
            await pace.wait(dice)
            said += 1
            chat = number * 1_000_000 + said
            # What is repeated is the same to the letter.
            update = _update(chat, said, dice)
            forged = dice.random() < FORGED
            given = {"X-Telegram-Bot-Api-Secret-Token": "forged"} if forged else headers
            start, attempts, slowest, status, outcome = history.now, 0, 0.0, 0, Outcome.UNKNOWN
            statuses: list[int] = []
            while outcome is Outcome.UNKNOWN and not stop.now.is_set():
                attempts += 1
                asked = history.now
                path = f"{hooks.bases[at]}/webhooks/telegram/{hooks.account}"
                response = await http.send("POST", path, json=update, headers=given)
                if response is None:
                    status = 0
                else:
                    status = response.status_code
                    slowest = max(slowest, history.now - asked)
                    if status == 200 and response.json()["accepted"] == 1:
                        outcome = Outcome.OK
                    elif status < 500 and status != 429:
                        outcome = Outcome.REFUSED
                statuses.append(status)
                if outcome is Outcome.UNKNOWN:
                    history.attempts_failed += 1
                    at = (at + 1) % len(hooks.bases)
                    await asyncio.sleep(dice.uniform(0.05, 0.3))
            key = f"telegram:{hooks.account}:message:{chat}:{said}"
            history.add(
                Operation(
                    kind="webhook",
                    who=f"telegram-{number}",
                    key=key,
                    about=key,
                    start=start,
                    end=history.now,
                    outcome=outcome,
                    status=status,
                    text=update["message"]["text"],
                    attempts=attempts,
                    before=tuple(statuses[:-1]),
                    slowest=slowest,
                    unfit=forged,
                )
            )


def _update(chat: int, said: int, dice: random.Random) -> dict[str, Any]:
    return {
        "update_id": chat,
        "message": {
            "message_id": said,
            "date": 1_700_000_000,
            "chat": {"id": chat, "type": "private"},
            "from": {"id": chat, "is_bot": False, "first_name": "C", "language_code": "en"},
            "text": f"{TEXTS[dice.choice(LANGUAGES)]} ({chat}-{said})",
        },
    }
