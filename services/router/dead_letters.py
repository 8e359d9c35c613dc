"""Inputs that were put aside: what could not be read, and what the engine could not decide.

They lie among the texts, in a place of their own that no workspace can have, and can be listed there. Each is kept
before an entry of the journal passes it over.
"""

from __future__ import annotations

import hashlib
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
        self._owner = f"partition-{partition}"

    async def put(self, record: InputRecord, reason: str) -> str:
        """Keep an input; returns its position. Twice is once. Raises `LogUnavailable`."""
        position = f"{self._partition}:{record.topic}:{record.offset}"
        letter = encode({"position": position, "reason": reason, "raw": record.data.hex()})
        # Nothing is read here: an index that is away must not hold up the partition.
        await self._content.put(PLACE, _ref(position), letter, owner=self._owner)
        return position

    async def all(self) -> list[Letter]:
        """What is kept, in the order of topics and offsets. Raises `LogUnavailable`."""
        found = await self._content.get_many(PLACE, await self._content.refs(PLACE, self._owner))
        kept = [msgspec.json.decode(letter, type=_Kept) for letter in found.values()]
        letters = [Letter(each.position, each.reason, bytes.fromhex(each.raw)) for each in kept]
        return sorted(letters, key=lambda letter: (letter.topic, int(letter.position.split(":")[2])))

    async def remove(self, letter: Letter) -> None:
        """It is of no use any more. Raises `LogUnavailable`."""
        await self._content.put(PLACE, _ref(letter.position), b"", owner=letter.position)
        await self._content.erase(PLACE, letter.position)


def _ref(position: str) -> str:
    return f"dead:{position}"
