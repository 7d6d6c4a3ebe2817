"""
What belongs to one process and one event loop: the connections to a server, opened once this release may use the store.

**A store of schema 1**, written by the former release, is converted in place when it is opened, as follows.

1. Shard by shard, and in one step each, its keys are renamed to those of schema 2. From the first step on the former
   release refuses to open the store. A process of it that still runs fails with each commit and claims nothing, since
   two of the former keys hold a text then: nothing that it would write is lost without an error.
2. The ends of dead and dropped entries move into their rows, in portions.
3. With several shards, the marks that are not named after a person are copied to every shard. They were kept in the
   shard of their key, and are looked for in that of their lane now, which their key does not name.

Each step can be repeated, and until the last one is done the store says that it is being converted. So no lock is
needed: when a process dies in between, the next one goes on, and two of them do no harm. Nothing is lost: what waits,
is in flight, dead or dropped, its leases, all marks, and the ids that are remembered, which have no row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import attrs

from ...exceptions import SchemaTooNew, StoreUnusable
from .address import RedisAddress
from .client import Client
from .lua import READS, RUNS_WHEN_FULL, SCHEMA, SOME_ROWS, Script
from .lua_upkeep import BROWSE, DAY, FIND, FORGET, FORGET_DAYS, PLACE_OF, PURGE, RETRY_DEAD, STATS, SWEEP
from .lua_work import CLAIM, COMMIT, NEXT_DUE, RECALL, RENEW
from .notifier import RedisNotifier
from .round_trips import RoundTrips

OPEN = Script(
    RUNS_WHEN_FULL,
    """
local schema, shards = call('HGET', META, 'schema'), call('HGET', META, 'shards')
if not schema then
  schema, shards = asked.schema, asked.shards
  call('HSET', META, 'schema', schema, 'shards', shards)
end
return {tonumber(schema), tonumber(shards), call('HEXISTS', META, 'converting')}
""",
    opens=True,
)
"""The schema and the number of shards, written if there are none yet, and whether the store is being converted."""

PROVE_WRITABLE = Script(
    RUNS_WHEN_FULL,
    """
missing = missing_right(asked.commands)
if missing then return missing end
if not redis.acl_check_cmd('EVAL', '', '1', META) then return redis.error_reply('NOPERM no right to EVAL') end
call('HSET', META, 'probe', '')
call('HDEL', META, 'probe')
""",
)
"""
A write that changes nothing. A replica refuses it, and so does a server where the user may not use one of the commands.
"""

_WORK = (COMMIT, CLAIM, RENEW, RECALL, NEXT_DUE)
_UPKEEP = (STATS, DAY, FORGET_DAYS, PLACE_OF, FIND, BROWSE, RETRY_DEAD, FORGET, PURGE, SWEEP)
_COMMANDS = sorted({command for script in (*_WORK, *_UPKEEP) for command in script.commands})

_RENAME_KEYS = Script(
    RUNS_WHEN_FULL,
    """
