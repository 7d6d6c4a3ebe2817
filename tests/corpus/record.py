"""
Records the corpus from the package as it is: ``python -m tests.corpus.record``.

Record only from a release whose behaviour is wanted. The same code gives the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .files import Case, path_of, stored, write_cases
from .replay import KINDS, Bench, bench
from .send_cases import call_cases, rewrite_cases
from .webhook_cases import body_text, webhook_bodies
from .wire_cases import request_cases, verdict_cases


async def _webhook_cases() -> list[Case]:
    bodies = await webhook_bodies()
    return [{"group": group, "name": name, "given": {"body": body_text(body)}} for group, name, body in bodies]


def _ready(cases: Callable[[], list[Case]]) -> Callable[[], Awaitable[list[Case]]]:
    async def made() -> list[Case]:
        return cases()

    return made


CASES: dict[str, Callable[[], Awaitable[list[Case]]]] = {
    "webhooks": _webhook_cases,
    "rewrites": _ready(rewrite_cases),
    "calls": _ready(call_cases),
    "requests": _ready(request_cases),
    "verdicts": _ready(verdict_cases),
}


async def record(kind: str, at: Bench) -> int:
    """Record one kind; returns how many cases there are."""
    cases: list[dict[str, Any]] = stored(await CASES[kind]())
    names = {(case["group"], case["name"]) for case in cases}
    assert len(names) == len(cases), f"two cases of {kind} have one name"
    for case in cases:
        case["expected"] = stored(await KINDS[kind](case["given"], at))
    write_cases(kind, cases)
    return len(cases)


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.record", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(CASES)}; default: all")
    kinds = parser.parse_args().kinds or list(CASES)
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder)) as at:
            for kind in kinds:
                count = await record(kind, at)
                print(f"{kind}: {count} cases, {path_of(kind).stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
