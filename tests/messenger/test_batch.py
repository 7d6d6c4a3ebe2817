"""The answer to a batch, one item for each request."""

from __future__ import annotations

import json

from kochava_bot_middleware.exceptions import DeliveryUnknownError, RateLimitedError, WindowClosedError
from kochava_bot_middleware.messenger.graph.errors import batch_items
from tests.messenger.local_graph import Answer, LocalGraph


async def test_each_request_of_a_batch_has_its_own_result(graph: LocalGraph) -> None:
    """A success and a refusal have the types they would have alone."""
    refusal = '{"error": {"code": 10, "error_subcode": 2018278, "fbtrace_id": "T"}}'
    graph.answers.append(
        Answer([{"code": 200, "body": '{"message_id": "m_1"}'}, {"code": 400, "headers": [], "body": refusal}])
    )

    sent, refused = batch_items(await graph.bot().send_batch([{"method": "POST"}, {"method": "POST"}]))

    assert (200, {"message_id": "m_1"}, None) == (sent.status, sent.body, sent.error)
    assert isinstance(refused.error, WindowClosedError)
    assert (400, 10, 2018278, "T") == (
        refused.status,
        refused.error.code,
        refused.error.subcode,
        refused.error.trace_id,
    )


def test_request_missing_from_the_answer_may_have_been_delivered() -> None:
    """Facebook sends null in its place."""
    (item,) = batch_items([None])

    assert item.status is None
    assert isinstance(item.error, DeliveryUnknownError)


def test_error_in_an_item_with_status_200_is_an_error() -> None:
    """A body that is not JSON does not make it a failure."""
    refused, odd = batch_items([{"code": 200, "body": {"error": {"code": 613}}}, {"code": 200, "body": "true?"}])

    assert isinstance(refused.error, RateLimitedError)
    assert (None, None) == (odd.body, odd.error)


def test_answer_that_is_not_an_array_has_no_items() -> None:
    """A middleware may return something else."""
    assert [] == batch_items({"error": {}})


def test_item_has_the_wait_named_in_its_own_headers() -> None:
    """Minutes in the usage; its code may be text."""
    usage = json.dumps({"9": [{"type": "messenger", "estimated_time_to_regain_access": 2}]})
    headers = [{"name": "X-Business-Use-Case-Usage", "value": usage}, "odd"]
    answer = {"code": "400", "headers": headers, "body": json.dumps({"error": {"code": 80006}})}

    (item,) = batch_items([answer])

    assert item.error is not None
    assert (400, RateLimitedError, 120.0) == (item.status, type(item.error), item.error.retry_after_seconds)
