"""The words of the command line: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

import pytest

from services.router import cli
from services.router.twin.day import UnreadableDay
from services.router.twin.day_options import seeds_of


@pytest.mark.parametrize(("words", "seeds"), [("3", [1, 2, 3]), ("4-6", [4, 5, 6]), ("9,2,9", [9, 2]), ("7,", [7])])
def test_seeds(words: str, seeds: list[int]) -> None:
    assert seeds_of(words) == seeds


@pytest.mark.parametrize("words", ["x", "0", "5-4", "1-5000", "-3"])
def test_seeds_that_there_are_none_of(words: str) -> None:
    with pytest.raises(UnreadableDay, match="--seeds"):
        seeds_of(words)


NIGHT = ("--scenario", "night_shift", "--policy", "bullseye")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scenario", "nominal"), "--policy: name at least one"),
        (("--policy", "slow"), "name a day"),
        (("--scenario", "night_shift", "--policy", "slow"), "there is no policy 'slow'"),
        ((*NIGHT, "--seeds", "x"), "--seeds x: a number"),
        ((*NIGHT, "--arrivals", "/none", "--agents", "/none"), "only one of the two"),
        (("--arrivals", "/a", "/b", "--agents", "/a", "--config", "/c", "--policy", "bullseye"), "as many of the one"),
        (("staff", "--scenario", "nominal", "--target", "2"), "--target and --learnt"),
        (("staff", "--scenario", "nominal", "--target", "0.9", "--teach", "0"), "--teach: at least one lesson"),
        (("generate", "--agents", "3", "--out", "/none"), "at least 18 agents"),
        (
            ("--arrivals", "/none", "--agents", "/none", "--config", "/none", "--policy", "bullseye"),
            "/none: No such file",
        ),
        (("erlang", "--model", "c", "--lambda", "9", "--mu", "1", "--agents", "9"), "grows without end"),
        (("erlang", "--model", "a", "--lambda", "9", "--mu", "1", "--agents", "9"), "--theta: above 0 with model a"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["twin", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*NIGHT, "--absent", "2"), "is not between 0 and 1"),
        ((*NIGHT, "--absent", "few"), "write 0.15 or 15%"),
        (("replay", "--from", "/none", "--policy", "slo", "--day", "yesterday"), "write 2026-03-01"),
    ],
)
def test_words_that_are_none(words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["twin", *words])
    assert left.value.code == 2
    assert told in capsys.readouterr().err
