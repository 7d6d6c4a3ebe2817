"""``kochava-bot send-test``: a few requests for a user who does not exist, straight to Kochava, and its verdicts."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from ..clock import Clock, SystemClock
from ..exceptions import KochavaBotError
from ..kochava.client import Answer, Failure, KochavaClient, RequestSender
from ..kochava.destination import WireSettings
from ..kochava.records import Ping, Record
from ..kochava.verdict import DeliveryResult, Verdict, judge, shown_answer
from ..kochava.wire import AddressNotConfigured, build_request
from ..tracking.settings import App, Apps, KochavaSettings, Mode
from .command import GOOD, SOMETHING_WRONG
from .entries import record_name
from .output import NOTHING, json_line, print_table
from .samples import SampleKind, app_label, distinct, samples
from .settings import add_settings_argument, read_settings

NOT_CONFIGURED = "not configured"

MOST_SHOWN = 200
"""Characters of an answer in the table; JSON has all that was kept of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_settings_argument(parser)
    parser.add_argument(
        "--kinds",
        metavar="KINDS",
        default=SampleKind.EVENT,
        help=f"of {', '.join(SampleKind)}; separated by commas (%(default)s)",
    )
    parser.add_argument("--page", metavar="ID", help="only for this Page, if Pages have settings of their own")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per request")


def run(arguments: argparse.Namespace) -> int:
    """Send, and print the verdicts; the status is 1 if one record was not delivered."""
    kinds = _kinds(arguments.kinds)
    settings = read_settings(arguments.settings)
    apps = Apps(settings)
    chosen = distinct(apps) if arguments.page is None else [apps.of(arguments.page)]
    results = asyncio.run(_send_all(settings, chosen, kinds, SystemClock()))
    if arguments.json:
        for each in results:
            print(json_line(each))
    else:
        heads = ("app", "record", "host", "verdict", "why", "answer")
        names = ("app", "what", "host", "verdict", "why", "answer")
        print_table(heads, ([_cut(each[name]) or NOTHING for name in names] for each in results))
        if settings.mode is not Mode.LIVE:
            print(f"the bot itself sends nothing: its mode is {str(settings.mode)!r}")
    return GOOD if all(each["delivered"] for each in results) else SOMETHING_WRONG


def _kinds(text: str) -> list[SampleKind]:
    """The kinds that are named, in the order in which Kochava wants them."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(SampleKind))
    if unknown or not names:
        msg = f"--kinds: wanted some of {', '.join(SampleKind)}, got {unknown[0] if unknown else text!r}"
        raise KochavaBotError(msg)
    return [kind for kind in SampleKind if kind in names]


async def _send_all(
    settings: KochavaSettings, apps: Sequence[App], kinds: Sequence[SampleKind], clock: Clock
) -> list[dict[str, Any]]:
    client = KochavaClient(timeout_seconds=settings.delivery.request_timeout_seconds, proxy=settings.delivery.proxy)
    try:
        return [
            await _send(record, app, client, clock)
            for app in apps
            for kind in kinds
            for record in await samples(kind, app, now=clock.now(), new_id=lambda: uuid.uuid4().hex)
        ]
    finally:
        await client.close()


async def _send(record: Record, app: App, sender: RequestSender, clock: Clock) -> dict[str, Any]:
    """One record and what Kochava answered, as printed."""
    result = {"app": app_label(app), "what": record_name(record)}
    try:
        request = build_request(record, app.destination)
    except AddressNotConfigured:
        why = "these settings have no address for it"
        return {**result, "host": "", "verdict": NOT_CONFIGURED, "why": why, "answer": "", "delivered": False}
    outcome = await sender.send(request)
    wire = app.destination.wire
    verdict = judge(outcome, queue=record.queue, settings=wire, now=clock.now(), kind=record.kind)
    return {
        **result,
        "host": request.host,
        "verdict": _in_words(verdict),
        "why": _why(outcome, verdict, record, wire),
        "answer": shown_answer(outcome, wire) if isinstance(outcome, Answer) else "",
        "delivered": verdict.result is DeliveryResult.DELIVERED,
    }


def _why(outcome: Answer | Failure, verdict: Verdict, record: Record, wire: WireSettings) -> str:
    """What the verdict was read from, or what the bot would do now."""
    setting, value = ("ping_success", wire.ping_success) if isinstance(record, Ping) else ("success", wire.success)
    is_2xx = isinstance(outcome, Answer) and 200 <= outcome.status < 300
    match verdict.result:
        case DeliveryResult.DELIVERED:
            return f"such an answer is a success while wire.{setting} is {value!r}"
        case DeliveryResult.REJECTED if is_2xx:
            return f"the body does not say that it succeeded; wire.{setting} is {value!r}"
        case DeliveryResult.REJECTED:
            return "sending it again would not help: the bot would keep it as dead"
        case DeliveryResult.REFUSED:
            return "the bot would send nothing of this app until its credentials work"
        case DeliveryResult.RETRY:
            return "the bot would send it again later"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _in_words(verdict: Verdict) -> str:
    match verdict.result:
        case DeliveryResult.DELIVERED:
            return "delivered"
        case DeliveryResult.RETRY:
            return f"not delivered now: {verdict.reason}"
        case _:
            return verdict.reason
