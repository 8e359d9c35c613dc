"""Plays transcripts: timed commands, and beneath each the events it must cause (`docs/contributing.md` tells how).

`python -m tests.scenarios.runner` plays all and shows what differs; with `--rewrite` it writes what happened into the
files instead, and the reviewer reads the diff. Files named on the command line are played alone.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.contracts import commands as cmd
from shared.vocabulary import AgentId, ChannelHealth
from tests import builders
from tests.builders import ADAPTER, START, SUPERVISOR, Centre, acting
from tests.scenarios.telling import Teller, span

FOLDER = Path(__file__).parent / "data"
RULE = "----"


class Unreadable(Exception):
    """A line of a transcript that nobody understands."""


@dataclass(frozen=True, slots=True)
class Step:
    """One block: when, what is asked (as written, with its indented lines), and what must come of it."""

    at_ms: int
    asked: tuple[str, ...]
    expected: tuple[str, ...]
    comment: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return self.asked[0].split()[1:]

    @property
    def document(self) -> Any:
        """The indented lines beneath the command, as YAML."""
        return yaml.safe_load("\n".join(self.asked[1:])) or {}


def milliseconds(text: str) -> int:
    """`1m30s`, `20s`, `2h`, `500ms` as milliseconds."""
    parts = re.findall(r"(\d+)(ms|[dhms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Unreadable(f"{text!r} is no time: say 20s, 1m30s, 2h")
    scale = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    return sum(int(number) * scale[unit] for number, unit in parts)


def read(text: str) -> list[Step]:
    """The steps of a transcript. Blocks are parted by empty lines; lines that begin with `#` are for the reader."""
    steps = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        comment = tuple(line for line in lines if line.startswith("#"))
        lines = [line for line in lines if not line.startswith("#")]
        asked = lines[: lines.index(RULE)] if RULE in lines else lines
        expected = lines[len(asked) + 1 :]
        if not asked:
            steps.append(Step(-1, (), (), comment))
        elif not asked[0].startswith("@"):
            raise Unreadable(f"a step begins with @ and a time: {asked[0]!r}")
        else:
            at = milliseconds(asked[0].split()[0][1:])
            steps.append(Step(at, tuple(asked), tuple(expected), comment))
    return steps


def play(text: str) -> str:
    """The transcript as it turns out: the same commands, with what they cause beneath them."""
    told = []
    story = Story()
    for step in read(text):
        lines = [*step.comment, *step.asked]
        if step.asked:
            lines += [RULE, *story.play(step)]
        told.append("\n".join(lines))
    return "\n\n".join(told) + "\n"


class Story:
    """One transcript under way."""

    def __init__(self) -> None:
        self.centre = Centre(None)
        self.teller = Teller(self.centre)

    def play(self, step: Step) -> list[str]:
        """What happened since the step before, up to and with what this step asks."""
        before = len(self.centre.history)
        if step.words[0] == "unled":
            self.centre.leave_unled((START + step.at_ms - self.centre.now) / 1000)
        else:
            self.centre.wait_until(START + step.at_ms)
        verb, *words = step.words
        plain = [word for word in words if "=" not in word]
        named = dict(word.split("=", 1) for word in words if "=" in word)
        make = VERBS.get(verb)
        if make is None:
            raise Unreadable(f"nobody knows how to {verb!r}; known are {', '.join(sorted(VERBS))}")
        try:
            shown = make(self, step, plain, named)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise Unreadable(f"{step.asked[0]!r}: {error!r}") from error
        lines = []
        for played in self.centre.history[before:]:
            for decided in played.decided:
                for event in decided.events:
                    line = self.teller.tell(event)
                    when = "" if played.at == START + step.at_ms else f"{span(played.at - START)} "
                    lines += [f"{when}{line}"] if line else []
        return [*lines, *(shown or [])]


# Verbs

Verb = Callable[[Story, Step, list[str], dict[str, str]], list[str] | None]


def levels(text: str | None) -> dict[str, int]:
    """`fr:5,en:3` as levels; without a number, 5."""
    pairs = [part.partition(":") for part in (text or "").split(",") if part]
    return {name: int(level or 5) for name, _, level in pairs}


def words_of(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in (text or "").split(",") if part)


def policy_of(document: dict[str, Any]) -> dict[str, Any]:
    """A policy as stories write it: `to` for a channel's queue, fallbacks by kind, the rest as in a policy."""
    queues = [builders.queue(**each) for each in document.pop("queues", [{}])]
    channels = document.pop("channels", None)
    if channels is not None:
        channels = [
            builders.channel(
                each.pop("kind"),
                to=each.pop("to", queues[0]["name"]),
                fallback=builders.fallback(*each.pop("fallback", ())),
                **each,
            )
            for each in channels
        ]
    return builders.policy(queues, channels, **document)


