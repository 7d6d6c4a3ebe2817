"""
From Facebook's answer to the error a caller can act on.

Rests on the platform's error table. The texts that Facebook sends along are never repeated in a message, since they
quote tokens and message texts; they stay readable in `SendError.body`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

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

_ADVICE: Final[Mapping[type[SendError], str]] = {
    WindowClosedError: "the 24 hours since the person's last action are over: wait until they write again",
    PersonUnavailableError: "the person cannot be reached by this Page: forget this recipient",
    RateLimitedError: "too many calls: wait, then send again",
    TokenInvalidError: "the access token is invalid or expired: connect the Page again",
    PermissionDeniedError: "the app lacks a permission or the Page is restricted: look at the app's dashboard",
    TemporarySendError: "a passing fault, nothing was delivered: send again",
    DeliveryUnknownError: "the message may have been delivered: decide whether a double one is worse than none",
    BadRequestError: "Facebook does not accept this request: mend it, `body` of this error says what is wrong",
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
    368: PermissionDeniedError,
    551: PersonUnavailableError,
    613: RateLimitedError,
    1200: TemporarySendError,
    80001: RateLimitedError,
    80006: RateLimitedError,
}

_BY_STATUS: Final[Mapping[int, type[SendError]]] = {
    401: TokenInvalidError,
    403: PermissionDeniedError,
    429: RateLimitedError,
}


@attrs.frozen(kw_only=True)
class GraphFault:
    """
    The ``error`` object of an answer, with its numbers as numbers.

    Attributes:
        code: ``code``; ``None`` when the answer has none.
        subcode: ``error_subcode``; ``None`` when the answer has none.
        trace_id: ``fbtrace_id``, which Facebook's support asks for.
        transient: ``is_transient``: Facebook itself says that trying again helps.
        closed_window: The text names the window; some answers have no subcode for it.
    """

    code: int | None = None
    subcode: int | None = None
    trace_id: str | None = None
    transient: bool = False
    closed_window: bool = False

    @classmethod
    def of(cls, body: object) -> GraphFault:
        """Read a decoded answer; whatever is not an error object gives an empty fault."""
        error = body.get("error") if isinstance(body, Mapping) else None
        if not isinstance(error, Mapping):
            return cls()
        trace_id = error.get("fbtrace_id")
        return cls(
            code=_number(error.get("code")),
            subcode=_number(error.get("error_subcode")),
            trace_id=None if trace_id is None else str(trace_id),
            transient=error.get("is_transient") is True,
            closed_window="outside of allowed window" in str(error.get("message", "")).lower(),
        )


def is_refusal(status: int, body: object) -> bool:
    """Whether an answer is anything but a success: the Graph API may put an ``error`` into a 200."""
    return not 200 <= status < 300 or (isinstance(body, Mapping) and "error" in body)


def error_from_answer(
    status: int, body: object, *, delivers: bool = True, retry_after_seconds: float | None = None
) -> SendError:
    """
    The typed error for an answer that `is_refusal`, or that cannot be decoded.

    Args:
        status: HTTP status.
        body: The decoded answer; ``None`` when it is not JSON.
        delivers: The call could have delivered something to a person; a look-up could not.
        retry_after_seconds: What the headers of the answer ask for.
    """
    fault = GraphFault.of(body)
    kind = _kind_of(status, fault)
    if kind is DeliveryUnknownError and not delivers:
        kind = TemporarySendError
    facts: dict[str, Any] = {
        "status": status,
        "code": fault.code,
        "subcode": fault.subcode,
        "trace_id": fault.trace_id,
        "body": body if isinstance(body, Mapping) else {},
    }
    if issubclass(kind, RateLimitedError):
        facts["retry_after_seconds"] = retry_after_seconds
    return kind(f"{_ADVICE[kind]} ({_coordinates(status, fault)})", **facts)


def not_sent(reason: str) -> TemporarySendError:
    """The error for a connection that never came about."""
    return TemporarySendError(f"{_ADVICE[TemporarySendError]} (no connection to the Graph API: {reason})")


def no_answer(reason: str, *, delivers: bool = True) -> SendError:
    """The error for a request that left and got no whole answer."""
    kind = DeliveryUnknownError if delivers else TemporarySendError
    return kind(f"{_ADVICE[kind]} (no answer from the Graph API: {reason})")


def _kind_of(status: int, fault: GraphFault) -> type[SendError]:
    if fault.code is None:
        # An answer that is not the Graph API's own, from something that stands between.
        return _BY_STATUS.get(status) or (BadRequestError if 300 <= status < 500 else DeliveryUnknownError)
    if fault.closed_window and fault.code in (10, 100, 200):
        return WindowClosedError
    known = (fault.subcode is not None and _BY_SUBCODE.get(fault.subcode)) or _BY_CODE.get(fault.code)
    if known:
        return known
    if 200 <= fault.code <= 299:
        return PermissionDeniedError
    return TemporarySendError if fault.transient or status >= 500 else BadRequestError


def _coordinates(status: int, fault: GraphFault) -> str:
    code = "no code" if fault.code is None else f"code {fault.code}"
    if fault.subcode is not None:
        code += f"/{fault.subcode}"
    trace = "" if fault.trace_id is None else f", fbtrace_id {fault.trace_id}"
    return f"HTTP {status}, {code}{trace}"


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None
