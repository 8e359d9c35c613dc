"""Ports for the processes that tests start, where a stopped process will find its own port free again."""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST = 12_000, 32_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment.

    It lies below the range that the system takes for outgoing connections: a port from there could be somebody's
    by the time a killed process is started again.
    """
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST}")


def free_ports(count: int) -> list[int]:
    """Different free ports."""
    ports: dict[int, None] = {}
    while len(ports) < count:
        ports[free_port()] = None
    return list(ports)
