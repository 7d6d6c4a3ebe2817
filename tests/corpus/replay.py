"""What is done with the cases of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from . import seams
from .files import bytes_of
from .server import RecordingServer, recording_server


@attrs.frozen
class Bench:
    """What cases need of the machine."""

    server: RecordingServer
    folder: Path


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """A server and a folder for files."""
    async with recording_server() as server:
        yield Bench(server, folder)


async def _webhook(given: dict[str, Any], _at: Bench) -> Any:
    return seams.parse_webhook_body(bytes_of(given["body"]))


async def _rewrite(given: dict[str, Any], _at: Bench) -> Any:
    return await seams.rewrite(given["body"], given["settings"], given["send"])


async def _call(given: dict[str, Any], at: Bench) -> Any:
    return await seams.send(given, at.server, at.folder)


async def _request(given: dict[str, Any], at: Bench) -> Any:
    return await seams.request_of(given["record"], given["settings"], at.server)


async def _verdict(given: dict[str, Any], at: Bench) -> Any:
    return await seams.verdict_of(given["kind"], given["answer"], given["wire"], at.server)


KINDS: dict[str, Callable[[dict[str, Any], Bench], Awaitable[Any]]] = {
    "webhooks": _webhook,
    "rewrites": _rewrite,
    "calls": _call,
    "requests": _request,
    "verdicts": _verdict,
}
"""By the name of the file."""
