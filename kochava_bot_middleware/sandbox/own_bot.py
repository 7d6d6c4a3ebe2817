"""A bot of one's own between a local Messenger and a local Kochava."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs

from ..settings import toml_lines
from .kochava.server import KochavaOptions, LocalKochava
from .messenger.server import LocalMessenger
from .messenger.webhooks import MessengerOptions

SMARTLINK_HOST = "sandbox.smart.link"
SMARTLINK_PATH = "/link"
CAMPAIGN_ID = "kosandbox"


@attrs.frozen(kw_only=True)
class OwnBot:
    """
    A bot that was started by somebody else, in any language.

    Attributes:
        webhook_url: Where it receives webhooks.
        app_secret: With which it checks their signatures.
        verify_token: Which it compares with that of the subscription check.
        page_id: The Page, or Instagram account, that users write to.
        page_token: With which it sends as this Page.
        instagram: Whether this is an Instagram account.
        kochava_app_id: The App GUID it sends to.
        graph_port: Where the local Messenger listens; 0: any free port.
        kochava_port: Where the local Kochava listens; 0: any free port.
    """

    webhook_url: str
    app_secret: str = attrs.field(repr=False)
    verify_token: str = attrs.field(repr=False)
    page_id: str = "1001"
    page_token: str = attrs.field(default="page-token", repr=False)
    instagram: bool = False
    kochava_app_id: str = "kosandbox1234"
    graph_port: int = 8091
    kochava_port: int = 8092


@asynccontextmanager
async def own_bot_servers(
    bot: OwnBot, options: MessengerOptions | None = None
) -> AsyncIterator[tuple[LocalMessenger, LocalKochava]]:
    """
    Both local servers, around *bot*.

    Raises:
        PortTaken: Another program listens on one of the ports.
    """
    options = options or MessengerOptions()
    # The bot may remember what an earlier run sent: its ids must not come again.
    first_number = round(options.clock.now() * 1_000_000)
    messenger = LocalMessenger(
        app_secret=bot.app_secret,
        verify_token=bot.verify_token,
        page_tokens={bot.page_token: bot.page_id},
        instagram_ids=[bot.page_id] if bot.instagram else [],
        options=attrs.evolve(options, port=bot.graph_port, first_number=first_number),
    )
    kochava = LocalKochava(
        app_ids=[bot.kochava_app_id],
        smartlinks={SMARTLINK_PATH: "{url}"},
        options=KochavaOptions(trackers=[CAMPAIGN_ID], port=bot.kochava_port),
    )
    async with messenger, kochava:
        messenger.hosts[SMARTLINK_HOST] = kochava.url
        messenger.webhook_url = bot.webhook_url
        yield messenger, kochava


def settings_to_paste(bot: OwnBot, messenger: LocalMessenger, kochava: LocalKochava) -> Iterator[str]:
    """Lines of a settings file with which *bot* uses both servers; other bots take the addresses out of them."""
    tables: dict[str, Mapping[str, Any]] = {
        "bot": messenger.settings(),
        "kochava": {
            **kochava.settings(),
            "kochava_app_id": bot.kochava_app_id,
            "smartlinks": {"default": f"https://{SMARTLINK_HOST}{SMARTLINK_PATH}?url={{url}}"},
        },
    }
    for name, table in tables.items():
        yield f"[{name}]"
        yield from toml_lines(table)
        yield ""


async def subscription_problem(messenger: LocalMessenger) -> str | None:
    """
    Ask the bot's address for the challenge, as the dashboard does before it saves an address.

    Returns:
        What is wrong with the answer, and what Facebook would do; ``None`` if it is right.
    """
    try:
        if await messenger.verify():
            return None
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        why = "in time" if isinstance(exc, TimeoutError) else str(exc) or type(exc).__name__
        return f"{messenger.webhook_url} does not answer ({why}): start the bot; Facebook would not save this address"
    return (
        f"{messenger.webhook_url} did not answer the subscription check with 200 and nothing but `hub.challenge`:"
        " compare the verify token; Facebook would not save this address"
    )
