"""Starting and stopping a bot and its middlewares."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.exceptions import KochavaBotError, RegistrationError, StoreUnavailable
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.bot_fakes import Named, Silent, StoreOwner, make_bot, says
from tests.inbox.inbox_fakes import FaultyStore, notes


async def test_middlewares_start_in_order_and_stop_in_reverse() -> None:
    """The outermost one starts first and stops last."""
    bot = make_bot()
    log: list[str] = []
    for name in "abc":
        bot.add_middleware(Named(name, log))
    await bot.start()
    await bot.stop()

    assert ["start a", "start b", "start c", "stop c", "stop b", "stop a"] == log


async def test_starting_and_stopping_again_changes_nothing() -> None:
    """Also at the same time."""
    bot = make_bot()
    log: list[str] = []
    bot.add_middleware(Named("a", log))
    await asyncio.gather(bot.start(), bot.start())
    await bot.start()
    await asyncio.gather(bot.stop(), bot.stop())
    await bot.stop()

    assert ["start a", "stop a"] == log


async def test_bot_that_was_never_started_can_be_stopped() -> None:
    """Nothing happens."""
    await make_bot().stop()


async def test_handlers_end_before_middlewares_stop() -> None:
    """Their sends and records still pass the middlewares."""
    bot = make_bot()
    log: list[str] = []
    bot.add_middleware(Named("a", log))
    may_end = asyncio.Event()

    @bot.on_message()
    async def slow(event: Any, reply: Any) -> None:
        await may_end.wait()
        log.append("handled")

    await bot.start()
    await says(bot, "hello")
    stopping = asyncio.create_task(bot.stop())
    await asyncio.sleep(0)
    may_end.set()
    await stopping

    assert ["handled", "stop a"] == log[-2:]


async def test_webhook_during_and_after_the_drain_is_refused() -> None:
    """With 503, so that Facebook delivers it again."""
    bot = make_bot()
    begun, may_end = asyncio.Event(), asyncio.Event()

    @bot.on_message()
    async def slow(event: Any, reply: Any) -> None:
        begun.set()
        await may_end.wait()

    await bot.start()
    await says(bot, "hello")
    await begun.wait()
    stopping = asyncio.create_task(bot.stop())
    await asyncio.sleep(0)
    during = await says(bot, "during")
    may_end.set()
    await stopping
    after = await says(bot, "after")

    assert [503, 503] == [during.status, after.status]


async def test_bot_that_was_not_started_says_so() -> None:
    """With an error that names the call."""
    with pytest.raises(KochavaBotError, match=r"await bot\.start\(\)"):
        await says(make_bot(), "hello")


async def test_middleware_is_refused_once_the_bot_runs() -> None:
    """It would miss its start and the receive chain."""
    bot = make_bot()
    await bot.start()
    with pytest.raises(RegistrationError, match="before the bot is started"):
        bot.add_middleware(Silent())
    await bot.stop()


async def test_object_that_is_no_middleware_is_refused() -> None:
    """When it is added; nothing is changed."""
    bot = make_bot()
    with pytest.raises(RegistrationError):
        bot.add_middleware(object())

    assert () == bot.page().middlewares


async def test_middleware_is_added_once() -> None:
    """A second time, it would see each event and each send twice."""
    bot = make_bot()
    middleware = Silent()
    bot.add_middleware(middleware)
    with pytest.raises(RegistrationError, match="added once"):
        bot.add_middleware(middleware)


async def test_failed_start_stops_what_was_started() -> None:
    """The error is raised, and the bot can be started again."""
    bot = make_bot()
    log: list[str] = []
    first, second = Named("a", log), Named("b", log)
    bot.add_middleware(first)
    bot.add_middleware(second)
    second.start_error = StoreUnavailable("cannot be opened")
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await bot.start()
    assert ["start a", "start b", "stop b", "stop a"] == log

    second.start_error = None
    log.clear()
    await bot.start()
    await bot.stop()
    assert ["start a", "start b", "stop b", "stop a"] == log


async def test_middleware_that_fails_to_stop_does_not_keep_others_from_stopping(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the others are stopped."""
    bot = make_bot()
    log: list[str] = []
    first, second = Named("a", log), Named("b", log)
    second.stop_error = ValueError("no")
    bot.add_middleware(first)
    bot.add_middleware(second)
    await bot.start()
    await bot.stop()

    assert ["stop b", "stop a"] == log[-2:]
    assert "middleware_stop_failed: ValueError" in caplog.text


class UnopenedStore(MemoryStore):
    """A store that cannot be opened."""

    closed = False

    async def open(self) -> None:
        msg = "no such engine"
        raise StoreUnavailable(msg)

    async def close(self) -> None:
        self.closed = True
        await super().close()


