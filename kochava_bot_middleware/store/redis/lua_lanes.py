"""
The part of the Lua scripts that all of them begin with: where things are kept, and what may happen to a lane.

All keys of one shard begin with the same hash tag, so they are in one slot of a cluster::

    meta            schema, shards; the last place and the last token given
    rows            place → the entry                         everything that waits, is in flight, dead or dropped
    ids             id → place                                also of what is done, for as long as it is remembered
    lanes           queue, lane → first and last place
    next            place → the place behind it in its lane
    heads           place → token, attempts, reason, detail   only of heads that were leased once
    ready:QUEUE     heads by the time they are due            these two are all that a claim looks at
    leased:QUEUE    heads by the end of their lease
    order:QUEUE     what lives, by place
    ends            place → state, reason, detail, time, attempts
    ended:QUEUE     dead and dropped entries by place
    ended_at        the same by time
    ended_lanes     the same by lane
    remembered      ids of ended entries by the time they may be forgotten
    marks           key → expiry, a colon, value
    marks_until     keys of marks that expire, by time
    counts          "accepted:QUEUE" and the like → number
    answer:NONCE    what was answered to a commit, kept for a minute in case the answer got lost

A *place* is the time of appending in microseconds, counted up where that is not unique: 16 digits, so that places
compare as texts and as numbers, and those of several shards interleave about as they were appended.
"""

from __future__ import annotations

