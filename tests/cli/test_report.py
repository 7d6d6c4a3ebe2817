"""`kochava-bot report` and `kochava-bot reconcile`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kochava_bot_middleware.store.day_counts import label_of
from kochava_bot_middleware.store.records import Entry, Lease, Outcome, Settlement, Unit
from kochava_bot_middleware.tracking.counting import Facts, day_of
from tests.cli.conftest import Run, write_settings
from tests.cli.stored import store_in

MOMENT = datetime(2026, 11, 27, 23, 30, tzinfo=UTC).timestamp()

EXPORT = """\
when,event,n
2026-11-27 22:00:00,Purchase,1
2026-11-27T23:30:00+00:00,Purchase,1
"""

BOM = "\ufeff"

COLUMNS = ("--date-column", "when", "--event-column", "event")


async def deliver(folder: Path, count: int = 2, name: str = "Purchase") -> None:
    """Some events of 19.99 USD each, delivered late in the evening."""
    facts = Facts("1001", "messenger", "engagement", name, "USD").to_text()
    label = label_of(day_of(MOMENT), facts, 19_990_000)
    entries = [
        Entry(id=f"{name}{n}", queue="track", lane=str(n), created_at=MOMENT, body=b"{}", label=label)
        for n in range(count)
    ]
    async with store_in(folder) as store:
        lease = Lease(queue="track", seconds=60.0)
        leased = (await store.commit(Unit(appends=entries, lease=lease))).leased
        await store.commit(Unit(settlements=[Settlement(claim=each, outcome=Outcome.DONE) for each in leased]))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return write_settings(tmp_path)


def written(folder: Path, text: str) -> str:
    (folder / "export.csv").write_text(text, encoding="utf-8")
    return str(folder / "export.csv")


async def test_table_names_events_and_revenue(run: Run, tmp_path: Path, settings: Path) -> None:
    """For a person at a terminal."""
    await deliver(tmp_path)
    ran = await run("report", "--settings", settings)
    assert 0 == ran.status
    assert any(line.split() == ["USD", "39.98", "39.98"] for line in ran.out.splitlines())


async def test_json_of_other_days_is_empty(run: Run, tmp_path: Path, settings: Path) -> None:
    """`--since` and `--until` bound the days."""
    await deliver(tmp_path)
    ran = await run("report", "--settings", settings, "--since", "2026-11-28", "--format", "json")
    assert {} == json.loads(ran.out)["by_day"]
    ran = await run("report", "--settings", settings, "--until", "2026-11-27", "--format", "json")
    assert 2 == json.loads(ran.out)["by_day"]["2026-11-27"]["events"]["Purchase"]["delivered"]


async def test_csv_goes_to_a_file(run: Run, tmp_path: Path, settings: Path) -> None:
    """Nothing is printed then."""
    await deliver(tmp_path)
    output = tmp_path / "report.csv"
    ran = await run("report", "--settings", settings, "--format", "csv", "--output", output)
    assert (0, "") == (ran.status, ran.out)
    assert "2026-11-27,events,Purchase delivered,2" in output.read_text()


async def test_html_without_its_library_names_what_to_install(
    run: Run, tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback."""
    await deliver(tmp_path)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    ran = await run("report", "--settings", settings, "--format", "html")
    assert 2 == ran.status
    assert "pip install 'kochava-bot-middleware[report]'" in ran.err


async def test_export_that_equals_what_was_delivered(run: Run, tmp_path: Path, settings: Path) -> None:
    """Also where its times are of another zone than UTC."""
    await deliver(tmp_path)
    export = written(tmp_path, EXPORT)
    for more in ((), ("--count-column", "n"), ("--timezone", "Europe/Berlin")):
        ran = await run("reconcile", export, "--settings", settings, *COLUMNS, *more)
        assert 0 == ran.status, ran.out + ran.err


async def test_difference_is_printed_unless_it_is_tolerated(run: Run, tmp_path: Path, settings: Path) -> None:
    """By day and event, with both numbers; also of an event that the export does not have."""
    await deliver(tmp_path, 3)
    await deliver(tmp_path, 1, "Search")
    export = written(tmp_path, EXPORT)
    ran = await run("reconcile", export, "--settings", settings, *COLUMNS)
    rows = [line.split() for line in ran.out.splitlines()[1:]]
    assert (1, [["2026-11-27", "Purchase", "3", "2", "-1"], ["2026-11-27", "Search", "1", "0", "-1"]]) == (
        ran.status,
        rows,
    )
    assert 0 == (await run("reconcile", export, "--settings", settings, *COLUMNS, "--tolerance", "100%")).status


