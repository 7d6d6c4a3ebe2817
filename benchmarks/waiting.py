"""
What a long outbox costs in time: one append, a claim and a settlement, each as a multiple of its cost at 1,000 waiting.

Run ``python -m benchmarks.waiting``, for one store ``--store valkey``. All lengths lie side by side and are asked in
turn, so that what else the machine does hits all. How many wait stays the same: what is settled is appended anew.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from rich.console import Console

from kochava_bot_middleware.kochava.records import encode
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Entry, Outcome, Settlement, Unit

from .backlog import APPENDS_OF_A_UNIT, NotDelivered, record
from .row import Row, table_of
from .servers import ENGINES, engine, opened

T = TypeVar("T")

FEW = 1_000
SIZES = (FEW, 10_000, 100_000, 1_000_000)
CLAIMED = 100
SINGLE_APPENDS = 5

BUDGETS = {"claim 100, all due": 2.0, "claim when all are in backoff": 2.0}
"""How many times the cost at `FEW` each may be at any length."""

_BODY = encode(record(1, 1))
_numbers = itertools.count(1)
_BACKOFF_SECONDS = 1_800.0
Times = Mapping[str, float]
"""Milliseconds by what was done."""


async def fill(store: Store, waiting: int, *, in_backoff: bool = False) -> None:
    """Let that many lanes wait for delivery, all due, or none for half an hour."""
    wait_seconds = _BACKOFF_SECONDS if in_backoff else None
    for start in range(0, waiting, APPENDS_OF_A_UNIT):
        await _append(store, min(APPENDS_OF_A_UNIT, waiting - start), wait_seconds=wait_seconds)


async def due_times(store: Store) -> Times:
    """Of a claim, of the settlement of what was claimed, and of appends one by one."""
    claiming, claims = await _timed(_claim(store))
    if len(claims) != CLAIMED:
        msg = f"{len(claims)} records were claimed where {CLAIMED} are due"
        raise NotDelivered(msg)
    settlements = [Settlement(claim=claim, outcome=Outcome.DONE) for claim in claims]
    settling, _ = await _timed(store.commit(Unit(settlements=settlements)))
    await _append(store, CLAIMED - SINGLE_APPENDS)
    appending = [(await _timed(_append(store, 1)))[0] for _ in range(SINGLE_APPENDS)]
    return {
        "append 1": sum(appending) / SINGLE_APPENDS,
        f"claim {CLAIMED}, all due": claiming,
        f"settle {CLAIMED}": settling,
    }


async def backoff_times(store: Store) -> Times:
    """Of a claim that finds nothing."""
    claiming, claims = await _timed(_claim(store))
    if claims:
        msg = f"{len(claims)} records were claimed where none is due"
        raise NotDelivered(msg)
    return {"claim when all are in backoff": claiming}


def _claim(store: Store) -> Awaitable[list[Claim]]:
    return store.claim("track", CLAIMED, 60.0)


async def _append(store: Store, count: int, *, wait_seconds: float | None = None) -> None:
    now = time.time()
    names = [f"{next(_numbers):x}" for _ in range(count)]
    entries = [
        Entry(id=name, queue="track", lane=name, created_at=now, body=_BODY, wait_seconds=wait_seconds)
        for name in names
    ]
    await store.commit(Unit(appends=entries))


async def _timed(work: Awaitable[T]) -> tuple[float, T]:
    began = time.perf_counter()
    answer = await work
    return (time.perf_counter() - began) * 1000, answer


@asynccontextmanager
async def stores(name: str, sizes: Sequence[int], *, in_backoff: bool) -> AsyncIterator[Mapping[int, Store]]:
    """One of each length."""
    with engine(name) as place:
        async with AsyncExitStack() as stack:
            made: dict[int, Store] = {}
            for size in sizes:
                made[size] = store = await opened(place.fresh_url())
                stack.push_async_callback(store.close)
                await fill(store, size, in_backoff=in_backoff)
            yield made


async def rows(name: str, sizes: Sequence[int] = SIZES, rounds: int = 51) -> list[Row]:
    """Each operation at each length but the first, over the first."""
    measured: list[Row] = []
    for in_backoff in (False, True):
        times: dict[int, list[Times]] = {size: [] for size in sizes}
        async with stores(name, sizes, in_backoff=in_backoff) as made:
            for number in range(rounds + 3):
                for size, store in made.items():
                    each = await (backoff_times(store) if in_backoff else due_times(store))
                    if number >= 3:  # the first rounds warm up
                        times[size].append(each)
        measured += [
            Row.of_rounds(
                [(many[what], few[what]) for many, few in zip(times[size], times[sizes[0]], strict=True)],
                what=f"{name}, {size:,} waiting: {what}",
                floor=f"{sizes[0]:,} waiting",
                unit="ms",
                budget=BUDGETS.get(what),
            )
            for what in times[sizes[0]][0]
            for size in sizes[1:]
        ]
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--store", choices=ENGINES, action="append", help="may be given again; all if left out")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the greatest length")
    parser.add_argument("--rounds", type=int, default=51)
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size <= arguments.most]
    for name in arguments.store or ENGINES:
        Console(width=160).print(table_of(asyncio.run(rows(name, sizes, arguments.rounds))))


if __name__ == "__main__":
    main()
