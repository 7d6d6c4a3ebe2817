"""`kochava-bot track`."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.cli.event_lines import MOST_BYTES, lines_of
from kochava_bot_middleware.cli.track import BATCH
from kochava_bot_middleware.kochava.records import Engagement, decode
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.tracking.recording import RequestedEvent
from tests.tracking.tracked_bot import tracked_bot

from .conftest import Run, write_settings
from .stored import store_in

ROOT = Path(__file__).parents[2]
TIME = "2026-09-01T12:00:00+02:00"
SECONDS = int(datetime(2026, 9, 1, 10, tzinfo=UTC).timestamp())
CONTEXT = tracked_bot(store=MemoryStore()).context()


def line(number: int = 0, **more: Any) -> dict[str, Any]:
    """An event without an id."""
    return {"name": "Purchase", "data": {"sum": number}, "user_id": str(number % 7), "time": TIME, **more}


def write_lines(folder: Path, *lines: Any) -> Path:
    """A file of events; a text is a line as it is."""
    path = folder / "events.jsonl"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
    return path


async def recorded(folder: Path) -> list[Engagement]:
    """The events that wait, in order."""
    async with store_in(folder) as store:
        rows = await store.browse("track", limit=100_000)
    return [record for row in rows if isinstance(record := decode(row.entry.body), Engagement)]


def by_person(numbers: Iterable[int]) -> list[list[int]]:
    """The numbers of `line`, in order for each person; nobody waits for others."""
    found: list[list[int]] = [[] for _ in range(7)]
    for number in numbers:
        found[number % 7].append(number)
    return found


def separate(folder: Path, **settings: Any) -> Path:
    return write_settings(folder, worker="separate", **settings)


async def test_an_event_is_recorded(run: Run, tmp_path: Path) -> None:
    """With all that arguments say of it; the worker delivers it."""
    ran = await run(
        "track", "Purchase", "--user", "5", "--device-id", "adid=a=b", "--data", '{"sum": 1}', "--time", TIME, "--id",
        "o1", "--page", "1001", "--channel", "instagram", "--settings", separate(tmp_path),
    )  # fmt: skip
    (record,) = await recorded(tmp_path)
    assert ("Purchase", {"sum": 1}, SECONDS, "1001") == (
        record.event_name,
        record.event_data,
        record.usertime,
        record.page_id,
    )
    assert {"ig_user_id": "5", "adid": "a=b"} == record.device_ids
    said = f"1 of 1 event recorded; 1 record waits for `kochava-bot worker` in sqlite:///{tmp_path}/bot.db"
    assert (0, f"kochava-bot track: {said}\n") == (ran.status, ran.out)


async def test_an_id_counts_once(run: Run, tmp_path: Path) -> None:
    """However often the command is run; the time may be seconds, and the person known by a device id alone."""
    arguments = ("track", "Purchase", "--device-id", "adid=a", "--time", "5", "--id", "o1", "--settings")
    await run(*arguments, separate(tmp_path))
    ran = await run(*arguments, separate(tmp_path))
    (record,) = await recorded(tmp_path)
    assert (5, {"adid": "a"}) == (record.usertime, record.device_ids)
    assert "0 of 1 event recorded, 1 were there before" in ran.out


async def test_it_delivers_itself_unless_the_worker_is_separate(run: Run, tmp_path: Path) -> None:
    """As a bot with these settings does."""
    async with LocalKochava(app_ids=["kobotdemo1234"]) as kochava:
        settings = write_settings(tmp_path, **{"wire.event_url": f"{kochava.url}/track/json"})
        ran = await run("track", "Purchase", "--user", "5", "--settings", settings)
        assert 1 == len(await kochava.received(within_seconds=1))
    assert (0, "kochava-bot track: 1 of 1 event recorded; all is delivered\n") == (ran.status, ran.out)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "NAME: wanted the name of the event, or --from FILE, got nothing"),
        (("Purchase",), "`user_id` must say whom it is about"),
        (("Purchase", "--user", "5", "--time", "2026-09-01T12:00:00"), "without a time zone; add it"),
        (("Purchase", "--user", "5", "--time", "yesterday"), "`time`: wanted ISO 8601 with a time zone"),
        (("Purchase", "--user", "5", "--time", "9e12"), "more than an hour in the future"),
        (("Purchase", "--user", "5", "--data", "{"), "--data: wanted JSON, got what is none"),
        (("Purchase", "--device-id", "adid"), "got a text without ="),
        (("Purchase", "--device-id", "fb_user_id=5"), "wanted as `user_id`"),
        (("--from", "no-such-file"), "--from no-such-file: No such file"),
        (("Purchase", "--from", "x"), "--from: wanted nothing else about events, got NAME"),
        (("--device-id", "a=b", "--from", "x"), "--from: wanted nothing else about events, got --device-id"),
    ],
)
async def test_wrong_arguments_record_nothing(run: Run, tmp_path: Path, arguments: Sequence[str], error: str) -> None:
    """One error."""
    ran = await run("track", *arguments, "--settings", separate(tmp_path))
    assert (2, "") == (ran.status, ran.out)
    assert error in ran.err
    assert not (tmp_path / "bot.db").exists()


async def test_a_store_in_memory_is_refused(run: Run, tmp_path: Path) -> None:
    """Nobody else could deliver from it."""
    ran = await run("track", "Purchase", "--user", "5", "--settings", write_settings(tmp_path, store="memory://"))
    assert (2, True) == (ran.status, "kochava.store: wanted a store that processes can share" in ran.err)


async def test_a_file_is_recorded_in_its_order(run: Run, tmp_path: Path) -> None:
    """Blank lines, Windows line ends and a byte order mark included."""
    lines = [line(number) for number in range(2 * BATCH + 5)]
    path = write_lines(tmp_path, "\ufeff" + json.dumps(lines[0]) + "\r", "", *lines[1:])
    ran = await run("track", "--from", path, "--settings", separate(tmp_path))
    records = await recorded(tmp_path)
    assert by_person(range(len(lines))) == by_person(record.event_data["sum"] for record in records)
    assert (0, True) == (ran.status, f"{len(lines)} of {len(lines)} events recorded; " in ran.out)


async def test_standard_input_is_a_file(tmp_path: Path) -> None:
    """Though it can be read only once."""
    text = write_lines(tmp_path, line(1), line(2)).read_bytes()
    process = await track_process(tmp_path, separate(tmp_path), "-", stdin=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(text)
    assert b"2 of 2 events recorded" in out
    assert 2 == len(await recorded(tmp_path))


async def test_equal_lines_are_two_events_and_count_once_each(run: Run, tmp_path: Path) -> None:
    """Also when the file has grown, or is run again as another one."""
    settings = separate(tmp_path)
    await run("track", "--from", write_lines(tmp_path, line(1), line(1)), "--settings", settings)
    ran = await run("track", "--from", write_lines(tmp_path, line(1), line(1), line(1)), "--settings", settings)
    assert "1 of 3 events recorded, 2 were there before" in ran.out
    assert 3 == len(await recorded(tmp_path))


async def test_lines_without_a_time_count_once_though_the_file_has_grown(run: Run, tmp_path: Path) -> None:
    """At its end or elsewhere."""
    settings = separate(tmp_path)
    lines = [{"name": "Renewal", "user_id": user_id} for user_id in ("5", "6", "7", "8")]
    await run("track", "--from", write_lines(tmp_path, *lines[1:3]), "--settings", settings)
    ran = await run("track", "--from", write_lines(tmp_path, *lines), "--settings", settings)
    assert "2 of 4 events recorded, 2 were there before" in ran.out
    assert ["5", "6", "7", "8"] == sorted(record.user_id for record in await recorded(tmp_path))


async def test_repeated_lines_without_a_time_are_said_to_need_one(run: Run, tmp_path: Path) -> None:
    """They may be meant as events of another day."""
    settings, timeless = separate(tmp_path), {"name": "Renewal", "user_id": "5"}
    first = await run("track", "--from", write_lines(tmp_path, timeless), "--settings", settings)
    again = await run("track", "--from", write_lines(tmp_path, timeless), "--settings", settings)
    assert ("", 0) == (first.err, again.status)
    assert "0 of 1 event recorded, 1 were there before" in again.out
    assert "if they are new events, give them an `id` or a `time`" in again.err


async def test_repeated_lines_with_a_time_are_not(run: Run, tmp_path: Path) -> None:
    """Nor those with an id: they are meant as the same events."""
    settings = separate(tmp_path)
    path = write_lines(tmp_path, line(1), {"name": "Renewal", "user_id": "5", "id": "r1"})
    await run("track", "--from", path, "--settings", settings)
    again = await run("track", "--from", path, "--settings", settings)
    assert ("", True) == (again.err, "0 of 2 events recorded, 2 were there before" in again.out)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("{", "wanted a JSON object, got what is no JSON"),
        ("[]", "wanted an object with name, data, .*, got a list of 0"),
        ({**line(), "userid": "5"}, "got the unknown key 'userid'"),
        ({**line(), "time": "2026-09-01T12:00:00"}, "without a time zone"),
        ({**line(), "time": 9e12}, "more than an hour in the future"),
        ({**line(), "user_id": None}, "`user_id` must say whom it is about"),
        ({"user_id": "5"}, "an event has a name"),
        ({**line(), "channel": "sms"}, "`channel` is one of"),
        ({**line(), "device_ids": {"mail": "anna@example.org"}}, "may be an e-mail address"),
        ({**line(), "data": {"source": "x"}}, "is reserved by Kochava"),
        ('"' + MOST_BYTES * "x" + '"', f"wanted at most {MOST_BYTES} bytes, got more"),
    ],
)
async def test_a_wrong_line_is_named_and_nothing_of_its_file_is_recorded(
    run: Run, tmp_path: Path, wrong: Any, why: str
) -> None:
    """Not even what comes before it. (The settings are strict, so that data are checked, too.)"""
    path = write_lines(tmp_path, *(line(number) for number in range(BATCH + 1)), wrong, line())
    ran = await run("track", "--from", path, "--settings", separate(tmp_path, **{"events.strict": True}))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert f"kochava-bot: line {BATCH + 2}: " in ran.err
    assert re.search(why, ran.err)
    assert not (tmp_path / "bot.db").exists()


async def test_people_who_opted_out_are_left_out(run: Run, tmp_path: Path) -> None:
    """The summary says how many, and why."""
    settings = separate(tmp_path, test_users=["1"])
    ran = await run("track", "--from", write_lines(tmp_path, line(1), line(2)), "--settings", settings)
    assert "1 of 2 events recorded, 1 left out (test user)" in ran.out


async def test_a_dry_run_records_nothing(run: Run, tmp_path: Path) -> None:
    """It says so."""
    ran = await run("track", "Purchase", "--user", "5", "--settings", separate(tmp_path, mode="dry_run"))
    assert "0 of 1 event recorded, 1 left out (dry run); nothing is sent while mode is 'dry_run'" in ran.out


async def track_process(folder: Path, settings: Path, file: str, **streams: Any) -> asyncio.subprocess.Process:
    """The command as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kochava_bot_middleware", "track", "--from", file, "--settings", str(settings),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, **streams,
    )  # fmt: skip


