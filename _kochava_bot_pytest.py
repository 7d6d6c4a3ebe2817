"""
The pytest plugin of kochava-bot-middleware: fixtures for tests of a bot.

It is a module of its own, so that pytest does not import the package when it starts; a fixture does when it is used.
"""
# ruff: noqa: PLC0415, S106 - imports are for when a fixture is used; the secrets are those of a local server

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kochava_bot_middleware.testing import LocalKochava, LocalMessenger, VirtualClock


def _async_fixture(function: Callable[..., Any]) -> Any:
    """A fixture of pytest-asyncio, or one that fails and says that it needs that."""
    if importlib.util.find_spec("pytest_asyncio") is not None:
        import pytest_asyncio

        return pytest_asyncio.fixture(function)

    def unavailable() -> None:
        msg = f"the fixture {function.__name__!r} needs pytest-asyncio: pip install pytest-asyncio"
        raise pytest.UsageError(msg)

    return pytest.fixture(name=function.__name__)(unavailable)


@_async_fixture
async def local_messenger() -> AsyncIterator[LocalMessenger]:
    """A running `LocalMessenger` with one Page; its `settings` are those of a bot."""
    from kochava_bot_middleware.testing import LocalMessenger

    async with LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"}) as server:
        yield server


@_async_fixture
async def local_kochava() -> AsyncIterator[LocalKochava]:
    """A running `LocalKochava` with the app ``kotest`` and the SmartLink ``/link``."""
    from kochava_bot_middleware.testing import LocalKochava

    async with LocalKochava(app_ids=["kotest"], smartlinks={"/link": "{url}"}) as server:
        yield server


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A `VirtualClock`."""
    from kochava_bot_middleware.testing import VirtualClock

    return VirtualClock()
