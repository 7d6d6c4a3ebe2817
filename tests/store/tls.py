"""
TLS in front of servers that have none of their own: the builds of the test wheels were made without it.

Certificates are real, from an authority made for the run; nothing of a client's checks is switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import attrs
import trustme

SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
"""What a PostgreSQL client asks before it begins TLS."""

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@attrs.frozen(kw_only=True)
class Authority:
    """
    Who vouches for servers.

    Attributes:
        file: Its own certificate, as clients are given it.
    """

    ca: trustme.CA
    file: Path

    def server(self, host: str, *, client: Authority | None = None) -> ssl.SSLContext:
        """The context of a server at *host*; with *client* it takes only clients that this authority vouches for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host).configure_cert(context)
        if client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client.file)
        return context

    def client(self, folder: Path) -> tuple[Path, Path]:
        """The files with a client's certificate and its key."""
        issued = self.ca.issue_cert("bot@example.com")
        certificate, key = folder / "client.pem", folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return certificate, key


def authority(folder: Path) -> Authority:
    """A new one."""
    folder.mkdir(exist_ok=True)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    return Authority(ca=ca, file=folder / "ca.pem")


@contextlib.asynccontextmanager
async def tls_server(context: ssl.SSLContext, connect: Connect, *, negotiates: bool = False) -> AsyncIterator[int]:
    """
    The port of a server that speaks TLS, and hands what is within to another one.

    Args:
        connect: Opens a connection to that one.
        negotiates: TLS begins when a PostgreSQL client asks for it; else at once.
    """
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if negotiates:
                assert SSL_REQUEST == await reader.readexactly(len(SSL_REQUEST))
                writer.write(b"S")
                await writer.start_tls(context)
            within = await connect()
            await asyncio.gather(copy(reader, within[1]), copy(within[0], writer))
        writer.close()
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if negotiates else context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving)


def to_port(port: int) -> Connect:
    return functools.partial(asyncio.open_connection, "127.0.0.1", port)


def to_socket(path: Path) -> Connect:
    return functools.partial(asyncio.open_unix_connection, str(path))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on bytes until there are no more."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
