"""Mails taken apart: ordinary ones, odd ones, and ones made to hurt."""

from __future__ import annotations

import base64
import time

import pytest

from services.ingest_email.classify import classify
from services.ingest_email.mime import Unparsable, decode_header
from services.ingest_email.parse import ParsedMail, read_mail
from services.ingest_email.thread import SignedIds, thread_of
from shared.vocabulary import AutoClass

IDS = SignedIds("s" * 32)


def mail(body: str = "Where is my order?", **headers: str) -> bytes:
    """A plain mail; `from_` and `_` in names become what they stand for."""
    fields = {
        "From": "Jane Doe <jane@example.org>",
        "To": "support@acme.example",
        "Subject": "Order",
        "Message-ID": "<1@example.org>",
        **{name.rstrip("_").replace("_", "-"): value for name, value in headers.items()},
    }
    return ("".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n" + body).encode()


def multipart(*parts: str, kind: str = "mixed", **headers: str) -> bytes:
    body = "".join(f"--b0\r\n{part}\r\n" for part in parts) + "--b0--\r\n"
    return mail(body, **{"Content_Type": f'multipart/{kind}; boundary="b0"', **headers})


def test_a_plain_mail() -> None:
    read = read_mail(mail(Date="Thu, 1 Jan 2026 00:00:00 +0000"))
    assert (read.text, read.subject, read.message_id) == ("Where is my order?", "Order", "1@example.org")
    assert (read.from_name, read.from_address) == ("Jane Doe", "jane@example.org")
    assert read.date_ms == 1_767_225_600_000
    assert (read.html, read.attachments) == (None, ())


def test_plain_text_is_preferred_and_files_are_kept() -> None:
    read = read_mail(
        multipart(
            'Content-Type: multipart/alternative; boundary="b1"\r\n\r\n'
            "--b1\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
            "--b1\r\nContent-Type: text/html\r\n\r\n<p>rich <script>x()</script></p>\r\n--b1--",
            "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.b64encode(b"%PDF").decode(),
            "Content-Type: message/rfc822\r\n\r\nFrom: x@y.example\r\nSubject: inner\r\n\r\ninner",
        )
    )
    assert read.text == "plain"
    assert read.html is not None
    assert "script" not in read.html
    assert [(file.mime, file.name) for file in read.attachments] == [
        ("application/pdf", "a.pdf"),
        ("message/rfc822", None),
    ]
    assert read.attachments[0].data == b"%PDF"


def test_html_becomes_text_without_quoted_mails() -> None:
    html = (
        "<html><head><style>p{}</style></head><body><p>Thanks &amp; bye<br>Jane</p><ul><li>one<li>two</ul>"
        '<div class="gmail_quote">On Monday Ana wrote:<blockquote type="cite">old <div>older</div></blockquote></div>'
    )
    read = read_mail(mail(html, Content_Type="text/html; charset=utf-8"))
    assert read.text == "Thanks & bye\nJane\n\n- one\n- two"


def test_a_mail_of_nothing_but_quotes_keeps_them() -> None:
    assert read_mail(mail("> quoted\r\n> more")).text == "> quoted\n> more"
    html = '<div class="gmail_quote">only this</div>'
    assert read_mail(mail(html, Content_Type="text/html")).text == "only this"


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("日本語".encode(), "big5", "日本語"),
        ("日本語".encode("shift_jis"), "shift_jis", "日本語"),
        ("日本語".encode("iso-2022-jp"), "iso-2022-jp", "日本語"),
        ("你好".encode("gb18030"), "gb2312", "你好"),
        ("Привет".encode("koi8-r"), "koi8-r", "Привет"),
        ("schöne Grüße".encode("cp1252"), "", "schöne Grüße"),
        ("schöne Grüße".encode("latin-1"), "utf-8", "schöne Grüße"),
        ("été".encode("latin-1"), "no-such-charset", "été"),
        (b"plain", "idna", "plain"),
        (b"plain", "unicode_escape", "plain"),
        (b"\xff\xfe", "utf-16", ""),
    ],
)
def test_charsets_are_read_as_they_are_not_as_they_are_called(data: bytes, charset: str, text: str) -> None:
    head = f"From: a@b.example\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode()
    assert read_mail(head + data).text == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"=?utf-8?q?a=0D=0ABcc:_evil@x.example?=", "a Bcc: evil@x.example"),
        (b"=?utf-8?b?AA==?=x", "x"),
        (b"=?utf-8?q?caf=C3=A9?= =?utf-8?q?_cr=C3=A8me?=", "café crème"),
        (b"=?iso-8859-1*en?q?=E9t=E9?=", "été"),
        (b"=?utf-7?q?+ADw-?=", "+ADw-"),
        ("größe".encode(), "größe"),
        (b"gr\xf6\xdfe", "größe"),
        (b"a\r\n b\x00\x1bc\xe2\x80\xaed", "a b c d"),
        (b"=?utf-8?b?!!!?=", ""),
        (b"=?broken", "=?broken"),
    ],
)
def test_headers_are_one_clean_line(value: bytes, text: str) -> None:
    assert decode_header(value) == text


