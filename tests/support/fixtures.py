"""Kafka and Redis for every test that needs them: what the environment names, else started once a run.

Tests share them, so each takes names of its own: the fixture `prefix` is one for topics and keys alike. A test that
stops or floods one makes its own (`KafkaCluster`, `RedisServer`) instead.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.support.kafka import KafkaCluster
from tests.support.redis import RedisServer


@pytest.fixture
def prefix() -> str:
    """A prefix for topics or keys that no other test has."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """`HOST:PORT[,…]` of a Kafka with at least one broker: `KAFKA_BOOTSTRAP`, or one node of our own."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    with KafkaCluster() as cluster:
        cluster.start()
        yield cluster.bootstrap
        cluster.keep = _keep(request, str(cluster.folder))


@pytest.fixture(scope="session")
def three_brokers(request: pytest.FixtureRequest) -> Iterator[KafkaCluster]:
    """Three nodes of our own, all running. A test that takes one down brings it back and waits `until_in_sync`."""
    with KafkaCluster(nodes=3) as cluster:
        cluster.start()
        yield cluster
        cluster.keep = _keep(request, str(cluster.folder))


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """`redis://HOST:PORT/DB`: `REDIS_URL`, or a server of our own."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
        return
    with RedisServer() as server:
        server.start()
        yield server.url
        server.keep = _keep(request, str(server.folder))


def _keep(request: pytest.FixtureRequest, folder: str) -> bool:
    """Logs of a run that failed are worth keeping."""
    failed = bool(request.session.testsfailed)
    if failed:
        print(f"\nkept for a look: {folder}")
    return failed
