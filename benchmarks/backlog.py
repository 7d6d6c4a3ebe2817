"""A numbered backlog over many lanes, and the proof that it was delivered: each record once, and each lane in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from kochava_bot_middleware.kochava.records import SCHEMA, Engagement, encode
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Entry, Unit

APP_ID = "kobotdemo1234"
APPENDS_OF_A_UNIT = 1_000


class NotDelivered(RuntimeError):
    """A figure would be worth nothing, since what it is about did not happen."""


def record(number: int, lanes: int) -> Engagement:
    """Record *number*, from 1 on; the people come in turn."""
    user_id = str(10**15 + number % lanes)
    return Engagement(
        id=f"event-{number}",
        app_id=APP_ID,
        user_id=user_id,
        usertime=1_767_225_600,
        event_name="Message",
        event_data={"kind": "message", "channel": "messenger", "handler": "shoes", "number": number},
        device_ids={"fb_user_id": user_id},
    )


async def fill(store: Store, count: int, lanes: int) -> None:
    """Let records 1 to *count* wait for delivery."""
    for start in range(1, count + 1, APPENDS_OF_A_UNIT):
        records = [record(number, lanes) for number in range(start, min(start + APPENDS_OF_A_UNIT, count + 1))]
        await store.commit(Unit(appends=[_entry(each) for each in records]))


def check_once(moves: Iterable[int], count: int) -> None:
    """
    Raises:
        NotDelivered: Not each of the records 1 to *count* came exactly once.
    """
    came = Counter(move for move in moves if move > 0)
    wrong = {number: came[number] for number in {*came, *range(1, count + 1)} if came[number] != 1 or number > count}
    if wrong:
        some = dict(list(wrong.items())[:5])
        msg = f"{len(wrong)} of {count} records did not come exactly once (number: times): {some}"
        raise NotDelivered(msg)


def check_order(moves: Sequence[int], lanes: int) -> None:
    """
    Raises:
        NotDelivered: A record came before its lane's predecessor was answered.
    """
    by_lane: dict[int, list[int]] = {}
    for move in moves:
        by_lane.setdefault(abs(move) % lanes, []).append(move)
    for lane, found in by_lane.items():
        numbers = sorted({abs(move) for move in found})
        wanted = [move for number in numbers for move in (number, -number)]
        if found != wanted:
            msg = f"lane {lane} was not delivered in order: {found[:8]} instead of {wanted[:8]}"
            raise NotDelivered(msg)


def _entry(each: Engagement) -> Entry:
    return Entry(id=each.id, queue="track", lane=each.user_id, schema=SCHEMA, created_at=time.time(), body=encode(each))
