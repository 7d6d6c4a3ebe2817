"""
What reading a webhook costs, as a multiple of decoding its JSON.

Run ``python -m benchmarks.parsing``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import orjson
from rich.console import Console

from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook

from .row import Row, table_of

_ITEM = {
    "sender": {"id": "7012345678901234"},
    "recipient": {"id": "1001"},
    "timestamp": 1_767_225_600_123,
    "message": {
        "mid": "m_AG5Hz2Uq7tuwNEhXfYYKj8mJEM_QPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP_5cgXIbu7I3rBN0P",
        "text": "What is the price of these shoes, and do you have them in red?",
    },
}
BODY = json.dumps({"object": "page", "entry": [{"id": "1001", "time": 1_767_225_600, "messaging": [_ITEM]}]}).encode()


def microseconds(work: Callable[[bytes], Any], calls: int) -> float:
    """Time of one call."""
    began = time.perf_counter_ns()
    for _ in range(calls):
        work(BODY)
    return (time.perf_counter_ns() - began) / calls / 1000


def rows(rounds: int = 9, calls: int = 5_000) -> list[Row]:
    """One message."""
    pairs = [(microseconds(parse_webhook, calls), microseconds(orjson.loads, calls)) for _ in range(rounds)]
    return [Row.of_rounds(pairs, what="parse one message webhook", floor="orjson.loads of it", unit="µs", budget=8)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=5_000)
    arguments = parser.parse_args()
    Console().print(table_of(rows(arguments.rounds, arguments.calls)))


if __name__ == "__main__":
    main()
