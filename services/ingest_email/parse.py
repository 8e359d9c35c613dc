"""A raw mail to a `ParsedMail`: text, thread, sender, and what tells people from machines. Runs in a jailed process.

Every piece is linear and bounded (`mime`, `html_text`, `trim`); the process around it is only the second fence.
"""

from __future__ import annotations

import hashlib
import re
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from services.ingest_email.html_text import clean_html, html_to_text
from services.ingest_email.mime import Part, Unparsable, decode_body, decode_header, decode_text, parse
from services.ingest_email.trim import trim_reply

LONGEST_TEXT: Final = 60_000
_LARGEST_HTML_SOURCE: Final = 524_288
_MOST_REFERENCES: Final = 100
_MOST_ATTACHMENTS: Final = 20

# What `classify` and `thread` ask for, and nothing else: a mail's other headers are nobody's business.
_KEPT_HEADERS: Final = (
    "auto-submitted",
    "list-id",
    "list-unsubscribe",
    "precedence",
    "return-path",
    "x-auto-response-suppress",
    "x-autoreply",
    "x-autorespond",
    "x-failed-recipients",
    "x-loop",
    "x-ms-exchange-inbox-rules-loop",
    "x-no-loop",
    "x-switchdesk-loop",
)


class Attached(msgspec.Struct, frozen=True):
    """A file of a mail."""

    mime: str
    name: str | None
    data: bytes


class ParsedMail(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail says. Every string is on one line and free of controls, but for the texts."""

    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    subject: str
    from_name: str
    from_address: str
    reply_to: str
    date_ms: int | None
    text: str
    """Trimmed to what is new."""
    text_full: str
    html: str | None
    attachments: tuple[Attached, ...]
    headers: dict[str, str]
    types: tuple[str, ...]
    """The media types of the mail and its parts."""
    report_type: str


def read_mail(raw: bytes) -> ParsedMail:
    """The mail behind the bytes. Raises `Unparsable` with the reason."""
    mail = parse(raw)
    if not mail.headers and not mail.body.strip():
        raise Unparsable("neither headers nor a text")
    leaves = mail.leaves()
    text, html, files = _contents(leaves)
    plain_from_html, depth = html_to_text(html) if html else ("", 0)
    text_full = (text.strip() or plain_from_html)[:LONGEST_TEXT]
    name, address = _mailbox(mail.raw_header("from"))
    message_id = _first_id(mail.header("message-id"))
    return ParsedMail(
        message_id=message_id or _own_id(mail, address, text_full),
        in_reply_to=_first_id(mail.header("in-reply-to")),
        references=tuple(_ids(mail.header("references"))[:_MOST_REFERENCES]),
        subject=mail.header("subject")[:500],
        from_name=name[:200],
        from_address=address,
        reply_to=_mailbox(mail.raw_header("reply-to"))[1],
        date_ms=_date_ms(mail.header("date")),
        text=trim_reply(text_full)[:LONGEST_TEXT],
        text_full=text_full,
        html=clean_html(html, depth) if html else None,
        attachments=tuple(files[:_MOST_ATTACHMENTS]),
        headers={name: mail.header(name)[:1000] for name in _KEPT_HEADERS if mail.raw_header(name)},
        types=(mail.type, *(leaf.type for leaf in leaves)),
        report_type=mail.params.get("report-type", "").lower() if mail.type == "multipart/report" else "",
    )


def _contents(leaves: list[Part]) -> tuple[str, str, list[Attached]]:
    """Plain text (all inline pieces of it), the first HTML, and the files."""
    texts: list[str] = []
    html = ""
    files: list[Attached] = []
    for leaf in leaves:
        is_file = leaf.disposition == "attachment" or leaf.file_name is not None
        if leaf.type == "text/html" and not is_file and not html:
            html = decode_text(decode_body(leaf)[:_LARGEST_HTML_SOURCE], leaf.params.get("charset", ""))
        elif leaf.type == "text/plain" and not is_file:
            texts.append(_plain(leaf))
        elif leaf.type not in ("text/html", "message/delivery-status") or is_file:
            files.append(Attached(_mime(leaf.type), (leaf.file_name or "")[:200] or None, decode_body(leaf)))
    return "\n\n".join(texts), html, files


def _plain(leaf: Part) -> str:
    text = decode_text(decode_body(leaf)[: 4 * LONGEST_TEXT], leaf.params.get("charset", ""))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if leaf.params.get("format", "").lower() == "flowed":
        text = _unflowed(text)
    return _TEXT_CONTROLS.sub("", text)


_TEXT_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _unflowed(text: str) -> str:
    """RFC 3676: a line that ends in a blank goes on in the next (quotes and the signature's mark do not)."""
    lines: list[str] = []
    joined: list[str] = []
    for line in text.split("\n"):
        soft = line.endswith(" ") and line != "-- " and not line.startswith(">")
        joined.append(line.removeprefix(" ") if not line.startswith(">") else line)
        if not soft:
            lines.append("".join(joined))
            joined = []
    return "\n".join([*lines, "".join(joined)] if joined else lines)


def _mime(declared: str) -> str:
    return declared if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", declared, re.ASCII) else "application/octet-stream"


_ID: Final = re.compile(r"<([^<>\s]{1,400})>")


def _ids(text: str) -> list[str]:
    return [_short(found) for found in _ID.findall(text)]


def _first_id(text: str) -> str:
    """A Message-ID without its brackets; some programs forget them."""
    found = _ids(text)
    if found:
        return found[0]
    bare = text.strip().strip("<>").strip()
    return _short(bare) if bare and not any(char.isspace() for char in bare) else ""


def _short(message_id: str) -> str:
    """Ids become keys of at most 256 characters, and lines of at most 500: longer ones by their hash."""
    return message_id if len(message_id) <= 150 else "long-" + hashlib.sha256(message_id.encode()).hexdigest()


def _own_id(mail: Part, address: str, text: str) -> str:
    """A mail without a Message-ID is known by what it says, so that its repeat is still a repeat."""
    said = "\x1f".join((address, mail.header("date"), mail.header("subject"), text))
    return "none-" + hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\"\\@]{1,64}@[^\s<>()\[\],;:\"\\@]{1,180}")


_NAMED: Final = re.compile(r'"(?:[^"\\]|\\.){0,500}"|=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]{0,1000}\?=')


def _mailbox(raw: bytes) -> tuple[str, str]:
    """Name and address of the first mailbox. The structure is read before encoded words are decoded, so that a name
    cannot pretend to be an address."""
    text = decode_text(raw[:2000])
    # What is quoted or encoded is a name, whatever stands in it.
    plain = _NAMED.sub(lambda match: "x" * len(match.group()), text)
    bracketed = re.search(r"<\s{0,20}([^<>\s]{1,300})\s{0,20}>", plain)
    if bracketed is not None:
        name, candidate = text[: bracketed.start()], bracketed.group(1)
    else:
        name, candidate = "", plain
    address = _ADDRESS.search(candidate)
    return (
        " ".join(
            decode_header(name.encode("utf-8", "replace")).replace('"', " ").replace("\\", " ").strip(" ,;").split()
        ),
        address.group(0).lower() if address else "",
    )


def _date_ms(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text[:100])
        milliseconds = int(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        return None
    return milliseconds if 0 <= milliseconds <= 4_102_444_800_000 else None
