"""The SMTP listener and the parser's process over real sockets, and replies on their way out."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from services.ingest_email.app import build_email
from services.ingest_email.mime import Unparsable
from services.ingest_email.outbound import MailCarrier
from services.ingest_email.reader import MailReader, ParserBusy
from services.ingest_email.settings import EmailSettings
from services.ingest_email.thread import SignedIds
from shared.delivery import Delivered, Reply
from shared.ids import thread_key
from shared.metrics import Catalogue, ProcessMetrics
from shared.vocabulary import AutoClass, ThreadKey
from tests.eventually import eventually
from tests.unit.ingest_email.test_parse import HOSTILE, mail, multipart
from tests.unit.ingest_support.world import WORKSPACE, World, running
from tests.unit.router.test_replica import HandClock

SUPPORT = "support@acme.example"
IDS = SignedIds("m" * 32)


def settings(tmp_path: Path, **changes: Any) -> EmailSettings:
    fields = {
        "accounts": {SUPPORT: WORKSPACE, "billing@acme.example": WORKSPACE},
        "port": 0,
        "signing_secret": SecretStr("m" * 32),
        "data_dir": tmp_path,
        **changes,
    }
    return EmailSettings(**fields)


@pytest.fixture
def world() -> World:
    return World()


@asynccontextmanager
async def listening(world: World, tmp_path: Path, **changes: Any) -> AsyncIterator[int]:
    service = build_email(settings(tmp_path, **changes), **world.ports())
    port = await service.listen()
    async with running(service):
        yield port


async def deliver(port: int, raw: bytes, *to: str, sender: str = "jane@example.org") -> str:
    """Hand a mail over as a mail server would; the last answer as `code text`."""
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        try:
            _, answer = await client.sendmail(sender, list(to or (SUPPORT,)), raw)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return f"{error.recipients[0].code} {error.recipients[0].message}"
        except aiosmtplib.SMTPResponseException as error:
            return f"{error.code} {error.message}"
        return f"250 {answer}"


async def test_a_mail_is_accepted_once_it_is_durable(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        raw = mail(f"It works.\r\n\r\nOn 1 Jan 2026 {SUPPORT} wrote:\r\n> old\r\n")
        assert (await deliver(port, raw, "Support+42@ACME.example")).startswith("250")
        (said,) = world.messages()
        assert (said.channel, said.account, said.auto, said.verified) == ("email", SUPPORT, AutoClass.NONE, False)
        assert said.source_key == f"email:{SUPPORT}:message:1@example.org"
        assert said.thread == thread_key(WORKSPACE, "email", SUPPORT, "1@example.org")
        body = world.stored(said.content_ref)
        assert (body["text"], body["subject"]) == ("It works.", "Order")
        assert "> old" in body["text_full"]
        assert body["native"]["message_id"] == "1@example.org"


async def test_the_same_mail_twice_is_one(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        await deliver(port, mail())
        await deliver(port, mail("another text under the same id"))
        assert len(world.distinct()) == 1
        assert world.stored(world.messages()[0].content_ref)["text"] == "Where is my order?"


async def test_a_log_that_is_down_means_later_and_nothing_twice(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        world.switch.down = True
        assert (await deliver(port, mail())).startswith("451")
        assert world.messages() == []
        world.switch.down, world.switch.loses_acknowledgement = False, True
        assert (await deliver(port, mail())).startswith("451")
        world.switch.loses_acknowledgement = False
        assert (await deliver(port, mail())).startswith("250")
        assert len(world.distinct()) == 1


async def test_each_mailbox_of_ours_gets_its_contact(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        await deliver(port, mail(), SUPPORT, "billing@acme.example", "support+x@acme.example")
        assert sorted(said.account for said in world.messages()) == ["billing@acme.example", SUPPORT]


async def test_strangers_mailboxes_and_big_mails_are_refused(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path, largest_mail=20_000) as port:
        assert (await deliver(port, mail(), "nobody@acme.example")).startswith("550")
        assert (await deliver(port, mail("x" * 30_000))).startswith("552")
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            await client.ehlo()
            assert client.esmtp_extensions["size"] == "20000"
        assert world.messages() == []


async def test_a_bomb_is_refused_with_words_and_the_next_mail_goes_on(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        answer = await deliver(port, multipart(*["\r\n"] * 10_000))
        assert answer.startswith("554")
        assert "parts" in answer
        assert (await deliver(port, HOSTILE["near misses"])).startswith("250")
        assert (await deliver(port, mail("<p>hello</p>", Content_Type="text/html", Message_ID="<2@x>"))).startswith(
            "250"
        )
        assert len(world.distinct()) == 2


async def test_a_sender_who_floods_is_told_to_come_again_and_nobody_else(world: World, tmp_path: Path) -> None:
    world.clock = clock = HandClock()
    async with listening(world, tmp_path, sender_per_minute=60, sender_burst=2) as port:
        for number in range(2):
            assert (await deliver(port, mail(Message_ID=f"<{number}@x>"))).startswith("250")
        assert (await deliver(port, mail(Message_ID="<late@x>"))).startswith("451 4.7.1")
        assert (await deliver(port, mail(Message_ID="<other@x>", From="ben@example.org"))).startswith("250")
        assert len(world.distinct()) == 3
        clock.pass_s(1)
        assert (await deliver(port, mail(Message_ID="<late@x>"))).startswith("250")
        assert len(world.distinct()) == 4


async def test_of_a_mail_to_two_mailboxes_both_get_it_or_neither(world: World, tmp_path: Path) -> None:
    """There is one answer to it; and what is refused is taken whole when it comes again."""
    world.clock = clock = HandClock()
    async with listening(world, tmp_path, sender_per_minute=60, sender_burst=1) as port:
        assert (await deliver(port, mail(Message_ID="<1@x>"), SUPPORT)).startswith("250")
        assert (await deliver(port, mail(Message_ID="<2@x>"), "billing@acme.example", SUPPORT)).startswith("451")
        assert len(world.messages()) == 1
        clock.pass_s(1)
        assert (await deliver(port, mail(Message_ID="<2@x>"), "billing@acme.example", SUPPORT)).startswith("250")
        assert len(world.distinct()) == 3


async def test_a_mailbox_that_is_flooded_is_refused_before_the_mail_is_sent(world: World, tmp_path: Path) -> None:
    metrics = ProcessMetrics(Catalogue())
    service = build_email(settings(tmp_path, account_per_minute=60, account_burst=1), **world.ports())
    service.observe(metrics)
    port = await service.listen()
    async with running(service):
        assert (await deliver(port, mail(Message_ID="<1@x>"))).startswith("250")
        assert (await deliver(port, mail(Message_ID="<2@x>"))).startswith("450 4.2.1")
        # Of several mailboxes the others get it; the sender's server tries the one again.
        both = await deliver(port, mail(Message_ID="<2@x>"), SUPPORT, "billing@acme.example")
        assert both.startswith("250")
        assert [said.account for said in world.messages()] == [SUPPORT, "billing@acme.example"]
    labels = {"channel": "email", "scope": "account"}
    assert metrics.catalogue.registry.get_sample_value("switchdesk_messages_over_quota_total", labels) == 2


async def test_machines_are_marked(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        await deliver(port, mail(Auto_Submitted="auto-replied", Message_ID="<1@x>"))
        await deliver(port, mail(Message_ID="<2@x>"), sender="")
        assert [said.auto for said in world.messages()] == [AutoClass.AUTO_REPLY, AutoClass.BOUNCE]


async def test_files_are_stored_with_the_mail(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        raw = multipart(
            "\r\nsee the file", "Content-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n\r\nPNG"
        )
        await deliver(port, raw)
        (file,) = world.stored(world.messages()[0].content_ref)["attachments"]
        assert (file["mime"], file["name"], file["size"]) == ("image/png", "a.png", 3)
        assert await world.log.content.get(WORKSPACE, file["ref"]) == b"PNG"


async def test_too_many_connections_are_told_so(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path, most_connections=1) as port:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.read(100)).startswith(b"421")
            writer.close()
            await writer.wait_closed()
        assert (await deliver(port, mail())).startswith("250"), "there is room again"


async def test_a_mail_cut_off_in_the_middle_is_no_mail(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<" + SUPPORT.encode() + b">\r\nDATA\r\n" + mail())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await deliver(port, mail(Message_ID="<2@x>"))
        assert len(world.messages()) == 1


# --- the parser's process ---------------------------------------------------------------------------------------------


async def test_the_process_is_killed_and_replaced() -> None:
    reader = MailReader(timeout_s=2.0)
    try:
        big = mail("<p>x</p>", Content_Type="text/html")
        await reader.read(big)
        process = reader._process
        assert process is not None
        process.kill()
        await process.wait()
        assert (await reader.read(big)).text == "x"
        assert reader._process is not process
    finally:
        await reader.close()


async def test_a_process_that_takes_too_long_is_not_waited_for() -> None:
    reader = MailReader(timeout_s=2.0)
    slow = MailReader(timeout_s=0.000001)
    try:
        await reader.read(HOSTILE["quotes"])
        with pytest.raises(ParserBusy):
            await slow.read(HOSTILE["quotes"])
        assert slow._process is None
        with pytest.raises(Unparsable):
            await reader.read(multipart(*["\r\n"] * 200))
    finally:
        await reader.close()
        await slow.close()


# --- replies ----------------------------------------------------------------------------------------------------------

THREAD = ThreadKey("t" + "1" * 24)
REPLY: dict[str, Any] = {
    "message": "k9.0",
    "channel": "email",
    "account": SUPPORT,
    "address": "jane@example.org",
    "text": "Hello",
}
NATIVE = {"message_id": "1@example.org", "references": "<0@example.org>", "subject": "Order"}


def reply(**changes: Any) -> Reply:
    fields: dict[str, Any] = {
        "workspace": WORKSPACE,
        "message": "k9.0",
        "contact": "c1",
        "channel": "email",
        "account": SUPPORT,
        "thread": THREAD,
        "text": "It is on its way.\nAna",
        "author_name": "Ana",
        "address": "jane@example.org",
        "name": "Jane",
        "native": NATIVE,
        "subject": "Re: AW: Order",
        "queued_at": 1_767_225_600_000,
        **changes,
    }
    return Reply(**fields)


def carrier(tmp_path: Path, **changes: Any) -> MailCarrier:
    return MailCarrier(settings(tmp_path, **changes), IDS, World().clock)


def test_an_answer_stands_in_its_conversation(tmp_path: Path) -> None:
    built = message_from_bytes(carrier(tmp_path).mail_of(reply()).as_bytes(), policy=default)
    assert (built["From"], built["To"], built["Subject"]) == (SUPPORT, "jane@example.org", "Re: Order")
    assert built["In-Reply-To"] == "<1@example.org>"
    assert built["References"] == "<0@example.org> <1@example.org>"
    assert IDS.thread_of(WORKSPACE, str(built["Message-ID"]).strip("<>")) == THREAD
    assert built["Auto-Submitted"] is None
    assert built["X-Switchdesk-Loop"]
    assert isinstance(built, EmailMessage)
    assert built.get_content().replace("\r\n", "\n") == "It is on its way.\nAna\n"


def test_an_outbound_message_has_a_name_of_its_own(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"native": {}, "subject": None, "contact": "", "title": "Parcel\r\nBcc: evil@example.org"}
    built = message_from_bytes(carrier(tmp_path).mail_of(reply(**fields)).as_bytes(), policy=default)
    assert (built["Subject"], built["In-Reply-To"], built["Bcc"]) == ("Parcel Bcc: evil@example.org", None, None)


@pytest.mark.parametrize(
    "evil",
    [
        {"subject": "x\r\nBcc: evil@example.org"},
        {"subject": "x\nBcc: evil@example.org\n\nbody"},
        {"subject": "x\x00\u2028Bcc: evil@example.org"},
        {"subject": "ü" * 400 + "\rBcc: evil@example.org"},
        {"native": {"message_id": "1@x>\r\nBcc: evil@example.org", "references": "<a@b>\r\nBcc: evil@example.org"}},
        {"native": {"subject": "y\r\nBcc: evil@example.org"}, "subject": None},
    ],
)
def test_no_header_can_be_slipped_in(tmp_path: Path, evil: dict[str, Any]) -> None:
    raw = carrier(tmp_path).mail_of(reply(**evil)).as_bytes()
    head = raw.partition(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in (" ", "\t")]
    assert "Bcc" not in names
    assert set(names) <= {
        "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "X-Switchdesk-Loop", "Content-Type",
        "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip


@pytest.mark.parametrize("address", ["", "nobody", "a@b\r\nBcc: c@d", "a@b, c@d", "<a@b>", "a b@c"])
async def test_an_address_that_is_none_fails(tmp_path: Path, address: str) -> None:
    outcome = await carrier(tmp_path).carry(reply(address=address, native={}))
    assert not isinstance(outcome, Delivered)


async def test_without_a_relay_replies_lie_in_the_outbox(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path):
        await world.reply(**REPLY, thread=THREAD, native=NATIVE)
        await eventually(lambda: world.reports() == [("k9.0", "delivered")])
    (laid,) = (tmp_path / "outbox").iterdir()
    assert laid.name == "k9.0.eml"
    assert stat.S_IMODE(os.stat(laid).st_mode) == 0o600
    assert b"Hello" in laid.read_bytes()


async def test_a_conversation_goes_on_over_our_own_id(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        await deliver(port, mail())
        thread = world.messages()[0].thread
        await world.reply(**REPLY, thread=thread, native=NATIVE)
        laid = tmp_path / "outbox" / "k9.0.eml"
        await eventually(laid.exists)
        ours = str(message_from_bytes(laid.read_bytes(), policy=default)["Message-ID"])
        await deliver(port, mail("And now?", Message_ID="<7@other.example>", References="<lost@x>", In_Reply_To=ours))
        assert world.messages()[1].thread == thread


async def test_the_last_mail_of_the_thread_is_answered(world: World, tmp_path: Path) -> None:
    async with listening(world, tmp_path) as port:
        await deliver(port, mail(Message_ID="<1@x>", Subject="First"))
        await deliver(port, mail(Message_ID="<2@x>", Subject="Second"))
        first = world.messages()[0]
        line = {"direction": "customer", "ref": first.content_ref, "thread": first.thread}
        await world.publish("messages", "c1", {"contact": "c1", "messages": [line]})
        await world.reply(**REPLY, thread=first.thread)
        laid = tmp_path / "outbox" / "k9.0.eml"
        await eventually(laid.exists)
        built = message_from_bytes(laid.read_bytes(), policy=default)
        assert (built["Subject"], built["In-Reply-To"]) == ("Re: First", "<1@x>")


class Relay:
    """Somebody else's mail server, with the answers that a test wants."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.answers.pop(0) if self.answers else "250 ok"
        if answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(envelope.content)
        return answer

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()


async def test_a_relay_that_is_away_is_tried_again(world: World, tmp_path: Path) -> None:
    relay = Relay("451 later")
    async with relay.open() as relay_port:
        changes = {"relay_host": "127.0.0.1", "relay_port": relay_port, "relay_tls": "none"}
        async with listening(world, tmp_path, **changes):
            await world.reply(**REPLY, thread=THREAD, native=NATIVE)
            await eventually(lambda: world.reports() == [("k9.0", "delivered")])
    assert len(relay.mails) == 1


async def test_a_relay_that_refuses_has_the_last_word(world: World, tmp_path: Path) -> None:
    relay = Relay("554 no such user")
    async with relay.open() as relay_port:
        changes = {"relay_host": "127.0.0.1", "relay_port": relay_port, "relay_tls": "none"}
        async with listening(world, tmp_path, **changes):
            await world.reply(**REPLY, thread=THREAD, native=NATIVE)
            await eventually(lambda: world.reports() == [("k9.0", "failed")])
    assert relay.mails == []
