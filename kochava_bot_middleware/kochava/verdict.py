"""
What an answer of Kochava, or the lack of one, means for the record that was sent.

No page of Kochava documents answers. Its SDKs read ``success`` in the body and ignore the status, third parties read
the status only: both are read here.
"""

from __future__ import annotations

import email.utils
import enum
import math
import re

import attrs
import orjson

from .client import Answer, Failure
from .destination import WireSettings
from .records import Engagement, IdentityLink, Ping

MAX_RETRY_AFTER_SECONDS = 86_400.0
"""A longer ``Retry-After`` is taken for this: a mistake there must not cost the events."""

_REJECTED_STATUSES = frozenset({400, 413, 422})
_REFUSED_STATUSES = frozenset({401, 403})
_RETRIED_STATUSES = frozenset({408, 425, 429})
_FALSE_TEXTS = frozenset({"", "0", "false", "no", "error", "fail", "failed", "failure"})
_FALSE_IN_TEXT = re.compile(
    rb'"success"\s*:\s*(?:false|0(?![.\d])|"(?:0|false|no|error|fail|failed|failure)?")', re.IGNORECASE
)


class Fate(enum.Enum):
    """What becomes of the record."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    """Kochava does not want this record: sending it again would change nothing."""

    REFUSED = "refused"
    """Kochava does not accept the app's credentials: nothing of this app is sent until they work."""

    RETRY = "retry"


@attrs.frozen(kw_only=True)
class Verdict:
    """
    The judgement on one attempt.

    Attributes:
        fate: What becomes of the record.
        reason: One constant phrase; empty when delivered.
        detail: The start of the answer with secrets masked; empty when delivered.
        floor_seconds: Kochava's ``Retry-After``: the destination is left alone for so long. 0 when it said nothing.
        ambiguous: The record may have been delivered all the same.
        server_error: The answer was a 5xx or is not understood, so the fault may lie with the record or with the
            server: while others are served, it is the record's.
        too_fast: The answer was 429: the whole destination must slow down.
    """

    fate: Fate
    reason: str = ""
    detail: str = ""
    floor_seconds: float = 0.0
    ambiguous: bool = False
    server_error: bool = False
    too_fast: bool = False


DELIVERED = Verdict(fate=Fate.DELIVERED)


def judge(
    outcome: Answer | Failure, *, queue: str, settings: WireSettings, now: float, kind: str = Engagement.kind
) -> Verdict:
    """
    Read an answer.

    Args:
        outcome: What came of the request.
        queue: The record's queue: of a ping every 2xx and 3xx counts, whatever the body.
        settings: Those of the destination.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
        kind: The record's. An identity link without a signature carries no credentials that could be refused: where
            the account is not enabled for links, that must not pause its events.
    """
    if isinstance(outcome, Failure):
        return Verdict(fate=Fate.RETRY, reason=outcome.reason, ambiguous=outcome.ambiguous)
    status = outcome.status
    if queue == Ping.queue and 200 <= status < (300 if settings.ping_success == "2xx" else 400):
        return DELIVERED
    if 200 <= status < 300:
        return _judge_body(outcome, settings)
    detail = detail_of(outcome, settings)
    if status in _REJECTED_STATUSES or (status in _REFUSED_STATUSES and _is_unsigned(kind, settings)):
        return Verdict(fate=Fate.REJECTED, reason="rejected by Kochava", detail=detail)
    if status in _REFUSED_STATUSES:
        return Verdict(fate=Fate.REFUSED, reason="credentials refused by Kochava", detail=detail)
    if status in _RETRIED_STATUSES or 500 <= status < 600:
        return Verdict(
            fate=Fate.RETRY,
            reason="too many requests" if status == 429 else "server error" if status >= 500 else "not taken now",
            detail=detail,
            floor_seconds=retry_after_seconds(outcome.retry_after, now=now),
            server_error=status >= 500,
            too_fast=status == 429,
        )
    fate = Fate.RETRY if settings.unknown_answer == "retry" else Fate.REJECTED
    return Verdict(fate=fate, reason="answer not understood", detail=detail, server_error=fate is Fate.RETRY)


def _is_unsigned(kind: str, settings: WireSettings) -> bool:
    if kind != IdentityLink.kind or settings.identity_form == "action":
        return False
    return settings.api_key is None or not settings.sign_identity_links


def _judge_body(answer: Answer, settings: WireSettings) -> Verdict:
    if settings.success == "status":
        return DELIVERED
    try:
        body = orjson.loads(answer.start)
    except orjson.JSONDecodeError:
        if _FALSE_IN_TEXT.search(answer.start):
            return Verdict(fate=Fate.REJECTED, reason="rejected by Kochava", detail=detail_of(answer, settings))
        if not answer.complete:
            reason = "answer broke off"
            return Verdict(fate=Fate.RETRY, reason=reason, detail=detail_of(answer, settings), ambiguous=True)
        return DELIVERED
    if isinstance(body, dict) and "success" in body and _is_false(body["success"]):
        return Verdict(fate=Fate.REJECTED, reason="rejected by Kochava", detail=detail_of(answer, settings))
    return DELIVERED


def _is_false(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FALSE_TEXTS
    return isinstance(value, (bool, int, float)) and value == 0


def detail_of(answer: Answer, settings: WireSettings) -> str:
    """Status and start of the body as a person may read them, without the secrets of *settings*."""
    text = answer.start.decode("utf-8", "replace")
    for secret in settings.secrets:
        text = text.replace(secret.value, "…")
    return f"{answer.status} {text}".rstrip()


def retry_after_seconds(header: str | None, *, now: float) -> float:
    """
    A ``Retry-After`` header, which is a number of seconds or an HTTP date, as seconds from *now*; 0 when unusable.
    """
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
