"""Log lines: JSON, with facts, without anybody's words or addresses."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import json_logging
from shared.contracts.message import InboundMessage
from shared.log.port import LogCorrupt

CANARY = "canary-4711@example.net"


@pytest.fixture
def lines() -> Iterator[Any]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    # A server that another test ran may have left its own level behind.
    uvicorn = logging.getLogger("uvicorn.error")
    before = uvicorn.level
    uvicorn.setLevel(logging.NOTSET)
    json_logging.configure("test", level="debug", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    uvicorn.setLevel(before)
    logging.captureWarnings(False)
    logging.getLogger("uvicorn.access").disabled = False
    for name in ("services", "shared", "mail"):
        logging.getLogger(name).setLevel(logging.NOTSET)


log = logging.getLogger("services.sample")


def test_a_line_is_a_sentence_with_fields(lines: Any) -> None:
    with json_logging.bound(contact_id="c1"), json_logging.bound(agent_id="a1"):
        log.info("offer expired", extra={"offer_id": "o1", "waited_ms": 12})
    log.info("quiet")
    first, second = lines()
    assert first["message"] == "offer expired"
    assert (first["contact_id"], first["agent_id"], first["offer_id"], first["waited_ms"]) == ("c1", "a1", "o1", 12)
    assert first["level"] == "info"
    assert first["at"].endswith("Z")
    assert "contact_id" not in second


@pytest.mark.parametrize(
    "name", ["text", "subject", "sender_address", "webhook_secret", "customer_email", "X-Api-Token"]
)
def test_fields_that_carry_words_addresses_or_secrets_are_withheld(lines: Any, name: str) -> None:
    log.warning("message received", extra={name: CANARY})
    assert lines()[0][name] == json_logging.WITHHELD


@pytest.mark.parametrize("name", ["context", "contact_id", "message_id", "queue", "tokenizer", "channel"])
def test_names_that_only_look_alike_are_not(lines: Any, name: str) -> None:
    log.warning("message received", extra={name: "fact"})
    assert lines()[0][name] == "fact"


def test_no_canary_gets_through_whatever_is_done(lines: Any) -> None:
    library = logging.getLogger("some.library")
    library.error("connection from %s failed", CANARY)
    library.error("%(who)s", {"who": CANARY})
    library.error("%s of %s", 1, CANARY)
    log.error("bad value", extra={"detail_object": {"text": CANARY}, "parts": [CANARY]})
    for error in (
        ValueError(CANARY),
        KeyError(CANARY),
        RuntimeError(CANARY),
        UnicodeDecodeError("utf-8", b"x", 0, 1, CANARY),
    ):
        try:
            raise error
        except Exception:
            log.exception("it failed")
    try:
        InboundMessage.model_validate({"source_key": "k", "channel": CANARY, "text": 5, CANARY: CANARY})
    except ValueError:
        log.exception("message refused")
    try:
        raise ExceptionGroup(CANARY, [ValueError(CANARY)]) from KeyError(CANARY)
    except ExceptionGroup:
        log.exception("several failed")
    assert len(lines()) == 10
    assert CANARY not in json.dumps(lines())


def test_what_our_own_errors_and_the_system_say_is_kept(lines: Any) -> None:
    try:
        try:
            Path("/nonexistent/file").read_text()
        except OSError as error:
            raise LogCorrupt("entry 7 contradicts itself") from error
    except LogCorrupt:
        log.exception("the partition stops")
    said = lines()[0]["exception"]
    assert "LogCorrupt: entry 7 contradicts itself" in said
    assert "FileNotFoundError: No such file or directory" in said
    assert "test_json_logging.py:" in said


@pytest.fixture
def uvicorn_spoke_first() -> Iterator[None]:
    uvicorn = logging.getLogger("uvicorn")
    handlers, propagate = uvicorn.handlers[:], uvicorn.propagate
    uvicorn.addHandler(logging.StreamHandler())
    uvicorn.propagate = False
    yield
    uvicorn.handlers[:] = handlers
    uvicorn.propagate = propagate


@pytest.mark.usefixtures("uvicorn_spoke_first")
def test_what_uvicorn_says_takes_our_road(request: pytest.FixtureRequest) -> None:
    lines = request.getfixturevalue("lines")
    logging.getLogger("uvicorn.error").error("shutting down")
    assert [line["message"] for line in lines()] == ["shutting down"]


def test_numbers_are_rendered(lines: Any) -> None:
    logging.getLogger("uvicorn.error").error("Cancel %s running task(s)", 3)
    assert lines()[0]["message"] == "Cancel 3 running task(s)"


def test_nobody_can_forge_a_line(lines: Any) -> None:
    log.info("received", extra={"key": 'a\n{"level": "critical"}\u2028'})
    assert len(lines()) == 1


def test_access_log_is_off(lines: Any) -> None:
    logging.getLogger("uvicorn.access").critical("GET /?token=%s", CANARY)
    assert lines() == []


def test_long_values_are_cut(lines: Any) -> None:
    log.info("received", extra={"key": "x" * 1000})
    assert len(lines()[0]["key"]) == json_logging.LONGEST_VALUE + 1