async def test_missing_column_names_those_that_are_there(run: Run, tmp_path: Path, settings: Path) -> None:
    """So that the right one is found."""
    await deliver(tmp_path)
    export = written(tmp_path, EXPORT)
    ran = await run("reconcile", export, "--settings", settings, "--date-column", "day", "--event-column", "event")
    assert 2 == ran.status
    assert "no column 'day'; it has 'when', 'event', 'n'" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        f"{BOM}{EXPORT}",
        EXPORT.replace(",", ";"),
        EXPORT.replace(",", "\t"),
        EXPORT.replace("\n", "\r\n"),
        '"a, b, c, d";when;event\n"x";2026-11-27;Purchase\n"y";2026-11-27;Purchase\n',
        'note,when,event\n"two\nlines, and a comma",2026-11-27,Purchase\n\n"""quoted""",2026-11-27,Purchase\n',
        "other,when,event,other\na,2026-11-27,Purchase,b\na,2026-11-27, Purchase ,b\n",
    ],
    ids=["BOM", "semicolon", "tab", "CRLF", "commas in quotes", "quoted newline", "other column twice"],
)
async def test_export_of_any_spreadsheet_is_read(run: Run, tmp_path: Path, settings: Path, text: str) -> None:
    """Whatever separates its columns, and whatever is in those that do not matter."""
    await deliver(tmp_path)
    ran = await run("reconcile", written(tmp_path, text), "--settings", settings, *COLUMNS)
    assert (0, "nothing differs: 2 events in the export\n") == (ran.status, ran.out), ran.err


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "the export has no column 'when'; it has none"),
        ("when,event\n", "has no events"),
        ("when,event,event\n2026-11-27,Purchase,Search\n", "the export has 2 columns 'event': rename all but"),
        ("when|event\n2026-11-27|Purchase\n", "the export has no column 'when'; it has 'when|event'"),
        ("when,event\n2026-11-27\n,Purchase\n", "row 3, column 'when': wanted a date or time"),
    ],
)
async def test_export_that_cannot_be_compared_is_an_error(
    run: Run, tmp_path: Path, settings: Path, text: str, error: str
) -> None:
    """Status 2, since 1 says that something differs; one line says what is wrong."""
    await deliver(tmp_path)
    ran = await run("reconcile", written(tmp_path, text), "--settings", settings, *COLUMNS)
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert error in ran.err


@pytest.mark.parametrize("content", [None, "when,event\n".encode("utf-16"), b"when,event\n\xff,a\n"])
async def test_file_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, settings: Path, content: bytes | None
) -> None:
    """It is missing, or not in UTF-8."""
    await deliver(tmp_path)
    export = tmp_path / "export.csv"
    if content is not None:
        export.write_bytes(content)
    ran = await run("reconcile", export, "--settings", settings, *COLUMNS)
    assert 2 == ran.status
    assert f"{export} cannot be read as CSV" in ran.err


@pytest.mark.parametrize(("tolerance", "status"), [("0%", 1), ("24%", 1), ("25%", 0), ("25", 0)])
async def test_tolerance_is_a_part_of_what_was_delivered(
    run: Run, tmp_path: Path, settings: Path, tolerance: str, status: int
) -> None:
    """Three of four arrived: a quarter is missing."""
    await deliver(tmp_path, 4)
    export = written(tmp_path, "when,event,n\n2026-11-27,Purchase,3\n")
    more = ("--count-column", "n", "--tolerance", tolerance)
    assert status == (await run("reconcile", export, "--settings", settings, *COLUMNS, *more)).status


@pytest.mark.parametrize("more", [("--timezone", "Mars/Olympus"), ("--tolerance", "101%"), ("--tolerance", "some")])
async def test_argument_that_makes_no_sense_is_an_error(
    run: Run, tmp_path: Path, settings: Path, more: tuple[str, str]
) -> None:
    """It is named with what was wanted."""
    ran = await run("reconcile", written(tmp_path, EXPORT), "--settings", settings, *COLUMNS, *more)
    assert 2 == ran.status
    assert f"got {more[1]!r}" in ran.err


@pytest.mark.parametrize("moment", ["27.11.2026", "soon", ""])
async def test_date_that_cannot_be_read_names_its_row(run: Run, tmp_path: Path, settings: Path, moment: str) -> None:
    """And what was wanted."""
    await deliver(tmp_path)
    export = written(tmp_path, f"when,event\n2026-11-27,Purchase\n{moment},Purchase\n")
    ran = await run("reconcile", export, "--settings", settings, *COLUMNS)
    assert 2 == ran.status
    assert f"row 3, column 'when': wanted a date or time such as 2026-11-01 13:00, got {moment!r}" in ran.err


async def test_days_of_another_zone_cannot_be_compared(run: Run, tmp_path: Path, settings: Path) -> None:
    """A day without a time does not say which hours of UTC it has."""
    await deliver(tmp_path)
    export = written(tmp_path, "when,event\n2026-11-27,Purchase\n")
    ran = await run("reconcile", export, "--settings", settings, *COLUMNS, "--timezone", "Asia/Tokyo")
    assert 2 == ran.status
    assert "leave out --timezone" in ran.err


async def test_trace_shows_what_was_delivered(run: Run, tmp_path: Path, settings: Path) -> None:
    """When, with the answer, also after the body is erased."""
    async with store_in(tmp_path) as store:
        entry = Entry(
            id="e1",
            queue="track",
            lane="kobotdemo1234/77",
            created_at=MOMENT,
            body=b"{}",
            kind="engagement",
            name="Rating",
        )
        (claim,) = (await store.commit(Unit(appends=[entry], lease=Lease(queue="track", seconds=60.0)))).leased
        await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE, detail="200")]))
    ran = await run("trace", "77", "--json", "--settings", settings)
    (row,) = json.loads(ran.out)["entries"]
    assert ("event 'Rating'", "done", 1, "200") == (row["what"], row["state"], row["attempts"], row["detail"])
    assert row["ended_at"] is not None
