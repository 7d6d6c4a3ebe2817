"""
`kochava-bot store`.
"""

from __future__ import annotations

from pathlib import Path

from kochava_bot_middleware import KochavaMiddleware

from .conftest import APP_ID, Run, write_settings


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


async def test_store_stats_makes_no_store(run: Run, tmp_path: Path) -> None:
    """A mistyped path is told, not made."""
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
