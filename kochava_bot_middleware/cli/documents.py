"""JSON in and out of the commands: files or standard input, one document each; one line of JSON a result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .command import GOOD, SOMETHING_WRONG

STANDARD_INPUT = "-"


class Unusable(Exception):
    """
    A document that the command can do nothing with; the others go on.

    Attributes:
        reason: As a phrase.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def add_files_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``[FILES]``."""
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help=f"{what}, one a file; - or none at all is standard input"
    )


def for_each_document(names: Sequence[str], command: str, use: Callable[[bytes], None]) -> int:
    """
    Give the bytes of each file to *use*; what cannot be used is told on standard error.

    Returns:
        The exit status.
    """
    status = GOOD
    for name in names or [STANDARD_INPUT]:
        try:
            use(_read(name))
        except Unusable as unusable:
            shown = "standard input" if name == STANDARD_INPUT else name
            print(f"kochava-bot {command}: {shown}: {unusable.reason}", file=sys.stderr)
            status = SOMETHING_WRONG
    return status


def _read(name: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise Unusable(exc.strerror or type(exc).__name__) from None


def json_line(value: Any) -> str:
    """*value* as one line of JSON, in ASCII where standard output, or half a surrogate pair in it, wants that."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value)
    return line
