"""What a command is to the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeAlias

Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name

Run = Callable[[argparse.Namespace], int]
"""Runs a command and gives its exit status. A `KochavaBotError` is shown whole, and ends with status 2."""

GOOD = 0
SOMETHING_WRONG = 1
"""It ran, but not all of it went well."""

NOT_RUN = 2
"""It could not run: wrong arguments, settings or store."""


def number_from(kind: type[float], least: float, most: float = math.inf) -> Callable[[str], float]:
    """
    An argument's type: a finite number of at least *least*, and at most *most*.

    Args:
        kind: ``int`` or ``float``.
    """
    limits = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most or number == math.inf:
            msg = f"wanted a {'whole ' if kind is int else ''}number {limits}, got {text!r}"
            raise argparse.ArgumentTypeError(msg)
        return number

    return read


def add_command(parsers: Parsers, name: str, run: Run, summary: str) -> argparse.ArgumentParser:
    """Add a command; gives its parser, for its arguments."""
    parser = parsers.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser
