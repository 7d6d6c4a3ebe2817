"""Real processes are killed with SIGKILL: every event that was answered 200 reaches Kochava."""

from __future__ import annotations

import random
from pathlib import Path

from kochava_bot_middleware.cli.worker import READY
from kochava_bot_middleware.sandbox.demo import chat_while, kill_repeatedly
from kochava_bot_middleware.sandbox.environment import DemoEnvironment, demo_environment
from kochava_bot_middleware.sandbox.processes import ChildProcess
from kochava_bot_middleware.sandbox.traffic import Traffic

DRAIN_SECONDS = 60.0
ENOUGH = 200
"""Events and pings that are promised."""


def quick_traffic(environment: DemoEnvironment, *, people: int, seed: int) -> Traffic:
    """Users who chat quickly."""
    return Traffic(
        people=[environment.messenger.person() for _ in range(people)],
        chance=random.Random(seed),
        clock=environment.messenger.clock,
        pause_seconds=(0.02, 0.3),
    )


async def test_killing_the_bot_twenty_times_loses_no_event_answered_200(tmp_path: Path) -> None:
    """Kochava receives every event and ping that a webhook answered 200 promised, first arrivals in order."""
    async with demo_environment(tmp_path, seed=20, short_leases=True) as environment:
        await environment.start_bot()
        traffic = quick_traffic(environment, people=15, seed=20)
        clock, chance = environment.messenger.clock, random.Random(20)

        killing = kill_repeatedly(environment.bot, environment.start_bot, kills=20, chance=chance, clock=clock)
        await chat_while(killing, traffic, 1.0)
        while environment.audit(killed=True).promised < ENOUGH:
            await traffic.chat(1.0)
        drained = await environment.drained(within_seconds=DRAIN_SECONDS)
        audit = environment.audit(killed=True)

    assert drained
    assert audit.is_good, "\n".join(audit.lines())


async def test_killing_the_separate_worker_loses_nothing(tmp_path: Path) -> None:
    """What the killed worker had under way is sent by the next one, once its lease has expired."""
    async with demo_environment(tmp_path, seed=8, short_leases=True, worker="separate") as environment:
        arguments = ["-m", "kochava_bot_middleware", "worker", "--settings", str(environment.settings)]
        async with ChildProcess(arguments, ready=READY, log=tmp_path / "worker.log") as worker:
            await environment.start_bot()
            await worker.start()
            traffic = quick_traffic(environment, people=10, seed=8)
            clock, chance = environment.messenger.clock, random.Random(8)

            killing = kill_repeatedly(worker, worker.start, kills=8, chance=chance, clock=clock)
            await chat_while(killing, traffic, 1.0)
            drained = await environment.drained(within_seconds=DRAIN_SECONDS)
            audit = environment.audit(killed=True)
            output = await worker.stop()

    assert drained
    assert audit.is_good, "\n".join(audit.lines())
    assert "stopped" in output
