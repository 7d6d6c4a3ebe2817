"""
Tracks the webhook of a WSGI application: Flask, Django, Bottle, Falcon.

Example:
    ```python
    app = Flask(__name__)
    app.wsgi_app = KochavaWSGIMiddleware(app.wsgi_app, kochava=SyncKochava.from_dict(settings))
    ```
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from contextvars import copy_context
from http import HTTPStatus
from typing import Any, Unpack

from ..chain import checked
from ..daemon_threads import DaemonThreads
from ..exceptions import KochavaBotError
from ..handling import Handling
from ..inbox.inbox import Inbox
from ..inbox.settings import InboxSettings
from ..messenger.events import Event
from ..messenger.parsing.webhook import SIGNATURE_HEADER
from ..sync import SyncKochava
from .store_first import ANSWER, EndpointAnswer, StoreFirst
from .webhook_route import RefusedWebhook, WebhookOptions, WebhookRoute

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

READ_BYTES = 65536

SOCKETS = ("gunicorn.socket", "werkzeug.socket")
"""Where servers give the connection, which a time-out needs. Others have a time-out of their own."""

THREADS = 8
"""Threads in which the endpoint is called; more are started when it is called more often at a time."""

MOST_THREADS = 64
"""How many stored webhooks the endpoint gets at a time, unless `InboxSettings` say so."""

_SIGNATURE = "HTTP_" + SIGNATURE_HEADER.upper().replace("-", "_")

_STORED = frozenset({
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "CONTENT_TYPE",
    "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR", "wsgi.url_scheme",
})  # fmt: skip
"""What is stored of a request beside its headers. Of some servers, the rest has all variables of the process."""

_NOT_STORED = frozenset({"HTTP_PROXY", "HTTP_TRANSFER_ENCODING"})
"""The first may be such a variable; the second is not true of a body that is stored."""


class KochavaWSGIMiddleware:
    """
    Records the events of each webhook, and what its endpoint sends and tracks; other requests pass untouched.

    All is committed before the answer leaves. The first webhook in each process starts *kochava*.

    Args:
        options: As of `WebhookRoute`.
    """

    def __init__(self, app: Application, *, kochava: SyncKochava, **options: Unpack[WebhookOptions]) -> None:
        self._app = app
        right_call = "pass `SyncKochava.from_dict(…)`, or `kochava.sync` of a KochavaMiddleware"
        self._kochava = checked(kochava, SyncKochava, right_call)
        self._route = route = WebhookRoute(**options)
        self._stored: StoreFirst | None = None
        self._opened: tuple[Inbox | None, DaemonThreads | None] = None, None
        if route.store_first:
            settings = InboxSettings(concurrency=MOST_THREADS) if route.store_first is True else route.store_first
            self._stored = StoreFirst(kochava.runtime, route, settings, self._call)
            self._inbox_settings = settings
            kochava.added_to(self)

    def start(self) -> None:
        """
        With ``store_first``, handle what a killed process has left; the first webhook does so, too.

        Raises:
            StoreUnavailable: The store cannot be opened.
            RegistrationError: This thread runs an event loop.
        """
        if self._stored is not None:
            self._kochava.run("start", self._open)

    async def _open(self) -> None:
        assert self._stored is not None
        await self._stored.open()
        inbox = self._kochava.runtime.inbox
        if inbox is not self._opened[0]:
            most = self._inbox_settings.concurrency
            self._opened = inbox, DaemonThreads(min(THREADS, most), "kochava-bot-endpoint", most=most)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        root, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if not self._route.matches(environ["REQUEST_METHOD"], root + path, root):
            return self._app(environ, start_response)
        try:
            raw_body = self._body(environ)
            headers = {SIGNATURE_HEADER: environ[_SIGNATURE]} if _SIGNATURE in environ else {}
            events = self._route.events_of(self._kochava.parse, raw_body, headers)
            if events and self._stored is not None:
                return self._store(events, raw_body, headers[SIGNATURE_HEADER], environ, start_response)
        except RefusedWebhook as exc:
            return _answer(exc.status, exc.reason.encode(), start_response)
        environ["wsgi.input"] = io.BytesIO(raw_body)
        return self._tracked(events, environ, start_response) if events else self._app(environ, start_response)

    def _store(
        self,
        events: list[Event],
        raw_body: bytes,
        signature: str,
        environ: Environ,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        async def store() -> None:
            await self._open()
            assert self._stored is not None
            await self._stored.accept(events, raw_body, signature, lambda changed: _stored_of(environ, changed))

        try:
            self._kochava.run("start", store)
        except KochavaBotError as exc:
            raise self._route.refused(503, str(exc)) from None
        return _answer(200, ANSWER, start_response)

    async def _call(self, request: Mapping[str, Any], handling: Handling, answer: EndpointAnswer) -> None:
        """Call the endpoint with a stored request, in a thread."""
        environ = _environ_of(request)
        handling.find_handler = lambda: self._route.handler or _flask_endpoint(environ)
        await asyncio.get_running_loop().run_in_executor(
            self._opened[1], copy_context().run, self._serve, environ, answer
        )

    def _serve(self, environ: Environ, answer: EndpointAnswer) -> None:
        whole = WholeAnswer(self._app, environ)
        answer.status, answer.is_whole = whole.status, True
        whole.close()

    def _tracked(self, events: list[Event], environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def name() -> str | None:
            return self._route.handler or _flask_endpoint(environ)

        with ExitStack() as stack:
            call = None
            try:
                call = stack.enter_context(self._kochava.handling_together(events, handler=name))
            except KochavaBotError as exc:
                self._route.untracked(str(exc))
            answer = WholeAnswer(self._app, environ)
            if call is not None and answer.status is not None:
                call.answered(answer.status)
        start_response(*answer.start)
        return answer.chunks if answer.is_list else answer

    def _body(self, environ: Environ) -> bytes:
        length = environ.get("CONTENT_LENGTH") or ""
        if length and not length.isdecimal():
            raise self._route.refused(400, "the Content-Length is no number")
        wanted = int(length) if length else None
        if wanted is None and not environ.get("wsgi.input_terminated"):
            # Without a length, nobody knows where it ends.
            return b""
        self._route.check_length(wanted or 0)
        connection = next((environ[key] for key in SOCKETS if environ.get(key) is not None), None)
        before = None if connection is None else connection.gettimeout()
        try:
            if connection is not None:
                connection.settimeout(self._route.body_timeout_seconds)
            return self._read(environ["wsgi.input"], wanted)
        except TimeoutError:
            raise self._route.refused(408, "the body did not arrive in time") from None
        except OSError:
            raise self._route.refused(400, "the body was cut off") from None
        finally:
            if connection is not None:
                connection.settimeout(before)

    def _read(self, stream: Any, wanted: int | None) -> bytes:
        body = bytearray()
        while wanted is None or len(body) < wanted:
            part = stream.read(READ_BYTES if wanted is None else min(READ_BYTES, wanted - len(body)))
            if not part:
                break
            body += part
            self._route.check_length(len(body))
        if wanted is not None and len(body) < wanted:
            raise self._route.refused(400, "the body was cut off")
        return bytes(body)


class WholeAnswer:
    """
    The answer of an application, made as a whole before any of it leaves.

    Attributes:
        start: The arguments of ``start_response``.
        chunks: Its body.
        is_list: The application gave a list, whose length tells a server the length of the body.
    """

    def __init__(self, app: Application, environ: Environ) -> None:
        self.start: tuple[Any, ...] = ()
        self.chunks: list[bytes] = []
        self._body = app(environ, self._start_response)
        self.is_list = isinstance(self._body, list | tuple)
        try:
            self.chunks += self._body
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        """Called by the server once the answer was sent."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()

    @property
    def status(self) -> int | None:
        """The number in its status; ``None`` if there is none."""
        status = str(self.start[0]).partition(" ")[0] if self.start else ""
        return int(status) if status.isdecimal() else None

    def _start_response(self, *start: Any) -> Callable[[bytes], None]:
        self.start = start
        return self.chunks.append


def _flask_endpoint(environ: Environ) -> str | None:
    name = getattr(environ.get("werkzeug.request"), "endpoint", None)
    return name if isinstance(name, str) else None


def _stored_of(environ: Environ, changed: Mapping[str, str]) -> dict[str, str]:
    """What is stored of a request, some of whose headers are changed."""
    return {
        key: changed.get(key.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for key, value in environ.items()
        if (key in _STORED or key.startswith("HTTP_")) and key not in _NOT_STORED
    }


def _environ_of(stored: Mapping[str, str]) -> Environ:
    body = stored["body"].encode()
    return {
        **{key: value for key, value in stored.items() if key != "body"},
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _answer(status: int, text: bytes, start_response: StartResponse) -> list[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [text]
