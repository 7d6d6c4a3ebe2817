"""Stand-ins around the inbox: a store with faults, a handler that tests hold in their hands, and events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kochava_bot_middleware.exceptions import NotStorable, StoreUnavailable
from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Committed, Entry, Queue, QueueStats, Unit
from kochava_bot_middleware.store.wrapper import StoreWrapper

PAGE_ID = "1001"


def message_item(text: str, user: str = "ann") -> dict[str, Any]:
    """A message whose text is also its mid."""
    return {
        "sender": {"id": user},
        "recipient": {"id": PAGE_ID},
        "timestamp": 1_767_225_600_123,
        "message": {"mid": f"m_{text}", "text": text},
    }


def message(text: str, user: str = "ann") -> Event:
    """The event of `message_item`."""
    (event,) = parse_webhook({"object": "page", "entry": [{"id": PAGE_ID, "messaging": [message_item(text, user)]}]})
    return event


class FaultyStore(StoreWrapper):
    """
    Another store, whose commits fail or hang when asked to.

    Attributes:
        error: What every commit and recall raises; ``None`` while it works.
        open_gate: Commits wait until it is set.
        loses_answers: Commits are written and then reported as failed.
        poison: Ids of entries that it can never keep.
        commits: How many were tried.
        units: Those that were written.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.error: Exception | None = None
        self.loses_answers = False
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.poison: set[str] = set()
        self.commits = 0
        self.units: list[Unit] = []
        self.sweeps = 0
        self._late: list[asyncio.Task[Committed]] = []

    def fail(self) -> None:
        self.error = StoreUnavailable("the disk is on fire")

    def repair(self) -> None:
        self.error = None
        self.loses_answers = False

    async def commit(self, unit: Unit) -> Committed:
        self.commits += 1
        await asyncio.sleep(0)
        self._check()
        if self.open_gate.is_set():
            return await self._write(unit)
        # As in a real store, a commit that has left cannot be called back.
        late = asyncio.create_task(self._write(unit))
        self._late.append(late)
        return await asyncio.shield(late)

    async def _write(self, unit: Unit) -> Committed:
        await self.open_gate.wait()
        self._check()
        if self.poison.intersection(entry.id for entry in unit.appends):
            raise NotStorable("cannot keep this")
        committed = await self.inner.commit(unit)
        if self.loses_answers:
            raise StoreUnavailable("the answer was lost")
        self.units.append(unit)
        return committed

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        self._check()
        return await super().claim(queue, limit, lease_seconds)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        self._check()
        return await self.inner.renew(claims, lease_seconds)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        self._check()
        return await self.inner.recall(keys)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        self.sweeps += 1
        await super().sweep(longest_waits)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class Note:
    """A contributor that writes one record an event, named after its text."""

    def __init__(self, text: str, user: str) -> None:
        self.entry = Entry(id=f"note/{text}", queue=Queue.TRACK, lane=user, created_at=0.0, body=text.encode())
        self.asked = 0
        self.committed_with: list[Committed] = []

    async def contribute(self) -> Unit:
        self.asked += 1
        return Unit(appends=[self.entry])

    def committed(self, answer: Committed) -> None:
        self.committed_with.append(answer)


class Counter:
    """
    Handles messages as a test wants, and tells what happened. It is what `Inbox` calls `dispatch`.

    Attributes:
        log: ``"+text"`` when a handler began, ``"-text"`` when it ended.
        recorded: Texts of events that were to be recorded only.
        attempts: Of each text begun.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.recorded: list[str] = []
        self.attempts: dict[str, list[int]] = {}
        self.errors: dict[str, BaseException] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._changed: asyncio.Condition = asyncio.Condition()

    @property
    def begun(self) -> list[str]:
        return [line[1:] for line in self.log if line.startswith("+")]

    @property
    def ended(self) -> list[str]:
        return [line[1:] for line in self.log if line.startswith("-")]

    def hold(self, *texts: str) -> None:
        """Handlers of these wait for `release`."""
        for text in texts:
            self._gates[text] = asyncio.Event()

    def release(self, *texts: str) -> None:
        for text in texts or tuple(self._gates):
            self._gates.pop(text).set()

    async def __call__(self, handling: Handling) -> None:
        event: Any = handling.event
        text = event.text
        handling.contributors[self] = Note(text, event.user_id)
        if not handling.rerun:
            self.recorded.append(text)
            await self._tell()
            return
        self.attempts.setdefault(text, []).append(event.attempt)
        self.log.append(f"+{text}")
        await self._tell()
        try:
            gate = self._gates.get(text)
            if gate is not None:
                await gate.wait()
            if text in self.errors:
                raise self.errors[text]
        finally:
            self.log.append(f"-{text}")
            await self._tell()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until *reached*, looked at whenever a handler begins or ends."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(reached)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def notes(store: Store) -> list[str]:
    """The texts of the records written, in order."""
    return [listed.entry.body.decode() for listed in await store.browse(Queue.TRACK, limit=10_000)]


async def waiting(store: Store) -> int:
    """How many rows the inbox has."""
    stats = (await store.stats()).get(Queue.INBOX, QueueStats())
    return stats.waiting + stats.in_flight
