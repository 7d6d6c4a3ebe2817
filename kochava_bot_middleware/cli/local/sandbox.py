"""``kochava-bot sandbox``: the page of the demo, with a bot of one's own."""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from ...sandbox.local_server import PortTaken
from ...sandbox.messenger.webhooks import SentWebhook, WebhookOutcome
from ...sandbox.own_bot import OwnBot
from ...sandbox.own_bot_page import own_bot_page, replay, subscribe
from ..output import print_table
from .own_bot import add_own_bot_arguments, own_bot_of, port_taken, print_settings, print_subscription
from .page import add_page_arguments, announce, opener
from .signals import run_until_signalled
from .webhook_file import WebhookRecorder, read_webhooks, recording_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_page_arguments(parser)
    files = parser.add_mutually_exclusive_group()
    files.add_argument(
        "--record", metavar="FILE", help="append each webhook: FILE then has what people wrote, but no secret"
    )
    files.add_argument(
        "--replay",
        metavar="FILE",
        help="send the webhooks of FILE again, signed anew, and print the answers",
    )
    add_own_bot_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until a signal ends it."""
    bot = own_bot_of(arguments)
    webhooks = [] if arguments.replay is None else read_webhooks(arguments.replay, bot.page_id)
    with ExitStack() as stack:
        record = None if arguments.record is None else stack.enter_context(recording_file(arguments.record))
        try:
            return run_until_signalled(_serve(bot, arguments, webhooks, record))
        except PortTaken as exc:
            return port_taken("sandbox", bot, exc)


async def _serve(
    bot: OwnBot, arguments: argparse.Namespace, webhooks: Sequence[SentWebhook], record: IO[str] | None
) -> None:
    async with own_bot_page(bot, port=arguments.port) as (messenger, kochava, page):
        if record is not None:
            messenger.webhooks.watchers.append(WebhookRecorder(record, messenger.clock.now))
        print_settings(bot, messenger, kochava)
        page.commands.add_person(webhooks[0].user_id if webhooks else None)
        announce("sandbox", page.url, opener(arguments))
        await subscribe(messenger, page, functools.partial(print_subscription, bot))
        if webhooks:
            _print(await replay(messenger, page, webhooks))
        await asyncio.Event().wait()


def _print(outcomes: Sequence[WebhookOutcome]) -> None:
    good = sum(outcome.acknowledged for outcome in outcomes)
    print(f"\n{good} of {len(outcomes)} webhooks answered 200:\n")
    rows = [(outcome.webhook.kind, outcome.webhook.user_id, outcome.status or "no answer") for outcome in outcomes]
    print_table(("webhook", "of", "answer"), rows)
    sys.stdout.flush()
