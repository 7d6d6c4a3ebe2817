"""Counts as the shards tell them, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..records import QueueStats

_ENDS = ("done", "dead", "dropped")


def add_up(answers: Sequence[Any]) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something."""
    counts: Counter[tuple[str, str]] = Counter()
    firsts: dict[str, list[tuple[bytes, float]]] = {}
    for numbers, queues in answers:
        for field, number in zip(numbers[::2], numbers[1::2], strict=True):
            name, _, queue = field.decode().partition(":")
            counts[queue, name] += int(number)
        for queue, in_flight, first in queues:
            counts[queue.decode(), "in_flight"] += in_flight
            heads = firsts.setdefault(queue.decode(), [])
            if first is not None:
                place, created_at = first.split()
                heads.append((place, float(created_at)))
    return {queue: _stats(queue, counts, heads) for queue, heads in firsts.items()}


def _stats(queue: str, counts: Counter[tuple[str, str]], heads: Sequence[tuple[bytes, float]]) -> QueueStats:
    accepted, in_flight = counts[queue, "accepted"], counts[queue, "in_flight"]
    ends = {name: counts[queue, name] for name in _ENDS}
    return QueueStats(
        accepted=accepted,
        waiting=accepted - in_flight - sum(ends.values()),
        in_flight=in_flight,
        oldest_waiting_at=min(heads)[1] if heads else None,
        **ends,
    )
