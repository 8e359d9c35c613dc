"""Logs as JSON lines: a constant sentence, and facts in fields. Customers' words and addresses never get in.

    log = logging.getLogger(__name__)
    with bound(contact_id=contact.id):
        log.info("offer expired", extra={"offer_id": offer.id})

Three rules hold it tight, whoever writes the line:

- A message is a constant. Its arguments are rendered only if all of them are numbers, because a library's "%s" may be
  anybody's address.
- Fields whose name says that they carry words, addresses or secrets are withheld; so are values that are no scalars.
- Of an exception, its type and the places it went through are logged. What it says is logged only for our own classes,
  the system's errors and those that speak of code: a ValueError quotes what it was given.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Final

WITHHELD: Final = "[withheld]"
LONGEST_VALUE: Final = 200

DENIED: Final = frozenset(
    {
        *("text", "subject", "html", "body", "note", "content", "payload", "raw", "native", "filename", "attachment"),
        *("address", "addresses", "email", "mail", "phone", "sender", "recipient", "recipients", "cc", "bcc", "peer"),
        *("name", "client", "ip", "headers", "cookie"),
        *("authorization", "bearer", "token", "secret", "secrets", "password", "signature", "jwt"),
    }
)
"""A field is withheld if one of the words of its name is here: `text`, `sender_address`, `webhook_secret`."""

_OUR_PACKAGES: Final = ("services", "shared")
_ABOUT_CODE: Final = (AssertionError, AttributeError, ImportError, NameError, NotImplementedError)
_RECORD_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}

_bound: ContextVar[Mapping[str, Any] | None] = ContextVar("bound log fields", default=None)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Every line logged inside carries these fields, in this task and in those it starts."""
    token = _bound.set({**(_bound.get() or {}), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """One line of JSON per record; control characters are escaped, so nobody can forge a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        fields = {**(_bound.get() or {}), **{k: v for k, v in record.__dict__.items() if k not in _RECORD_OWN}}
        for name, value in fields.items():
            line.setdefault(name, _scalar(name, value))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


def describe(error: BaseException) -> str:
    """An exception for a log: type, places, and its own words only where they cannot quote a customer."""
    lines: list[str] = []
    _describe_into(lines, error, indent="", depth=0)
    return "\n".join(lines)


def configure(service: str, *, level: str = "info", stream: IO[str] | None = None) -> None:
    """Send all logging of this process to `stream` (standard error) as JSON lines. Called once, by `__main__`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OUR_PACKAGES:
        logging.getLogger(name).setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        # Whoever configured uvicorn before us, its words take the same road as all others.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Addresses of callers are in the access log, and of correspondents in aiosmtpd's chatter: neither is wanted.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("mail").setLevel(logging.ERROR)
    logging.captureWarnings(True)


def _message(record: logging.LogRecord) -> str:
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    arguments = record.args
    if arguments and isinstance(arguments, tuple) and all(isinstance(a, int | float) for a in arguments):
        try:
            return template % arguments
        except (TypeError, ValueError):
            return template
    return template


def _scalar(name: str, value: object) -> object:
    if not DENIED.isdisjoint(name.lower().replace("-", "_").split("_")):
        return WITHHELD
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…"
    return f"<{type(value).__name__}>"


def _describe_into(lines: list[str], error: BaseException, *, indent: str, depth: int) -> None:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    words = _words(error)
    lines.append(f"{indent}{name}{': ' + words if words else ''}")
    lines.extend(f"{indent}  {place}" for place in _places(error.__traceback__))
    if depth >= 5:
        return
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _describe_into(lines, inner, indent=indent + "  | ", depth=depth + 1)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"{indent}caused by:")
        _describe_into(lines, cause, indent=indent + "  ", depth=depth + 1)


def _words(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__.partition(".")[0] in _OUR_PACKAGES or kind in _ABOUT_CODE:
        return str(error)
    if isinstance(error, OSError) and kind.__module__ == "builtins":
        return error.strerror or ""
    return ""


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)[-20:]]
