"""What sockets and the HTTP fallback have in common: who may talk, beginning a session, saying something."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.ingest_chat.departures import Departures
from services.ingest_chat.frames import Profile, SayData
from services.ingest_chat.normalise import message_of
from services.ingest_chat.session import Session, SessionTokens
from services.ingest_chat.settings import ChatSettings
from services.ingest_chat.transcript import Receipts, Transcripts
from shared.contracts.commands import Actor
from shared.intake import Intake, Receipt, UnknownChannel
from shared.log.port import LogUnavailable
from shared.quotas import RateLimit
from shared.vocabulary import Role

ACTOR: Final = Actor(role=Role.ADAPTER, id="ingest_chat")


class Refusal(Exception):
    """Something the customer asked for and cannot have (now): a code, words, and when to try again."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class Conversation:
    """The parts of the chat service, put together in `app.py`."""

    settings: ChatSettings
    intake: Intake
    tokens: SessionTokens
    transcripts: Transcripts
    receipts: Receipts
    departures: Departures
    messages: RateLimit
    sessions: RateLimit

    def workspace_of(self, account: str) -> str | None:
        return self.settings.accounts.get(account)

    def welcomes(self, origin: str | None, host: str | None) -> bool:
        """Whether a page may use the chat: our own, or one that is configured. No origin at all is not a browser."""
        if origin is None:
            return True
        return origin in self.settings.origins or (host is not None and urlsplit(origin).netloc == host)

    def begin(self, account: str, workspace: str, address: str, told: Profile) -> Session:
        """A new session. Raises `Refusal` when the address begins too many."""
        wait = self.sessions.take(address)
        if wait:
            raise Refusal(429, "rate_limited", "too many new conversations from this address", wait)
        return self.tokens.begin(account, workspace, name=told.name, email=told.email, language=told.language)

    async def say(self, session: Session, said: SayData) -> Receipt:
        """Make a message durable. Raises `Refusal`; saying the same `client_message_id` again is safe."""
        wait = self.messages.take(f"{session.workspace}/{session.id}")
        if wait:
            raise Refusal(429, "rate_limited", f"too many messages; try again in {math.ceil(wait)} s", wait)
        try:
            receipt = await self.intake.accept(session.workspace, message_of(session, said), actor=ACTOR)
        except LogUnavailable:
            raise Refusal(503, "unavailable", "not stored for certain; send it again with the same id", 2.0) from None
        except UnknownChannel as error:
            raise Refusal(404, "unknown_channel", str(error)) from None
        self.departures.spoke(session)
        return receipt
