"""
The store for many machines: a Redis or Valkey server, or a cluster of them.

Each unit is one step of the server, by a Lua script. All that waits while the server is busy goes in one round trip.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from ...clock import Clock, SystemClock
from ...exceptions import StoreUnavailable
from ..day_counts import DayCounts
from ..owner import new_owner
from ..plan import recall_storable
from ..records import Claim, Committed, CommitVerdict, DayCount, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import StoreSettings
from .address import RedisAddress, parse_redis_address
from .client import Client, connect
from .lua import SOME_ROWS, Script
from .lua_upkeep import BROWSE, DAY, FIND, FORGET, FORGET_DAYS, PLACE_OF, PURGE, RETRY_DEAD, STATS, SWEEP
from .lua_work import CLAIM, NEXT_DUE, RECALL, RENEW
from .round_trips import RoundTrips
from .session import RedisSession, open_session, prove_writable
from .units import can_be_refused, claim_of, day_counts_of, encode_mark, listed_of, merge, shard_of, split, stats_of

_INHERITED: list[RedisSession] = []
"""Connections of a parent process or of an event loop that ended, which must not be touched any more."""

_BEFORE_ALL = "-1"


class RedisStore:
    """
    A durable store on a server, for bots and workers on as many machines as need be.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; see `parse_redis_address`.
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Says when leases lapse and entries are due. Without one, and with the machine's own, that is the server's
            clock, since those of many machines differ.
        token_prefix: What the token of each lease begins with; the server adds a number. The name of the
            process unless given.
        connect: Makes the connections.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        token_prefix: str | None = None,
        connect: Callable[[RedisAddress], Awaitable[Client]] = connect,
    ) -> None:
        self.address: RedisAddress = parse_redis_address(url)
        self.durable = True
        self.is_one_part = self.address.shards == 1
        self._clock = None if clock is None or isinstance(clock, SystemClock) else clock
        self._connect = connect
        self._shards = range(self.address.shards)
        self._turns = itertools.count()
        self._token_prefix = token_prefix
        remember = (settings or StoreSettings()).dedupe_seconds
        self._common = {"shards": self.address.shards, "remember": remember, "some": SOME_ROWS}
        self._session: RedisSession | None = None
        self._opening: asyncio.Task[RedisSession] | None = None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever another process, or another store of this one, left something to claim.

        It is called in the event loop and must not block. A notice can be lost, so it is a hint to look sooner, not a
        reason not to look. Notices are received from the store's first use on.
        """
        self._callbacks.append(callback)
        if self._session is not None and self._owner == _current_owner():
            self._session.notifier.on_append(callback)

    async def listening(self) -> bool:
        """Whether notices of others are received at present."""
        return await (await self._opened()).notifier.listening()

    async def open(self) -> None:
        self._closed = False
        session = await self._opened()
        await prove_writable(session.writes, self.address.shards)

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        if self._owner == _current_owner():
            if self._opening is not None:
                await asyncio.wait([self._opening])
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def commit(self, unit: Unit) -> Committed:
        session = await self._opened()
        answer = await self._commit(session.writes, unit)
        session.notifier.throttle.committed(unit, answer)
        return answer

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        """
        As the contract says; with several shards each gives its share, so that "longest due first" holds within it, and
        those that cannot be reached take nothing from the others.
        """
        claims: list[Claim] = []
        failures: list[BaseException] = []
        first = next(self._turns) % len(self._shards)
        shards = [*self._shards[first:], *self._shards[:first]]
        while shards and len(claims) < limit:
            left = limit - len(claims)
            shares = {
                shard: share for turn, shard in enumerate(shards) if (share := (left - turn - 1) // len(shards) + 1)
            }
            asked = [
                self._read(CLAIM, shard, queue=queue, limit=share, seconds=lease_seconds)
                for shard, share in shares.items()
            ]
            for shard, answer in zip(shares, await asyncio.gather(*asked, return_exceptions=True), strict=True):
                if isinstance(answer, BaseException):
                    failures.append(answer)
                    answer = ()
                claims += map(claim_of, answer)
                if len(answer) < shares[shard]:
                    shards.remove(shard)
        if failures and not claims:
            raise failures[0]
        return claims

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        by_shard: dict[int, list[Claim]] = {}
        for claim in claims:
            by_shard.setdefault(self._shard_of(claim.entry.lane), []).append(claim)
        asked = [
            self._read(RENEW, shard, claims=[(each.entry.id, each.token) for each in some], seconds=lease_seconds)
            for shard, some in by_shard.items()
        ]
        renewed: set[int] = set()
        for some, flags in zip(by_shard.values(), await asyncio.gather(*asked), strict=True):
            renewed |= {id(claim) for claim, flag in zip(some, flags.decode(), strict=True) if flag == "1"}
        return [claim for claim in claims if id(claim) in renewed]

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        return await recall_storable(self._recall, keys)

    async def _recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        by_shard: dict[int, list[str]] = {}
        for lane, key in dict.fromkeys(keys):
            by_shard.setdefault(self._shard_of(lane), []).append(key)
        asked = [self._read(RECALL, shard, keys=some) for shard, some in by_shard.items()]
        found: dict[str, bytes] = {}
        for some, values in zip(by_shard.values(), await asyncio.gather(*asked), strict=True):
            found |= {key: value for key, value in zip(some, values, strict=True) if value is not None}
        return found

    async def next_due_in(self, queue: str) -> float | None:
        waits = await self._read_everywhere(NEXT_DUE, queue=queue)
        return min((float(wait) for wait in waits if wait is not None), default=None)

    async def stats(self) -> Mapping[str, QueueStats]:
        return stats_of(await self._read_everywhere(STATS))

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        shards = await asyncio.gather(*(self._counts_of(shard, since, until) for shard in self._shards))
        return DayCounts(itertools.chain.from_iterable(shards)).rows()

    async def forget_counts(self, before: int) -> None:
        for shard in self._shards:
            while await self._write(FORGET_DAYS, shard, before=before) == SOME_ROWS:
                pass

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        place = _BEFORE_ALL
        if after is not None:
            places = [each for each in await self._read_everywhere(PLACE_OF, id=after) if each is not None]
            if not places:
                return []
            place = places[0].decode()
        shards = self._shards if lane is None else [self._shard_of(lane)]
        asked = {"queue": queue, "state": state or False, "lane": False if lane is None else lane}
        pages = await asyncio.gather(*(self._browse_shard(shard, place, limit, asked) for shard in shards))
        rows = heapq.merge(*pages, key=lambda row: row[0])
        return [listed for _, listed in itertools.islice(rows, limit)]

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        """As the contract says; lane by lane, and in portions."""
        queues = list(await self.stats())
        rows: list[tuple[bytes, Listed]] = []
        for lane, queue in itertools.product(dict.fromkeys(lanes), queues):
            asked = {"queue": queue, "state": False, "lane": lane, "done": True}
            place = _BEFORE_ALL
            while some := await self._browse_shard(self._shard_of(lane), place, SOME_ROWS, asked):
                rows += some
                place = some[-1][0].decode()
        return [listed for _, listed in sorted(rows, key=lambda row: row[0])[-limit:]]

    async def find(self, entry_id: str) -> Listed | None:
        # As in `retry_dead`.
        rows = await self._read_everywhere(FIND, id=entry_id)
        return next((listed_of(row)[1] for row in rows if row is not None), None)

    async def retry_dead(self, ids: Sequence[str]) -> int:
        notifier = (await self._opened()).notifier
        # An id does not say which shard has it, so each is asked and knows its own.
        retried: int = sum([await self._write(RETRY_DEAD, shard, ids=list(ids)) for shard in self._shards])
        if retried:
            notifier.throttle.notify()
        return retried

    async def purge(self, *, ended_for_seconds: float) -> int:
        purged = 0
        for shard in self._shards:
            some = SOME_ROWS
            while some == SOME_ROWS:
                some = await self._write(PURGE, shard, seconds=ended_for_seconds)
                purged += some
        return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        """As the contract says; with several shards the tombstone comes first, and then one transaction a shard."""
        by_shard: dict[int, list[str]] = {self._shard_of(tombstone.lane): []}
        for lane in lanes:
            by_shard.setdefault(self._shard_of(lane), []).append(lane)
        dropped = 0
        blobs: list[bytes] = []
        marks = [encode_mark(tombstone, blobs)]
        for shard, some in by_shard.items():
            dropped += await self._write(FORGET, shard, blobs, lanes=some, reason=reason, marks=marks)
            marks, blobs = [], []
        return dropped

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        # orjson takes no member of an enum as a key.
        waits = {str(queue): seconds for queue, seconds in (longest_waits or {}).items()}
        for shard in self._shards:
            while await self._read(SWEEP, shard, longest_waits=waits) == SOME_ROWS:
                pass

    def _shard_of(self, lane: str) -> int:
        return shard_of(lane, len(self._shards))

    async def _commit(self, writes: RoundTrips, unit: Unit) -> Committed:
        parts = split(unit, len(self._shards))
        if len(parts) > 1:
            refusal = await self._refusal(writes, parts)
            if refusal is not None:
                return refusal
        answers = []
        for shard, part in parts.items():
            answer = await writes.commit(shard, part)
            if answer.verdict is not CommitVerdict.COMMITTED or len(parts) == 1:
                return answer
            answers.append(answer)
        return merge(unit, answers)

    async def _refusal(self, writes: RoundTrips, parts: Mapping[int, Unit]) -> Committed | None:
        answers = [
            await writes.check(shard, attrs.evolve(part, appends=(), lease=None))
            for shard, part in parts.items()
            if can_be_refused(part)
        ]
        refused = [answer for answer in answers if answer.verdict is not CommitVerdict.COMMITTED]
        return min(refused, key=lambda answer: answer.verdict is not CommitVerdict.LEASE_LOST, default=None)

    async def _counts_of(self, shard: int, since: int | None, until: int | None) -> list[DayCount]:
        """The counters of a shard; read day by day, so that the server is never busy with them for long."""
        counts: list[DayCount] = []
        # Lua has no element that is missing, but it has a false.
        asked = {"since": False if since is None else since, "until": False if until is None else until}
        while (day := await self._read(DAY, shard, **asked)) is not None:
            counts += day_counts_of(day)
            asked["since"] = day[0] + 1
        return counts

    async def _browse_shard(
        self, shard: int, place: str, limit: int, asked: Mapping[str, object]
    ) -> list[tuple[bytes, Listed]]:
        """
        The rows of a shard behind *place*, each with its place; read in portions, so that the server is never busy with
        one for long.
        """
        rows: list[tuple[bytes, Listed]] = []
        after: str | None = place
        while after is not None and len(rows) < limit:
            seen, found = await self._read(BROWSE, shard, after=after, limit=limit - len(rows), **asked)
            rows += map(listed_of, found)
            after = None if seen is None else seen.decode()
        return rows

    async def _read_everywhere(self, script: Script, **asked: object) -> list[Any]:
        return list(await asyncio.gather(*(self._read(script, shard, **asked) for shard in self._shards)))

    async def _read(self, script: Script, shard: int, **asked: object) -> Any:
        return await (await self._opened()).reads.run(script, shard, asked)

    async def _write(self, script: Script, shard: int, blobs: Sequence[bytes] = (), **asked: object) -> Any:
        return await (await self._opened()).writes.run(script, shard, asked, blobs)

    async def _opened(self) -> RedisSession:
        if self._closed:
            message = f"the store {self.address} is closed; call `open` to use it again"
            raise StoreUnavailable(message)
        owner = _current_owner()
        if self._owner != owner:
            if self._session is not None:
                _INHERITED.append(self._session)
            self._session, self._opening, self._owner = None, None, owner
        if self._session is not None:
            return self._session
        if self._opening is None:
            # In a task of its own: while it connects redis-py swallows a cancellation, so it is not the opening that is
            # cancelled with one of those that wait for it, but only that one's wait.
            self._opening = asyncio.get_running_loop().create_task(self._open(), name="kochava-bot-open")
            # A failure that nothing waits for any more must not be reported as never retrieved.
            self._opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> RedisSession:
        try:
            client = await self._connect(self.address)
            name = secrets.token_hex(8)
            # Should the server lose its last second, it gives numbers again, but never a prefix.
            tokens = f"{new_owner()}-" if self._token_prefix is None else self._token_prefix
            common = {**self._common, "tokens": tokens}
            session = await open_session(client, self.address, name=name, now=self._now, common=common)
            self._session = session
        finally:
            self._opening = None
        for callback in self._callbacks:
            session.notifier.on_append(callback)
        return session

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock.now())


def _current_owner() -> tuple[int, asyncio.AbstractEventLoop]:
    """The process and the event loop to which a session opened now belongs."""
    return os.getpid(), asyncio.get_running_loop()
