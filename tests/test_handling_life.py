"""An event that was handled is let go of at once: a bot that runs for months must not keep what it has seen."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.handling import Handling, current_handling
from kochava_bot_middleware.store.memory import MemoryStore
from tests.bot_fakes import make_bot, says


async def test_handled_event_is_freed_without_a_garbage_collection() -> None:
    """Nothing keeps a handling once it is settled, not even a circle that only the garbage collector could open."""
    bot = make_bot()
    bot.add_middleware(KochavaMiddleware.from_dict({"kochava_app_id": "kobotdemo1234"}, store=MemoryStore()))
    seen: list[weakref.ref[Handling]] = []

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        handling = current_handling()
        assert handling is not None
        seen.append(weakref.ref(handling))

    gc.disable()
    try:
        await bot.start()
        await says(bot, "hello")
        await bot.stop()
        assert [None] == [handling() for handling in seen]
    finally:
        gc.enable()
