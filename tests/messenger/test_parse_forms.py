"""Events of forms, feedback, orders, coupons, payments and games."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kochava_bot_middleware.messenger import events
from tests.strategies import ITEMS, item, only

SENT = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)


def test_game_play() -> None:
    """A round of a game has a score."""
    event = only(events.GamePlayEvent, ITEMS["game_play"])
    wanted = ("77", "88", "SOLO", 12, "LEVEL_3")
    assert wanted == (event.game_id, event.player_id, event.context_type, event.score, event.payload)


def test_response_feedback() -> None:
    """Feedback names the message."""
    event = only(events.ResponseFeedbackEvent, ITEMS["response_feedback"])
    assert ("Good response", "m_echo") == (event.feedback, event.mid)


def test_messaging_feedback() -> None:
    """Questions are keyed by their id."""
    (screen,) = only(events.MessagingFeedbackEvent, ITEMS["messaging_feedback"]).feedback_screens
    question = events.FeedbackQuestion(id="hotel", type="csat", payload="5", follow_up="Quiet rooms")
    assert ("0", (question,)) == (screen.screen_id, screen.questions)


def test_customer_information() -> None:
    """Answers are keyed by their name."""
    (screen,) = only(events.CustomerInformationEvent, ITEMS["customer_information"]).screens
    assert ("address", {"name": "Ada Example"}) == (screen.screen_id, screen.responses)


def test_order() -> None:
    """Products are as received."""
    event = only(events.OrderEvent, ITEMS["order"])
    assert ("SHOE-1", "By Friday") == (event.products[0]["retailer_id"], event.note)


def test_coupon_revealed() -> None:
    """A coupon is reported as a template beside the message."""
    event = only(events.CouponEvent, ITEMS["coupon"])
    assert ("SPRING", "SAVE20") == (event.payload, event.coupon_code)


def test_other_template_is_unknown() -> None:
    """Only coupons are documented."""
    only(events.UnknownEvent, item(template={"type": "poster"}))


@pytest.mark.parametrize("under", ["messaging", "messaging:"])
def test_instant_form(under: str) -> None:
    """The platform's own sample has a colon in the name of the array."""
    assert only(events.FormEvent, ITEMS["form"], under=under).id == "5550001"


def test_payment() -> None:
    """The parts of a payment are as received."""
    event = only(events.PaymentEvent, ITEMS["payment"])
    assert ("BUY", "29.62", "ch_1") == (event.payload, event.amount["amount"], event.payment_credential["charge_id"])
    assert event.shipping_option_id == "123"


def test_checkout_update() -> None:
    """The shipping address is as received."""
    event = only(events.CheckoutUpdateEvent, ITEMS["checkout_update"])
    assert ("BUY", "Menlo Park") == (event.payload, event.shipping_address["city"])


def test_pre_checkout() -> None:
    """Amount and user information are as received."""
    event = only(events.PreCheckoutEvent, ITEMS["pre_checkout"])
    assert ("BUY", "2.70") == (event.payload, event.amount["amount"])


def test_branded_camera() -> None:
    """Effects are named by their ids."""
    event = only(events.BrandedCameraEvent, ITEMS["branded_camera"])
    assert (("123",), "dismiss") == (event.content_ids, event.event)
