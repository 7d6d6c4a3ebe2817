"""The event being handled, as code that runs meanwhile sees it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import KochavaBotError, SendError, TrackingError
from kochava_bot_middleware.handling import (
    Handling,
    current_handling,
    detached,
    handling_of,
    is_being_cancelled,
    trail_of,
)
from kochava_bot_middleware.messenger.graph import errors as graph_errors
from kochava_bot_middleware.store.memory import MemoryStore
from tests.bot_fakes import make_bot
from tests.inbox.inbox_fakes import message


@pytest.fixture
def handling() -> Handling:
    return Handling(event=message("hello"), store=MemoryStore())


async def seen() -> Handling | None:
    return current_handling()


def test_outside_of_handling_there_is_no_cause() -> None:
    """Nothing is current."""
    assert current_handling() is None


def test_cause_is_true_only_while_handling(handling: Handling) -> None:
    """It begins and ends with the block."""
    with handling_of(handling):
        assert handling is current_handling()
    assert current_handling() is None
    assert not handling.is_open


def test_handling_is_closed_when_the_block_raises(handling: Handling) -> None:
    """An error ends it, too."""
    with pytest.raises(ZeroDivisionError), handling_of(handling):
        raise ZeroDivisionError
    assert not handling.is_open


async def test_gathered_calls_find_the_cause(handling: Handling) -> None:
    """Tasks begun while handling belong to it."""
    with handling_of(handling):
        assert [handling, handling] == list(await asyncio.gather(seen(), seen()))


async def test_threads_find_the_cause(handling: Handling) -> None:
    """A thread that was given the context sees what its caller sees."""
    with handling_of(handling):
        copied = contextvars.copy_context()
        in_executor = asyncio.get_running_loop().run_in_executor(None, copied.run, current_handling)
        assert [handling, handling] == [await asyncio.to_thread(current_handling), await in_executor]


async def test_task_that_outlives_the_handling_finds_no_cause(handling: Handling) -> None:
    """Its context still holds the handling, but that is closed."""
    over = asyncio.Event()

    async def late() -> Handling | None:
        await over.wait()
        return current_handling()

    with handling_of(handling):
        task = asyncio.create_task(late())
    over.set()

    assert await task is None


async def test_detached_code_has_no_cause(handling: Handling) -> None:
    """Also tasks begun within; afterwards the cause is back."""
    with handling_of(handling):
        with detached():
            task = asyncio.create_task(seen())
            assert current_handling() is None
        assert handling is current_handling()
        assert await task is None


async def test_handlings_side_by_side_do_not_mix() -> None:
    """Each task sees its own."""
    both = asyncio.Barrier(2)

    async def handle(handling: Handling) -> bool:
        with handling_of(handling):
            await both.wait()
            return current_handling() is handling

    handlings = [Handling(event=message(text), store=MemoryStore()) for text in ("one", "two")]
    assert [True, True] == await asyncio.gather(*map(handle, handlings))


def test_trail_has_type_and_place_but_not_the_text() -> None:
    """The text may quote a person."""
    said = "my number is 4711"
    try:
        raise ValueError(said)
    except ValueError as exc:
        trail = trail_of(exc)
    assert trail.startswith("ValueError\n")
    assert "test_trail_has_type_and_place_but_not_the_text" in trail
    assert said not in trail


def test_trail_of_an_error_of_this_package_says_how_to_fix_it() -> None:
    """It quotes no person."""
    with pytest.raises(KochavaBotError) as caught:
        make_bot(page_access_token=None, pages={"1001": {"page_access_token": "t"}}).page("1002")

    assert trail_of(caught.value).startswith("KochavaBotError: no token for Page '1002': add it to `pages`")


def test_trail_of_an_error_of_facebook_says_what_to_do() -> None:
    """The text of this package is included, what Facebook wrote is not."""
    answer = {"error": {"code": 190, "message": "my number is 4711"}}
    with pytest.raises(SendError) as caught:
        raise_from_here(answer)

    trail = trail_of(caught.value)
    assert "connect the Page again" in trail
    assert "4711" not in trail


def raise_from_here(answer: dict[str, Any]) -> None:
    """Raise Facebook's error as a module of the package does."""
    places = {"__package__": graph_errors.__package__, "error": graph_errors.error_from_answer(400, answer)}
    exec("raise error", places)


@pytest.mark.parametrize("kind", [KochavaBotError, TrackingError, SendError])
def test_trail_of_an_error_raised_elsewhere_has_no_text(kind: type[Exception]) -> None:
    """An author may raise our classes with any text; texts of some of them quote Facebook or an event."""
    said = "my number is 4711"
    with pytest.raises(KochavaBotError) as caught:
        raise kind(said)

    assert said not in trail_of(caught.value) + trail_of(kind(said))


async def test_cancellation_of_this_task_is_distinguished_from_that_of_others() -> None:
    """Waiting for something that was cancelled is not being cancelled."""
    reported = []

    async def wait_for(awaited: asyncio.Future[None]) -> None:
        try:
            await awaited
        except asyncio.CancelledError:
            reported.append(is_being_cancelled())

    loop = asyncio.get_running_loop()
    awaited, never = loop.create_future(), loop.create_future()
    awaited.cancel()
    await wait_for(awaited)
    task = asyncio.create_task(wait_for(never))
    await asyncio.sleep(0)
    task.cancel()
    await task

    assert [False, True] == reported
