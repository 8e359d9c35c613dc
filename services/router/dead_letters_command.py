"""`python -m services.router dead-letters list|replay`: inputs that were put aside, and those taken once more.

On SQLite the process that owns the log has to stand still meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from services.router.dead_letters import DeadLetters, Letter
from shared.log.port import LogCorrupt
from shared.process import Backends, ProcessSettings, open_backends, process_name
from shared.settings import config_file


def add_to(parser: argparse.ArgumentParser) -> None:
    """The words after `dead-letters`."""
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="what is kept, without what is in it")
    listing.add_argument("--raw", action="store_true", help="print the inputs too: customers' addresses are in them")
    replaying = verbs.add_parser("replay", help="take them once more, as if they came now; those taken are removed")
    replaying.add_argument("positions", nargs="*", metavar="POSITION", help="only these; without any, all")


def run(chosen: argparse.Namespace) -> int:
    """0, or 1 if letters are left that were to be replayed. Raises `CannotStart`, `LogUnavailable`."""
    return asyncio.run(_run(ProcessSettings.read(config_file()), chosen))


async def _run(settings: ProcessSettings, chosen: argparse.Namespace) -> int:
    async with open_backends(settings, process_name("dead-letters")) as backends:
        if chosen.verb == "list":
            for letter in await _letters(backends, ()):
                print(described(letter, raw=chosen.raw))
            return 0
        left = [letter for letter in await _letters(backends, chosen.positions) if not await replayed(backends, letter)]
        return 1 if left else 0


async def _letters(backends: Backends, positions: Sequence[str]) -> list[Letter]:
    kept = [DeadLetters(backends.log.content, partition) for partition in range(backends.partitions)]
    return [letter for each in kept for letter in await each.all() if not positions or letter.position in positions]


def described(letter: Letter, *, raw: bool = False) -> str:
    """One line about a letter; with `raw`, the input below."""
    line = f"{letter.position}  {len(letter.raw)} bytes  {letter.reason}"
    return line + "\n" + letter.raw.decode(errors="backslashreplace") if raw else line


async def replayed(backends: Backends, letter: Letter) -> bool:
    """Whether the letter is in its topic again, and removed; if it cannot be read, it stays. Raises `LogUnavailable`:
    then it may be in the topic, and may be replayed again."""
    try:
        again = letter.again()
    except LogCorrupt as error:
        print(f"{letter.position}  left: {error}")
        return False
    partition = int(letter.position.split(":")[0])
    await backends.log.inputs.append(letter.topic, partition, again)
    await DeadLetters(backends.log.content, partition).remove(letter)
    print(f"{letter.position}  taken once more")
    return True
