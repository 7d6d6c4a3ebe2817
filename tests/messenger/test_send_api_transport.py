"""Credentials, sessions and pace."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import aiohttp
import attrs
import pymessenger
import pytest
from pymessenger.bot import Bot

from kochava_bot_middleware.messenger.graph.pace import UsagePace
from kochava_bot_middleware.messenger.send_api import AsyncBot
from kochava_bot_middleware.settings import Secret
from tests.messenger.local_graph import SECRET, TOKEN, Answer, LocalGraph, StillClock


async def test_token_is_only_in_the_header(graph: LocalGraph) -> None:
    """Not in path, query or body."""
    await graph.bot().send_text_message("77", "hi")

    (request,) = graph.seen
    assert f"Bearer {TOKEN}" == request.headers["Authorization"]
    assert TOKEN not in f"{request.path}{request.query}{request.content!r}"


@pytest.mark.parametrize("secret", [SECRET, Secret(SECRET)])
async def test_proof_is_the_hash_of_the_token(graph: LocalGraph, secret: str | Secret) -> None:
    """With an app secret each call has the HMAC-SHA256 of the token in its query."""
    bot = graph.bot(app_secret=secret)

    await bot.send_text_message("77", "hi")
    await bot.get_user_info("77")

    proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert [{"appsecret_proof": proof}] * 2 == [request.query for request in graph.seen]


async def test_new_token_is_used_at_once(graph: LocalGraph) -> None:
    """The token and its proof are not cached."""
    bot = graph.bot(app_secret=SECRET)
    bot.access_token = "EAAnew"

    await bot.send_text_message("77", "hi")

    assert "Bearer EAAnew" == graph.seen[0].headers["Authorization"]
    assert hmac.new(b"app-secret", b"EAAnew", hashlib.sha256).hexdigest() == graph.seen[0].query["appsecret_proof"]


def test_repr_shows_no_secret() -> None:
    """A bot can be printed."""
    shown = repr(AsyncBot(TOKEN, SECRET, page_id="P1"))

    assert "P1" in shown
    assert TOKEN not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("token", ["", "two words", "line\n"])
def test_invalid_token_is_refused_without_showing_it(token: str) -> None:
    """White space would break the header."""
    with pytest.raises(ValueError, match="contains white space") as caught:
        AsyncBot(token)
    assert token == "" or token not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "credentials"),
    [("access_token", (None, None)), ("access_token", (b"word", None)), ("app_secret", ("t", 5))],
)
def test_credential_that_is_not_text_is_refused_by_its_name(name: str, credentials: tuple[Any, Any]) -> None:
    """Such as the ``None`` of an environment variable that is not set."""
    with pytest.raises(TypeError, match=f"^{name} must be text, got (NoneType|bytes|int)$"):
        AsyncBot(*credentials)


@pytest.mark.parametrize("version", ["26.0", "v26.0", 26.0, 26])
def test_version_is_accepted_in_any_form(version: str | float) -> None:
    """pymessenger's own default is a number."""
    assert "https://graph.facebook.com/v26.0" == AsyncBot(TOKEN, None, version).graph_url


@pytest.mark.parametrize("version", ["latest", "", "v26.0/me", "26."])
def test_invalid_version_is_refused(version: str) -> None:
    """It would be part of every address."""
    with pytest.raises(ValueError, match=r"api_version must be a version such as v26\.0, got"):
        AsyncBot(TOKEN, None, version)


def test_graph_url_must_be_an_address() -> None:
    """A host alone is refused."""
    with pytest.raises(ValueError, match="graph_url"):
        AsyncBot(TOKEN, graph_url="graph.facebook.com")


def test_bot_is_a_pymessenger_bot() -> None:
    """It has the class and the attributes."""
    bot = AsyncBot(TOKEN, SECRET)
    original = Bot(TOKEN, app_secret=SECRET, api_version="26.0")

    assert isinstance(bot, pymessenger.Bot)
    assert (original.auth_args, original.graph_url) == (bot.auth_args, bot.graph_url)


@pytest.mark.parametrize(
    "name", sorted(name for name, _ in inspect.getmembers(Bot, inspect.isfunction) if name.startswith("send"))
)
def test_parameters_are_those_of_pymessenger(name: str) -> None:
    """Calls by position and by name work as in pymessenger."""
    theirs = list(inspect.signature(getattr(Bot, name)).parameters)
    ours = list(inspect.signature(getattr(AsyncBot, name)).parameters)

    assert theirs == ours[: len(theirs)]


async def test_all_sends_share_one_connection(graph: LocalGraph) -> None:
    """There is one session for one loop."""
    bot = graph.bot()

    for _ in range(3):
        await bot.send_text_message("77", "hi")

    assert 1 == len({request.peer for request in graph.seen})


async def test_given_session_stays_open(graph: LocalGraph) -> None:
    """Its owner closes it."""
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with AsyncBot(TOKEN, graph_url=graph.url, session=session) as bot:
            await bot.send_text_message("77", "hi")

        assert not session.closed
    assert "1" == graph.seen[0].headers["X-Mine"]


