"""A browser that opens URL buttons: it follows redirects as long as they stay on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import aiohttp
import attrs
from yarl import URL

MAXIMUM_REDIRECTS = 20


@attrs.frozen(kw_only=True)
class Visit:
    """
    The addresses that a browser opened, in order.

    Attributes:
        status: HTTP status of the last answer; ``None`` if the last address is not on this machine and was not asked.
    """

    steps: tuple[str, ...]
    status: int | None

    @property
    def landed(self) -> str:
        """The last address."""
        return self.steps[-1]


async def visit(session: aiohttp.ClientSession, url: str, hosts: Mapping[str, str]) -> Visit:
    """Open *url* and follow its redirects, as long as they lead to this machine or to one of *hosts*."""
    steps = [url]
    status: int | None = None
    while len(steps) <= MAXIMUM_REDIRECTS:
        target = _local(steps[-1], hosts)
        if target is None:
            return Visit(steps=tuple(steps), status=None)
        async with session.get(URL(target, encoded=True), allow_redirects=False) as response:
            await response.read()
            status = response.status
            location = response.headers.get("Location")
        if status not in (301, 302, 303, 307, 308) or location is None:
            break
        steps.append(urljoin(steps[-1], location) if not urlsplit(location).scheme else location)
    return Visit(steps=tuple(steps), status=status)


def _local(url: str, hosts: Mapping[str, str]) -> str | None:
    parts = urlsplit(url)
    if parts.hostname in ("127.0.0.1", "localhost"):
        base = f"{parts.scheme}://{parts.netloc}"
    elif parts.hostname is not None and parts.hostname in hosts:
        base = hosts[parts.hostname]
    else:
        return None
    target = urldefrag(url).url.partition("://")[2]
    rest = target[len(parts.netloc) :] or "/"
    ascii_rest = quote(rest, safe="".join(map(chr, range(0x21, 0x7F))))
    return base + (ascii_rest if ascii_rest.startswith("/") else f"/{ascii_rest}")
