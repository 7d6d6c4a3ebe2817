"""The Lua scripts that only look."""

from __future__ import annotations

RECALL = """
local values = {}
for index, key in ipairs(asked.keys) do values[index] = mark_value(key) or false end
return values
"""
"""Values of marks; nothing where there is none."""

NEXT_DUE = """
local ready = call('ZRANGE', READY .. asked.queue, 0, 0, 'WITHSCORES')[2]
local leased = call('ZRANGE', LEASED .. asked.queue, 0, 0, 'WITHSCORES')[2]
local first = ready or leased or false
if ready and leased and tonumber(leased) < tonumber(ready) then first = leased end
if asked.ahead and first and tonumber(first) > now then
  local after = '(' .. text(now + asked.ahead)
  for _, heads in ipairs({READY, LEASED}) do
    if call('ZCOUNT', heads .. asked.queue, after, '+inf') > 0 then return now_text end
  end
end
return first
"""
"""When the first head of a queue is due; now if anything is due too far ahead."""

STATS = """
local queues, counts = {}, call('HGETALL', COUNTS)
for index = 1, #counts, 2 do
  if string.sub(counts[index], 1, 9) == 'accepted:' then
    local queue = string.sub(counts[index], 10)
    local first = call('ZRANGE', ORDER .. queue, 0, 0)[1]
    queues[#queues + 1] = {
      queue,
      call('ZCOUNT', LEASED .. queue, '(' .. now_text, '+inf'),
      first and first .. ' ' .. text(row_at(first)[5]) or false,
    }
  end
end
return {counts, queues}
"""
"""All counts; by queue, what is in flight, and place and creation of the head that was appended first."""

PLACE_OF = """
return call('HGET', IDS, asked.id)
"""
"""The place of an id."""

_LISTED = """
local function listed(place)
  local row, ended = row_at(place), call('HGET', ENDS, place)
  if row[2] == asked.private then row[7] = '' end
  if ended then
    ended = unpack_one(ended)
    return {place, ended[1], ended[5], false, ended[2], ended[3], text(ended[4]), fields(row)}
  end
  local head = head_at(place)
  local leased_until = call('ZSCORE', LEASED .. row[2], place)
  local due = leased_until or call('ZSCORE', READY .. row[2], place) or (row[6] and text(row[6]))
  local state = leased_until and tonumber(leased_until) > now and 'in flight' or 'waiting'
  return {place, state, head[2], due, head[3], head[4], false, fields(row)}
end
"""

FIND = (
    _LISTED
    + """
local place = call('HGET', IDS, asked.id)
if place and call('HEXISTS', ROWS, place) == 1 then return listed(place) end
return false
"""
)
"""The row of an id; nothing where there is none."""

BROWSE = (
    _LISTED
    + """
local after, some = asked.after, asked.some

local function living_of_lane(key)
  local places, ends, row = {}, call('HGET', LANES, key), call('HGET', ROWS, after)
  local place = ends and string.sub(ends, 1, 16)
  if row and lane_key(unpack_one(row)) == key and call('HEXISTS', ENDS, after) == 0 then
    place = call('HGET', NEXT, after)
  end
  while place and #places < some do
    if place > after then places[#places + 1] = place end
    place = call('HGET', NEXT, place)
  end
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
  local wants_living = not asked.state or asked.state == 'waiting' or asked.state == 'in flight'
  local wants_ended = not asked.state or asked.state == 'dead' or asked.state == 'dropped'
  local key = asked.lane and #asked.queue .. ':' .. #asked.lane .. ':' .. asked.queue .. asked.lane
  if wants_living then
    if key then sources[1] = living_of_lane(key)
    elseif asked.state == 'in flight' then sources[1] = in_flight()
    else sources[1] = by_place(ORDER) end
  end
  if wants_ended and key then
    -- Within a lane the members of the index sort by place.
    local found = call('ZRANGEBYLEX', ENDED_LANES, '(' .. key .. after, '(' .. key .. ':', 'LIMIT', 0, some)
    for index, member in ipairs(found) do found[index] = string.sub(member, -16) end
    sources[#sources + 1] = found
  elseif wants_ended then
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
  local row = listed(seen)
  if not asked.state or asked.state == row[2] then rows[#rows + 1] = row end
  if #rows == asked.limit then break end
end
return {seen, rows}
"""
)
"""
A part of a page: the last place that was looked at, and the rows. Without such a place there is nothing more.
"""
