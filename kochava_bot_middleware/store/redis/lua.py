"""
What all Lua scripts begin with: where things are kept, and what may happen to a lane.

All keys of one shard begin with the same hash tag, so they are in one slot of a cluster: ``{PREFIX:SHARD}:``. All but
`meta` go on with the version of the layout, ``2:``::

    meta            schema, shards, converting; the last place and the last token given
    rows            place → the entry, with its end once it is settled
    ids             id → place; also of purged rows, for as long as the id is remembered
    lanes           queue, lane → first and last place of what is not settled
    next            place → the place behind it in its lane
    heads           place → token, attempts, reason, detail   only of heads that were leased once
    ready:QUEUE     heads by the time they are due            these two are all that a claim looks at
    leased:QUEUE    heads by the end of their lease
    order:QUEUE     what is not settled, by place
    done:QUEUE      what is done, by place
    ended:QUEUE     what is dead or dropped, by place
    ended_at        the same by time, for all queues
    ended_lanes     all that is settled, by lane and place
    remembered      ids of what is done or purged, by the time they may be forgotten
    marks           key → expiry, a colon, value
    marks_until     keys of marks that expire, by time
    counts          "accepted:QUEUE" and the like → number
    day_counts      day, facts and what, each behind a NUL → number
    day_amounts     the same → sum of the amounts, where there are any
    days            the same, by day
    answer:NONCE    what was answered to a commit, kept for a minute in case the answer got lost

A *place* is the time of appending in microseconds, counted up where that is not unique: 16 digits, so that places
compare as texts and as numbers, and those of several shards interleave about as they were appended.
"""

from __future__ import annotations

import hashlib
import re

from ..day_counts import LATENCIES, LONGEST_REASON

SCHEMA = 2
"""The version of what the scripts write."""

SOME_ROWS = 500
"""How many rows a script looks at, so that commits never wait long for it."""

_LATENCIES = "{" + ", ".join(f"'{bound}'" for bound in LATENCIES[:-1]) + "}"

