"""What callers hand to the writer's thread, and how their answers come back."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from ...clock import Clock
from ...exceptions import StoreError, StoreUnavailable
from ..records import Unit
from ..settings import NewToken, StoreSettings
from .commit import CommitGroup
from .reading import recall
from .reserve import Reserve
from .schema import connect, is_full, unavailable


@attrs.define(eq=False)
class Commit:
    """A unit to be written."""

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
    """Marks to be read."""

    future: asyncio.Future[Any]
    keys: Sequence[str]


Operation = Commit | Recall | Work
Change = Commit | Work
Answer = tuple[asyncio.Future[Any], Any, BaseException | None]


def hand_back(answers: Iterable[Answer]) -> None:
    """Tell the callers, with one call to each event loop."""
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


PAUSE_SECONDS = 0.02
"""After so long without work a log that has grown is folded into the file."""

IDLE_SECONDS = 5.0
"""After so long without work any log is folded into the file and emptied."""

LONG_LOG = 2_000
"""Rows changed since the log was folded that make it worth folding in a pause."""


class Writer:
    """
    Runs operations in its own thread until it is stopped.

    The file is opened with the first batch. If that fails the batch is refused, and the next one tries again.
    """

    def __init__(self, path: Path, settings: StoreSettings, clock: Clock, new_token: NewToken) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self.new_token = new_token
        self._reserve = Reserve(path)
        self._operations: queue.SimpleQueue[Operation | asyncio.Future[None]] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._folded_changes = 0
        self._is_log_empty = True
        self._thread = threading.Thread(target=self._live, name="kochava-bot-store", daemon=True)
        self._thread.start()

    def put(self, operation: Operation) -> None:
        """Hand over an operation; its future is set when it is done."""
        self._operations.put(operation)

    async def stop(self) -> None:
        """Finish what was handed over, close the file and end the thread."""
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._operations.put(stopped)
        await asyncio.shield(stopped)
        self._thread.join()

    def _live(self) -> None:
        for batch, stopped in self._batches():
            if batch:
                hand_back(self._run(batch))
            elif stopped is None:
                # Emptying it too leaves nothing readable of what was deleted.
                self._fold("PASSIVE" if self._unfolded() >= LONG_LOG else "TRUNCATE")
            if stopped is not None:
                self._disconnect()
                hand_back([(stopped, None, None)])
                return

    def _batches(self) -> Iterator[tuple[list[Operation], asyncio.Future[None] | None]]:
        while True:
            batch: list[Operation] = []
            stopped: asyncio.Future[None] | None = None
            try:
                handed = self._operations.get(timeout=self._patience())
                while True:
                    if isinstance(handed, asyncio.Future):
                        stopped = handed
                    else:
                        batch.append(handed)
                    handed = self._operations.get_nowait()
            except queue.Empty:
                yield batch, stopped

    def _run(self, batch: Sequence[Operation]) -> list[Answer]:
        try:
            if self._connection is None:
                self._connection = connect(self._path, self._settings)
                self._folded_changes = self._connection.total_changes
            return self._run_batch(self._connection, batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the thread lives on and the callers are told
            return [(operation.future, None, self._public(exc)) for operation in batch]

    def _run_batch(self, connection: sqlite3.Connection, batch: Sequence[Operation]) -> list[Answer]:
        recalls = [operation for operation in batch if isinstance(operation, Recall)]
        answers = self._recall(connection, recalls) if recalls else []
        writes = [operation for operation in batch if not isinstance(operation, Recall) and operation.writes]
        if not self._reserve.is_held and not self._reserve.restore():
            # What is left of the disk is for what empties the store.
            needed = f"{self._reserve.needed_bytes >> 20} MB"
            advice = f"takes nothing new while less than {needed} are free on its disk; make room on it"
            full = StoreUnavailable(f"the store {self._path} {advice}")
            answers += [(operation.future, None, full) for operation in writes if operation.grows]
            writes = [operation for operation in writes if not operation.grows]
        if writes:
            self._is_log_empty = False
            try:
                answers += self._transact(connection, writes)
            except Exception as exc:  # noqa: BLE001 - as in _run
                if not connection.in_transaction and _is_busy(exc):
                    answers += [(operation.future, None, self._public(exc)) for operation in writes]
                else:
                    # One of them is the cause; alone, the others go through.
                    answers += [self._transact_alone(connection, operation) for operation in writes]
        reads = [operation for operation in batch if isinstance(operation, Work) and not operation.writes]
        return answers + [self._look(connection, read) for read in reads]

    def _recall(self, connection: sqlite3.Connection, recalls: Sequence[Recall]) -> list[Answer]:
        """One statement for all: each costs a wait for the event loop's thread."""
        keys = list({key for each in recalls for key in each.keys})
        try:
            found = recall(connection, self._clock.now(), keys=keys)
        except Exception as exc:  # noqa: BLE001 - as in _run
            return [(each.future, None, self._public(exc)) for each in recalls]
        return [(each.future, {key: found[key] for key in each.keys if key in found}, None) for each in recalls]

    def _transact(self, connection: sqlite3.Connection, writes: Sequence[Change]) -> list[Answer]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            answers = self._write(connection, writes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return answers

    def _write(self, connection: sqlite3.Connection, writes: Sequence[Change]) -> list[Answer]:
        now = self._clock.now()
        commits = [operation for operation in writes if isinstance(operation, Commit)]
        answers: list[Answer] = []
        if commits:
            group = CommitGroup(
                connection,
                [commit.unit for commit in commits],
                now=now,
                new_token=self.new_token,
                dedupe_seconds=self._settings.dedupe_seconds,
            )
            answers = [(commit.future, answer, None) for commit, answer in zip(commits, group.run(), strict=True)]
        others = [operation for operation in writes if isinstance(operation, Work)]
        return answers + [(work.future, work.run(connection, now), None) for work in others]

    def _transact_alone(self, connection: sqlite3.Connection, operation: Change) -> Answer:
        try:
            try:
                return self._transact(connection, [operation])[0]
            except sqlite3.Error as exc:
                if operation.grows or not is_full(exc):
                    raise
            self._reserve.release()
            self._fold("TRUNCATE")
            return self._transact(connection, [operation])[0]
        except Exception as exc:  # noqa: BLE001 - as in _run
            return (operation.future, None, self._public(exc))

    def _look(self, connection: sqlite3.Connection, work: Work) -> Answer:
        try:
            connection.execute("BEGIN")
            try:
                return (work.future, work.run(connection, self._clock.now()), None)
            finally:
                connection.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 - as in _run
            return (work.future, None, self._public(exc))

    def _public(self, exc: Exception) -> StoreError:
        """What the caller is told. A connection that failed in an unforeseen way is not used again."""
        if isinstance(exc, StoreError):
            return exc
        if not isinstance(exc, sqlite3.Error):
            refused = StoreError(f"the store {self._path} cannot keep this: {exc}")
            refused.__cause__ = exc
            return refused
        if getattr(exc, "sqlite_errorname", "").startswith(("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")):
            self._disconnect()
        error = unavailable(exc, self._path)
        error.__cause__ = exc
        return error

    def _patience(self) -> float | None:
        """How long to wait for operations before turning to the log; ``None`` when it is empty."""
        if self._unfolded() >= LONG_LOG:
            return PAUSE_SECONDS
        return None if self._is_log_empty else IDLE_SECONDS

    def _unfolded(self) -> int:
        return 0 if self._connection is None else self._connection.total_changes - self._folded_changes

    def _fold(self, mode: str) -> None:
        connection = self._connection
        if connection is None:
            return
        # Folding can wait: what cannot be done now is done another time.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute(f"PRAGMA wal_checkpoint({mode})")
        connection.execute(f"PRAGMA busy_timeout = {round(self._settings.busy_timeout_seconds * 1000)}")
        self._folded_changes = connection.total_changes
        self._is_log_empty = mode == "TRUNCATE"

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _is_busy(exc: Exception) -> bool:
    return str(getattr(exc, "sqlite_errorname", "")).startswith("SQLITE_BUSY")
