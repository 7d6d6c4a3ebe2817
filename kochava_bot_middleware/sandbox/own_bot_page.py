"""The page with a bot of one's own: checks its address until it passes, and sends webhooks of a recording again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from .kochava.server import LocalKochava
from .messenger.server import LocalMessenger
from .messenger.users import ACTS
from .messenger.webhooks import MessengerOptions, SentWebhook, WebhookOutcome
from .own_bot import OwnBot, own_bot_servers, subscription_problem
from .web.commands import CommandRefused
from .web.page_events import EventKind
from .web.page_server import PageServer
from .web.sandbox import Sandbox

CHECK_SECONDS = 1.0
"""How long after a subscription check that failed comes the next one."""


@asynccontextmanager
async def own_bot_page(
    bot: OwnBot, *, port: int = 0, options: MessengerOptions | None = None
) -> AsyncIterator[tuple[LocalMessenger, LocalKochava, PageServer]]:
    """
    Both local servers around *bot*, and the page on *port*.

    Raises:
        PortTaken: Another program listens on one of the three ports.
    """
    async with (
        own_bot_servers(bot, options) as (messenger, kochava),
        PageServer(Sandbox(messenger=messenger, kochava=kochava), port=port) as page,
    ):
        yield messenger, kochava, page


async def subscribe(messenger: LocalMessenger, page: PageServer, report: Callable[[str | None], None]) -> None:
    """
    Repeat the subscription check until the bot passes it.

    What is wrong is on the page meanwhile; *report* gets it whenever it changes, and ``None`` at the end.
    """
    reported: str | None = ""
    while reported is not None:
        problem = await subscription_problem(messenger)
        if problem != reported:
            reported = page.state.problem = problem
            text = problem or f"{messenger.webhook_url} answers the subscription check"
            page.log.add(EventKind.NOTICE, text, good=problem is None)
            report(problem)
        if problem is not None:
            await messenger.clock.sleep(CHECK_SECONDS)


async def replay(messenger: LocalMessenger, page: PageServer, webhooks: Iterable[SentWebhook]) -> list[WebhookOutcome]:
    """Deliver *webhooks* once, one after the other; their people are in the chat of the page, as many as it takes."""
    outcomes = []
    for webhook in webhooks:
        with suppress(CommandRefused):
            page.commands.add_person(webhook.user_id)
        if webhook.kind in ACTS:
            messenger.person(webhook.user_id).last_action_at = messenger.clock.now()
        outcome = await messenger.webhooks.deliver(webhook, again=False)
        assert outcome is not None
        outcomes.append(outcome)
    return outcomes
