"""The page's figures, counted from the lists of both local servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from ..kochava.records import RecordKind
from ..kochava.server import LocalKochava
from ..messenger.server import LocalMessenger

PURCHASE = "Purchase"

STAGES = ("Wrote or tapped", "Saw the greeting", "Took the first step", "Opened a SmartLink", "Bought")
"""The funnel's stages; people are counted once in each."""

T = TypeVar("T")


class SandboxFigures:
    """Counts each list only from where it was read last, so that it costs no more after a million entries."""

    def __init__(self, messenger: LocalMessenger, kochava: LocalKochava) -> None:
        self._messenger = messenger
        self._kochava = kochava
        self._read: dict[str, int] = {}
        self._by_kind = dict.fromkeys(RecordKind, 0)
        self._people: dict[str, set[str]] = {stage: set() for stage in STAGES}

    def counts(self) -> dict[str, int]:
        """The figures by name."""
        self._count()
        messenger, kinds = self._messenger, self._by_kind
        return {
            "webhooks": len(messenger.acknowledged),
            "abandoned": len(messenger.abandoned),
            "messages": len(messenger.sent),
            "refused": len(messenger.refused),
            "events": kinds[RecordKind.EVENT],
            "impressions": kinds[RecordKind.IMPRESSION],
            "clicks": kinds[RecordKind.CLICK],
            "smartlinks": kinds[RecordKind.SMARTLINK_CLICK],
            "rejections": len(self._kochava.rejections),
        }

    def funnel(self) -> list[dict[str, Any]]:
        """How many people reached each stage."""
        self._count()
        return [{"stage": stage, "people": len(self._people[stage])} for stage in STAGES]

    def _count(self) -> None:
        wrote, saw, stepped, opened, bought = (self._people[stage] for stage in STAGES)
        for outcome in self._new("acknowledged", self._messenger.acknowledged):
            if outcome.webhook.kind in ("message", "postback"):
                wrote.add(outcome.webhook.user_id)
        stages = {RecordKind.IMPRESSION: saw, RecordKind.CLICK: stepped, RecordKind.SMARTLINK_CLICK: opened}
        for record in self._new("records", self._kochava.records):
            self._by_kind[record.kind] += 1
            user = record.user_id()
            if user is not None and record.kind in stages:
                stages[record.kind].add(user)
            if user is not None and record.name == PURCHASE:
                bought.add(user)

    def _new(self, name: str, values: Sequence[T]) -> Iterator[T]:
        begin = self._read.get(name, 0)
        self._read[name] = len(values)
        for number in range(begin, len(values)):
            yield values[number]
