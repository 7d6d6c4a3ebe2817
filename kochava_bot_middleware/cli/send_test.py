"""``kochava-bot send-test``: a few requests for a person who does not exist, straight to Kochava, and its verdicts."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import KochavaBotError
from ..kochava.client import KochavaClient, RequestSender
from ..kochava.records import Record
from ..kochava.verdict import DeliveryResult, Verdict, judge
from ..kochava.wire import AddressNotConfigured, build_request
from ..tracking.apps import App, Apps, KochavaSettings, Mode
from .command import GOOD, SOMETHING_WRONG, Parsers, add_command
from .documents import json_line
from .output import NOTHING, print_table
from .samples import TEST_USER, SampleKind, distinct, place_of, samples
from .settings_source import add_settings_argument, read_settings
from .store_rows import name_of

NOT_CONFIGURED = "not configured"


@attrs.frozen(kw_only=True)
class Tried:
    """
    One record and what became of it.

    Attributes:
        app: Where it went.
        what: The record by name.
        host: ``-`` when it has no address.
        verdict: In words.
        detail: The start of the answer, secrets masked.
        delivered: Whether Kochava took it.
    """

    app: str
    what: str
    host: str
    verdict: str
    detail: str = ""
    delivered: bool = False


def add_send_test(parsers: Parsers) -> None:
    """Add the command."""
    summary = f"Send test events of the person {TEST_USER!r} to Kochava, and print its verdicts."
    parser = add_command(parsers, "send-test", run, summary)
    add_settings_argument(parser)
    parser.add_argument(
        "--kinds",
        metavar="KINDS",
        default=SampleKind.EVENT,
        help=f"of {', '.join(SampleKind)}; commas between them (%(default)s)",
    )
    parser.add_argument("--page", metavar="ID", help="only for this Page, if Pages have settings of their own")
    parser.add_argument("--json", action="store_true", help="print JSON, one line a request")


def run(arguments: argparse.Namespace) -> int:
    """Send, and print; the status is 1 if one was not delivered."""
    kinds = _kinds(arguments.kinds)
    settings = read_settings(arguments.settings)
    apps = Apps(settings)
    chosen = distinct(apps) if arguments.page is None else [apps.of(arguments.page)]
    tried = asyncio.run(_try(settings, chosen, kinds, SystemClock()))
    if arguments.json:
        for each in tried:
            print(json_line(attrs.asdict(each)))
    else:
        heads = ("app", "record", "host", "verdict", "answer")
        print_table(heads, ((each.app, each.what, each.host, each.verdict, each.detail or NOTHING) for each in tried))
        if settings.mode is not Mode.LIVE:
            print(f"the bot itself sends nothing: mode is {str(settings.mode)!r}")
    return GOOD if all(each.delivered for each in tried) else SOMETHING_WRONG


def _kinds(text: str) -> list[SampleKind]:
    """The kinds a person names, in the order in which Kochava wants them."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(SampleKind))
    if unknown or not names:
        msg = f"--kinds: wanted some of {', '.join(SampleKind)}, got {unknown[0] if unknown else text!r}"
        raise KochavaBotError(msg)
    return [kind for kind in SampleKind if kind in names]


async def _try(
    settings: KochavaSettings, apps: Sequence[App], kinds: Sequence[SampleKind], clock: Clock
) -> list[Tried]:
    client = KochavaClient(timeout_seconds=settings.delivery.request_timeout_seconds)
    try:
        return [
            await _send(record, app, client, clock)
            for app in apps
            for kind in kinds
            for record in await samples(kind, app, now=clock.now(), new_id=lambda: uuid.uuid4().hex)
        ]
    finally:
        await client.close()


async def _send(record: Record, app: App, sender: RequestSender, clock: Clock) -> Tried:
    app_name, what = place_of(app), name_of(record)
    try:
        request = build_request(record, app.destination)
    except AddressNotConfigured:
        return Tried(app=app_name, what=what, host=NOTHING, verdict=NOT_CONFIGURED)
    outcome = await sender.send(request)
    wire = app.destination.wire
    verdict = judge(outcome, queue=record.queue, settings=wire, now=clock.now(), kind=record.kind)
    return Tried(
        app=app_name,
        what=what,
        host=request.host,
        verdict=_in_words(verdict),
        detail=verdict.detail,
        delivered=verdict.result is DeliveryResult.DELIVERED,
    )


def _in_words(verdict: Verdict) -> str:
    match verdict.result:
        case DeliveryResult.DELIVERED:
            return "delivered"
        case DeliveryResult.RETRY:
            return f"not delivered now: {verdict.reason}"
        case _:
            return verdict.reason
