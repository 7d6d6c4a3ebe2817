"""From a webhook to the handler and back to the Page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.exceptions import KochavaBotError
from kochava_bot_middleware.handling import current_handling
from kochava_bot_middleware.inbox.stored_event import entry_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Lease, Queue, Unit
from tests.bot_fakes import Named, Silent, StoreOwner, deliver, make_bot, says, signature, webhook_body
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import message, message_item, waiting
from tests.messenger.local_graph import LocalGraph
from tests.strategies import ITEMS

Make = Callable[..., MessengerBot]


@pytest.fixture
async def make(graph: LocalGraph) -> AsyncIterator[Make]:
    made: list[MessengerBot] = []

    def make(**settings: Any) -> MessengerBot:
        bot = make_bot(graph_url=graph.url, **settings)
        made.append(bot)
        return bot

    yield make
    for bot in made:
        await bot.stop()


@pytest.fixture
async def graph() -> AsyncIterator[LocalGraph]:
    graph = await LocalGraph.start()
    yield graph
    await graph.stop()


TWO_PAGES = {
    "page_access_token": None,
    "app_secret": None,
    "pages": {
        "1001": {"page_access_token": "token-one", "app_secret": "secret-one"},
        "1002": {"page_access_token": "token-two", "app_secret": "secret-two"},
    },
}


async def test_handler_answers_the_person(make: Make, graph: LocalGraph) -> None:
    """The reply is sent to the Graph API with the Page's token."""
    bot = make()

    @bot.on_message("hello")
    async def hello(event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    await bot.start()
    answer = await says(bot, "hello")
    await bot.stop()

    assert 200 == answer.status
    (seen,) = graph.seen
    assert ({"id": "ann"}, {"text": "Hello!"}) == (seen.body["recipient"], seen.body["message"])
    assert "Bearer page-token" == seen.headers["Authorization"]


async def test_webhook_is_answered_before_slow_handlers_end(make: Make) -> None:
    """Facebook does not wait for the bot's work."""
    bot = make()
    may_end, ended = asyncio.Event(), asyncio.Event()

    @bot.on_message()
    async def slow(event: Any, reply: Any) -> None:
        await may_end.wait()
        ended.set()

    await bot.start()
    assert 200 == (await says(bot, "hello")).status
    assert not ended.is_set()
    may_end.set()
    await bot.stop()
    assert ended.is_set()


async def test_redelivered_webhook_changes_nothing_and_is_answered_200(make: Make) -> None:
    """Simultaneous or later."""
    bot = make()
    seen = []

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        seen.append(event.text)

    await bot.start()
    answers = await asyncio.gather(*(says(bot, "hello") for _ in range(5)))
    answers.append(await says(bot, "hello"))
    await bot.stop()

    assert ([200] * 6, ["hello"]) == ([answer.status for answer in answers], seen)


async def test_handler_that_raises_runs_every_error_handler(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """In order, with event, reply and error; one that raises does not stop the others. No text is logged."""
    bot = make()
    errors = []
    text = "my number is 4711"

    @bot.on_message()
    async def broken(event: Any, reply: Any) -> None:
        raise ValueError(event.text)

    @bot.on_error
    async def broken_too(event: Any, reply: Any, error: Exception) -> None:
        raise KeyError(event.text)

    @bot.on_error()
    async def note(event: Any, reply: Any, error: Exception) -> None:
        errors.append((event.text, type(reply).__name__, type(error)))

    await bot.start()
    await says(bot, text)
    await bot.stop()

    assert [(text, "Reply", ValueError)] == errors
    assert "handler_failed: broken raised ValueError" in caplog.text
    assert "error_handler_failed: KeyError" in caplog.text
    assert text not in caplog.text


async def test_error_handler_may_answer(make: Make, graph: LocalGraph) -> None:
    """So that the person learns that something went wrong."""
    bot = make()

    @bot.on_message()
    async def broken(event: Any, reply: Any) -> None:
        raise ValueError

    @bot.on_error
    async def apologise(event: Any, reply: Any, error: Exception) -> None:
        await reply.text("Sorry!")

    await bot.start()
    await says(bot, "hello")
    await bot.stop()

    assert ["Sorry!"] == [seen.body["message"]["text"] for seen in graph.seen]


async def test_handler_that_awaits_something_cancelled_runs_the_error_handlers(make: Make) -> None:
    """An error like any other, and not the end of the process."""
    bot = make()
    runs, errors = [], []

    @bot.on_message()
    async def broken(event: Any, reply: Any) -> None:
        runs.append(event.text)
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @bot.on_error
    async def note(event: Any, reply: Any, error: Exception) -> None:
        errors.append(type(error.__cause__))

    await bot.start()
    await says(bot, "one")
    await bot.stop()

    assert (["one"], [asyncio.CancelledError]) == (runs, errors)


class _Unusual(BaseException):
    pass


@pytest.mark.parametrize("cause", [_Unusual, asyncio.CancelledError])
async def test_handler_that_raises_a_base_exception_runs_the_error_handlers(
    cause: type[BaseException], make: Make
) -> None:
    """Also after it cancelled its own task; error handlers can still await."""
    bot = make()
    runs, errors = [], []

    @bot.on_message()
    async def broken(event: Any, reply: Any) -> None:
        runs.append((event.text, event.attempt))
        task = asyncio.current_task()
        if cause is _Unusual or task is None:
            raise cause
        task.cancel()
        await asyncio.sleep(0)

    @bot.on_error
    async def also_broken(event: Any, reply: Any, error: Exception) -> None:
        raise _Unusual

    @bot.on_error
    async def note(event: Any, reply: Any, error: Exception) -> None:
        async with asyncio.TaskGroup():
            await asyncio.sleep(0)
        errors.append(type(error.__cause__))

    await bot.start()
    await says(bot, "one")
    await bot.stop()

    assert ([("one", 1)], [cause]) == (runs, errors)


async def test_pattern_that_raises_runs_the_error_handlers(make: Make) -> None:
    """Also one for changes, which is evaluated before the webhook is stored."""
    bot = make()
    errors = []

    @bot.on_message(lambda event: 1 // 0 == 1)
    async def never(event: Any, reply: Any) -> None: ...

    @bot.on_change(lambda event: 1 // 0 == 1)  # type: ignore[arg-type]
    async def never_either(event: Any, reply: Any) -> None: ...

    @bot.on_error
    async def note(event: Any, reply: Any, error: Exception) -> None:
        errors.append(type(error))

    await bot.start()
    assert 200 == (await says(bot, "one")).status
    assert 200 == (await deliver(bot, ITEMS["change"], under="changes")).status
    await bot.stop()

    assert [ZeroDivisionError] * 2 == errors


async def test_two_pages_answer_with_their_own_tokens(make: Make, graph: LocalGraph) -> None:
    """In one process, each webhook signed by its own app."""
    bot = make(**TWO_PAGES)

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        await reply.text(event.page_id)

    await bot.start()
    for page_id, secret in (("1001", "secret-one"), ("1002", "secret-two")):
        body = webhook_body({**message_item("hello"), "recipient": {"id": page_id}}, page_id=page_id)
        assert 200 == (await bot.receive(body, signature(body, secret))).status
    await bot.stop()

    sent = {seen.body["message"]["text"]: seen.headers["Authorization"] for seen in graph.seen}
    assert {"1001": "Bearer token-one", "1002": "Bearer token-two"} == sent


async def test_pages_are_found_by_id(make: Make) -> None:
    """For sends outside of handlers."""
    bot = make(**TWO_PAGES)

    assert ["token-one", "token-two"] == [bot.page(page_id).access_token for page_id in ("1001", "1002")]
    for unknown in ("1003", None):
        with pytest.raises(KochavaBotError, match="1001, 1002"):
            bot.page(unknown)


async def test_only_page_need_not_be_named(make: Make) -> None:
    """In both forms of the settings."""
    short = make()
    long = make(page_access_token=None, pages={"1001": {"page_access_token": "token-one"}})

    assert ["page-token", "page-token"] == [short.page().access_token, short.page("4711").access_token]
    assert ["token-one", "token-one"] == [long.page().access_token, long.page("1001").access_token]


async def test_event_of_an_unknown_page_is_handled_and_sends_raise(make: Make, graph: LocalGraph) -> None:
    """In the error handler, too; other events are not affected."""
    bot = make(**{**TWO_PAGES, "app_secret": "app-secret"})
    handled, errors = [], []

    @bot.on_message("quiet")
    async def quiet(event: Any, reply: Any) -> None:
        handled.append(event.page_id)

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    @bot.on_error
    async def note(event: Any, reply: Any, error: Exception) -> None:
        errors.append(str(error))
        await reply.text("Sorry!")

    await bot.start()
    await says(bot, "quiet", page_id="1003")
    await says(bot, "loud", page_id="1003")
    assert 200 == (await says(bot, "hello", page_id="1001")).status
    await bot.stop()

    assert ["1003"] == handled
    assert ["no token for Page '1003': add it to `pages` (known: 1001, 1002)"] == errors
    assert ["Hello!"] == [seen.body["message"]["text"] for seen in graph.seen]


async def test_first_middleware_is_outermost_in_both_directions(make: Make) -> None:
    """Receive and send alike."""
    bot = make()
    log: list[str] = []
    for name in "ab":
        bot.add_middleware(Named(name, log))

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        log.append("handler")
        await reply.text("Hello!")

    await bot.start()
    await says(bot, "hello")
    await bot.stop()

    passed = [line for line in log if not line.startswith(("start", "stop"))]
    assert ["receive a", "receive b", "handler", "send a", "send b"] == passed


async def test_proactive_sends_pass_the_send_chain(make: Make, graph: LocalGraph) -> None:
    """Of each Page, once."""
    bot = make(**TWO_PAGES)
    log: list[str] = []
    bot.add_middleware(Named("a", log))
    await bot.page("1001").send_text_message("ann", "one")
    await bot.page("1002").send_text_message("ann", "two")

    assert (["send a", "send a"], 2) == (log, len(graph.seen))


class Changing:
    """A receive middleware that calls the rest several times, with a changed event."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def receive(self, event: Any, call_next: Any) -> Any:
        for time in range(self.times):
            await call_next(attrs.evolve(event, text=f"{event.text} {time}"))


@pytest.mark.parametrize(("times", "expected"), [(0, []), (2, ["hello 0", "hello 1"])])
async def test_receive_chain_may_leave_out_the_handler_or_call_it_again(
    times: int, expected: list[str], make: Make
) -> None:
    """And give it another event; the event still counts as handled."""
    bot = make()
    store = MemoryStore()
    seen = []
    bot.add_middleware(StoreOwner(store))
    bot.add_middleware(Changing(times))

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        seen.append(event.text)

    await bot.start()
    await says(bot, "hello")
    while await waiting(store):
        await asyncio.sleep(0)

    assert expected == seen


async def test_middleware_that_raises_runs_the_error_handlers(make: Make) -> None:
    """The event counts as handled."""
    bot = make()
    errors = []

    class Broken:
        async def receive(self, event: Any, call_next: Any) -> Any:
            raise ValueError

    @bot.on_error
    async def note(event: Any, reply: Any, error: Exception) -> None:
        errors.append(type(error))

    bot.add_middleware(Broken())
    await bot.start()
    await says(bot, "hello")
    await bot.stop()

    assert [ValueError] == errors


async def test_change_is_handled_by_the_handler_of_its_field(make: Make) -> None:
    """Registered with `on_change`."""
    bot = make()
    seen = []

    @bot.on_change("feed")
    async def feed(event: Any, reply: Any) -> None:
        seen.append(event.value["item"])

    await bot.start()
    assert 200 == (await deliver(bot, ITEMS["change"], under="changes")).status
    await bot.stop()

    assert ["comment"] == seen


async def test_change_without_a_handler_is_not_stored(make: Make) -> None:
    """It is answered 200, since errors make Facebook unsubscribe the Page."""
    bot = make()
    store = MemoryStore()
    bot.add_middleware(StoreOwner(store))
    await bot.start()
    assert 200 == (await deliver(bot, ITEMS["change"], under="changes")).status
    assert {} == dict(await store.stats())
    assert 200 == (await says(bot, "hello")).status

    assert [Queue.INBOX] == list(await store.stats())


async def test_echo_does_not_loop(make: Make) -> None:
    """The echo of the bot's own message reaches no handler of messages or of all events."""
    bot = make()
    silent = Silent()
    bot.add_middleware(silent)

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    @bot.on_event()
    async def answer_everything(event: Any, reply: Any) -> None:
        await reply.text("What?")

    await bot.start()
    for name in ("echo", "delivery", "read"):
        assert 200 == (await deliver(bot, ITEMS[name])).status
    await bot.stop()

    assert [] == silent.sent


@pytest.mark.parametrize(("age", "ran"), [(100, [2]), (400, [])])
async def test_event_of_a_dead_process_is_answered_only_while_it_is_recent(age: int, ran: list[int]) -> None:
    """The receive chain sees it in any case, so that it is recorded."""
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    entry = entry_of(message("hello"), clock.now())
    await store.commit(Unit(appends=[entry], lease=Lease(queue=Queue.INBOX, seconds=30)))
    clock.stall(age)
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "v"}, clock=clock)
    log: list[str] = []
    bot.add_middleware(StoreOwner(store))
    bot.add_middleware(Named("a", log))
    attempts: list[int] = []

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        attempts.append(event.attempt)

    await bot.start()
    await clock.advance(1)
    await bot.stop()

    assert ["start a", "receive a", "stop a"] == log
    assert ran == attempts


async def test_handling_names_the_handler_that_ran(make: Make) -> None:
    """Middlewares read it after the handler."""
    bot = make()
    noted = []

    class Notes:
        async def receive(self, event: Any, call_next: Any) -> Any:
            handling = current_handling()
            assert handling is not None
            before = (handling.handler, handling.handled)
            await call_next(event)
            noted.append((before, (handling.handler, handling.handled)))

    bot.add_middleware(Notes())

    @bot.on_message("hello")
    async def greet(event: Any, reply: Any) -> None: ...

    await bot.start()
    await says(bot, "hello")
    await says(bot, "something else", user="ben")
    await bot.stop()

    assert [((None, False), ("greet", True)), ((None, False), (None, False))] == noted
