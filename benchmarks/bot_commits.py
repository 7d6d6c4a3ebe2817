"""
What a bot asks of its store for each event: one commit when it comes, leased at once, and one when it is handled.

Run ``python -m benchmarks.bot_commits``. Many callers of one process commit side by side, as webhooks do. The floor is
SQLite in the same run, so the rows tell what it costs to share a store between machines.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence

import attrs
from rich.console import Console

from kochava_bot_middleware.kochava.records import encode
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import CommitVerdict, Entry, Lease, Outcome, Queue, Settlement, Unit

from .backlog import NotDelivered, record
from .row import Row, table_of
from .servers import Engine, engine, opened, processor_seconds

_BODY = encode(record(1, 1))
_LEASE = Lease(queue=Queue.INBOX, seconds=60.0)
_numbers = itertools.count(1)


@attrs.frozen(kw_only=True)
class Pass:
    """
    Some thousand events.

    Attributes:
        rate: Events a second.
        bot: Processor time of this process, microseconds an event.
        server: The same of the store's server, if there is one.
    """

    rate: float
    bot: float
    server: float | None


async def event(store: Store) -> None:
    """From the webhook's item in the inbox to the record in the outbox, each person's own."""
    name = f"{next(_numbers):x}"
    came = await store.commit(Unit(appends=[_entry(name, Queue.INBOX)], lease=_LEASE))
    settlements = [Settlement(claim=claim, outcome=Outcome.DONE) for claim in came.leased]
    ended = await store.commit(Unit(appends=[_entry(f"{name}-track", Queue.TRACK)], settlements=settlements))
    if len(settlements) != 1 or ended.verdict is not CommitVerdict.COMMITTED:
        msg = f"event {name} was not stored: {came}, then {ended}"
        raise NotDelivered(msg)


async def events_pass(place: Engine, events: int, callers: int) -> Pass:
    """By so many callers, each waiting for its own event before the next."""
    servers = [] if place.process_id is None else [place.process_id]
    store = await opened(place.fresh_url())
    left = iter(range(events))

    async def caller() -> None:
        for _ in left:
            await event(store)

    try:
        bot_before, server_before = time.process_time(), processor_seconds(servers)
        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        seconds = time.perf_counter() - began
        bot_after, server_after = time.process_time(), processor_seconds(servers)
        stats = await store.stats()
    finally:
        await store.close()
    if (stats[Queue.INBOX].done, stats[Queue.TRACK].waiting) != (events, events):
        msg = f"{events} events became {stats[Queue.INBOX]} and {stats[Queue.TRACK]}"
        raise NotDelivered(msg)
    server = None
    if servers and server_before is not None and server_after is not None:
        server = (server_after - server_before) * 1e6 / events
    return Pass(rate=events / seconds, bot=(bot_after - bot_before) * 1e6 / events, server=server)


async def rows(rounds: int = 3, events: int = 5_000, callers: int = 64) -> list[Row]:
    """Events a second through each server, and the processor time of both sides."""
    passes: dict[str, list[Pass]] = {}
    with engine("sqlite") as sqlite, engine("valkey") as valkey, engine("postgres") as postgres:
        for _ in range(rounds):
            for place in (sqlite, valkey, postgres):
                passes.setdefault(place.name, []).append(await events_pass(place, events, callers))
    floor = passes.pop("sqlite")
    return [row for name, measured in passes.items() for row in _rows_of(name, measured, floor, callers)]


def _rows_of(name: str, passes: Sequence[Pass], floor: Sequence[Pass], callers: int) -> list[Row]:
    made = [
        Row.of_rounds(
            [(ours.rate, bare.rate) for ours, bare in zip(passes, floor, strict=True)],
            what=f"a bot's two commits an event, {callers} callers: {name}",
            floor="the same with sqlite",
            unit="/s",
        )
    ]
    sides: dict[str, list[float | None]] = {
        "the bot's side of": [each.bot for each in passes],
        "the server of": [each.server for each in passes],
    }
    for label, times in sides.items():
        pairs = [(ours, bare.bot) for ours, bare in zip(times, floor, strict=True) if ours is not None]
        if pairs:
            what = f"processor time of them: {label} {name}"
            made.append(Row.of_rounds(pairs, what=what, floor="the bot's with sqlite", unit="µs"))
    return made


def _entry(name: str, queue: Queue) -> Entry:
    return Entry(id=name, queue=queue, lane=name, created_at=time.time(), body=_BODY)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bot_commits", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    measured = asyncio.run(rows(arguments.rounds, arguments.events, arguments.callers))
    Console(width=160).print(table_of(measured))


if __name__ == "__main__":
    main()
