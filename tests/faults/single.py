"""One broker, one engine, one API: what the tests of single troubles begin with."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.faults.cluster import BOT, Cluster
from tests.faults.staff import Staff, hire


async def running(cluster: Cluster) -> Staff:
    """Everything started and ready, with a policy and agents."""
    cluster.redis.start()
    await asyncio.to_thread(cluster.kafka.start)
    await cluster.start_processes()
    await cluster.until_ready()
    return await hire(cluster.bases[0], *await cluster.found())


def message(number: int) -> dict[str, Any]:
    """What an adapter posts: each number is another customer's first message."""
    return {
        "source_key": f"telegram:{BOT}:message:{number}",
        "channel": "telegram",
        "account": BOT,
        "sender": {"id": f"customer-{number}"},
        "text": "Where is my money?",
    }


def client(cluster: Cluster, credential: str) -> httpx.AsyncClient:
    """Of the API, with a key or a token."""
    headers = {"Authorization": f"Bearer {credential}"}
    return httpx.AsyncClient(base_url=cluster.bases[0], headers=headers, timeout=30)