@pytest.mark.parametrize(
    "raw",
    [
        mail().replace(b"From: Jane Doe <jane@example.org>\r\n", b""),
        mail().replace(b"Message-ID: <1@example.org>\r\n", b""),
        mail(Content_Type="multipart/mixed"),
        mail(Content_Type="application/octet-stream"),
        mail(Content_Type="garbage"),
        mail(Content_Type='multipart/mixed; boundary="never"'),
        mail(Content_Transfer_Encoding="base64"),
        mail(Date="the day after"),
        mail(Date="Thu, 99 Jan 99999 99:99:99 +9999"),
        mail(From="<>"),
        mail(From='"a <b@c.example>" <d@e.example>'),
        mail(Message_ID="<" + "x" * 900 + "@y>"),
        b"no headers at all",
        b"\r\nonly a body",
        b"Subject: only a header",
        b"Subject: x\rFrom: a@b.example\r\rold line ends",
        bytes(range(256)),
        b"Subject: x\r\n\r\n" + bytes(range(256)) * 10,
    ],
)
def test_odd_mails_are_read_all_the_same(raw: bytes) -> None:
    read = read_mail(raw)
    assert read.message_id
    assert "\n" not in read.subject + read.from_name + read.from_address + read.message_id
    assert read == read_mail(raw), "a repeat has the same id"


def test_a_name_cannot_pretend_to_be_an_address() -> None:
    read = read_mail(mail(From="=?utf-8?q?Boss_<boss=40acme.example>?= <thief@example.org>"))
    assert read.from_address == "thief@example.org"


def timed(raw: bytes) -> tuple[ParsedMail | str, float]:
    """What a mail says (or why it is refused), and the processor's seconds it took."""
    began = time.process_time()
    try:
        outcome: ParsedMail | str = read_mail(raw)
    except Unparsable as error:
        outcome = str(error)
    return outcome, time.process_time() - began


def nested(depth: int) -> bytes:
    head = "".join(f'Content-Type: multipart/mixed; boundary="n{n}"\r\n\r\n--n{n}\r\n' for n in range(depth))
    return f"From: a@b.example\r\n{head}Content-Type: text/plain\r\n\r\nx".encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (multipart(*["\r\n"] * 10_000), "more than 100 parts"),
        (nested(1000), "nested deeper than 10"),
        (mail(Subject=" ".join(["=?utf-8?q?x?="] * 20_000)), "headers larger"),
        (mail(To=", ".join(f"a{n}@b.example" for n in range(20_000))), "headers larger"),
    ],
)
def test_bombs_are_refused_at_once(raw: bytes, says: str) -> None:
    outcome, seconds = timed(raw)
    assert isinstance(outcome, str)
    assert says in outcome
    assert seconds < 1.0


