"""What commands print for people: tables, moments and progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

NOTHING = "-"
"""Stands in a table where there is nothing to tell."""

_UNBOUNDED = 100_000
"""Columns of an output that no person looks at directly: nothing is cut or folded for `grep`."""


def console(*, error: bool = False) -> Console:
    """Of standard output, or of standard error. Text is printed as it is: nothing in it is taken for markup."""
    file = sys.stderr if error else sys.stdout
    width = None if file.isatty() else _UNBOUNDED
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=width is not None)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers go to the right."""
    rows = [tuple(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        is_number = bool(rows) and all(isinstance(row[index], int) for row in rows)
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    out = console()
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def one_line(text: str) -> str:
    """*text* without what could break a row or command a terminal."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def moment(seconds: float | None) -> str:
    """Seconds since the epoch as a person reads them, in UTC."""
    if seconds is None:
        return NOTHING
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g}"


class Steps:
    """A long work under way."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def done(self, number: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, number)


@contextmanager
def progress(what: str, total: int | None = None, *, prints: bool = False) -> Iterator[Steps]:
    """
    Show how far a long work is, on standard error and only on a terminal.

    Args:
        total: ``None`` when it is not known.
        prints: The work prints meanwhile; nothing is shown then if that goes to a terminal as well.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    out = console(error=True)
    is_hidden = not out.is_terminal or (prints and sys.stdout.isatty())
    with Progress(*columns, console=out, transient=True, disable=is_hidden) as shown:
        yield Steps(shown, shown.add_task(what, total=total))