@contextmanager
def graph_in_a_thread() -> Iterator[LocalGraph]:
    """A local Graph API that does not need the loop of the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    graph = asyncio.run_coroutine_threadsafe(LocalGraph.start(), loop).result(10)
    try:
        yield graph
    finally:
        asyncio.run_coroutine_threadsafe(graph.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_bot_can_be_used_in_several_loops() -> None:
    """Each asyncio.run has its own session, and the sessions of closed loops are closed."""
    with graph_in_a_thread() as graph:
        bot = AsyncBot(TOKEN, graph_url=graph.url)
        # Sockets that are open when their loop is closed would be reported by the interpreter.
        graph.answers.extend(Answer({"message_id": "m_1"}, headers={"Connection": "close"}) for _ in range(3))

        answers = [asyncio.run(bot.send_text_message("77", "hi")) for _ in range(3)]
        asyncio.run(bot.close())

    assert ["m_1"] * 3 == [answer["message_id"] for answer in answers]


async def test_close_closes_sessions_of_other_loops(graph: LocalGraph) -> None:
    """Each in its own loop."""
    bot = graph.bot()
    sent = asyncio.Event()
    here = asyncio.get_running_loop()
    endings: list[Callable[[], Any]] = []

    async def live_elsewhere() -> None:
        await bot.send_text_message("77", "hi")
        ending = asyncio.Event()
        endings.append(partial(asyncio.get_running_loop().call_soon_threadsafe, ending.set))
        here.call_soon_threadsafe(sent.set)
        await ending.wait()

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, live_elsewhere()))
    await asyncio.wait_for(sent.wait(), 10)
    await bot.close()
    endings[0]()
    await thread

    assert 1 == len(graph.seen)


async def test_body_may_contain_records_and_mappings(graph: LocalGraph) -> None:
    """attrs instances, tuples and read-only mappings become JSON."""

    @attrs.frozen
    class Button:
        type: str
        url: str

    element = pymessenger.Element(title="Shoes", buttons=[pymessenger.Button(type="postback")])
    message = MappingProxyType({"buttons": (Button("web_url", "https://a.example"),), "element": element})
    await graph.bot().send_message("77", message)

    expected = {
        "buttons": [{"type": "web_url", "url": "https://a.example"}],
        "element": {"title": "Shoes", "buttons": [{"type": "postback"}]},
    }
    assert expected == graph.seen[0].body["message"]


async def test_body_that_is_not_json_is_refused(graph: LocalGraph) -> None:
    """The type is named, and nothing is sent."""
    with pytest.raises(TypeError, match="cannot contain a set"):
        await graph.bot().send_message("77", {"text": {1}})
    assert [] == graph.seen


def _usage(percent: float) -> Mapping[str, str]:
    return {"x-app-usage": json.dumps({"call_count": percent, "total_time": 1, "total_cputime": 1})}


@pytest.mark.parametrize(("percent", "space"), [(0, 0.0), (80, 0.0), (90, 0.5), (100, 1.0), (250, 1.0)])
def test_interval_grows_above_eighty_per_cent(percent: float, space: float) -> None:
    """Up to 80 % there is none, at 100 % and above it is a second."""
    pace = UsagePace(StillClock())

    pace.observe(_usage(percent))

    assert space == pytest.approx(pace.interval_seconds)


def test_highest_figure_of_a_business_usage_counts() -> None:
    """Of all figures of all use cases."""
    pace = UsagePace(StillClock())
    usage = {"1": [{"type": "pages", "call_count": 3}, {"type": "messenger", "total_cputime": 95}]}

    pace.observe({"x-business-use-case-usage": json.dumps(usage)})

    assert 0.75 == pytest.approx(pace.interval_seconds)


def test_old_usage_expires() -> None:
    """After five minutes calls are made at once."""
    clock = StillClock()
    pace = UsagePace(clock)
    pace.observe(_usage(100))
    clock.time += 301

    assert 0.0 == pace.interval_seconds


@pytest.mark.parametrize("header", ["", "x", "[]", "7", '{"1": 2}', '{"1": [3]}', '{"call_count": "many"}'])
def test_malformed_usage_header_is_ignored(header: str) -> None:
    """Usage headers are optional."""
    pace = UsagePace(StillClock())

    assert pace.observe({"x-app-usage": header, "x-business-use-case-usage": header}) is None
    assert 0.0 == pace.interval_seconds


async def test_calls_are_spaced_near_the_limit(graph: LocalGraph) -> None:
    """At 90 % the second and later calls wait half a second each."""
    clock = StillClock()
    bot = graph.bot(clock=clock)
    graph.answers.extend(Answer({"message_id": "m"}, headers=_usage(90)) for _ in range(4))

    for _ in range(4):
        await bot.send_text_message("77", "hi")

    assert [0.5, 0.5] == clock.sleeps


async def test_no_call_waits_longer_than_ten_seconds() -> None:
    """However many calls are waiting."""

    class PatientClock(StillClock):
        async def sleep(self, seconds: float) -> None:
            self.sleeps.append(seconds)

    clock = PatientClock()
    pace = UsagePace(clock)
    pace.observe(_usage(100))

    for _ in range(30):
        await pace.wait()

    assert 10.0 == max(clock.sleeps)
