"""
The Lua scripts of bots and workers: commit, claim, renew, recall.

A script is one step for the server: nothing else happens in between. Each unit is checked whole before anything of it
is written, so a unit that is refused leaves no trace.
"""

from __future__ import annotations

from .lua import GROWS, READS, RUNS_WHEN_FULL, Script

_COMMIT = """
local answer_key = prefix .. 'answer:' .. asked.nonce
local given = call('GET', answer_key)
if given then
  -- A write, so that a client that waits for the log to be on the disk waits for that of the first time too.
  call('EXPIRE', answer_key, 60)
  return unpack_one(given)
end

local COMMITTED, CONDITION_FAILED, LEASE_LOST = 0, 1, 2

-- The refusal of a unit, or place and head of each of its claims, by id.
local function check(settlements, marks, bytes)
  local claims = {}
  for _, each in ipairs(settlements) do
    local id, token = each[1], each[2]
    local place, head = owned(id, token)
    if claims[id] or not place then return {LEASE_LOST, id, '', {}} end
    claims[id] = {place, head}
  end
  for _, mark in ipairs(marks) do
    local key, condition = mark[1], mark[4]
    if condition ~= 'always' then
      local expected = nil
      if condition == 'if equal' and mark[5] then expected = ARGV[bytes + mark[5]] end
      if mark_value(key) ~= expected then return {CONDITION_FAILED, key, '', {}} end
    end
  end
  return nil, claims
end

-- Take a head out of its lane; the answer is the head behind it.
local function dequeue(place, row)
  local lane = lane_of(row)
  local behind = call('HGET', NEXT, place)
  call('ZREM', LEASED .. row[QUEUE], place)
  delay('ZREM', ORDER .. row[QUEUE], place)
  call('HDEL', HEADS, place)
  if not behind then
    call('HDEL', LANES, lane)
    return nil
  end
  call('HDEL', NEXT, place)
  call('HSET', LANES, lane, behind .. string.sub(call('HGET', LANES, lane), 17))
  return new_head(behind, row_at(behind))
end

-- End a claim; the answer is the head this made claimable.
local function settle(place, head, outcome, retry_after, reason, detail)
  local row = row_at(place)
  if outcome == 'release' or outcome == 'retry' then
    head[1] = false
    if outcome == 'release' then
      head[2] = head[2] - 1
    else
      head[3], head[4] = reason, detail
    end
    call('HSET', HEADS, place, pack(head))
    call('ZREM', LEASED .. row[QUEUE], place)
    call('ZADD', READY .. row[QUEUE], text(now + retry_after), place)
    return nil
  end
  local behind = dequeue(place, row)
  finish(place, row, outcome, reason, detail, head[2])
  return behind
end

-- Whether an id can be appended; what is left of an id that counts as new again is removed.
local function is_new(id)
  local place = call('HGET', IDS, id)
  if not place then return true end
  write_delayed()
  if is_seen(id, place) then return false end
  local row = row_at(place)
  if row then remove_ended(place, row) end
  call('ZREM', REMEMBERED, id)
  return true
end

local function write(claims, settlements, appends, marks, wish, bytes, counts)
  local claimable, flags = {}, {}
  for _, each in ipairs(settlements) do
    local place, head = unpack(claims[each[1]])
    claimable[#claimable + 1] = settle(place, head, each[3], each[4], each[5], each[6])
  end
  for index, each in ipairs(appends) do
    if is_new(each[1]) then
      flags[index] = '1'
      count(each[QUEUE], 'accepted', 1)
      count_entry(each, 'recorded', 1)
      -- Without a wait it is due when it comes first, also if the clock has been set back by then.
      if each[DUE_AT] > 0 then each[DUE_AT] = now + each[DUE_AT] end
      each[BODY] = ARGV[bytes + index]
      local head = enqueue(each)
      if head then
        head.index = index
        claimable[#claimable + 1] = head
      end
    else
      flags[index] = '0'
    end
  end
  for _, mark in ipairs(marks) do write_mark(mark, bytes) end
  for _, each in ipairs(counts) do count_day(unpack(each)) end
  local leased = {}
  for _, head in ipairs(claimable) do
    if wish and head.row[QUEUE] == wish[1] and head.due <= now then
      local token, attempt = lease(head.place, {false, 0, '', ''}, wish[1], wish[2])
      if head.index then
        -- The client that appended it has the rest.
        leased[#leased + 1] = {head.index, token, attempt, 0}
      else
        leased[#leased + 1] = {0, token, attempt, 0, fields(head.row)}
      end
    else
      make_ready(head)
    end
  end
  return {COMMITTED, '', table.concat(flags), leased}
end

local answers, bytes, has_written = {}, 2, false
for index, unit in ipairs(asked.units) do
  local answer, claims = check(unit[1], unit[3], bytes)
  if not answer and not asked.only_check then
    answer = write(claims, unit[1], unit[2], unit[3], unit[4], bytes, unit[6])
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

COMMIT = Script(GROWS, _COMMIT)
"""
Commit units, in order. If the same nonce is seen again, the answer got lost: it is given again and nothing is written.
"""

COMMIT_WHEN_FULL = Script(RUNS_WHEN_FULL, _COMMIT)
"""The same for units without appends and new values, which work when the server's memory is full."""

CLAIM = Script(
    RUNS_WHEN_FULL,
    """
local queue, limit = asked.queue, asked.limit

local function due_in(heads)
  return call('ZRANGEBYSCORE', heads, '-inf', now_text, 'WITHSCORES', 'LIMIT', 0, limit)
end

local claims = {}
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
  call('ZREM', READY .. queue, place)
  local head = head_at(place)
  local is_takeover = head[1] and 1 or 0
  local token, attempt = lease(place, head, queue, asked.seconds)
  claims[#claims + 1] = {0, token, attempt, is_takeover, fields(row_at(place))}
end
write_counters()
return claims
""",
)
"""Lease due heads of a queue, longest due first."""

RENEW = Script(
    RUNS_WHEN_FULL,
    """
local flags = {}
for index, each in ipairs(asked.claims) do
  local place = owned(each[1], each[2])
  if place then call('ZADD', LEASED .. row_at(place)[QUEUE], text(now + asked.seconds), place) end
  flags[index] = place and '1' or '0'
end
return table.concat(flags)
""",
)
"""Extend leases whose token is still that of the head; the answer has a 1 for each that was, and a 0 for the others."""

RECALL = Script(
    READS,
    """
local values = {}
for index, key in ipairs(asked.keys) do values[index] = mark_value(key) or false end
return values
""",
)
"""Values of marks; nothing where there is none."""

NEXT_DUE = Script(
    READS,
    """
local ready = call('ZRANGE', READY .. asked.queue, 0, 0, 'WITHSCORES')[2]
local leased = call('ZRANGE', LEASED .. asked.queue, 0, 0, 'WITHSCORES')[2]
local first = tonumber(ready or leased)
if not first then return false end
if leased then first = math.min(first, tonumber(leased)) end
return text(math.max(0, first - now))
""",
)
"""Seconds until the first head of a queue is due."""
