"""What is true of the SQLite file alone: opening, sharing, forking, failing and what stays on the disk."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import NotStorable, SchemaTooNew, StoreUnavailable
from kochava_bot_middleware.store.records import CommitVerdict, Entry, EntryState, Unit
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite import statements as sql
from kochava_bot_middleware.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import ManualClock, append, claim_one, claimed_ids, entry, settle

IMPATIENT = StoreSettings(busy_timeout_seconds=0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, clock=clock, settings=IMPATIENT)
    yield store
    await store.close()


@pytest.fixture
def other_connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    yield connection
    connection.close()


async def open_and_close(path: Path) -> None:
    store = SqliteStore(path)
    try:
        await store.open()
    finally:
        await store.close()


async def test_what_is_committed_is_there_after_reopening(path: Path) -> None:
    """Entries, counts and remembered ids outlive the store object."""
    first = SqliteStore(path)
    await append(first, entry("a"), entry("b", lane="bob"))
    await settle(first, await claim_one(first))
    await first.close()
    second = SqliteStore(path)
    assert ("a", "b") == (await append(second, entry("a"), entry("b"))).repeated
    assert ["b"] == await claimed_ids(second)
    assert (2, 1) == ((await second.stats())["track"].accepted, (await second.stats())["track"].done)
    await second.close()


async def test_file_is_private(store: SqliteStore, path: Path) -> None:
    """Only the owner may read the file, its log and its reserve, since they hold user ids."""
    await append(store, entry("a"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.db-reserve"], 0o600) == modes


async def test_newer_schema_is_left_untouched(path: Path) -> None:
    """A file of a newer release is refused, and not a byte of it changes."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE future (x)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match="upgrade the package"):
        await open_and_close(path)
    assert before == path.read_bytes()


async def test_database_of_another_program_is_left_untouched(path: Path) -> None:
    """A foreign SQLite file is refused."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        await open_and_close(path)
    assert before == path.read_bytes()


async def test_what_is_not_a_database_is_left_untouched(path: Path) -> None:
    """A text file is refused with what it is and what to do."""
    path.write_bytes(b"hello, " * 1_000)
    with pytest.raises(StoreUnavailable, match="not an SQLite database; name another file"):
        await open_and_close(path)
    assert b"hello, " * 1_000 == path.read_bytes()


async def test_missing_folder_is_named(tmp_path: Path) -> None:
    """The error says which folder to make."""
    with pytest.raises(StoreUnavailable, match=f"no folder {tmp_path / 'missing'}"):
        await open_and_close(tmp_path / "missing" / "store.db")


async def test_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    """A folder cannot be a store."""
    with pytest.raises(StoreUnavailable, match="is a folder"):
        await open_and_close(tmp_path)


async def test_failed_opening_is_tried_again(tmp_path: Path) -> None:
    """Once the cause is fixed the same store works."""
    store = SqliteStore(tmp_path / "later" / "store.db")
    with pytest.raises(StoreUnavailable):
        await store.open()
    (tmp_path / "later").mkdir()
    assert ("a",) == (await append(store, entry("a"))).appended
    await store.close()


async def test_lock_held_by_another_fails_the_commit_and_later_ones_work(
    store: SqliteStore, other_connection: sqlite3.Connection
) -> None:
    """A locked file is an error for the units that waited; reads go on, and the thread lives on."""
    await append(store, entry("a"))
    other_connection.execute("BEGIN IMMEDIATE")
    answers = await asyncio.gather(*(append(store, entry(f"{n}")) for n in range(3)), return_exceptions=True)
    assert [StoreUnavailable] * 3 == [type(answer) for answer in answers]
    assert "another process" in str(answers[0])
    assert 1 == (await store.stats())["track"].waiting
    other_connection.execute("ROLLBACK")
    assert ("b",) == (await append(store, entry("b"))).appended


async def test_full_store_refuses_appends_and_still_settles(store: SqliteStore, path: Path) -> None:
    """Without room an append fails; claims and settlements go through, and afterwards there is room again."""
    big = b"x" * 100_000
    await append(store, *(entry(f"{n}", lane=f"{n}", body=big) for n in range(3)))
    await store.read(
        lambda connection, _now: connection.execute(
            f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}"
        ).fetchone()
    )
    with pytest.raises(StoreUnavailable, match="disk is full"):
        await append(store, entry("more", lane="more", body=big))
    claim = await claim_one(store)
    both = await asyncio.gather(
        append(store, entry("again", lane="again", body=big)), settle(store, claim), return_exceptions=True
    )
    assert (StoreUnavailable, CommitVerdict.COMMITTED) == (type(both[0]), getattr(both[1], "verdict", both[1]))
    assert ("again",) == (await append(store, entry("again", lane="again", body=big))).appended


async def test_unit_that_cannot_be_stored_does_not_hurt_its_neighbours(store: SqliteStore) -> None:
    """Units share a transaction, but not each other's errors."""
    bad = Unit(appends=[entry("bad", lane="\udcff")])
    answers = await asyncio.gather(
        append(store, entry("a")), store.commit(bad), append(store, entry("b")), return_exceptions=True
    )
    assert [("a",), NotStorable, ("b",)] == [
        type(answer) if isinstance(answer, BaseException) else answer.appended for answer in answers
    ]


