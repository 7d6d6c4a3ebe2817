"""
What a long outbox costs: the time of a claim, and memory.

Run ``python -m benchmarks.waiting``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.kochava.records import encode
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from kochava_bot_middleware.store.unit import Entry, Outcome, Settlement, Unit

from .delivery import record
from .row import Row, table_of

FEW = 1_000
APP_ID = "kobotdemo1234"


async def fill(path: Path, waiting: int, *, in_backoff: bool = False) -> None:
    """
    Let that many lanes wait for delivery, all due, or none for a day.
    """
    store = SqliteStore(path)
    due_at = time.time() + 86_400 if in_backoff else None
    body = encode(record(0))
    try:
        for start in range(0, waiting, 5_000):
            names = [str(number) for number in range(start, min(start + 5_000, waiting))]
            await store.commit(
                Unit(
                    appends=[
                        Entry(id=name, queue="track", lane=name, created_at=time.time(), body=body, due_at=due_at)
                        for name in names
                    ]
                )
            )
    finally:
        await store.close()


async def claim_milliseconds(path: Path) -> float:
    """
    Median time of a claim of 100.
    """
    store = SqliteStore(path)
    times = []
    try:
        for _ in range(51):
            began = time.perf_counter()
            claims = await store.claim("track", 100, 60.0)
            times.append((time.perf_counter() - began) * 1000)
            await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.RELEASE) for claim in claims]))
    finally:
        await store.close()
    return statistics.median(times)


async def megabytes(path: Path) -> float:
    """
    The most memory a process takes that tries to deliver what waits in *path*, while nobody takes it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.waiting", "--deliver", str(path), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    return float(answer)


async def deliver(path: Path) -> None:
    """
    The other process.
    """
    kochava = KochavaMiddleware.from_dict(
        {
            "kochava_app_id": APP_ID,
            "store": f"sqlite:///{path}",
            # The port of a service that no machine runs any more.
            "wire": {"event_url": "http://127.0.0.1:9/track/json"},
        }
    )
    logging.disable(logging.WARNING)
    await kochava.start()
    await asyncio.sleep(3)
    await kochava.stop()
    print(most_megabytes())


def most_megabytes() -> float:
    """
    The most memory this process has had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        # Where it can be told apart from what the parent process had when it forked.
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


async def rows(waiting: int = 1_000_000) -> list[Row]:
    """
    Claims and memory.
    """
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for in_backoff in (False, True):
            few, many = (Path(folder) / f"{name}-{in_backoff}.db" for name in ("few", "many"))
            await fill(few, FEW, in_backoff=in_backoff)
            await fill(many, waiting, in_backoff=in_backoff)
            measured.append(
                Row.of_rounds(
                    [(await claim_milliseconds(many), await claim_milliseconds(few)) for _ in range(3)],
                    what=f"claim 100 at {waiting:,} waiting, {'all in backoff' if in_backoff else 'all due'}",
                    floor=f"at {FEW:,}",
                    unit="ms",
                    budget=2,
                )
            )
            if not in_backoff:
                idle = Path(folder) / "idle.db"
                await fill(idle, 0)
                bare, full = await megabytes(idle), await megabytes(many)
                measured.append(
                    Row(
                        what=f"memory with {waiting:,} waiting, more than idle",
                        floor="idle",
                        unit="MB",
                        ours=full,
                        floors=bare,
                        ratio=full - bare,
                        budget=30,
                    )
                )
            many.unlink()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--deliver", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.deliver is not None:
        asyncio.run(deliver(arguments.deliver))
        return
    Console().print(table_of(asyncio.run(rows(arguments.waiting))))


if __name__ == "__main__":
    main()
