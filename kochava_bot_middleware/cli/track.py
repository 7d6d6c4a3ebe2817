"""``kochava-bot track``: records events of other programs, one or a file of them."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Iterable
from typing import IO

import orjson

from ..core import Core
from ..exceptions import KochavaBotError, NotStorable, SettingsError, StoreError, Violation
from ..kochava.records import Engagement
from ..messenger.events import Channel
from ..middleware import KochavaMiddleware
from ..telemetry.counts import Counts, LeftOut
from ..tracking.recording import RequestedEvent
from ..tracking.settings import KochavaSettings, Mode, TrackingContext, WorkerPlace
from .command import GOOD, SOMETHING_WRONG, STANDARD_INPUT, readable_text
from .event_lines import MADE_ID, lines_of, opened_twice, time_of
from .output import progress
from .settings import add_settings_argument, read_settings

BATCH = 200
"""Events that are recorded by one commit."""

_OF_ONE = ("name", "user", "device_id", "data", "time", "id", "page", "channel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_settings_argument(parser)
    parser.add_argument("name", metavar="NAME", nargs="?", type=readable_text, help="name of the event")
    parser.add_argument("--user", metavar="ID", type=readable_text, help="whom it is about")
    parser.add_argument(
        "--device-id",
        metavar="NAME=ID",
        type=_named_id,
        action="append",
        help="a further id, such as adid=…; without --user, the first one names the person",
    )
    parser.add_argument("--data", metavar="JSON", type=readable_text, help="an object or one value")
    parser.add_argument("--time", metavar="TIME", help="when it happened: ISO 8601 with a time zone, or epoch seconds")
    parser.add_argument("--id", metavar="ID", type=readable_text, help="your own id of it; repeats are ignored")
    parser.add_argument("--page", metavar="ID", type=readable_text, help="the Page, if Pages have apps of their own")
    parser.add_argument("--channel", choices=[channel.value for channel in Channel], help="where the person is")
    parser.add_argument(
        "--from",
        dest="file",
        metavar="FILE",
        help=f"a file with one event a line, as JSON; {STANDARD_INPUT} is standard input",
    )


def _named_id(given: str) -> tuple[str, str]:
    name, equals, value = readable_text(given).partition("=")
    if not (name and equals):
        msg = "wanted a name and an id, such as adid=38400000-8cf0-…, got a text without ="
        raise argparse.ArgumentTypeError(msg)
    return name, value


def run(arguments: argparse.Namespace) -> int:
    """
    Record, and print what became of it; the status is 1 if the store did not take all of it.

    Raises:
        KochavaBotError: An argument or a line cannot be used: then nothing is recorded.
    """
    of_one = [name for name in _OF_ONE if getattr(arguments, name) is not None]
    if arguments.file is not None and of_one:
        got = "NAME" if of_one[0] == "name" else f"--{of_one[0].replace('_', '-')}"
        raise SettingsError([Violation(key="--from", wanted="nothing else about events", got=got)])
    if arguments.file is None and arguments.name is None:
        raise SettingsError([Violation(key="NAME", wanted="the name of the event, or --from FILE", got="nothing")])
    settings = read_settings(arguments.settings)
    if settings.kept_in.is_memory:
        wanted = "a store that processes can share"
        raise SettingsError([Violation(key="kochava.store", wanted=wanted, got=repr(settings.kept_in.address))])
    kochava = KochavaMiddleware(settings)
    if arguments.file is None:
        core = kochava.runtime.core
        event = _event_of(arguments, core.context)
        core.recorder.track(event)
        return asyncio.run(_record(kochava, [event], 1))
    with opened_twice(arguments.file) as file:
        total, is_timeless = _check(file, kochava)
        context, earlier = kochava.runtime.core.context, Counter[bytes]()
        events = (line.event(context, earlier) for line in lines_of(file))
        return asyncio.run(_record(kochava, events, total, is_timeless=is_timeless))


def _event_of(arguments: argparse.Namespace, context: TrackingContext) -> RequestedEvent:
    """The event that is described by arguments."""
    data, time = arguments.data, arguments.time
    try:
        data = None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        msg = f"--data: wanted JSON, got what is none ({exc.msg}, column {exc.colno})"
        raise KochavaBotError(msg) from exc
    try:
        time = None if time is None else float(time)
    except ValueError:
        time = time_of(time)
    return RequestedEvent.of(
        arguments.name,
        data,
        context=context,
        user_id=arguments.user,
        id=arguments.id,
        time=time,
        device_ids=None if arguments.device_id is None else dict(arguments.device_id),
        page_id=arguments.page,
        channel=arguments.channel,
    )


def _check(file: IO[bytes], kochava: KochavaMiddleware) -> tuple[int, bool]:
    """
    How many events a file has, and whether any has neither an id nor a time; raises an error for the first line that is
    none.
    """
    core = kochava.runtime.core
    total, is_timeless, earlier = 0, False, Counter[bytes]()
    with progress("checking") as advance:
        for line in lines_of(file):
            event = line.event(core.context, earlier)
            try:
                core.recorder.track(event)
            except KochavaBotError as exc:
                msg = f"line {line.number}: {exc}"
                raise KochavaBotError(msg) from exc
            total += 1
            is_timeless |= event.usertime is None and (event.track_id or "").startswith(MADE_ID)
            advance(1)
    return total, is_timeless


async def _record(
    kochava: KochavaMiddleware, events: Iterable[RequestedEvent], total: int, *, is_timeless: bool = False
) -> int:
    """Record checked events, in commits of many, and print what became of them; returns the exit status."""
    settings, failure, taken = kochava.settings, "", 0
    remaining = iter(events)
    async with kochava:
        with progress("recording", total) as advance:
            while batch := list(itertools.islice(remaining, BATCH)):
                try:
                    await _write(batch, kochava.runtime.core)
                except NotStorable as exc:
                    # The rest of the batch is written.
                    failure = str(exc)
                except StoreError as exc:
                    failure = f"{exc}; run it again: what is recorded already is not recorded twice"
                    break
                taken += len(batch)
                advance(len(batch))
        is_sent_here = settings.mode is Mode.LIVE and settings.worker is WorkerPlace.INSIDE
        waiting = await kochava.flush(timeout_seconds=settings.drain_seconds if is_sent_here else 0)
    repeated = _repeated(taken, kochava.counts)
    became = _what_became_of(repeated, total, kochava.counts)
    print(f"kochava-bot track: {became}; {_what_waits(waiting, settings)}")
    if repeated and is_timeless:
        said = "equal lines without `id` and `time` are the same events in every file"
        print(f"kochava-bot track: {said}; if they are new events, give them an `id` or a `time`", file=sys.stderr)
    if failure:
        print(f"kochava-bot track: {failure}", file=sys.stderr)
    return SOMETHING_WRONG if failure else GOOD


async def _write(batch: Iterable[RequestedEvent], core: Core) -> None:
    if core.is_off:
        return
    recording = core.recorder.new()
    for event in batch:
        core.recorder.track(event, recording)
    await core.recorder.begin_write(recording, "track")


def _repeated(taken: int, counts: Counts) -> int:
    """How many of the events that were taken had been recorded before; in a dry run, that is not known."""
    left_out = _left_out(counts)
    if LeftOut.DRY_RUN in left_out:
        return 0
    return max(0, taken - counts.recorded[Engagement.kind] - sum(left_out.values()))


def _left_out(counts: Counts) -> dict[str, int]:
    return {reason: number for reason, number in counts.left_out.items() if reason != LeftOut.BAD_KEY}


def _what_became_of(repeated: int, total: int, counts: Counts) -> str:
    parts = [f"{counts.recorded[Engagement.kind]} of {total} {'event' if total == 1 else 'events'} recorded"]
    parts += [f"{repeated} were there before"] if repeated else []
    parts += [f"{number} left out ({reason})" for reason, number in sorted(_left_out(counts).items())]
    return ", ".join(parts)


def _what_waits(waiting: int, settings: KochavaSettings) -> str:
    if settings.mode is not Mode.LIVE:
        return f"nothing is sent while mode is {str(settings.mode)!r}"
    if not waiting:
        return "all is delivered"
    what = "1 record waits" if waiting == 1 else f"{waiting} records wait"
    if settings.worker is WorkerPlace.SEPARATE:
        return f"{what} for `kochava-bot worker` in {settings.kept_in}"
    return f"{what} in {settings.kept_in}; the next process that is started with this store delivers"
