"""Commands that run until they are done, or until a signal ends them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..command import ENDED_BY_SIGNAL, GOOD, SOMETHING_WRONG

T = TypeVar("T")


class SignalReceived(Exception):
    """A signal ended the work, which has cleaned up."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.strsignal(number))


def run_until_signalled(work: Coroutine[Any, Any, bool | None]) -> int:
    """The exit status of *work*, which is false if something was wrong. Signals end it only after it has cleaned up."""
    try:
        is_good = asyncio.run(_until_signalled(work))
    except SignalReceived as exc:
        return ENDED_BY_SIGNAL + exc.number
    return SOMETHING_WRONG if is_good is False else GOOD


async def _until_signalled(work: Coroutine[Any, Any, T]) -> T:
    """
    The result of *work*, which the first signal cancels; further ones do not disturb it while it cleans up.

    Raises:
        SignalReceived: It was cancelled, and has cleaned up.
    """
    task = asyncio.create_task(work)
    received: list[int] = []

    def end(number: int) -> None:
        if not received:
            received.append(number)
            task.cancel()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            # `nohup` has it ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return await task
    except (Exception, asyncio.CancelledError):
        # The signal may have reached the bot, too, so that the work failed first.
        if received:
            raise SignalReceived(received[0]) from None
        raise
