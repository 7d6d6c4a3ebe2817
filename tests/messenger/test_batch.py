"""The answer to a batch, item by item."""

from __future__ import annotations

from kochava_bot_middleware.exceptions import DeliveryUnknownError, RateLimitedError, WindowClosedError
from kochava_bot_middleware.messenger.graph.errors import batch_items
from tests.messenger.local_graph import Answer, LocalGraph


async def test_each_request_of_a_batch_has_its_own_outcome(graph: LocalGraph) -> None:
    """One sent, one refused; both are typed as if they had been sent alone."""
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


def test_request_that_the_batch_did_not_finish_may_have_been_delivered() -> None:
    """Facebook leaves null in its place."""
    (item,) = batch_items([None])

    assert item.status is None
    assert isinstance(item.error, DeliveryUnknownError)


def test_error_in_an_item_of_200_is_an_error() -> None:
    """The status alone does not make a success, nor does a text that is not JSON make a failure."""
    refused, odd = batch_items([{"code": 200, "body": {"error": {"code": 613}}}, {"code": 200, "body": "true?"}])

    assert isinstance(refused.error, RateLimitedError)
    assert (None, None) == (odd.body, odd.error)


def test_answer_that_is_no_array_has_no_items() -> None:
    """Such as what a middleware gives instead."""
    assert [] == batch_items({"error": {}})
