"""A process that appends and proposes as fast as it can and says what was acknowledged, until somebody kills it.

`python -m tests.unit.log.under_load DIRECTORY RUN [beside]`; prints `ready`, then a line per acknowledgement:
`input TOPIC OFFSET BODY`, `content REF`, `entry SEQ HASH` (read back). With `beside`, others may have the directory
open too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from shared.log.sqlite import SqliteLog
from shared.vocabulary import Topic
from tests.unit.log.replica import Replica


def say(line: str) -> None:
    # One write per line, past all buffers: what was said before a kill was said.
    os.write(1, f"{line}\n".encode())


async def append(log: SqliteLog, topic: Topic, name: str) -> None:
    for n in count():
        body = f"{name}-{n}"
        offset = await log.inputs.append(topic, 0, body.encode())
        say(f"input {topic} {offset} {body}")


async def put(log: SqliteLog, name: str) -> None:
    for n in count():
        ref = f"{name}-{n}"
        await log.content.put("w1", ref, ref.encode() * 100, owner="ana")
        say(f"content {ref}")


async def propose(log: SqliteLog, name: str) -> None:
    replica = await Replica.start(log, name)
    await replica.catch_up()
    while True:
        await replica.propose()
        head = await replica.catch_up(wait_s=5)
        say(f"entry {head.seq} {head.hash}")


async def main(directory: Path, run: str, *, beside: bool) -> None:
    log = SqliteLog(directory, exclusive=not beside)
    await log.open()
    say("ready")
    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(append(log, list(Topic)[n % 2], f"{run}-{n}"))
        group.create_task(put(log, f"{run}-c"))
        group.create_task(propose(log, run))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], beside="beside" in sys.argv[3:]))
