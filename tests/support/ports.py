"""Ports for the processes that tests start, where a stopped process will find its own port free again."""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 12_000, 32_000
_given: set[int] = set()
"""What this process was given. Nobody may listen there yet, or not at this moment, and it is taken all the same."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment, and that was not asked for before.

    It lies below the range that the system takes for outgoing connections: a port from there could be somebody's
    by the time a killed process is started again.
    """
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")


def free_ports(count: int) -> list[int]:
    """Different free ports."""
    return [free_port() for _ in range(count)]
