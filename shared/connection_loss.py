"""A connection that the other side has closed, in the words of uvloop."""

from __future__ import annotations


def says_closed(error: RuntimeError) -> bool:
    """Whether the error means no more than that a connection is gone.

    It is what uvloop says of writing on a connection that the other side has reset. asyncio's own loop waits for the
    next read to tell, and the clients of Redis and Kafka know only that.
    """
    return "closed" in str(error)
