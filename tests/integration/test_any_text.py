"""
Ids, texts and bodies of any Unicode, from the webhook to the delivery, on each store.

Whatever they are, the webhook is answered 200, each event and record comes to an end, and other people go on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kochava_bot_middleware import KochavaMiddleware, TrackingError
from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.reply import Reply
from kochava_bot_middleware.testing import LocalKochava
from tests.faults.engines import fresh_address

SECRET = "s"
SECONDS = 20.0

_NUMBERS = itertools.count()

ANY_CHARACTER = st.characters(exclude_categories=())
"""Lone surrogates, NUL and controls, marks that combine, directions: all that JSON can escape."""

HARD = [
    "\x00",
    "\ud83d",
    "\udc00\ud83d",
    "\x1a0",
    "\x01\x02\x03",
    "\u202eabc",
    "e\u0301\u0301",
    "\u200f\u200e",
    "a/b:c",
]

texts = st.one_of(st.sampled_from(HARD), st.text(ANY_CHARACTER, min_size=1, max_size=40))


def ascii_start(text: str) -> str:
    """What is shown of a text that may have a megabyte."""
    return ascii(text[:40])


class Strange:
    """
    Several events of one person.

    Args:
        user_id: Whose they are.
        page_id: To whom they were written.
        texts: What is in each event: its message, payload or unknown members.
    """

    def __init__(self, user_id: str, page_id: str, texts: list[str]) -> None:
        self.user_id = user_id
        self.page_id = page_id
        self.texts = texts

    def __repr__(self) -> str:
        return f"Strange({ascii_start(self.user_id)}, {ascii_start(self.page_id)}, {[*map(ascii_start, self.texts)]})"

    def items(self) -> Iterator[dict[str, Any]]:
        for text, kind in zip(self.texts, itertools.cycle(("message", "postback", "unknown"))):
            item = {"sender": {"id": self.user_id}, "recipient": {"id": self.page_id}, "timestamp": 1_767_225_600_123}
            match kind:
                case "message":
                    item["message"] = {"mid": text, "text": text}
                case "postback":
                    item["postback"] = {"mid": text, "payload": text, "title": text, "referral": {"ref": text}}
                case _:
                    item[text] = {text: [text, {"x": text}]}
            yield item


strange = st.tuples(texts, texts, st.lists(texts, min_size=1, max_size=4)).map(lambda drawn: Strange(*drawn))

LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(350_000))
"""A megabyte that can hardly be compressed."""


class RunningBot:
    """A bot with all that is tracked of an event, in an event loop of its own thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._bot: MessengerBot
        self._middleware: KochavaMiddleware
        self._kochava = LocalKochava(app_ids=["koapp"])
        self.handled: list[str] = []

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * SECONDS)

    async def start(self) -> None:
        await self._kochava.__aenter__()
        self._middleware = KochavaMiddleware.from_dict(
            {
                "kochava_app_id": "koapp",
                "store": self._url,
                **self._kochava.settings(),
                "greeting": {**self._kochava.settings().get("greeting", {}), "delivery_wait_seconds": 0.1},
            }
        )
        inbox = {"commit_timeout_seconds": SECONDS}
        values = {"page_access_token": "t", "app_secret": SECRET, "verify_token": "v", "max_body_bytes": 50_000_000}
        self._bot = MessengerBot.from_dict({**values, "inbox": inbox})
        self._bot.add_middleware(self._middleware)
        self._bot.on_message()(self.handle)
        self._bot.on_postback()(self.handle)
        await self._bot.start()

    async def stop(self) -> None:
        await self._bot.stop()
        await self._kochava.__aexit__(None, None, None)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def handle(self, event: Event, _reply: Reply) -> None:
        self.handled.append(str(event.user_id))
        text = str(getattr(event, "text", None) or getattr(event, "payload", ""))
        for call in (
            self._middleware.track("Level Complete", {text: text}, id=text or "none"),
            self._middleware.identify({"customer_id": text or "none"}),
        ):
            try:
                await call
            except TrackingError:
                # What is no id is refused where it enters.
                continue

    async def scenario(self, persons: list[Strange]) -> None:
        """Deliver webhooks of *persons*, with one of somebody else beside and behind them."""
        beside, behind = (f"other{next(_NUMBERS)}" for _ in range(2))
        bodies = [[*person.items()] for person in persons]
        bodies[0] += Strange(beside, "1001", [f"m{next(_NUMBERS)}"]).items()
        statuses = await asyncio.gather(*map(self._deliver, bodies))
        assert {200} == set(statuses)
        assert 200 == await self._deliver([*Strange(behind, "1001", [f"m{next(_NUMBERS)}"]).items()])
        async with asyncio.timeout(SECONDS):
            while not {beside, behind} <= {record.user_id() for record in self._kochava.events}:
                await asyncio.sleep(0.01)
            while await self._waiting():
                await asyncio.sleep(0.01)
        assert 0 == self._bot.counts.at_risk
        assert {beside, behind} <= set(self.handled)

    async def _waiting(self) -> int:
        stats = await self._middleware.provide_store().stats()
        return sum(each.waiting + each.in_flight for queue, each in stats.items() if queue != "timer")

    async def _deliver(self, items: list[dict[str, Any]]) -> int:
        body = json.dumps({"object": "page", "entry": [{"id": "1001", "messaging": items}]}).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return (await self._bot.receive(body, {"X-Hub-Signature-256": signature})).status


@pytest.fixture(params=["memory", "sqlite", "valkey", "postgres"])
def bot(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningBot]:
    url = "memory://" if request.param == "memory" else asyncio.run(fresh_address(request.param, tmp_path))
    running = RunningBot(url)
    try:
        running.run(running.start())
        yield running
        running.run(running.stop())
    finally:
        running.close()


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(persons=st.lists(strange, min_size=1, max_size=3))
@example(persons=[Strange("a\x00b", "1001", ["1", "2", "3", "4"])])
@example(persons=[Strange("\ud83d", "\udc00", ["\ud83d"] * 3)])
@example(persons=[Strange(LONG, "1001", ["1", "2", "3", "4"])])
@example(persons=[Strange("5", LONG, [LONG, LONG, LONG])])
def test_other_people_go_on_whatever_an_id_or_text_is(bot: RunningBot, persons: list[Strange]) -> None:
    """Several events of one person at once, and somebody else in the same webhook and in the next."""
    bot.run(bot.scenario(persons))
