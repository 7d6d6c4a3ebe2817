"""
Every error this package raises, drawn as a tree.

A class exists only where a caller acts differently on it::

    KochavaBotError
    ├── SettingsError              mend the settings; every violation is listed
    ├── RegistrationError          mend the code: a decorator or middleware is used in a way that cannot work
    ├── TrackingError              mend the call: an event that Kochava would refuse (raised in strict mode only)
    ├── WebhookError               refuse the request; `status` says how
    │   ├── SignatureError         403
    │   └── NotAWebhook            400
    ├── SendError                  Facebook refused a message; `body` is its answer
    │   ├── WindowClosedError      wait for the person to write again
    │   ├── PersonUnavailableError forget this recipient
    │   ├── RateLimitedError       wait `retry_after_seconds`
    │   ├── TokenInvalidError      reconnect the Page
    │   ├── PermissionDeniedError  ask Facebook for the permission
    │   ├── TemporarySendError     send again
    │   ├── DeliveryUnknownError   perhaps sent: decide whether a double message is worse than none
    │   └── BadRequestError        mend the message
    └── StoreError                 the store did not do what was asked
        ├── StoreUnavailable       it cannot be opened or written now
        └── SchemaTooNew           a newer release wrote it; upgrade this one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs


class KochavaBotError(Exception):
    """The root of every error of this package."""


@attrs.frozen(kw_only=True)
class Violation:
    """
    One thing that is wrong with a settings mapping.

    Attributes:
        key: Path of the key, dots between the levels, such as ``greeting.impression_url``.
        wanted: What would have been accepted, as a phrase.
        got: What was there. Never the value itself where the key holds a secret.
    """

    key: str
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"{self.key}: wanted {self.wanted}, got {self.got}"


class SettingsError(KochavaBotError):
    """The settings cannot be used. All violations are in `violations`, not only the first."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        count = len(self.violations)
        head = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        super().__init__("\n  ".join([f"{head}:", *map(str, self.violations)]))


class RegistrationError(KochavaBotError, TypeError):
    """A handler, decorator or middleware was registered in a way that could never work."""


class TrackingError(KochavaBotError, ValueError):
    """An event was refused in strict mode. The message names event, key and reason."""


class WebhookError(KochavaBotError):
    """A request is not a webhook that may be handled; `status` is the HTTP status to answer with."""

    status = 400


class SignatureError(WebhookError):
    """The signature of a webhook is missing or wrong."""

    status = 403


class NotAWebhook(WebhookError):
    """A request body is not a webhook of the Messenger Platform."""

    status = 400


class SendError(KochavaBotError):
    """
    A call of the Graph API failed.

    Attributes:
        status: HTTP status of the answer; ``None`` when there was none.
        code: ``error.code`` of the answer, or ``None``.
        subcode: ``error.error_subcode`` of the answer, or ``None``.
        trace_id: ``error.fbtrace_id``, which Facebook's support asks for, or ``None``.
        body: The decoded answer; empty when there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        subcode: int | None = None,
        trace_id: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.subcode = subcode
        self.trace_id = trace_id
        self.body: Mapping[str, Any] = body if body is not None else {}


class WindowClosedError(SendError):
    """The 24 hours since the person's last action are over; only they can open the window again."""


class PersonUnavailableError(SendError):
    """The person blocked the Page, left Facebook, or is unknown to this Page."""


class RateLimitedError(SendError):
    """Too many calls. `retry_after_seconds` says how long to wait; ``None`` when Facebook did not say."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after_seconds = retry_after_seconds


class TokenInvalidError(SendError):
    """The Page access token is invalid or expired."""


class PermissionDeniedError(SendError):
    """The app lacks a permission, or the Page is restricted."""


class TemporarySendError(SendError):
    """A passing fault; the message was not delivered."""


class DeliveryUnknownError(SendError):
    """No usable answer came after the request had left: the message may have been delivered."""


class BadRequestError(SendError):
    """Facebook does not accept this body."""


class StoreError(KochavaBotError):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be opened, or cannot be written within the time allowed."""


class SchemaTooNew(StoreError):
    """A newer release of this package wrote the store. It was left untouched."""
