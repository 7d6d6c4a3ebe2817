"""The Lua scripts of listings, of what an operator does, and of what is done now and then."""

from __future__ import annotations

from .lua import GROWS, READS, RUNS_WHEN_FULL, Script

STATS = Script(
    READS,
    """
local queues, counts = {}, call('HGETALL', COUNTS)
for index = 1, #counts, 2 do
  if string.sub(counts[index], 1, 9) == 'accepted:' then
    local queue = string.sub(counts[index], 10)
    local first = call('ZRANGE', ORDER .. queue, 0, 0)[1]
    queues[#queues + 1] = {
      queue,
      call('ZCOUNT', LEASED .. queue, '(' .. now_text, '+inf'),
      first and first .. ' ' .. text(row_at(first)[CREATED_AT]) or false,
    }
  end
end
return {counts, queues}
""",
)
"""All counts; by queue, what is in flight, and place and creation of the head that was appended first."""

DAY = Script(
    READS,
    """
local day = call('ZRANGEBYSCORE', DAYS, asked.since or '-inf', asked['until'] or '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
if not day then return false end
local fields, counts, amounts = call('ZRANGEBYSCORE', DAYS, day, day), {}, {}
for index, field in ipairs(fields) do
  counts[index], amounts[index] = call('HGET', DAY_COUNTS, field), call('HGET', DAY_AMOUNTS, field)
end
return {tonumber(day), fields, counts, amounts}
""",
)
"""The counters of the first day among some; nothing if none of these days has any."""

FORGET_DAYS = Script(
    RUNS_WHEN_FULL,
    """
local fields = call('ZRANGEBYSCORE', DAYS, '-inf', '(' .. asked.before, 'LIMIT', 0, asked.some)
for _, field in ipairs(fields) do
  call('HDEL', DAY_COUNTS, field)
  call('HDEL', DAY_AMOUNTS, field)
  call('ZREM', DAYS, field)
end
return #fields
""",
)
"""Remove some counters of earlier days; returns how many."""

PLACE_OF = Script(
    READS,
    """
local place = call('HGET', IDS, asked.id)
return place and is_seen(asked.id, place) and place
""",
)
"""The place of an id; nothing when it is not known."""

_LISTED = """
local function listed(place, row)
  if row[QUEUE] == INBOX then row[BODY] = '' end
  if row[STATE] then
    local ended_at = text(row[ENDED_AT])
    return {place, row[STATE], row[ATTEMPTS], false, row[REASON], row[DETAIL], ended_at, false, fields(row)}
  end
  local head = head_at(place)
  local leased_until = call('ZSCORE', LEASED .. row[QUEUE], place)
  local own_due = (row[DUE_AT] or 0) > 0 and text(row[DUE_AT])
  local due = leased_until or call('ZSCORE', READY .. row[QUEUE], place) or own_due
  local state = leased_until and tonumber(leased_until) > now and 'in flight' or 'waiting'
  return {place, state, head[2], due, head[3], head[4], false, head[1], fields(row)}
end
"""

FIND = Script(
    READS,
    _LISTED
    + """
local place = call('HGET', IDS, asked.id)
local row = place and is_seen(asked.id, place) and row_at(place)
return row and listed(place, row)
""",
)
"""The row of an id; nothing where there is none."""

BROWSE = Script(
    READS,
    _LISTED
    + """
local after, some = asked.after, asked.some

local function unsettled_of_lane(lane)
  local places, ends, row = {}, call('HGET', LANES, lane), row_at(after)
  local place = ends and string.sub(ends, 1, 16)
  if row and lane_of(row) == lane and not row[STATE] then place = call('HGET', NEXT, after) end
  while place and #places < some do
    if place > after then places[#places + 1] = place end
    place = call('HGET', NEXT, place)
  end
  return places
end

local function settled_of_lane(lane)
  -- Within a lane the members of the index sort by place.
  local places = call('ZRANGEBYLEX', ENDED_LANES, '(' .. lane .. after, '(' .. lane .. ':', 'LIMIT', 0, some)
  for index, member in ipairs(places) do places[index] = string.sub(member, -16) end
  return places
end

local function in_flight()
  local places = {}
  for _, place in ipairs(call('ZRANGEBYSCORE', LEASED .. asked.queue, '(' .. now_text, '+inf')) do
    if place > after then places[#places + 1] = place end
  end
  return places
end

local function by_place(index)
  return call('ZRANGEBYSCORE', index .. asked.queue, '(' .. after, '+inf', 'LIMIT', 0, some)
end

local function candidates()
  local places, sources = {}, {}
  local unsettled = asked.state == 'waiting' or asked.state == 'in flight'
  if asked.lane then
    local lane = lane_key(asked.queue, asked.lane)
    if unsettled or not asked.state then sources[#sources + 1] = unsettled_of_lane(lane) end
    if not unsettled then sources[#sources + 1] = settled_of_lane(lane) end
  elseif asked.state == 'in flight' then
    sources[1] = in_flight()
  elseif asked.state == 'waiting' then
    sources[1] = by_place(ORDER)
  elseif asked.state == 'done' then
    sources[1] = by_place(DONE)
  else
    if not asked.state then sources[1] = by_place(ORDER) end
    sources[#sources + 1] = by_place(ENDED)
  end
  for _, source in ipairs(sources) do
    for _, place in ipairs(source) do places[#places + 1] = place end
  end
  table.sort(places)
  return places
end

-- Of each source no more than `some` places are known, so what is behind the last of a full one comes another time.
local rows, seen, places = {}, false, candidates()
for index = 1, math.min(#places, some) do
  seen = places[index]
  local row = listed(seen, row_at(seen))
  local is_done = row[2] == 'done'
  local is_wanted = not is_done or (asked.done and is_seen(row[9], seen))
  if row[2] == asked.state or (not asked.state and is_wanted) then rows[#rows + 1] = row end
  if #rows == asked.limit then break end
end
return {seen, rows}
""",
)
"""A part of a page: the last place that was looked at, and the rows. Without such a place there is nothing more."""

