"""``kochava-bot demo``: an example bot against local servers, on this machine only."""

from __future__ import annotations

import argparse
import asyncio
import functools
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..sandbox.demo import DemoSettings, run_demo
from ..sandbox.demo_page import serve_demo
from ..sandbox.kochava.server import LocalKochava
from ..sandbox.local_server import PortTaken
from ..sandbox.processes import ProcessFailed
from ..sandbox.scenario import ScenarioFailed
from .command import ENDED_BY_SIGNAL, GOOD, NOT_RUN, SOMETHING_WRONG, number_from

MOST_PEOPLE = 1000
"""All users, both servers and the bot share this machine."""

MOST_SECONDS = 3600
MOST_KILLS = 100
MOST_SEED = 2**32

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    default = DemoSettings()
    parser.add_argument("--port", type=number_from(int, 0, 65535), default=0, help="of the page; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, and do not open it")
    parser.add_argument("--headless", action="store_true", help="no page: a scripted conversation in this terminal")
    parser.add_argument(
        "--people",
        type=number_from(int, 1, MOST_PEOPLE),
        default=default.people,
        metavar="N",
        help="headless: users who chat at once (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=number_from(float, 0, MOST_SECONDS, exclusive=True),
        default=default.seconds,
        metavar="S",
        help="headless: how long they chat, twice (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=number_from(int, 0, MOST_SEED),
        default=default.seed,
        metavar="N",
        help="headless: seed of the random numbers (%(default)s)",
    )
    parser.add_argument(
        "--kill",
        type=number_from(int, 0, MOST_KILLS),
        default=default.kills,
        metavar="N",
        help="headless: kill the bot N times during the first chat",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; headless, the status is 1 if a record is missing, sent twice or out of order."""
    if not arguments.headless:
        return in_browser(arguments.port, open_page=None if arguments.no_browser else webbrowser.open)
    settings = DemoSettings(
        people=arguments.people, seconds=arguments.seconds, seed=arguments.seed, kills=arguments.kill
    )
    return headless(settings)


def in_browser(port: int, *, open_page: Callable[[str], object] | None) -> int:
    """Serve the page until a signal; *open_page* opens its address. Returns the exit status."""

    def announce(url: str) -> None:
        print(f"The demo is at {url} (Ctrl-C ends it). Nothing leaves this machine.", flush=True)
        if open_page is not None:
            # It may wait for the browser to end.
            threading.Thread(target=open_page, args=(url,), daemon=True).start()

    try:
        return _run(serve_demo(port=port, announce=announce))
    except PortTaken as exc:
        print(f"kochava-bot demo: {exc}: kochava-bot demo --port {exc.free_port}", file=sys.stderr)
        return NOT_RUN


def headless(settings: DemoSettings, *, new_kochava: Callable[..., LocalKochava] = LocalKochava) -> int:
    """Run the demo in this terminal; returns the exit status."""
    return _run(run_demo(settings, functools.partial(print, flush=True), new_kochava=new_kochava))


def _run(demo: Coroutine[Any, Any, bool | None]) -> int:
    """The exit status of *demo*, which is false if something was wrong. Signals end it only after it has cleaned up."""
    try:
        is_good = asyncio.run(_until_signalled(demo))
    except SignalReceived as exc:
        return ENDED_BY_SIGNAL + exc.number
    except (ProcessFailed, ScenarioFailed) as exc:
        print(f"kochava-bot demo: {exc}", file=sys.stderr)
        return SOMETHING_WRONG
    return SOMETHING_WRONG if is_good is False else GOOD


class SignalReceived(Exception):
    """The demo was ended by a signal; its processes have ended, and its folder is removed."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.strsignal(number))


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
