"""
pymessenger: what a `Bot` sends passes the middleware.

Example:
    ```python
    bot = instrument(Bot(PAGE_ACCESS_TOKEN), kochava)
    bot.send_button_message(user_id, "Welcome!", buttons)
    ```

Its links become SmartLinks, and a greeting is watched. In asyncio, `AsyncBot` has the same methods and waits for
Facebook without blocking the event loop.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from ..exceptions import RegistrationError
from ..middleware import KochavaMiddleware
from ..sync import SyncKochava
from .senders import BlockingSender

Bot = TypeVar("Bot")


def instrument(bot: Bot, kochava: KochavaMiddleware | SyncKochava) -> Bot:
    """
    Let what *bot* sends to people pass the middleware: all of its methods that end in ``send_raw``. To
    instrument it again changes nothing.

    Args:
        bot: A `Bot` of pymessenger, of one of the packages made from it, or of a subclass.

    Returns:
        The bot itself.

    Raises:
        RegistrationError: *bot* is no such bot, or *kochava* is no middleware.
    """
    send_raw: Any = getattr(bot, "send_raw", None)
    if isinstance(bot, type) or not callable(send_raw):
        msg = f"wanted a Bot of pymessenger, which has a method `send_raw`, got {bot!r:.100}"
        raise RegistrationError(msg)
    if inspect.iscoroutinefunction(send_raw):
        msg = f"{type(bot).__name__} is asynchronous: write `bot.add_middleware(kochava)`"
        raise RegistrationError(msg)
    sender = BlockingSender(kochava)
    if getattr(send_raw, "kochava", None) is kochava:
        return bot

    def send(payload: Any, *arguments: Any, **options: Any) -> Any:
        return sender.send_body(payload, lambda body: send_raw(body, *arguments, **options))

    send.kochava = kochava  # type: ignore[attr-defined]
    bot.send_raw = send  # type: ignore[attr-defined]
    return bot
