"""A process that is stopped for longer than its lease and then goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.short_settings import DELIVERY_LEASE_SECONDS, INBOX_LEASE_SECONDS
from tests.faults.stage import stage

STALLS = 2


async def test_a_stalled_worker_does_not_send_what_was_taken_over(address: str, tmp_path: Path, seed: int) -> None:
    """SIGSTOP with requests on the wire, another worker does its work, SIGCONT."""
    async with stage(tmp_path, address, seed=seed) as place:
        bot = await place.begin(is_bot=True)
        people = await place.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.1)))
        stalling = await place.begin("stalling", is_worker=True)
        other = await place.begin("other", is_worker=True)
        for number in range(STALLS):
            met = asyncio.Event()

            def arrived(name: str, met: asyncio.Event = met, number: int = number) -> None:
                if name == stalling.plan.name and not met.is_set():
                    met.set()
                    place.freeze(stalling)

            place.arrived = arrived
            async with asyncio.timeout(20):
                await met.wait()
            await place.clock.sleep(DELIVERY_LEASE_SECONDS * 1.5)
            place.wake(stalling)
            await place.clock.sleep(0.3)
        place.arrived = lambda _name: None
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in (bot, stalling, other):
            await place.stop(life)


async def test_a_stalled_bot_records_nothing_twice(address: str, tmp_path: Path, seed: int) -> None:
    """SIGSTOP amid handlers; another bot handles those events; the first one's end of them comes too late."""
    async with stage(tmp_path, address, seed=seed) as place:
        worker = await place.begin(is_worker=True)
        stalling = await place.begin("stalling", is_bot=True, handler_seconds=0.05)
        people = await place.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.01, 0.05)))
        other = await place.begin("other", is_bot=True, handler_seconds=0.05)
        for _ in range(STALLS):
            place.messenger.webhook_url = stalling.ready.result()
            await place.clock.sleep(0.3)
            place.freeze(stalling)
            place.messenger.webhook_url = other.ready.result()
            await place.clock.sleep(INBOX_LEASE_SECONDS * 1.5)
            place.wake(stalling)
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in (worker, stalling, other):
            await place.stop(life)
