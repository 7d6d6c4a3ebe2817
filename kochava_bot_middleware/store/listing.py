"""
What a person sees of a store: counts and rows.
"""

from __future__ import annotations

import enum

import attrs

from .unit import Entry


class State(enum.StrEnum):
    """
    Where an entry is. `DONE` entries are only counted.
    """

    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    DONE = "done"
    DEAD = "dead"
    DROPPED = "dropped"


@attrs.frozen(kw_only=True)
class QueueStats:
    """
    Counts of one queue: ``accepted == waiting + in_flight + done + dead + dropped``.

    Attributes:
        accepted: Entries ever appended (ids seen before not counted).
        waiting: Neither claimed nor settled.
        in_flight: Claimed, lease not lapsed.
        done: Delivered or handled.
        dead: Given up, still listed.
        dropped: Not sent on purpose.
        oldest_waiting_at: `created_at` of the lane head that was appended first, leased or not; ``None`` when there is
            none.
    """

    accepted: int = 0
    waiting: int = 0
    in_flight: int = 0
    done: int = 0
    dead: int = 0
    dropped: int = 0
    oldest_waiting_at: float | None = None


@attrs.frozen(kw_only=True)
class Listed:
    """
    One row of `Store.browse` and `Store.find`.

    Attributes:
        entry: The entry; the body of an inbox or dropped one is always empty here.
        state: Where it is.
        attempts: Claims so far.
        due_at: When it is next due; ``None`` for ended ones.
        reason: Why it was retried, dropped or given up; empty otherwise.
        detail: See `Settlement.detail`.
        ended_at: When it died or was dropped; ``None`` otherwise.
    """

    entry: Entry
    state: State
    attempts: int
    due_at: float | None = None
    reason: str = ""
    detail: str = ""
    ended_at: float | None = None
