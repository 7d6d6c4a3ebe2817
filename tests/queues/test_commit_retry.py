"""Commits that are tried for as long as it takes."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kochava_bot_middleware.exceptions import NotStorable, SchemaTooNew, StoreError, StoreUnavailable, StoreUnusable
from kochava_bot_middleware.queues.commits import LONGEST_PAUSE_SECONDS, CommitRetry
from kochava_bot_middleware.queues.lane_locks import LaneLocks
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import CommitVerdict, Entry, Queue, Unit
from tests.fakes import VirtualClock, settle
from tests.inbox.inbox_fakes import FaultyStore, notes


def unit(text: str, lane: str = "ann") -> Unit:
    return Unit(appends=[Entry(id=text, queue=Queue.TRACK, lane=lane, created_at=0.0, body=text.encode())])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> FaultyStore:
    return FaultyStore(MemoryStore(clock=clock))


@pytest.fixture
def commits(store: FaultyStore, clock: VirtualClock) -> CommitRetry:
    return CommitRetry(store, clock)


async def test_commit_is_tried_until_the_store_takes_it(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """The caller only sees that it took longer."""
    store.fail()
    task = asyncio.create_task(commits.commit(unit("a")))
    await clock.advance(30)
    assert not task.done()

    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)

    assert CommitVerdict.COMMITTED is (await task).verdict
    assert ["a"] == await notes(store)


@pytest.mark.parametrize("kind", [StoreUnavailable, StoreUnusable, SchemaTooNew])
async def test_passing_faults_are_waited_out(
    kind: type[StoreError], store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """Whatever may be over later."""
    store.error = kind("not now")
    task = asyncio.create_task(commits.commit(unit("a")))
    await clock.advance(1)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)

    await task


async def test_what_the_store_can_never_keep_is_not_tried_again(store: FaultyStore, commits: CommitRetry) -> None:
    """Trying for ever would only stop the lane."""
    store.error = NotStorable("cannot keep this")

    with pytest.raises(NotStorable):
        await commits.commit(unit("a"))
    assert 2 == store.commits, "the unit and its dead letter"


async def test_only_one_tries_while_the_store_fails(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """A store in trouble is not stormed by all who wait."""
    store.fail()
    tasks = [asyncio.create_task(commits.commit(unit(str(number)))) for number in range(100)]
    await settle()
    before = store.commits
    await clock.advance(60)

    assert store.commits - before < 60
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(*tasks)


async def test_what_came_first_is_written_first(store: FaultyStore, clock: VirtualClock, commits: CommitRetry) -> None:
    """Also what came before, during and just after the failure."""
    texts = [str(number) for number in range(20)]
    store.fail()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in texts[:10]]
    await clock.advance(5)
    tasks += [asyncio.create_task(commits.commit(unit(text))) for text in texts[10:]]
    await clock.advance(5)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(*tasks)

    assert texts == await notes(store)


async def test_what_came_first_is_written_first_although_it_fails_slowly(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """A commit already issued behind it would succeed."""
    loop = asyncio.get_running_loop()
    store.fail()
    first = asyncio.create_task(commits.commit(unit("first")))
    # The store works again right after it has failed the first, and before it would answer the second.
    loop.call_soon(loop.call_soon, store.repair)
    second = asyncio.create_task(commits.commit(unit("second")))
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(first, second)

    assert ["first", "second"] == await notes(store)


async def test_only_one_of_a_lane_is_with_the_store(store: FaultyStore, commits: CommitRetry) -> None:
    """Others of the lane follow, in their order; other lanes do not wait."""
    store.open_gate.clear()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in "abc"]
    tasks.append(asyncio.create_task(commits.commit(unit("other", "ben"))))
    await settle()
    assert 2 == store.commits
    store.open_gate.set()
    await asyncio.gather(*tasks)

    assert ["a", "b", "c"] == [text for text in await notes(store) if text != "other"]


async def test_unit_of_several_lanes_waits_for_all_of_them(store: FaultyStore, commits: CommitRetry) -> None:
    """A webhook may bring events of several people."""
    store.open_gate.clear()
    both = Unit(appends=[*unit("ann's").appends, *unit("ben's", "ben").appends])
    units = [unit("a"), unit("b", "ben"), both, unit("c", "ben")]
    tasks = [asyncio.create_task(commits.commit(each)) for each in units]
    await settle()
    assert 2 == store.commits
    store.open_gate.set()
    await asyncio.gather(*tasks)

    assert ["ann's", "ben's", "c"] == (await notes(store))[2:]


async def test_commit_given_up_in_its_lane_lets_nobody_slip_past(store: FaultyStore, commits: CommitRetry) -> None:
    """Who stood behind it now stands behind the first."""
    store.open_gate.clear()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in "abc"]
    await settle()
    commits.give_up(tasks[1])
    await settle()
    assert (True, 1) == (tasks[1].cancelled(), store.commits)
    store.open_gate.set()
    await asyncio.gather(tasks[0], tasks[2])

    assert ["a", "c"] == await notes(store)


async def test_locks_that_nobody_holds_are_forgotten() -> None:
    """There are as many lanes as people."""
    locks = LaneLocks()
    requested = [locks.request({(Queue.TRACK, lane)}) for lane in ("ann", "ann", "c")]
    assert 2 == len(locks)
    for lock in requested:
        locks.release(lock)

    assert 0 == len(locks)


async def test_newcomer_does_not_slip_past_those_just_woken(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """Who was woken but did not run yet is still first."""
    store.fail()
    first = asyncio.create_task(commits.commit(unit("first")))
    second = asyncio.create_task(commits.commit(unit("second")))
    await clock.advance(1)
    store.repair()
    newcomers: list[asyncio.Task[object]] = []
    # Runs right after the first one has woken the second.
    first.add_done_callback(lambda _: newcomers.append(asyncio.create_task(commits.commit(unit("newcomer")))))
    third = asyncio.create_task(commits.commit(unit("third")))
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(first, second, third, *newcomers)

    assert ["first", "second", "third", "newcomer"] == await notes(store)


async def test_another_one_tries_when_the_first_is_cancelled(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """The line never stands without somebody who tries."""
    store.fail()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in "abc"]
    await clock.advance(1)
    tasks[0].cancel()
    await clock.advance(1)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(*tasks[1:])

    assert ["b", "c"] == await notes(store)


async def test_what_was_given_up_in_line_is_not_written(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry
) -> None:
    """It has not left yet, so it can be called back."""
    store.fail()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in "ab"]
    await clock.advance(1)
    for task in tasks:
        commits.give_up(task)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)

    assert [True, True] == [task.cancelled() for task in tasks]
    assert [] == await notes(store)


async def test_given_up_commit_that_is_being_written_goes_on(store: FaultyStore, commits: CommitRetry) -> None:
    """Nobody can call it back, so its outcome counts."""
    store.open_gate.clear()
    task = asyncio.create_task(commits.commit(unit("a")))
    await settle()
    commits.give_up(task)
    store.open_gate.set()

    assert CommitVerdict.COMMITTED is (await task).verdict


async def test_given_up_commit_that_fails_is_not_tried_again(store: FaultyStore, commits: CommitRetry) -> None:
    """Then it is over."""
    store.open_gate.clear()
    task = asyncio.create_task(commits.commit(unit("a")))
    await settle()
    commits.give_up(task)
    store.fail()
    store.open_gate.set()

    with pytest.raises(StoreUnavailable):
        await task
    assert 1 == store.commits


async def test_failure_is_told_once(
    store: FaultyStore, clock: VirtualClock, commits: CommitRetry, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins, one when it ends; in between the time since when."""
    caplog.set_level(logging.INFO)
    began = clock.monotonic()
    store.fail()
    tasks = [asyncio.create_task(commits.commit(unit(text))) for text in "abc"]
    await clock.advance(20)
    assert began == commits.failing_since
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await asyncio.gather(*tasks)

    assert commits.failing_since is None
    assert ["store_fails: the disk is on fire", "store_works_again"] == [
        record.getMessage() for record in caplog.records
    ]