if tonumber(call('HGET', META, 'schema') or 1) >= 2 then return end
check_slot(tag)
local names = all_names(tag)
names[#names + 1] = 'ends'
for _, name in ipairs(names) do
  if call('EXISTS', tag .. name) == 1 then call('RENAME', tag .. name, prefix .. name) end
end
-- The former release reads one of these before it writes anything, and fails.
call('MSET', tag .. 'ids', 'converted', tag .. 'marks', 'converted')
call('HSET', META, 'schema', 2, 'shards', asked.shards, 'converting', 1)
""",
    opens=True,
)

_MOVE_ENDS = Script(
    RUNS_WHEN_FULL,
    """
local places = call('ZRANGE', ENDED_TIMES, asked.from, asked.from + asked.some - 1)
for _, place in ipairs(places) do
  local packed = call('HGET', prefix .. 'ends', place)
  if packed then
    local row = row_at(place)
    local state, reason, detail, ended_at, attempts = unpack(unpack_one(packed))
    row[STATE], row[REASON], row[DETAIL], row[ENDED_AT], row[ATTEMPTS] = state, reason, detail, ended_at, attempts
    call('HSET', ROWS, place, pack(row))
    call('HDEL', prefix .. 'ends', place)
  end
end
return #places
""",
)

_SCAN_MARKS = Script(
    READS,
    """
local named_after_a_person = {funnel = true, identities = true, known = true, referral = true}
local marks, answer = {}, call('HSCAN', MARKS, asked.cursor, 'COUNT', asked.some)
for index = 1, #answer[2], 2 do
  local key = string.gsub(answer[2][index], '^dry_run:', '')
  if not named_after_a_person[string.match(key, '^([^:]*):.*:')] then
    marks[#marks + 1] = answer[2][index]
    marks[#marks + 1] = answer[2][index + 1]
  end
end
return {answer[1], marks}
""",
)
"""Some marks that are not named after a person, such as ``barred:HASH``, and where to go on."""

_COPY_MARKS = Script(
    RUNS_WHEN_FULL,
    """
if call('HEXISTS', META, 'converting') == 0 then return end
for index = 3, #ARGV, 2 do
  local key, stored = ARGV[index], ARGV[index + 1]
  local expires_at = string.match(stored, '^[^:]+')
  if call('HSETNX', MARKS, key, stored) == 1 and expires_at then call('ZADD', MARKS_UNTIL, expires_at, key) end
end
""",
)

_END_CONVERSION = Script(RUNS_WHEN_FULL, "call('HDEL', META, 'converting')")


@attrs.frozen(kw_only=True)
class RedisSession:
    """An open store. What writes and what reads go by different connections."""

    client: Client
    writes: RoundTrips
    reads: RoundTrips
    notifier: RedisNotifier

    async def close(self) -> None:
        """Finish what was begun and close the connections."""
        await self.writes.finish()
        await self.reads.finish()
        await self.notifier.close()
        await self.client.close()


async def open_session(
    client: Client, address: RedisAddress, *, name: str, now: Callable[[], str], common: Mapping[str, object]
) -> RedisSession:
    """
    Check that this release may use what is there, and convert it if the former one wrote it.

    Args:
        client: The connections. They are closed if this fails.
        name: Of this process, by which it knows its own notices.

    Raises:
        StoreUnavailable: The server cannot be reached, or holds a store with other shards.
        SchemaTooNew: A newer release wrote it.
    """
    session = RedisSession(
        client=client,
        writes=RoundTrips(client, address, now=now, common=common, is_durable=True),
        reads=RoundTrips(client, address, now=now, common=common),
        notifier=RedisNotifier(client, address, name=name),
    )
    try:
        schema, shards, is_converting = await session.reads.run(OPEN, 0, {"schema": SCHEMA})
        if schema > SCHEMA:
            known = f"has schema {schema}, and this release knows up to {SCHEMA}"
            message = f"the store {address} {known}; upgrade the package"
            raise SchemaTooNew(message)
        if shards != address.shards:
            message = f"the store {address} was made with shards={shards}; put that into its address"
            raise StoreUnusable(message)
        if schema < SCHEMA or is_converting:
            await _convert(session.writes, shards)
    except BaseException:
        await client.close()
        raise
    return session


async def prove_writable(writes: RoundTrips, shards: int) -> None:
    """
    See that this user may do all that bots and workers do, on each server of a cluster.

    Raises:
        StoreUnusable: A right is missing, or the server is a replica.
        StoreUnavailable: The server of the first shard cannot be reached. Without another one, the rest works.
    """
    proofs = (writes.run(PROVE_WRITABLE, shard, {"commands": _COMMANDS}) for shard in range(shards))
    for shard, answer in enumerate(await asyncio.gather(*proofs, return_exceptions=True)):
        if isinstance(answer, StoreUnusable) or (shard == 0 and isinstance(answer, BaseException)):
            raise answer


async def _convert(writes: RoundTrips, shards: int) -> None:
    for shard in range(shards):
        await writes.run(_RENAME_KEYS, shard, {})
    for shard in range(shards):
        start, some = 0, SOME_ROWS
        while some == SOME_ROWS:
            some = await writes.run(_MOVE_ENDS, shard, {"from": start})
            start += some
    if shards > 1:
        for shard in range(shards):
            await _copy_marks(writes, shard, shards)
    # The first shard says whether all are converted.
    for shard in reversed(range(shards)):
        await writes.run(_END_CONVERSION, shard, {})


async def _copy_marks(writes: RoundTrips, shard: int, shards: int) -> None:
    cursor = None
    while cursor != "0":
        answer, marks = await writes.run(_SCAN_MARKS, shard, {"cursor": cursor or "0"})
        cursor = answer.decode()
        for other in range(shards):
            if marks and other != shard:
                await writes.run(_COPY_MARKS, other, {}, marks)
