"""
What a long outbox costs in memory: nothing of it may be kept by a process that cannot deliver.

Run ``python -m benchmarks.memory``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from kochava_bot_middleware import KochavaMiddleware

from .backlog import APP_ID
from .row import Row, table_of
from .servers import opened
from .waiting import fill


async def megabytes(path: Path) -> float:
    """The most memory a process takes that tries to deliver what waits in *path*, while nobody takes it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.memory", "--deliver", str(path), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    return float(answer)


async def deliver(path: Path) -> None:
    """The other process."""
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
    """The most memory this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        # Where it can be told apart from what the parent process had when it forked.
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


async def rows(waiting: int = 1_000_000) -> list[Row]:
    """More than idle."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: Path(folder) / f"{count}.db" for count in (0, waiting)}
        for count, path in paths.items():
            store = await opened(f"sqlite:///{path}")
            await fill(store, count)
            await store.close()
        bare, full = await megabytes(paths[0]), await megabytes(paths[waiting])
    return [
        Row(
            what=f"memory with {waiting:,} waiting, more than idle",
            floor="idle",
            unit="MB",
            ours=full,
            floors=bare,
            ratio=full - bare,
            budget=30,
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--deliver", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.deliver is not None:
        asyncio.run(deliver(arguments.deliver))
        return
    Console().print(table_of(asyncio.run(rows(arguments.waiting))))


if __name__ == "__main__":
    main()
