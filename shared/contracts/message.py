"""The inbound message: what every ingest service and every foreign adapter normalises to (`POST /v1/messages`).

Pydantic, because this is where hostile input comes in: unknown fields, NaN, lone surrogates and over-long strings are
refused with the name of the field. What ingest does not know it leaves out; the router fills the defaults.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.vocabulary import AutoClass, ChannelKind, MessageKind


def _clean(text: str) -> str:
    """NFC, without control characters (line breaks and tabs stay); a lone surrogate is refused."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate") from None
    text = unicodedata.normalize("NFC", text)
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def _single_line(text: str) -> str:
    return " ".join(_clean(text).split())


Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+:-]*$")]
Line = Annotated[str, Field(max_length=500), AfterValidator(_single_line)]
Key = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_single_line)]
Text = Annotated[str, Field(max_length=65_536), AfterValidator(_clean)]
Level = Annotated[int, Field(ge=1, le=5, strict=True)]
Language = Annotated[str, Field(min_length=2, max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]


class Strict(BaseModel):
    """Unknown fields are errors, values are frozen, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Address(Strict):
    """One way to reach the sender. Only a verified address with consent is ever used to move a contact."""

    channel: ChannelKind = Field(description="The kind of channel this address belongs to.")
    account: Name | None = Field(None, description="Our account on that channel; the workspace's first one if absent.")
    address: Key = Field(description="Native form: an e-mail address, a chat or user id.")
    verified: bool = Field(False, description="Whether the channel or the operator vouches that it is the sender's.")
    consent: bool = Field(False, description="Whether the customer agreed to be written to there.")


class Sender(Strict):
    """Who wrote, as the channel knows them."""

    id: Key = Field(description="Native id: an e-mail address, a page-scoped id, a chat session.")
    name: Line | None = Field(None, description="Display name; never logged, kept in the content store.")
    addresses: tuple[Address, ...] = Field((), max_length=8)
    verified: bool = Field(False, description="Whether the channel proves that the sender owns the id.")


class Attachment(Strict):
    """A file by reference; its bytes are never fetched from a URL of the customer's."""

    ref: Key
    mime: Annotated[str, Field(max_length=127, pattern=r"^[\w.+-]+/[\w.+-]+$")]
    size: Annotated[int, Field(ge=0, le=100_000_000)]
    name: Line | None = None


class InboundMessage(Strict):
    """A customer's message, normalised. The same `source_key` is the same message, however often it comes."""

    source_key: Key = Field(description="`{channel}:{account}:{event class}:{native id}`; unique per workspace.")
    channel: ChannelKind
    account: Name | None = Field(
        None, description="Which of our accounts; the workspace's first of this kind if absent."
    )
    thread: Key | None = Field(None, description="Native conversation id; the sender's id if absent.")
    sender: Sender
    kind: MessageKind = MessageKind.MESSAGE
    text: Text | None = None
    subject: Line | None = None
    html: Annotated[str, Field(max_length=262_144), AfterValidator(_clean)] | None = None
    attachments: tuple[Attachment, ...] = Field((), max_length=20)
    refers_to: Key | None = Field(None, description="For edit, unsend and reaction: the source key it is about.")
    auto: AutoClass = Field(AutoClass.NONE, description="Whether a machine wrote it; then it never opens a contact.")
    language: Language | None = Field(None, description="If known; else it is detected from the text.")
    language_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    queue: Name | None = None
    skills: dict[Name, Level] = Field(default_factory=dict, max_length=16)
    priority: Annotated[int, Field(ge=-1000, le=1000, strict=True)] = 0
    attributes: dict[Name, Line] = Field(default_factory=dict, max_length=32)
    provider_time: datetime | None = None
    native: dict[Name, Line] = Field(
        default_factory=dict, max_length=16, description="What the channel's adapter needs to answer (kept as content)."
    )
    schema_version: Literal["1"] = "1"