LANES = """
local call, pack, unpack_one = redis.call, cmsgpack.pack, cmsgpack.unpack
local META = KEYS[1]
local prefix = string.sub(META, 1, -5)
local ROWS, IDS, HEADS = prefix .. 'rows', prefix .. 'ids', prefix .. 'heads'
local LANES, NEXT = prefix .. 'lanes', prefix .. 'next'
local READY, LEASED, ORDER = prefix .. 'ready:', prefix .. 'leased:', prefix .. 'order:'
local ENDS, ENDED = prefix .. 'ends', prefix .. 'ended:'
local ENDED_AT, ENDED_LANES = prefix .. 'ended_at', prefix .. 'ended_lanes'
local REMEMBERED, COUNTS = prefix .. 'remembered', prefix .. 'counts'
local MARKS, MARKS_UNTIL = prefix .. 'marks', prefix .. 'marks_until'

local asked = cjson.decode(ARGV[2])

-- A slot that moves to another server is on both of them, each with some of its keys. A script that took the others for
-- empty would write a second store beside the first, so until all keys are on one side this question is refused.
if asked.cluster then
  local kept = {META, ROWS, IDS, HEADS, LANES, NEXT, ENDS, ENDED_AT, ENDED_LANES, REMEMBERED, COUNTS, MARKS}
  kept[#kept + 1] = MARKS_UNTIL
  for _, field in ipairs(call('HKEYS', COUNTS)) do
    if string.sub(field, 1, 9) == 'accepted:' then
      for _, of in ipairs({READY, LEASED, ORDER, ENDED}) do kept[#kept + 1] = of .. string.sub(field, 10) end
    end
  end
  call('EXISTS', unpack(kept))
end

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Lua's own form of a number has 14 digits, too few for a time.
local function text(number)
  return string.format('%.17g', number)
end
local now_text = text(now)

local last_place, last_token
local changes = {}

-- Of n shards each has every n-th number, so that a place is in one of them only.
local function next_place()
  last_place = last_place or tonumber(call('HGET', META, 'place') or -asked.shards)
  local step, shard = asked.shards, tonumber(string.match(META, ':(%d+)}:meta$'))
  last_place = math.max(last_place + step, math.floor(now * 1000000 / step) * step + shard)
  return string.format('%016.0f', last_place)
end

local function next_token()
  last_token = (last_token or tonumber(call('HGET', META, 'token') or -1)) + 1
  return asked.tokens .. string.format('%.0f', last_token)
end

local function count(queue, name, by)
  local field = name .. ':' .. queue
  changes[field] = (changes[field] or 0) + by
end

local function write_counters()
  if last_place then call('HSET', META, 'place', string.format('%.0f', last_place)) end
  if last_token then call('HSET', META, 'token', string.format('%.0f', last_token)) end
  for field, by in pairs(changes) do call('HINCRBY', COUNTS, field, by) end
end

local function row_at(place)
  return unpack_one(call('HGET', ROWS, place))
end

local function head_at(place)
  local packed = call('HGET', HEADS, place)
  if packed then return unpack_one(packed) end
  return {false, 0, '', ''}
end

-- The lengths make it unambiguous, whatever bytes a lane has.
local function lane_key(row)
  return #row[2] .. ':' .. #row[3] .. ':' .. row[2] .. row[3]
end

local function make_ready(place, row)
  local due = math.max(now, row[6] or now)
  call('ZADD', READY .. row[2], text(due), place)
  return {place = place, row = row, due = due}
end

-- Put a row at the end of its lane; the answer is a head if the lane was empty.
local function enqueue(row)
  local place = next_place()
  call('HSET', ROWS, place, pack(row))
  call('HSET', IDS, row[1], place)
  call('ZADD', ORDER .. row[2], place, place)
  local lane = lane_key(row)
  local ends = call('HGET', LANES, lane)
  if ends then
    call('HSET', NEXT, string.sub(ends, 17), place)
    call('HSET', LANES, lane, string.sub(ends, 1, 16) .. place)
    return nil
  end
  call('HSET', LANES, lane, place .. place)
  return make_ready(place, row)
end

local function remove_living(place, row)
  call('ZREM', READY .. row[2], place)
  call('ZREM', LEASED .. row[2], place)
  call('ZREM', ORDER .. row[2], place)
  call('HDEL', HEADS, place)
  call('HDEL', NEXT, place)
end

-- Take a head out of its lane; the answer is the head behind it.
local function dequeue(place, row)
  local lane = lane_key(row)
  local behind = call('HGET', NEXT, place)
  remove_living(place, row)
  if not behind then
    call('HDEL', LANES, lane)
    return nil
  end
  call('HSET', LANES, lane, behind .. string.sub(call('HGET', LANES, lane), 17))
  return make_ready(behind, row_at(behind))
end

local function lease(place, queue, seconds)
  local head = head_at(place)
  head[1], head[2] = next_token(), head[2] + 1
  call('ZREM', READY .. queue, place)
  call('ZADD', LEASED .. queue, text(now + seconds), place)
  call('HSET', HEADS, place, pack(head))
  return head[1], text(now + seconds), head[2]
end

local function owned_place(id, token)
  local place = call('HGET', IDS, id)
  if place and head_at(place)[1] == token then return place end
  return nil
end

-- Keep what is kept of an entry that left its lane.
local function finish(place, row, state, reason, detail, attempts)
  call('ZADD', REMEMBERED, text(now + asked.remember), row[1])
  count(row[2], state, 1)
  if state == 'done' then
    call('HDEL', ROWS, place)
    return
  end
  if state == 'dropped' then
    row[7] = ''
    call('HSET', ROWS, place, pack(row))
  end
  call('HSET', ENDS, place, pack({state, reason, detail, now, attempts}))
  call('ZADD', ENDED .. row[2], place, place)
  call('ZADD', ENDED_AT, now_text, place)
  call('ZADD', ENDED_LANES, 0, lane_key(row) .. place)
end

local function remove_ended(place, row)
  call('HDEL', ROWS, place)
  call('HDEL', ENDS, place)
  call('ZREM', ENDED .. row[2], place)
  call('ZREM', ENDED_AT, place)
  call('ZREM', ENDED_LANES, lane_key(row) .. place)
end

local function mark_value(key)
  local stored = call('HGET', MARKS, key)
  if not stored then return nil end
  local colon = string.find(stored, ':', 1, true)
  local expires_at = tonumber(string.sub(stored, 1, colon - 1))
  if expires_at and expires_at <= now then return nil end
  return string.sub(stored, colon + 1)
end

-- A value of nil deletes; expires_at is false for never.
local function write_mark(key, value, expires_at)
  if value then
    call('HSET', MARKS, key, (expires_at and text(expires_at) or '') .. ':' .. value)
  else
    call('HDEL', MARKS, key)
  end
  if value and expires_at then
    call('ZADD', MARKS_UNTIL, text(expires_at), key)
  else
    call('ZREM', MARKS_UNTIL, key)
  end
end

local function fields(row)
  return row[1], row[2], row[3], text(row[4]), text(row[5]), row[6] and text(row[6]) or false, row[7]
end
"""
"""What scripts share. Each is given the time (empty: the server's), what is asked as JSON, and bytes it refers to."""
