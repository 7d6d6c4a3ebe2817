"""The scripted day of `examples/report_day.py`: its report, and what is left after a person is forgotten."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.store.records import EntryState
from kochava_bot_middleware.store.sqlite.store import SqliteStore

EXAMPLE = Path(__file__).parents[2] / "examples/report_day.py"
EXPECTED = json.loads((Path(__file__).parent / "report_day.json").read_text())
SETTINGS = {"kochava_app_id": "koshop1234", "pages": {"1002": {"kochava_app_id": "kounknown1"}}}


@pytest.fixture
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


async def test_report_is_the_committed_one_and_equals_the_counts_of_the_store(
    example: dict[str, Any], tmp_path: Path
) -> None:
    """Three purchases of 100 USD and one of 5 EUR delivered, one dead, one of a person who opted out."""
    report, counts = await example["day"](str(tmp_path / "day.db"), example["NoonClock"]())
    assert EXPECTED == report
    records = report["total"]["records"]
    assert counts == {
        "accepted": records["recorded"],
        "done": records["delivered"],
        "dead": records["dead"],
        "dropped": records["dropped"],
        "waiting": records["waiting"],
    }


@pytest.mark.parametrize("user_id", ["7001", "7004"])
async def test_forgotten_person_is_in_no_byte_of_the_file_and_the_amounts_stand(
    example: dict[str, Any], tmp_path: Path, user_id: str
) -> None:
    """What was delivered of them stays counted; what was dead is counted as dropped."""
    path, clock = tmp_path / "day.db", example["NoonClock"]()
    await example["day"](str(path), clock)
    store = SqliteStore(path, clock=clock)
    before = await store.counts()
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store, clock=clock)
    assert user_id.encode() in path.read_bytes()
    await kochava.forget(user_id)
    after = await store.counts()
    for what in ("recorded", "done"):
        assert [each for each in before if each.what.startswith(what)] == [
            each for each in after if each.what.startswith(what)
        ]
    ended = [each for each in after if each.what.startswith(("dead", "dropped"))]
    assert [("dropped:forgotten" if user_id == "7004" else "dead:rejected by Kochava", 1, 20_000_000)] == [
        (each.what, each.count, each.amount) for each in ended
    ]
    for state in EntryState:
        assert user_id not in str(await store.browse("track", state=state))
    await kochava.stop()
    for file in tmp_path.iterdir():
        if file.is_file():
            assert user_id.encode() not in file.read_bytes(), file.name
