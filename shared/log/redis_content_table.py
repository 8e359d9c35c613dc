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
from shared.redis_link import Argument, Call, RedisLink, RedisUrl, Script, escaped, member, text_of, unescaped

CONNECTIONS: Final = 16
AT_ONCE: Final = 200
BYTES_AT_ONCE: Final = 512 * 1024
"""What one script takes in: some milliseconds of Redis, in which it serves nobody else."""
WORKSPACES_AT_ONCE: Final = 100
TOMBSTONES_KEPT_S: Final = 15 * 60
"""The protocol asks for ten minutes: a late writer of an older text must still find the tombstone."""

APPLY: Final = Script(
    f"""
-- KEYS: rows, owners, tombstones. ARGV: of each change: ref, offset, what it is ('-' a tombstone, 't' a text, 'f' a
-- text that counts only where none is), owner (escaped), text. Returns refs and rows that stayed in place of an 'f'.
local time = tonumber(redis.call('TIME')[1])
local stayed = {{}}
for place = 1, #ARGV, 5 do
  local ref, offset, what, owner = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  local row = redis.call('HGET', KEYS[1], ref)
  local there = row and string.match(row, '^%d+')
  local before = row and string.match(row, '^%d+ ([^ ]*) ')
  if what == 'f' and before then
    if tonumber(there) ~= tonumber(offset) then
      stayed[#stayed + 1] = ref
      stayed[#stayed + 1] = row
    end
  elseif not row or tonumber(there) < tonumber(offset) then
    if before then redis.call('ZREM', KEYS[2], before .. '\\0' .. ref) end
    if what ~= '-' then
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
return stayed
"""
)

KNOW: Final = Script(
    """
-- KEYS: workspaces. ARGV: names. A script, so that it can go out together with those that write.
return redis.call('SADD', KEYS[1], unpack(ARGV))
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

    async def apply(self, partition: int, changes: Sequence[Change]) -> list[Change]:
        stayed: list[Change] = []
        for part in _parts(changes):
            by_workspace = _by_workspace(part)
            # First of all, so that beginning anew finds whatever was written.
            calls = [Call(KNOW, [self._workspaces(partition)], [member(name) for name in by_workspace])]
            calls += [Call(APPLY, self._keys(name), _arguments(of)) for name, of in by_workspace.items()]
            _, *answers = await self._link.run_all(calls)
            for name, answer in zip(by_workspace, answers, strict=True):
                stayed += [_stayed(name, ref, row) for ref, row in zip(answer[::2], answer[1::2], strict=True)]
        return stayed

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

    def _keys(self, workspace: str) -> tuple[str, str, str]:
        """Rows, owners, tombstones."""
        begin = f"{self._prefix}:{{w:{escaped(workspace)}}}"
        return f"{begin}:rows", f"{begin}:owners", f"{begin}:tombstones"

    def _state(self, partition: int) -> str:
        return f"{self._prefix}:{{p:{partition}}}:state"

    def _workspaces(self, partition: int) -> str:
        return f"{self._prefix}:{{p:{partition}}}:workspaces"


def _by_workspace(changes: Sequence[Change]) -> dict[str, list[Change]]:
    by_workspace: dict[str, list[Change]] = {}
    for change in changes:
        by_workspace.setdefault(change.workspace, []).append(change)
    return by_workspace


def _arguments(changes: Sequence[Change]) -> list[Argument]:
    args: list[Argument] = []
    for change in changes:
        what = "-" if change.data is None else "f" if change.first else "t"
        args += (member(change.ref), change.offset, what, escaped(change.owner), change.data or b"")
    return args


def _stayed(workspace: str, ref: bytes, row: bytes) -> Change:
    offset, owner, text = row.split(b" ", 2)
    return Change(int(offset), workspace, text_of(ref), unescaped(owner.decode("ascii")), text)


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
