"""
The command line, ``kochava-bot``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands.command import NOT_RUN, SOMETHING_WRONG, Run
from .commands.demo import add_demo
from .commands.parse import add_parse
from .commands.rewrite import add_rewrite
from .commands.store import add_store
from .commands.worker import add_worker
from .exceptions import KochavaBotError

INTERRUPTED = 130
"""What shells expect of a program that ended by control-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    Args:
        argv: Its arguments; ``None`` takes those of this process.

    Returns:
        The exit status: 0 good, 1 not all went well, 2 it could not run.
    """
    arguments = _parser().parse_args(argv)
    run: Run = arguments.run
    try:
        status = run(arguments)
        sys.stdout.flush()
    except KochavaBotError as exc:
        print(f"kochava-bot: {exc}", file=sys.stderr)
        return NOT_RUN
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read has gone, such as `head`; at exit, Python would complain about it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOMETHING_WRONG
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kochava-bot", description="Makes a Facebook Messenger or Instagram bot measurable in Kochava."
    )
    parser.add_argument("--version", action="version", version=f"kochava-bot {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_demo, add_worker, add_parse, add_rewrite, add_store):
        add(commands)
    return parser
