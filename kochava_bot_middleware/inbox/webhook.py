"""
The framework-free side of a webhook: raw bytes and headers in, a status and a text out.

Signature first, on the raw bytes; then parsing; then the inbox. What is refused leaves nothing behind but its reason.

A body may hold a hundred thousand events. They are parsed and stored in slices, between which others are served, and
only one large body at a time is in memory as more than its bytes.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreError, StoreUnavailable, WebhookError
from ..incidents import Incidents
from ..messenger.events import Event
from ..messenger.parsing.webhook import Headers, iter_webhook, signature_of, verify_signature
from ..settings import Secret

log = logging.getLogger(__name__)

SLICE = 1000
"""Most events of a webhook that are stored at a time. Facebook batches no more than so many."""

LARGE_BYTES = 256 * 1024
"""A larger body is read after the large ones that came before it; most have a kilobyte."""


@attrs.frozen(kw_only=True)
class WebhookAnswer:
    """
    What to answer Facebook.

    Attributes:
        status: HTTP status.
        text: Body of the answer, plain text.
    """

    status: int
    text: str


RECEIVED = WebhookAnswer(status=200, text="EVENT_RECEIVED")


class Webhook:
    """
    Receives what Facebook sends.

    Attributes:
        slice_size: Most events that are parsed and stored at a time.

    Args:
        accept: Takes up to `slice_size` events over; when it returns they are durable.
        app_secrets: A signature by any of them is good: several apps, or one whose secret is being changed.
        verify_token: What Facebook must say when the callback is configured.
        max_body_bytes: A larger body is refused with 413.
        body_timeout_seconds: One that takes longer to arrive is refused with 408.
        clock: Time; each reason for a refusal is logged once a minute.
    """

    slice_size = SLICE

    def __init__(
        self,
        accept: Callable[[Sequence[Event]], Awaitable[None]],
        *,
        app_secrets: Sequence[Secret],
        verify_token: Secret,
        max_body_bytes: int,
        body_timeout_seconds: float,
        clock: Clock | None = None,
    ) -> None:
        self._accept = accept
        self._incidents = Incidents(clock or SystemClock(), log)
        self._app_secrets = [secret.value for secret in app_secrets]
        self._verify_token = verify_token
        self.max_body_bytes = max_body_bytes
        self._body_timeout_seconds = body_timeout_seconds
        self._reading_large = asyncio.Lock()

    def verify(self, query: Mapping[str, str]) -> WebhookAnswer:
        """Answer the GET that Facebook sends when the callback is configured: its challenge, or 403."""
        token = query.get("hub.verify_token", "")
        # Some hosts decode what is no UTF-8 to surrogates.
        right = hmac.compare_digest(token.encode(errors="surrogatepass"), self._verify_token.value.encode())
        if query.get("hub.mode") != "subscribe" or not right:
            return self._refuse(403, "the verify token is missing or wrong")
        return WebhookAnswer(status=200, text=query.get("hub.challenge", ""))

    async def receive(self, raw_body: bytes, headers: Headers) -> WebhookAnswer:
        """Take one POST. *raw_body* must be the bytes as they came: parsing and dumping breaks the signature."""
        if len(raw_body) > self.max_body_bytes:
            return self.too_large()
        try:
            verify_signature(raw_body, signature_of(headers), self._app_secrets)
            if len(raw_body) <= LARGE_BYTES:
                await self._take(raw_body)
            else:
                async with self._reading_large:
                    await self._take(raw_body)
        except WebhookError as exc:
            return self._refuse(exc.status, str(exc))
        except StoreUnavailable as exc:
            return self._refuse(503, str(exc))
        except StoreError:
            # Its text may quote what it could not keep.
            return self._refuse(503, "the store cannot keep the event")
        return RECEIVED

    async def receive_parts(self, parts: AsyncIterable[bytes], headers: Headers) -> WebhookAnswer:
        """Take one POST as its body arrives: no more of it than the limit, and no longer than the time allowed."""
        raw_body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_seconds):
                async for part in parts:
                    raw_body += part
                    if len(raw_body) > self.max_body_bytes:
                        return self.too_large()
        except TimeoutError:
            return self._refuse(408, "the body did not arrive in time")
        return await self.receive(bytes(raw_body), headers)

    async def _take(self, raw_body: bytes) -> None:
        """Have all events stored. If that fails in between, Facebook delivers them again, and each counts once."""
        events = iter_webhook(raw_body, on_skipped=self._report_skipped)
        while some := list(itertools.islice(events, self.slice_size)):
            await self._accept(some)
            if len(some) < self.slice_size:
                return
            # What takes none of them does not wait for anything.
            await asyncio.sleep(0)

    def _report_skipped(self, part: str) -> None:
        self._incidents.report("webhook_part_skipped", part)

    def too_large(self) -> WebhookAnswer:
        """The answer to a body over the limit, for hosts that stop reading there."""
        return self._refuse(413, f"the body is larger than {self.max_body_bytes} bytes")

    def unreadable(self) -> WebhookAnswer:
        """The answer to a request whose body does not come as its headers say, for hosts that unpack it."""
        return self._refuse(400, "the body cannot be read")

    def _refuse(self, status: int, reason: str) -> WebhookAnswer:
        # Anyone can send any number of bad signatures, which must not fill the log.
        self._incidents.report("webhook_refused", f"{status} {reason}")
        return WebhookAnswer(status=status, text=reason)
