"""The local Messenger's webhooks: signed, in order for each user, and delivered again when not answered 200."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import aiohttp
import attrs

from ...clock import Clock, SystemClock

# messenger.md 1, retry [WH]; sooner than Facebook's.
RETRY_WAITS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each further attempt."""

WebhookArray = Literal["messaging", "changes"]
"""Where the item of a webhook stands in its entry."""


@attrs.frozen(kw_only=True)
class MessengerOptions:
    """
    How a local Messenger behaves, beyond what every bot needs.

    Attributes:
        clock: Gives the time, and makes the waits between deliveries of a webhook.
        deliveries: Whether a delivery webhook follows each accepted message.
        delivery_mids: Whether it has ``mids``, which Facebook often leaves out.
        require_proof: Whether every call needs an ``appsecret_proof``.
        requires_ids: Whether paths must name the Page or account by its id, not as ``me``, as with *Unified Login*.
        answer_within_seconds: How long the bot may take to answer a webhook; Facebook allows 5.
        retry_waits: Seconds before each further delivery of an unanswered webhook; their number is the limit.
        redelivery: Whether webhooks that were answered 200 are delivered a second time: ``afterwards`` or ``at once``.
        redelivery_probability: Which part of them.
        seed: Of the random choice of those.
        port: Where the Graph API listens; 0: any free port.
        first_number: Where ids of people and messages start.
    """

    clock: Clock = attrs.field(factory=SystemClock)
    deliveries: bool = True
    delivery_mids: bool = True
    require_proof: bool = False
    requires_ids: bool = False
    answer_within_seconds: float = 5.0
    retry_waits: Sequence[float] = RETRY_WAITS
    redelivery: Literal["never", "afterwards", "at once"] = "never"
    redelivery_probability: float = 1.0
    seed: int = 0
    port: int = 0
    first_number: int = 1


@attrs.frozen(kw_only=True)
class SentWebhook:
    """
    One webhook, which has exactly one item of ``messaging`` or ``changes``.

    Attributes:
        kind: The item's own key, such as ``message``, ``postback`` or ``delivery``; ``echo`` for an echo; of a change,
            its field.
        mid: Of the message or postback; ``None`` where the item has none.
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
    The result of the delivery of a webhook.

    Attributes:
        webhook: Which one.
        acknowledged: Whether it was answered 200.
        attempts: How many requests it took.
        status: HTTP status of the last answer; ``None`` when there was none in time.
        at: When it was acknowledged or abandoned, in seconds since the epoch.
        again: Whether a further attempt follows, so that this is not the end.
    """

    webhook: SentWebhook
    acknowledged: bool
    attempts: int
    status: int | None
    at: float
    again: bool = False


def facebook_json(value: Any) -> bytes:
    r"""JSON as Facebook writes it: all ASCII, ``\uXXXX`` in lower case, and ``/``, ``<``, ``%``, ``@`` escaped."""
    # messenger.md 1, what is signed [WH, BBOT].
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    for character, escaped in (("/", "\\/"), ("<", "\\u003C"), ("%", "\\u0025"), ("@", "\\u0040")):
        plain = plain.replace(character, escaped)
    return plain.encode("ascii")


