"""The consumer of a queue: what it claims, runs, renews, settles and releases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kochava_bot_middleware.incidents import Incidents
from kochava_bot_middleware.queues.claims import Claimed, ConsumerOptions
from kochava_bot_middleware.queues.consumer import Consumer
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import (
    Claim,
    Committed,
    CommitVerdict,
    Entry,
    Outcome,
    Queue,
    QueueStats,
    Settlement,
    Unit,
)
from tests.fakes import VirtualClock, settle

LEASE = 30.0


class CountingStore(MemoryStore):
    """
    Counts what is asked of it.

    Attributes:
        hangs: Commits of settlements wait until it is set.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.units: list[Unit] = []
        self.limits: list[int] = []
        self.bounds: list[Mapping[str, float] | None] = []
        self.may_settle = asyncio.Event()
        self.may_settle.set()

    async def commit(self, unit: Unit) -> Committed:
        if unit.settlements:
            await self.may_settle.wait()
            self.units.append(unit)
        return await super().commit(unit)

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        self.limits.append(limit)
        return await super().claim(queue, limit, lease_seconds)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        self.bounds.append(longest_waits)
        await super().sweep(longest_waits)


class Rig:
    """A consumer of the track queue, whose process ends when it is asked to."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.store = CountingStore(self.clock)
        self.begun: list[str] = []
        self.ended: list[tuple[str, bool]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.outcome: Outcome | None = Outcome.DONE
        defaults: dict[str, Any] = {
            "concurrency": 2,
            "most_held": 6,
            "lease_seconds": LEASE,
            "poll_seconds": 1.0,
            "longest_wait_seconds": lambda: 90.0,
            "on_ended": self.on_ended,
        }
        self.options = ConsumerOptions(**{**defaults, **options})
        self.consumer = self.another_consumer()

    def another_consumer(self) -> Consumer:
        incidents = Incidents(self.clock, logging.getLogger("tests"))
        return Consumer(self.store, Queue.TRACK, self.process, self.options, clock=self.clock, incidents=incidents)

    async def process(self, claimed: Claimed) -> Settlement | None:
        self.begun.append(claimed.claim.entry.id)
        claim = claimed.claim
        await self.may_end.wait()
        return None if self.outcome is None else Settlement(claim=claim, outcome=self.outcome)

    def on_ended(self, settlement: Settlement, verdict: CommitVerdict) -> None:
        self.ended.append((settlement.claim.entry.id, verdict is CommitVerdict.COMMITTED))

    async def append(self, *names: str, lane: str | None = None) -> None:
        entries = [Entry(id=name, queue=Queue.TRACK, lane=lane or name, created_at=0.0, body=b"") for name in names]
        await self.store.commit(Unit(appends=entries))

    async def stats(self) -> QueueStats:
        return (await self.store.stats())[Queue.TRACK]

    async def start(self) -> None:
        self.consumer.start()
        await settle()


def ids_of(units: Sequence[Unit]) -> list[str]:
    return [settlement.claim.entry.id for unit in units for settlement in unit.settlements]


async def test_only_so_many_are_processed_at_a_time() -> None:
    """The others wait, claimed."""
    rig = Rig()
    rig.may_end.clear()
    await rig.append(*"abcdefgh")
    await rig.start()
    assert (["a", "b"], 6) == (rig.begun, (await rig.stats()).in_flight)
    rig.may_end.set()
    await rig.clock.advance(2)
    assert 8 == (await rig.stats()).done
    await rig.consumer.stop(0)


async def test_settlements_are_committed_together() -> None:
    """Those that end while a commit is under way."""
    rig = Rig(concurrency=4)
    rig.store.may_settle.clear()
    await rig.append(*"abcd")
    await rig.start()
    rig.store.may_settle.set()
    await rig.clock.advance(1)
    assert 2 >= len(rig.store.units)
    assert ["a", "b", "c", "d"] == sorted(ids_of(rig.store.units))
    await rig.consumer.stop(0)


async def test_the_commit_that_settles_one_leases_the_next_of_its_lane() -> None:
    """No claim is needed for it."""
    rig = Rig(poll_seconds=3600.0)
    await rig.append("a", "b", "c", lane="ann")
    await rig.start()
    claims = len(rig.store.limits)
    await settle()
    assert (["a", "b", "c"], claims) == (rig.begun, len(rig.store.limits))
    await rig.consumer.stop(0)


async def test_one_lost_lease_costs_the_other_settlements_nothing() -> None:
    """They are committed one by one then."""
    rig = Rig(concurrency=4, lease_seconds=LEASE)
    rig.may_end.clear()
    await rig.append("a", "b")
    await rig.start()
    rig.clock.stall(LEASE + 1)
    (theirs,) = await rig.store.claim(Queue.TRACK, 1, LEASE)
    rig.may_end.set()
    await settle()
    other = {"a": "b", "b": "a"}[theirs.entry.id]
    assert {(theirs.entry.id, False), (other, True)} == set(rig.ended)
    await rig.consumer.stop(0)


async def test_an_entry_taken_over_from_itself_is_processed_once_and_settled() -> None:
    """Its lease lapsed while this process slept, and no other process claimed it."""
    rig = Rig()
    rig.may_end.clear()
    await rig.append("a")
    await rig.start()
    rig.clock.stall(LEASE + 1)
    await rig.clock.advance(2)
    rig.may_end.set()
    await settle()
    assert (["a"], [("a", True)]) == (rig.begun, rig.ended)
    await rig.consumer.stop(0)


async def test_what_was_processed_without_a_claim_is_only_settled() -> None:
    """It was remembered before it could be claimed."""
    rig = Rig()
    rig.consumer.remember_processed("a")
    await rig.append("a")
    await rig.start()
    assert ([], [("a", True)]) == (rig.begun, rig.ended)
    await rig.consumer.stop(0)


async def test_leases_are_renewed_while_the_work_lasts() -> None:
    """Another process claims nothing of it."""
    rig = Rig()
    rig.may_end.clear()
    await rig.append("a")
    await rig.start()
    await rig.clock.advance(10 * LEASE)
    assert [] == await rig.store.claim(Queue.TRACK, 9, LEASE)
    rig.may_end.set()
    await rig.consumer.stop(1)


async def test_stop_waits_for_what_was_begun_and_releases_the_rest() -> None:
    """Not counted as an attempt."""
    rig = Rig()
    rig.may_end.clear()
    await rig.append(*"abcd")
    await rig.start()
    stopping = asyncio.create_task(rig.consumer.stop(5))
    await settle()
    assert not stopping.done()
    rig.may_end.set()
    await stopping
    stats = await rig.stats()
    assert (2, 2, 0) == (stats.done, stats.waiting, stats.in_flight)
    assert {0} == {row.attempts for row in await rig.store.browse(Queue.TRACK)}


async def test_stop_at_its_deadline_leaves_what_was_begun_to_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """At once, and as a takeover, since nobody knows how far it came; and says how much that is."""
    rig = Rig()
    rig.may_end.clear()
    await rig.append("a")
    await rig.start()
    await rig.consumer.stop(0)
    assert "track_not_drained: 1 entries are left to the next process" in caplog.messages
    (claim,) = await rig.store.claim(Queue.TRACK, 10, LEASE)
    assert claim.is_takeover


async def started_with_one_ended(rig: Rig) -> Consumer:
    """A consumer that has processed one entry of twenty; its settlement waits for others."""

    async def process(claimed: Claimed) -> Settlement | None:
        if claimed.claim.entry.id != "0":
            await rig.may_end.wait()
        return Settlement(claim=claimed.claim, outcome=Outcome.DONE)

    rig.may_end.clear()
    incidents = Incidents(rig.clock, logging.getLogger("tests"))
    consumer = Consumer(rig.store, Queue.TRACK, process, rig.options, clock=rig.clock, incidents=incidents)
    await rig.append(*map(str, range(20)))
    consumer.start()
    await settle()
    assert [] == rig.store.units
    return consumer


async def test_stop_at_its_deadline_settles_what_has_ended() -> None:
    """Though it waits to be committed together with others: it must not be processed again."""
    rig = Rig(most_held=60)
    consumer = await started_with_one_ended(rig)
    await consumer.stop(0)
    assert ([("0", True)], 1) == (rig.ended, (await rig.stats()).done)


async def test_what_has_ended_waits_for_two_of_each_that_is_processed_at_a_time() -> None:
    """Then it is committed at once."""
    rig = Rig(most_held=60)
    consumer = await started_with_one_ended(rig)
    rig.may_end.set()
    await settle()
    assert 4 <= len(rig.store.units[0].settlements)
    await consumer.stop(0)


async def test_what_has_ended_is_committed_soon_though_nothing_else_ends() -> None:
    """Else a request that hangs would keep the next ones of other people waiting."""
    rig = Rig(most_held=60)
    consumer = await started_with_one_ended(rig)
    await rig.clock.advance(0.03)
    assert ["0"] == ids_of(rig.store.units)
    await consumer.stop(0)


async def test_stop_before_start_and_twice_is_safe(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the caller had begun."""
    rig = Rig()
    await rig.consumer.stop(1)
    await rig.consumer.stop(1)
    rig.consumer.start()
    await settle()
    assert ([], []) == (rig.store.limits, caplog.messages)


