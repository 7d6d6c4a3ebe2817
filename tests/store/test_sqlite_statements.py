"""Many rows in few statements, and many callers in one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware.store.records import Condition
from kochava_bot_middleware.store.sqlite.commit import MOST_PADDING, MOST_ROWS, insert, json_of_groups, json_of_texts
from kochava_bot_middleware.store.sqlite.statements import text_of
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, claimed_ids, entry, mark, put, recalled


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE colours (place INTEGER PRIMARY KEY, name TEXT)")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "count", [1, 2, 3, MOST_ROWS // 2 + 1, MOST_ROWS - 1, MOST_ROWS, MOST_ROWS + 1, 3 * MOST_ROWS + 5]
)
def test_all_rows_are_inserted_and_none_of_the_padding(connection: sqlite3.Connection, count: int) -> None:
    """The rows that fill a statement up leave nothing behind, and an empty last column is kept."""
    rows = [(place, None if place % 2 else "red") for place in range(count)]
    insert(connection, "colours", rows)
    assert rows == connection.execute("SELECT * FROM colours ORDER BY place").fetchall()


def test_a_batch_of_rows_is_one_statement(connection: sqlite3.Connection) -> None:
    """There is one statement for each `MOST_ROWS` of them."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert(connection, "colours", [(place, "red") for place in range(2 * MOST_ROWS)])
    assert 2 == len(statements)


@pytest.mark.parametrize(("count", "sizes"), [(MOST_ROWS // 2 + 1, 2), (MOST_ROWS - MOST_PADDING, 1)])
def test_padding_costs_less_than_a_statement(connection: sqlite3.Connection, count: int, sizes: int) -> None:
    """Where there would be more of it, the rows are divided."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert(connection, "colours", [(place, "red") for place in range(count)])
    assert sizes == len(statements)


def test_no_rows_are_no_statement(connection: sqlite3.Connection) -> None:
    """Nothing to insert costs nothing."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    insert(connection, "colours", [])
    assert [] == statements


TEXTS = [
    "",
    "ünïcode'\"\\\n",
    "\x00",
    "\x01",
    "\x02",
    "\x03",
    "\x01\x02",
    "\x01\x03",
    "\x00\x02\x01\x03\x00\x01",
    "a\x00b",
]


def texts_read(connection: sqlite3.Connection, expression: str, passed: str) -> list[str]:
    return [text for (text,) in connection.execute(f"SELECT {expression} FROM json_each(?)", (passed,))]


def test_list_of_texts_is_read_as_it_was(connection: sqlite3.Connection) -> None:
    """Whatever characters are in them, also those at which the JSON functions of SQLite end a text."""
    assert TEXTS == texts_read(connection, text_of("value"), json_of_texts(TEXTS))


def test_groups_of_texts_are_read_as_they_were(connection: sqlite3.Connection) -> None:
    """The texts of each group, and what the groups are called."""
    passed = json_of_groups({text: [text[::-1]] for text in TEXTS})
    assert TEXTS == texts_read(connection, text_of("key"), passed)
    read = f"SELECT {text_of('texts.value')} FROM json_each(?) AS groups CROSS JOIN json_each(groups.value) AS texts"
    assert [text[::-1] for text in TEXTS] == [text for (text,) in connection.execute(read, (passed,))]


async def test_simultaneous_commits_keep_their_order(tmp_path: Path) -> None:
    """Of hundreds of units in one transaction, each lane's entries are claimed in the order they were committed."""
    store = SqliteStore(tmp_path / "store.db")
    numbers = range(5 * MOST_ROWS)
    await asyncio.gather(*(append(store, entry(f"e-{number}", lane=f"lane-{number % 100}")) for number in numbers))
    assert [f"e-{number}" for number in range(100)] == await claimed_ids(store)
    await store.close()


async def test_simultaneous_recalls_get_their_own_marks(tmp_path: Path) -> None:
    """Recalls that are read with one statement see only the keys they asked for, byte for byte."""
    store = SqliteStore(tmp_path / "store.db")
    values = {f"mark:{number}": bytes([number, 0, 255]) for number in range(20)}
    await put(store, *(mark(key, value) for key, value in values.items()))
    found = await asyncio.gather(*(recalled(store, key, "mark:none") for key in values))
    assert [{key: value} for key, value in values.items()] == found
    await store.close()


async def test_simultaneous_changes_of_a_state_entry_leave_the_last_one(tmp_path: Path) -> None:
    """Whether the first of them found it absent, expired or there."""
    store = SqliteStore(tmp_path / "store.db")
    await put(store, mark("expired", b"0", expires_after_seconds=0), mark("there", b"0"))
    for key, before in (("absent", None), ("expired", None), ("there", b"0")):
        first = mark(key, b"1", condition=Condition.IF_EQUAL, expected=before)
        await asyncio.gather(put(store, first), put(store, mark(key, None)))
        assert {} == await recalled(store, key)
        await asyncio.gather(put(store, mark(key, None)), put(store, attrs.evolve(first, expected=None)))
        assert {key: b"1"} == await recalled(store, key)
    await store.close()