RETRY_DEAD = Script(
    GROWS,
    """
local retried = 0
for _, id in ipairs(asked.ids) do
  local place = call('HGET', IDS, id)
  local row = place and row_at(place)
  if row and row[STATE] == 'dead' then
    remove_ended(place, row)
    call('ZREM', REMEMBERED, id)
    count(row[QUEUE], 'dead', -1)
    count_entry(row, what_of('dead', row[REASON]), -1)
    row[DUE_AT] = now
    for column = STATE, ATTEMPTS do row[column] = nil end
    local head = enqueue(row)
    if head then make_ready(head) end
    retried = retried + 1
  end
end
write_counters()
return retried
""",
)
"""Put dead entries back at the end of their lanes."""

FORGET = Script(
    RUNS_WHEN_FULL,
    """
local dropped = 0

local function drop(place, row, attempts)
  finish(place, row, 'dropped', asked.reason, '', attempts)
  dropped = dropped + 1
end

local function drop_unsettled(lane)
  local ends = call('HGET', LANES, lane)
  local place = ends and string.sub(ends, 1, 16)
  while place do
    local row, attempts, behind = row_at(place), head_at(place)[2], call('HGET', NEXT, place)
    call('ZREM', READY .. row[QUEUE], place)
    call('ZREM', LEASED .. row[QUEUE], place)
    delay('ZREM', ORDER .. row[QUEUE], place)
    call('HDEL', HEADS, place)
    call('HDEL', NEXT, place)
    row[LANE], row[NAME] = '', ''
    drop(place, row, attempts)
    place = behind
  end
  call('HDEL', LANES, lane)
end

local function blank_settled(lane)
  for _, member in ipairs(call('ZRANGEBYLEX', ENDED_LANES, '[' .. lane .. '0', '(' .. lane .. ':')) do
    local place = string.sub(member, -16)
    local row = row_at(place)
    call('ZREM', ENDED_LANES, member)
    row[LANE], row[NAME], row[DETAIL] = '', '', ''
    if row[STATE] == 'dead' then
      count(row[QUEUE], 'dead', -1)
      count_entry(row, what_of('dead', row[REASON]), -1)
      drop(place, row, row[ATTEMPTS])
    else
      call('HSET', ROWS, place, pack(row))
      delay('ZADD', ENDED_LANES, 0, lane_of(row) .. place)
    end
  end
end

for _, field in ipairs(call('HKEYS', COUNTS)) do
  if string.sub(field, 1, 9) == 'accepted:' then
    for _, lane in ipairs(asked.lanes) do
      local key = lane_key(string.sub(field, 10), lane)
      blank_settled(key)
      drop_unsettled(key)
    end
  end
end
for _, mark in ipairs(asked.marks) do write_mark(mark, 2) end
write_counters()
return dropped
""",
)
"""Drop what is unsettled or dead in some lanes of every queue, blank what is settled there, and write a mark."""

PURGE = Script(
    RUNS_WHEN_FULL,
    """
local before = '(' .. text(now - asked.seconds)
local places = call('ZRANGEBYSCORE', ENDED_TIMES, '-inf', before, 'LIMIT', 0, asked.some)
for _, place in ipairs(places) do
  local row = row_at(place)
  remove_ended(place, row)
  call('ZADD', REMEMBERED, 'NX', text(row[ENDED_AT] + asked.remember), row[ID])
end
return #places
""",
)
"""Remove some dead and dropped rows that ended longer ago than so many seconds; returns how many."""

SWEEP = Script(
    RUNS_WHEN_FULL,
    """
local some = asked.some
local ids = call('ZRANGEBYSCORE', REMEMBERED, '-inf', now_text, 'LIMIT', 0, some)
for _, id in ipairs(ids) do
  call('ZREM', REMEMBERED, id)
  local place = call('HGET', IDS, id)
  local row = place and row_at(place)
  if row and row[STATE] == 'done' then remove_ended(place, row) end
  if not row or row[STATE] == 'done' then call('HDEL', IDS, id) end
end
local keys = call('ZRANGEBYSCORE', MARKS_UNTIL, '-inf', now_text, 'LIMIT', 0, some)
for _, key in ipairs(keys) do
  call('ZREM', MARKS_UNTIL, key)
  call('HDEL', MARKS, key)
end
local most = math.max(#ids, #keys)
for queue, seconds in pairs(asked.longest_waits) do
  local latest = text(now + seconds)
  for _, heads in ipairs({READY .. queue, LEASED .. queue}) do
    local places = call('ZRANGEBYSCORE', heads, '(' .. latest, '+inf', 'LIMIT', 0, some)
    for _, place in ipairs(places) do call('ZADD', heads, latest, place) end
    most = math.max(most, #places)
  end
end
return most
""",
)
"""
Remove some rows, ids and marks whose time is over, and move some heads that are due too late; the answer is the largest
of these numbers.
"""
