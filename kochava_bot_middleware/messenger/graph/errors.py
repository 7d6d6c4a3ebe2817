"""
From an answer of the Graph API to an error that says what the caller can do.

Based on the platform's error table. Texts of Facebook are never part of a message, since they contain tokens and
message texts; they are in `SendError.body`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import orjson

from ...exceptions import (
    BadRequestError,
    DeliveryUnknownError,
    PermissionDeniedError,
    PersonUnavailableError,
    RateLimitedError,
    SendError,
    TemporarySendError,
    TokenInvalidError,
    WindowClosedError,
)
from ..parsing.json_values import flag, integer
from .pace import seconds_asked

_ADVICE: Final[Mapping[type[SendError], str]] = {
    WindowClosedError: "the 24 hours since the person's last action are over: wait until they write again",
    PersonUnavailableError: "the person cannot be reached by this Page: forget this recipient",
    RateLimitedError: "too many calls: wait, then send again",
    TokenInvalidError: "the access token is invalid or expired: connect the Page again",
    PermissionDeniedError: "the app lacks a permission or the Page is restricted: look at the app's dashboard",
    TemporarySendError: "a temporary failure, nothing was delivered: send again",
    DeliveryUnknownError: "the message may have been delivered: decide whether a duplicate is worse than none",
    BadRequestError: "Facebook does not accept this request: correct it, `body` of this error says what is wrong",
}

_BY_SUBCODE: Final[Mapping[int, type[SendError]]] = {
    2018065: WindowClosedError,
    2018278: WindowClosedError,
    2534022: WindowClosedError,  # Instagram's
    2018108: PersonUnavailableError,
    2018001: PersonUnavailableError,
    2534014: PersonUnavailableError,  # Instagram's
    1893063: PermissionDeniedError,
}

CONVERSATION_GAP: Final = 2300052
"""The answer to a marketing message within its ``min_conversation_gap_seconds``."""

_GAP_ADVICE: Final = "the person and the Page wrote to each other within `min_conversation_gap_seconds`: send later"

_BY_CODE: Final[Mapping[int, type[SendError]]] = {
    # "Unknown error" and "invalid JSON reply" were seen for messages that did arrive.
    1: DeliveryUnknownError,
    2: TemporarySendError,
    3: PermissionDeniedError,
    4: RateLimitedError,
    9: RateLimitedError,
    10: PermissionDeniedError,
    17: RateLimitedError,
    32: RateLimitedError,
    102: TokenInvalidError,
    190: TokenInvalidError,
    341: RateLimitedError,
    368: PermissionDeniedError,
    551: PersonUnavailableError,
    613: RateLimitedError,
    1200: TemporarySendError,
    CONVERSATION_GAP: RateLimitedError,
}

_BUSINESS_RATE_CODES: Final = range(80000, 80100)
"""Rate limits by kind of business use, one code each: 80001 for Pages, 80002 for Instagram, 80006 for Messenger."""

_BY_STATUS: Final[Mapping[int, type[SendError]]] = {
    # The proxy wants credentials, or the request did not arrive whole: it had no effect.
    407: TemporarySendError,
    408: TemporarySendError,
    425: TemporarySendError,
    401: TokenInvalidError,
    403: PermissionDeniedError,
    429: RateLimitedError,
}

_WORTH_WAITING: Final = (RateLimitedError, TemporarySendError)


def is_refusal(status: int, body: object) -> bool:
    """Whether an answer is not a success: the Graph API may put an ``error`` into an answer with status 200."""
    return not 200 <= status < 300 or (isinstance(body, Mapping) and "error" in body)


def is_transient(body: object) -> bool:
    """Whether Facebook says that the same call may succeed later."""
    return flag(_error_object(body).get("is_transient"))


def _error_object(body: object) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def error_from_answer(
    status: int, body: object, *, delivers: bool = True, retry_after_seconds: float | None = None
) -> SendError:
    """
    The error for an answer that `is_refusal`, or that is not JSON, whose *body* is ``None``.

    A call that *delivers* may have reached a person; a read call cannot have.
    """
    error = _error_object(body)
    code, subcode = integer(error.get("code")), integer(error.get("error_subcode"))
    trace_id = error.get("fbtrace_id")
    kind = _kind_of(status, code, subcode, error)
    if code is None and status == 503 and retry_after_seconds is not None:
        # A load balancer that turned the request away; without the wait it may have passed it on.
        kind = TemporarySendError
    if kind is DeliveryUnknownError and not delivers:
        kind = TemporarySendError
    fields: dict[str, Any] = {
        "status": status,
        "code": code,
        "subcode": subcode,
        "retry_after_seconds": retry_after_seconds if issubclass(kind, _WORTH_WAITING) else None,
        "body": body if isinstance(body, Mapping) else {},
    }
    place = f"HTTP {status}, " + ("no code" if code is None else f"code {code}")
    place += "" if subcode is None else f"/{subcode}"
    place += "" if trace_id is None else f", fbtrace_id {trace_id}"
    advice = _GAP_ADVICE if CONVERSATION_GAP in (code, subcode) else _ADVICE[kind]
    return kind(f"{advice} ({place})", **fields)


def not_sent(reason: str) -> TemporarySendError:
    """The error for a connection that could not be opened."""
    return TemporarySendError(f"{_ADVICE[TemporarySendError]} (no connection to the Graph API: {reason})")


def no_answer(reason: str, *, delivers: bool = True) -> SendError:
    """The error for a request that was sent and got no complete answer."""
    kind = DeliveryUnknownError if delivers else TemporarySendError
    return kind(f"{_ADVICE[kind]} (no answer from the Graph API: {reason})")


def _kind_of(status: int, code: int | None, subcode: int | None, error: Mapping[str, Any]) -> type[SendError]:
    if code is None:
        # Not an answer of the Graph API but of a proxy or load balancer.
        return _BY_STATUS.get(status) or (BadRequestError if 300 <= status < 500 else DeliveryUnknownError)
    # Some answers have no subcode for it.
    if code in (10, 100, 200) and "outside of allowed window" in str(error.get("message", "")).lower():
        return WindowClosedError
    if subcode == CONVERSATION_GAP:
        code = CONVERSATION_GAP
    known = (subcode is not None and _BY_SUBCODE.get(subcode)) or _BY_CODE.get(code)
    if known:
        return known
    if code in _BUSINESS_RATE_CODES or status == 429:
        return RateLimitedError
    if flag(error.get("is_transient")) or status == 408:
        return TemporarySendError
    if 200 <= code <= 299:
        return PermissionDeniedError
    return TemporarySendError if status >= 500 else BadRequestError


@attrs.frozen(kw_only=True)
class BatchItem:
    """
    The answer to one request of a batch.

    Attributes:
        status: HTTP status of this request; ``None`` when the batch ended before it was answered.
        body: The decoded answer; ``None`` when there is none, or when it is not JSON.
        error: The error that the request alone would have raised; ``None`` for a success.
    """

    status: int | None
    body: Any = attrs.field(default=None, repr=False)
    error: SendError | None = None

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Read one item. Facebook sends ``null`` for a request that it did not finish in time."""
        status = integer(answer.get("code")) if isinstance(answer, Mapping) else None
        if status is None:
            return cls(status=None, error=no_answer("the batch ended first"))
        body = answer.get("body")
        if isinstance(body, str):
            try:
                body = orjson.loads(body)
            except orjson.JSONDecodeError:
                body = None
        if not is_refusal(status, body):
            return cls(status=status, body=body)
        error = error_from_answer(status, body, retry_after_seconds=seconds_asked(_headers_of(answer)))
        return cls(status=status, body=body, error=error)


def _headers_of(answer: Mapping[str, Any]) -> Mapping[str, str]:
    """The headers of a batch item, a list of names and values, by lower-case name."""
    headers = answer.get("headers")
    pairs = [each for each in headers if isinstance(each, Mapping)] if isinstance(headers, list) else []
    return {str(each.get("name")).lower(): str(each.get("value")) for each in pairs}


def batch_items(answer: Any) -> list[BatchItem]:
    """The answer to each request of a batch, in order; empty when *answer* is not that of a batch."""
    return [BatchItem.of(item) for item in answer] if isinstance(answer, list) else []
