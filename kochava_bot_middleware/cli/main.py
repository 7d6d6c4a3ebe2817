"""The command line, ``kochava-bot``."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..exceptions import KochavaBotError, SettingsError
from .command import ENDED_BY_SIGNAL, NOT_RUN, SOMETHING_WRONG, Run

COMMANDS = {
    "demo": "Play a customer of an example bot in the browser, or check in this terminal that nothing is lost.",
    "check": "Show every request and SmartLink of these settings; nothing is sent.",
    "send-test": "Send test events of the user 'kochava-bot-test' to Kochava, and print its verdicts.",
    "worker": "Deliver records, until a signal ends it; any number may run.",
    "track": "Record an event, or a file of events, of another program.",
    "store": "Look at the entries of the store, retry or remove them.",
    "report": "Report events, revenue, the funnel, links and deliveries, from the counters by day.",
    "reconcile": "Compare an export of Kochava with what was delivered, by day and event.",
    "trace": "Show what the store holds about one user: the history of their records, and what is remembered.",
    "sandbox": "Play a customer of a bot of your own in the browser, and watch what it sends.",
    "simulate": "Let simulated users chat with a bot, and sum up what it answered and which links were not tracked.",
    "trigger": "Send a bot one signed webhook, and print what it answers.",
    "parse": "Print the events of webhooks, one line of JSON each.",
    "rewrite": "Print Send API bodies as they would be sent, with SmartLinks.",
}
"""What each command does. Its module, of the same name, has ``add_arguments(parser)`` and, without actions, ``run``."""

_LOCAL = ("demo", "sandbox", "simulate", "trigger", "parse", "rewrite")
"""Those in the package `local`."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: Its arguments; ``None`` takes those of this process.

    Returns:
        The exit status: 0 success, 1 not everything succeeded, 2 it could not run.
    """
    _open_closed_streams()
    if "" not in sys.path:
        # Settings may name callables in the working directory, where `python -m` looks, too.
        sys.path.append("")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the output's encoding does not have is escaped; an id or address may hold any character.
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = build_parser().parse_args(argv)
    run: Run = arguments.run
    try:
        try:
            status = run(arguments)
        except KochavaBotError as exc:
            status = NOT_RUN
            sys.stdout.flush()
            print(f"kochava-bot: {_text_of(exc)}", file=sys.stderr)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return ENDED_BY_SIGNAL + signal.SIGINT
    except OSError as exc:
        if not isinstance(exc, BrokenPipeError):
            print(f"kochava-bot: {exc}", file=sys.stderr)
        # The reader is gone, such as `head`, or the disk is full; without this, Python would report it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOMETHING_WRONG
    return status


def _open_closed_streams() -> None:
    """In place of standard streams that were closed (``>&-``), in their order, so that each has its own number."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _text_of(error: KochavaBotError) -> str:
    """An error's text; a single violation is one line."""
    if isinstance(error, SettingsError) and len(error.violations) == 1:
        return str(error.violations[0])
    return str(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line, with all commands."""
    parser = argparse.ArgumentParser(
        prog="kochava-bot", description="Makes a Facebook Messenger or Instagram bot measurable in Kochava."
    )
    parser.add_argument("--version", action="version", version=f"kochava-bot {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, description=summary)
    return parser


class CommandParser(argparse.ArgumentParser):
    """The parser of one command, whose module is loaded when it is called: one needs much that another does not."""

    def load(self) -> None:
        """Load the module, and add what the command takes."""
        name = self.prog.rpartition(" ")[2]
        place = ".local." if name in _LOCAL else "."
        module = importlib.import_module(place + name.replace("-", "_"), __package__)
        if hasattr(module, "run"):
            self.set_defaults(run=module.run)
        module.add_arguments(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.load()
        return super().parse_known_args(args, namespace)
