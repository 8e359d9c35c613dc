"""The book of leases in Redis, by Redis's clock: processes whose clocks differ agree on who has lapsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.leases.port import STANDSTILL_S
from shared.redis_link import Argument, Call, RedisLink, RedisUrl, Script, escaped, member, text_of
from shared.views.port import ViewsUnavailable

CONNECTIONS: Final = 4
AT_ONCE: Final = 1_000

_REACH: Final = """
-- KEYS: ends (sorted set: agent by the millisecond in which the lease ends), reached (when somebody last came here).
-- ARGV[1]: milliseconds after which the book counts as having stood still.
local time = redis.call('TIME')
local now = tonumber(time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000)))
local reached = tonumber(redis.call('GET', KEYS[2]) or now)
if now - reached > tonumber(ARGV[1]) then
  local held = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', reached), '+inf')
  for _, agent in ipairs(held) do redis.call('ZINCRBY', KEYS[1], now - reached, agent) end
end
redis.call('SET', KEYS[2], string.format('%.0f', now))
"""

RENEW: Final = Script(
    _REACH
    + """
-- ARGV: then of each lease: agent, milliseconds.
for place = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + tonumber(ARGV[place + 1])), ARGV[place])
end
return 1
"""
)

LAPSED: Final = Script(
    _REACH
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
"""
)

HELD: Final = Script(
    _REACH
    + """
local ends = redis.call('ZSCORE', KEYS[1], ARGV[2])
return ends and tonumber(ends) > now and 1 or 0
"""
)


class RedisLeaseBook:
    """`LeaseBook` on Redis; connects when it is used, `close` after. Raises ValueError for a malformed `url`."""

    def __init__(self, url: str, *, name: str, standstill_s: float = STANDSTILL_S) -> None:
        parsed = RedisUrl.parse(url)
        self._prefix = f"{parsed.prefix}:leases"
        self._link = RedisLink(parsed, name=f"{name}-leases", connections=CONNECTIONS, away=ViewsUnavailable)
        self._standstill_ms = round(standstill_s * 1000)

    async def close(self) -> None:
        await self._link.close()

    async def renew(self, leases: Sequence[tuple[str, str, float]]) -> None:
        for place in range(0, len(leases), AT_ONCE):
            workspaces: dict[str, list[Argument]] = {}
            for workspace, agent, length_s in leases[place : place + AT_ONCE]:
                workspaces.setdefault(workspace, []).extend((member(agent), round(length_s * 1000)))
            await self._link.run_all([self._call(RENEW, workspace, *args) for workspace, args in workspaces.items()])

    async def lapsed(self, workspace: str) -> list[str]:
        return sorted(map(text_of, await self._link.run(self._call(LAPSED, workspace))))

    async def held(self, workspace: str, agent: str) -> bool:
        return bool(await self._link.run(self._call(HELD, workspace, member(agent))))

    async def forget(self, workspace: str, agent: str) -> None:
        await self._link.call("ZREM", self._keys(workspace)[0], member(agent))

    def _call(self, script: Script, workspace: str, *args: Argument) -> Call:
        return Call(script, self._keys(workspace), [self._standstill_ms, *args])

    def _keys(self, workspace: str) -> tuple[str, str]:
        begin = f"{self._prefix}:{{w:{escaped(workspace)}}}"
        return f"{begin}:ends", f"{begin}:reached"
