"""Text from a mail's HTML: quoted mails left out, block elements as lines. One pass, whatever the input.

A tolerant scanner of our own: the HTML of mails is rarely well-formed, tree builders need quadratic time for deeply
nested elements, and all that is wanted here is the words. What agents may see as HTML is cleaned with `nh3` besides.
"""

from __future__ import annotations

import html
import re
from typing import Final, NamedTuple

import nh3

LARGEST_HTML: Final = 262_144
_DEEPEST_TO_CLEAN: Final = 200

_OPENING: Final = re.compile(r"<[!?/a-zA-Z]")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30})([^<>]{0,4000})>")
_QUOTE_MARK: Final = re.compile(
    r"""(?:class|id|type)\s{0,4}=\s{0,4}["']?[^"'>]{0,200}?"""
    r"""(?:gmail_quote|gmail_extra|yahoo_quoted|moz-cite-prefix|protonmail_quote|zmail_extra|tutanota_quote|cite\b)""",
    re.IGNORECASE,
)
_REST_IS_QUOTE: Final = re.compile(
    r"""id\s{0,4}=\s{0,4}["']?(?:divRplyFwdMsg|OLK_SRC_BODY_SECTION|appendonsend|mail-editor-reference-message)""",
    re.IGNORECASE,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LINES: Final = _names("""
    address article aside blockquote center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main
    nav ol p pre section table tbody tfoot thead tr ul
""")
_PARAGRAPHS: Final = _names("p h1 h2 h3 h4 h5 h6 ul ol table blockquote")
_DROPPED: Final = _names("script style title template noscript textarea select object svg math head")
_VOID: Final = _names("area base br col embed hr img input link meta source track wbr")


class HtmlText(NamedTuple):
    """The words, and how deeply elements were nested."""

    text: str
    depth: int


def html_to_text(source: str) -> HtmlText:
    """The text of a mail's HTML without quoted mails; with them if nothing else is left."""
    found = _scan(source, without_quotes=True)
    return found if found.text else _scan(source, without_quotes=False)


def clean_html(source: str, depth: int) -> str | None:
    """HTML that is safe to show inside a sandbox; none for a document that would be too costly to clean."""
    if len(source) > LARGEST_HTML or depth > _DEEPEST_TO_CLEAN:
        return None
    cleaned: str = nh3.clean(source, tags=nh3.ALLOWED_TAGS - {"img"}, link_rel="noopener noreferrer nofollow")
    return cleaned if len(cleaned) <= LARGEST_HTML else None


def _scan(source: str, *, without_quotes: bool) -> HtmlText:
    out: list[str] = []
    position = depth = deepest = 0
    skipped: str | None = None
    nested = 0
    while True:
        opening = _OPENING.search(source, position)
        start = opening.start() if opening else -1
        if skipped is None:
            out.append(_inline(source[position : start if start >= 0 else len(source)]))
        if start < 0:
            break
        if source.startswith("<!--", start):
            end = source.find("-->", start + 4)
            position = end + 3 if end >= 0 else len(source)
            continue
        if source.startswith(("<!", "<?"), start):
            end = source.find(">", start)
            position = end + 1 if end >= 0 else len(source)
            continue
        tag = _TAG.match(source, start)
        if tag is None:
            if skipped is None:
                out.append("<")
            position = start + 1
            continue
        position = tag.end()
        closing, name, attributes = tag.group(1) == "/", tag.group(2).lower(), tag.group(3)
        if name not in _VOID and not attributes.endswith("/"):
            depth += -1 if closing else 1
            depth = max(depth, 0)
            deepest = max(deepest, depth)
        if skipped is not None:
            if name == skipped:
                nested += -1 if closing else 1
                if nested <= 0:
                    skipped = None
            continue
        if not closing and without_quotes and "=" in attributes:
            if _REST_IS_QUOTE.search(attributes):
                break
            if _QUOTE_MARK.search(attributes) and name in ("blockquote", "div"):
                skipped, nested = name, 1
                out.append("\n")
                continue
        if not closing and name in _DROPPED:
            skipped, nested = name, 1
            continue
        if name == "br":
            out.append("\n")
        elif name == "li" and not closing:
            out.append("\n- ")
        elif name in ("td", "th") and closing:
            out.append(" ")
        elif name in _LINES:
            out.append("\n\n" if name in _PARAGRAPHS else "\n")
    lines = [" ".join(line.split()) for line in "".join(out).split("\n")]
    return HtmlText(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), deepest)


def _inline(text: str) -> str:
    """Text between tags: entities resolved, line breaks of the source are blanks."""
    return html.unescape(text.replace("\n", " ").replace("\xa0", " ")).replace("\xa0", " ")