_SHARED = """
local call, pack, unpack_one = redis.call, cmsgpack.pack, cmsgpack.unpack
local META = KEYS[1]
local tag = string.sub(META, 1, -5)
local prefix = tag .. '2:'
local ROWS, IDS, HEADS = prefix .. 'rows', prefix .. 'ids', prefix .. 'heads'
local LANES, NEXT = prefix .. 'lanes', prefix .. 'next'
local READY, LEASED, ORDER = prefix .. 'ready:', prefix .. 'leased:', prefix .. 'order:'
local DONE, ENDED = prefix .. 'done:', prefix .. 'ended:'
local ENDED_TIMES, ENDED_LANES = prefix .. 'ended_at', prefix .. 'ended_lanes'
local REMEMBERED, COUNTS = prefix .. 'remembered', prefix .. 'counts'
local DAY_COUNTS, DAY_AMOUNTS, DAYS = prefix .. 'day_counts', prefix .. 'day_amounts', prefix .. 'days'
local MARKS, MARKS_UNTIL = prefix .. 'marks', prefix .. 'marks_until'

-- The elements of a row; it has those of the second line once it is settled.
local ID, QUEUE, LANE, SCHEMA, CREATED_AT, DUE_AT, BODY, KIND, NAME, LABEL = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local STATE, REASON, DETAIL, ENDED_AT, ATTEMPTS = 11, 12, 13, 14, 15

-- The queue whose bodies are for nobody to read, and whose lanes and names are not kept.
local INBOX = 'inbox'

local asked = cjson.decode(ARGV[2])

local function all_names(before)
  local names = {'rows', 'ids', 'heads', 'lanes', 'next', 'ended_at', 'ended_lanes', 'remembered', 'counts', 'marks'}
  for _, name in ipairs({'marks_until', 'day_counts', 'day_amounts', 'days'}) do names[#names + 1] = name end
  local queues = {}
  for _, field in ipairs(call('HKEYS', before .. 'counts')) do
    if string.sub(field, 1, 9) == 'accepted:' then queues[string.sub(field, 10)] = true end
  end
  for _, unit in ipairs(asked.units or {}) do
    for _, each in ipairs(unit[2]) do queues[each[2]] = true end
  end
  for queue in pairs(queues) do
    for _, of in ipairs({'ready:', 'leased:', 'order:', 'done:', 'ended:'}) do names[#names + 1] = of .. queue end
  end
  return names
end

-- A slot that moves to another server is on both of them, each with some of its keys. A script that took the others for
-- empty would write a second store beside the first, so until all keys are on one side this question is refused.
local function check_slot(before)
  if not asked.cluster then return end
  local kept = {META}
  for _, name in ipairs(all_names(before)) do kept[#kept + 1] = before .. name end
  call('EXISTS', unpack(kept))
end
check_slot(prefix)

local now = tonumber(ARGV[1])
if not now then
  local time = call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Lua's own form of a number has 14 digits, too few for a time.
local function text(number)
  return string.format('%.17g', number)
end
local now_text, remembered_until = text(now), text(now + asked.remember)

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

-- Counters by day. Amounts travel as texts, since Lua's numbers are not exact beyond 2^53.
local day_changes = {}

local function count_day(day, facts, what, by, amount)
  local field = day .. '\0' .. facts .. '\0' .. what
  day_changes[field] = (day_changes[field] or 0) + by
  -- A sum beyond 64 bits is refused; that must not end the script.
  if amount ~= '0' then
    redis.pcall('HINCRBY', DAY_AMOUNTS, field, amount)
    call('ZADD', DAYS, day, field)
  end
end

-- The same of an entry, if it has a label; `by` is 1 or -1.
local function count_entry(row, what, by)
  local day, amount, facts = string.match(row[LABEL], '^(%-?%d+) (%-?%d+) (.*)$')
  if not day then return end
  if by < 0 and amount ~= '0' then
    amount = string.sub(amount, 1, 1) == '-' and string.sub(amount, 2) or '-' .. amount
  end
  count_day(day, facts, what, by, amount)
end

local function write_day_counts()
  for field, by in pairs(day_changes) do
    -- What is new has no more than was added to it.
    if by ~= 0 and call('HINCRBY', DAY_COUNTS, field, by) == by then
      call('ZADD', DAYS, string.match(field, '^%-?%d+'), field)
    end
  end
  day_changes = {}
end

local function what_of(state, reason, seconds)
  if state ~= 'done' then return state .. ':' .. (#reason <= LONGEST_REASON and reason or '') end
  for _, bound in ipairs(LATENCIES) do
    if seconds <= tonumber(bound) then return 'done:' .. bound end
  end
  return 'done:inf'
end

-- Changes of indexes that scripts do not read themselves, by command and key: one command for all units of a group.
local delayed = {ZADD = {}, ZREM = {}}

local function delay(command, key, ...)
  local arguments = delayed[command][key] or {}
  delayed[command][key] = arguments
  for _, argument in ipairs({...}) do arguments[#arguments + 1] = argument end
end

local function write_delayed()
  for command, by_key in pairs(delayed) do
    for key, arguments in pairs(by_key) do
      for first = 1, #arguments, 1000 do
        call(command, key, unpack(arguments, first, math.min(first + 999, #arguments)))
      end
    end
  end
  delayed = {ZADD = {}, ZREM = {}}
end

local function write_counters()
  write_delayed()
  write_day_counts()
  if last_place then call('HSET', META, 'place', string.format('%.0f', last_place)) end
  if last_token then call('HSET', META, 'token', string.format('%.0f', last_token)) end
  for field, by in pairs(changes) do call('HINCRBY', COUNTS, field, by) end
end

-- The row at a place, nil where there is none.
local function row_at(place)
  local packed = call('HGET', ROWS, place)
  if not packed then return nil end
  local row = unpack_one(packed)
  -- Version 1 wrote none of them.
  row[KIND], row[NAME], row[LABEL] = row[KIND] or '', row[NAME] or '', row[LABEL] or ''
  return row
end

local function head_at(place)
  local packed = call('HGET', HEADS, place)
  if packed then return unpack_one(packed) end
  return {false, 0, '', ''}
end

-- The lengths make it unambiguous, whatever bytes a lane has.
local function lane_key(queue, lane)
  return #queue .. ':' .. #lane .. ':' .. queue .. lane
end

local function lane_of(row)
  return lane_key(row[QUEUE], row[LANE])
end

-- A head that nothing has leased yet; it is to be made ready, or leased.
local function new_head(place, row)
  return {place = place, row = row, due = math.max(now, row[DUE_AT] or now)}
end

local function make_ready(head)
  call('ZADD', READY .. head.row[QUEUE], text(head.due), head.place)
end

-- Put a row at the end of its lane; the answer is a head if the lane was empty.
local function enqueue(row)
  local place = next_place()
  call('HSET', ROWS, place, pack(row))
  call('HSET', IDS, row[ID], place)
  delay('ZADD', ORDER .. row[QUEUE], place, place)
  local lane = lane_of(row)
  local ends = call('HGET', LANES, lane)
  if ends then
    call('HSET', NEXT, string.sub(ends, 17), place)
    call('HSET', LANES, lane, string.sub(ends, 1, 16) .. place)
    return nil
  end
  call('HSET', LANES, lane, place .. place)
  return new_head(place, row)
end

local function lease(place, head, queue, seconds)
  head[1], head[2] = next_token(), head[2] + 1
  call('ZADD', LEASED .. queue, text(now + seconds), place)
  call('HSET', HEADS, place, pack(head))
  return head[1], head[2]
end

-- Place and head of a claim that is still its owner's.
local function owned(id, token)
  local place = call('HGET', IDS, id)
  local head = place and head_at(place)
  if head and head[1] == token then return place, head end
  return nil
end

-- Keep what is kept of an entry that left its lane.
local function finish(place, row, state, reason, detail, attempts)
  row[STATE], row[REASON], row[DETAIL], row[ENDED_AT], row[ATTEMPTS] = state, reason, detail, now, attempts
  count_entry(row, what_of(state, reason, now - row[CREATED_AT]), 1)
  if state ~= 'dead' then
    row[BODY], row[LABEL] = '', ''
    if row[QUEUE] == INBOX then row[LANE], row[NAME] = '', '' end
  end
  count(row[QUEUE], state, 1)
  call('HSET', ROWS, place, pack(row))
  delay('ZADD', ENDED_LANES, 0, lane_of(row) .. place)
  if state == 'done' then
    delay('ZADD', DONE .. row[QUEUE], place, place)
    delay('ZADD', REMEMBERED, remembered_until, row[ID])
  else
    delay('ZADD', ENDED .. row[QUEUE], place, place)
    delay('ZADD', ENDED_TIMES, now_text, place)
  end
end

-- Remove the row of a settled entry; its id stays.
local function remove_ended(place, row)
  call('HDEL', ROWS, place)
  call('ZREM', ENDED_LANES, lane_of(row) .. place)
  if row[STATE] == 'done' then
    call('ZREM', DONE .. row[QUEUE], place)
  else
    call('ZREM', ENDED .. row[QUEUE], place)
    call('ZREM', ENDED_TIMES, place)
  end
end

-- The ids of what is done or purged are remembered for some time, all others as long as there is a row.
local function is_seen(id, place)
  local until_when = call('ZSCORE', REMEMBERED, id)
  if until_when and tonumber(until_when) > now then return true end
  local row = row_at(place)
  return row and row[STATE] ~= 'done'
end

local function mark_value(key)
  local stored = call('HGET', MARKS, key)
  if not stored then return nil end
  local colon = string.find(stored, ':', 1, true)
  local expires_at = tonumber(string.sub(stored, 1, colon - 1))
  if expires_at and expires_at <= now then return nil end
  return string.sub(stored, colon + 1)
end

-- A mark is its key, seconds until it expires (false: never), and the number of its value (false: delete it).
local function write_mark(mark, bytes)
  local key, value = mark[1], mark[3] and ARGV[bytes + mark[3]]
  local expires_at = mark[2] and text(now + mark[2])
  if value then
    call('HSET', MARKS, key, (expires_at or '') .. ':' .. value)
  else
    call('HDEL', MARKS, key)
  end
  if value and expires_at then
    call('ZADD', MARKS_UNTIL, expires_at, key)
  else
    call('ZREM', MARKS_UNTIL, key)
  end
end

local function fields(row)
  return row[ID], row[QUEUE], row[LANE], text(row[SCHEMA]), text(row[CREATED_AT]), row[BODY], row[KIND], row[NAME],
    row[LABEL]
end
""".replace("LONGEST_REASON", str(LONGEST_REASON)).replace("LATENCIES", _LATENCIES)
"""Each script is given the time (empty: the server's), what is asked as JSON, and bytes it refers to."""

