"""The actions of ``kochava-bot store`` that change nothing."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Mapping, Sequence

import attrs

from ..clock import Clock
from ..exceptions import KochavaBotError
from ..store.contract import Store
from ..store.records import EntryState, Listed, Queue, QueueStats
from ..tracking.settings import KochavaSettings
from .command import GOOD
from .documents import json_line
from .output import NOTHING, moment, print_table, progress
from .store_opening import opened
from .store_rows import LISTED_STATES, OUTBOX, body_of, every_row, exported, fields_of, what_of

_COUNTS = ("accepted", "done", "waiting", "in_flight", "dead", "dropped")


async def show_stats(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print the counts of each queue; accepted is the sum of what follows."""
    async with opened(settings, clock) as store:
        stats = await store.stats()
    now = clock.now()
    queues = [*map(str, Queue), *sorted(set(stats) - set(Queue))]
    counts = {queue: stats.get(queue, QueueStats()) for queue in queues}
    if arguments.json:
        print(json_line({queue: _stats_fields(each, now) for queue, each in counts.items()}))
        return GOOD
    heads = ["queue", *(name.replace("_", " ") for name in _COUNTS), "oldest"]
    print_table(heads, ([queue, *_numbers(each), _age(each, now)] for queue, each in counts.items()))
    return GOOD


async def list_rows(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print a table of entries, or one line of JSON each."""
    state = state_named(arguments.state)
    async with opened(settings, clock) as store:
        queues = await queues_named(store, arguments.queue)
        rows: list[Listed] = []
        for queue in queues:
            wanted = arguments.limit - len(rows)
            if wanted > 0:
                rows += await store.browse(queue, state=state, lane=arguments.lane, limit=wanted, after=arguments.after)
    if arguments.json:
        for row in rows:
            print(json_line(fields_of(row)))
    else:
        print_rows(rows)
    return GOOD


def print_rows(rows: Sequence[Listed]) -> None:
    """A table of entries."""
    if not rows:
        print("no entries")
        return
    heads = ("id", "queue", "lane", "state", "what", "attempts", "created", "due", "reason")
    print_table(heads, map(_cells, rows))


async def show_row(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print all that may be shown of one entry."""
    async with opened(settings, clock) as store:
        row = await store.find(arguments.id)
    if row is None:
        msg = f"there is no entry {arguments.id!r}; what was delivered or handled is not kept"
        raise KochavaBotError(msg)
    fields = {**fields_of(row), "detail": row.detail}
    if arguments.show_body:
        if row.state is not EntryState.DEAD or row.entry.queue not in OUTBOX:
            msg = f"only the records of dead entries are shown; {arguments.id!r} is {row.state} in {row.entry.queue}"
            raise KochavaBotError(msg)
        fields["body"] = body_of(row)
    if arguments.json:
        print(json_line(fields))
    else:
        print_table(("field", "value"), ((name, _shown(value)) for name, value in fields.items()))
    return GOOD


async def export_rows(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print entries with their records, one line of JSON each."""
    state = state_named(arguments.state)
    async with opened(settings, clock) as store:
        queues = await queues_named(store, arguments.queue)
        with progress("exporting", await _number_of_rows(store, queues), prints=True) as steps:
            async for row in _rows(store, queues, state, arguments.lane):
                print(json_line(exported(row)))
                steps.done(1)
    return GOOD


def state_named(name: str | None) -> EntryState | None:
    """
    The state a person means.

    Raises:
        KochavaBotError: There is none of that name, or no rows are kept in it.
    """
    if name is None:
        return None
    for state in LISTED_STATES:
        if name.replace("_", " ").replace("-", " ").lower() == state:
            return state
    msg = f"--state: wanted one of {', '.join(LISTED_STATES)}, got {name!r}"
    if name == EntryState.DONE:
        msg = "--state: entries that are done are only counted, see `kochava-bot store stats`"
    raise KochavaBotError(msg)


async def queues_named(store: Store, name: str | None) -> list[str]:
    """
    The queue a person means; all without a name.

    Raises:
        KochavaBotError: There is none of that name.
    """
    known = [*map(str, Queue), *sorted(set(await store.stats()) - set(Queue))]
    if name is None:
        return known
    if name not in known:
        msg = f"--queue: wanted one of {', '.join(known)}, got {name!r}"
        raise KochavaBotError(msg)
    return [name]


async def _rows(
    store: Store, queues: Sequence[str], state: EntryState | None, lane: str | None
) -> AsyncIterator[Listed]:
    for queue in queues:
        async for row in every_row(store, queue, state=state, lane=lane):
            yield row


async def _number_of_rows(store: Store, queues: Sequence[str]) -> int:
    stats: Mapping[str, QueueStats] = await store.stats()
    counts = [stats[queue] for queue in queues if queue in stats]
    return sum(each.waiting + each.in_flight + each.dead for each in counts)


def _numbers(counts: QueueStats) -> list[int]:
    return [getattr(counts, name) for name in _COUNTS]


def _age(counts: QueueStats, now: float) -> str:
    return NOTHING if counts.oldest_waiting_at is None else f"{max(0.0, now - counts.oldest_waiting_at):.0f} s"


def _stats_fields(counts: QueueStats, now: float) -> dict[str, object]:
    fields = attrs.asdict(counts)
    since = fields.pop("oldest_waiting_at")
    return {**fields, "oldest_waiting_seconds": None if since is None else round(max(0.0, now - since), 3)}


def _cells(row: Listed) -> tuple[object, ...]:
    entry = row.entry
    due = moment(row.due_at if row.ended_at is None else None)
    what, reason = what_of(row) or NOTHING, row.reason or NOTHING
    created = moment(entry.created_at)
    return entry.id, entry.queue, entry.lane, str(row.state), what, row.attempts, created, due, reason


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return json_line(value)
    return NOTHING if value in (None, "") else str(value)
