"""The arguments of `kochava-bot demo`; its run is tested in tests/sandbox."""

from __future__ import annotations

import pytest

from .conftest import Run


async def test_demo_without_headless_is_refused(run: Run) -> None:
    """The error names the option."""
    ran = await run("demo")
    assert (2, "") == (ran.status, ran.out)
    assert "--headless" in ran.err


@pytest.mark.parametrize("argument", ["--seconds=-1", "--seconds=nan", "--people=-3", "--kill=x"])
async def test_demo_refuses_wrong_numbers(run: Run, argument: str) -> None:
    """Nothing is started."""
    ran = await run("demo", "--headless", argument)
    assert (2, "") == (ran.status, ran.out)
