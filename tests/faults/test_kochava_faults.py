"""Kochava in every bad state, one after the other, while people write: each record comes all the same, in order."""

from __future__ import annotations

import asyncio
import functools
import random
from pathlib import Path

import pytest

from tests.faults.fault_server import Mode
from tests.faults.history import StepKind
from tests.faults.short_settings import DELIVERY_LEASE_SECONDS
from tests.faults.stage import Stage, stage

FAULTS = (
    Mode.STATUS,
    Mode.RESET,
    Mode.HALF_BODY,
    Mode.HALF_HEADER,
    Mode.HANG,
    Mode.SLOW,
    Mode.TOO_MANY_SECONDS,
    Mode.TOO_MANY_DATE,
)
CUTTING = (Mode.RESET, Mode.HALF_HEADER)
PHASE_SECONDS = 0.5
PATIENCE_SECONDS = 6.0


def seen(place: Stage) -> set[str]:
    return {step.note for step in place.steps if step.kind in (StepKind.TAKEN, StepKind.NOT_TAKEN)}


def _half_of_them(fault: Mode, chance: random.Random) -> Mode:
    return fault if chance.random() < 0.5 else Mode.OK


async def misbehave(place: Stage, chance: random.Random) -> None:
    """Each fault for a while, mixed with good answers, then a closed port, then a storm of all."""
    place.kochava.retry_after = 1
    # Later than anybody waits: it is taken, and nobody is told.
    place.kochava.slow_seconds = DELIVERY_LEASE_SECONDS / 2
    for fault in FAULTS:
        place.mode = functools.partial(_half_of_them, fault, chance)
        began = place.clock.monotonic()
        await place.clock.sleep(PHASE_SECONDS)
        while fault.value not in seen(place) and place.clock.monotonic() - began < PATIENCE_SECONDS:
            await place.clock.sleep(0.05)
    await place.kochava.down()
    await place.clock.sleep(PHASE_SECONDS)
    await place.kochava.up()
    place.mode = lambda: chance.choice((*FAULTS, Mode.OK, Mode.OK))
    await place.clock.sleep(2 * PHASE_SECONDS)
    place.mode = lambda: Mode.OK


async def test_no_fault_of_kochava_loses_or_reorders(address: str, tmp_path: Path, seed: int) -> None:
    """A separate worker and a bot with one inside, on one store."""
    async with stage(tmp_path, address, seed=seed) as place:
        chance = random.Random(seed)
        lives = [await place.begin(is_bot=True, is_worker=True), await place.begin(is_worker=True)]
        people = await place.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
        await misbehave(place, chance)
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in lives:
            await place.stop(life)

        assert {mode.value for mode in (*FAULTS, Mode.OK)} == seen(place)


@pytest.mark.parametrize("mode", [Mode.TOO_MANY_SECONDS, Mode.TOO_MANY_DATE])
async def test_kochava_is_left_alone_as_long_as_it_asks(mode: Mode, tmp_path: Path, seed: int) -> None:
    """Both forms of Retry-After: while it lasts, only what was under way arrives."""
    async with stage(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as place:
        arrivals: list[float] = []
        place.arrived = lambda _name: arrivals.append(place.clock.monotonic())
        place.kochava.retry_after = 2
        place.mode = lambda: mode
        await place.begin(is_bot=True, is_worker=True)
        await place.say(await place.people(15), times=1)
        while not arrivals:
            await place.clock.sleep(0.01)
        await place.clock.sleep(arrivals[0] + 0.95 - place.clock.monotonic())
        early = [at - arrivals[0] for at in arrivals]
        place.mode = lambda: Mode.OK
        await place.drained()
        await place.judge()

    assert [] == [at for at in early if at > 0.5], early


@pytest.mark.parametrize("mode", CUTTING)
async def test_a_ping_goes_out_once_an_attempt(mode: Mode, tmp_path: Path, seed: int) -> None:
    """A connection that is cut ends the attempt; whether there is another one is for the worker to say."""
    async with stage(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as place:
        await place.begin(is_bot=True, is_worker=True)
        people = await place.people(4)
        place.mode = lambda: mode
        await place.say(people, times=1)
        while mode.value not in seen(place):
            await place.clock.sleep(0.02)
        await place.clock.sleep(PHASE_SECONDS)
        place.mode = lambda: Mode.OK
        await place.drained()
        await place.judge()
