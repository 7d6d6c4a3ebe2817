"""What the commands share: exit statuses, types of arguments, and files to read."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..settings import describe

Run = Callable[[argparse.Namespace], int]
"""Runs a command and returns its exit status. A `KochavaBotError` is printed, and the status is 2."""

GOOD = 0
SOMETHING_WRONG = 1
"""It ran, but not everything succeeded."""

NOT_RUN = 2
"""It could not run: wrong arguments, settings or store."""

ENDED_BY_SIGNAL = 128
"""What shells add to the number of the signal that ended a program."""

STANDARD_INPUT = "-"


def number_from(kind: type[float], least: float, most: float, *, exclusive: bool = False) -> Callable[[str], float]:
    """An argument's type: a number from *least* (with *exclusive*: above it) to *most*."""
    limits = f"above {least} and at most {most}" if exclusive else f"from {least} to {most}"

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        # Every comparison with `nan` is false.
        if not least <= number <= most or (exclusive and number == least):
            msg = f"wanted a {'whole ' if kind is int else ''}number {limits}, got {describe(text)}"
            raise argparse.ArgumentTypeError(msg)
        return number

    return read


def readable_text(given: str) -> str:
    """An argument's type: text, and not bytes that the system's encoding cannot read, which no store keeps either."""
    try:
        given.encode()
    except UnicodeEncodeError:
        msg = f"wanted text in the system's encoding, got {describe(given)}"
        raise argparse.ArgumentTypeError(msg) from None
    return given


def host_name(given: str) -> str:
    """An argument's type: a host's name or address; an IPv6 address may stand in brackets."""
    if not given.strip():
        msg = f"wanted a name or an address, such as 127.0.0.1 or ::1, got {describe(given)}"
        raise argparse.ArgumentTypeError(msg)
    return given.removeprefix("[").removesuffix("]")


class UnusableFile(Exception):
    """A file that the command cannot use, with the reason; the others are still read."""


def add_files_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``[FILES]``."""
    parser.add_argument("files", metavar="FILE", nargs="*", help=f"{what}, one per file; - or no file: standard input")


def for_each_file(names: Sequence[str], command: str, use: Callable[[bytes], None]) -> int:
    """
    Call *use* with the bytes of each file. What cannot be used is reported on standard error.

    Returns:
        The exit status.
    """
    status = GOOD
    for name in names or [STANDARD_INPUT]:
        try:
            use(_read(name))
        except UnusableFile as exc:
            shown = "standard input" if name == STANDARD_INPUT else name
            print(f"kochava-bot {command}: {shown}: {exc}", file=sys.stderr)
            status = SOMETHING_WRONG
    return status


def _read(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise UnusableFile(exc.strerror or type(exc).__name__) from None
