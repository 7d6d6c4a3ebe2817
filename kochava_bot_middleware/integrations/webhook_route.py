"""Which requests of a foreign host are webhooks, which of those are refused, and what their endpoint is called."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypedDict

from ..clock import SystemClock
from ..exceptions import NotAWebhook, RegistrationError, SignatureError
from ..inbox.settings import InboxSettings
from ..incidents import Incidents
from ..messenger.events import Event
from ..messenger.parsing.webhook import Headers

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 * 1024 * 1024
"""A larger webhook is refused."""

BODY_TIMEOUT_SECONDS = 30.0
"""How long a webhook may take to arrive."""

Parse = Callable[[bytes, Headers], list[Event]]
"""The ``parse`` of a `KochavaMiddleware` or `SyncKochava`."""


class RefusedWebhook(Exception):
    """What to answer a webhook that must not reach the endpoint."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class WebhookOptions(TypedDict, total=False):
    """The arguments of `WebhookRoute`, which the middleware of each kind of host takes, too."""

    path: str
    handler: str | None
    max_body_bytes: int
    body_timeout_seconds: float
    store_first: bool | InboxSettings


class WebhookRoute:
    """
    The webhook within a foreign host.

    Args:
        path: As Facebook requests it; slashes at its end or doubled ones make no difference.
        handler: Name of the endpoint, for Kochava; by default what its framework says, if it does.
        max_body_bytes: A larger webhook is answered 413.
        body_timeout_seconds: A webhook that does not arrive in this time is answered 408; of WSGI servers, gunicorn and
            Werkzeug allow it, and it is how long nothing comes.
        store_first: Store each webhook, answer 200, and call the endpoint from the store, again and again until it
            answers 2xx. It takes the settings of the inbox in place of ``True``.
    """

    def __init__(
        self,
        *,
        path: str = "/webhook",
        handler: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
        store_first: bool | InboxSettings = False,
    ) -> None:
        if not isinstance(path, str) or not path.startswith("/"):
            msg = f'`path` is the path of the webhook, such as "/webhook", got {path!r}'
            raise RegistrationError(msg)
        self._path = _plain(path)
        self.handler = handler
        self.max_body_bytes = max_body_bytes
        self.body_timeout_seconds = body_timeout_seconds
        self.store_first = store_first
        self.incidents = Incidents(SystemClock(), log)

    def matches(self, method: str, path: str, root: str = "") -> bool:
        """
        Whether it is a webhook.

        *root* is where the host is mounted, if that is known. Frameworks disagree on whether it is a part of *path*,
        and routers on doubled slashes; what is taken for a webhook too often is read, and its signature checked.
        """
        if method != "POST":
            return False
        return self._path in {_plain(path), _plain(f"{root}/{path}")} or _plain(path) == _plain(f"{root}/{self._path}")

    def check_length(self, length: int) -> None:
        """
        Check how long a body is, or says to be.

        Raises:
            RefusedWebhook: It is too large.
        """
        if length > self.max_body_bytes:
            raise self.refused(413, f"the body is larger than {self.max_body_bytes} bytes")

    def events_of(self, parse: Parse, raw_body: bytes, headers: Headers) -> list[Event]:
        """
        The events of a body; of one that is no webhook there are none, and the endpoint says what to answer.

        Raises:
            RefusedWebhook: Its signature is missing or wrong.
        """
        try:
            return parse(raw_body, headers)
        except SignatureError as exc:
            raise self.refused(exc.status, str(exc)) from None
        except NotAWebhook:
            return []

    def refused(self, status: int, reason: str) -> RefusedWebhook:
        """The error to raise; it is logged once a minute."""
        self.incidents.report("webhook_refused", f"{status} {reason}")
        return RefusedWebhook(status, reason)

    def untracked(self, reason: str) -> None:
        """Note that a webhook cannot be tracked; the endpoint gets it nevertheless."""
        self.incidents.report("tracking_failed", "webhook", reason=reason)


def _plain(path: str) -> str:
    return "/" + "/".join(filter(None, path.split("/")))


def endpoint_name(endpoint: Any) -> str | None:
    """What a function, a class or an object that serves a route is called; ``None`` when nobody has named it."""
    while isinstance(endpoint, functools.partial):
        endpoint = endpoint.func
    name = getattr(endpoint, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else None
