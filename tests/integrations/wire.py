"""A server that notes each request byte for byte, and answers as Facebook does."""

from __future__ import annotations

import gzip
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

ANSWER = b'{"recipient_id": "5551", "message_id": "m_1"}'


@attrs.frozen
class Received:
    """One request: its first line, its headers in order, and its body with any chunks joined."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_boundary(self, boundary: str) -> Received:
        """A multipart request, whose boundary is made anew by each call."""
        found = re.search(r"boundary=\"?([^\";]+)", dict(self.headers).get("Content-Type", ""))
        if found is None:
            return self
        headers = tuple((name, value.replace(found[1], boundary)) for name, value in self.headers)
        return attrs.evolve(self, headers=headers, body=self.body.replace(found[1].encode(), boundary.encode()))


class _Handler(socketserver.StreamRequestHandler):
    server: Wire

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        headers: list[tuple[str, str]] = []
        while header := self.rfile.readline().decode("latin-1").strip():
            name, _, value = header.partition(": ")
            headers.append((name, value))
        lowered = {name.lower(): value for name, value in headers}
        if "chunked" in lowered.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(lowered.get("content-length", 0)))
        self.server.received.append(Received(line, tuple(headers), body))
        content = gzip.compress(self.server.answer)
        self.wfile.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nX-Note: a\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (self.server.status, len(content))
        )
        self.wfile.write(content[: len(content) if self.server.is_whole else 3])


class Wire(socketserver.ThreadingTCPServer):
    """The server; `url` is its address, and `hosts` its name for an integration."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.answer = ANSWER
        self.status = 200
        self.is_whole = True

    @property
    def hosts(self) -> list[str]:
        return [f"127.0.0.1:{self.server_address[1]}"]

    @property
    def url(self) -> str:
        return f"http://{self.hosts[0]}"

    def taken(self) -> Received:
        """The one request since the last call."""
        (received,) = self.received
        self.received.clear()
        return received


@contextmanager
def wire_server() -> Iterator[Wire]:
    """A `Wire` that serves."""
    with Wire() as wire:
        thread = threading.Thread(target=wire.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield wire
        wire.shutdown()
        thread.join()
