"""The one place where these tests call a store: what `expected.json` holds, read through the contract."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Entry, Listed, Outcome, Settlement, Unit

PAGE = 7
"""Rows of a page, few enough that a queue has several pages."""


class FixedClock:
    """Stands still until a test sets it."""

    def __init__(self, now: float) -> None:
        self.set_to = now

    def now(self) -> float:
        return self.set_to

    def monotonic(self) -> float:
        return self.set_to

    async def sleep(self, seconds: float) -> None:
        self.set_to += seconds


@attrs.frozen
class Adapter:
    """Asks a store in the words of `expected.json`."""

    store: Store

    async def stats(self) -> dict[str, Any]:
        """Counts by queue."""
        return {queue: attrs.asdict(counts) for queue, counts in sorted((await self.store.stats()).items())}

    async def listed(self, queue: str) -> list[dict[str, Any]]:
        """All rows of a queue, in the order in which they were appended."""
        rows: list[Listed] = []
        while page := await self.store.browse(queue, limit=PAGE, after=rows[-1].entry.id if rows else None):
            rows += page
        return [_row(row) for row in rows]

    async def found(self, entry_id: str) -> dict[str, Any] | None:
        """One row."""
        row = await self.store.find(entry_id)
        return None if row is None else _row(row)

    async def marks(self, keys: Sequence[str]) -> dict[str, str]:
        """The values of those that are there, as Base64."""
        values = await self.store.recall([(lane_of(key), key) for key in keys])
        return {key: text_of(value) for key, value in sorted(values.items())}

    async def repeated(self, entries: Sequence[Mapping[str, Any]]) -> list[str]:
        """Which of *entries* the store ignores when their ids are appended again, each to its lane."""
        again = [
            Entry(id=each["id"], queue=each["queue"], lane=each["lane"], created_at=0.0, body=b"") for each in entries
        ]
        return sorted((await self.store.commit(Unit(appends=again))).repeated)

    async def claimed(self, queue: str, seconds: float = 60.0) -> list[dict[str, Any]]:
        """All that can be claimed of a queue, in the order in which it is given."""
        return [_claimed(claim) for claim in await self.store.claim(queue, 1000, seconds)]

    async def settled(self, entry: Mapping[str, Any], token: str) -> str:
        """What comes of settling *entry* with a token that the previous release gave."""
        entry_of = Entry(id=entry["id"], queue=entry["queue"], lane=entry["lane"], created_at=0.0, body=b"")
        claim = Claim(entry=entry_of, token=token, attempt=1)
        return (
            await self.store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)]))
        ).verdict.value

    async def swept(self) -> None:
        """Remove what is over."""
        await self.store.sweep()

    async def retried(self, ids: Sequence[str]) -> int:
        """How many of these dead ones wait again."""
        return await self.store.retry_dead(ids)

    async def drained(self, queue: str) -> dict[str, list[dict[str, Any]]]:
        """Claim and end all that waits; by lane, what was claimed, in order."""
        lanes: dict[str, list[dict[str, Any]]] = {}
        while claims := await self.store.claim(queue, 1000, 60.0):
            for claim in claims:
                lanes.setdefault(claim.entry.lane, []).append(_claimed(claim))
            ends = [Settlement(claim=claim, outcome=Outcome.DONE) for claim in claims]
            await self.store.commit(Unit(settlements=ends))
        return dict(sorted(lanes.items()))


def lane_of(key: str) -> str:
    """The lane of the person whom a state entry of the previous release is about; empty for all others."""
    kind, *parts = key.removeprefix("dry_run:").split(":")
    return "/".join(parts) if kind in ("funnel", "referral", "identities", "known") else ""


def text_of(value: bytes) -> str:
    """Bytes as they stand in a JSON file."""
    return base64.b64encode(value).decode()


def _row(row: Listed) -> dict[str, Any]:
    return {
        **_entry(row.entry),
        "state": row.state.value,
        "attempts": row.attempts,
        "due_at": row.due_at,
        "reason": row.reason,
        "detail": row.detail,
        "ended_at": row.ended_at,
    }


def _claimed(claim: Claim) -> dict[str, Any]:
    return {**_entry(claim.entry), "attempt": claim.attempt}


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "queue": entry.queue,
        "lane": entry.lane,
        "schema": entry.schema,
        "created_at": entry.created_at,
        "body": text_of(entry.body),
    }
