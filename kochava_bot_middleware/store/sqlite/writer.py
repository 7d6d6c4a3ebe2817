"""
The one thread that works with the file.

All commits that wait while the disk is busy become one transaction. Each result goes back to its caller's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import attrs

from ...clock import Clock
from ...exceptions import StoreError, StoreUnavailable
from ..records import Committed, Unit
from ..settings import NewToken, StoreSettings
from .commit import commit_units, recall
from .errors import classify, is_busy, is_damaged
from .forks import pause_at_forks
from .reserve import Reserve
from .schema import connect
from .watch import FileWatch

T = TypeVar("T")

Query = Callable[[sqlite3.Connection, float], T]
"""Is given the connection and the time."""


@attrs.define(eq=False)
class _Commit:
    """A unit to be written."""

    future: asyncio.Future[Committed]
    unit: Unit
    writes: ClassVar[bool] = True

    @property
    def grows(self) -> bool:
        return bool(self.unit.appends) or any(mark.value is not None for mark in self.unit.marks)

    @property
    def is_new(self) -> bool:
        # To delete a state entry is new, too: its caller relies on it, such as one who takes an opt-out back.
        return not self.unit.settlements


@attrs.define(eq=False)
class _Recall:
    """State entries to be read."""

    future: asyncio.Future[Mapping[str, bytes]]
    keys: Sequence[str]


@attrs.define(eq=False)
class _Task:
    """
    Any other query.

    Attributes:
        writes: Whether it needs a write transaction.
        grows: Whether it adds to the file, so that it must not use the reserve.
        is_new: Whether it does more than to bring what is there to an end, so that a file that is lost is no place for
            it.
    """

    future: asyncio.Future[Any]
    query: Query[Any]
    writes: bool
    grows: bool
    is_new: bool


_Write = _Commit | _Task
_Operation = _Commit | _Recall | _Task
_Result = tuple[asyncio.Future[Any], Any, BaseException | None]

PAUSE_SECONDS = 0.02
"""After so long without work, a long log is written back to the file."""

IDLE_SECONDS = 5.0
"""After so long without work, any log is written back to the file and emptied."""

LONG_LOG = 2_000
"""Rows changed since the last checkpoint that make a checkpoint in a pause worth while."""


class SqliteWriter:
    """
    Runs operations in its own thread until it is stopped.

    The file is opened with the first batch of operations. If that fails the batch is refused, and the next one tries
    again.
    """

    def __init__(
        self, path: Path, settings: StoreSettings, clock: Clock, new_token: NewToken, reserve: Reserve
    ) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self.new_token = new_token
        self._reserve = reserve
        self._watch = FileWatch(path)
        self._operations: queue.SimpleQueue[list[_Operation] | asyncio.Future[None]] = queue.SimpleQueue()
        self._gathered: list[_Operation] = []
        self._connection: sqlite3.Connection | None = None
        self._changes_at_checkpoint = 0
        self._is_log_empty = True
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="kochava-bot-store", daemon=True)
        self._thread.start()
        pause_at_forks(self)

    def pause(self) -> None:
        """Finish what is begun, close the file, and begin nothing before `resume`."""
        self._turn.acquire()
        self._disconnect()

    def resume(self) -> None:
        """Go on."""
        self._turn.release()

    def commit(self, unit: Unit) -> asyncio.Future[Committed]:
        """Commit a unit."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._hand_over(_Commit(future, unit))
        return future

    def recall(self, keys: Sequence[str]) -> asyncio.Future[Mapping[str, bytes]]:
        """Read state entries."""
        future: asyncio.Future[Mapping[str, bytes]] = asyncio.get_running_loop().create_future()
        self._hand_over(_Recall(future, keys))
        return future

    def run(
        self, query: Query[T], *, writes: bool = False, grows: bool = False, is_new: bool = True
    ) -> asyncio.Future[T]:
        """
        Run *query*, in a transaction.

        Args:
            writes: Whether it needs a write transaction.
            grows: Whether it adds to the file, so that it is refused when the disk is nearly full.
            is_new: Whether it is refused when the file is lost.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._hand_over(_Task(future, query, writes, grows, is_new))
        return future

    async def stop(self) -> None:
        """Finish what was begun, close the file and end the thread."""
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flush()
        self._operations.put(stopped)
        await asyncio.shield(stopped)
        self._thread.join()

    def _hand_over(self, operation: _Operation) -> None:
        """
        Give *operation* to the thread, together with all others of this turn of the event loop: 9 % less CPU time a
        webhook than if each wakes the thread.
        """
        loop = operation.future.get_loop()
        if self._gathered and self._gathered[0].future.get_loop() is not loop:
            # That loop was closed before it could do so.
            self._flush()
        if not self._gathered:
            loop.call_soon(self._flush)
        self._gathered.append(operation)

    def _flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._operations.put(gathered)

    def _run(self) -> None:
        for batch, stopped in self._batches():
            with self._turn:
                if batch:
                    _return(self._results(batch))
                elif stopped is None:
                    # Emptying the log too leaves nothing readable of what was deleted.
                    self._checkpoint("PASSIVE" if self._unsaved_changes() >= LONG_LOG else "TRUNCATE")
                if stopped is not None:
                    self._disconnect()
                    _return([(stopped, None, None)])
                    return

    def _batches(self) -> Iterator[tuple[list[_Operation], asyncio.Future[None] | None]]:
        while True:
            batch: list[_Operation] = []
            stopped: asyncio.Future[None] | None = None
            try:
                given = self._operations.get(timeout=self._idle_timeout())
                while True:
                    if isinstance(given, asyncio.Future):
                        stopped = given
                    else:
                        batch += given
                    given = self._operations.get_nowait()
            except queue.Empty:
                yield batch, stopped

    def _results(self, batch: Sequence[_Operation]) -> list[_Result]:
        try:
            fault = self._watch.fault(self._connection)
            if self._connection is None:
                if fault is not None:
                    raise fault
                self._connection = connect(self._path, self._settings)
                self._changes_at_checkpoint = self._connection.total_changes
                self._watch.fault(self._connection)
            if fault is not None:
                return self._refused(self._connection, batch, fault)
            return self._results_of_batch(self._connection, batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the thread lives on and the callers get an error
            return [(operation.future, None, self._public(exc)) for operation in batch]

    def _refused(self, connection: sqlite3.Connection, batch: Sequence[_Operation], fault: StoreError) -> list[_Result]:
        """The results while the files are lost: what is in them is brought to an end, and nothing new is taken."""
        refused = [each for each in batch if self._watch.is_cut or not (isinstance(each, _Recall) or not each.is_new)]
        results: list[_Result] = [(each.future, None, fault) for each in refused]
        served = [each for each in batch if each not in refused]
        results += self._results_of_batch(connection, served) if served else []
        if not self._watch.is_cut:
            # If only the log was lost, the file has all of it then.
            self._checkpoint("PASSIVE")
        return results

    def _results_of_batch(self, connection: sqlite3.Connection, batch: Sequence[_Operation]) -> list[_Result]:
        recalls: list[_Recall] = []
        writes: list[_Write] = []
        reads: list[_Task] = []
        for operation in batch:
            if isinstance(operation, _Recall):
                recalls.append(operation)
            elif operation.writes:
                writes.append(operation)
            elif isinstance(operation, _Task):
                reads.append(operation)
        results = self._recall(connection, recalls) if recalls else []
        if not self._reserve.is_held and not self._reserve.restore():
            # What is left of the disk is for what empties the store.
            needed = f"{self._reserve.needed_bytes >> 20} MB"
            advice = f"takes nothing new while less than {needed} are free on its disk; make room on it"
            full = StoreUnavailable(f"the store {self._path} {advice}")
            results += [(operation.future, None, full) for operation in writes if operation.grows]
            writes = [operation for operation in writes if not operation.grows]
        if writes:
            self._is_log_empty = False
            try:
                results += self._transact(connection, writes)
            except Exception as exc:  # noqa: BLE001 - as in _results
                if not connection.in_transaction and is_busy(exc):
                    results += [(operation.future, None, self._public(exc)) for operation in writes]
                else:
                    # One of them is the cause; alone, the others go through.
                    results += [self._transact_alone(connection, operation) for operation in writes]
        return results + [self._read(connection, read) for read in reads]

    def _recall(self, connection: sqlite3.Connection, recalls: Sequence[_Recall]) -> list[_Result]:
        """One statement for all: each statement costs a wait for the event loop's thread."""
        keys = list({key for each in recalls for key in each.keys})
        try:
            found = recall(connection, self._clock.now(), keys=keys)
        except Exception as exc:  # noqa: BLE001 - as in _results
            if len(recalls) > 1:
                # One of them is the cause; alone, the others are answered.
                return [result for each in recalls for result in self._recall(connection, [each])]
            return [(recalls[0].future, None, self._public(exc))]
        return [(each.future, {key: found[key] for key in each.keys if key in found}, None) for each in recalls]

    def _transact(self, connection: sqlite3.Connection, writes: Sequence[_Write]) -> list[_Result]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = self._write(connection, writes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _write(self, connection: sqlite3.Connection, writes: Sequence[_Write]) -> list[_Result]:
        now = self._clock.now()
        commits = [operation for operation in writes if isinstance(operation, _Commit)]
        results: list[_Result] = []
        if commits:
            units = [commit.unit for commit in commits]
            answers = commit_units(
                connection, units, now, new_token=self.new_token, dedupe_seconds=self._settings.dedupe_seconds
            )
            results = [(commit.future, answer, None) for commit, answer in zip(commits, answers, strict=True)]
        for operation in writes:
            if isinstance(operation, _Task):
                results.append((operation.future, operation.query(connection, now), None))
        return results

    def _transact_alone(self, connection: sqlite3.Connection, operation: _Write) -> _Result:
        try:
            try:
                return self._transact(connection, [operation])[0]
            except sqlite3.Error as exc:
                if operation.grows or getattr(exc, "sqlite_errorname", None) != "SQLITE_FULL":
                    raise
            self._reserve.release()
            self._checkpoint("TRUNCATE")
            return self._transact(connection, [operation])[0]
        except Exception as exc:  # noqa: BLE001 - as in _results
            return (operation.future, None, self._public(exc))

    def _read(self, connection: sqlite3.Connection, task: _Task) -> _Result:
        try:
            connection.execute("BEGIN")
            try:
                return (task.future, task.query(connection, self._clock.now()), None)
            finally:
                connection.execute("COMMIT")
        except Exception as exc:  # noqa: BLE001 - as in _results
            return (task.future, None, self._public(exc))

    def _public(self, exc: Exception) -> StoreError:
        """The error for the caller. A connection that failed in an unforeseen way is not used again."""
        if is_damaged(exc):
            self._disconnect()
        return classify(exc, self._path)

    def _idle_timeout(self) -> float | None:
        """How long to wait for operations before a checkpoint; ``None`` when the log is empty."""
        with self._turn:
            if self._unsaved_changes() >= LONG_LOG:
                return PAUSE_SECONDS
            return None if self._is_log_empty else IDLE_SECONDS

    def _unsaved_changes(self) -> int:
        return 0 if self._connection is None else self._connection.total_changes - self._changes_at_checkpoint

    def _checkpoint(self, mode: str) -> None:
        connection = self._connection
        if connection is None:
            return
        # What cannot be done now is done another time.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute(f"PRAGMA wal_checkpoint({mode})")
        connection.execute(f"PRAGMA busy_timeout = {round(self._settings.busy_timeout_seconds * 1000)}")
        self._changes_at_checkpoint = connection.total_changes
        self._is_log_empty = mode == "TRUNCATE"

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            self._watch.closed()


def _return(results: Sequence[_Result]) -> None:
    """Set the futures, with one call to each event loop."""
    loops = {future.get_loop() for future, _, _ in results}
    for loop in loops:
        of_loop = results if len(loops) == 1 else [result for result in results if result[0].get_loop() is loop]
        # In a loop that was closed nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(results: Iterable[_Result]) -> None:
    for future, value, exc in results:
        if future.done():
            continue
        if exc is None:
            future.set_result(value)
        else:
            future.set_exception(exc)