def adopt(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    centre = story.centre
    centre.do(cmd.AdoptPolicy(policy=policy_of(step.document)))


def hire(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    kinds: dict[str, int] = {kind: int(named.pop(kind)) for kind in ("chat", "email", "telegram") if kind in named}
    story.centre.do(
        builders.agent(
            plain[0],
            languages=levels(named.pop("language", None)),
            skills=levels(named.pop("skill", None)),
            queues=words_of(named.pop("queue", None)),
            channels=words_of(named.pop("channel", None)),
            capacity=float(named.pop("capacity", "1")),
            per_channel=kinds,
            **refuse_more(named),
        )
    )


def refuse_more(named: dict[str, str]) -> dict[str, Any]:
    if named:
        raise ValueError(f"what is {', '.join(named)}?")
    return {}


def declare(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    verb = step.words[0]
    is_now = plain[1] if verb == "presence" else verb
    then = named.pop("then", None)
    channels = {kind: value == "on" for kind, value in named.items()}
    story.centre.do(builders.presence(plain[0], is_now, then=then, channels=channels), by=acting(plain[0]))


def write(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    name = plain[0]
    customer = named.pop("customer", name)
    known = {word: named.pop(word) for word in ("channel", "thread", "language", "queue") if word in named}
    detected = {code: float(sure) for code, _, sure in (p.partition(":") for p in words_of(named.pop("detected", "")))}
    story.centre.do(
        builders.message(
            name,
            customer=customer,
            detected=detected,
            skills=levels(named.pop("skill", None)),
            priority=int(named.pop("priority", "0")),
            reach=tuple(builders.reach(kind, customer) for kind in words_of(named.pop("reach", None))),
            **known,  # type: ignore[arg-type]  # every one of these is a string
            **refuse_more(named),
        ),
        by=ADAPTER,
    )
    story.teller.customers[name] = customer


def again(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    """`again c1`: the customer of c1 writes once more, on the same thread unless another channel is named."""
    first = story.centre.contact(plain[0])
    customer = story.teller.customers[plain[0]]
    kind = named.pop("channel", first.channel)
    thread = first.thread if kind == first.channel else f"{kind}-thread-of-{customer}"
    repeat = builders.message(
        f"{plain[0]} at {span(step.at_ms)}", channel=kind, customer=customer, thread=thread, **refuse_more(named)
    )
    story.centre.do(repeat, by=ADAPTER)


def schedule(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    at_s = milliseconds(named.pop("at")) / 1000
    channel = named.pop("channel", "chat")
    story.centre.do(
        builders.contact(plain[0], channel=channel, customer=plain[0], at_s=at_s, **refuse_more(named)), by=SUPERVISOR
    )


def accept(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.accept(plain[0], plain[1])


def decline(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    retry = milliseconds(named["retry"]) / 1000 if "retry" in named else None
    story.centre.decline(plain[0], plain[1], retry_after_s=retry)


def complete(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.complete(plain[0], plain[1], code=named.get("code"))


def requeue(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.RequeueContact(contact=story.centre.id_of(plain[1])), by=acting(plain[0]))


def reply(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.reply(plain[0], plain[1])


def cancel(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    contact = story.centre.id_of(plain[0])
    story.centre.do(cmd.CancelContact(contact=contact, reason=named.get("reason", "")), by=SUPERVISOR)


def leave(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.LeaveThread(thread=story.centre.contact(plain[0]).thread), by=ADAPTER)


def health(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    state = {"up": ChannelHealth.HEALTHY}.get(step.words[0]) or ChannelHealth(step.words[0])
    story.centre.health(plain[0], state, evidence=named.get("because", "probe"))


def lose(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.LoseLease(agent=AgentId(plain[0])), by=ADAPTER)


def regain(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.RegainLease(agent=AgentId(plain[0])), by=ADAPTER)


def extend(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.ExtendWrapUp(agent=AgentId(plain[0]), extend=milliseconds(plain[1])), by=acting(plain[0]))


def finish(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    story.centre.do(cmd.FinishWrapUp(agent=AgentId(plain[0]), code=named.get("code")), by=acting(plain[0]))


def nothing(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> None:
    """Time passes."""


def show(story: Story, step: Step, plain: list[str], named: dict[str, str]) -> list[str]:
    return [story.teller.show(name) for name in plain]


VERBS: dict[str, Verb] = {
    "policy": adopt,
    "hire": hire,
    "available": declare,
    "away": declare,
    "offline": declare,
    "presence": declare,
    "write": write,
    "again": again,
    "schedule": schedule,
    "accept": accept,
    "decline": decline,
    "complete": complete,
    "requeue": requeue,
    "reply": reply,
    "cancel": cancel,
    "leave": leave,
    "down": health,
    "up": health,
    "degraded": health,
    "lost": lose,
    "back": regain,
    "extend": extend,
    "finish": finish,
    "tick": nothing,
    "unled": nothing,
    "show": show,
}


def main(arguments: list[str]) -> int:
    """Play files, show or rewrite what differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios.runner", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rewrite", action="store_true", help="write what happened into the files")
    options = parser.parse_args(arguments)
    differ = 0
    for file in options.files or sorted(FOLDER.glob("*.txt")):
        written = file.read_text()
        happened = play(written)
        if happened == written:
            continue
        differ += 1
        if options.rewrite:
            file.write_text(happened)
        lines = difflib.unified_diff(
            written.splitlines(), happened.splitlines(), "written", "happened", lineterm="", n=2
        )
        print(f"{file.name}{' (rewritten)' if options.rewrite else ''}", *lines, sep="\n")
    return 0 if options.rewrite or not differ else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
