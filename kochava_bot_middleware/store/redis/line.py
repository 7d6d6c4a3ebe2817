"""
Group commit: all that waits while the server is busy goes in one round trip, and all units of a shard in one script.

A round trip whose connection breaks, or leads to what is a replica now, is made once more over a new one. That is safe:
a group of units carries a nonce, under which the server keeps its answer for a minute, and a replica writes nothing. If
the server cannot be reached then either, the callers are told, and whether the units were written is unknown to them;
handing them over again is safe too, since ids count once and a claim is settled once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import orjson
from redis.exceptions import AuthenticationError, NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from ...exceptions import StoreUnavailable
from ..records import Committed
from . import scripts
from .address import RedisAddress
from .client import Client, Command, unavailable
from .scripts import Script
from .shards import meta_key
from .units import Encoded, committed_of

T = TypeVar("T")

MOST_UNITS = 512
"""Units in one round trip: some milliseconds of the server's time."""

MOST_BYTES = 4_000_000


@attrs.define(eq=False, kw_only=True)
class Commit:
    """A unit that waits."""

    shard: int
    encoded: Encoded
    future: asyncio.Future[Committed]

    @property
    def size(self) -> int:
        return len(self.encoded.json) + sum(map(len, self.encoded.blobs))


@attrs.define(eq=False, kw_only=True)
class Request:
    """
    One script to be run.

    Attributes:
        script: Which.
        shard: Where.
        asked: Its JSON.
        blobs: The bytes it refers to.
        resolve: Takes the answer, or an exception.
        commits: The units in it, if that is what it is for.
        sends_text: The server does not know the script, so it gets the text.
        was_lost: Its connection broke once, or led to a replica.
    """

    script: Script
    shard: int
    asked: bytes
    blobs: Sequence[bytes] = ()
    resolve: Callable[[Any], None]
    commits: Sequence[Commit] = ()
    sends_text: bool = False
    was_lost: bool = False

    def command(self, prefix: str, now: str) -> Command:
        which = ("EVAL", self.script.text) if self.sends_text else ("EVALSHA", self.script.sha)
        return (*which, 1, meta_key(prefix, self.shard), now, self.asked, *self.blobs)


class Line:
    """
    One round trip at a time to the server, of a cluster one for each shard: its servers fail one by one.

    Args:
        client: The connection.
        address: Of the server.
        now: Gives the time to use, as text; empty for the server's own.
        common: What each group of units is told.
        waits_for_disk: Whether writes are answered only when the server's log is on the disk.
        apart: Whether no shard waits for another one.
    """

    def __init__(
        self,
        client: Client,
        address: RedisAddress,
        *,
        now: Callable[[], str],
        common: Mapping[str, object],
        waits_for_disk: bool = False,
        apart: bool = False,
    ) -> None:
        self._client = client
        self._address = address
        self._now = now
        self._common = common
        self._waits_for_disk = waits_for_disk
        self._apart = apart
        self._waiting: defaultdict[int, deque[Commit | Request]] = defaultdict(deque)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def commit(self, shard: int, encoded: Encoded) -> Committed:
        """Write a unit that is all in one shard."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._put(Commit(shard=shard, encoded=encoded, future=future))
        return await future

    async def check(self, shard: int, encoded: Encoded) -> Any:
        """The script's answer to a unit of which nothing is to be written."""
        asked = {"nonce": "", "only_check": True, "units": [orjson.Fragment(encoded.json)]}
        (answer,) = await self.run(scripts.COMMIT_ENDS, shard, asked, encoded.blobs)
        return answer

    async def run(self, script: Script, shard: int, asked: Mapping[str, object], blobs: Sequence[bytes] = ()) -> Any:
        """Run another script."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        text = orjson.dumps({**self._common, **asked})
        self._put(
            Request(script=script, shard=shard, asked=text, blobs=blobs, resolve=lambda answer: _settle(future, answer))
        )
        return await future

    async def finish(self) -> None:
        """Wait until nothing waits any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    def _put(self, waiting: Commit | Request) -> None:
        which = waiting.shard if self._apart else 0
        self._waiting[which].append(waiting)
        if which not in self._tasks:
            self._tasks[which] = asyncio.get_running_loop().create_task(self._work(which))

    async def _work(self, which: int) -> None:
        try:
            while self._waiting[which]:
                await self._exchange(self._take(self._waiting[which]))
        finally:
            del self._tasks[which]

    def _take(self, line: deque[Commit | Request]) -> list[Request]:
        requests: list[Request] = []
        commits: dict[int, list[Commit]] = {}
        units = size = 0
        while line and units < MOST_UNITS and size < MOST_BYTES:
            waiting = line.popleft()
            units += 1
            if isinstance(waiting, Request):
                requests.append(waiting)
            elif not waiting.future.done():
                size += waiting.size
                commits.setdefault(waiting.shard, []).append(waiting)
        return [self._group(shard, group) for shard, group in commits.items()] + requests

    def _group(self, shard: int, commits: Sequence[Commit]) -> Request:
        units = [orjson.Fragment(commit.encoded.json) for commit in commits]

        def resolve(answers: Any) -> None:
            for index, commit in enumerate(commits):
                failed = isinstance(answers, Exception)
                _settle(commit.future, answers if failed else committed_of(commit.encoded.unit, answers[index]))

        return Request(
            script=scripts.COMMIT if any(commit.encoded.grows for commit in commits) else scripts.COMMIT_ENDS,
            shard=shard,
            asked=orjson.dumps({**self._common, "nonce": secrets.token_hex(12), "units": units}),
            blobs=[blob for commit in commits for blob in commit.encoded.blobs],
            resolve=resolve,
            commits=commits,
        )

    async def _exchange(self, requests: Sequence[Request]) -> None:
        while requests:
            answers = await self._round_trip(requests)
            again: list[Request] = []
            for request, answer in zip(requests, answers, strict=True):
                again += self._done(request, answer)
            requests = again

    async def _round_trip(self, requests: Sequence[Request]) -> list[Any]:
        commands = [request.command(self._address.prefix, self._now()) for request in requests]
        if not self._waits_for_disk:
            return await self._client.send(commands)
        patience = round(self._address.timeout_seconds * 800)
        *answers, waited = await self._client.send([*commands, ("WAITAOF", 1, 0, patience)])
        if isinstance(waited, Exception) or waited[0] < 1:
            late = StoreUnavailable(f"the store {self._address} did not bring its log to the disk in time")
            return [answer if isinstance(answer, Exception) else late for answer in answers]
        return answers

    def _done(self, request: Request, answer: Any) -> list[Request]:
        """Hand back the answer; returns what must be asked instead."""
        if isinstance(answer, NoScriptError) and not request.sends_text:
            request.sends_text = True
            return [request]
        if _is_lost(answer) and not request.was_lost:
            request.was_lost = True
            return [request]
        if isinstance(answer, OutOfMemoryError):
            ends = [commit for commit in request.commits if not commit.encoded.grows]
            if ends and len(ends) < len(request.commits):
                grows = [commit for commit in request.commits if commit.encoded.grows]
                return [self._group(request.shard, ends), self._group(request.shard, grows)]
        if isinstance(answer, Exception) and not isinstance(answer, StoreUnavailable):
            answer = unavailable(answer, self._address)
        try:
            request.resolve(answer)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the line goes on and the callers are told
            request.resolve(unavailable(exc, self._address))
        return []


def _is_lost(answer: Any) -> bool:
    is_lost = isinstance(answer, RedisConnectionError | ReadOnlyError | OSError)
    return is_lost and not isinstance(answer, AuthenticationError)


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
