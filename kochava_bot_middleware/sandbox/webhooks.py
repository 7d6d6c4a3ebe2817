"""
How the local Messenger brings its webhooks to the bot: signed, in order for each person, again when not answered 200.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import attrs

from ..clock import Clock

RETRY_WAITS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each further attempt: at once, then ever later, then no more."""


class Redelivery(enum.Enum):
    """Whether webhooks that were answered well come again nevertheless, byte for byte."""

    NEVER = "never"
    AFTERWARDS = "afterwards"
    """A second time after the first was answered."""

    AT_ONCE = "at_once"
    """Twice at the same time."""


@attrs.frozen(kw_only=True)
class SentWebhook:
    """
    One webhook, which always carries one item.

    Attributes:
        kind: The item's own key, such as ``message``, ``postback`` or ``delivery``; ``echo`` for an echo.
        page_id: The Page or Instagram account.
        user_id: The person.
        mid: Of the message or postback; ``None`` where the item has none.
        item: The item of ``messaging``.
        raw: The body as it goes over the wire.
    """

    kind: str
    page_id: str
    user_id: str
    mid: str | None = None
    item: Mapping[str, Any]
    raw: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class WebhookOutcome:
    """
    What became of a webhook.

    Attributes:
        webhook: Which one.
        acknowledged: Whether it was answered 200.
        attempts: How many requests it took.
        status: HTTP status of the last answer; ``None`` when there was none in time.
        at: When it was settled, in seconds since the epoch.
    """

    webhook: SentWebhook
    acknowledged: bool
    attempts: int
    status: int | None
    at: float


def facebook_json(value: Any) -> bytes:
    r"""JSON as Facebook writes it: all ASCII, ``\uXXXX`` in lower case, and ``/``, ``<``, ``%``, ``@`` escaped."""
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    for character, escaped in (("/", "\\/"), ("<", "\\u003C"), ("%", "\\u0025"), ("@", "\\u0040")):
        plain = plain.replace(character, escaped)
    return plain.encode("ascii")


def signature(app_secret: str, raw: bytes) -> str:
    """The value of ``X-Hub-Signature-256`` for these bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), raw, hashlib.sha256).hexdigest()


class WebhookPost:
    """
    Delivers webhooks; one person's come one after the other, those of different people side by side.

    Attributes:
        url: Where the bot listens; may be changed at any time. ``None``: nobody listens, nothing is delivered.
        acknowledged: Answered 200, in the order of their acknowledgement.
        abandoned: Given up after all attempts. The bot may have seen them nevertheless.
        answer_seconds: How long each 200 took, from the request to the end of the answer.

    Args:
        app_secret: Signs.
        clock: Makes the waits between attempts.
        chance: Decides which webhooks are redelivered.
        answer_within_seconds: How long an answer may take; Facebook says 5.
        retry_waits: Seconds before each further attempt; their number is the limit.
        redelivery: Whether webhooks come twice.
        redelivery_probability: Which part of them.
    """

    def __init__(
        self,
        *,
        app_secret: str,
        clock: Clock,
        chance: random.Random,
        answer_within_seconds: float,
        retry_waits: Sequence[float],
        redelivery: Redelivery,
        redelivery_probability: float,
    ) -> None:
        self.url: str | None = None
        self.acknowledged: list[WebhookOutcome] = []
        self.abandoned: list[WebhookOutcome] = []
        self.answer_seconds: list[float] = []
        self.redelivery = redelivery
        self._app_secret = app_secret
        self._clock = clock
        self._chance = chance
        self._timeout = aiohttp.ClientTimeout(total=answer_within_seconds)
        self._retry_waits = tuple(retry_waits)
        self._probability = redelivery_probability
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[WebhookOutcome | None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def later(self, webhook: SentWebhook) -> None:
        """Deliver *webhook* in the background, in its turn."""
        task = asyncio.create_task(self.deliver(webhook))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, webhook: SentWebhook) -> WebhookOutcome | None:
        """
        Deliver *webhook* in its turn; returns when it is acknowledged or abandoned.

        Returns:
            What became of it; ``None`` if no `url` is set.
        """
        if self.url is None:
            return None
        turn = self._turns.setdefault((webhook.page_id, webhook.user_id), asyncio.Lock())
        async with turn:
            outcome = await self._deliver_now(webhook)
        (self.acknowledged if outcome.acknowledged else self.abandoned).append(outcome)
        return outcome

    async def _deliver_now(self, webhook: SentWebhook) -> WebhookOutcome:
        twice = self.redelivery is not Redelivery.NEVER and self._chance.random() < self._probability
        status: int | None = None
        attempts = 0
        for wait in (0.0, *self._retry_waits):
            if wait > 0:
                await self._clock.sleep(wait)
            copies = 2 if twice and self.redelivery is Redelivery.AT_ONCE else 1
            statuses = await asyncio.gather(*(self.post(webhook) for _ in range(copies)))
            attempts += copies
            status = 200 if 200 in statuses else statuses[0]
            if status == 200:
                break
        if twice and status == 200 and self.redelivery is Redelivery.AFTERWARDS:
            await self.post(webhook)
            attempts += 1
        return WebhookOutcome(
            webhook=webhook,
            acknowledged=status == 200,
            attempts=attempts,
            status=status,
            at=self._clock.now(),
        )

    async def post(self, webhook: SentWebhook) -> int | None:
        """
        Make one attempt, in no turn and on no list.

        Returns:
            The HTTP status, or ``None`` without an answer in time.
        """
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": signature(self._app_secret, webhook.raw),
        }
        assert self.url is not None
        began = self._clock.monotonic()
        try:
            async with self.session().post(
                self.url, data=webhook.raw, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                await response.read()
                if response.status == 200:
                    self.answer_seconds.append(self._clock.monotonic() - began)
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def session(self) -> aiohttp.ClientSession:
        """The client that all requests of this server go through; each request has its own connection."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        return self._session

    async def settled(self) -> None:
        """Wait until nothing that was posted with `later` is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Drop what is under way and close the client."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