async def test_handled_message_is_not_readable_in_the_file(store: SqliteStore, path: Path) -> None:
    """Once its entry is settled and the store is closed, no file has the body."""
    await append(store, entry("a", queue="inbox", body=b"very private words " * 500), entry("b", queue="inbox"))
    await settle(store, await claim_one(store, "inbox"))
    await store.close()
    assert [] == [file.name for file in path.parent.iterdir() if b"very private words" in file.read_bytes()]


async def test_cancelled_caller_does_not_stop_the_others(store: SqliteStore) -> None:
    """Whoever stops waiting for a commit does not take the answers of others with it."""
    await store.open()
    impatient = asyncio.create_task(append(store, entry("a")))
    patient = asyncio.create_task(append(store, entry("b", lane="bob")))
    await asyncio.sleep(0)
    impatient.cancel()
    assert ("b",) == (await patient).appended
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_close_finishes_what_was_handed_over(path: Path) -> None:
    """Commits that were begun before `close` are answered, and the thread ends."""
    before = threading.active_count()
    store = SqliteStore(path)
    commits = [asyncio.create_task(append(store, entry(f"{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert [(f"{n}",) for n in range(20)] == [(await commit).appended for commit in commits]
    assert before == threading.active_count()


def test_store_serves_one_event_loop_after_another(path: Path) -> None:
    """A store made once may be used by a second `asyncio.run`."""
    store = SqliteStore(path)
    asyncio.run(append(store, entry("a")))

    async def claim_and_close() -> list[str]:
        try:
            return await claimed_ids(store)
        finally:
            await store.close()

    assert ["a"] == asyncio.run(claim_and_close())


async def plan_of(store: SqliteStore, statement: str, arguments: Any) -> list[str]:
    return await store.read(
        lambda connection, _now: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", arguments)]
    )


@pytest.mark.parametrize(
    ("statement", "arguments", "ranges"),
    [
        (sql.DUE_HEADS, ("track", 0.0, 100), [" AND due_at<?)", " AND due_at<?)"]),
        (sql.SHORTEN_WAITS, ("track", 60.0, 100), [" AND due_at>?)", " AND due_at>?)"]),
        (sql.NEXT_DUE, ("track",), [")", ")"]),
        (sql.IN_FLIGHT, ("track", 0.0), [" AND due_at>?)"]),
    ],
)
async def test_claim_looks_only_at_what_is_due(
    store: SqliteStore, statement: str, arguments: Any, ranges: list[str]
) -> None:
    """What is asked all the time searches ranges of an index, so its cost does not grow with what waits."""
    plan = await plan_of(store, statement, arguments)
    searched = [line.partition("(queue=? AND leased=?")[2] for line in plan if "heads_by_due" in line]
    assert ranges == searched, plan
    assert [] == [line for line in plan if line.startswith(("SCAN heads", "SCAN e"))]


@pytest.mark.parametrize(
    "statement",
    [
        sql.snapshot(escaped=False),
        sql.snapshot(escaped=True),
        sql.recall(escaped=False),
        sql.SUCCESSORS,
        sql.END_ENTRIES,
        sql.DELETE_HEADS,
        sql.RETURN_HEAD,
        sql.FIND,
        sql.PLACE_OF,
        sql.FIRST_HEAD,
        sql.COUNT_UNSENT,
        sql.DROP_UNSENT,
        sql.BLANK_ENTRIES,
        sql.PURGE,
        sql.SWEEP_IDS,
        sql.SWEEP_MARKS,
        sql.IS_BUSY,
        *(sql.page(state, of_lane=True) for state in (None, *EntryState) if state is not EntryState.DONE),
    ],
)
async def test_statement_reads_no_whole_table(store: SqliteStore, statement: str) -> None:
    """Its cost does not grow with the rows of settled entries, nor with those of living ones."""
    names = re.findall(r":(\w+)", statement)
    count = max((int(number) for number in re.findall(r"\?(\d)", statement)), default=statement.count("?"))
    plan = await plan_of(store, statement, dict.fromkeys(names, 0) if names else (0,) * count)
    assert [] == [line for line in plan if re.match(r"SCAN (e|own|entries|heads|marks)\b", line)], plan


@pytest.mark.parametrize("state", [EntryState.IN_FLIGHT, EntryState.DEAD, EntryState.DROPPED])
async def test_listing_passes_over_what_is_done(store: SqliteStore, state: EntryState) -> None:
    """It walks an index in which rows that are done are not."""
    names = ("queue", "now", "after", "limit")
    plan = await plan_of(store, sql.page(state, of_lane=False), dict.fromkeys(names, 0))
    walked = [line for line in plan if re.match(r"(SEARCH|SCAN) (e|heads)\b", line)]
    assert "entries_kept" in walked[0] or "heads_by_due" in walked[0], plan


async def test_listing_of_what_waits_begins_at_the_first_head(store: SqliteStore) -> None:
    """Rows that ended before it are not read, and no rows are sorted."""
    names = ("queue", "now", "after", "limit")
    plan = await plan_of(store, sql.page(EntryState.WAITING, of_lane=False), dict.fromkeys(names, 0))
    assert "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)" in plan


async def test_body_of_a_claim_is_bytes(store: SqliteStore) -> None:
    """An empty body stays an empty body."""
    await append(store, Entry(id="a", queue="track", lane="ann", created_at=1.0, body=b""))
    assert b"" == (await claim_one(store)).entry.body
