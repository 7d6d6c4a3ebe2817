"""Options and stores of the fault tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.engines import ENGINES, fresh_address

KILLS = 210
"""On all stores together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=KILLS, help="how many processes are killed, on all stores together")
    parser.addoption("--fault-seed", type=int, default=1, help="of all random choices")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    seed: int = request.config.getoption("--fault-seed", 1)
    return seed


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many kills there are on each store."""
    kills: int = request.config.getoption("--kills", KILLS)
    return -(-kills // len(ENGINES))


@pytest.fixture(params=ENGINES)
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    engine: str = request.param
    return await fresh_address(engine, tmp_path)
