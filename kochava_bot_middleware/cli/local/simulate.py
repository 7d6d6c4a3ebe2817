"""``kochava-bot simulate``: conversations with a bot of one's own, and a summary."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...exceptions import KochavaBotError
from ...sandbox.local_server import PortTaken
from ...sandbox.messenger.webhooks import MessengerOptions
from ...sandbox.own_bot import OwnBot, own_bot_servers, subscription_problem
from ...sandbox.script import MOST_PEOPLE, ConversationScript, read_script
from ...sandbox.simulation import Simulation, SimulationResult
from ..command import GOOD, NOT_RUN, SOMETHING_WRONG, number_from
from ..output import NOTHING, one_line, print_table, progress
from .own_bot import add_own_bot_arguments, own_bot_of, port_taken, print_settings, print_subscription

RETRY_WAITS = (0.2, 1.0)
"""Seconds before each further delivery of a webhook that was not answered 200: few, so that a broken bot shows."""

MOST_RATE = 10_000
MOST_SECONDS = 24 * 3600
MOST_ROWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--script", metavar="FILE", help="YAML: the steps of a conversation (docs/sandbox.md)")
    what.add_argument(
        "--people", type=number_from(int, 1, MOST_PEOPLE), metavar="N", help="so many try what the bot offers"
    )
    parser.add_argument(
        "--rate",
        type=number_from(float, 0, MOST_RATE, exclusive=True),
        default=10.0,
        metavar="R",
        help="with --people: actions a second of all together (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=number_from(float, 0, MOST_SECONDS, exclusive=True),
        default=10.0,
        metavar="S",
        help="with --people: for how long (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=number_from(int, 0, 2**32), default=1, metavar="N", help="of the random choices (%(default)s)"
    )
    add_own_bot_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate; the status is 1 if a webhook was not answered, a call refused or a conversation not completed."""
    script = None if arguments.script is None else _read(arguments.script)
    bot = own_bot_of(arguments)
    try:
        result = asyncio.run(_simulate(bot, script, arguments))
    except PortTaken as exc:
        return port_taken("simulate", bot, exc)
    if result is None:
        return NOT_RUN
    _print(result)
    return GOOD if result.is_good else SOMETHING_WRONG


def _read(name: str) -> ConversationScript:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        msg = "--script: PyYAML is not installed: pip install 'kochava-bot-middleware[sandbox]'"
        raise KochavaBotError(msg) from None
    try:
        decoded: Any = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except OSError as exc:
        msg = f"--script: {name}: {exc.strerror}"
        raise KochavaBotError(msg) from None
    except (ValueError, yaml.YAMLError) as exc:
        msg = f"--script: {name}: wanted YAML, got something else: {one_line(str(exc))}"
        raise KochavaBotError(msg) from None
    return read_script(decoded)


async def _simulate(
    bot: OwnBot, script: ConversationScript | None, arguments: argparse.Namespace
) -> SimulationResult | None:
    """``None`` if the bot's address does not pass the subscription check."""
    options = MessengerOptions(retry_waits=RETRY_WAITS, seed=arguments.seed)
    async with own_bot_servers(bot, options) as (messenger, kochava):
        print_settings(bot, messenger, kochava)
        problem = await subscription_problem(messenger)
        print_subscription(bot, problem)
        if problem is not None:
            return None
        total = round(arguments.rate * arguments.seconds) if script is None else script.people * len(script.steps)
        with progress("simulating", total) as advance:
            simulation = Simulation(messenger, lambda: advance(1))
            if script is not None:
                await simulation.run_script(script)
            else:
                await simulation.explore(
                    arguments.people, rate=arguments.rate, seconds=arguments.seconds, seed=arguments.seed
                )
            await messenger.settled()
        return simulation.result()


def _print(result: SimulationResult) -> None:
    times = {name: result.percentile(part) for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))}
    shown = ", ".join(f"{name} {NOTHING if it is None else f'{it * 1000:.0f} ms'}" for name, it in times.items())
    rows: list[tuple[str, object]] = [
        ("actions of people", result.actions),
        ("webhooks answered 200", f"{result.acknowledged}: {shown}"),
        ("webhooks given up", result.abandoned),
        ("messages of the bot", result.messages),
        ("links tracked", result.tracked),
        ("links not tracked", sum(result.untracked.values())),
    ]
    print()
    print_table(("what", "how many"), rows)
    for head, counts in (
        ("link not tracked, to", result.untracked),
        ("refused by Messenger", result.refused),
        ("conversation ended by", result.failures),
    ):
        if counts:
            print()
            print_table((head, "times"), _most(counts))


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])[:MOST_ROWS]
