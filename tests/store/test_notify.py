"""When others are told, whatever they are told by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.notify import RING_SECONDS, NotifyThrottle, leaves_work
from kochava_bot_middleware.store.records import Lease, Outcome, Settlement, Unit
from tests.store.harness import ManualClock, claim_one, entry

TRACK = Lease(queue="track", seconds=60.0)


class Later:
    """Calls when the test says so."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.is_cancelled = False
        self._callback: Callable[[], None] | None = None

    def __call__(self, seconds: float, callback: Callable[[], None]) -> Later:
        self.seconds.append(seconds)
        self._callback = callback
        return self

    def cancel(self) -> None:
        self.is_cancelled = True

    def passes(self) -> None:
        callback, self._callback = self._callback, None
        assert callback is not None
        callback()


class Rings(list[int]):
    """How often it rang."""

    def strike(self) -> None:
        self.append(1)


def test_first_ring_is_at_once_and_the_others_are_one() -> None:
    """A thousand within the pause are told together at its end, and after them it is quiet."""
    rings, later = Rings(), Later()
    rhythm = NotifyThrottle(rings.strike, later)
    rhythm.ring()
    assert 1 == len(rings)
    for _ in range(1_000):
        rhythm.ring()
    assert 1 == len(rings)
    later.passes()
    assert 2 == len(rings)
    later.passes()
    assert (2, [RING_SECONDS, RING_SECONDS]) == (len(rings), later.seconds)


def test_ring_after_a_pause_is_at_once_again() -> None:
    """Nobody waits who rings seldom."""
    rings, later = Rings(), Later()
    rhythm = NotifyThrottle(rings.strike, later)
    rhythm.ring()
    later.passes()
    rhythm.ring()
    assert 2 == len(rings)


@pytest.mark.parametrize(("asked", "rung"), [(1, 1), (2, 2), (9, 2)])
def test_closing_rings_what_was_still_asked(asked: int, rung: int) -> None:
    """And nothing later."""
    rings, later = Rings(), Later()
    rhythm = NotifyThrottle(rings.strike, later)
    for _ in range(asked):
        rhythm.ring()
    rhythm.close()
    assert (rung, True) == (len(rings), later.is_cancelled)


async def committed(unit: Unit, store: MemoryStore) -> bool:
    return leaves_work(unit, await store.commit(unit))


@pytest.mark.parametrize(
    ("unit", "left"),
    [
        (Unit(appends=[entry("new")]), True),
        (Unit(appends=[entry("new")], lease=TRACK), False),
        (Unit(appends=[entry("new"), entry("next")], lease=TRACK), True),
        (Unit(appends=[entry("old", lane="other")]), False),
        (Unit(), False),
    ],
    ids=["appended", "appended and leased", "one of two leased", "repeated", "nothing"],
)
async def test_work_is_left_by_what_was_appended_and_not_leased(unit: Unit, left: bool) -> None:
    """Only then is there a reason to look."""
    store = MemoryStore(clock=ManualClock())
    await store.commit(Unit(appends=[entry("old", lane="other")]))
    assert left is await committed(unit, store)


@pytest.mark.parametrize("outcome", Outcome)
async def test_of_settlements_only_a_release_leaves_work(outcome: Outcome) -> None:
    """Who settles otherwise goes on with the lane itself."""
    store = MemoryStore(clock=ManualClock())
    await store.commit(Unit(appends=[entry("a")]))
    settlement = Settlement(claim=await claim_one(store), outcome=outcome)
    assert (outcome is Outcome.RELEASE) is await committed(Unit(settlements=[settlement]), store)
