"""The parser's own process: mails in on stdin, what they say out on stdout, under limits of memory and time.

Frames are a four-byte length and that many bytes. An answer begins with `+` (a `ParsedMail` as JSON) or `-` (the reason
why not). The process has no secrets: its environment is empty, and it opens nothing.
"""

from __future__ import annotations

import resource
import struct
import sys
from typing import BinaryIO, Final

import msgspec

from services.ingest_email.mime import Unparsable
from services.ingest_email.parse import read_mail

MEMORY_BYTES: Final = 512 * 1024 * 1024
CPU_S: Final = 3
"""Of one mail; rounded up by the kernel to whole seconds."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (raw := _receive(source)) is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        answer = answer_of(raw)
        sink.write(struct.pack(">I", len(answer)) + answer)
        sink.flush()


def answer_of(raw: bytes) -> bytes:
    """One mail's answer; an error that nobody thought of is an answer too, told by its class alone."""
    try:
        return b"+" + msgspec.json.encode(read_mail(raw))
    except Unparsable as error:
        return b"-" + str(error).encode()
    except Exception as error:
        return b"-" + type(error).__name__.encode()


def _receive(source: BinaryIO) -> bytes | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    return source.read(size)


if __name__ == "__main__":
    main()