HOSTILE = {
    "encoded words": mail(Subject=" ".join(["=?utf-8?q?x?="] * 4000)),
    "half encoded words": mail(Subject="=?utf-8?q?" * 5000),
    "references": mail(References="<a@b> " * 8000),
    "open brackets": mail(References="<" * 60_000, From="<" * 15_000),
    "parameters": mail(Content_Type="text/plain" + ";" * 60_000),
    "quoted parameter": mail(Content_Type='text/plain; a="' + "\\" * 60_000),
    "boundary of dashes": mail("-" * 1_000_000, Content_Type='multipart/mixed; boundary="-"'),
    "lines of dashes": mail("--\r\n" * 250_000, Content_Type='multipart/mixed; boundary="x"'),
    "on on on": mail("On " * 300_000),
    "den den den": mail("Den " * 10_000),
    "near misses": mail("On Mon, 1 Jan 2026, Jane <a@b.example>\r\n" * 20_000),
    "wrote": mail("On Mon, 1 Jan 2026, Jane <a@b.example> wrote\r\n" * 20_000),
    "dashes": mail("-" * 50_000),
    "underscores": mail(("_" * 500 + "\r\n") * 2000),
    "quotes": mail("> a\r\n" * 200_000),
    "from lines": mail("From: a\r\n" * 100_000),
    "blanks": mail((" " * 900 + "\r\n") * 1000),
    "tabs in one line": mail("\t" * 1_000_000),
    "open tags": mail("<a " * 300_000, Content_Type="text/html"),
    "angle brackets": mail("<" * 1_000_000, Content_Type="text/html"),
    "comments": mail("<!--" * 250_000, Content_Type="text/html"),
    "declarations": mail("<!" * 500_000, Content_Type="text/html"),
    "nested divs": mail("<div>" * 200_000, Content_Type="text/html"),
    "nested quotes": mail('<blockquote type="cite">' * 40_000, Content_Type="text/html"),
    "entities": mail("&#" * 500_000, Content_Type="text/html"),
    "long attributes": mail('<div class="' + "gmail_quot" * 90_000 + '">', Content_Type="text/html"),
    "soft line breaks": mail("=\r\n" * 300_000, Content_Transfer_Encoding="quoted-printable"),
    "flowed": mail("a \r\n" * 250_000, Content_Type="text/plain; format=flowed"),
    "percent names": mail(Content_Type="text/plain; name*=" + "%" * 2000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_crafted_mails_cost_no_more_than_long_ones(name: str) -> None:
    outcome, seconds = timed(HOSTILE[name])
    assert seconds < 1.0
    assert isinstance(outcome, str) or len(outcome.text) <= 60_000


# --- who wrote it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "envelope", "expected"),
    [
        (mail(), "jane@example.org", AutoClass.NONE),
        (mail(Auto_Submitted="no"), "jane@example.org", AutoClass.NONE),
        (mail(Precedence="bulk"), "jane@example.org", AutoClass.NONE),
        (mail(Auto_Submitted="auto-replied"), "jane@example.org", AutoClass.AUTO_REPLY),
        (mail(Auto_Submitted="auto-generated"), "jane@example.org", AutoClass.AUTO_REPLY),
        (mail(X_Autoreply="yes"), "jane@example.org", AutoClass.AUTO_REPLY),
        (mail(X_Switchdesk_Loop="1"), "jane@example.org", AutoClass.AUTO_REPLY),
        (mail(Auto_Submitted="auto-replied; vacation"), "", AutoClass.OUT_OF_OFFICE),
        (
            mail(Auto_Submitted="auto-replied", Subject="Out of office: Jane"),
            "jane@example.org",
            AutoClass.OUT_OF_OFFICE,
        ),
        (
            mail(X_Auto_Response_Suppress="All", X_MS_Exchange_Inbox_Rules_Loop="j"),
            "j@x.example",
            AutoClass.OUT_OF_OFFICE,
        ),
        (mail(List_Id="<news.example.org>"), "news@example.org", AutoClass.LIST),
        (mail(Precedence="bulk", List_Unsubscribe="<mailto:x@y>"), "news@example.org", AutoClass.LIST),
        (mail(), "", AutoClass.BOUNCE),
        (mail(From="Mail Delivery System <MAILER-DAEMON@example.org>"), "x@example.org", AutoClass.BOUNCE),
        (mail(X_Failed_Recipients="a@b.example"), "x@example.org", AutoClass.BOUNCE),
        (multipart("\r\nx", kind='report; report-type="delivery-status"'), "x@y.example", AutoClass.BOUNCE),
        (multipart("Content-Type: message/delivery-status\r\n\r\nx"), "x@y.example", AutoClass.BOUNCE),
        (multipart("\r\nx", kind='report; report-type="feedback-report"'), "", AutoClass.COMPLAINT),
        (multipart("\r\nx", kind='report; report-type="disposition-notification"'), "", AutoClass.RECEIPT),
    ],
)
def test_machines_are_told_from_people(raw: bytes, envelope: str, expected: AutoClass) -> None:
    assert classify(read_mail(raw), envelope) is expected


# --- conversations ----------------------------------------------------------------------------------------------------


def test_an_answer_to_us_carries_our_thread_key() -> None:
    key = "t" + "0" * 24
    ours = IDS.make("acme", "k123.0", key, "acme.example")
    for headers in ({"In_Reply_To": f"<{ours}>"}, {"References": f"<root@x> <{ours}> <later@x>"}):
        assert thread_of(read_mail(mail(**headers)), "acme", IDS) == (f"key:{key}", True)


def test_a_forged_or_foreign_id_of_ours_is_an_id_like_any_other() -> None:
    key = "t" + "0" * 24
    forged = f"k123.{key}.deadbeef@acme.example"
    assert thread_of(read_mail(mail(In_Reply_To=f"<{forged}>")), "acme", IDS) == (forged, False)
    other_workspace = IDS.make("other", "k123", key, "acme.example")
    assert thread_of(read_mail(mail(In_Reply_To=f"<{other_workspace}>")), "acme", IDS).trusted is False


def test_the_root_of_the_references_is_the_conversation() -> None:
    assert thread_of(read_mail(mail()), "acme", IDS).native == "1@example.org"
    answer = read_mail(mail(Message_ID="<3@x>", References="<1@example.org>\r\n <2@x>", In_Reply_To="<2@x>"))
    assert thread_of(answer, "acme", IDS).native == "1@example.org"
    assert thread_of(read_mail(mail(Message_ID="<3@x>", In_Reply_To="<2@x>")), "acme", IDS).native == "2@x"
