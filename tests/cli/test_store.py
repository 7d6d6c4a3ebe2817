"""`kochava-bot store`: the actions that change nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.store.records import Unit
from tests.cli.conftest import APP_ID, Run, write_settings
from tests.cli.stored import PRIVATE, entry_of, fill, purchase, store_in


async def test_store_stats_prints_the_counts_of_each_queue(run: Run, tmp_path: Path) -> None:
    """One tracked event waits."""
    settings = write_settings(tmp_path, worker="separate")
    middleware = KochavaMiddleware.from_dict(
        {"kochava_app_id": APP_ID, "store": f"sqlite:///{tmp_path / 'bot.db'}", "worker": "separate"}
    )
    await middleware.start()
    await middleware.track("Purchase", user_id="5")
    await middleware.stop()

    ran = await run("store", "stats", "--settings", settings)

    heads, *rows = (line.split() for line in ran.out.splitlines())
    counts = {queue: row for queue, *row in rows}
    assert 0 == ran.status
    assert "queue accepted done waiting in flight dead dropped oldest" == " ".join(heads)
    assert ["1", "0", "1", "0", "0", "0"] == counts["track"][:6]
    assert ("0", "0") == (counts["inbox"][0], counts["ping"][0])


async def test_store_stats_as_json(run: Run, tmp_path: Path) -> None:
    """One object, by queue."""
    await fill(tmp_path)
    ran = await run("store", "stats", "--json", "--settings", write_settings(tmp_path))
    track = json.loads(ran.out)["track"]
    age = track.pop("oldest_waiting_seconds")
    assert {"accepted": 4, "waiting": 1, "in_flight": 0, "done": 1, "dead": 1, "dropped": 1} == track
    assert 0 <= age < 60


async def test_store_stats_creates_no_store(run: Run, tmp_path: Path) -> None:
    """A mistyped path is an error."""
    ran = await run("store", "stats", "--settings", write_settings(tmp_path))
    assert (2, False) == (ran.status, (tmp_path / "bot.db").exists())
    assert str(tmp_path / "bot.db") in ran.err


async def test_store_that_cannot_be_opened(run: Run, tmp_path: Path) -> None:
    """One error that names the file."""
    (tmp_path / "bot.db").mkdir()
    ran = await run("store", "stats", "--settings", write_settings(tmp_path))
    assert 2 == ran.status
    assert str(tmp_path / "bot.db") in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("action", ["stats", "list", "export", "init"])
async def test_store_in_memory_cannot_be_read(run: Run, tmp_path: Path, action: str) -> None:
    """It is another process's memory."""
    ran = await run("store", action, "--settings", write_settings(tmp_path, store="memory://"))
    assert (2, 1) == (ran.status, len(ran.err.splitlines()))
    assert "kochava.store" in ran.err


async def test_store_list_shows_every_entry(run: Run, tmp_path: Path) -> None:
    """Ids, lanes, states, names and reasons of each queue."""
    await fill(tmp_path)
    ran = await run("store", "list", "--settings", write_settings(tmp_path))
    heads, *rows = ran.out.splitlines()
    assert "id queue lane state what attempts created due reason" == " ".join(heads.split())
    by_id = {row.split()[0]: row for row in rows}
    assert {"inbox/m_1", "wait1", "dead1", "gone1", "ping1"} == set(by_id)
    assert "event 'Purchase'" in by_id["wait1"]
    assert by_id["dead1"].endswith("rejected by Kochava")
    assert "impression of greeting" in by_id["ping1"]


@pytest.mark.parametrize("more", [[], ["--json"]])
async def test_store_list_shows_nothing_private(run: Run, tmp_path: Path, more: list[str]) -> None:
    """Neither a webhook's text nor an event's data."""
    await fill(tmp_path)
    ran = await run("store", "list", *more, "--settings", write_settings(tmp_path))
    assert 0 == ran.status
    assert PRIVATE not in ran.out
    assert "47110815471108" not in ran.out


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--queue", "ping"], ["ping1"]),
        (["--state", "dead"], ["dead1", "ping1"]),
        (["--state", "in_flight"], []),
        (["--lane", f"{APP_ID}/7"], ["gone1"]),
        (["--queue", "track", "--limit", "2"], ["dead1", "gone1"]),
        (["--queue", "track", "--after", "gone1"], ["wait1"]),
    ],
)
async def test_store_list_is_filtered(run: Run, tmp_path: Path, filters: list[str], ids: list[str]) -> None:
    """By queue, state and lane; page by page."""
    await fill(tmp_path)
    ran = await run("store", "list", "--json", *filters, "--settings", write_settings(tmp_path))
    assert ids == [json.loads(line)["id"] for line in ran.out.splitlines()]


async def test_store_list_of_nothing(run: Run, tmp_path: Path) -> None:
    """It says so."""
    await fill(tmp_path)
    ran = await run("store", "list", "--queue", "timer", "--settings", write_settings(tmp_path))
    assert (0, "no entries\n") == (ran.status, ran.out)


@pytest.mark.parametrize("action", ["list", "export"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--state", "asleep"], "--state: wanted one of in flight, dead, dropped, waiting, got 'asleep'"),
        (["--state", "done"], "only counted"),
        (
            ["--queue", "trakc"],
            "--queue: wanted one of inbox, track, install, link, ping, click, deletion, timer, got 'trakc'",
        ),
    ],
)
async def test_wrong_filter(run: Run, tmp_path: Path, action: str, wrong: list[str], message: str) -> None:
    """One line with the values that are accepted."""
    await fill(tmp_path)
    ran = await run("store", action, *wrong, "--settings", write_settings(tmp_path))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert message in ran.err


