"""
What callers hand to the writer's thread, and how their answers come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import attrs

from ..unit import Unit


@attrs.define(eq=False)
class Commit:
    """
    A unit to be written.
    """

    future: asyncio.Future[Any]
    unit: Unit
    writes: ClassVar[bool] = True

    @property
    def grows(self) -> bool:
        return bool(self.unit.appends) or any(mark.value is not None for mark in self.unit.marks)


@attrs.define(eq=False)
class Work:
    """
    Anything else: *run* is given the connection and the time.

    Attributes:
        future: Takes the answer.
        run: What to do.
        writes: Whether it needs a write transaction.
        grows: Whether it adds to the file, so that it must not use the reserve.
    """

    future: asyncio.Future[Any]
    run: Callable[[sqlite3.Connection, float], Any]
    writes: bool
    grows: bool


@attrs.define(eq=False)
class Recall:
    """
    Marks to be read.
    """

    future: asyncio.Future[Any]
    keys: Sequence[str]


Operation = Commit | Recall | Work
Change = Commit | Work
Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


def hand_back(answers: Iterable[Answer]) -> None:
    """
    Tell the callers, with one call to each event loop.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].get_loop(), []).append(answer)
    for loop, of_loop in by_loop.items():
        # A loop that was closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(answers: Iterable[Answer]) -> None:
    for future, result, exc in answers:
        if future.done():
            continue
        if exc is None:
            future.set_result(result)
        else:
            future.set_exception(exc)
