"""An HTTP server on this machine that keeps every request byte for byte and gives the answers laid ready."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs

from .files import text_of

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n"
    b'{"recipient_id":"1","message_id":"m_1"}'
)

HANG_UP = b""
"""An answer that closes the connection instead."""

HANG = b"hang"
"""An answer that never comes."""

_BOUNDARY = re.compile(r"boundary=([0-9A-Za-z'()+_,\-./:=?]+)")

_LEFT_OUT = frozenset({"host", "connection", "accept-encoding"})
"""Headers that depend on the port or on what is installed."""


@attrs.define
class RecordingServer:
    """Answers are used up in order; then every request gets `ANSWER`."""

    port: int = 0
    answers: list[bytes] = attrs.field(factory=list)
    seen: list[dict[str, Any]] = attrs.field(factory=list)
    released: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> list[dict[str, Any]]:
        """What came since the last time."""
        seen, self.seen = self.seen, []
        return seen

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self._answer_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        headers = [(name.lower(), value) for name, _, value in (field.partition(": ") for field in fields)]
        body = await _body_of(reader, dict(headers))
        self.seen.append(_seen(line, headers, body))
        answer = self.answers.pop(0) if self.answers else ANSWER
        if answer == HANG:
            await self.released.wait()
            return False
        writer.write(answer)
        await writer.drain()
        # What the client cannot read to its end by itself is cut here.
        return answer != HANG_UP and b"X-Cut:" not in answer


@asynccontextmanager
async def recording_server() -> AsyncIterator[RecordingServer]:
    """One on a free port."""
    recording = RecordingServer()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(recording.serve(reader, writer))
        connections.add(task)
        await asyncio.wait([task])

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    recording.port = server.sockets[0].getsockname()[1]
    try:
        yield recording
    finally:
        recording.released.set()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


def http_answer(answer: dict[str, Any]) -> bytes:
    """
    The bytes of an answer described by ``status``, ``headers`` and ``body``, or by ``hang_up`` or ``hang``.

    With ``cut``, the answer promises that many bytes more than come.
    """
    if answer.get("hang_up"):
        return HANG_UP
    if answer.get("hang"):
        return HANG
    body = str(answer.get("body", "")).encode()
    headers: Sequence[tuple[str, str]] = list(answer.get("headers", {}).items())
    if answer.get("cut"):
        headers = [*headers, ("X-Cut", "1")]
    lines = [f"HTTP/1.1 {answer.get('status', 200)} Answer", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Content-Length: {len(body) + answer.get('cut', 0)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(chunks)


def _seen(line: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    kept = {name: value for name, value in sorted(headers) if name not in _LEFT_OUT}
    if kept.get("user-agent", "").startswith("Python/"):
        del kept["user-agent"]
    boundary = _BOUNDARY.search(kept.get("content-type", ""))
    if boundary is not None:
        # A new one each time, of the same length.
        kept["content-type"] = kept["content-type"].replace(boundary[1], "BOUNDARY")
        body = body.replace(boundary[1].encode(), b"BOUNDARY")
    return {"request": line, "headers": kept, "body": text_of(body)}
