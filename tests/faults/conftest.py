"""What the fault tests run against, and how hard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.engines import ENGINES, fresh_address

KILLS = 210
"""Over all stores."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=KILLS, help="how many processes are killed, over all stores")
    parser.addoption("--fault-seed", type=int, default=1, help="of everything that happens by chance")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    seed: int = request.config.getoption("--fault-seed", 1)
    return seed


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many of them fall to each store."""
    kills: int = request.config.getoption("--kills", KILLS)
    return -(-kills // len(ENGINES))


@pytest.fixture(params=ENGINES)
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    engine: str = request.param
    return await fresh_address(engine, tmp_path)
