"""What the package offers to tests of a bot: its names, the assertion, the builder of webhooks, and the fixtures."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware import MessengerBot, testing
from kochava_bot_middleware.testing import LocalKochava, LocalMessenger, assert_event, signed_webhook
from tests.docs_pages import DOCS

pytest_plugins = ["pytester"]


def test_there_are_at_most_a_dozen_names() -> None:
    """More would be hard to learn."""
    assert len(testing.__all__) <= 12


@pytest.mark.parametrize("name", testing.__all__)
def test_name_is_documented(name: str) -> None:
    """Docs/testing.md says what it is."""
    assert name in (DOCS / "testing.md").read_text(encoding="utf-8")


@pytest.fixture
async def kochava() -> AsyncIterator[LocalKochava]:
    async with LocalKochava(app_ids=["kotest"]) as server:
        yield server


async def send(kochava: LocalKochava, name: str, data: dict[str, Any], user_id: str = "7") -> None:
    body = {
        "action": "event",
        "kochava_app_id": "kotest",
        "data": {"device_ids": {"fb_user_id": user_id}, "event_name": name, "event_data": data},
    }
    headers = {"Content-Type": "application/json", "User-Agent": "Unknown"}
    async with aiohttp.ClientSession() as session:
        await session.post(f"{kochava.url}/track/json", data=json.dumps(body), headers=headers)


async def test_an_event_that_was_received_is_returned(kochava: LocalKochava) -> None:
    """It may have more data than asked for."""
    await send(kochava, "Purchase", {"sum": 100, "currency": "USD"})
    record = await assert_event(kochava, "Purchase", {"sum": 100}, user_id="7")
    assert {"sum": 100, "currency": "USD"} == record.event_data


async def test_an_event_is_waited_for(kochava: LocalKochava) -> None:
    """Other records may be received before it."""
    waiting = asyncio.create_task(assert_event(kochava, "Purchase"))
    await send(kochava, "View", {})
    assert not waiting.done()
    await send(kochava, "Purchase", {})
    assert "Purchase" == (await waiting).name


async def test_the_message_shows_how_each_event_differs(kochava: LocalKochava) -> None:
    """By name, user and data; also what was rejected."""
    await send(kochava, "Purchase", {"sum": 90})
    await send(kochava, "View", {"sum": 100, "id": "a"}, user_id="8")
    await send(kochava, "", {})
    with pytest.raises(AssertionError) as caught:
        await assert_event(kochava, "Purchase", {"sum": 100, "id": "a"}, user_id="7", within_seconds=0.01)
    assert str(caught.value).splitlines() == [
        "no event 'Purchase' of user '7' with {'sum': 100, 'id': 'a'} was received within 0.01 s; received were:",
        "  'Purchase': 'sum' is 90, 'id' is missing",
        "  'View': the name is 'View', the user is '8'",
        "  rejected: POST /track/json: data.event_name must be a string that is not empty",
    ]


async def test_the_message_says_that_nothing_was_received(kochava: LocalKochava) -> None:
    """The usual case of a bot without the middleware."""
    with pytest.raises(
        AssertionError, match=r"no event 'Purchase' was received within 0\.01 s; received were:\n  no events$"
    ):
        await assert_event(kochava, "Purchase", within_seconds=0.01)


async def test_a_built_webhook_is_accepted_by_a_bot() -> None:
    """Text, postback and any other item, in one body."""
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "secret", "verify_token": "v"})
    kinds: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    @bot.on_event("optin", "message", "postback")
    async def note(event: Any, _reply: Any) -> None:
        await kinds.put((event.kind.value, event.user_id))

    await bot.start()
    body, headers = signed_webhook("secret", {"optin": {"ref": "box"}}, text="hi", postback="BUY", user_id="7")
    assert 200 == (await bot.receive(body, headers)).status
    async with asyncio.timeout(5):
        assert [("optin", "7"), ("message", "7"), ("postback", "7")] == [await kinds.get() for _ in range(3)]
    await bot.stop()


async def test_a_webhook_of_another_secret_is_refused() -> None:
    """The signature is checked."""
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "secret", "verify_token": "v"})
    assert 403 == (await bot.receive(*signed_webhook("other", text="hi"))).status


def test_two_built_webhooks_are_two_messages() -> None:
    """Each has a new message id."""
    assert signed_webhook("secret", text="hi")[0] != signed_webhook("secret", text="hi")[0]


async def test_the_settings_of_a_local_messenger_make_a_bot() -> None:
    """Its first Page's."""
    async with LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"}) as messenger:
        settings = MessengerBot.from_dict(messenger.settings()).settings
        assert messenger.url == settings.graph_url


FIXTURE_TESTS = """
from kochava_bot_middleware.testing import LocalKochava, LocalMessenger, VirtualClock

async def test_servers(local_messenger, local_kochava):
    assert isinstance(local_messenger, LocalMessenger)
    assert isinstance(local_kochava, LocalKochava)
    assert local_messenger.is_up
    assert local_kochava.is_up

async def test_clock(virtual_clock):
    assert isinstance(virtual_clock, VirtualClock)
    await virtual_clock.advance(1)
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_fixtures_are_there_without_an_import(pytester: pytest.Pytester, mode: str) -> None:
    """In both modes of pytest-asyncio."""
    marked = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    pytester.makepyfile(marked + FIXTURE_TESTS)
    options = ("-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=function")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=2)


WITHOUT_PYTEST_ASYNCIO = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "pytest_asyncio" else found(name, *more)
import _kochava_bot_pytest
"""


def test_a_fixture_says_that_it_needs_pytest_asyncio(pytester: pytest.Pytester) -> None:
    """Without it, the clock's fixture works and a server's does not."""
    pytester.makepyfile(
        without="import sys\nsys.modules.pop('_kochava_bot_pytest', None)\n" + WITHOUT_PYTEST_ASYNCIO,
        test_it="def test_server(local_kochava): pass\ndef test_clock(virtual_clock): virtual_clock.jump(1)\n",
    )
    pytester.makeini("[pytest]\npythonpath = .")
    result = pytester.runpytest_subprocess(
        "-p", "no:asyncio", "-p", "no:kochava_bot", "-p", "without", "-p", "_kochava_bot_pytest"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the fixture 'local_kochava' needs pytest-asyncio: pip install pytest-asyncio"])


def test_the_plugin_does_not_import_the_package(tmp_path: Path) -> None:
    """Pytest starts as fast as before, and coverage sees every line of the package."""
    code = "import sys, _kochava_bot_pytest; print('kochava_bot_middleware' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "False\n" == done.stdout
