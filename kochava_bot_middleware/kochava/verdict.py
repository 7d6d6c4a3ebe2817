"""
What an answer of Kochava, or a missing answer, means for the record that was sent.

Kochava does not document its answers. Its SDKs read ``success`` in the body and ignore the status, third parties read
only the status: both are read here, unless `WireSettings.success` says otherwise.
"""

from __future__ import annotations

import email.utils
import enum
import functools
import math
import re

import attrs
import orjson

from .client import Answer, Failure
from .destination import WireSettings
from .records import PING_QUEUES, Engagement, IdentityLink, Install

KEPT_BYTES = 512
"""Bytes of the body of an answer that are kept with a record."""

MAX_RETRY_AFTER_SECONDS = 86_400.0
"""Upper limit of ``Retry-After``, so that a wrong header does not lose events."""

_REJECTED_STATUSES = frozenset({400, 413, 422})
_REFUSED_STATUSES = frozenset({401, 403})
_RETRIED_STATUSES = frozenset({408, 425, 429})
_FOR_EVENTS = frozenset({Engagement.kind, Install.kind})
_FALSE_TEXTS = frozenset({"", "0", "false", "no", "error", "fail", "failed", "failure"})
_FALSE_IN_TEXT = re.compile(
    rb'"success"\s*:\s*(?:false|0(?![.\d])|"(?:0|false|no|error|fail|failed|failure)?")', re.IGNORECASE
)


class DeliveryResult(enum.Enum):
    """The result of one attempt to deliver a record."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    """Kochava does not accept this record: sending it again would not help."""

    REFUSED = "refused"
    """Kochava does not accept the app's credentials: nothing of this app is sent until they work."""

    RETRY = "retry"


@attrs.frozen(kw_only=True)
class Verdict:
    """
    What one attempt means for the record and for its destination.

    Attributes:
        result: The result for the record.
        reason: One constant phrase; empty when delivered.
        detail: The start of the answer with secrets masked; its status alone when delivered.
        floor_seconds: Kochava's ``Retry-After``: how long nothing is sent to the destination. 0 when there is none.
        ambiguous: The record may have been delivered nevertheless.
        server_error: The answer was a 5xx or is not understood, so the cause may be the record or the server: while
            other records are delivered, it is the record.
        too_fast: The answer was 429: the whole destination must slow down.
    """

    result: DeliveryResult
    reason: str = ""
    detail: str = ""
    floor_seconds: float = 0.0
    ambiguous: bool = False
    server_error: bool = False
    too_fast: bool = False


@functools.cache
def delivered(status: int) -> Verdict:
    """The verdict on an answer with this status that takes a record."""
    return Verdict(result=DeliveryResult.DELIVERED, detail=str(status))


def judge(
    outcome: Answer | Failure, *, queue: str, settings: WireSettings, now: float, kind: str = Engagement.kind
) -> Verdict:
    """
    The verdict on one attempt to send a record of *kind* and *queue*; *now* is for a ``Retry-After`` that is a date.

    For a ping every 2xx and 3xx is a success, whatever the body. An identity link without a signature has no
    credentials that could be refused: if the account is not enabled for links, that must not pause its events.
    """
    if isinstance(outcome, Failure):
        return Verdict(result=DeliveryResult.RETRY, reason=outcome.reason, ambiguous=outcome.ambiguous)
    status = outcome.status
    if settings.success == "explicit" and _is_for_events(kind, settings):
        if _is_explicit_success(outcome):
            return delivered(status)
        if 200 <= status < 300:
            return _judge_failure(outcome, settings)
    if queue in PING_QUEUES and 200 <= status < (300 if settings.ping_success == "2xx" else 400):
        return delivered(status)
    if 200 <= status < 300:
        return _judge_body(outcome, settings)
    detail = shown_answer(outcome, settings)
    if status in _REJECTED_STATUSES or (status in _REFUSED_STATUSES and _is_unsigned(kind, settings)):
        return _rejected(outcome, settings)
    if status in _REFUSED_STATUSES:
        return Verdict(result=DeliveryResult.REFUSED, reason="credentials refused by Kochava", detail=detail)
    if status in _RETRIED_STATUSES or 500 <= status < 600:
        return Verdict(
            result=DeliveryResult.RETRY,
            reason="too many requests" if status == 429 else "server error" if status >= 500 else "not taken now",
            detail=detail,
            floor_seconds=retry_after_seconds(outcome.retry_after, now=now),
            server_error=status >= 500,
            too_fast=status == 429,
        )
    return _not_understood(outcome, settings)


def _not_understood(answer: Answer, settings: WireSettings) -> Verdict:
    retry = settings.unknown_answer == "retry"
    result = DeliveryResult.RETRY if retry else DeliveryResult.REJECTED
    detail = shown_answer(answer, settings)
    return Verdict(result=result, reason="answer not understood", detail=detail, server_error=retry)


def _is_for_events(kind: str, settings: WireSettings) -> bool:
    """Whether a record is sent to the address for events, of whose answers Kochava's SDKs know the form."""
    return kind in _FOR_EVENTS or (kind == IdentityLink.kind and settings.identity_form == "action")


def _is_explicit_success(answer: Answer) -> bool:
    try:
        body = orjson.loads(answer.start)
    except orjson.JSONDecodeError:
        return False
    # True equals 1.
    return isinstance(body, dict) and body.get("success") in ("1", 1)


def _judge_failure(answer: Answer, settings: WireSettings) -> Verdict:
    """A 2xx answer that does not say that the record was taken."""
    verdict = _judge_body(answer, settings)
    return _not_understood(answer, settings) if verdict.result is DeliveryResult.DELIVERED else verdict


def _is_unsigned(kind: str, settings: WireSettings) -> bool:
    if kind != IdentityLink.kind or settings.identity_form == "action":
        return False
    return settings.api_key is None or not settings.sign_identity_links


def _judge_body(answer: Answer, settings: WireSettings) -> Verdict:
    if settings.success == "status":
        return delivered(answer.status)
    try:
        body = orjson.loads(answer.start)
    except orjson.JSONDecodeError:
        # Of an answer that is longer than what is read, only the start is there.
        if settings.success != "explicit" and _FALSE_IN_TEXT.search(answer.start):
            return _rejected(answer, settings)
        if not answer.complete:
            detail = shown_answer(answer, settings)
            return Verdict(result=DeliveryResult.RETRY, reason="answer broke off", detail=detail, ambiguous=True)
        return delivered(answer.status)
    if isinstance(body, dict) and "success" in body and _is_false(body["success"]):
        return _rejected(answer, settings)
    return delivered(answer.status)


def _rejected(answer: Answer, settings: WireSettings) -> Verdict:
    detail = shown_answer(answer, settings)
    return Verdict(result=DeliveryResult.REJECTED, reason="rejected by Kochava", detail=detail)


def _is_false(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FALSE_TEXTS
    return isinstance(value, (bool, int, float)) and value == 0


def shown_answer(answer: Answer, settings: WireSettings) -> str:
    """Status and start of the body, without the secrets of *settings*."""
    text = answer.start[:KEPT_BYTES].decode("utf-8", "replace")
    is_cut = len(answer.start) > KEPT_BYTES or not answer.complete
    return f"{answer.status} {settings.masked(text, is_cut=is_cut)}".rstrip()


def retry_after_seconds(header: str | None, *, now: float) -> float:
    """A ``Retry-After`` header, which is a number of seconds or an HTTP date, in seconds from *now*; 0 when invalid."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else 0.0
