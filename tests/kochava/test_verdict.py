"""The verdict for each answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.client import READ_BYTES, Answer, Failure
from kochava_bot_middleware.kochava.destination import WireSettings
from kochava_bot_middleware.kochava.verdict import DeliveryResult, Verdict, judge, retry_after_seconds
from kochava_bot_middleware.settings import Secret

NOW = 1_800_000_000.0


def judged(
    outcome: Answer | Failure, *, queue: str = "track", settings: WireSettings | None = None, kind: str = "engagement"
) -> Verdict:
    return judge(outcome, queue=queue, settings=settings or WireSettings(), now=NOW, kind=kind)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize(
    "start", [b'{"success":"1"}', b'{"success":1}', b'{"success":true}', b"{}", b"", b"OK", b"<html>", b"[1]", b"1"]
)
def test_2xx_and_success_not_false_is_delivered(status: int, start: bytes) -> None:
    """Also when the body cannot be parsed."""
    assert DeliveryResult.DELIVERED is judged(Answer(status=status, start=start)).result


@pytest.mark.parametrize(
    "start",
    [
        b'{"success":false}',
        b'{"success":0}',
        b'{"success":"0"}',
        b'{"success":"false"}',
        b'{"success": "False", "error": "x"}',
        b'{"success":"0","error":"' + b"x" * READ_BYTES,
        b'{"error":"' + b"x" * 600 + b'","success":"0"}',
    ],
)
def test_2xx_with_success_false_is_rejected_with_the_answer_s_start(start: bytes) -> None:
    """Also when only the start of a long answer is known."""
    verdict = judged(Answer(status=200, start=start[:READ_BYTES]))
    assert (DeliveryResult.REJECTED, "rejected by Kochava") == (verdict.result, verdict.reason)
    assert len(verdict.detail) <= len("200 ") + 512
    assert verdict.detail.encode()[4:] == start[:512]


def test_a_false_success_inside_of_a_long_answer_is_none() -> None:
    """It is about something else."""
    answer = Answer(status=200, start=b'{"success":"1","data":{"success":"0"},"more":"' + b"x" * 600 + b'"}')
    assert DeliveryResult.DELIVERED is judged(answer).result


def test_success_by_status_ignores_the_body() -> None:
    """As with other clients of Kochava."""
    verdict = judged(Answer(status=200, start=b'{"success":"0"}'), settings=WireSettings(success="status"))
    assert DeliveryResult.DELIVERED is verdict.result


EXPLICIT = WireSettings(success="explicit")
LONG = b'"' + b"x" * 600 + b'"'
NOT_EXPLICIT = [
    *(b"", b"{}", b"OK", b"1", b"[1]", b"<html>", b'{"error":"x"}', b'{"success":null}', b'{"success":"yes"}'),
    *(b'{"data":{"success":"1"},"more":' + LONG + b"}", b'[{"success":"1"},' + LONG + b"]"),
    # What is longer than what is read, whatever its start says.
    *((b'{"success":' + said + b',"more":"').ljust(READ_BYTES, b"x") for said in (b'"1"', b'"0"')),
]


@pytest.mark.parametrize("status", [200, 202, 302, 500])
@pytest.mark.parametrize(
    "start",
    [
        b'{"success":"1"}',
        b'{"success": 1}',
        b'{"success":true,"more":' + LONG + b"}",
        b'{"a":' + LONG + b',"success":"1"}',
    ],
)
def test_explicit_success_is_delivered(status: int, start: bytes) -> None:
    """As Kochava's SDKs, which do not look at the status; wherever in a long answer it stands."""
    assert DeliveryResult.DELIVERED is judged(Answer(status=status, start=start), settings=EXPLICIT).result


def test_a_long_refusal_is_rejected_whatever_is_true_inside() -> None:
    """The object that is the answer decides."""
    start = b'{"success":"0","data":{"success":"1"},"more":' + LONG + b"}"
    assert DeliveryResult.REJECTED is judged(Answer(status=200, start=start), settings=EXPLICIT).result


@pytest.mark.parametrize("start", NOT_EXPLICIT)
def test_what_does_not_say_success_is_not_delivered_where_that_is_wanted(start: bytes) -> None:
    """A page of a proxy, an error without `success`, nothing at all: it is tried again, or dead by the setting."""
    verdict = judged(Answer(status=200, start=start), settings=EXPLICIT)
    assert (DeliveryResult.RETRY, "answer not understood") == (verdict.result, verdict.reason)
    assert (True, False) == (verdict.server_error, verdict.ambiguous)
    settings = WireSettings(success="explicit", unknown_answer="dead")
    assert DeliveryResult.REJECTED is judged(Answer(status=200, start=start), settings=settings).result


def test_explicit_refusals_and_broken_answers_stay_what_they_are() -> None:
    """Rejected, and ambiguous."""
    assert DeliveryResult.REJECTED is judged(Answer(status=200, start=b'{"success":"0"}'), settings=EXPLICIT).result
    assert judged(Answer(status=200, start=b'{"succ', complete=False), settings=EXPLICIT).ambiguous
    assert DeliveryResult.REFUSED is judged(Answer(status=401, start=b"{}"), settings=EXPLICIT).result


