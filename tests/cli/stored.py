"""A SQLite store with entries in every state, as a bot and a worker leave it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.kochava.records import SCHEMA, Engagement, Impression, Record, encode
from kochava_bot_middleware.store.records import Entry, EntryState, Listed, Outcome, Settlement, Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.cli.conftest import APP_ID

PRIVATE = "my private words"
"""Text of the webhook that waits in the inbox."""


@asynccontextmanager
async def store_in(folder: Path) -> AsyncIterator[SqliteStore]:
    """The store that `write_settings` names."""
    store = SqliteStore(folder / "bot.db")
    try:
        yield store
    finally:
        await store.close()


def purchase(entry_id: str, *, user: str = "5", sum_: int = 47110815471108) -> Engagement:
    """An event whose data must not be listed."""
    return Engagement(
        id=entry_id,
        app_id=APP_ID,
        user_id=user,
        usertime=1_700_000_000,
        event_name="Purchase",
        event_data={"sum": sum_},
        device_ids={"fb_user_id": user},
    )


def entry_of(record: Record, *, created_at: float | None = None) -> Entry:
    """For the store."""
    now = SystemClock().now() if created_at is None else created_at
    body = encode(record)
    return Entry(id=record.id, queue=record.queue, lane=record.lane, schema=SCHEMA, created_at=now, body=body)


async def fill(folder: Path) -> None:
    """One waiting, one dead and one dropped event, a dead ping, a done event, and a webhook in the inbox."""
    ping = Impression(
        id="ping1", app_id=APP_ID, user_id="5", usertime=1_700_000_000, params={"click_id": "47110815471108"}
    )
    events = [purchase("dead1", user="6"), purchase("gone1", user="7"), purchase("done1", user="8")]
    now = SystemClock().now()
    webhook = Entry(
        id="inbox/m_1",
        queue="inbox",
        lane="1001/5",
        created_at=now - 10,
        body=orjson.dumps({"item": {"message": {"text": PRIVATE}}}),
    )
    async with store_in(folder) as store:
        await store.commit(Unit(appends=[entry_of(event) for event in events]))
        await end(store, "dead1", Outcome.DEAD, "rejected by Kochava", "400 no such app")
        await end(store, "gone1", Outcome.DROPPED, "opted out")
        await end(store, "done1", Outcome.DONE)
        await store.commit(Unit(appends=[entry_of(ping)]))
        await end(store, "ping1", Outcome.DEAD, "too old")
        await store.commit(Unit(appends=[entry_of(purchase("wait1")), webhook]))


async def end(store: SqliteStore, entry_id: str, outcome: Outcome, reason: str = "", detail: str = "") -> None:
    """Settle one entry; the others are left as they were."""
    claims = [claim for queue in ("track", "ping") for claim in await store.claim(queue, 1000, 60.0)]
    settlements = [
        Settlement(claim=claim, outcome=outcome, reason=reason, detail=detail)
        if claim.entry.id == entry_id
        else Settlement(claim=claim, outcome=Outcome.RELEASE)
        for claim in claims
    ]
    assert any(claim.entry.id == entry_id for claim in claims)
    await store.commit(Unit(settlements=settlements))


async def states(folder: Path, queue: str = "track") -> dict[str, EntryState]:
    """State by id."""
    async with store_in(folder) as store:
        rows: Sequence[Listed] = await store.browse(queue, limit=10_000)
    return {row.entry.id: row.state for row in rows}
