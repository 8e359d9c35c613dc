"""Every story ends as it is written. After a change that is meant: `python -m tests.scenarios.runner --rewrite`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.runner import FOLDER, Unreadable, main, milliseconds, play
from tests.scenarios.telling import span

STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_story_ends_as_written(story: Path) -> None:
    written = story.read_text()
    assert play(written) == written


def test_there_are_stories_and_each_says_what_it_tells() -> None:
    assert len(STORIES) >= 15
    assert [story.name for story in STORIES if not story.read_text().startswith("# ")] == []


def test_differing_story_is_shown_and_rewritten_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = tmp_path / "story.txt"
    story.write_text("@0s policy\n----\nPolicyAdopted version 7\n")
    assert main([str(story)]) == 1
    assert "-PolicyAdopted version 7" in capsys.readouterr().out
    assert main(["--rewrite", str(story)]) == 0
    assert story.read_text() == "@0s policy\n----\nPolicyAdopted version 1\n"
    assert main([str(story)]) == 0


@pytest.mark.parametrize(
    "text",
    ["@0s dance ana", "write c1", "@soon write c1", "@0s hire", "@0s hire ana shoe=44", "@0s accept ana nobody"],
)
def test_line_that_nobody_understands_is_an_error(text: str) -> None:
    with pytest.raises((Unreadable, AssertionError)):
        play("@0s policy\n\n" + text)


@pytest.mark.parametrize(("text", "ms"), [("0s", 0), ("20s", 20_000), ("1m30s", 90_000), ("1d2h5ms", 93_600_005)])
def test_times_are_written_as_they_are_read(text: str, ms: int) -> None:
    assert milliseconds(text) == ms
    assert span(ms) == text