def headers_of(app_secret: str, raw: bytes) -> dict[str, str]:
    """The headers of a webhook with these bytes, its signature among them."""
    # messenger.md 1, signature [WH].
    digest = hmac.new(app_secret.encode(), raw, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def signed_webhook(
    app_secret: str,
    *items: Mapping[str, Any],
    text: str | None = None,
    postback: str | None = None,
    user_id: str = "5000000000000001",
    page_id: str = "1001",
    instagram: bool = False,
) -> tuple[bytes, dict[str, str]]:
    """
    The body and the headers of a webhook with a valid signature.

    Args:
        app_secret: Signs it.
        *items: Items of ``messaging``, such as ``{"optin": {"ref": "box"}}``; sender, recipient and timestamp are added
            where they are missing.
        text: Adds a message with this text.
        postback: Adds a postback with this payload.
        user_id: PSID or IGSID of the sender.
        page_id: The Page or Instagram account.
        instagram: Whether it comes from Instagram.
    """
    now = int(time.time() * 1000)
    added: list[Mapping[str, Any]] = []
    if text is not None:
        added.append({"message": {"mid": f"m_{uuid.uuid4().hex}", "text": text}})
    if postback is not None:
        added.append({"postback": {"mid": f"m_{uuid.uuid4().hex}", "title": postback, "payload": postback}})
    usual = {"sender": {"id": user_id}, "recipient": {"id": page_id}, "timestamp": now}
    raw = _body([{**usual, **item} for item in (*items, *added)], page_id, now, instagram=instagram)
    return raw, headers_of(app_secret, raw)


def make_webhook(
    kind: str,
    content: Mapping[str, Any],
    *,
    page_id: str,
    user_id: str,
    instagram: bool,
    now: float,
    array: WebhookArray = "messaging",
) -> SentWebhook:
    """
    A webhook about one user, who is its sender unless it is an echo.

    Args:
        content: The item's own members.
        array: Whether the item is one of ``messaging``, or of ``changes``, whose field is *kind*.
    """
    at = int(now * 1000)
    page, user = {"id": page_id}, {"id": user_id}
    sender, recipient = (page, user) if kind == "echo" else (user, page)
    usual = {"sender": sender, "recipient": recipient, "timestamp": at} if array == "messaging" else {"field": kind}
    item = {**usual, **content}
    own = content.get("message") or content.get("postback") or {}
    return SentWebhook(
        kind=kind,
        page_id=page_id,
        user_id=user_id,
        mid=own.get("mid") if isinstance(own, Mapping) else None,
        item=item,
        raw=_body([item], page_id, at, instagram=instagram, array=array),
    )


def _body(
    items: Sequence[Mapping[str, Any]],
    page_id: str,
    at: int,
    *,
    instagram: bool,
    array: WebhookArray = "messaging",
) -> bytes:
    entry = {"id": page_id, "time": at, array: items}
    return facebook_json({"object": "instagram" if instagram else "page", "entry": [entry]})


class WebhookDelivery:
    """
    Delivers webhooks: those of one user one after the other, those of different users concurrently.

    Attributes:
        url: Where the bot listens; may be changed at any time. ``None``: nothing is delivered.
        acknowledged: Answered 200, in the order of their acknowledgement.
        abandoned: Given up after all attempts. The bot may have received them nevertheless.
        answer_seconds: How long each 200 took, from the request to the end of the answer.
        watchers: Each is called with every webhook of `deliver`: first with ``None``, then with its outcome after each
            attempt that failed, and at the end.
    """

    def __init__(self, app_secret: str, options: MessengerOptions) -> None:
        self.url: str | None = None
        self.acknowledged: list[WebhookOutcome] = []
        self.abandoned: list[WebhookOutcome] = []
        self.answer_seconds: list[float] = []
        self.watchers: list[Callable[[SentWebhook, WebhookOutcome | None], None]] = []
        self._app_secret = app_secret
        self._options = options
        self._clock = options.clock
        self._chance = random.Random(options.seed)  # noqa: S311 - not for secrets
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[WebhookOutcome | None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def deliver_later(self, webhook: SentWebhook) -> None:
        """Deliver *webhook* in the background, after the user's earlier ones."""
        task = asyncio.create_task(self.deliver(webhook))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def deliver(self, webhook: SentWebhook, *, again: bool = True) -> WebhookOutcome | None:
        """
        Deliver *webhook* after the user's earlier ones; returns when it is acknowledged or abandoned.

        Args:
            webhook: Which one.
            again: Whether it is tried again when it is not answered 200.

        Returns:
            The outcome; ``None`` if no `url` is set.
        """
        if self.url is None:
            return None
        self._tell(webhook, None)
        lock = self._locks.setdefault((webhook.page_id, webhook.user_id), asyncio.Lock())
        async with lock:
            outcome = await self._deliver_now(webhook, self._options.retry_waits if again else ())
        (self.acknowledged if outcome.acknowledged else self.abandoned).append(outcome)
        self._tell(webhook, outcome)
        return outcome

    def _tell(self, webhook: SentWebhook, outcome: WebhookOutcome | None) -> None:
        for watcher in self.watchers:
            watcher(webhook, outcome)

    async def _deliver_now(self, webhook: SentWebhook, waits: Sequence[float]) -> WebhookOutcome:
        redelivery = self._options.redelivery
        twice = redelivery != "never" and self._chance.random() < self._options.redelivery_probability
        status: int | None = None
        attempts = 0
        for wait in (0.0, *waits):
            if attempts:
                self._tell(webhook, self._outcome(webhook, attempts, status, again=True))
            if wait > 0:
                await self._clock.sleep(wait)
            copies = 2 if twice and redelivery == "at once" else 1
            statuses = await asyncio.gather(*(self.post(webhook) for _ in range(copies)))
            attempts += copies
            status = 200 if 200 in statuses else statuses[0]
            if status == 200:
                break
        if twice and status == 200 and redelivery == "afterwards":
            await self.post(webhook)
            attempts += 1
        return self._outcome(webhook, attempts, status)

    def _outcome(
        self, webhook: SentWebhook, attempts: int, status: int | None, *, again: bool = False
    ) -> WebhookOutcome:
        return WebhookOutcome(
            webhook=webhook,
            acknowledged=status == 200,
            attempts=attempts,
            status=status,
            at=self._clock.now(),
            again=again,
        )

    async def post(self, webhook: SentWebhook) -> int | None:
        """Make one attempt at once and keep no outcome; returns the status, or ``None`` without an answer in time."""
        assert self.url is not None
        began = self._clock.monotonic()
        try:
            async with self.session().post(
                self.url,
                data=webhook.raw,
                headers=headers_of(self._app_secret, webhook.raw),
                timeout=aiohttp.ClientTimeout(total=self._options.answer_within_seconds),
                allow_redirects=False,
            ) as response:
                await response.read()
                if response.status == 200:
                    self.answer_seconds.append(self._clock.monotonic() - began)
                return response.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def session(self) -> aiohttp.ClientSession:
        """The client of all requests of this server; each request has its own connection."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        return self._session

    async def settled(self) -> None:
        """Wait until nothing of `deliver_later` is under way."""
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
