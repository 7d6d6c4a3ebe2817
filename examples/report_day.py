"""
A day of a shop, and its report: three purchases of 100 USD and one of 5 EUR are delivered, one is refused by Kochava,
and one is of a person who opted out. Run it in an empty folder: python report_day.py
"""

import asyncio
import json
import time
from typing import Any

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.reporting.report import ReportBy, report_of
from kochava_bot_middleware.store.records import OUTBOX
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from kochava_bot_middleware.testing import LocalKochava


class NoonClock:
    """It is always noon of the same day, so that the report is always the same."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)

    def now(self) -> float:
        return 1_800_014_400.0


async def day(path: str, clock: NoonClock) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, and what became of the records by the counts of the store."""
    async with LocalKochava(app_ids=["koshop1234"], clock=clock) as server:
        settings = {
            "kochava_app_id": "koshop1234",
            "pages": {"1002": {"kochava_app_id": "kounknown1"}},  # Kochava refuses an app that it does not know
            **server.settings(),
        }
        store = SqliteStore(path, clock=clock)
        async with KochavaMiddleware.from_dict(settings, store=store, clock=clock) as kochava:
            for user_id in ("7001", "7002", "7003"):
                data = {"sum": 100, "currency": "USD"}
                await kochava.track("Purchase", data, user_id=user_id, page_id="1001", id=f"order-{user_id}")
            await kochava.track("Purchase", {"sum": "5.00", "currency": "EUR"}, user_id="7001", page_id="1001")
            await kochava.track("Purchase", {"sum": 20, "currency": "USD"}, user_id="7004", page_id="1002")
            await kochava.opt_out("7005")
            await kochava.track("Purchase", {"sum": 30, "currency": "USD"}, user_id="7005", page_id="1001")
            await kochava.flush(timeout_seconds=10)
            report = report_of(await store.counts(), by=ReportBy.PAGE).as_json()
            stats = await store.stats()
            counts = {name: sum(getattr(stats[queue], name) for queue in OUTBOX if queue in stats) for name in COUNTED}
    return report, counts


COUNTED = ("accepted", "done", "dead", "dropped", "waiting")

if __name__ == "__main__":
    print(json.dumps(asyncio.run(day("report-day.db", NoonClock()))[0], indent=2))
