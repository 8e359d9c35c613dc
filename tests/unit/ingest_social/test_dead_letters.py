"""Requests that could not be read: counted, kept, listed without anybody's words, and read again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from services.ingest_social import dead_letters, dead_letters_command
from services.ingest_social.app import platforms_of
from services.ingest_social.dead_letters import DeadLetters, Reason
from services.ingest_social.dead_letters_command import described, replay
from services.ingest_social.webhook import Webhooks
from shared.log.port import LogUnavailable
from shared.metrics import Catalogue, ProcessMetrics
from tests.unit.ingest_social.test_webhooks import settings, update
from tests.unit.ingest_support.world import WORKSPACE, World

SECRET_WORDS = "my card is 4111"


def reads(number: int) -> bytes:
    return json.dumps(
        {"update_id": number, "message": update(message_id=number, text=SECRET_WORDS)["message"]}
    ).encode()


async def put(letters: DeadLetters, raw: bytes) -> str:
    return await letters.put(
        provider="telegram",
        account="bot",
        workspace=WORKSPACE,
        kinds={Reason.UNREADABLE},
        reason="message: not an object",
        raw=raw,
    )


async def test_full_files_are_numbered_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_LARGEST_FILE", 300)
    letters = DeadLetters(tmp_path, "ingest_social", World().clock)
    ids = [await put(letters, b"x" * 400) for _ in range(12)]

    assert [letter.id for letter in letters.letters()] == ids
    names = {path.name for path in (tmp_path / "dead_letters").iterdir()}
    assert {"ingest_social.jsonl", *(f"ingest_social.jsonl.{n}" for n in range(1, 12))} <= names
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "dead_letters").iterdir()} == {0o600}

    letters.remove({ids[0], ids[11]})
    assert [letter.id for letter in letters.letters()] == ids[1:11]
    # A number is not given twice while an older file has a higher one.
    ids = [*ids[1:11], *[await put(letters, b"y" * 400) for _ in range(3)]]
    assert [letter.id for letter in letters.letters()] == ids


async def test_they_are_counted_by_reason_and_size(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "ingest_social", World().clock)
    metrics = ProcessMetrics(Catalogue())
    letters.observe(metrics)

    def counted(reason: str) -> float | None:
        return metrics.catalogue.registry.get_sample_value("switchdesk_webhook_dead_letters_total", {"reason": reason})

    assert (counted("unreadable"), counted("unknown_channel")) == (0, 0)
    await put(letters, b"x")
    await put(letters, b"x")
    assert (counted("unreadable"), counted("unknown_channel")) == (2, 0)
    size = metrics.catalogue.registry.get_sample_value("switchdesk_webhook_dead_letter_bytes")
    assert size == letters.size() > 0


async def test_a_replay_removes_what_succeeds_and_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    letters = DeadLetters(tmp_path, "ingest_social", world.clock)
    good, bad, again = [await put(letters, raw) for raw in (reads(1), b"not json", reads(1))]
    async with httpx.AsyncClient() as client:
        webhooks = Webhooks(platforms_of(settings(tmp_path), client), world.intake, letters, 100_000)
        world.switch.loses_acknowledgement = True
        with pytest.raises(LogUnavailable):
            await replay(webhooks, letters, list(letters.letters()))
        # Stored or not: nothing is known, so it stays.
        assert [letter.id for letter in letters.letters()] == [good, bad, again]

        world.switch.loses_acknowledgement = False
        assert await replay(webhooks, letters, list(letters.letters())) == {"read": 2, "left": 1}
        assert [letter.id for letter in letters.letters()] == [bad]
        assert len(world.distinct()) == 1
        assert world.messages()[0].source_key == "telegram:bot:message:-100:1"

        other = Webhooks({}, world.intake, letters, 100_000)
        assert await replay(other, letters, list(letters.letters())) == {"read": 0, "left": 1}
    assert SECRET_WORDS not in capsys.readouterr().out


async def test_letters_that_come_during_a_replay_stay(tmp_path: Path) -> None:
    letters, beside = (DeadLetters(tmp_path, "ingest_social", World().clock) for _ in range(2))
    first = [await put(letters, b"x") for _ in range(20)]

    async def remove() -> None:
        for letter in first:
            await asyncio.to_thread(beside.remove, {letter})

    later, _ = await asyncio.gather(asyncio.gather(*(put(letters, b"y") for _ in range(20))), remove())
    assert {letter.id for letter in letters.letters()} == set(later)


async def test_a_list_shows_no_words_of_customers_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOCIAL_DATA_DIR", str(tmp_path))
    letter = await put(DeadLetters(tmp_path, "ingest_social", World().clock), reads(1))

    assert dead_letters_command.main(["list"]) == 0
    plain = capsys.readouterr().out
    assert letter in plain
    assert "message: not an object" in plain
    assert SECRET_WORDS not in plain
    assert dead_letters_command.main(["list", "--raw"]) == 0
    assert SECRET_WORDS in capsys.readouterr().out
    (kept,) = DeadLetters(tmp_path, "ingest_social", World().clock).letters()
    assert described(kept).startswith(f"{letter}  20")


def test_a_replay_by_the_command_reaches_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = {"bot": {"workspace": WORKSPACE, "webhook_secret": "secret"}}
    monkeypatch.setenv("SOCIAL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SOCIAL_TELEGRAM", json.dumps(bot))
    monkeypatch.setenv("LOG", f"sqlite:///{tmp_path}/log")
    letters = DeadLetters(tmp_path, "ingest_social", World().clock)
    asyncio.run(put(letters, reads(1)))
    bad = asyncio.run(put(letters, b"not json"))

    assert dead_letters_command.main(["replay"]) == 1
    assert "1 read and removed, 1 left" in capsys.readouterr().out
    assert [letter.id for letter in letters.letters()] == [bad]
