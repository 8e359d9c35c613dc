"""Inputs that were put aside: what could not be read, and what the engine could not decide.

They lie among the texts, in a place of their own that no workspace can have, and can be listed there. Each is kept
before an entry of the journal passes it over.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from shared.log.codec import decode_input, encode, encode_input
from shared.log.port import Content, InputRecord
from shared.vocabulary import Topic

PLACE: Final = "_dead_letters"


class _Kept(msgspec.Struct):
    position: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Letter:
    """One input as it came. `position`: `partition:topic:offset`; `reason`: why it was put aside."""

    position: str
    reason: str
    raw: bytes

    @property
    def topic(self) -> Topic:
        """Where it came in."""
        return Topic(self.position.split(":")[1])

    def again(self) -> bytes:
        """The input once more, for its topic. A command has another id: the answer to the first one stays what it was.
        It is the same id each time, so that asking twice is asking once.

        Raises `LogCorrupt` if it still cannot be read.
        """
        record = decode_input(self.raw)
        seed = f"{self.position}|{record.id}"
        return encode_input(replace(record, id=f"r{hashlib.sha256(seed.encode()).hexdigest()[:24]}"))


class DeadLetters:
    """Those of one partition."""

    def __init__(self, content: Content, partition: int) -> None:
        self._content = content
        self._partition = partition
        self._count = 0
        """So many places of the list are taken, as far as is known."""

    async def put(self, record: InputRecord, reason: str) -> str:
        """Keep an input; returns its position. Twice is once. Raises `LogUnavailable`."""
        position = f"{self._partition}:{record.topic}:{record.offset}"
        letter = encode({"position": position, "reason": reason, "raw": record.data.hex()})
        await self._content.put(PLACE, f"dead:{position}", letter, owner=position)
        while (listed := await self._content.get(PLACE, self._listed(self._count))) is not None:
            self._count += 1
            if listed == position.encode():
                return position
        await self._content.put(PLACE, self._listed(self._count), position.encode(), owner=f"list-{self._partition}")
        return position

    async def all(self) -> AsyncIterator[Letter]:
        """What is kept, oldest first, each once. Raises `LogUnavailable`."""
        seen: set[bytes] = set()
        number = 0
        while (position := await self._content.get(PLACE, self._listed(number))) is not None:
            number += 1
            if position in seen:
                continue
            seen.add(position)
            kept = await self._content.get(PLACE, f"dead:{position.decode()}")
            if kept is not None:
                found = msgspec.json.decode(kept, type=_Kept)
                yield Letter(found.position, found.reason, bytes.fromhex(found.raw))

    async def remove(self, letter: Letter) -> None:
        """It is of no use any more."""
        await self._content.erase(PLACE, letter.position)

    def _listed(self, number: int) -> str:
        return f"list:{self._partition}:{number}"
