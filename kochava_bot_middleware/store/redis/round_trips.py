"""
Group commit: all that waits while the server is busy goes in one round trip, and all units of a shard in one script.

A round trip whose connection breaks, or leads to what is a replica now, is made once more over a new one. That is safe:
a group of units carries a nonce, under which the server keeps its answer for a minute, and a replica writes nothing. If
the server cannot be reached then either, the callers get `StoreUnavailable`, and whether the units were written is
unknown to them; committing them again is safe too, since ids count once and a claim is settled once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson
from redis.exceptions import AuthenticationError, NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from ...exceptions import NotStorable, StoreUnavailable
from ..records import Committed, Unit
from ..unforeseen import unforeseen
from .address import Durability, RedisAddress
from .client import Client, Command
from .errors import classify
from .lua import Script
from .lua_work import COMMIT, COMMIT_WHEN_FULL
from .units import committed_of, encode_unit, grows, meta_key

MOST_UNITS = 512
"""Units in one round trip: some milliseconds of the server's time."""

MOST_BYTES = 4_000_000

COMMON_BYTES = 1_000
"""More than a group's JSON has beside that of its units."""


@attrs.define(eq=False, kw_only=True)
class _WaitingUnit:
    """A unit that waits for the next round trip."""

    shard: int
    unit: Unit
    json: bytes
    blobs: Sequence[bytes]
    future: asyncio.Future[Committed]

    @property
    def size(self) -> int:
        return len(self.json) + sum(map(len, self.blobs))


@attrs.define(eq=False, kw_only=True)
class _ScriptCall:
    """
    One script to be run.

    Attributes:
        asked: Its JSON.
        blobs: The bytes it refers to.
        resolve: Takes the answer, or an exception.
        units: The units in it, if that is what it is for.
        sends_text: The server does not know the script, so it gets the text.
        was_lost: Its connection broke once, or led to a replica.
    """

    script: Script
    shard: int
    asked: bytes
    blobs: Sequence[bytes] = ()
    resolve: Callable[[Any], None]
    units: Sequence[_WaitingUnit] = ()
    sends_text: bool = False
    was_lost: bool = False

    @property
    def size(self) -> int:
        return len(self.asked)

    def command(self, prefix: str, now: str) -> Command:
        which = ("EVAL", self.script.text) if self.sends_text else ("EVALSHA", self.script.sha)
        return (*which, 1, meta_key(prefix, self.shard), now, self.asked, *self.blobs)


