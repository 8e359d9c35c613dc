"""Who wrote a mail: a person, or one of the machines that must never open a contact. First rule that hits."""

from __future__ import annotations

import re
from typing import Final

from services.ingest_email.parse import ParsedMail
from shared.vocabulary import AutoClass

LOOP_HEADER: Final = "X-Switchdesk-Loop"
"""On every mail of ours: one that comes back to us is a loop."""

_BOUNCERS: Final = frozenset({"mailer-daemon", "postmaster", "mail-daemon", "mdaemon"})
_BOUNCE_SUBJECT: Final = re.compile(
    r"^(?:undeliver(?:able|ed mail)|delivery (?:status notification|failure|has failed)|"
    r"mail delivery (?:failed|system)|returned mail|failure notice|unzustellbar|non remis|"
    r"mensaje no entregado|mensagem não entregue)",
    re.IGNORECASE,
)
_AWAY_SUBJECT: Final = re.compile(
    r"\b(?:out of (?:the )?office|vacation|on leave|abwesenheit|absence|"
    r"fuera de la oficina|ausência|di luar kantor|cuti)\b",
    re.IGNORECASE,
)


def classify(mail: ParsedMail, envelope_from: str) -> AutoClass:
    """The class of a mail. `envelope_from` is SMTP's MAIL FROM, empty for the null sender."""
    headers = mail.headers
    submitted = headers.get("auto-submitted", "").lower().strip()
    suppressed = headers.get("x-auto-response-suppress", "").lower()
    if mail.report_type == "feedback-report" or "message/feedback-report" in mail.types:
        return AutoClass.COMPLAINT
    if mail.report_type == "disposition-notification" or "message/disposition-notification" in mail.types:
        return AutoClass.RECEIPT
    if _is_away(mail, submitted, suppressed):
        return AutoClass.OUT_OF_OFFICE
    if submitted.startswith("auto-replied"):
        # Vacation programs send with the null sender too (RFC 3834), so this comes before the bounces.
        return AutoClass.AUTO_REPLY
    if _is_bounce(mail, envelope_from):
        return AutoClass.BOUNCE
    if submitted and not submitted.startswith("no"):
        return AutoClass.AUTO_REPLY
    if any(name in headers for name in ("x-autoreply", "x-autorespond", "x-loop", "x-no-loop", LOOP_HEADER.lower())):
        return AutoClass.AUTO_REPLY
    bulk = headers.get("precedence", "").lower() in ("bulk", "list", "junk")
    if "list-id" in headers or (bulk and "list-unsubscribe" in headers):
        return AutoClass.LIST
    return AutoClass.NONE


def _is_bounce(mail: ParsedMail, envelope_from: str) -> bool:
    local = mail.from_address.partition("@")[0]
    return (
        mail.report_type == "delivery-status"
        or "message/delivery-status" in mail.types
        or envelope_from.strip() in ("", "<>")
        or mail.headers.get("return-path", "").strip() == "<>"
        or local in _BOUNCERS
        or "x-failed-recipients" in mail.headers
        or (_BOUNCE_SUBJECT.match(mail.subject) is not None and "daemon" in mail.from_name.lower())
    )


def _is_away(mail: ParsedMail, submitted: str, suppressed: str) -> bool:
    return (
        ("all" in suppressed and "x-ms-exchange-inbox-rules-loop" in mail.headers)
        or "vacation" in submitted
        or (submitted.startswith("auto-replied") and "owner-email=" in submitted)
        or (submitted.startswith("auto-replied") and _AWAY_SUBJECT.search(mail.subject) is not None)
    )
