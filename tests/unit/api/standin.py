"""A router small enough to read: decides every command by a script and publishes what a test says came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.commands import Command, Input
from shared.log.codec import decode_input
from shared.log.port import Log, Positions
from shared.views.port import Change, Views
from shared.vocabulary import Topic

Doc = tuple[str, str, Mapping[str, Any] | None]
"""`(kind, id, data)`: a document that the decision wrote, or deleted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command."""

    subject: str | None = None
    docs: Sequence[Doc] = ()
    refused: Mapping[str, Any] | None = None
    note: str = ""


Script = Callable[[Input], Outcome]


def refuse(reason: str, detail: str = "no", field: str | None = None) -> Outcome:
    return Outcome(refused={"reason": reason, "detail": detail, "field": field})


@dataclass(slots=True)
class StandIn:
    """Reads both topics; answers only what has a script (or `default`), and never twice. Paused, it only reads."""

    log: Log
    views: Views
    scripts: dict[type[Command], Script] = field(default_factory=dict)
    default: Script | None = lambda record: Outcome()
    seq: int = 100
    seen: list[Input] = field(default_factory=list)
    paused: bool = False
    _next: int = 0
    _answered: set[str] = field(default_factory=set)

    async def run(self) -> None:
        positions = Positions(0, 0)
        while True:
            for record in await self.log.inputs.read(0, positions, limit=100, wait_s=0.02):
                at = record.offset + 1
                positions = positions._replace(**{"commands" if record.topic is Topic.COMMANDS else "inbound": at})
                self.seen.append(decode_input(record.data))
            while not self.paused and self._next < len(self.seen):
                self._next += 1
                await self._decide(self.seen[self._next - 1])

    async def _decide(self, record: Input) -> None:
        script = self.scripts.get(type(record.command), self.default)
        if record.id in self._answered or script is None:
            return
        self._answered.add(record.id)
        outcome = script(record)
        answer = {
            "command_id": record.id,
            "refused": outcome.refused,
            "subject": outcome.subject,
            "digest": record.digest,
            "duplicate": False,
            "actor": f"{record.actor.role}:{record.actor.id}",
            "note": outcome.note,
        }
        await self.publish(record.workspace, [*outcome.docs, ("answer", record.id, answer)])

    async def publish(self, workspace: str, docs: Sequence[Doc]) -> int:
        """Write documents as one more entry; returns its number."""
        self.seq += 1
        changes = [
            Change(workspace, kind, id, self.seq, None if data is None else {**data, "seq": self.seq})
            for kind, id, data in docs
        ]
        await self.views.publish(0, self.seq, changes)
        return self.seq

    def commands(self, kind: type[Command]) -> list[Any]:
        """The commands of a kind that came in, in order."""
        return [record.command for record in self.seen if isinstance(record.command, kind)]