@pytest.mark.parametrize(("kind", "queue"), [("identity_link", "link"), ("deletion", "deletion"), ("click", "click")])
def test_only_the_address_for_events_must_say_success(kind: str, queue: str) -> None:
    """Nobody knows what the others answer."""
    verdict = judged(Answer(status=200, start=b"OK"), settings=EXPLICIT, kind=kind, queue=queue)
    assert DeliveryResult.DELIVERED is verdict.result
    action = WireSettings(success="explicit", identity_form="action")
    if kind == "identity_link":
        assert DeliveryResult.RETRY is judged(Answer(status=200), settings=action, kind=kind, queue=queue).result


@pytest.mark.parametrize("status", [400, 413, 422])
def test_400_413_and_422_are_rejected(status: int) -> None:
    """Sending it again would not help."""
    assert DeliveryResult.REJECTED is judged(Answer(status=status)).result


@pytest.mark.parametrize("status", [401, 403])
def test_401_and_403_refuse_the_credentials(status: int) -> None:
    """The record is not the cause."""
    assert DeliveryResult.REFUSED is judged(Answer(status=status)).result


KEYS: dict[str, Any] = {"api_key": Secret("key"), "api_secret": Secret("secret")}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("settings", "fate"),
    [
        (WireSettings(), DeliveryResult.REJECTED),
        (WireSettings(**KEYS), DeliveryResult.REJECTED),
        (WireSettings(identity_form="off"), DeliveryResult.REJECTED),
        (WireSettings(**KEYS, sign_identity_links=True), DeliveryResult.REFUSED),
        (WireSettings(identity_form="action"), DeliveryResult.REFUSED),
    ],
)
def test_401_and_403_for_an_unsigned_identity_link_reject_the_link(
    status: int, settings: WireSettings, fate: DeliveryResult
) -> None:
    """It has no credentials, and an account without links must not have its events paused."""
    assert fate is judged(Answer(status=status), settings=settings, kind="identity_link").result


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_429_and_5xx_are_retried(status: int) -> None:
    """They are not ambiguous, since the server answered."""
    verdict = judged(Answer(status=status))
    assert (DeliveryResult.RETRY, False) == (verdict.result, verdict.ambiguous)
    assert (status >= 500, status == 429) == (verdict.server_error, verdict.too_fast)


@pytest.mark.parametrize("ambiguous", [True, False])
def test_timeout_and_connection_are_retried(ambiguous: bool) -> None:
    """The verdict says whether the request may have been received."""
    verdict = judged(Failure(reason="no answer in time", ambiguous=ambiguous))
    assert (DeliveryResult.RETRY, ambiguous) == (verdict.result, verdict.ambiguous)


def test_incomplete_answer_is_ambiguous() -> None:
    """The missing part may have been a rejection."""
    verdict = judged(Answer(status=200, start=b'{"succ', complete=False))
    assert (DeliveryResult.RETRY, True) == (verdict.result, verdict.ambiguous)
    assert DeliveryResult.DELIVERED is judged(Answer(status=200, start=b"", complete=False), queue="ping").result


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307])
def test_ping_is_delivered_with_every_2xx_and_3xx(status: int) -> None:
    """Whatever the body is."""
    assert DeliveryResult.DELIVERED is judged(Answer(status=status, start=b'{"success":"0"}'), queue="ping").result


def test_redirect_as_the_answer_to_a_ping_is_a_setting() -> None:
    """Kochava does not document the answer to an impression."""
    settings = WireSettings(ping_success="2xx")
    assert DeliveryResult.DELIVERED is judged(Answer(status=204), queue="ping", settings=settings).result
    assert DeliveryResult.RETRY is judged(Answer(status=302), queue="ping", settings=settings).result


def test_unknown_answer_counts_as_a_server_error() -> None:
    """So that one identity link with a wrong address does not delay the person's purchases for days."""
    assert judged(Answer(status=404)).server_error


@pytest.mark.parametrize("status", [302, 404, 405, 418])
@pytest.mark.parametrize(("setting", "fate"), [("retry", DeliveryResult.RETRY), ("dead", DeliveryResult.REJECTED)])
def test_unknown_answers_are_a_setting(status: int, setting: str, fate: DeliveryResult) -> None:
    """They are not documented."""
    assert fate is judged(Answer(status=status), settings=WireSettings(unknown_answer=setting)).result


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("120", 120),
        ("1.5", 1.5),
        ("-5", 0),
        ("soon", 0),
        ("nan", 0),
        ("inf", 0),
        ("99999999999", 86_400),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float) -> None:
    """Seconds or a date; at most one day."""
    assert seconds == retry_after_seconds(header, now=NOW)
    assert seconds == judged(Answer(status=503, retry_after=header)).floor_seconds


def test_secrets_in_an_answer_are_masked() -> None:
    """A server may repeat what it received."""
    settings = WireSettings(api_key=Secret("k-123"), api_secret=Secret("s-456"))
    detail = judged(Answer(status=400, start=b"bad key k-123 or s-456"), settings=settings).detail
    assert "400 bad key … or …" == detail


@given(st.integers(100, 599), st.binary(max_size=40), st.text(max_size=20), st.booleans())
def test_every_answer_has_a_verdict(status: int, start: bytes, header: str, complete: bool) -> None:
    """Never an exception."""
    outcome = Answer(status=status, start=start, complete=complete, retry_after=header)
    for queue in ("track", "ping"):
        assert judged(outcome, queue=queue).floor_seconds >= 0
