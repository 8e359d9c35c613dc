"""Where the log lies on Kafka: `kafka://HOST:PORT[,HOST:PORT…]?prefix=…&partitions=…&replication=…&min_isr=…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

SCHEME: Final = "kafka://"
MAX_PARTITIONS: Final = 10_000
MAX_REPLICAS: Final = 100
DEFAULT_PREFIX: Final = "switchdesk"
DEFAULT_PARTITIONS: Final = 6
DEFAULT_REPLICATION: Final = 3
DEFAULT_MIN_ISR: Final = 2

_KEYS: Final = ("prefix", "partitions", "replication", "min_isr")

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaUrl:
    """What a URL says. `partitions` is fixed when the topics are made and checked ever after."""

    servers: tuple[tuple[str, int], ...]
    prefix: str
    partitions: int
    replication: int
    min_isr: int

    @classmethod
    def parse(cls, url: str) -> KafkaUrl:
        """Raises ValueError that names the part which is wrong."""
        if not url.startswith(SCHEME):
            raise ValueError(f"a Kafka log begins with {SCHEME}")
        servers, _, query = url.removeprefix(SCHEME).partition("?")
        values = _query(query)
        parsed = cls(
            servers=tuple(_server(server) for server in servers.rstrip("/").split(",")),
            prefix=values.get("prefix", DEFAULT_PREFIX),
            partitions=_number(values, "partitions", DEFAULT_PARTITIONS, MAX_PARTITIONS),
            replication=_number(values, "replication", DEFAULT_REPLICATION, MAX_REPLICAS),
            min_isr=_number(values, "min_isr", DEFAULT_MIN_ISR, MAX_REPLICAS),
        )
        if not _PREFIX.fullmatch(parsed.prefix):
            raise ValueError(f"prefix of the Kafka log: {parsed.prefix!r} cannot begin a topic's name")
        if parsed.min_isr > parsed.replication:
            raise ValueError(
                f"min_isr of the Kafka log: {parsed.min_isr} replicas in sync are more than replication="
                f"{parsed.replication}"
            )
        return parsed

    @property
    def bootstrap(self) -> list[str]:
        """The servers as clients like them."""
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.servers]

    def topic(self, name: str) -> str:
        """The full name of one of the log's topics."""
        return f"{self.prefix}.{name}"


def _query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20)
    except ValueError as error:
        raise ValueError(f"query of the Kafka log: {error}") from None
    for key, value in pairs:
        if key not in _KEYS:
            raise ValueError(f"query of the Kafka log: {key!r} is not one of {', '.join(_KEYS)}")
        if key in values:
            raise ValueError(f"query of the Kafka log: {key!r} stands there twice")
        values[key] = value
    return values


def _server(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"servers of the Kafka log: {server!r} is not HOST:PORT")
    return host, int(port)


def _number(values: dict[str, str], key: str, default: int, most: int) -> int:
    value = values.get(key)
    if value is None:
        return default
    if not value.isascii() or not value.isdecimal() or not 1 <= int(value) <= most:
        raise ValueError(f"{key} of the Kafka log: {value!r} is not a number from 1 to {most}")
    return int(value)
