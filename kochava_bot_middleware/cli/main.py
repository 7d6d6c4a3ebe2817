"""The command line, ``kochava-bot``."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence

from .. import __version__
from ..exceptions import KochavaBotError, SettingsError
from .check import add_check
from .command import ENDED_BY_SIGNAL, NOT_RUN, SOMETHING_WRONG, Run
from .demo import add_demo
from .parse import add_parse
from .rewrite import add_rewrite
from .send_test import add_send_test
from .store import add_store
from .trace import add_trace
from .track import add_track
from .worker import add_worker


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
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    operations = (add_check, add_send_test, add_worker, add_track, add_store, add_trace)
    for add in (add_demo, *operations, add_parse, add_rewrite):
        add(commands)
    return parser