# A server whose memory is full refuses a script before its first line, unless that line says that it needs no memory.
GROWS = "#!lua\n"
RUNS_WHEN_FULL = "#!lua flags=allow-oom\n"
READS = "#!lua flags=no-writes\n"


_CHECK_OPEN = """
-- The schema is written when a store is opened. One that has none was emptied since, and would begin anew in silence.
if string.find(META, ':0}:meta', 1, true) and call('HEXISTS', META, 'schema') == 0 then
  return redis.error_reply('EMPTIED there is no store any more')
end
"""

_CHECK_BEFORE_WRITING = """
-- The server takes nothing back of a script that fails in the middle, so a right that is missing is found beforehand.
local function missing_right(commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(command, ROWS, META) then
      return redis.error_reply('NOPERM no right to the command ' .. command)
    end
  end
end

local missing = missing_right(COMMANDS)
if missing then return missing end

-- So are keys of another program.
local hashes = {rows = 1, ids = 1, heads = 1, lanes = 1, next = 1, counts = 1, marks = 1}
hashes.day_counts, hashes.day_amounts = 1, 1
for _, name in ipairs(all_names(prefix)) do
  local kind = call('TYPE', prefix .. name).ok
  if kind ~= 'none' and kind ~= (hashes[name] and 'hash' or 'zset') then
    return redis.error_reply('WRONGTYPE ' .. prefix .. name .. ' is a ' .. kind)
  end
end
"""

_COMMAND = re.compile(r"\b(?:call|delay)\('([A-Z]+)'")


class Script:
    """
    A script and the hash under which the server knows it.

    Args:
        flags: The first line, which says when the server may refuse it.
        body: What follows the part that all scripts share.
        opens: It is run before the store is open.

    Attributes:
        commands: All that it may have the server do.
    """

    def __init__(self, flags: str, body: str, *, opens: bool = False) -> None:
        checks = "" if opens else _CHECK_OPEN
        if flags != READS and not opens:
            checks += _CHECK_BEFORE_WRITING
        self.commands = sorted(set(_COMMAND.findall(_SHARED + checks + body)))
        names = ", ".join(f"'{command}'" for command in self.commands)
        self.text = flags + _SHARED + checks.replace("COMMANDS", f"{{{names}}}") + body
        # The server's own name for a script, not a matter of security.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
