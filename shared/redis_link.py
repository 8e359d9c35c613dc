"""A way to Redis that answers, or says within a second and a half that it does not.

What stands behind Redis here can be derived anew, so nobody has to wait for it: every call has a deadline, which also
holds when the other side swallows everything (no answer, no reset). Whose port it is decides which error is raised.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError

from shared.connection_loss import says_closed

SOCKET_S: Final = 1.0
DEADLINE_S: Final = 1.2
"""For a whole call, with its wait for a free connection, the connecting and one more try on a new connection."""

DEFAULT_PREFIX: Final = "switchdesk"
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")

Argument = str | bytes | int | float


class Script:
    """A Lua script, known to the server by its SHA-1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script. All keys of a call lie in one hash slot, so that a Redis Cluster can run it."""

    script: Script
    keys: Sequence[Argument]
    args: Sequence[Argument]


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """`redis://[USER:PASSWORD@]HOST:PORT/DB[?prefix=…]` (or `rediss://`), taken apart.

    Every key begins with `prefix`. It has no brace, because a key's first braces are its hash tag.
    """

    server: str
    prefix: str
    db: int

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Raises ValueError with words that name no password."""
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("a Redis address looks like redis://HOST:PORT/DB")
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        prefix = options.pop("prefix", DEFAULT_PREFIX)
        if options:
            raise ValueError(f"unknown options in a Redis address: {', '.join(sorted(options))}")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("a prefix has up to 64 letters, digits, dots, hyphens and underscores")
        db = parts.path.removeprefix("/") or "0"
        if not db.isdecimal():
            raise ValueError("the database of a Redis address is a number")
        return cls(server=parts._replace(query="").geturl(), prefix=prefix, db=int(db))


def escaped(text: str) -> str:
    """Any text as a part of a key: braces and the like could move the key into another hash slot."""
    return quote(text, safe="", errors="surrogatepass")


def unescaped(text: str) -> str:
    """Back from `escaped`."""
    return unquote(text, errors="surrogatepass")


def member(text: str) -> bytes:
    """Any text as a field or member. UTF-8 sorts as Python's strings do."""
    return text.encode("utf-8", "surrogatepass")


def text_of(member: bytes) -> str:
    """Back from `member`."""
    return member.decode("utf-8", "surrogatepass")


class RedisLink:
    """A bounded pool of connections. Raises `away`, with a reason in its text, for whatever goes wrong."""

    def __init__(
        self, url: RedisUrl, *, name: str, connections: int, away: type[Exception], retries: Literal[0, 1] = 1
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url.server,
            max_connections=connections,
            timeout=SOCKET_S,
            socket_timeout=SOCKET_S,
            socket_connect_timeout=SOCKET_S,
            client_name=escaped(name),
            # A connection that the server closed meanwhile says nothing about the server; a time-out does.
            retry=Retry(NoBackoff(), retries, (RedisConnectionError,)),
        )
        self._client = Redis.from_pool(pool)
        self._execute: Callable[..., Awaitable[Any]] = self._client.execute_command
        self._away = away

    async def call(self, *command: Argument) -> Any:
        """The answer to one command."""
        async with self.deadline():
            return await self._execute(*command)

    async def call_many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """The answers to commands sent together; the first error among them is raised after all have run."""
        async with self.deadline():
            answers = await self._pipeline(commands)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

    async def run(self, call: Call) -> Any:
        """The answer of a script, loaded if the server does not know it."""
        async with self.deadline():
            try:
                return await self._execute(*_evaluate(call))
            except NoScriptError:
                return await self._execute("EVAL", call.script.text, *_operands(call))

    async def run_many(self, calls: Sequence[Call]) -> list[Any]:
        """The answers of scripts sent together, in order; what the server says against one stands in its place.

        Scripts must bear being run twice: all of them are, if the server did not know one.
        """
        commands = [_evaluate(call) for call in calls]
        async with self.deadline():
            answers = await self._pipeline(commands)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                for text in {call.script.text for call in calls}:
                    await self._execute("SCRIPT LOAD", text)
                answers = await self._pipeline(commands)
            return answers

    async def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """As `run_many`, but the first error is raised after all have run."""
        answers = await self.run_many(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._away(f"Redis: {type(answer).__name__}") from answer
        return answers

    def pubsub(self) -> PubSub:
        """A subscriber on a connection of this pool. Its errors are Redis's own."""
        return self._client.pubsub()

    async def close(self) -> None:
        """Close every connection; one that cannot take what was sent to it is given up after a second."""
        with suppress(RedisError, OSError):
            await self._client.aclose()

    async def _pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            queue: Callable[..., object] = pipe.execute_command
            for command in commands:
                queue(*command)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
            return answers

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """Within it a call has to be done; what goes wrong is raised as `away`."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise self._away(f"Redis: {type(error).__name__}") from error
        except RuntimeError as error:
            if not says_closed(error):
                raise
            raise self._away("Redis: connection closed") from error


def _evaluate(call: Call) -> list[Argument]:
    return ["EVALSHA", call.script.sha, *_operands(call)]


def _operands(call: Call) -> list[Argument]:
    return [len(call.keys), *call.keys, *call.args]