async def test_store_that_could_not_be_opened_is_closed() -> None:
    """It may be partly open, and the middleware that owns it was never started."""
    bot, store = make_bot(), UnopenedStore()
    bot.add_middleware(StoreOwner(store))
    with pytest.raises(StoreUnavailable, match="no such engine"):
        await bot.start()

    assert store.closed


async def test_store_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    """The error names the file, and no middleware is started."""
    bot = make_bot()
    log: list[str] = []
    bot.add_middleware(StoreOwner(SqliteStore(tmp_path / "missing" / "bot.db")))
    bot.add_middleware(Named("a", log))
    with pytest.raises(StoreUnavailable, match=r"missing/bot\.db"):
        await bot.start()

    assert [] == log


async def test_first_middleware_with_a_store_provides_it(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A durable one gives no warning."""
    bot = make_bot()
    store = SqliteStore(tmp_path / "bot.db")
    bot.add_middleware(StoreOwner(store))
    bot.add_middleware(StoreOwner(MemoryStore()))
    await bot.start()
    await says(bot, "hello")

    assert ["inbox"] == list(await store.stats())
    await bot.stop()
    assert "inbox_in_memory" not in caplog.text


async def test_bot_without_a_middleware_keeps_events_in_memory_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """It works, but a crash loses waiting events."""
    caplog.set_level(logging.WARNING)
    bot = make_bot()
    handled = asyncio.Event()

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        handled.set()

    await bot.start()
    await says(bot, "hello")
    await bot.stop()

    assert handled.is_set()
    assert any(message.startswith("inbox_in_memory") for message in caplog.messages)
    assert "set `store` of KochavaMiddleware to a file, such as sqlite:///kochava-bot.db" in caplog.text


async def test_start_that_failed_can_be_repeated(tmp_path: Path) -> None:
    """Once the store can be opened."""
    bot = make_bot()
    bot.add_middleware(KochavaMiddleware.from_dict({"kochava_app_id": "ko", "store": f"sqlite:///{tmp_path}/new/a.db"}))
    with pytest.raises(StoreUnavailable, match="there is no folder"):
        await bot.start()
    (tmp_path / "new").mkdir()
    await bot.start()
    await bot.stop()


async def test_bot_with_a_middleware_may_be_started_again(tmp_path: Path) -> None:
    """Events after the second start are recorded, too."""
    bot = make_bot()
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "ko", "store": f"sqlite:///{tmp_path}/a.db", "worker": "separate"}
    )
    bot.add_middleware(kochava)

    @bot.on_message()
    async def hear(_event: Any, _reply: Any) -> None: ...

    for name in ("first", "second"):
        await bot.start()
        await says(bot, name)
        await bot.stop()
    store = SqliteStore(tmp_path / "a.db")
    assert 2 == (await store.stats())["track"].waiting
    await store.close()


def test_middleware_of_another_bot_is_refused() -> None:
    """When one bot stopped, the store of the other would be closed."""
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "ko", "store": "memory://"})
    make_bot().add_middleware(kochava)
    with pytest.raises(RegistrationError, match="one KochavaMiddleware serves one bot"):
        make_bot().add_middleware(kochava)


async def test_bot_in_memory_may_be_started_again() -> None:
    """With an empty inbox."""
    bot = make_bot()
    await bot.start()
    await bot.stop()
    await bot.start()
    assert 200 == (await says(bot, "hello")).status
    await bot.stop()


async def test_bot_without_kochava_records_nothing() -> None:
    """Only middlewares add records."""
    bot = make_bot()
    store = MemoryStore()
    bot.add_middleware(StoreOwner(store))
    await bot.start()
    await says(bot, "hello")
    assert [] == await notes(store)
    await bot.stop()


async def test_events_at_risk_are_counted_until_the_store_works() -> None:
    """They were answered 200 and handled, and are only in memory."""
    store = FaultyStore(MemoryStore())
    bot = make_bot(inbox={"commit_timeout_seconds": 0.01, "poll_seconds": 0.01})
    bot.add_middleware(StoreOwner(store))
    assert 0 == bot.counts.at_risk
    await bot.start()
    store.fail()
    answer = await says(bot, "hello")
    at_risk = bot.counts.at_risk
    store.repair()
    async with asyncio.timeout(10):
        while bot.counts.at_risk:
            await asyncio.sleep(0)
    await bot.stop()

    assert (200, 1) == (answer.status, at_risk)


@pytest.fixture
def collector() -> Iterator[None]:
    """Python's garbage collector is afterwards as it was before."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collector")
async def test_garbage_collections_are_tuned_when_the_settings_say_so() -> None:
    """It concerns the whole process, so only then."""
    thresholds = gc.get_threshold()
    bot = make_bot()
    await bot.start()
    assert (0, thresholds) == (gc.get_freeze_count(), gc.get_threshold())
    await bot.stop()

    bot = make_bot(tune_gc=True)
    await bot.start()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > thresholds[0]
    await bot.stop()
