"""What the customer wrote, without the mails below it: quotes, headers of forwarded mails, signatures.

Every line gets one class, then one pass cuts. No expression can backtrack over more than one bounded line, so crafted
mails cost no more than long ones. When in doubt the text stays: an agent who reads too much is better off than one who
misses a sentence. The full text is kept beside the trimmed one anyway.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from services.ingest_email.reply_marks import (
    DELIMITER,
    FORWARD,
    FROM_HEADER,
    ON,
    OTHER_HEADER,
    RULE,
    SENT_FROM,
    VERB_FIRST,
    WROTE,
)

_LONGEST_LINE: Final = 500
"""Characters of a line that are looked at."""
_MOST_WRAPPED: Final = 3
"""Lines over which a mail program breaks “On … wrote:”."""


class _Line(Enum):
    TEXT = 1
    BLANK = 2
    QUOTED = 3
    INTRO = 4
    """“On Monday Jane wrote:”: what follows is quoted."""
    DELIMITER = 5
    """“-----Original Message-----”: everything below is not the customer's."""
    HEADER = 6
    """“From: …” as the first of a block of headers."""
    SIGNATURE = 7


def trim_reply(text: str) -> str:
    """The newest part of a mail. Never empty when the mail has text: a pure forward or quote stays whole."""
    lines = text.split("\n")
    classes = _classify(lines)
    kept: list[str] = []
    index = 0
    while index < len(lines):
        kind = classes[index]
        if kind in (_Line.DELIMITER, _Line.HEADER, _Line.SIGNATURE):
            break
        if kind is _Line.INTRO:
            # Below an introduction is a quote. An answer under it (bottom posting) goes on where the quote ends.
            index += 1
            while index < len(lines) and classes[index] in (_Line.INTRO, _Line.BLANK):
                index += 1
            if index < len(lines) and classes[index] is not _Line.QUOTED:
                break
            continue
        if kind is not _Line.QUOTED:
            kept.append(lines[index].rstrip())
        index += 1
    trimmed = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    return trimmed or text.strip()


def _classify(lines: list[str]) -> list[_Line]:
    heads = [line[:_LONGEST_LINE].strip() for line in lines]
    classes = [_of_line(line, head) for line, head in zip(lines, heads, strict=True)]
    for index, head in enumerate(heads):
        if classes[index] is not _Line.TEXT:
            continue
        if FROM_HEADER.match(head) and _headers_follow(heads, index):
            classes[index] = _Line.HEADER
        elif RULE.match(head) and any(FROM_HEADER.match(line) for line in heads[index + 1 : index + 3]):
            classes[index] = _Line.DELIMITER
        elif _opens_quote(head):
            for end in range(index, min(index + _MOST_WRAPPED, len(heads))):
                if classes[end] is not _Line.TEXT:
                    break
                if _closes_quote(heads[end]) and _dated("".join(heads[index : end + 1])):
                    for wrapped in range(index, end + 1):
                        classes[wrapped] = _Line.INTRO
                    break
        elif _closes_quote(head) and "@" in head and ("<" in head or "(" in head):
            classes[index] = _Line.INTRO
    return classes


def _of_line(line: str, head: str) -> _Line:
    if not head:
        return _Line.BLANK
    if head.startswith((">", "|>")):
        return _Line.QUOTED
    if head == "--" or line.rstrip("\r") in ("-- ", "--"):
        return _Line.SIGNATURE
    if head[0] in "-_=>*" and DELIMITER.match(head):
        return _Line.DELIMITER
    if len(head) <= 120 and (SENT_FROM.match(head) or FORWARD.match(head)):
        return _Line.SIGNATURE
    return _Line.TEXT


def _headers_follow(heads: list[str], index: int) -> bool:
    """Whether at least two more headers stand in the next lines: a customer may well write “From: Monday”."""
    return sum(bool(OTHER_HEADER.match(line)) for line in heads[index + 1 : index + 6]) >= 2


def _opens_quote(head: str) -> bool:
    lower = head[:40].lower()
    return lower.startswith(ON) or lower[:4].isdigit() or bool(re.match(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", lower))


def _closes_quote(head: str) -> bool:
    """Whether a line ends as an introduction does: the word for “wrote” and a colon (some languages have none)."""
    end = head[-60:].lower().rstrip()
    if not end.endswith((":", "\uff1a")):
        return end.endswith((" wrote", "写道", "寫道"))
    bare = end.rstrip(":\uff1a ")
    if bare.endswith((*WROTE, ">")):
        return True
    return any(f" {word} " in head.lower() for word in VERB_FIRST)


def _dated(head: str) -> bool:
    """An introduction names a day or an address; “On top of that I wrote:” does not."""
    return "@" in head or any(char.isdigit() for char in head)
