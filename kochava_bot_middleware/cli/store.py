"""``kochava-bot store``: look at the entries of a store, retry or remove them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import KochavaBotError
from ..store.contract import Store
from ..store.records import OUTBOX, EntryState, Listed, Queue, QueueStats
from ..tracking.settings import KochavaSettings
from .command import GOOD, NOT_RUN, SOMETHING_WRONG, number_from, readable_text
from .entries import PAGE, body_of, every_entry, fields_of, opened, summary_of, whole_ids
from .output import NOTHING, json_line, moment, print_table, progress
from .settings import add_settings_argument, read_settings

Action = Callable[[KochavaSettings, argparse.Namespace, Clock], Coroutine[None, None, int]]
"""What one action does; returns the exit status."""

LISTED_STATES = (EntryState.IN_FLIGHT, EntryState.DEAD, EntryState.DROPPED, EntryState.WAITING)
"""The states of entries that are still in the store."""

_COUNTS = ("accepted", "done", "waiting", "in_flight", "dead", "dropped")
_DAY = 86400.0

MOST_LISTED = 1_000_000
"""Rows of a list, which is made in memory; `store export` has no limit."""

MOST_DAYS = 36_500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", parser_class=argparse.ArgumentParser)

    def add(name: str, action: Action, summary: str) -> argparse.ArgumentParser:
        def run(arguments: argparse.Namespace) -> int:
            settings = read_settings(arguments.settings)
            return asyncio.run(action(settings, arguments, SystemClock()))

        added = actions.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        add_settings_argument(added)
        return added

    stats = add("stats", show_stats, "Print how many entries each queue has, by state.")
    _add_json(stats)

    listing = add("list", list_entries, "List entries: ids, names and times, no content.")
    _add_filters(listing)
    listing.add_argument(
        "--limit",
        type=number_from(int, 1, MOST_LISTED),
        default=100,
        metavar="N",
        help="at most N entries (%(default)s)",
    )
    listing.add_argument(
        "--after", type=readable_text, metavar="ID", help="start after this entry, the last one of an earlier list"
    )
    _add_json(listing)

    show = add("show", show_entry, "Show one entry.")
    show.add_argument("id", type=readable_text, metavar="ID", help="its beginning is enough if no other id begins so")
    show.add_argument("--show-body", action="store_true", help="also show the record itself; of dead ones only")
    _add_json(show)

    retry = add("retry", retry_dead, "Put dead records back, to be sent again.")
    retry.add_argument("ids", type=readable_text, metavar="ID", nargs="*", help="as of show")
    retry.add_argument("--all", action="store_true", help="all that are dead now")
    retry.add_argument("--queue", metavar="NAME", help=f"with --all: of this queue only: {', '.join(Queue)}")

    purge = add("purge", purge_dead, "Remove entries that died or were dropped long ago.")
    purge.add_argument(
        "--dead-older-than",
        type=number_from(float, 0, MOST_DAYS),
        required=True,
        metavar="DAYS",
        help="ended so many days ago",
    )

    export = add("export", export_entries, "Print entries with their records, one line of JSON each.")
    _add_filters(export)

    add("init", init_store, "Create the store, or bring it up to this release.")


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queue", metavar="NAME", help=f"one of {', '.join(Queue)}")
    parser.add_argument("--state", metavar="NAME", help=f"one of {', '.join(LISTED_STATES)}")
    parser.add_argument(
        "--lane", type=readable_text, metavar="LANE", help="<Kochava app>/<user id>; of the inbox <Page>/<user id>"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


async def init_store(settings: KochavaSettings, _arguments: argparse.Namespace, clock: Clock) -> int:
    """Create the store."""
    async with opened(settings, clock, create=True):
        print(f"the store at {settings.kept_in} is ready")
    return GOOD


async def show_stats(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print the counts of each queue; accepted is the sum of the others."""
    async with opened(settings, clock, only_reads=True) as store:
        stats = await store.stats()
    now = clock.now()
    counts = {queue: stats.get(queue, QueueStats()) for queue in _queues_of(stats)}
    if arguments.json:
        print(json_line({queue: _stats_fields(each, now) for queue, each in counts.items()}))
        return GOOD
    heads = ["queue", *(name.replace("_", " ") for name in _COUNTS), "oldest"]
    rows = ([queue, *(getattr(each, name) for name in _COUNTS), _age(each, now)] for queue, each in counts.items())
    print_table(heads, rows)
    return GOOD


def _age(counts: QueueStats, now: float) -> str:
    return NOTHING if counts.oldest_waiting_at is None else f"{max(0.0, now - counts.oldest_waiting_at):.0f} s"


def _stats_fields(counts: QueueStats, now: float) -> dict[str, object]:
    fields = attrs.asdict(counts)
    since = fields.pop("oldest_waiting_at")
    return {**fields, "oldest_waiting_seconds": None if since is None else round(max(0.0, now - since), 3)}


