"""All that the demo happens in: both platforms, the shop's process, and what they must agree on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import attrs

from ..store.address import open_store
from ..store.contract import Store
from ..store.records import Queue, QueueStats
from .kochava_server import LocalKochava
from .messenger_server import LocalMessenger
from .shop_process import Child, shop_process
from .webhooks import Redelivery

APP_ID = "kobotdemo1234"
PAGE_ID = "1001"
SMARTLINK_HOST = "acme.smart.link"
SMARTLINK_PATH = "/ab12cd34e"
CAMPAIGN_ID = "kogreet"

COUNTED = (Queue.INBOX, Queue.TRACK, Queue.PING)
"""The queues that must be empty in the end. Timers wait for their hour, and may wait on."""

_SETTINGS = """\
[bot]
verify_token = "verify"
page_access_token = "page-token"
app_secret = "app-secret"
graph_url = {graph_url}

[bot.inbox]
lease_seconds = {inbox_lease_seconds}
poll_seconds = 0.2
on_store_failure = "refuse"
commit_timeout_seconds = 4

[kochava]
kochava_app_id = {app_id}
store = {store}
smartlinks = {{ default = {smartlink} }}
greeting = {{ impression_url = {impression_url}, click_url = {click_url} }}
wire = {{ base_url = {base_url} }}
worker = {worker}

[kochava.delivery]
lease_seconds = {delivery_lease_seconds}
request_timeout_seconds = {request_timeout_seconds}
retry_waits_seconds = [0.1, 0.3]
probe_waits_seconds = [0.2, 0.5]
ramp_seconds = 0
poll_seconds = 0.1
"""
"""Waits as short as an outage of seconds wants them; everything else is as in a real bot."""


@attrs.frozen(kw_only=True)
class Leases:
    """How long the work of a killed process waits for the next one."""

    inbox_seconds: float = 30.0
    delivery_seconds: float = 60.0


SHORT = Leases(inbox_seconds=2.0, delivery_seconds=3.0)
"""For those who kill processes."""


@attrs.frozen(kw_only=True)
class Town:
    """
    A running sandbox.

    Attributes:
        messenger: Where people chat.
        kochava: Where records go.
        shop: The bot's process.
        settings: The bot's settings file.
        store: The bot's store, opened here as well, to count what waits.
    """

    messenger: LocalMessenger
    kochava: LocalKochava
    shop: Child
    settings: Path
    store: Store

    async def open_shop(self) -> None:
        """Start the bot and tell Messenger its address."""
        self.messenger.webhook_url = await self.shop.start()

    async def counts(self) -> Mapping[str, QueueStats]:
        """What the store has counted, by queue: events to handle, and records to deliver."""
        stats = await self.store.stats()
        return {queue: stats.get(queue, QueueStats()) for queue in COUNTED}

    async def drained(self, *, within_seconds: float) -> bool:
        """Wait until nothing waits any more, neither at Messenger nor in the store; false if it took too long."""
        try:
            async with asyncio.timeout(within_seconds):
                while not await self._nothing_waits():
                    await self.messenger.clock.sleep(0.05)
        except TimeoutError:
            return False
        return True

    async def _nothing_waits(self) -> bool:
        sent = len(self.messenger.sent)
        await self.messenger.settled()
        counts = await self.counts()
        # What was sent in between may be followed by a delivery webhook that was not counted yet.
        return sent == len(self.messenger.sent) and not any(q.waiting + q.in_flight for q in counts.values())


@asynccontextmanager
async def town(
    folder: Path,
    *,
    seed: int = 0,
    leases: Leases = Leases(),
    worker: str = "inside",
    redelivery_probability: float = 0.05,
    new_kochava: Callable[..., LocalKochava] = LocalKochava,
) -> AsyncIterator[Town]:
    """
    Both platforms, up; the shop is not started yet. All files are in *folder*.

    Args:
        seed: Of what Messenger does by chance.
        worker: ``inside`` the bot's process, or ``separate``.
        redelivery_probability: How many webhooks come again although they were answered, as Facebook's do.
        new_kochava: Makes the local Kochava.
    """
    messenger = LocalMessenger(
        app_secret="app-secret",  # noqa: S106 - of the sandbox
        verify_token="verify",  # noqa: S106
        page_tokens={"page-token": PAGE_ID},
        redelivery=Redelivery.AFTERWARDS,
        redelivery_probability=redelivery_probability,
        # Facebook tries for much longer than any restart of the shop takes.
        retry_waits=(0.1,) * 300,
        seed=seed,
    )
    kochava = new_kochava(app_ids=[APP_ID], smartlinks={SMARTLINK_PATH: "{url}"}, trackers=[CAMPAIGN_ID])
    async with messenger, kochava:
        messenger.hosts[SMARTLINK_HOST] = kochava.url
        settings = folder / "bot.toml"
        url = f"sqlite:///{quote(str(folder / 'bot.db'))}"
        settings.write_text(_settings(messenger, kochava, store=url, leases=leases, worker=worker), encoding="utf-8")
        store = open_store(url)
        async with shop_process(settings) as shop:
            try:
                yield Town(messenger=messenger, kochava=kochava, shop=shop, settings=settings, store=store)
            finally:
                await store.close()


def _settings(messenger: LocalMessenger, kochava: LocalKochava, *, store: str, leases: Leases, worker: str) -> str:
    tracker = f"campaign_id={CAMPAIGN_ID}&network_id=1"
    values = {
        "graph_url": messenger.url,
        "inbox_lease_seconds": leases.inbox_seconds,
        "app_id": APP_ID,
        "store": store,
        "smartlink": f"https://{SMARTLINK_HOST}{SMARTLINK_PATH}?url={{url}}",
        "impression_url": f"{kochava.url}/track/impression?{tracker}",
        "click_url": f"{kochava.url}/v1/cpi/click?{tracker}",
        "base_url": kochava.url,
        "worker": worker,
        "delivery_lease_seconds": leases.delivery_seconds,
        "request_timeout_seconds": leases.delivery_seconds / 6,
    }
    # A text in JSON is a text in TOML.
    return _SETTINGS.format_map({name: json.dumps(value, ensure_ascii=False) for name, value in values.items()})
