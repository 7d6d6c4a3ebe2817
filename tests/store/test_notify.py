"""When other processes are notified, by whatever means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.notify import NOTIFY_SECONDS, NotifyThrottle, leaves_work
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


class Sent(list[int]):
    """How often a notification was sent."""

    def send(self) -> None:
        self.append(1)


def test_first_notification_is_sent_at_once_and_the_others_are_one() -> None:
    """A thousand within the pause are one at its end, and after it none is sent."""
    sent, later = Sent(), Later()
    throttle = NotifyThrottle(sent.send, later)
    throttle.notify()
    assert 1 == len(sent)
    for _ in range(1_000):
        throttle.notify()
    assert 1 == len(sent)
    later.passes()
    assert 2 == len(sent)
    later.passes()
    assert (2, [NOTIFY_SECONDS, NOTIFY_SECONDS]) == (len(sent), later.seconds)


def test_notification_after_a_pause_is_sent_at_once() -> None:
    """A process that commits seldom never waits."""
    sent, later = Sent(), Later()
    throttle = NotifyThrottle(sent.send, later)
    throttle.notify()
    later.passes()
    throttle.notify()
    assert 2 == len(sent)


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (2, 2), (9, 2)])
def test_closing_sends_what_is_pending(asked: int, expected: int) -> None:
    """And nothing is sent later."""
    sent, later = Sent(), Later()
    throttle = NotifyThrottle(sent.send, later)
    for _ in range(asked):
        throttle.notify()
    throttle.close()
    assert (expected, True) == (len(sent), later.is_cancelled)


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
    """A process that settles otherwise goes on with the lane itself."""
    store = MemoryStore(clock=ManualClock())
    await store.commit(Unit(appends=[entry("a")]))
    settlement = Settlement(claim=await claim_one(store), outcome=outcome)
    assert (outcome is Outcome.RELEASE) is await committed(Unit(settlements=[settlement]), store)
