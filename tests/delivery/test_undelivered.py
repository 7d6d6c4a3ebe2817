"""The warning that records wait while nothing delivers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Outcome, Settlement, Unit
from tests.fakes import VirtualClock
from tests.tracking.tracked_bot import TrackedBot, tracked_bot


@asynccontextmanager
async def started(store: MemoryStore, clock: VirtualClock, **settings: str) -> AsyncIterator[TrackedBot]:
    """A process whose middleware is started."""
    bot = tracked_bot(clock, store=store, **settings)
    async with bot.kochava:
        yield bot


@pytest.fixture
def clock() -> VirtualClock:
    """Time."""
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    """Where the records wait."""
    return MemoryStore(clock=clock)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("records_wait")]


async def test_a_missing_worker_is_warned_of_once_a_minute(
    store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With how many records wait, and what to run."""
    async with started(store, clock, worker="separate") as bot:
        for user_id in ("5", "6"):
            await bot.kochava.track("Renewal", user_id=user_id)
        await clock.advance(59)
        assert [] == warnings(caplog)
        await clock.advance(62)
        await clock.advance(60)
    first, second = warnings(caplog)
    assert 'records_wait 2 records wait: no worker has touched one for a minute, and `worker` is "separate"' in first
    assert "run `kochava-bot worker`" in first
    assert second.endswith("(1 more)")


async def test_records_that_come_meanwhile_are_no_sign_of_a_worker(
    store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy bot without a worker is warned, too."""
    async with started(store, clock, worker="separate") as bot:
        for minute in range(3):
            await bot.kochava.track("Renewal", user_id=str(minute))
            await clock.advance(60)
    assert 1 <= len(warnings(caplog))


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.RETRY])
async def test_a_worker_that_tries_is_seen(
    outcome: Outcome, store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it delivers or Kochava is down."""
    async with started(store, clock, worker="separate") as bot:
        for number in range(6):
            await bot.kochava.track("Renewal", user_id=str(number))
        for _ in range(4):
            await clock.advance(60)
            (claim,) = await store.claim("track", 1, 60)
            settlement = Settlement(claim=claim, outcome=outcome, retry_after_seconds=1.0)
            await store.commit(Unit(settlements=[settlement]))
    assert [] == warnings(caplog)


@pytest.mark.parametrize("mode", ["dry_run", "off"])
async def test_records_of_former_days_are_warned_of_in_a_mode_that_delivers_nothing(
    mode: str, store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, with the cause."""
    async with started(store, clock, worker="separate") as bot:
        await bot.kochava.track("Renewal", user_id="5")
    async with started(store, clock, mode=mode):
        await clock.advance(1)
    assert [f'records_wait 1 records wait: nothing delivers while `mode` is "{mode}"'] == warnings(caplog)


async def test_nothing_is_warned_of_while_nothing_waits(
    store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """In every mode."""
    for settings in ({"worker": "separate"}, {"mode": "off"}, {"mode": "dry_run"}):
        async with started(store, clock, **settings):
            await clock.advance(200)
    assert [] == warnings(caplog)


async def test_a_store_that_cannot_be_read_does_not_end_the_watch(
    store: MemoryStore, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is looked at again."""
    async with started(store, clock, worker="separate") as bot:
        await bot.kochava.track("Renewal", user_id="5")
        await store.close()
        await clock.advance(61)
        await store.open()
        await clock.advance(121)
    assert 1 == len(warnings(caplog))
