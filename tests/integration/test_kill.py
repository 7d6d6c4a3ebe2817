"""SIGKILL, with real processes: what was answered 200 reaches Kochava."""

from __future__ import annotations

import random
from pathlib import Path

from kochava_bot_middleware.cli.worker import READY
from kochava_bot_middleware.sandbox.crowd import Crowd
from kochava_bot_middleware.sandbox.demo import chat_and_kill, judge, kill_again_and_again
from kochava_bot_middleware.sandbox.shop_process import Child
from kochava_bot_middleware.sandbox.town import SHORT, Town, town

DRAIN_SECONDS = 60.0


def crowd_of(place: Town, *, people: int, seed: int) -> Crowd:
    """People who chat quickly."""
    return Crowd(
        people=[place.messenger.person() for _ in range(people)],
        chance=random.Random(seed),
        clock=place.messenger.clock,
        pause_seconds=(0.02, 0.3),
    )


async def test_killing_the_bot_twenty_times_loses_no_event_answered_200(tmp_path: Path) -> None:
    """Kochava gets every event and ping that a webhook answered 200 promised, first arrivals in order."""
    async with town(tmp_path, seed=20, leases=SHORT) as place:
        await place.open_shop()
        crowd = crowd_of(place, people=15, seed=20)
        clock, chance = place.messenger.clock, random.Random(20)

        deaths = kill_again_and_again(place.shop, place.open_shop, kills=20, chance=chance, clock=clock)
        await chat_and_kill(crowd, 1.0, deaths)
        drained = await place.drained(within_seconds=DRAIN_SECONDS)
        judgement = judge(place, killed=True)

    assert drained
    assert judgement.is_good, "\n".join(judgement.lines())
    assert judgement.balance.promised > 200


async def test_killing_the_separate_worker_loses_nothing(tmp_path: Path) -> None:
    """What the dead worker had under way is sent by the next one, once its lease has lapsed."""
    async with town(tmp_path, seed=8, leases=SHORT, worker="separate") as place:
        arguments = ["-m", "kochava_bot_middleware", "worker", "--settings", str(place.settings)]
        async with Child(arguments, ready=READY, log=tmp_path / "worker.log") as worker:
            await place.open_shop()
            await worker.start()
            crowd = crowd_of(place, people=10, seed=8)
            clock, chance = place.messenger.clock, random.Random(8)

            deaths = kill_again_and_again(worker, worker.start, kills=8, chance=chance, clock=clock)
            await chat_and_kill(crowd, 1.0, deaths)
            drained = await place.drained(within_seconds=DRAIN_SECONDS)
            judgement = judge(place, killed=True)
            said = await worker.stop()

    assert drained
    assert judgement.is_good, "\n".join(judgement.lines())
    assert "stopped" in said
