"""A store that this user may read but not write: listings work, what would write is refused, and `check` can tell."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, write_settings
from tests.cli.stored import fill
from tests.store.test_read_only import as_nobody


@pytest.fixture
async def folder() -> Iterator[Path]:  # type: ignore[misc]
    """A folder with a store and its settings, which everybody may read."""
    folder = Path(tempfile.mkdtemp(prefix="read-only-"))
    await fill(folder)
    write_settings(folder)
    folder.chmod(0o777)
    (folder / "bot.db").chmod(0o444)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "command",
    [["store", "stats"], ["store", "list"], ["store", "export"], ["trace", "u1"]],
    ids=" ".join,
)
async def test_what_only_reads_works(run: Run, folder: Path, command: list[str]) -> None:
    """Whoever may look is not asked to write."""
    with as_nobody():
        ran = await run(*command, "--settings", folder / "bot.toml")
    assert (0, "") == (ran.status, ran.err)


@pytest.mark.parametrize(
    "command",
    [
        ["store", "init"],
        ["store", "retry", "--all"],
        ["store", "purge", "--dead-older-than", "1"],
        ["check", "--store"],
    ],
    ids=" ".join,
)
async def test_what_writes_is_refused_with_the_remedy(run: Run, folder: Path, command: list[str]) -> None:
    """The text is that of a bot at its start."""
    with as_nobody():
        ran = await run(*command, "--settings", folder / "bot.toml")
    assert 2 == ran.status
    assert "give this user write access to the file" in ran.err


async def test_check_opens_the_store_when_asked(run: Run, tmp_path: Path) -> None:
    """Otherwise it stays offline."""
    await fill(tmp_path)
    ran = await run("check", "--store", "--settings", write_settings(tmp_path))
    assert 0 == ran.status
    assert "can be read and written" in ran.out