class RoundTrips:
    """
    One round trip at a time to the server, of a cluster one for each shard: its servers fail one by one.

    Args:
        client: The connection.
        address: Of the server.
        now: Gives the time to use, as text; empty for the server's own.
        common: What each script is given.
        is_durable: Whether writes are answered only when the server's log is on the disk, if the address says so.
    """

    def __init__(
        self,
        client: Client,
        address: RedisAddress,
        *,
        now: Callable[[], str],
        common: Mapping[str, object],
        is_durable: bool = False,
    ) -> None:
        self._client = client
        self._address = address
        self._now = now
        self._common = {**common, "cluster": client.is_cluster}
        self._waits_for_disk = is_durable and address.durability is Durability.FSYNC
        self._waiting: defaultdict[int, deque[_WaitingUnit | _ScriptCall]] = defaultdict(deque)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def commit(self, shard: int, unit: Unit) -> Committed:
        """Write a unit that is all in one shard."""
        json, blobs = self._encoded(unit)
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._put(_WaitingUnit(shard=shard, unit=unit, json=json, blobs=blobs, future=future))
        return await future

    async def check(self, shard: int, unit: Unit) -> Committed:
        """The answer to a unit without appends, of which nothing is to be written."""
        json, blobs = self._encoded(unit)
        asked = {"nonce": "", "only_check": True, "units": [orjson.Fragment(json)]}
        (answer,) = await self.run(COMMIT_WHEN_FULL, shard, asked, blobs)
        return committed_of(unit, answer)

    async def run(self, script: Script, shard: int, asked: Mapping[str, object], blobs: Sequence[bytes] = ()) -> Any:
        """Run another script."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def resolve(answer: Any) -> None:
            _resolve(future, answer)

        try:
            text = orjson.dumps({**self._common, **asked})
        except TypeError as exc:
            raise classify(exc, self._address) from None
        self._put(_ScriptCall(script=script, shard=shard, asked=text, blobs=blobs, resolve=resolve))
        return await future

    async def finish(self) -> None:
        """Wait until nothing waits any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    def _encoded(self, unit: Unit) -> tuple[bytes, Sequence[bytes]]:
        try:
            json, blobs = encode_unit(unit)
        except (TypeError, ValueError) as exc:
            raise classify(exc, self._address) from None
        if max(len(json) + COMMON_BYTES, *map(len, blobs), 0) > self._client.longest_argument:
            message = f"the store {self._address} cannot keep this: its proto-max-bulk-len is less"
            raise NotStorable(message, reason="too large for the store")
        return json, blobs

    def _put(self, waiting: _WaitingUnit | _ScriptCall) -> None:
        which = waiting.shard if self._client.is_cluster else 0
        self._waiting[which].append(waiting)
        if which not in self._tasks:
            self._tasks[which] = asyncio.get_running_loop().create_task(self._work(which))

    async def _work(self, which: int) -> None:
        try:
            while self._waiting[which]:
                await self._exchange(self._take(self._waiting[which]))
        finally:
            del self._tasks[which]

    def _take(self, waiting: deque[_WaitingUnit | _ScriptCall]) -> list[_ScriptCall]:
        calls: list[_ScriptCall] = []
        groups: dict[int, list[_WaitingUnit]] = {}
        taken = size = 0
        most = min(MOST_BYTES, self._client.longest_argument - COMMON_BYTES)
        while waiting and taken < MOST_UNITS and (not taken or size + waiting[0].size <= most):
            first = waiting.popleft()
            taken += 1
            if isinstance(first, _ScriptCall):
                calls.append(first)
            elif not first.future.done():
                size += first.size
                groups.setdefault(first.shard, []).append(first)
        return [self._group(shard, group) for shard, group in groups.items()] + calls

    def _group(self, shard: int, group: Sequence[_WaitingUnit]) -> _ScriptCall:
        def resolve(answers: Any) -> None:
            for index, waiting in enumerate(group):
                failed = isinstance(answers, Exception)
                _resolve(waiting.future, answers if failed else committed_of(waiting.unit, answers[index]))

        units = [orjson.Fragment(waiting.json) for waiting in group]
        return _ScriptCall(
            script=COMMIT if any(grows(waiting.unit) for waiting in group) else COMMIT_WHEN_FULL,
            shard=shard,
            asked=orjson.dumps({**self._common, "nonce": secrets.token_hex(12), "units": units}),
            blobs=[blob for waiting in group for blob in waiting.blobs],
            resolve=resolve,
            units=group,
        )

    async def _exchange(self, calls: Sequence[_ScriptCall]) -> None:
        while calls:
            answers = await self._send(calls)
            again: list[_ScriptCall] = []
            for call, answer in zip(calls, answers, strict=True):
                again += self._resolved(call, answer)
            calls = again

    async def _send(self, calls: Sequence[_ScriptCall]) -> list[Any]:
        commands = [call.command(self._address.prefix, self._now()) for call in calls]
        if not self._waits_for_disk:
            return await self._client.send(commands)
        milliseconds = round(self._address.timeout_seconds * 800)
        *answers, waited = await self._client.send([*commands, ("WAITAOF", 1, 0, milliseconds)])
        if isinstance(waited, Exception) or waited[0] < 1:
            late = StoreUnavailable(f"the store {self._address} did not bring its log to the disk in time")
            return [answer if isinstance(answer, Exception) else late for answer in answers]
        return answers

    def _resolved(self, call: _ScriptCall, answer: Any) -> list[_ScriptCall]:
        """Hand back the answer; returns what must be asked instead."""
        if isinstance(answer, NoScriptError) and not call.sends_text:
            call.sends_text = True
            return [call]
        if _is_lost(answer) and not call.was_lost:
            call.was_lost = True
            return [call]
        if isinstance(answer, OutOfMemoryError):
            growing = [waiting for waiting in call.units if grows(waiting.unit)]
            others = [waiting for waiting in call.units if not grows(waiting.unit)]
            if growing and others:
                return [self._group(call.shard, others), self._group(call.shard, growing)]
        if isinstance(answer, Exception):
            answer = classify(answer, self._address)
            if isinstance(answer, NotStorable) and len(call.units) > 1:
                # One of them is the cause; alone, the others succeed.
                return [self._group(call.shard, [waiting]) for waiting in call.units]
        try:
            call.resolve(answer)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the callers get it and the others are served
            call.resolve(unforeseen(exc, str(self._address)))
        return []


def _is_lost(answer: Any) -> bool:
    is_lost = isinstance(answer, RedisConnectionError | ReadOnlyError | OSError)
    return is_lost and not isinstance(answer, AuthenticationError)


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
