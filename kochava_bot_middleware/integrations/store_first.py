"""Webhooks of a foreign host that are stored first: its endpoint is called from the inbox, as often as it takes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from ..exceptions import RegistrationError, StoreError
from ..handling import Handling, trail_of
from ..inbox.settings import InboxSettings
from ..inbox.stored_event import request_of
from ..inbox.webhook import SLICE
from ..messenger.events import Event
from ..messenger.parsing.webhook import SIGNATURE_HEADER, signature_by, webhook_of
from ..runtime import Runtime
from .webhook_route import WebhookRoute

log = logging.getLogger(__name__)

ANSWER = b"EVENT_RECEIVED"
"""What is answered to a webhook that is stored."""


@attrs.define
class EndpointAnswer:
    """
    What an endpoint answers to a stored webhook.

    Attributes:
        status: HTTP status; ``None`` before it answers.
        is_whole: The answer is complete, whatever the endpoint does after it.
    """

    status: int | None = None
    is_whole: bool = False

    @property
    def is_good(self) -> bool:
        """It has handled the webhook."""
        return self.is_whole and self.status is not None and 200 <= self.status < 300


CallEndpoint = Callable[[Mapping[str, Any], Handling, EndpointAnswer], Awaitable[None]]
"""Makes a request as it was stored, with the ``body`` of the webhook, and notes the answer."""


class StoreFirst:
    """
    The inbox of a foreign host. Each event is stored with the request by which its endpoint is called.

    Of a webhook with several events, each one comes to the endpoint in a webhook of its own, signed anew: so they are
    handled in each person's order, and each of them once, however Facebook puts them together when it repeats them.

    Args:
        settings: How long is waited for the store, and how often the endpoint is called.

    Raises:
        RegistrationError: No `app_secret` is set.
    """

    def __init__(self, runtime: Runtime, route: WebhookRoute, settings: InboxSettings, call: CallEndpoint) -> None:
        if not runtime.core.context.settings.app_secrets:
            msg = "`store_first` needs the setting `app_secret`: what is stored must be known to come from Facebook"
            raise RegistrationError(msg)
        self._runtime = runtime
        self._route = route
        self._settings = settings
        self._call = call

    async def open(self) -> None:
        """Begin to call the endpoint, once the middleware is started."""
        await self._runtime.open_inbox(self._dispatch, self._settings)

    async def accept(
        self, events: Sequence[Event], raw_body: bytes, signature: str, fields: Callable[[Mapping[str, str]], Any]
    ) -> None:
        """
        Store a webhook; when this returns, it may be answered 200.

        Args:
            events: All events of it.
            signature: The value of the header.
            fields: Gives the request as JSON values, with these values of headers in place of its own.

        Raises:
            RefusedWebhook: It is not stored: answer 503.
        """
        inbox = self._runtime.inbox
        if inbox is None:
            raise self._route.refused(503, "the store is not open")

        def request(event: Event) -> dict[str, Any]:
            if len(events) == 1:
                return {**fields({}), "body": raw_body.decode()}
            body = orjson.dumps(webhook_of(event))
            return {**fields(self._headers_of(body, raw_body, signature)), "body": body.decode()}

        try:
            for first in range(0, len(events), SLICE):
                await inbox.accept(events[first : first + SLICE], request)
        except StoreError as exc:
            raise self._route.refused(503, f"the webhook is not stored: {type(exc).__name__}") from None

    def _headers_of(self, body: bytes, raw_body: bytes, signature: str) -> dict[str, str]:
        """The headers of *body*, a part of the webhook that came with *signature*."""
        secrets = [secret.value for secret in self._runtime.core.context.settings.app_secrets]
        secret = next(each for each in secrets if signature_by(each, raw_body) == signature)
        return {
            "content-length": str(len(body)),
            SIGNATURE_HEADER.lower(): signature_by(secret, body),
            SIGNATURE_HEADER.lower().removesuffix("-256"): signature_by(secret, body, "sha1"),
        }

    async def _dispatch(self, handling: Handling) -> str | None:
        core = self._runtime.core
        with core.handling(handling.event, is_current=True):
            if not handling.rerun:
                return "the endpoint did not take it in time"
            assert handling.entry is not None
            answer = EndpointAnswer()
            try:
                await self._call(request_of(handling.entry), handling, answer)
            except BaseException as exc:
                if handling.is_ended_by(exc):
                    raise
                log.error("endpoint_failed: raised %s", trail_of(exc))
            else:
                if not answer.is_good:
                    log.error("endpoint_failed: answered %s", answer.status)
            handling.name_handler()
            handling.handled = answer.is_good
            if answer.is_good:
                return None
            if not core.is_off:
                # It is recorded once it is handled, or given up.
                core.recorder.recording_of(handling).without_event = True
            return "the endpoint failed"
