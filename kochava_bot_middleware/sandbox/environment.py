"""What the demo runs in: both local servers, the process of the bot, and their common settings."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from ..settings import toml_lines
from ..store.address import open_store
from ..store.contract import Store
from ..store.records import OUTBOX, Queue, QueueStats
from ..store.sqlite.notifier import socket_folder
from .audit import Audit, compare, opted_out_in, promised_by, received_in
from .demo_bot import READY
from .kochava.server import KochavaOptions, LocalKochava
from .messenger.server import LocalMessenger
from .messenger.webhooks import MessengerOptions
from .processes import ChildProcess

APP_ID = "kobotdemo1234"
PAGE_ID = "1001"
SMARTLINK_HOST = "acme.smart.link"
SMARTLINK_PATH = "/ab12cd34e"
CAMPAIGN_ID = "kogreet"

COUNTED = (Queue.INBOX, *OUTBOX)
"""The queues that must be empty at the end. Timers may still wait for their time."""


@attrs.frozen(kw_only=True)
class DemoEnvironment:
    """The running servers, the process of the bot, its settings file, and its store, to count what waits."""

    messenger: LocalMessenger
    kochava: LocalKochava
    bot: ChildProcess
    settings: Path
    store: Store

    async def start_bot(self) -> None:
        """Start the bot and set its address in Messenger."""
        self.messenger.webhook_url = await self.bot.start()

    async def counts(self) -> Mapping[str, QueueStats]:
        """The store's counts by queue: of events to handle, and of records to deliver."""
        stats = await self.store.stats()
        return {queue: stats.get(queue, QueueStats()) for queue in COUNTED}

    async def drained(self, *, within_seconds: float) -> bool:
        """Wait until no webhook, event or record waits; false if it took longer."""
        try:
            async with asyncio.timeout(within_seconds):
                while True:
                    sent = len(self.messenger.sent)
                    await self.messenger.settled()
                    waits = any(queue.waiting + queue.in_flight for queue in (await self.counts()).values())
                    # A message sent in between may be followed by a delivery webhook that was not counted yet.
                    if not waits and sent == len(self.messenger.sent):
                        return True
                    await self.messenger.clock.sleep(0.05)
        except TimeoutError:
            return False

    def audit(self, *, killed: bool = False) -> Audit:
        """Compare what webhooks promised with what Kochava received, without the people who ever opted out."""
        messenger, kochava = self.messenger, self.kochava
        abandoned = messenger.abandoned
        out = opted_out_in((*messenger.acknowledged, *abandoned))
        compared = compare(
            promised_by(outcome for outcome in messenger.acknowledged if outcome.webhook.user_id not in out),
            received_in(record for record in kochava.records if record.user_id() not in out),
            uncertain=promised_by(abandoned),
        )
        return attrs.evolve(
            compared,
            rejections=kochava.rejections,
            refused=messenger.refused,
            abandoned=len(abandoned),
            killed=killed,
        )


@asynccontextmanager
async def demo_environment(
    folder: Path,
    *,
    seed: int = 0,
    short_leases: bool = False,
    worker: str = "inside",
    redelivery_probability: float = 0.05,
    new_kochava: Callable[..., LocalKochava] = LocalKochava,
) -> AsyncIterator[DemoEnvironment]:
    """
    Both servers, started; the bot is not started yet. All files are in *folder*.

    Runs that kill processes need *short_leases*, since the work of a killed process waits until its lease has expired.
    """
    options = MessengerOptions(
        # Facebook redelivers some webhooks although they were answered, and retries longer than a restart takes.
        redelivery="afterwards",
        redelivery_probability=redelivery_probability,
        retry_waits=(0.1,) * 300,
        seed=seed,
    )
    messenger = LocalMessenger(
        app_secret="app-secret",  # noqa: S106 - of the sandbox
        verify_token="verify",  # noqa: S106
        page_tokens={"page-token": PAGE_ID},
        options=options,
    )
    kochava = new_kochava(
        app_ids=[APP_ID], smartlinks={SMARTLINK_PATH: "{url}"}, options=KochavaOptions(trackers=[CAMPAIGN_ID])
    )
    async with messenger, kochava:
        messenger.hosts[SMARTLINK_HOST] = kochava.url
        settings = folder / "bot.toml"
        file = folder / "bot.db"
        url = f"sqlite:///{quote(str(file))}"
        table = _settings(messenger, kochava, store=url, short_leases=short_leases, worker=worker)
        settings.write_text("\n".join(toml_lines(table)), encoding="utf-8")
        store = open_store(url)
        arguments = ["-m", f"{__package__}.demo_bot", str(settings)]
        try:
            async with ChildProcess(arguments, ready=READY, log=settings.with_suffix(".log")) as bot:
                yield DemoEnvironment(messenger=messenger, kochava=kochava, bot=bot, settings=settings, store=store)
        finally:
            await store.close()
            sockets = socket_folder(file)
            if sockets is not None:
                # It is not in *folder* when that has a long name, and a bot that was killed leaves it.
                shutil.rmtree(sockets.path, ignore_errors=True)


def _settings(
    messenger: LocalMessenger, kochava: LocalKochava, *, store: str, short_leases: bool, worker: str
) -> dict[str, Any]:
    """Short waits, since the outage takes seconds; everything else is as in a real bot."""
    inbox_lease_seconds, delivery_lease_seconds = (2.0, 3.0) if short_leases else (30.0, 15.0)
    return {
        "bot": {
            **messenger.settings(),
            "inbox": {
                "lease_seconds": inbox_lease_seconds,
                "poll_seconds": 0.2,
                "on_store_failure": "refuse",
                "commit_timeout_seconds": 4,
            },
        },
        "kochava": {
            **kochava.settings(),
            "kochava_app_id": APP_ID,
            "store": store,
            "smartlinks": {"default": f"https://{SMARTLINK_HOST}{SMARTLINK_PATH}?url={{url}}"},
            "worker": worker,
            "delivery": {
                "lease_seconds": delivery_lease_seconds,
                "request_timeout_seconds": delivery_lease_seconds / 1.5,
                "retry_waits_seconds": [0.1, 0.3],
                "probe_waits_seconds": [0.2, 0.5],
                "ramp_seconds": 0,
                "poll_seconds": 0.1,
            },
        },
    }
