"""Calls that wait are done together, and in order where they touch the same thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence

import attrs
import pytest

from kochava_bot_middleware.exceptions import NotStorable, StoreError, StoreUnavailable
from kochava_bot_middleware.store.postgres.batches import Batches, touched_by
from kochava_bot_middleware.store.records import Claim, Mark, Outcome, Settlement, Unit
from tests.store.harness import entry, mark, recalled
from tests.store.postgres_server import NewStore

Touched = Callable[[str], frozenset[Hashable]]


class Transactions:
    """Counts batches, holds them until the test lets them go on, and answers each call with its own text."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.refused: str | None = None
        self.error: StoreError = StoreUnavailable("away")

    async def run(self, given: Sequence[str]) -> Sequence[str]:
        self.batches.append(list(given))
        self.begun.set()
        await self.goes_on.wait()
        if self.refused in given:
            raise self.error
        return [f"answer to {each}" for each in given]

    def batched(self, *, side_by_side: int = 1, most: int = 100, touched: Touched = lambda _given: frozenset()) -> Call:
        return Call(Batches(self.run, name="test", side_by_side=side_by_side, most=most, touched=touched))


@attrs.frozen
class Call:
    """Makes calls as tasks."""

    batches: Batches[str, str]

    def __call__(self, given: str) -> asyncio.Task[str]:
        return asyncio.get_running_loop().create_task(self.batches.call(given))


def by_first_letter(given: str) -> frozenset[Hashable]:
    return frozenset(given[0])


@pytest.fixture
def transactions() -> Transactions:
    return Transactions()


async def test_calls_made_during_a_batch_are_one_batch(transactions: Transactions) -> None:
    """The first batch runs when nineteen others call; each gets its own answer."""
    call = transactions.batched()
    calls = [call("0")]
    await transactions.begun.wait()
    calls += [call(f"{number}") for number in range(1, 20)]
    transactions.goes_on.set()
    assert [f"answer to {number}" for number in range(20)] == await asyncio.gather(*calls)
    assert [1, 19] == [len(batch) for batch in transactions.batches]


async def test_batch_has_a_greatest_size(transactions: Transactions) -> None:
    """The calls that wait longest come first."""
    call = transactions.batched(most=2)
    transactions.goes_on.set()
    await asyncio.gather(*(call(each) for each in "abcde"))
    assert [["a", "b"], ["c", "d"], ["e"]] == transactions.batches


async def test_batches_run_side_by_side(transactions: Transactions) -> None:
    """As many as were asked for, and no more."""
    call = transactions.batched(side_by_side=2, most=1)
    calls = [call(each) for each in "abc"]
    for _ in range(5):
        await asyncio.sleep(0)
    assert [["a"], ["b"]] == transactions.batches
    transactions.goes_on.set()
    await asyncio.gather(*calls)


async def test_calls_that_touch_the_same_keep_their_order(transactions: Transactions) -> None:
    """Such a call waits for the one in flight; others are done meanwhile."""
    call = transactions.batched(side_by_side=2, touched=by_first_letter)
    first = call("a1")
    await transactions.begun.wait()
    later = [call(each) for each in ("a2", "b1", "a3", "b2")]
    for _ in range(5):
        await asyncio.sleep(0)
    assert [["a1"], ["b1", "b2"]] == transactions.batches
    transactions.goes_on.set()
    await asyncio.gather(first, *later)
    assert ["a2", "a3"] == transactions.batches[-1]


async def test_unavailable_store_is_an_error_for_each_caller(transactions: Transactions) -> None:
    """Each gets an error of its own; a later call is answered."""
    call = transactions.batched()
    transactions.refused = "1"
    transactions.goes_on.set()
    first, second = await asyncio.gather(call("1"), call("2"), return_exceptions=True)
    assert isinstance(first, StoreUnavailable)
    assert isinstance(second, StoreUnavailable)
    assert first is not second
    assert "answer to 2" == await call("2")
    assert [["1", "2"], ["2"]] == transactions.batches


async def test_call_that_is_refused_is_refused_alone(transactions: Transactions) -> None:
    """What cannot be kept is no reason to refuse the others of its batch."""
    call = transactions.batched()
    transactions.refused, transactions.error = "1", NotStorable("cannot keep this")
    transactions.goes_on.set()
    first, second = await asyncio.gather(call("1"), call("2"), return_exceptions=True)
    assert isinstance(first, NotStorable)
    assert "answer to 2" == second


async def test_cancelled_caller_does_not_disturb_the_others(transactions: Transactions) -> None:
    """A caller is cancelled while its batch runs."""
    call = transactions.batched()
    cancelled, other = call("1"), call("2")
    await transactions.begun.wait()
    cancelled.cancel()
    transactions.goes_on.set()
    assert "answer to 2" == await other


async def test_draining_waits_for_the_answers(transactions: Transactions) -> None:
    """Every call made before is answered."""
    call = transactions.batched()
    waiting = call("1")
    await asyncio.sleep(0)
    transactions.goes_on.set()
    await call.batches.drain()
    assert "answer to 1" == await waiting


async def test_stopped_loop_refuses_what_waits(transactions: Transactions) -> None:
    """The call in flight and the one behind it are refused."""
    call = transactions.batched(most=1)
    calls = [call("1"), call("2")]
    await transactions.begun.wait()
    (running,) = (task for task in asyncio.all_tasks() if task.get_name() == "test")
    running.cancel()
    assert [StoreUnavailable] * 2 == list(map(type, await asyncio.gather(*calls, return_exceptions=True)))


def test_unit_touches_its_lanes_ids_and_keys() -> None:
    """Units that share one of them are never in two transactions at once."""
    settled = Settlement(claim=Claim(entry=entry("b", lane="bob"), token="t", attempt=1), outcome=Outcome.DONE)
    unit = Unit(appends=[entry("a")], settlements=[settled], marks=[mark("k", b"1")])
    for other in (
        Unit(appends=[entry("c")]),
        Unit(appends=[entry("a", lane="carl", queue="ping")]),
        Unit(appends=[entry("d", lane="bob")]),
        Unit(marks=[Mark(lane="carl", key="k", value=None)]),
    ):
        assert touched_by(unit) & touched_by(other)
    assert not touched_by(unit) & touched_by(Unit(appends=[entry("b", lane="ann", queue="ping")]))


async def test_lookups_of_one_batch_have_their_own_keys(new_store: NewStore) -> None:
    """Each caller is answered with what it asked for, and nothing else."""
    store = await new_store()
    await store.commit(Unit(marks=[mark(f"k{number}", b"%d" % number) for number in range(20)]))
    answers = await asyncio.gather(*(recalled(store, f"k{number}", "missing") for number in range(20)))
    assert [{f"k{number}": b"%d" % number} for number in range(20)] == answers
