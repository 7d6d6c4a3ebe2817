"""A real HTTP proxy on this machine, which takes names that no network has to local servers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs

VARIABLES = [
    written
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for written in (name, name.lower())
]  # fmt: skip


@attrs.define
class ProxyServer:
    """
    Forwards requests and tunnels.

    Attributes:
        ports: By host name, the port of the local server that stands in for it.
        credentials: ``user:password`` that each request needs.
        seen: Method and target of each request.
    """

    ports: dict[str, int] = attrs.field(factory=dict)
    credentials: str | None = None
    seen: list[str] = attrs.field(factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        user = "" if self.credentials is None else f"{self.credentials}@"
        return f"http://{user}127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProxyServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, _, headers = head.partition("\r\n")
            method, target, _version = first.split(" ")
            self.seen.append(f"{method} {target}")
            if self.credentials is not None:
                wanted = base64.b64encode(self.credentials.encode()).decode()
                if f"proxy-authorization: basic {wanted}".lower() not in headers.lower():
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
                    writer.close()
                    return
            host = target.split("//")[-1].split("/")[0].split(":")[0]
            there, back = await asyncio.open_connection("127.0.0.1", self.ports[host])
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("//", 1)[1].partition("/")[2]
                back.write(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}".encode())
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
