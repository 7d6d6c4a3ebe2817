"""The arguments of `kochava-bot demo`; its run is tested in tests/sandbox."""

from __future__ import annotations

import socket

import pytest

from .conftest import Run


async def test_taken_port_is_refused_and_a_free_one_named(run: Run) -> None:
    """The command that is named works."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = await run("demo", "--no-browser", f"--port={port}")
    assert (2, "") == (ran.status, ran.out)
    assert f"port {port} of 127.0.0.1 is taken" in ran.err
    free = int(ran.err.split("kochava-bot demo --port ")[1])
    with socket.create_server(("127.0.0.1", free)):
        pass


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("--seconds", "a number above 0 and at most 3600"),
        ("--people", "a whole number from 1 to 1000"),
        ("--kill", "a whole number from 0 to 100"),
        ("--seed", "a whole number from 0 to 4294967296"),
        ("--port", "a whole number from 0 to 65535"),
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
