"""What the local Kochava accepted, as tests ask for it."""

from __future__ import annotations

import asyncio

from .kochava_records import KochavaRecord, RecordKind


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
        """One more was accepted."""
        self.records.append(record)
        self._arrived.set()

    async def received(self, count: int = 1, *, within_seconds: float = 5.0) -> list[KochavaRecord]:
        """
        Wait until *count* records were accepted; gives them all.

        Raises:
            TimeoutError: They did not come within *within_seconds* of real time.
        """
        try:
            async with asyncio.timeout(within_seconds):
                while len(self.records) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            came = ", ".join(f"{record.kind} {record.name}".rstrip() for record in self.records) or "none"
            msg = (
                f"{len(self.records)} of {count} records came within {within_seconds} s: {came}; look at"
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
        """The accepted installs, one a device."""
        return self.of_kind(RecordKind.INSTALL)

    @property
    def identity_links(self) -> list[KochavaRecord]:
        """The accepted identity links, from either endpoint."""
        return self.of_kind(RecordKind.IDENTITY_LINK)

    @property
    def impressions(self) -> list[KochavaRecord]:
        """The accepted impression pings."""
        return self.of_kind(RecordKind.IMPRESSION)

    @property
    def clicks(self) -> list[KochavaRecord]:
        """The accepted click pings, without the taps on SmartLinks."""
        return self.of_kind(RecordKind.CLICK)

    @property
    def smartlink_clicks(self) -> list[KochavaRecord]:
        """The taps on SmartLinks that could be resolved."""
        return self.of_kind(RecordKind.SMARTLINK_CLICK)

    @property
    def scrubs(self) -> list[KochavaRecord]:
        """The accepted deletion requests."""
        return self.of_kind(RecordKind.SCRUB)
