"""Customers' sessions: signed tokens that can be resumed for a day. Nothing about a session is stored on our side."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from shared.ids import thread_key
from shared.vocabulary import ChannelKind, ThreadKey


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who chats: a random id, which is also the native thread, and what they chose to tell."""

    id: str
    account: str
    workspace: str
    issued_at: int
    name: str | None = None
    email: str | None = None
    language: str | None = None

    @property
    def thread(self) -> ThreadKey:
        return thread_key(self.workspace, ChannelKind.CHAT, self.account, self.id)


class SessionTokens:
    """Makes and reads tokens: the session as JSON and its HMAC-SHA256, both base64url."""

    def __init__(self, secret: str, lifetime_s: int, now_ms: Callable[[], int]) -> None:
        self._key = hmac.digest(secret.encode(), b"switchdesk chat session", "sha256")
        self._lifetime_ms = lifetime_s * 1000
        self._now_ms = now_ms

    def begin(
        self, account: str, workspace: str, *, name: str | None, email: str | None, language: str | None
    ) -> Session:
        """A new session with an id that cannot be guessed."""
        return Session(
            id=secrets.token_urlsafe(18),
            account=account,
            workspace=workspace,
            issued_at=self._now_ms(),
            name=name,
            email=email,
            language=language,
        )

    def issue(self, session: Session) -> str:
        """A token that is good for a whole lifetime from now: resuming a session renews it."""
        body = msgspec.json.encode(msgspec.structs.replace(session, issued_at=self._now_ms()))
        return f"{_text(body)}.{_text(self._mac(body))}"

    def read(self, token: str, account: str, workspace: str) -> Session | None:
        """The session behind a token, or nothing: forged, too old, or of another account."""
        body_text, _, mac_text = token.partition(".")
        try:
            body, mac = _bytes(body_text), _bytes(mac_text)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        try:
            session = msgspec.json.decode(body, type=Session)
        except msgspec.DecodeError:
            return None
        if session.account != account or session.workspace != workspace:
            return None
        return session if self._now_ms() - session.issued_at < self._lifetime_ms else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


def with_profile(session: Session, **told: Any) -> Session:
    """The session with what the customer tells this time; what they leave out stays."""
    return msgspec.structs.replace(session, **{field: value for field, value in told.items() if value})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
