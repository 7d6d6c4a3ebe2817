"""
The Lua scripts that commit units, and that claim and renew.

A script is one step for the server: nothing else happens in between. Each unit is checked whole before anything of it
is written, so a unit that is refused leaves no trace.
"""

from __future__ import annotations

COMMIT = """
local answer_key = prefix .. 'answer:' .. asked.nonce
local given = call('GET', answer_key)
if given then
  -- A write, so that whoever waits for the log to be on the disk waits for that of the first time too.
  call('EXPIRE', answer_key, 60)
  return unpack_one(given)
end

local COMMITTED, CONDITION_FAILED, LEASE_LOST = 0, 1, 2

local function refusal(settlements, marks, bytes)
  local settled = {}
  for _, each in ipairs(settlements) do
    local id, token = each[1], each[2]
    if settled[id] or not owned_place(id, token) then return {LEASE_LOST, id, '', {}} end
    settled[id] = true
  end
  for _, each in ipairs(marks) do
    local condition = each[4]
    if condition ~= 'always' then
      local expected = nil
      if condition == 'if equal' and each[5] then expected = ARGV[bytes + each[5]] end
      if mark_value(each[1]) ~= expected then return {CONDITION_FAILED, each[1], '', {}} end
    end
  end
  return nil
end

-- End a claim; the answer is the head this made claimable.
local function settle(id, outcome, retry_at, reason, detail)
  local place = call('HGET', IDS, id)
  local row, head = row_at(place), head_at(place)
  if outcome == 'release' or outcome == 'retry' then
    local due = now
    head[1] = false
    if outcome == 'release' then
      head[2] = head[2] - 1
    else
      head[3], head[4] = reason, detail
      due = math.max(now, retry_at or now)
    end
    call('HSET', HEADS, place, pack(head))
    call('ZREM', LEASED .. row[2], place)
    call('ZADD', READY .. row[2], text(due), place)
    return nil
  end
  local behind = dequeue(place, row)
  finish(place, row, outcome, reason, detail, head[2])
  return behind
end

local function is_seen(id)
  local place = call('HGET', IDS, id)
  if not place then return false end
  if call('HEXISTS', ROWS, place) == 1 then return true end
  local forgotten_at = call('ZSCORE', REMEMBERED, id)
  return forgotten_at and tonumber(forgotten_at) > now
end

local function write(settlements, appends, marks, wish, bytes)
  local claimable, flags = {}, {}
  for _, each in ipairs(settlements) do
    local head = settle(each[1], each[3], each[4], each[5], each[6])
    if head then claimable[#claimable + 1] = head end
  end
  for index, each in ipairs(appends) do
    if is_seen(each[1]) then
      flags[index] = '0'
    else
      flags[index] = '1'
      count(each[2], 'accepted', 1)
      local head = enqueue({each[1], each[2], each[3], each[4], each[5], each[6], ARGV[bytes + index]})
      if head then
        head.index = index
        claimable[#claimable + 1] = head
      end
    end
  end
  for _, each in ipairs(marks) do
    write_mark(each[1], each[3] and ARGV[bytes + each[3]], each[2])
  end
  local leased = {}
  for _, head in ipairs(claimable) do
    if wish and head.row[2] == wish[1] and head.due <= now then
      local token, expires_at, attempt = lease(head.place, wish[1], wish[2])
      if head.index then
        -- Whoever appended it has the rest.
        leased[#leased + 1] = {head.index, token, expires_at, attempt}
      else
        leased[#leased + 1] = {0, token, expires_at, attempt, fields(head.row)}
      end
    end
  end
  return {COMMITTED, '', table.concat(flags), leased}
end

local answers, bytes, has_written = {}, 2, false
for index, unit in ipairs(asked.units) do
  local answer = refusal(unit[1], unit[3], bytes)
  if not answer and not asked.only_check then
    answer = write(unit[1], unit[2], unit[3], unit[4], bytes)
    has_written = true
  end
  answers[index] = answer or {COMMITTED, '', '', {}}
  bytes = bytes + unit[5]
end
if has_written then
  write_counters()
  call('SET', answer_key, pack(answers), 'EX', 60)
end
return answers
"""
"""
Commit units, in order. If the same nonce is seen again, the answer got lost: it is given again and nothing is written.
"""

CLAIM = """
local queue, limit = asked.queue, asked.limit

if asked.ahead then
  local furthest = text(now + asked.ahead)
  for _, place in ipairs(call('ZRANGEBYSCORE', LEASED .. queue, '(' .. furthest, '+inf')) do
    call('ZADD', LEASED .. queue, furthest, place)
  end
end

local function due_in(heads)
  return call('ZRANGEBYSCORE', heads, '-inf', now_text, 'WITHSCORES', 'LIMIT', 0, limit)
end

local claims = {}
local function claim(place)
  local token, expires_at, attempt = lease(place, queue, asked.seconds)
  claims[#claims + 1] = {0, token, expires_at, attempt, fields(row_at(place))}
end

local ready, leased = due_in(READY .. queue), due_in(LEASED .. queue)
local r, l = 1, 1
while #claims < limit and (ready[r] or leased[l]) do
  local place
  local ready_due, leased_due = tonumber(ready[r + 1]), tonumber(leased[l + 1])
  if not leased[l] or (ready[r] and (ready_due < leased_due or (ready_due == leased_due and ready[r] < leased[l]))) then
    place, r = ready[r], r + 2
  else
    place, l = leased[l], l + 2
  end
  claim(place)
end
if asked.ahead and #claims < limit then
  local after = '(' .. text(now + asked.ahead)
  for _, place in ipairs(call('ZRANGEBYSCORE', READY .. queue, after, '+inf', 'LIMIT', 0, limit - #claims)) do
    claim(place)
  end
end
write_counters()
return claims
"""
"""
Lease due heads of a queue, longest due first, and then those that wait for a time too far ahead. Leases that end too
far ahead are shortened.
"""

RENEW = """
local flags = {}
for index, each in ipairs(asked.claims) do
  local place = owned_place(each[1], each[2])
  if place then call('ZADD', LEASED .. row_at(place)[2], text(now + asked.seconds), place) end
  flags[index] = place and '1' or '0'
end
return {table.concat(flags), text(now + asked.seconds)}
"""
"""Extend leases whose token is still that of the head."""
