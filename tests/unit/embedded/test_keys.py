"""Secrets: made once, private, kept; and what happens when the file is gone or damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.embedded.keys import FILE, load_or_make, write_private
from services.router.api.auth import hash_key
from shared.service import CannotStart

NOW = 1_800_000_000
LIFE = 30 * 86_400


def test_secrets_are_stable_over_restarts(tmp_path: Path) -> None:
    first = load_or_make(tmp_path, "wallet", now_s=NOW, token_life_s=LIFE)
    assert load_or_make(tmp_path, "wallet", now_s=NOW + 86_400, token_life_s=LIFE) == first


def test_tokens_are_issued_anew_before_they_end_and_everything_else_stays(tmp_path: Path) -> None:
    first = load_or_make(tmp_path, "wallet", now_s=NOW, token_life_s=LIFE)
    later = NOW + LIFE // 2 + 1
    second = load_or_make(tmp_path, "wallet", now_s=later, token_life_s=LIFE)
    assert (first.tokens_issued_at, second.tokens_issued_at) == (NOW, later)
    assert (first.jwt_secret, first.operator_key) == (second.jwt_secret, second.operator_key)


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    load_or_make(tmp_path, "wallet", now_s=NOW, token_life_s=LIFE)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_file_that_was_readable_is_private_after_writing(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    for existing in (file, tmp_path / "demo.json.new"):
        existing.touch(mode=0o644)
    write_private(file, "{}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.json"]


def test_a_damaged_file_is_not_replaced_by_new_secrets(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(CannotStart, match=r"secrets\.json cannot be read"):
        load_or_make(tmp_path, "wallet", now_s=NOW, token_life_s=LIFE)
    assert (tmp_path / FILE).read_text() == "{"


def test_a_key_says_whose_it_is(tmp_path: Path) -> None:
    keys = load_or_make(tmp_path, "wallet", now_s=NOW, token_life_s=LIFE)
    assert keys.operator_key.startswith("sk_wallet.")
    assert len(hash_key(keys.operator_key)) == 64
    assert keys.operator_key != keys.adapter_key
