"""Which conversation a mail belongs to: our own signed ids first, then the root that mail programs name."""

from __future__ import annotations

import hmac
import re
from typing import Final, NamedTuple

from services.ingest_email.parse import ParsedMail
from shared.intake import TRUSTED_THREAD
from shared.vocabulary import ThreadKey

_OURS: Final = re.compile(r"([\w.-]{1,120})\.(t[0-9a-f]{24})\.([0-9a-f]{8})@[\w.:-]{1,250}")


class NativeThread(NamedTuple):
    """A thread as `Intake.accept` takes it; `trusted` if it names a key that we signed."""

    native: str
    trusted: bool


class SignedIds:
    """Our Message-IDs, `message.thread_key.signature@domain`. They come back in References and cannot be made up."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"switchdesk message ids", "sha256")

    def make(self, workspace: str, message: str, thread: str, domain: str) -> str:
        """The id of a reply, without brackets. The same reply always has the same one."""
        return f"{message}.{thread}.{self._signature(workspace, message, thread)}@{domain}"

    def thread_of(self, workspace: str, message_id: str) -> ThreadKey | None:
        """The thread that an id of ours names; nothing for another's id, or a forged one."""
        match = _OURS.fullmatch(message_id)
        if match is None:
            return None
        message, thread, signature = match.groups()
        expected = self._signature(workspace, message, thread)
        return ThreadKey(thread) if hmac.compare_digest(signature, expected) else None

    def _signature(self, workspace: str, message: str, thread: str) -> str:
        return hmac.digest(self._key, f"{workspace}\x1f{message}\x1f{thread}".encode(), "sha256").hex()[:8]


def thread_of(mail: ParsedMail, workspace: str, ids: SignedIds) -> NativeThread:
    """In order: an id that we signed, the root of the references, what is answered, a thread of its own."""
    for message_id in (mail.in_reply_to, *reversed(mail.references)):
        key = ids.thread_of(workspace, message_id)
        if key is not None:
            return NativeThread(f"{TRUSTED_THREAD}{key}", True)
    for native in (*mail.references[:1], mail.in_reply_to, mail.message_id):
        if native:
            return NativeThread(native, False)
    raise AssertionError("a parsed mail always has an id")
