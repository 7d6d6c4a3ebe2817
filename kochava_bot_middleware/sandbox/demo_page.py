"""``kochava-bot demo``: the demo's bot and both local servers, with a page in the browser to play a customer."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from .audit import STOP
from .environment import DemoEnvironment, demo_environment
from .web.page_server import PageServer
from .web.sandbox import Sandbox

START = "START"
"""What a person writes to the demo's bot to opt in again."""


@attrs.frozen(kw_only=True)
class DemoBotControl:
    """The bot of a demo, for the page."""

    environment: DemoEnvironment

    @property
    def process_id(self) -> int | None:
        return self.environment.bot.process_id

    async def kill(self) -> None:
        await self.environment.bot.kill()

    async def start(self) -> None:
        await self.environment.start_bot()

    async def drained(self, *, within_seconds: float) -> bool:
        return await self.environment.drained(within_seconds=within_seconds)


@asynccontextmanager
async def demo_page(folder: Path, *, port: int = 0) -> AsyncIterator[tuple[DemoEnvironment, PageServer]]:
    """
    The demo with its page; the bot is not started yet. All files are in *folder*.

    Raises:
        PortTaken: Another program listens on *port*.
    """
    async with demo_environment(folder, short_leases=True, redelivery_probability=0) as environment:
        sandbox = Sandbox(
            messenger=environment.messenger,
            kochava=environment.kochava,
            store=environment.store,
            bot=DemoBotControl(environment=environment),
            audit=functools.partial(environment.audit, killed=True),
            opt_out_text=STOP,
            opt_in_text=START,
        )
        async with PageServer(sandbox, port=port) as page:
            page.commands.add_person()
            yield environment, page


async def serve_demo(*, port: int, announce: Callable[[str], None]) -> None:
    """
    Serve the page until this is cancelled; *announce* gets its address as soon as it can be opened.

    Raises:
        PortTaken: Another program listens on *port*.
        ProcessFailed: The bot did not start.
    """
    with tempfile.TemporaryDirectory(prefix="kochava-bot-demo-") as folder:
        async with demo_page(Path(folder), port=port) as (environment, page):
            announce(page.url)
            await environment.start_bot()
            await asyncio.Event().wait()
