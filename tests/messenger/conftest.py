"""Fixtures of the Messenger tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.messenger.local_graph import LocalGraph


@pytest.fixture(name="graph")
async def _graph() -> AsyncIterator[LocalGraph]:
    graph = await LocalGraph.start()
    yield graph
    await graph.stop()
