"""A process is killed while requests are under way: `on_ambiguous` decides whether they are made again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from kochava_bot_middleware.kochava.records import decode
from kochava_bot_middleware.store.records import OUTBOX, EntryState, Listed
from tests.faults import entries
from tests.faults.fault_run import FaultRun, fault_run
from tests.faults.fault_server import Mode
from tests.faults.history import StepKind

PEOPLE = 30
MOST_UNDER_WAY = 16
"""Eight events and eight impressions."""
ARRIVED = (StepKind.TAKEN, StepKind.NOT_TAKEN)


def requests_of(run: FaultRun) -> Counter[object]:
    """How many requests of each record arrived."""
    return Counter(step.entry for step in run.steps if step.kind in ARRIVED)


async def dead(run: FaultRun) -> list[Listed]:
    store = run.open_store()
    try:
        return [row for queue in OUTBOX for row in await store.browse(queue, state=EntryState.DEAD, limit=1000)]
    finally:
        await store.close()


@pytest.mark.parametrize("in_the_bot", [True, False])
async def test_what_is_given_up_when_unknown_is_never_sent_twice(
    address: str, tmp_path: Path, seed: int, in_the_bot: bool
) -> None:
    """And nothing else is given up: neither what was only claimed, nor what stands behind."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        delivery = run.settings["kochava"]["delivery"]
        # Nothing may end by itself.
        delivery |= {"on_ambiguous_default": "dead", "request_timeout_seconds": 20, "lease_seconds": 30}
        bot = await run.start(is_bot=True)
        people = await run.people(PEOPLE)
        await run.write_times(people, 1)
        run.mode = lambda: Mode.HANG
        killed = await run.start("killed", is_bot=in_the_bot, is_worker=True)
        await run.until(lambda: requests_of(run).total() >= 8)
        await run.kill(killed)
        begun = set(requests_of(run))
        run.mode = lambda: Mode.OK
        other = await run.start("other", is_bot=in_the_bot, is_worker=True)
        await run.drained()
        given_up = await dead(run)
        lost = {entries.of_record(decode(row.entry.body)) for row in given_up}
        assert {1} == set(requests_of(run).values())
        assert begun <= lost
        assert MOST_UNDER_WAY >= len(lost)
        assert {"perhaps delivered"} == {row.reason for row in given_up}
        # An event "Started", an impression, an event "Said" and a click of each.
        assert 4 * PEOPLE == len(lost | set(requests_of(run)))
        await run.stop(other)
        await run.stop(bot)


async def test_by_default_it_is_sent_again(address: str, tmp_path: Path, seed: int) -> None:
    """At least once: nothing is given up."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        bot = await run.start(is_bot=True)
        await run.people(PEOPLE)
        run.mode = lambda: Mode.HANG
        killed = await run.start("killed", is_worker=True)
        await run.until(lambda: requests_of(run).total() >= 8)
        await run.kill(killed)
        begun = set(requests_of(run))
        run.mode = lambda: Mode.OK
        other = await run.start("other", is_worker=True)
        await run.drained()
        await run.check()
        assert {2} == {requests_of(run)[entry] for entry in begun}
        await run.stop(other)
        await run.stop(bot)
