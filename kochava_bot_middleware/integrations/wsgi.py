"""
Tracks the webhook of a WSGI application: Flask, Django, Bottle, Falcon.

Example:
    ```python
    app = Flask(__name__)
    app.wsgi_app = KochavaWSGIMiddleware(app.wsgi_app, kochava=SyncKochava.from_dict(settings))
    ```
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from ..chain import checked
from ..core import WebhookCall
from ..exceptions import KochavaBotError
from ..messenger.events import Event
from ..messenger.parsing.webhook import SIGNATURE_HEADER
from ..sync import SyncKochava
from .webhook_route import BODY_TIMEOUT_SECONDS, MAX_BODY_BYTES, RefusedWebhook, WebhookRoute

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

READ_BYTES = 65536

SOCKETS = ("gunicorn.socket", "werkzeug.socket")
"""Where servers give the connection, which a time-out needs. Others have a time-out of their own."""

_SIGNATURE = "HTTP_" + SIGNATURE_HEADER.upper().replace("-", "_")


class KochavaWSGIMiddleware:
    """
    Records the events of each webhook, and what its endpoint sends and tracks; other requests pass untouched.

    All is committed before the answer leaves. The first webhook in each process starts *kochava*.

    Args:
        path: Of the webhook.
        handler: Name of the endpoint, for Kochava; by default what Flask says.
        max_body_bytes: A larger webhook is answered 413.
        body_timeout_seconds: A webhook of which nothing comes for so long is answered 408, where the server gives the
            connection (gunicorn, Werkzeug); other servers have a time-out of their own.
    """

    def __init__(
        self,
        app: Application,
        *,
        kochava: SyncKochava,
        path: str = "/webhook",
        handler: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    ) -> None:
        self._app = app
        right_call = "pass `SyncKochava.from_dict(…)`, or `kochava.sync` of a KochavaMiddleware"
        self._kochava = checked(kochava, SyncKochava, right_call)
        self._handler = handler
        self._route = WebhookRoute(path, max_body_bytes)
        self._body_timeout_seconds = body_timeout_seconds

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        root, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
        if not self._route.matches(environ["REQUEST_METHOD"], root + path, root):
            return self._app(environ, start_response)
        try:
            raw_body = self._body(environ)
            headers = {SIGNATURE_HEADER: environ[_SIGNATURE]} if _SIGNATURE in environ else {}
            events = self._route.events_of(self._kochava.parse, raw_body, headers)
        except RefusedWebhook as exc:
            return _refuse(exc, start_response)
        environ["wsgi.input"] = io.BytesIO(raw_body)
        return self._tracked(events, environ, start_response) if events else self._app(environ, start_response)

    def _tracked(self, events: list[Event], environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        def name() -> str | None:
            return self._handler or _flask_endpoint(environ)

        with ExitStack() as stack:
            call = None
            try:
                call = stack.enter_context(self._kochava.handling_together(events, handler=name))
            except KochavaBotError as exc:
                self._route.untracked(str(exc))
            answer = WholeAnswer(self._app, environ)
            if call is not None:
                _note(answer, call)
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
                connection.settimeout(self._body_timeout_seconds)
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

    def _start_response(self, *start: Any) -> Callable[[bytes], None]:
        self.start = start
        return self.chunks.append


def _note(answer: WholeAnswer, call: WebhookCall) -> None:
    status = str(answer.start[0]).partition(" ")[0] if answer.start else ""
    if status.isdecimal():
        call.answered(int(status))


def _flask_endpoint(environ: Environ) -> str | None:
    name = getattr(environ.get("werkzeug.request"), "endpoint", None)
    return name if isinstance(name, str) else None


def _refuse(refused: RefusedWebhook, start_response: StartResponse) -> list[bytes]:
    text = refused.reason.encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    start_response(f"{refused.status} {HTTPStatus(refused.status).phrase}", headers)
    return [text]
