"""The platform's table of errors, row by row."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.exceptions import (
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
from kochava_bot_middleware.messenger.graph.errors import error_from_answer, is_refusal

ROWS: list[tuple[int, int | None, type[SendError]]] = [
    (1, 99, DeliveryUnknownError),
    (1, 1357046, DeliveryUnknownError),
    (2, None, TemporarySendError),
    (4, None, RateLimitedError),
    (4, 2018022, RateLimitedError),
    (4, 2018354, RateLimitedError),
    (9, 2018352, RateLimitedError),
    (10, None, PermissionDeniedError),
    (10, 2018065, WindowClosedError),
    (10, 2018278, WindowClosedError),
    (10, 2534022, WindowClosedError),
    (10, 2018108, PersonUnavailableError),
    (10, 1893063, PermissionDeniedError),
    (100, None, BadRequestError),
    (100, 2018001, PersonUnavailableError),
    (100, 2018008, BadRequestError),
    (100, 2018047, BadRequestError),
    (100, 2018074, BadRequestError),
    (100, 2018294, BadRequestError),
    (100, 2018109, BadRequestError),
    (105, None, BadRequestError),
    (190, None, TokenInvalidError),
    (200, 1545041, PermissionDeniedError),
    (200, 2018021, PermissionDeniedError),
    (200, 2018027, PermissionDeniedError),
    (200, 2018028, PermissionDeniedError),
    (230, None, PermissionDeniedError),
    (551, None, PersonUnavailableError),
    (551, 1545041, PersonUnavailableError),
    (551, 1893047, PersonUnavailableError),
    (613, None, RateLimitedError),
    (1200, None, TemporarySendError),
    (10303, None, BadRequestError),
    (100, 2018185, BadRequestError),
    (2018188, None, BadRequestError),
    (100, 2018320, BadRequestError),
    (100, 2018328, BadRequestError),
    (100, 2018382, BadRequestError),
    (100, 2018218, BadRequestError),
    (17, None, RateLimitedError),
    (32, None, RateLimitedError),
    (341, None, RateLimitedError),
    (80000, None, RateLimitedError),
    (80001, None, RateLimitedError),
    (80002, 2446079, RateLimitedError),
    (80004, None, RateLimitedError),
    (80006, None, RateLimitedError),
    (80008, None, RateLimitedError),
    (80014, None, RateLimitedError),
    (79999, None, BadRequestError),
    (987654, None, BadRequestError),
]


@pytest.mark.parametrize(("code", "subcode", "expected"), ROWS)
def test_code_and_subcode_determine_the_class(code: int, subcode: int | None, expected: type[SendError]) -> None:
    """The error keeps the numbers of the answer."""
    error = error_from_answer(400, {"error": {"code": code, "error_subcode": subcode, "fbtrace_id": "T"}})

    assert expected is type(error)
    assert (400, code, subcode, "T") == (error.status, error.code, error.subcode, error.trace_id)


@pytest.mark.parametrize("code", ["80006", 80006.0, "80006.0"])
def test_code_may_be_text_or_have_a_decimal_point(code: object) -> None:
    """As numbers of webhooks may."""
    assert 80006 == error_from_answer(400, {"error": {"code": code}}).code


def test_closed_window_is_recognised_by_its_text() -> None:
    """Some answers have no subcode for it."""
    body = {"error": {"code": 10, "message": "(#10) This message is sent outside of allowed window."}}

    assert WindowClosedError is type(error_from_answer(400, body))


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (500, {"code": 987654}, TemporarySendError),
        (400, {"code": 987654, "is_transient": True}, TemporarySendError),
        (400, {"code": 987654, "is_transient": "true"}, TemporarySendError),
        (400, {"code": 200, "is_transient": True}, TemporarySendError),
        (400, {"code": 987654, "is_transient": False}, BadRequestError),
        (500, {"code": 100}, TemporarySendError),
        (408, {"code": 987654}, TemporarySendError),
        (425, {}, TemporarySendError),
        (429, {"code": 987654}, RateLimitedError),
        (429, {"code": 100}, RateLimitedError),
    ],
)
def test_unknown_code_is_temporary_for_a_server_error(
    status: int, error: dict[str, object], expected: type[SendError]
) -> None:
    """Also when the answer says that it is transient, or has the status of a rate limit or of a slow request."""
    assert expected is type(error_from_answer(status, {"error": error}))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, DeliveryUnknownError),
        (302, BadRequestError),
        (401, TokenInvalidError),
        (403, PermissionDeniedError),
        (404, BadRequestError),
        (408, TemporarySendError),
        (429, RateLimitedError),
        (502, DeliveryUnknownError),
        (503, DeliveryUnknownError),
    ],
)
def test_answer_that_is_not_json_is_classified_by_its_status(status: int, expected: type[SendError]) -> None:
    """A proxy may answer in place of the Graph API."""
    error = error_from_answer(status, None)

    assert expected is type(error)
    assert {} == error.body


def test_failure_of_a_read_call_is_temporary() -> None:
    """A GET delivers nothing."""
    assert TemporarySendError is type(error_from_answer(500, {"error": {"code": 1}}, delivers=False))


def test_message_has_numbers_and_no_text_of_facebook() -> None:
    """The message has advice, code, subcode and trace id; Facebook's text is in the body."""
    error = error_from_answer(
        400, {"error": {"code": 190, "error_subcode": 463, "fbtrace_id": "AbC", "message": "Malformed token EAAx"}}
    )

    assert "connect the Page again" in str(error)
    assert "code 190/463" in str(error)
    assert "fbtrace_id AbC" in str(error)
    assert "EAAx" not in str(error)


def test_rate_limit_error_has_the_requested_wait() -> None:
    """In seconds, from the headers."""
    error = error_from_answer(400, {"error": {"code": 613}}, retry_after_seconds=120.0)

    assert isinstance(error, RateLimitedError)
    assert 120.0 == error.retry_after_seconds


def test_service_that_names_when_it_is_back_delivered_nothing() -> None:
    """A load balancer with ``Retry-After`` turned the request away."""
    error = error_from_answer(503, None, retry_after_seconds=5.0)

    assert (TemporarySendError, 5.0) == (type(error), error.retry_after_seconds)


def test_error_that_waiting_does_not_mend_has_no_wait() -> None:
    """The headers of any answer may name one."""
    assert error_from_answer(400, {"error": {"code": 100}}, retry_after_seconds=60.0).retry_after_seconds is None


@pytest.mark.parametrize("error", [None, "text", [], {"code": "x"}, {"code": True}, {"error_subcode": []}])
def test_malformed_error_object_is_still_an_error(error: object) -> None:
    """An answer with status 400 is a refusal, whatever is in ``error``."""
    assert is_refusal(400, {"error": error})
    assert BadRequestError is type(error_from_answer(400, {"error": error}))


def test_numbers_as_text_are_read() -> None:
    """Codes may be text."""
    error = error_from_answer(400, {"error": {"code": "10", "error_subcode": "2018278"}})

    assert WindowClosedError is type(error)
