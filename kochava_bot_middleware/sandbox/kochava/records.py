"""What the local Kochava accepted and what it rejected."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs


class RecordKind(enum.StrEnum):
    """What was recorded; the value is the word of Kochava's documentation."""

    EVENT = "event"
    INSTALL = "install"
    IDENTITY_LINK = "identityLink"
    IMPRESSION = "impression"
    CLICK = "click"
    SMARTLINK_CLICK = "smartlink"
    SCRUB = "scrub"


@attrs.frozen(kw_only=True)
class KochavaRecord:
    """
    One accepted request.

    Attributes:
        kind: Which of the lists it is in.
        at: Wall-clock time of its arrival, in seconds since the epoch.
        app_id: Kochava's App GUID; ``None`` for impressions and clicks.
        device_ids: As sent; empty for impressions and clicks.
        name: Event name, SmartLink path, or ``campaign_id``.
        params: Query of an impression or click; identities of an identity link.
        event_data: Of an event; ``None`` if it had none.
        usertime: Of an event or install; ``None`` if it had none.
        body: The whole decoded body; empty for impressions and clicks.
        location: Where a SmartLink click was redirected to; ``None`` for all others.
    """

    kind: RecordKind
    at: float
    app_id: str | None = None
    device_ids: Mapping[str, str] = attrs.field(factory=dict)
    name: str = ""
    params: Mapping[str, str] = attrs.field(factory=dict)
    event_data: Any = None
    usertime: int | None = None
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    location: str | None = None

    def user_id(self, *keys: str) -> str | None:
        """The first of *keys* that is in `device_ids` or `params`; by default ``fb_user_id``, then ``ig_user_id``."""
        for key in keys or ("fb_user_id", "ig_user_id"):
            value = self.device_ids.get(key) or self.params.get(key)
            if value:
                return value
        return None


@attrs.frozen(kw_only=True)
class Rejection:
    """
    One request that was not accepted.

    Attributes:
        at: Wall-clock time in seconds since the epoch.
        method: HTTP method.
        path: Path with query.
        status: HTTP status of the answer.
        reason: What was wrong.
        raw: The body as it was sent.
    """

    at: float
    method: str
    path: str
    status: int
    reason: str
    raw: bytes = attrs.field(default=b"", repr=False)


class Arrivals:
    """
    The accepted records.

    Attributes:
        records: All of them, in order of arrival.
    """

    def __init__(self) -> None:
        self.records: list[KochavaRecord] = []
        self._arrived = asyncio.Event()

    def add(self, record: KochavaRecord) -> None:
        """Add one accepted record."""
        self.records.append(record)
        self._arrived.set()

    async def wait_until(self, condition: Callable[[], bool], *, within_seconds: float = 5.0) -> None:
        """
        Wait until *condition* holds; it is checked again after each record.

        Raises:
            TimeoutError: It did not hold within *within_seconds* of real time.
        """
        async with asyncio.timeout(within_seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def received(self, count: int = 1, *, within_seconds: float = 5.0) -> list[KochavaRecord]:
        """
        Wait until *count* records were accepted, and return all.

        Raises:
            TimeoutError: They were not accepted within *within_seconds* of real time.
        """
        try:
            await self.wait_until(lambda: len(self.records) >= count, within_seconds=within_seconds)
        except TimeoutError:
            accepted = ", ".join(f"{record.kind} {record.name}".rstrip() for record in self.records) or "none"
            msg = (
                f"{len(self.records)} of {count} records were received within {within_seconds} s: {accepted}; look at"
                " `kochava.rejections` for what was refused, and at the middleware's `counts` for what was left out"
            )
            raise TimeoutError(msg) from None
        return self.records

    def of_kind(self, kind: RecordKind) -> list[KochavaRecord]:
        """The accepted records of one kind, in order of arrival."""
        return [record for record in self.records if record.kind is kind]

    @property
    def events(self) -> list[KochavaRecord]:
        """The accepted post-install events."""
        return self.of_kind(RecordKind.EVENT)

    @property
    def installs(self) -> list[KochavaRecord]:
        """The accepted installs, one per device."""
        return self.of_kind(RecordKind.INSTALL)

    @property
    def identity_links(self) -> list[KochavaRecord]:
        """The accepted identity links, from either endpoint."""
        return self.of_kind(RecordKind.IDENTITY_LINK)

    @property
    def impressions(self) -> list[KochavaRecord]:
        """The accepted impressions."""
        return self.of_kind(RecordKind.IMPRESSION)

    @property
    def clicks(self) -> list[KochavaRecord]:
        """The accepted clicks, without those on SmartLinks."""
        return self.of_kind(RecordKind.CLICK)

    @property
    def smartlink_clicks(self) -> list[KochavaRecord]:
        """The clicks on SmartLinks that had a destination."""
        return self.of_kind(RecordKind.SMARTLINK_CLICK)

    @property
    def scrubs(self) -> list[KochavaRecord]:
        """The accepted deletion requests."""
        return self.of_kind(RecordKind.SCRUB)
