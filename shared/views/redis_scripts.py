"""What must happen in Redis in one step, as Lua scripts. Each touches one hash slot.

A *generation* is a number that rises with every writing anew (the server's microseconds, or one more than the last).
It keeps out what a publisher of before still has under way: without it, an old document could come back after the
deletions that were remembered have been cleared.

Numbers stay below 2^53, where Lua's are exact. They are kept as the strings they came as, because Lua would write a
large one as 1.7e+15.
"""

from __future__ import annotations

from typing import Final

from shared.redis_link import Script

REMEMBERED_DELETIONS: Final = 10_000
"""A kind and workspace. An older write than that many deletions ago would be one of a publisher long gone."""

_MICROSECONDS = """
local function microseconds()
  local time = redis.call('TIME')
  return time[1] .. string.format('%06d', time[2])
end
"""

_HINT = """
-- Numbered without a gap, so that whoever listens sees that one is missing. After a loss the numbers go on above all
-- earlier ones.
local function hint(key, channel, seq, changed)
  if redis.call('HEXISTS', key, 'number') == 0 then
    redis.call('HSET', key, 'number', microseconds())
  end
  redis.call('HINCRBY', key, 'number', 1)
  local number = redis.call('HGET', key, 'number')
  redis.call('PUBLISH', channel, '[' .. number .. ',' .. seq .. ',' .. changed .. ']')
  return number
end
"""

_RENEW = """
local function renew(key, epoch)
  local generation = redis.call('HGET', key, 'generation')
  local now = microseconds()
  if generation and tonumber(generation) >= tonumber(now) then
    redis.call('HINCRBY', key, 'generation', 1)
  else
    redis.call('HSET', key, 'generation', now)
  end
  redis.call('HSET', key, 'epoch', epoch)
  redis.call('HDEL', key, 'seq')
  return redis.call('HGET', key, 'generation')
end
"""

WRITE: Final = Script(
    f"""
-- KEYS: generation, kinds, then documents, ids and deletions of each kind.
-- ARGV: generation, how many kinds, their names, then of each change: which kind (from 1), id, seq, document or ''.
-- Returns 1, or 0 if a newer generation has written here.
local stored = redis.call('GET', KEYS[1])
if stored and tonumber(stored) > tonumber(ARGV[1]) then return 0 end
if stored ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
local kinds = tonumber(ARGV[2])
for kind = 1, kinds do redis.call('SADD', KEYS[2], ARGV[2 + kind]) end
for place = 3 + kinds, #ARGV, 4 do
  local first = 3 * tonumber(ARGV[place])
  local documents, ids, deletions = KEYS[first], KEYS[first + 1], KEYS[first + 2]
  local id, seq, document = ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  local known = redis.call('HGET', documents, id)
  local written = known and string.match(known, '^%d+') or redis.call('ZSCORE', deletions, id) or '0'
  if tonumber(seq) >= tonumber(written) then
    if document == '' then
      if known then
        redis.call('HDEL', documents, id)
        redis.call('ZREM', ids, id)
      end
      redis.call('ZADD', deletions, seq, id)
      redis.call('ZREMRANGEBYRANK', deletions, 0, -{REMEMBERED_DELETIONS + 1})
    else
      redis.call('HSET', documents, id, seq .. ' ' .. document)
      if not known then
        redis.call('ZADD', ids, 0, id)
        if written ~= '0' then redis.call('ZREM', deletions, id) end
      end
    end
  end
end
return 1
"""
)

MARK: Final = Script(
    _MICROSECONDS
    + _HINT
    + """
-- KEYS: partition, workspaces. ARGV: epoch, generation, the seq written last, the seq written now or '', channel, what
-- changed as JSON, then workspaces that are new.
-- Returns {'written', number of the hint}, {'lost'}, {'behind'}: somebody else wrote as much and more, or
-- {'adopt', generation}: somebody else wrote everything anew, and this goes on from there.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'generation')
local stored, generation = tonumber(state[2] or '0'), tonumber(state[3] or '0')
local last, seq = tonumber(ARGV[3]), tonumber(ARGV[4])
if state[1] ~= ARGV[1] or stored < last or generation < tonumber(ARGV[2]) then return {'lost'} end
if generation > tonumber(ARGV[2]) then
  if not seq or not state[2] then return {'lost'} end
  if seq <= stored then return {'behind'} end
  return {'adopt', state[3]}
end
if seq and seq > stored then redis.call('HSET', KEYS[1], 'seq', ARGV[4]) end
for place = 7, #ARGV do redis.call('SADD', KEYS[2], ARGV[place]) end
return {'written', hint(KEYS[1], ARGV[5], seq and ARGV[4] or 'null', ARGV[6])}
"""
)

BEGIN: Final = Script(
    _MICROSECONDS
    + _HINT
    + _RENEW
    + """
-- KEYS: partition. ARGV: epoch, channel. Returns {seq, generation}; another epoch's facts are forgotten.
-- Two who begin on nothing share a generation: which of them will publish is not known yet.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'generation')
if state[1] == ARGV[1] and state[3] then return {state[2] or '0', state[3]} end
local generation = renew(KEYS[1], ARGV[1])
hint(KEYS[1], ARGV[2], '0', '[]')
return {'0', generation}
"""
)

CLEAR: Final = Script(
    _MICROSECONDS
    + _HINT
    + _RENEW
    + """
-- KEYS: partition, workspaces. ARGV: epoch, channel, then workspaces. Readers see seq 0 from here on.
-- Returns {generation, every workspace that was ever written}.
local generation = renew(KEYS[1], ARGV[1])
hint(KEYS[1], ARGV[2], '0', '[]')
for place = 3, #ARGV do redis.call('SADD', KEYS[2], ARGV[place]) end
return {generation, redis.call('SMEMBERS', KEYS[2])}
"""
)

FENCE: Final = Script(
    """
-- KEYS: generation, kinds. ARGV: generation. From here on only this or a newer generation writes.
-- Returns the kinds to delete: none if a newer one was here.
local stored = redis.call('GET', KEYS[1])
if stored and tonumber(stored) > tonumber(ARGV[1]) then return {} end
redis.call('SET', KEYS[1], ARGV[1])
return redis.call('SMEMBERS', KEYS[2])
"""
)

CLAIM: Final = Script(
    """
-- KEYS: claim. ARGV: owner, milliseconds. Returns 1 if the owner holds it now.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
