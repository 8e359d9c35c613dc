"""What a customer says in a chat, as the message that everybody understands."""

from __future__ import annotations

from services.ingest_chat.frames import SayData
from services.ingest_chat.session import Session
from shared.contracts.message import Address, InboundMessage, Sender
from shared.vocabulary import ChannelKind


def message_of(session: Session, said: SayData) -> InboundMessage:
    """The session is the thread and the sender; the page's own id makes a repeat the same message.

    The page's language is a hint (most browsers speak English whatever their owner does), so it goes along as an
    attribute and the text decides.
    """
    addresses = (
        (Address(channel=ChannelKind.EMAIL, address=session.email, verified=False, consent=True),)
        if session.email
        else ()
    )
    return InboundMessage(
        source_key=f"chat:{session.account}:message:{session.id}:{said.client_message_id}",
        channel=ChannelKind.CHAT,
        account=session.account,
        thread=session.id,
        sender=Sender(id=session.id, name=session.name, addresses=addresses, verified=False),
        text=said.text,
        attributes={"locale": session.language} if session.language else {},
        native={"client_message_id": said.client_message_id},
    )