async def test_a_run_that_was_killed_is_run_again_without_doubles(run: Run, tmp_path: Path) -> None:
    """Each event is recorded once, and those of a person in order."""
    count, settings = 40 * BATCH, separate(tmp_path)
    path = write_lines(tmp_path, *(line(number) for number in range(count)))
    process = await track_process(tmp_path, settings, str(path))
    while not (tmp_path / "bot.db").exists() or not (partly := len(await recorded(tmp_path))):
        assert process.returncode is None
        await asyncio.sleep(0.01)
    process.kill()
    await process.communicate()
    assert partly < count
    ran = await run("track", "--from", path, "--settings", settings)
    records = await recorded(tmp_path)
    assert 0 == ran.status
    assert by_person(range(count)) == by_person(record.event_data["sum"] for record in records)


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), max_size=20))
def test_lines_are_numbered_as_an_editor_does(texts: list[bytes]) -> None:
    """Blank ones are counted, but are no events."""
    file = io.BytesIO(b"\n".join(texts))
    found = {each.number: each.text for each in lines_of(file)}
    without_mark = [text.removeprefix(b"\xef\xbb\xbf") if number == 0 else text for number, text in enumerate(texts)]
    assert {number: text.strip() for number, text in enumerate(without_mark, 1) if text.strip()} == found


def events_in(text: str) -> Iterator[RequestedEvent]:
    earlier = Counter[bytes]()
    return (each.event(CONTEXT, earlier) for each in lines_of(io.BytesIO(text.encode())))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_ids_of_lines_are_single_and_stay(made: list[tuple[int, bool]]) -> None:
    """Whatever they hold, also if the file grows; a given id is kept."""
    lines = [line(number, **({} if has_time else {"time": None})) for number, has_time in made]
    text = "\n".join(map(json.dumps, lines))
    ids = [event.track_id for event in events_in(text)]
    assert len(lines) == len(set(ids))
    assert ids == [event.track_id for event in events_in(f"{text}\n{json.dumps(line(99))}")][:-1]
    assert ["o1"] == [event.track_id for event in events_in(json.dumps(line(1, id="o1")))]
