"""What a customer's page may say, and what we say back. Hostile input is refused here, by the name of the field."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from shared.contracts.message import Language, Line, Strict, Text

LARGEST_FRAME: Final = 32 * 1024


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


def _email(text: str) -> str:
    local, at, domain = text.strip().rpartition("@")
    if not (local and at and domain) or any(char.isspace() or char in '<>(),;:"' for char in text.strip()):
        raise ValueError("is not an e-mail address")
    return text.strip().lower()


class Profile(Strict):
    """What customers may tell about themselves. An address they type is never taken as verified."""

    name: Annotated[Line, Field(max_length=100)] | None = None
    email: Annotated[Line, Field(max_length=200), AfterValidator(_email)] | None = None
    language: Language | None = None


class HelloData(Profile):
    token: Annotated[str, Field(max_length=4096)] | None = None
    last_seq: Annotated[int, Field(ge=0, strict=True)] = 0


class SayData(Strict):
    """One message. `client_message_id` is the page's own: the same one twice is the same message."""

    client_message_id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    text: Annotated[Text, Field(max_length=4000), AfterValidator(_not_blank)]


class Hello(Strict):
    type: Literal["hello"]
    data: HelloData = HelloData()


class Say(Strict):
    type: Literal["say"]
    data: SayData


class Leave(Strict):
    type: Literal["leave"]
    data: dict[str, Any] = Field(default_factory=dict, max_length=0)


class Ping(Strict):
    type: Literal["ping"]
    data: dict[str, Any] = Field(default_factory=dict, max_length=0)


class Pong(Strict):
    type: Literal["pong"]
    data: dict[str, Any] = Field(default_factory=dict, max_length=0)


class Typing(Strict):
    """Not stored, not passed on yet."""

    type: Literal["typing"]
    data: dict[str, Any] = Field(default_factory=dict)


Frame = Hello | Say | Leave | Ping | Pong | Typing
_frame: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


class BadFrame(Exception):
    """A frame that cannot be taken; the message names the field and never quotes the value."""


def read_frame(text: str) -> Frame:
    """The frame behind a text. Raises `BadFrame`."""
    try:
        return _frame.validate_json(text)
    except ValidationError as error:
        raise BadFrame(fault(error)) from None


def fault(error: ValidationError) -> str:
    """The first fault of a refused body in words: place and reason, without the value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("hello", "say", "leave"))
    return f"{place}: {first['msg']}" if place else first["msg"]


def frame(type: str, data: dict[str, Any] | None = None, *, seq: int | None = None) -> dict[str, Any]:
    """One of our own frames."""
    made: dict[str, Any] = {"type": type}
    if seq is not None:
        made["seq"] = seq
    made["data"] = data or {}
    return made