async def test_store_show_prints_one_entry(run: Run, tmp_path: Path) -> None:
    """With the beginning of the answer, without the event's data."""
    await fill(tmp_path)
    ran = await run("store", "show", "dead1", "--settings", write_settings(tmp_path))
    fields = dict(line.split(maxsplit=1) for line in ran.out.splitlines()[1:])
    assert ("dead", "rejected by Kochava", "400 no such app") == tuple(
        fields[name] for name in ("state", "reason", "detail")
    )
    assert "47110815471108" not in ran.out


async def test_store_show_body_of_a_dead_record(run: Run, tmp_path: Path) -> None:
    """With the event's data."""
    await fill(tmp_path)
    ran = await run("store", "show", "dead1", "--show-body", "--json", "--settings", write_settings(tmp_path))
    assert {"sum": 47110815471108} == json.loads(ran.out)["body"]["event_data"]


@pytest.mark.parametrize("entry_id", ["wait1", "gone1", "inbox/m_1"])
async def test_store_show_body_of_others_is_refused(run: Run, tmp_path: Path, entry_id: str) -> None:
    """Waiting, dropped, or a webhook: only dead records are shown."""
    await fill(tmp_path)
    ran = await run("store", "show", entry_id, "--show-body", "--settings", write_settings(tmp_path))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))


async def test_store_show_of_a_delivered_record(run: Run, tmp_path: Path) -> None:
    """It is known as long as its id is remembered."""
    await fill(tmp_path)
    ran = await run("store", "show", "done1", "--settings", write_settings(tmp_path))
    assert (0, "") == (ran.status, ran.err)
    assert re.search(r"^state +done$", ran.out, re.MULTILINE)


async def test_store_show_takes_the_beginning_of_an_id(run: Run, tmp_path: Path) -> None:
    """If no other id begins so."""
    await fill(tmp_path)
    ran = await run("store", "show", "dea", "--json", "--settings", write_settings(tmp_path))
    assert (0, "dead1") == (ran.status, json.loads(ran.out)["id"])


async def test_store_show_of_a_whole_id_that_others_begin_with(run: Run, tmp_path: Path) -> None:
    """It is that entry."""
    async with store_in(tmp_path) as store:
        await store.commit(Unit(appends=[entry_of(purchase(entry_id)) for entry_id in ("ab", "abc")]))
    ran = await run("store", "show", "ab", "--json", "--settings", write_settings(tmp_path))
    assert (0, "ab") == (ran.status, json.loads(ran.out)["id"])


async def test_store_show_of_a_beginning_that_several_ids_have(run: Run, tmp_path: Path) -> None:
    """One line with the ids."""
    async with store_in(tmp_path) as store:
        await store.commit(Unit(appends=[entry_of(purchase(entry_id)) for entry_id in ("abd", "abc")]))
    ran = await run("store", "show", "ab", "--settings", write_settings(tmp_path))
    assert (2, "") == (ran.status, ran.out)
    assert "kochava-bot: 'ab' is the beginning of 2 ids, give more of it: abd, abc\n" == ran.err


@pytest.mark.parametrize("action", [["show"], ["list", "--after"]])
@pytest.mark.parametrize("given", ["nobody", ""])
async def test_id_that_no_entry_has(run: Run, tmp_path: Path, action: list[str], given: str) -> None:
    """One line with what was given."""
    await fill(tmp_path)
    ran = await run("store", *action, given, "--settings", write_settings(tmp_path))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert f"no entry has an id that begins with {given!r}" in ran.err


async def test_store_list_after_the_beginning_of_an_id(run: Run, tmp_path: Path) -> None:
    """As after the whole id."""
    await fill(tmp_path)
    ran = await run(
        "store", "list", "--queue", "track", "--after", "gon", "--json", "--settings", write_settings(tmp_path)
    )
    assert ["wait1"] == [json.loads(line)["id"] for line in ran.out.splitlines()]


async def test_store_export_has_records_but_no_webhooks(run: Run, tmp_path: Path) -> None:
    """One line of JSON an entry; an inbox entry has no body."""
    await fill(tmp_path)
    ran = await run("store", "export", "--settings", write_settings(tmp_path))
    rows = {row["id"]: row for row in map(json.loads, ran.out.splitlines())}
    assert {"inbox/m_1", "wait1", "dead1", "gone1", "ping1"} == set(rows)
    assert {"sum": 47110815471108} == rows["wait1"]["body"]["event_data"]
    assert (None, None) == (rows["inbox/m_1"]["body"], rows["gone1"]["body"])
    assert PRIVATE not in ran.out


async def test_store_init_creates_the_store(run: Run, tmp_path: Path) -> None:
    """Afterwards it can be read; a second time changes nothing."""
    settings = write_settings(tmp_path)
    first = await run("store", "init", "--settings", settings)
    second = await run("store", "init", "--settings", settings)
    stats = await run("store", "stats", "--settings", settings)
    assert (0, 0, 0) == (first.status, second.status, stats.status)
    assert f"{tmp_path / 'bot.db'} is ready" in first.out
