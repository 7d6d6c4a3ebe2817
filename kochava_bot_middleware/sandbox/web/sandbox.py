"""What the page shows and drives: both local servers, and as much of the bot as this process can reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from ...store.contract import Store
from ..audit import Audit
from ..kochava.server import LocalKochava
from ..messenger.server import LocalMessenger


class BotControl(Protocol):
    """The process of the bot."""

    @property
    def process_id(self) -> int | None:
        """``None`` while it is not running."""

    async def kill(self) -> None:
        """Send SIGKILL, and wait until it has ended."""

    async def start(self) -> None:
        """Start it, and tell the local Messenger where it listens."""

    async def drained(self, *, within_seconds: float) -> bool:
        """Wait until nothing waits for the bot or for Kochava; false if it took longer."""


@attrs.frozen(kw_only=True)
class Sandbox:
    """
    Everything around the page. What may be ``None`` is left out of the page then, as with a bot of one's own.

    Attributes:
        store: The bot's store, of which the page shows what waits.
        bot: Kills and starts the bot.
        audit: Compares what was promised to people with what Kochava received.
        opt_out_text: What a person writes to the bot to opt out of tracking.
        opt_in_text: What they write to take that back.
    """

    messenger: LocalMessenger
    kochava: LocalKochava
    store: Store | None = None
    bot: BotControl | None = None
    audit: Callable[[], Audit] | None = None
    opt_out_text: str | None = None
    opt_in_text: str | None = None
