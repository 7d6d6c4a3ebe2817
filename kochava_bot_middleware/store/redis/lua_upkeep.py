"""The Lua scripts of what an operator does, and of what is done now and then."""

from __future__ import annotations

OPEN = """
local schema, shards = call('HGET', META, 'schema'), call('HGET', META, 'shards')
if not schema then
  schema, shards = asked.schema, asked.shards
  call('HSET', META, 'schema', schema, 'shards', shards)
end
return {tonumber(schema), tonumber(shards)}
"""
"""The schema and the number of shards, written if there are none yet."""

RETRY_DEAD = """
local retried = 0
for _, id in ipairs(asked.ids) do
  local place = call('HGET', IDS, id)
  local ended = place and call('HGET', ENDS, place)
  if ended and unpack_one(ended)[1] == 'dead' then
    local row = row_at(place)
    remove_ended(place, row)
    row[6] = false
    enqueue(row)
    count(row[2], 'dead', -1)
    retried = retried + 1
  end
end
write_counters()
return retried
"""
"""Put dead entries back at the end of their lanes."""

FORGET = """
local dropped = 0

local function drop_living(queue, lane)
  local key = #queue .. ':' .. #lane .. ':' .. queue .. lane
  local ends = call('HGET', LANES, key)
  local place = ends and string.sub(ends, 1, 16)
  while place do
    local row, attempts, behind = row_at(place), head_at(place)[2], call('HGET', NEXT, place)
    remove_living(place, row)
    finish(place, row, 'dropped', asked.reason, '', attempts)
    dropped = dropped + 1
    place = behind
  end
  call('HDEL', LANES, key)
end

local function drop_dead(queue, lane)
  local key = #queue .. ':' .. #lane .. ':' .. queue .. lane
  for _, member in ipairs(call('ZRANGEBYLEX', ENDED_LANES, '[' .. key .. '0', '(' .. key .. ':')) do
    local place = string.sub(member, -16)
    local ended = unpack_one(call('HGET', ENDS, place))
    if ended[1] == 'dead' then
      count(queue, 'dead', -1)
      finish(place, row_at(place), 'dropped', asked.reason, '', ended[5])
      dropped = dropped + 1
    end
  end
end

for _, field in ipairs(call('HKEYS', COUNTS)) do
  if string.sub(field, 1, 9) == 'accepted:' then
    for _, lane in ipairs(asked.lanes) do
      drop_dead(string.sub(field, 10), lane)
      drop_living(string.sub(field, 10), lane)
    end
  end
end
for _, mark in ipairs(asked.marks) do
  write_mark(mark[1], mark[3] and ARGV[2 + mark[3]], mark[2])
end
write_counters()
return dropped
"""
"""Drop what lives or is dead in some lanes of every queue, and write a mark."""

PURGE = """
local places = call('ZRANGEBYSCORE', ENDED_AT, '-inf', '(' .. text(asked.before), 'LIMIT', 0, asked.limit)
for _, place in ipairs(places) do
  local row = row_at(place)
  remove_ended(place, row)
  if not call('ZSCORE', REMEMBERED, row[1]) then call('HDEL', IDS, row[1]) end
end
return #places
"""
"""Remove some rows that ended before a time."""

SWEEP = """
local ids = call('ZRANGEBYSCORE', REMEMBERED, '-inf', now_text, 'LIMIT', 0, asked.limit)
for _, id in ipairs(ids) do
  call('ZREM', REMEMBERED, id)
  local place = call('HGET', IDS, id)
  if place and call('HEXISTS', ROWS, place) == 0 then call('HDEL', IDS, id) end
end
local keys = call('ZRANGEBYSCORE', MARKS_UNTIL, '-inf', now_text, 'LIMIT', 0, asked.limit)
for _, key in ipairs(keys) do
  call('ZREM', MARKS_UNTIL, key)
  call('HDEL', MARKS, key)
end
return math.max(#ids, #keys)
"""
"""Remove some ids and marks whose time is over; the larger number of the two is the answer."""
