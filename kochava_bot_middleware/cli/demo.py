"""``kochava-bot demo``: an example bot against local servers, on this machine only."""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Callable

from ..sandbox.demo import DemoSettings, run_demo
from ..sandbox.kochava.server import LocalKochava
from ..sandbox.processes import ProcessFailed
from ..sandbox.scenario import ScenarioFailed
from .command import GOOD, NOT_RUN, SOMETHING_WRONG, Parsers, add_command, number_from


def add_demo(parsers: Parsers) -> None:
    """Add the command."""
    default = DemoSettings()
    summary = "Run an example bot against a local Messenger and a local Kochava, and check that nothing is lost."
    parser = add_command(parsers, "demo", run, summary)
    parser.add_argument("--headless", action="store_true", help="print to this terminal")
    parser.add_argument(
        "--people",
        type=number_from(int, 0),
        default=default.people,
        metavar="N",
        help="users who chat at once (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=number_from(float, 0),
        default=default.seconds,
        metavar="S",
        help="how long they chat, twice (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=default.seed, metavar="N", help="seed of the random numbers (%(default)s)"
    )
    parser.add_argument(
        "--kill",
        type=number_from(int, 0),
        default=default.kills,
        metavar="N",
        help="kill the bot N times during the first chat",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; the status is 1 if a record is missing, sent twice or out of order."""
    if not arguments.headless:
        print("kochava-bot demo: only `kochava-bot demo --headless` is available so far", file=sys.stderr)
        return NOT_RUN
    settings = DemoSettings(
        people=arguments.people, seconds=arguments.seconds, seed=arguments.seed, kills=arguments.kill
    )
    return headless(settings)


def headless(settings: DemoSettings, *, new_kochava: Callable[..., LocalKochava] = LocalKochava) -> int:
    """Run the demo in this terminal; returns the exit status."""
    write = functools.partial(print, flush=True)
    try:
        is_good = asyncio.run(run_demo(settings, write, new_kochava=new_kochava))
    except (ProcessFailed, ScenarioFailed) as exc:
        print(f"kochava-bot demo: {exc}", file=sys.stderr)
        return SOMETHING_WRONG
    return GOOD if is_good else SOMETHING_WRONG