async def test_nothing_is_claimed_without_room_nor_leased_with_a_settlement() -> None:
    """It is looked for again when there may be room."""
    room = [(9, 0.0)]
    rig = Rig(room=lambda _most: room[0], concurrency=1, most_held=1, poll_seconds=60.0)
    rig.may_end.clear()
    await rig.append("a", "b", lane="ann")
    await rig.start()
    room[0] = (0, 5.0)
    rig.may_end.set()
    await settle()
    assert (["a"], 1) == (rig.begun, (await rig.stats()).waiting)
    room[0] = (9, 0.0)
    await rig.clock.advance(5.1)
    assert ["a", "b"] == rig.begun
    await rig.consumer.stop(0)


async def test_the_sweep_is_told_the_longest_wait_of_the_queue() -> None:
    """At the start, and once a minute."""
    rig = Rig()
    await rig.start()
    await rig.clock.advance(121)
    assert 3 * [{Queue.TRACK: 90.0}] == rig.store.bounds
    await rig.consumer.stop(0)


async def test_a_process_that_raises_costs_no_other_entry(caplog: pytest.LogCaptureFixture) -> None:
    """Its lease lapses; what the error says is not logged."""
    rig, said = Rig(concurrency=1), "Ann's words"

    async def process(claimed: Claimed) -> Settlement | None:
        if claimed.claim.entry.id == "a":
            raise ValueError(said)
        return Settlement(claim=claimed.claim, outcome=Outcome.DONE)

    incidents = Incidents(rig.clock, logging.getLogger("tests"))
    consumer = Consumer(rig.store, Queue.TRACK, process, rig.options, clock=rig.clock, incidents=incidents)
    await rig.append("a", "b")
    consumer.start()
    await settle()
    assert (1, 1) == ((await rig.stats()).done, (await rig.stats()).in_flight)
    assert "track_task_failed: ValueError" in caplog.text
    assert said not in caplog.text
    await consumer.stop(0)


async def test_an_isolated_consumer_starts_each_claim_at_once() -> None:
    """The process says when it begins; what it did not begin is released by a shutdown."""
    rig = Rig(is_isolated=True, concurrency=8)
    rig.outcome = None
    rig.may_end.clear()
    await rig.append("a", "b", "c")
    await rig.start()
    assert ["a", "b", "c"] == rig.begun
    await rig.consumer.stop(0)
    assert 3 == (await rig.stats()).waiting
