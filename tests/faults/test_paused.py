"""A process that is paused for longer than its lease and then continues."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.fault_run import fault_run
from tests.faults.short_settings import DELIVERY_LEASE_SECONDS, INBOX_LEASE_SECONDS

PAUSES = 2


async def test_a_paused_worker_does_not_send_what_was_taken_over(address: str, tmp_path: Path, seed: int) -> None:
    """SIGSTOP with requests under way, another worker takes over, SIGCONT."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        bot = await run.start(is_bot=True)
        people = await run.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.1)))
        paused = await run.start("paused", is_worker=True)
        other = await run.start("other", is_worker=True)
        for _ in range(PAUSES):
            while not await run.pause_at_request(paused):
                pass
            await run.clock.sleep(DELIVERY_LEASE_SECONDS * 1.5)
            run.resume(paused)
            await run.clock.sleep(0.3)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in (bot, paused, other):
            await run.stop(child)


async def test_a_paused_bot_records_nothing_twice(address: str, tmp_path: Path, seed: int) -> None:
    """SIGSTOP while handlers run; another bot handles those events; the first bot's commit of them is too late."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        worker = await run.start(is_worker=True)
        paused = await run.start("paused", is_bot=True, handler_seconds=0.05)
        people = await run.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.01, 0.05)))
        other = await run.start("other", is_bot=True, handler_seconds=0.05)
        for _ in range(PAUSES):
            is_paused = False
            while not is_paused:
                run.messenger.webhook_url = paused.ready.result()
                await run.clock.sleep(0.3)
                run.messenger.webhook_url = other.ready.result()
                is_paused = await run.pause(paused)
            await run.clock.sleep(INBOX_LEASE_SECONDS * 1.5)
            run.resume(paused)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in (worker, paused, other):
            await run.stop(child)
