"""The content table in Redis: texts by reference and by owner, for all processes of a deployment.

What lies here of a workspace: a hash of rows (ref -> offset, owner, text; a tombstone is an offset alone), one sorted
set that is the index of owners, and one of tombstones by their time. What lies of a partition: its position, whether it
was complete once, which workspaces it has, and a token that changes whenever the partition begins anew.

Positions and rows lie in different hash slots, so advancing is three steps: look, write, move on. Writing can be done
twice without harm, and the token shows in the end that nobody began anew meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

from shared.log.content_table import Change, Progress
from shared.log.port import LogUnavailable
from shared.redis_link import Argument, Call, RedisLink, RedisUrl, Script, escaped, member, text_of

CONNECTIONS: Final = 16
AT_ONCE: Final = 200
BYTES_AT_ONCE: Final = 512 * 1024
"""What one script takes in: some milliseconds of Redis, in which it serves nobody else."""
WORKSPACES_AT_ONCE: Final = 100
TOMBSTONES_KEPT_S: Final = 15 * 60
"""The protocol asks for ten minutes: a late writer of an older text must still find the tombstone."""

APPLY: Final = Script(
    f"""
-- KEYS: rows, owners, tombstones. ARGV: of each change: ref, offset, 1 if there is a text, owner (escaped), text.
local time = tonumber(redis.call('TIME')[1])
for place = 1, #ARGV, 5 do
  local ref, offset, owner = ARGV[place], ARGV[place + 1], ARGV[place + 3]
  local row = redis.call('HGET', KEYS[1], ref)
  if not row or tonumber(string.match(row, '^%d+')) < tonumber(offset) then
    local before = row and string.match(row, '^%d+ ([^ ]*) ')
    if before then redis.call('ZREM', KEYS[2], before .. '\\0' .. ref) end
    if ARGV[place + 2] == '1' then
      redis.call('HSET', KEYS[1], ref, offset .. ' ' .. owner .. ' ' .. ARGV[place + 4])
      redis.call('ZADD', KEYS[2], 0, owner .. '\\0' .. ref)
      redis.call('ZREM', KEYS[3], ref)
    else
      redis.call('HSET', KEYS[1], ref, offset)
      redis.call('ZADD', KEYS[3], time, ref)
    end
  end
end
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', time - {TOMBSTONES_KEPT_S}, 'LIMIT', 0, {AT_ONCE})
for _, ref in ipairs(old) do
  redis.call('HDEL', KEYS[1], ref)
  redis.call('ZREM', KEYS[3], ref)
end
return 1
"""
)

MOVE_ON: Final = Script(
    """
-- KEYS: partition. ARGV: token, since, position, 1 if complete. Returns 1, or 0 if somebody else was here.
local state = redis.call('HMGET', KEYS[1], 'token', 'position')
if state[1] ~= ARGV[1] or state[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[3])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'complete', '1') end
return 1
"""
)

BEGIN_ANEW: Final = Script(
    """
-- KEYS: partition, workspaces. Nobody advances until the new position is set. Returns the workspaces to forget.
redis.call('DEL', KEYS[1])
return redis.call('SMEMBERS', KEYS[2])
"""
)


class RedisContentTable:
    """`ContentTable` on Redis; connects when it is used, `close` after. Raises ValueError for a malformed `url`."""

    def __init__(self, url: str, *, name: str) -> None:
        parsed = RedisUrl.parse(url)
        self._prefix = f"{parsed.prefix}:content"
        self._link = RedisLink(parsed, name=f"{name}-content", connections=CONNECTIONS, away=LogUnavailable)

    async def close(self) -> None:
        await self._link.close()

    async def apply(self, partition: int, changes: Sequence[Change]) -> None:
        workspaces = dict.fromkeys(change.workspace for change in changes)
        if workspaces:
            # First of all, so that beginning anew finds whatever was written.
            await self._link.call("SADD", self._workspaces(partition), *map(member, workspaces))
        for part in _parts(changes):
            await self._link.run_all(self._calls(part))

    async def advance(
        self, partition: int, changes: Sequence[Change], *, since: int, position: int, complete: bool
    ) -> bool:
        token, stored = await self._link.call("HMGET", self._state(partition), "token", "position")
        if token is None or stored is None or int(stored) != since:
            return False
        await self.apply(partition, changes)
        call = Call(MOVE_ON, [self._state(partition)], [token, since, position, int(complete)])
        return bool(await self._link.run(call))

    async def progress(self, partition: int) -> Progress | None:
        position, complete = await self._link.call("HMGET", self._state(partition), "position", "complete")
        return None if position is None else Progress(int(position), complete == b"1")

    async def reset(self, partition: int, position: int) -> None:
        found = await self._link.run(Call(BEGIN_ANEW, [self._state(partition), self._workspaces(partition)], []))
        workspaces = [text_of(one) for one in found]
        for place in range(0, len(workspaces), WORKSPACES_AT_ONCE):
            part = workspaces[place : place + WORKSPACES_AT_ONCE]
            await self._link.call_many([("UNLINK", *self._keys(workspace)) for workspace in part])
        token = secrets.token_hex(8)
        await self._link.call(
            "HSET", self._state(partition), "token", token, "position", position, "complete", int(False)
        )

    async def get_many(self, workspace: str, refs: Sequence[str]) -> dict[str, bytes]:
        rows, _, _ = self._keys(workspace)
        found: dict[str, bytes] = {}
        for place in range(0, len(refs), AT_ONCE):
            part = refs[place : place + AT_ONCE]
            for ref, row in zip(part, await self._link.call("HMGET", rows, *map(member, part)), strict=True):
                if row is not None and b" " in row:
                    found[ref] = row.split(b" ", 2)[2]
        return found

    async def refs_of(self, workspace: str, owner: str) -> list[str]:
        _, owners, _ = self._keys(workspace)
        mark = member(escaped(owner))
        found: list[str] = []
        place = b"[" + mark + b"\0"
        while True:
            # An escaped owner holds no NUL, so no other owner's refs lie between these two.
            page = await self._link.call("ZRANGEBYLEX", owners, place, b"(" + mark + b"\1", "LIMIT", 0, 10 * AT_ONCE)
            found += [text_of(one[len(mark) + 1 :]) for one in page]
            if len(page) < 10 * AT_ONCE:
                return found
            place = b"(" + page[-1]

    def _calls(self, changes: Sequence[Change]) -> list[Call]:
        args: dict[str, list[Argument]] = {}
        for change in changes:
            text = b"" if change.data is None else change.data
            there = int(change.data is not None)
            of = args.setdefault(change.workspace, [])
            of += (member(change.ref), change.offset, there, escaped(change.owner), text)
        return [Call(APPLY, self._keys(workspace), of) for workspace, of in args.items()]

    def _keys(self, workspace: str) -> tuple[str, str, str]:
        """Rows, owners, tombstones."""
        begin = f"{self._prefix}:{{w:{escaped(workspace)}}}"
        return f"{begin}:rows", f"{begin}:owners", f"{begin}:tombstones"

    def _state(self, partition: int) -> str:
        return f"{self._prefix}:{{p:{partition}}}:state"

    def _workspaces(self, partition: int) -> str:
        return f"{self._prefix}:{{p:{partition}}}:workspaces"


def _parts(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """In order, in bounded pieces."""
    part: list[Change] = []
    size = 0
    for change in changes:
        length = len(change.data or b"")
        if part and (len(part) == AT_ONCE or size + length > BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(change)
        size += length
    if part:
        yield part
