"""
requests: what a session sends to people passes the middleware. Also for libraries that take a session, such as
fbmessenger.

Example:
    ```python
    session = instrument(requests.Session(), kochava)
    session.post("https://graph.facebook.com/v26.0/me/messages", json=body)
    ```

Its links become SmartLinks, and a greeting is watched. Everything else passes byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..chain import checked
from ..messenger.http_request import GRAPH_HOSTS, Change, GraphRequest, GraphRequests
from ..middleware import KochavaMiddleware
from ..sync import SyncKochava
from .senders import BlockingSender

try:
    import requests
    from requests.adapters import BaseAdapter
except ModuleNotFoundError as exc:
    msg = "to instrument a session needs a library: pip install requests"
    raise ModuleNotFoundError(msg, name="requests") from exc

Session = TypeVar("Session", bound=requests.Session)


def instrument(
    session: Session, kochava: KochavaMiddleware | SyncKochava, *, hosts: Collection[str] = GRAPH_HOSTS
) -> Session:
    """
    Let what *session* sends to people pass the middleware, in every thread.

    Its adapters send as before, those too that are mounted later. To instrument it again changes nothing.

    Args:
        hosts: The hosts of the Graph API.

    Returns:
        The session itself.

    Raises:
        RegistrationError: *session* is no `requests.Session`, *kochava* is no middleware, or *hosts* are no names of
            hosts.
    """
    checked(session, requests.Session, "pass the session that sends, such as `client.session` of fbmessenger")
    sender = BlockingSender(kochava, hosts)
    adapter_of = session.get_adapter
    if getattr(adapter_of, "kochava", None) is kochava:
        return session

    def get_adapter(url: str) -> BaseAdapter:
        adapter = adapter_of(url)
        return _Adapter(sender, adapter) if sender.requests.has_host(*_host_and_port(url)) else adapter

    get_adapter.kochava = kochava  # type: ignore[attr-defined]
    session.get_adapter = get_adapter  # type: ignore[method-assign]
    return session


class _Adapter(BaseAdapter):
    """The adapter of one request."""

    def __init__(self, sender: BlockingSender, inner: BaseAdapter) -> None:
        super().__init__()
        self._sender = sender
        self._inner = inner

    def send(self, request: requests.PreparedRequest, stream: bool = False, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: FBT001, FBT002
        read = _read(self._sender.requests, request)
        if read is None:
            return self._inner.send(request, stream=stream, **options)

        def call(change: Change | None) -> _Answer:
            response = self._inner.send(_changed(request, change), stream=stream, **options)
            return _Answer(response, is_stream=stream)

        return self._sender.send(read, call).response

    def close(self) -> None:
        self._inner.close()


class _Answer:
    """An answer as the middleware needs it."""

    def __init__(self, response: requests.Response, *, is_stream: bool) -> None:
        self.response = response
        self.status_code = response.status_code
        self._is_stream = is_stream
        if not is_stream:
            # In this thread: it is watched in another one, which must not wait for a connection.
            response.content  # noqa: B018

    def json(self) -> Mapping[str, Any]:
        """The decoded answer; of one that the caller wants to read by itself, only that it was sent."""
        answer: Mapping[str, Any] = {} if self._is_stream else self.response.json()
        return answer


def _read(graph_requests: GraphRequests, request: requests.PreparedRequest) -> GraphRequest | None:
    content = (request.body or "").encode() if isinstance(request.body, str | None) else request.body
    if not isinstance(content, bytes) or "Content-Encoding" in request.headers:
        return None
    url = request.url or ""
    (host, port), address = _host_and_port(url), urlsplit(url)
    if host is None or not graph_requests.may_read(request.method or "", host, port, address.path):
        return None
    return graph_requests.read(host, address.path, request.headers.get("Content-Type"), content, address.query)


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    address = urlsplit(url)
    try:
        return address.hostname, address.port
    except ValueError:
        # What an adapter of the caller's takes for an address need not be one.
        return None, None


def _changed(request: requests.PreparedRequest, change: Change | None) -> requests.PreparedRequest:
    if change is None:
        return request
    changed = request.copy()
    if change.query is not None:
        changed.url = urlsplit(request.url or "")._replace(query=change.query).geturl()
    if change.content is not None:
        changed.body = change.content
        if "Content-Length" in changed.headers:
            changed.headers["Content-Length"] = str(len(change.content))
    return changed
