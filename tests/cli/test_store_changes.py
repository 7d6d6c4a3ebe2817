"""`kochava-bot store`: the actions that change it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.store.records import EntryState, Outcome, Settlement, Unit
from tests.cli.conftest import Run, write_settings
from tests.cli.stored import entry_of, fill, purchase, states, store_in


async def test_retry_puts_a_named_entry_back(run: Run, tmp_path: Path) -> None:
    """It waits again; nothing else changes."""
    await fill(tmp_path)
    ran = await run("store", "retry", "dead1", "dead1", "--settings", write_settings(tmp_path))
    assert (0, "1 put back\n") == (ran.status, ran.out)
    assert EntryState.WAITING == (await states(tmp_path))["dead1"]
    assert {"ping1": EntryState.DEAD} == await states(tmp_path, "ping")


async def test_retry_all_puts_every_dead_entry_back(run: Run, tmp_path: Path) -> None:
    """Of all queues."""
    await fill(tmp_path)
    ran = await run("store", "retry", "--all", "--settings", write_settings(tmp_path))
    assert (0, "2 put back\n") == (ran.status, ran.out)
    assert {"dead1": EntryState.WAITING, "wait1": EntryState.WAITING, "gone1": EntryState.DROPPED} == await states(
        tmp_path
    )
    assert {"ping1": EntryState.WAITING} == await states(tmp_path, "ping")


async def test_retry_all_of_one_queue(run: Run, tmp_path: Path) -> None:
    """The others stay dead."""
    await fill(tmp_path)
    ran = await run("store", "retry", "--all", "--queue", "ping", "--settings", write_settings(tmp_path))
    assert (0, "1 put back\n") == (ran.status, ran.out)
    assert EntryState.DEAD == (await states(tmp_path))["dead1"]


@pytest.mark.parametrize(("ids", "status", "out"), [(["wait1"], 2, ""), (["dead1", "nope"], 1, "1 put back\n")])
async def test_retry_of_what_is_not_dead(run: Run, tmp_path: Path, ids: list[str], status: int, out: str) -> None:
    """It is named; dead entries are still put back."""
    await fill(tmp_path)
    ran = await run("store", "retry", *ids, "--settings", write_settings(tmp_path))
    assert (status, out) == (ran.status, ran.out)
    assert f"kochava-bot: no dead entry has an id that begins with {ids[-1]!r}\n" == ran.err


async def test_retry_takes_the_beginning_of_an_id(run: Run, tmp_path: Path) -> None:
    """Each entry once, however often it is named."""
    await fill(tmp_path)
    ran = await run("store", "retry", "dea", "dead1", "pin", "--settings", write_settings(tmp_path))
    assert (0, "2 put back\n") == (ran.status, ran.out)
    assert EntryState.WAITING == (await states(tmp_path))["dead1"]
    assert {"ping1": EntryState.WAITING} == await states(tmp_path, "ping")


async def test_retry_of_a_beginning_that_several_ids_have(run: Run, tmp_path: Path) -> None:
    """The ids are named, and nothing is put back."""
    await put_dead(tmp_path, [purchase(f"ab{number}", user=str(number)) for number in range(7)])
    ran = await run("store", "retry", "ab", "--settings", write_settings(tmp_path))
    assert (2, "") == (ran.status, ran.out)
    assert "kochava-bot: 'ab' is the beginning of 7 ids, give more of it: ab0, ab1, ab2, ab3, ab4, …\n" == ran.err
    assert {EntryState.DEAD} == set((await states(tmp_path)).values())


async def put_dead(folder: Path, records: Sequence[Engagement]) -> None:
    """Make a store in which these records are dead."""
    async with store_in(folder) as store:
        now = SystemClock().now()
        await store.commit(Unit(appends=[entry_of(record, created_at=now) for record in records]))
        claims = await store.claim("track", 1000, 60.0)
        ends = [Settlement(claim=claim, outcome=Outcome.DEAD, reason="too old") for claim in claims]
        await store.commit(Unit(settlements=ends))


@pytest.mark.parametrize(
    "arguments", [[], ["dead1", "--all"], ["dead1", "--queue", "track"], ["--all", "--queue", "x"]]
)
async def test_retry_with_contradictory_arguments(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    """One line, and nothing is put back."""
    await fill(tmp_path)
    ran = await run("store", "retry", *arguments, "--settings", write_settings(tmp_path))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert EntryState.DEAD == (await states(tmp_path))["dead1"]


async def test_purge_removes_what_ended_long_ago(run: Run, tmp_path: Path) -> None:
    """Dead and dropped entries, none that waits."""
    await fill(tmp_path)
    young = await run("store", "purge", "--dead-older-than", "1", "--settings", write_settings(tmp_path))
    old = await run("store", "purge", "--dead-older-than", "0", "--settings", write_settings(tmp_path))
    assert ("0 removed\n", "3 removed\n") == (young.out, old.out)
    assert {"wait1": EntryState.WAITING} == await states(tmp_path)


@pytest.mark.parametrize("days", ["-1", "old", "nan"])
async def test_purge_refuses_a_wrong_age(run: Run, tmp_path: Path, days: str) -> None:
    """Nothing is removed."""
    await fill(tmp_path)
    ran = await run("store", "purge", f"--dead-older-than={days}", "--settings", write_settings(tmp_path))
    assert 2 == ran.status
    assert EntryState.DEAD == (await states(tmp_path))["dead1"]


async def test_retry_all_of_more_than_a_page(run: Run, tmp_path: Path) -> None:
    """Each once."""
    records = [purchase(f"d{number}", user=str(number)) for number in range(600)]
    await put_dead(tmp_path, records)
    ran = await run("store", "retry", "--all", "--settings", write_settings(tmp_path))
    assert "600 put back\n" == ran.out
    assert {EntryState.WAITING} == set((await states(tmp_path)).values())
