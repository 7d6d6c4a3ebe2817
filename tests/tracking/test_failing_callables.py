"""Callables of the settings that fail in ways which would end the caller, or its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from kochava_bot_middleware.hooks import call_hook
from kochava_bot_middleware.messenger.events import AccountLinkingEvent
from tests.tracking.tracked_bot import PAGE_ID, USER_ID, TrackedBot, tracked_bot


async def waits_for_what_was_cancelled(_asked: Any) -> Any:
    """A connection of the author's that is closed meanwhile."""
    waited_for = asyncio.get_running_loop().create_future()
    waited_for.cancel()
    await waited_for


async def exits_in_the_loop(_asked: Any) -> Any:
    """Such as a client that finds no credentials."""
    raise SystemExit(3)


def exits_in_a_thread(_asked: Any) -> Any:
    """As `exits_in_the_loop`."""
    raise SystemExit(3)


def finds_nothing(_asked: Any) -> Any:
    """The plain `next` of nothing."""
    return next(iter(()))


def is_cancelled_in_a_thread(_asked: Any) -> Any:
    """A future of another event loop."""
    raise asyncio.CancelledError


class Lazy(Mapping[str, Any]):
    """A row that is read when it is used, after its database is gone."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise ConnectionError

    def __len__(self) -> int:
        return 1

    def __bool__(self) -> bool:
        raise ConnectionError


def gives_what_cannot_be_read(_asked: Any) -> Any:
    """As `Lazy`."""
    return Lazy()


def gives_what_cannot_be_read_within(_asked: Any) -> Any:
    """As `Lazy`."""
    return {"row": Lazy()}


FAULTS = {
    waits_for_what_was_cancelled: "CancelledError",
    exits_in_the_loop: "SystemExit",
    exits_in_a_thread: "SystemExit",
    finds_nothing: "StopIteration",
    is_cancelled_in_a_thread: "CancelledError",
}
UNREADABLE = {gives_what_cannot_be_read: "ConnectionError"}

Hook = Callable[[Any], Any]


async def seen(bot: TrackedBot) -> list[str]:
    """What was recorded after a call outside of handling, and the handling of a message."""
    await bot.kochava.track("Purchase", {"note": "private"}, user_id=USER_ID)
    await bot.handle(bot.message())
    return await bot.names()


@pytest.mark.parametrize(("hook", "reason"), {**FAULTS, **UNREADABLE}.items())
async def test_a_failing_before_record_costs_the_data(
    hook: Hook, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And is logged."""
    bot = tracked_bot(before_record=hook)
    assert ["Purchase", "Message"] == await seen(bot)
    assert [None, None] == [data for _, data in await bot.events()]
    assert f"before_record_failed Purchase {reason}" in caplog.text
    assert "contribution_failed" not in caplog.text


async def test_a_value_that_cannot_be_read_costs_the_data(caplog: pytest.LogCaptureFixture) -> None:
    """Within what `before_record` gives."""
    bot = tracked_bot(before_record=gives_what_cannot_be_read_within)
    assert ["Purchase", "Message"] == await seen(bot)
    assert [None, None] == [data for _, data in await bot.events()]
    assert "before_record_failed Purchase ConnectionError" in caplog.text


@pytest.mark.parametrize(("hook", "reason"), FAULTS.items())
async def test_a_failing_consent_is_not_known(hook: Hook, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """After all its tries."""
    bot = tracked_bot(privacy={"consent": hook}, commit_timeout_seconds=30)
    recorded = asyncio.ensure_future(seen(bot))
    while not recorded.done():
        await bot.clock.advance(1)
        await asyncio.sleep(0)
    assert ([], {"consent unknown": 2}) == (await recorded, bot.kochava.counts.left_out)
    assert f"consent_failed {reason}" in caplog.text


@pytest.mark.parametrize(("hook", "reason"), {**FAULTS, **UNREADABLE}.items())
async def test_failing_known_users_install_nobody(hook: Hook, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """The events are recorded."""
    bot = tracked_bot(install={"mode": "first_seen", "known_users": hook})
    assert ["Purchase", "Message"] == await seen(bot)
    assert f"known_users_failed {reason}" in caplog.text


@pytest.mark.parametrize("hook", FAULTS)
async def test_a_failing_fact_of_a_device_is_left_out(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    """The events are recorded."""
    bot = tracked_bot(device={"app_version": hook})
    assert ["Purchase", "Message"] == await seen(bot)
    assert "device_fact_failed app_version" in caplog.text


@pytest.mark.parametrize(("hook", "reason"), {**FAULTS, **UNREADABLE}.items())
async def test_a_failing_identify_on_linking_identifies_nobody(
    hook: Hook, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is recorded."""
    bot = tracked_bot(identity={"identify_on_linking": hook})
    await bot.handle(AccountLinkingEvent(user_id=USER_ID, page_id=PAGE_ID, status="linked", timestamp=bot.at()))
    assert 1 == len(await bot.names())
    assert f"identify_on_linking_failed {reason}" in caplog.text


async def test_a_cancellation_of_the_caller_is_passed_on() -> None:
    """It is no failure of the callable."""
    called = asyncio.Event()

    async def hanging(_record: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    bot = tracked_bot(before_record=hanging)
    call = asyncio.create_task(bot.kochava.track("Purchase", user_id=USER_ID))
    await called.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_an_interrupt_by_the_user_is_passed_on() -> None:
    """Whoever presses Control-C wants the process to end."""

    async def interrupted(_asked: Any) -> None:
        raise KeyboardInterrupt

    # Within a task, it would end the event loop of the tests.
    call = call_hook(interrupted, USER_ID)
    with pytest.raises(KeyboardInterrupt):
        await call
