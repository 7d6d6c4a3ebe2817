"""
Requests of any HTTP client to the Graph API: which carry what people will see, what that is, and what was answered.

Everything else is none of our business: other hosts and paths, streams, uploads, and bodies that are not understood.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, Self

import attrs

from ..exceptions import RegistrationError
from .events import Channel
from .links.copy_on_write import decoded, form_fields
from .links.spelling import form_like, json_like
from .outgoing import Endpoint

GRAPH_HOSTS: Final = ("graph.facebook.com", "graph.instagram.com")
"""The hosts of the Graph API."""

_INSTAGRAM_HOST: Final = "graph.instagram.com"
_EDGES: Final = "|".join(endpoint for endpoint in Endpoint if endpoint is not Endpoint.BATCH)
_PATH: Final = re.compile(rf"/+(?:v\d+\.\d+/+)?(?P<node>[^/]+)/+(?P<edge>{_EDGES})/*")
_BATCH_PATH: Final = re.compile(r"/*(?:v\d+\.\d+/*)?")
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/"


@attrs.frozen(kw_only=True)
class Change:
    """What differs in a request: its content, or the query of its address."""

    content: bytes | None = attrs.field(default=None, repr=False)
    query: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class GraphRequest:
    """
    A request with something that people will see.

    Attributes:
        endpoint: Last part of the path.
        page_id: The Page in the path; ``None`` for ``me``.
        channel: ``None`` when the address does not say it.
        body: As of `Outgoing`; of a form, its fields.
    """

    endpoint: str
    page_id: str | None
    channel: Channel | None
    body: Any = attrs.field(repr=False)
    _text: str = attrs.field(repr=False)
    _is_form: bool
    _is_query: bool

    def changed(self, body: Any) -> Change | None:
        """What differs when *body* is sent, which is `body` with other links; ``None`` when nothing does."""
        if body is self.body:
            return None
        text = form_like(self._text, body) if self._is_form else json_like(self._text, body)
        return Change(query=text) if self._is_query else Change(content=text.encode())


@attrs.frozen
class GraphRequests:
    """
    Recognises requests by host and path.

    Args:
        hosts: Names of hosts, with a port where it matters.

    Raises:
        RegistrationError: *hosts* are no names of hosts.
    """

    hosts: frozenset[str]

    @classmethod
    def of(cls, hosts: Collection[str]) -> Self:
        """Those that go to one of *hosts*."""
        if isinstance(hosts, str) or not all(isinstance(host, str) and "/" not in host for host in hosts):
            msg = f"`hosts` must be a list of host names such as {list(GRAPH_HOSTS)}, got {hosts!r}"
            raise RegistrationError(msg)
        return cls(frozenset(host.lower() for host in hosts))

    def has_host(self, host: str | None, port: int | None) -> bool:
        """Whether they may go there."""
        name = (host or "").lower()
        return name in self.hosts or f"{name}:{port}" in self.hosts

    def may_read(self, method: str, host: str | None, port: int | None, path: str) -> bool:
        """Whether they go to this address. To know it, the body is not needed."""
        if method != "POST" or not self.has_host(host, port):
            return False
        return (_PATH.fullmatch(path) or _BATCH_PATH.fullmatch(path)) is not None

    def read(
        self, host: str, path: str, content_type: str | None, content: bytes, query: str = ""
    ) -> GraphRequest | None:
        """
        The request to an address of which `may_read` is true; ``None`` when its body is not understood.

        Args:
            query: Of the address, as it is sent. It is the body where there is none.
        """
        kind = (content_type or _FORM).partition(";")[0].strip().lower()
        if kind.startswith(_MULTIPART):
            return None
        try:
            text = content.decode() or query
        except UnicodeDecodeError:
            return None
        body = decoded(text) if content else None
        is_form = body is None and "=" in text and (not content or kind == _FORM)
        if is_form:
            body = {key: value for key, value, _ in form_fields(text)}
        if not isinstance(body, dict):
            return None
        match = _PATH.fullmatch(path)
        if match is None and "batch" not in body:
            return None
        node = None if match is None else match["node"]
        return GraphRequest(
            endpoint=Endpoint.BATCH if match is None else match["edge"],
            page_id=node if node is not None and node.isascii() and node.isdigit() else None,
            channel=Channel.INSTAGRAM if host.lower() == _INSTAGRAM_HOST else None,
            body=body,
            text=text,
            is_form=is_form,
            is_query=not content,
        )


async def answer_of(answer: Any) -> Mapping[str, Any]:
    """Facebook's answer, from what it was decoded to or from the response object of an HTTP client."""
    status = getattr(answer, "status_code", None) or getattr(answer, "status", None)
    if isinstance(status, int) and status >= 400:
        return {"error": {"code": status}}
    decode = getattr(answer, "json", None)
    if not isinstance(answer, Mapping) and callable(decode):
        try:
            answer = decode()
            answer = await answer if inspect.isawaitable(answer) else answer
        except Exception:  # noqa: BLE001 - a response that was not read, or is closed, only says that it was sent
            return {}
    return answer if isinstance(answer, Mapping) else {}
