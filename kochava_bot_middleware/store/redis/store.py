"""
The store for many machines: a Redis or Valkey server, or a cluster of them.

Each unit is one step of the server, by a Lua script. All that waits while the server is busy goes in one round trip.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from ...clock import Clock, SystemClock
from ...exceptions import StoreUnavailable
from ..records import Claim, Committed, CommitVerdict, EntryState, Listed, Mark, Queue, QueueStats, Unit
from ..settings import StoreSettings
from . import scripts
from .address import RedisAddress, parse_redis_address
from .browse import Listing
from .counts import add_up
from .line import Line
from .scripts import Script
from .session import Session, here, in_its_own_task, open_session
from .shards import Part, shard_of, split
from .units import claim_of, committed_of, encode_mark, encode_unit, listed_of, merge, or_false

SOME_ROWS = 500
"""How many rows a sweep or purge removes in one script, so that commits never wait long for it."""

_INHERITED: list[Session] = []
"""Connections of a parent process or of an event loop that ended, which must not be touched any more."""


class RedisStore:
    """
    A durable store on a server, for bots and workers on as many machines as need be.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; see `parse_redis_address`.
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Tells when leases lapse and entries are due. Without one, and with the machine's own, that is the
            server's clock, since those of many machines differ.
        token_prefix: What the token of each lease begins with; the server adds a number. Random unless given.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        token_prefix: str | None = None,
    ) -> None:
        self.address: RedisAddress = parse_redis_address(url)
        self.durable = True
        self._clock = None if clock is None or isinstance(clock, SystemClock) else clock
        self._shards = range(self.address.shards)
        self._turns = itertools.count()
        # Should the server lose its last second, it gives numbers again, but nobody gets a prefix again.
        prefix = secrets.token_hex(8) + "-" if token_prefix is None else token_prefix
        remember = (settings or StoreSettings()).dedupe_seconds
        self._common = {"shards": self.address.shards, "tokens": prefix, "remember": remember}
        self._session: Session | None = None
        self._opening: asyncio.Task[Session] | None = None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever another process, or another store of this one, left something to claim.

        It is called in the event loop and must not block. A notice can be lost, so it is a hint to look sooner, not a
        reason not to look. Others are heard from the store's first use on.
        """
        self._callbacks.append(callback)
        if self._session is not None and self._owner == here():
            self._session.bell.on_append(callback)

    async def listening(self) -> bool:
        """Whether notices of others are heard at present."""
        return await (await self._opened()).bell.listening()

    async def open(self) -> None:
        self._closed = False
        await self._opened()

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        if self._owner == here():
            if self._opening is not None:
                await asyncio.wait([self._opening])
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def commit(self, unit: Unit) -> Committed:
        session = await self._opened()
        answer = await self._commit(session.writes, unit)
        session.bell.committed(unit, answer)
        return answer

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        """
        As the contract says; with several shards each gives its share, so that "longest due first" holds within it, and
        those that cannot be reached take nothing from the others.
        """
        claims: list[Claim] = []
        failures: list[BaseException] = []
        asked = {"queue": queue, "seconds": lease_seconds, "ahead": or_false(at_most_ahead_seconds)}
        first = next(self._turns) % len(self._shards)
        shards = [*self._shards[first:], *self._shards[:first]]
        while shards and len(claims) < limit:
            left = limit - len(claims)
            shares = {
                shard: share for turn, shard in enumerate(shards) if (share := (left - turn - 1) // len(shards) + 1)
            }
            looks = [self._look(scripts.CLAIM, shard, limit=share, **asked) for shard, share in shares.items()]
            for shard, answer in zip(shares, await asyncio.gather(*looks, return_exceptions=True), strict=True):
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
            self._look(
                scripts.RENEW, shard, claims=[(each.entry.id, each.token) for each in some], seconds=lease_seconds
            )
            for shard, some in by_shard.items()
        ]
        ends: dict[int, float] = {}
        for some, (flags, expires_at) in zip(by_shard.values(), await asyncio.gather(*asked), strict=True):
            ends |= {
                id(claim): float(expires_at) for claim, flag in zip(some, flags.decode(), strict=True) if flag == "1"
            }
        return [attrs.evolve(claim, expires_at=ends[id(claim)]) for claim in claims if id(claim) in ends]

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        by_shard: dict[int, list[str]] = {}
        for key in dict.fromkeys(keys):
            by_shard.setdefault(self._shard_of(key), []).append(key)
        asked = [self._look(scripts.RECALL, shard, keys=some) for shard, some in by_shard.items()]
        found: dict[str, bytes] = {}
        for some, values in zip(by_shard.values(), await asyncio.gather(*asked), strict=True):
            found |= {key: value for key, value in zip(some, values, strict=True) if value is not None}
        return found if len(by_shard) == 1 else {key: found[key] for key in keys if key in found}

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        times = await self._look_everywhere(scripts.NEXT_DUE, queue=queue, ahead=or_false(at_most_ahead_seconds))
        return min((float(time) for time in times if time is not None), default=None)

    async def stats(self) -> Mapping[str, QueueStats]:
        return add_up(await self._look_everywhere(scripts.STATS))

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        listing = Listing(queue=queue, state=state, lane=lane, limit=limit)
        place = ""
        if after is not None:
            places = [each for each in await self._look_everywhere(scripts.PLACE_OF, id=after) if each is not None]
            if not places:
                return []
            place = places[0].decode()
        shards = self._shards if lane is None else [self._shard_of(lane)]
        looks = (await self._opened()).looks
        return listing.merged(await asyncio.gather(*(listing.read(looks, shard, place) for shard in shards)))

    async def find(self, entry_id: str) -> Listed | None:
        # As in `retry_dead`.
        rows = await self._look_everywhere(scripts.FIND, id=entry_id, private=Queue.INBOX)
        return next((listed_of(row)[1] for row in rows if row is not None), None)

    async def retry_dead(self, ids: Sequence[str]) -> int:
        bell = (await self._opened()).bell
        # An id does not tell its shard, so each is asked and knows its own.
        retried: int = sum([await self._write(scripts.RETRY_DEAD, shard, ids=list(ids)) for shard in self._shards])
        if retried:
            bell.ring()
        return retried

    async def purge(self, *, dead_before: float) -> int:
        purged = 0
        for shard in self._shards:
            some = SOME_ROWS
            while some == SOME_ROWS:
                some = await self._write(scripts.PURGE, shard, before=dead_before, limit=SOME_ROWS)
                purged += some
        return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        """As the contract says; with several shards the tombstone comes first, and then one transaction a shard."""
        by_shard: dict[int, list[str]] = {self._shard_of(tombstone.key): []}
        for lane in lanes:
            by_shard.setdefault(self._shard_of(lane), []).append(lane)
        dropped = 0
        blobs: list[bytes] = []
        marks = [encode_mark(tombstone, blobs)]
        for shard, some in by_shard.items():
            dropped += await self._write(scripts.FORGET, shard, blobs, lanes=some, reason=reason, marks=marks)
            marks, blobs = [], []
        return dropped

    async def sweep(self) -> None:
        for shard in self._shards:
            while await self._look(scripts.SWEEP, shard, limit=SOME_ROWS) == SOME_ROWS:
                pass

    def _shard_of(self, name: str) -> int:
        return shard_of(name, len(self._shards))

    async def _commit(self, writes: Line, unit: Unit) -> Committed:
        parts = split(unit, len(self._shards))
        if len(parts) == 1:
            return await writes.commit(parts[0].shard, encode_unit(unit))
        refusal = await self._refusal(writes, parts)
        if refusal is not None:
            return refusal
        answers = []
        for part in parts:
            answer = await writes.commit(part.shard, encode_unit(part.unit))
            if answer.verdict is not CommitVerdict.COMMITTED:
                return answer
            answers.append(answer)
        return merge(unit, answers)

    async def _refusal(self, writes: Line, parts: Sequence[Part]) -> Committed | None:
        refused = []
        for part in parts:
            if part.can_be_refused:
                encoded = encode_unit(part.unit)
                answers = await writes.check(part.shard, encoded)
                refused.append(committed_of(attrs.evolve(part.unit, appends=()), answers))
        refused = [answer for answer in refused if answer.verdict is not CommitVerdict.COMMITTED]
        return min(refused, key=lambda answer: answer.verdict is not CommitVerdict.LEASE_LOST, default=None)

    async def _look_everywhere(self, script: Script, **asked: object) -> list[Any]:
        return list(await asyncio.gather(*(self._look(script, shard, **asked) for shard in self._shards)))

    async def _look(self, script: Script, shard: int, **asked: object) -> Any:
        return await (await self._opened()).looks.run(script, shard, asked)

    async def _write(self, script: Script, shard: int, blobs: Sequence[bytes] = (), **asked: object) -> Any:
        return await (await self._opened()).writes.run(script, shard, asked, blobs)

    async def _opened(self) -> Session:
        self._check_open()
        if self._session is not None and self._owner == here():
            return self._session
        if self._owner != here():
            if self._session is not None:
                _INHERITED.append(self._session)
            self._session, self._opening, self._owner = None, None, here()
        if self._opening is None:
            self._opening = in_its_own_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        try:
            self._session = session = await open_session(self.address, now=self._now, common=self._common)
        finally:
            self._opening = None
        for callback in self._callbacks:
            session.bell.on_append(callback)
        return session

    def _check_open(self) -> None:
        if self._closed:
            message = f"the store {self.address} is closed; call `open` to use it again"
            raise StoreUnavailable(message)

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock.now())
