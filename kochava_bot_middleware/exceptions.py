"""
The errors of this package.

A class exists only where a caller reacts differently to it:

```text
KochavaBotError
├── SettingsError              fix the settings; every violation is listed
├── RegistrationError          fix the code
├── TrackingError              fix the call
├── WebhookError               refuse the request with `status`
│   ├── SignatureError         403
│   └── NotAWebhook            400
├── SendError                  Facebook refused a message; `body` is its answer
│   ├── WindowClosedError      wait for the person to write again
│   ├── PersonUnavailableError send nothing more to this person
│   ├── RateLimitedError       wait `retry_after_seconds`
│   ├── TokenInvalidError      reconnect the Page
│   ├── PermissionDeniedError  ask Facebook for the permission
│   ├── TemporarySendError     send again
│   ├── DeliveryUnknownError   perhaps sent: risk a duplicate, or a loss
│   └── BadRequestError        fix the message
└── StoreError                 the store failed
    ├── NotStorable            not this unit, but others
    └── StoreUnavailable       not now: repeat
        └── StoreUnusable      not before it is repaired
            └── SchemaTooNew   a newer release wrote it: upgrade
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs


class KochavaBotError(Exception):
    """The base class of every error of this package."""


@attrs.frozen(kw_only=True)
class Violation:
    """
    One thing that is wrong in a settings mapping.

    Attributes:
        key: Path of the key, with dots between the levels, such as ``greeting.impression_url``.
        wanted: What is accepted, as a phrase.
        got: What was given. Never the value itself where the key holds a secret.
    """

    key: str
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"{self.key}: wanted {self.wanted}, got {self.got}"


class SettingsError(KochavaBotError):
    """
    The settings cannot be used; raised when they are read.

    Attributes:
        violations: Everything that is wrong with them, each a `Violation`.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        count = len(self.violations)
        head = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        super().__init__("\n  ".join([f"{head}:", *map(str, self.violations)]))


class RegistrationError(KochavaBotError, TypeError):
    """
    The code cannot work that way: a handler, decorator or middleware, or a call from another event loop or thread than
    that of `start`. The message shows the right way, such as ``kochava.sync``.
    """


class TrackingError(KochavaBotError, ValueError):
    """
    A call names no person, or its arguments are no ids; in strict mode also data that Kochava would refuse. The message
    names event, key and reason.
    """


class WebhookError(KochavaBotError):
    """
    A request is not a webhook to be handled: refuse it. `MessengerBot` does that itself.

    Attributes:
        status: The HTTP status to answer with.
    """

    status = 400


class SignatureError(WebhookError):
    """The signature of a webhook is missing or wrong."""

    status = 403


class NotAWebhook(WebhookError):
    """A request body is not a webhook of the Messenger Platform."""


class SendError(KochavaBotError):
    """
    A call of the Graph API failed.

    Attributes:
        status: HTTP status of the answer; ``None`` when there was none.
        code: ``error.code`` of the answer, or ``None``.
        subcode: ``error.error_subcode`` of the answer, or ``None``.
        retry_after_seconds: How long Facebook asks to wait before a repetition; ``None`` when it does not ask.
        body: The decoded answer; empty when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        subcode: int | None = None,
        retry_after_seconds: float | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.subcode = subcode
        self.retry_after_seconds = retry_after_seconds
        self.body: Mapping[str, Any] = body if body is not None else {}

    @property
    def trace_id(self) -> str | None:
        """``error.fbtrace_id`` of the answer, for Facebook's support, or ``None``."""
        error = self.body.get("error")
        trace_id = error.get("fbtrace_id") if isinstance(error, Mapping) else None
        return None if trace_id is None else str(trace_id)


class WindowClosedError(SendError):
    """The 24 hours since the person's last action are over: wait for the person to write again."""


class PersonUnavailableError(SendError):
    """The person blocked the Page, left Facebook, or is unknown to this Page: stop writing to them."""


class RateLimitedError(SendError):
    """Too many calls: wait `retry_after_seconds`, or some minutes when Facebook does not say."""


class TokenInvalidError(SendError):
    """The Page access token is invalid or expired: reconnect the Page."""


class PermissionDeniedError(SendError):
    """The app lacks a permission, or the Page is restricted: ask Facebook for it."""


class TemporarySendError(SendError):
    """A temporary fault, and the message was not delivered: send it again, after `retry_after_seconds` if set."""


class DeliveryUnknownError(SendError):
    """
    The request was sent, but no usable answer came: the message may have been delivered. Decide whether a duplicate is
    worse than none.
    """


class BadRequestError(SendError):
    """Facebook does not accept this body: fix the message."""


class StoreError(KochavaBotError):
    """The store failed."""


class NotStorable(StoreError):
    """
    The store can never keep this unit: a text that it has no form for, a value that is too large. Others it keeps.

    Attributes:
        reason: Why, as one short phrase that quotes nothing of the unit.
    """

    def __init__(self, message: str, *, reason: str = "the store cannot keep it") -> None:
        super().__init__(message)
        self.reason = reason


class StoreUnavailable(StoreError):
    """
    The store cannot be reached, or cannot be written within the time allowed. It may work again by itself.

    Raised at start, by calls that record something outside of handling, and by all of them after `stop`. Nothing was
    recorded, or, when the store was slow, perhaps it was: repeat the call with an ``id``, so that it counts once.
    """


class StoreUnusable(StoreUnavailable):
    """The store works again only when somebody repairs it: its file or tables are lost, or it must not be written."""


class SchemaTooNew(StoreUnusable):
    """A newer release of this package wrote the store, which was not changed: upgrade this one."""
