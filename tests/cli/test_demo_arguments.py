"""The arguments of `kochava-bot demo`; its run is tested in tests/sandbox."""

from __future__ import annotations

import pytest

from .conftest import Run


async def test_demo_without_headless_is_refused(run: Run) -> None:
    """The error names the option."""
    ran = await run("demo")
    assert (2, "") == (ran.status, ran.out)
    assert "--headless" in ran.err


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("--seconds", "a number above 0 and at most 3600"),
        ("--people", "a whole number from 1 to 1000"),
        ("--kill", "a whole number from 0 to 100"),
        ("--seed", "a whole number from 0 to 4294967296"),
    ],
)
@pytest.mark.parametrize("number", ["-1", "1e300", "nan", "inf", "x", "", "9" * 5000])
async def test_demo_refuses_wrong_numbers(run: Run, option: str, wanted: str, number: str) -> None:
    """Nothing is started, and the message says what is wanted."""
    ran = await run("demo", "--headless", f"{option}={number}")
    assert (2, "") == (ran.status, ran.out)
    assert f"{option}: wanted {wanted}, got" in ran.err
    assert len(ran.err) < 1000


@pytest.mark.parametrize("argument", ["--people=0", "--seconds=0", "--seconds=-0.0", "--people=2.5"])
async def test_demo_of_nobody_or_of_no_time_is_refused(run: Run, argument: str) -> None:
    """It would have nothing to do, and nothing to wait for."""
    ran = await run("demo", "--headless", argument)
    assert (2, "") == (ran.status, ran.out)
