"""The stored form of a wait: after it, a greeting that Facebook took counts as shown."""

from __future__ import annotations

import attrs
import orjson

from ..messenger.events import Channel
from ..store.records import Entry, Queue
from .people import record_id


@attrs.frozen(kw_only=True)
class Timer:
    """
    One greeting's wait for a delivery event that may never come.

    Attributes:
        app_id: The Kochava app.
        name: The person's id as it leaves.
        is_hashed: Whether that is a hash.
        page_id: The Page that greeted.
        channel: Where.
        greeting: Which greeting.
        due_at: When the wait is over, in seconds since the epoch.
    """

    app_id: str
    name: str
    is_hashed: bool
    page_id: str | None
    channel: Channel
    greeting: str
    due_at: float

    def entry(self, now: float, *, prefix: str = "") -> Entry:
        """For the store, in the lane of the person's records."""
        return Entry(
            id=prefix + record_id("timer", self.app_id, self.name, self.greeting),
            queue=Queue.TIMER,
            lane=f"{self.app_id}/{self.name}",
            created_at=now,
            body=orjson.dumps(attrs.asdict(self)),
            due_at=self.due_at,
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Timer | None:
        """Read the stored form; ``None`` when it cannot be read."""
        try:
            fields = orjson.loads(body)
            return cls(**{**fields, "channel": Channel(fields["channel"])})
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None
