"""The cause of sends: the event that is being handled. User and Page always come from the send itself."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.handling import current_handling, detached
from tests.bot_fakes import make_bot, says

Seen = tuple[str | None, str | None, str | None]


class NotesSends:
    """A send middleware that notes recipient, Page and cause of each message."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    async def send(self, outgoing: Any, call_next: Any) -> Any:
        handling = current_handling()
        cause: Any = None if handling is None else handling.event
        text = outgoing.body["message"]["text"]
        assert text not in self.seen
        self.seen[text] = (outgoing.recipient.user_id, outgoing.page_id, None if cause is None else cause.text)
        return {"recipient_id": "1", "message_id": "m"}


@pytest.fixture
def sends() -> NotesSends:
    return NotesSends()


@pytest.fixture
async def bot(sends: NotesSends) -> AsyncIterator[MessengerBot]:
    bot = make_bot(
        page_access_token=None, pages={"1001": {"page_access_token": "t"}, "1002": {"page_access_token": "t"}}
    )
    bot.add_middleware(sends)
    await bot.start()
    yield bot
    await bot.stop()


async def test_sends_of_a_handler_have_their_cause(bot: MessengerBot, sends: NotesSends) -> None:
    """Also those that it gathers, and those of tasks that end before it."""

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        await reply.text("own")
        await asyncio.gather(reply.text("gathered 1"), reply.text("gathered 2"))
        await asyncio.create_task(reply.text("task"))

    await says(bot, "hello")
    await bot.stop()

    assert dict.fromkeys(["own", "gathered 1", "gathered 2", "task"], ("ann", "1001", "hello")) == sends.seen


async def test_send_to_another_person_is_about_that_person(bot: MessengerBot, sends: NotesSends) -> None:
    """A handler for one user messages another, in another Page's name: only the cause is shared."""

    @bot.on_message()
    async def forward(event: Any, reply: Any) -> None:
        await bot.page("1002").send_text_message("ben", "forwarded")

    await says(bot, "hello")
    await bot.stop()

    assert {"forwarded": ("ben", "1002", "hello")} == sends.seen


async def test_send_of_a_task_that_outlives_its_handler_has_no_cause(bot: MessengerBot, sends: NotesSends) -> None:
    """User and Page are still known."""
    ended = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    @bot.on_message("hello")
    async def start(event: Any, reply: Any) -> None:
        async def later() -> None:
            await ended.wait()
            await reply.text("later")

        tasks.append(asyncio.create_task(later()))

    await says(bot, "hello")
    await bot.stop()
    ended.set()
    await asyncio.gather(*tasks)

    assert {"later": ("ann", "1001", None)} == sends.seen


async def test_task_that_was_started_detached_has_no_cause(bot: MessengerBot, sends: NotesSends) -> None:
    """Although it sends while an event is handled."""

    @bot.on_message()
    async def start(event: Any, reply: Any) -> None:
        with detached():
            task = asyncio.create_task(bot.page("1001").send_text_message("ben", "scheduled"))
        await task
        await reply.text("own")

    await says(bot, "hello")
    await bot.stop()

    assert {"scheduled": ("ben", "1001", None), "own": ("ann", "1001", "hello")} == sends.seen


async def test_sends_of_executor_threads_have_their_cause(bot: MessengerBot, sends: NotesSends) -> None:
    """When they send through the loop of the handler, with its context."""

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()

        def send(text: str) -> None:
            cause = current_handling()
            assert cause is not None
            asyncio.run_coroutine_threadsafe(reply.text(f"{text} about {cause.event.user_id}"), loop).result(5)

        await asyncio.to_thread(send, "to_thread")
        await loop.run_in_executor(None, context.run, send, "executor")

    await says(bot, "hello")
    await bot.stop()

    assert {"to_thread about ann", "executor about ann"} == set(sends.seen)


async def test_send_outside_of_handling_has_no_cause(bot: MessengerBot, sends: NotesSends) -> None:
    """Such as a proactive message."""
    await bot.page("1001").send_text_message("ann", "proactive")

    assert {"proactive": ("ann", "1001", None)} == sends.seen


async def test_concurrent_events_do_not_mix(bot: MessengerBot, sends: NotesSends) -> None:
    """Each send has its own cause."""
    both = asyncio.Barrier(2)

    @bot.on_message()
    async def answer(event: Any, reply: Any) -> None:
        await both.wait()
        await reply.text(f"to {event.user_id}")

    await asyncio.gather(says(bot, "from ann", user="ann"), says(bot, "from ben", user="ben"))
    await bot.stop()

    assert {"to ann": ("ann", "1001", "from ann"), "to ben": ("ben", "1001", "from ben")} == sends.seen
