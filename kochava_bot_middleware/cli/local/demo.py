"""``kochava-bot demo``: an example bot against local servers, on this machine only."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ...sandbox.demo import DemoSettings, run_demo
from ...sandbox.demo_page import serve_demo
from ...sandbox.kochava.server import LocalKochava
from ...sandbox.local_server import PortTaken
from ...sandbox.processes import ProcessFailed
from ...sandbox.scenario import ScenarioFailed
from ..command import NOT_RUN, SOMETHING_WRONG, number_from
from .page import OpenPage, add_page_arguments, announce, opener
from .signals import run_until_signalled

MOST_PEOPLE = 1000
"""All users, both servers and the bot share this machine."""

MOST_SECONDS = 3600
MOST_KILLS = 100
MOST_SEED = 2**32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    default = DemoSettings()
    add_page_arguments(parser)
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
        return in_browser(arguments.port, open_page=opener(arguments))
    settings = DemoSettings(
        people=arguments.people, seconds=arguments.seconds, seed=arguments.seed, kills=arguments.kill
    )
    return headless(settings)


def in_browser(port: int, *, open_page: OpenPage | None) -> int:
    """Serve the page until a signal; returns the exit status."""
    try:
        return _run(serve_demo(port=port, announce=lambda url: announce("demo", url, open_page)))
    except PortTaken as exc:
        print(f"kochava-bot demo: {exc}: kochava-bot demo --port {exc.free_port}", file=sys.stderr)
        return NOT_RUN


def headless(settings: DemoSettings, *, new_kochava: Callable[..., LocalKochava] = LocalKochava) -> int:
    """Run the demo in this terminal; returns the exit status."""
    return _run(run_demo(settings, functools.partial(print, flush=True), new_kochava=new_kochava))


def _run(demo: Coroutine[Any, Any, bool | None]) -> int:
    """Run it; returns the exit status."""
    try:
        return run_until_signalled(demo)
    except (ProcessFailed, ScenarioFailed) as exc:
        print(f"kochava-bot demo: {exc}", file=sys.stderr)
        return SOMETHING_WRONG