async def list_entries(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print a table of entries, or one line of JSON each."""
    state = _state_named(arguments.state)
    async with opened(settings, clock, only_reads=True) as store:
        rows: list[Listed] = []
        after = None if arguments.after is None else await _whole_id(store, arguments.after)
        for queue in await _queues_named(store, arguments.queue):
            wanted = arguments.limit - len(rows)
            if wanted > 0:
                rows += await store.browse(queue, state=state, lane=arguments.lane, limit=wanted, after=after)
    if arguments.json:
        for row in rows:
            print(json_line(fields_of(row)))
    elif rows:
        heads = ("id", "queue", "lane", "state", "what", "attempts", "created", "due", "reason")
        print_table(heads, map(_cells, rows))
    else:
        print("no entries")
    return GOOD


def _cells(row: Listed) -> tuple[object, ...]:
    entry = row.entry
    due = moment(row.due_at if row.ended_at is None else None)
    what, reason = summary_of(row) or NOTHING, row.reason or NOTHING
    created = moment(entry.created_at)
    return entry.id, entry.queue, entry.lane, str(row.state), what, row.attempts, created, due, reason


async def show_entry(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print everything that may be shown of one entry."""
    async with opened(settings, clock, only_reads=True) as store:
        entry_id = await _whole_id(store, arguments.id)
        row = await store.find(entry_id)
    if row is None:
        raise _no_entry(arguments.id)
    fields = {**fields_of(row), "detail": row.detail}
    if arguments.show_body:
        if row.state is not EntryState.DEAD or row.entry.queue not in OUTBOX:
            msg = f"only the records of dead entries are shown; {row.entry.id!r} is {row.state} in {row.entry.queue}"
            raise KochavaBotError(msg)
        fields["body"] = body_of(row)
    if arguments.json:
        print(json_line(fields))
    else:
        print_table(("field", "value"), ((name, _shown(value)) for name, value in fields.items()))
    return GOOD


async def _whole_id(store: Store, start: str) -> str:
    whole = await whole_ids(store, [start])
    if start not in whole:
        raise _no_entry(start)
    return whole[start]


def _no_entry(start: str) -> KochavaBotError:
    return KochavaBotError(
        f"no entry has an id that begins with {start!r}; one that is done is found by its whole id only"
    )


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return json_line(value)
    return NOTHING if value in (None, "") else str(value)


async def export_entries(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Print entries with their records, one line of JSON each. A webhook's event is never printed."""
    state = _state_named(arguments.state)
    async with opened(settings, clock, only_reads=True) as store:
        queues = await _queues_named(store, arguments.queue)
        stats = await store.stats()
        counts = [stats[queue] for queue in queues if queue in stats]
        total = sum(each.waiting + each.in_flight + each.dead for each in counts)
        with progress("exporting", total, prints=True) as advance:
            for queue in queues:
                async for row in every_entry(store, queue, state=state, lane=arguments.lane):
                    more = {"detail": row.detail, "schema": row.entry.schema, "body": body_of(row)}
                    print(json_line({**fields_of(row), **more}))
                    advance(1)
    return GOOD


async def retry_dead(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Put dead entries back."""
    if bool(arguments.ids) == arguments.all:
        msg = "store retry: name entries, or give --all"
        raise KochavaBotError(msg)
    if arguments.queue is not None and not arguments.all:
        msg = "store retry: --queue goes with --all"
        raise KochavaBotError(msg)
    async with opened(settings, clock) as store:
        if arguments.all:
            retried = await _retry_all(store, await _queues_named(store, arguments.queue))
            unknown = []
        else:
            whole = await whole_ids(store, arguments.ids, state=EntryState.DEAD)
            done = {entry_id: await store.retry_dead([entry_id]) for entry_id in dict.fromkeys(whole.values())}
            unknown = [given for given in dict.fromkeys(arguments.ids) if not done.get(whole.get(given, ""))]
            retried = sum(done.values())
    if retried or not unknown:
        print(f"{retried} put back")
    for entry_id in unknown:
        print(f"kochava-bot: no dead entry has an id that begins with {entry_id!r}", file=sys.stderr)
    if unknown:
        return SOMETHING_WRONG if retried else NOT_RUN
    return GOOD


async def _retry_all(store: Store, queues: Sequence[str]) -> int:
    # All ids first: an entry that dies again meanwhile is not put back again.
    ids = [row.entry.id for queue in queues async for row in every_entry(store, queue, state=EntryState.DEAD)]
    retried = 0
    with progress("putting back", len(ids)) as advance:
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            retried += await store.retry_dead(some)
            advance(len(some))
    return retried


async def purge_dead(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Remove dead and dropped entries that ended long ago."""
    async with opened(settings, clock) as store:
        with progress("purging"):
            purged = await store.purge(ended_for_seconds=arguments.dead_older_than * _DAY)
    print(f"{purged} removed")
    return GOOD


def _state_named(name: str | None) -> EntryState | None:
    if name is None:
        return None
    for state in LISTED_STATES:
        if name.replace("_", " ").replace("-", " ").lower() == state:
            return state
    msg = f"--state: wanted one of {', '.join(LISTED_STATES)}, got {name!r}"
    if name == EntryState.DONE:
        msg = "--state: entries that are done are only counted, see `kochava-bot store stats`"
    raise KochavaBotError(msg)


async def _queues_named(store: Store, name: str | None) -> list[str]:
    """The queue of that name; all without a name."""
    known = _queues_of(await store.stats())
    if name is None:
        return known
    if name not in known:
        msg = f"--queue: wanted one of {', '.join(known)}, got {name!r}"
        raise KochavaBotError(msg)
    return [name]


def _queues_of(stats: Mapping[str, QueueStats]) -> list[str]:
    return [*map(str, Queue), *sorted(set(stats) - set(Queue))]
