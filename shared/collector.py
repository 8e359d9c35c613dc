"""The garbage collector, kept from looking through what stays: it stops everybody while it does."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = (50_000, 10, 50)
"""How many more containers than before make a young collection, how many of those a middle one, how many of these a
whole one. By default it is 700, 10 and 10: in the whole life of 10,000 contacts eleven whole collections then took a
seventh of the leader's time, the longest a fifth of a second."""


@contextmanager
def paused() -> Iterator[None]:
    """While very much is made that stays, the collector would look through it again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep() -> None:
    """What a process has loaded stays until its end: it is never looked through again."""
    gc.collect()
    gc.freeze()


def settle() -> None:
    """What a replica has recovered is no garbage and is never looked through; from now on collections are seldom, since
    nearly all that the engine makes is kept and has no cycles."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
