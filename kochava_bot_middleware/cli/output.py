"""What commands print: JSON lines, tables, times and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

NOTHING = "-"
"""Stands in a table for a missing value."""

_UNBOUNDED = 100_000
"""Columns of an output that is not a terminal: nothing is cut or folded for `grep`."""


def json_line(value: Any) -> str:
    """*value* as one line of JSON, in ASCII where standard output, or half a surrogate pair in it, requires that."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value)
    return line


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are aligned to the right."""
    rows = [tuple(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        is_number = bool(rows) and all(isinstance(row[index], int) for row in rows)
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    out = _console()
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def one_line(text: str) -> str:
    """*text* without characters that break a row or control a terminal."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as a person reads them, in UTC."""
    if seconds is None:
        return NOTHING
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601, for JSON."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return str(seconds)


@contextmanager
def progress(what: str, total: int | None = None, *, prints: bool = False) -> Iterator[Callable[[int], None]]:
    """
    Show the progress of a long operation, on standard error and only on a terminal; yields what is called with steps.

    Nothing is shown if the operation *prints* to a terminal meanwhile.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    out = _console(error=True)
    is_hidden = not out.is_terminal or (prints and sys.stdout.isatty())
    with Progress(*columns, console=out, transient=True, disable=is_hidden) as shown:
        task = shown.add_task(what, total=total)
        yield lambda steps: shown.advance(task, steps)


def _console(*, error: bool = False) -> Console:
    """Standard output, or standard error. Text is printed as it is: nothing in it is read as markup."""
    file = sys.stderr if error else sys.stdout
    width = None if file.isatty() else _UNBOUNDED
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=width is not None)
