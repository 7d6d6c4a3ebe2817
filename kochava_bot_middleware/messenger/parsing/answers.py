"""Readers of the keys that answer something richer than a message: forms, feedback, carts, coupons, payments, games."""

from __future__ import annotations

from typing import Any

from ..events import (
    BrandedCameraEvent,
    CheckoutUpdateEvent,
    CouponEvent,
    CustomerInformationEvent,
    Event,
    FeedbackQuestion,
    FeedbackScreen,
    FormEvent,
    GamePlayEvent,
    InformationScreen,
    MessagingFeedbackEvent,
    OrderEvent,
    PaymentEvent,
    PreCheckoutEvent,
    ResponseFeedbackEvent,
    UnknownEvent,
)
from .fields import Frame, identifier, identifiers, integer, members, objects, text


def game_play(value: dict[str, Any], frame: Frame) -> Event:
    """``score`` is missing in rich games."""
    return GamePlayEvent(
        **frame,
        game_id=identifier(value.get("game_id")),
        player_id=identifier(value.get("player_id")),
        locale=identifier(value.get("locale")),
        context_type=identifier(value.get("context_type")),
        context_id=identifier(value.get("context_id")),
        score=integer(value.get("score")),
        payload=text(value.get("payload")),
    )


def response_feedback(value: dict[str, Any], frame: Frame) -> Event:
    """A thumb under one message of the bot."""
    return ResponseFeedbackEvent(**frame, feedback=text(value.get("feedback")), mid=identifier(value.get("mid")))


def messaging_feedback(value: dict[str, Any], frame: Frame) -> Event:
    """``questions`` is an object, keyed by the question's id."""
    screens = (
        FeedbackScreen(screen_id=identifier(screen.get("screen_id")), questions=_questions(screen.get("questions")))
        for screen in objects(value.get("feedback_screens"))
    )
    return MessagingFeedbackEvent(**frame, feedback_screens=tuple(screens))


def _questions(value: Any) -> tuple[FeedbackQuestion, ...]:
    return tuple(
        FeedbackQuestion(
            id=name,
            type=identifier(question.get("type")),
            payload=text(question.get("payload")),
            follow_up=text(members(question.get("follow_up")).get("payload")),
        )
        for name, question in members(value).items()
        if isinstance(question, dict)
    )


def customer_information(value: dict[str, Any], frame: Frame) -> Event:
    """``responses`` is a list of ``key`` and ``value``."""
    screens = (
        InformationScreen(screen_id=identifier(screen.get("screen_id")), responses=_responses(screen.get("responses")))
        for screen in objects(value.get("screens"))
    )
    return CustomerInformationEvent(**frame, screens=tuple(screens))


def _responses(value: Any) -> dict[str, str | None]:
    named = ((identifier(response.get("key")), text(response.get("value"))) for response in objects(value))
    return {key: answer for key, answer in named if key is not None}


def order(value: dict[str, Any], frame: Frame) -> Event:
    """Products stay as they came: their ids are text or numbers, their prices too."""
    return OrderEvent(**frame, products=tuple(objects(value.get("products"))), note=text(value.get("note")))


def template(value: dict[str, Any], frame: Frame) -> Event:
    """A coupon is the only template known to come back."""
    if value.get("type") != "coupon":
        return UnknownEvent(**frame)
    return CouponEvent(**frame, payload=text(value.get("payload")), coupon_code=text(value.get("coupon_code")))


def form(value: dict[str, Any], frame: Frame) -> Event:
    """Only the form's id; its answers are fetched elsewhere."""
    return FormEvent(**frame, id=identifier(value.get("id")))


def payment(value: dict[str, Any], frame: Frame) -> Event:
    """Gone from the platform, as are the next two."""
    return PaymentEvent(
        **frame,
        payload=text(value.get("payload")),
        requested_user_info=members(value.get("requested_user_info")),
        payment_credential=members(value.get("payment_credential")),
        amount=members(value.get("amount")),
        shipping_option_id=identifier(value.get("shipping_option_id")),
    )


def checkout_update(value: dict[str, Any], frame: Frame) -> Event:
    """Asks for the prices of one address."""
    return CheckoutUpdateEvent(
        **frame,
        payload=text(value.get("payload")),
        shipping_address=members(value.get("shipping_address")),
    )


def pre_checkout(value: dict[str, Any], frame: Frame) -> Event:
    """Comes before ``payment``."""
    return PreCheckoutEvent(
        **frame,
        payload=text(value.get("payload")),
        requested_user_info=members(value.get("requested_user_info")),
        amount=members(value.get("amount")),
    )


def branded_camera(value: dict[str, Any], frame: Frame) -> Event:
    """Gone from the platform."""
    return BrandedCameraEvent(
        **frame,
        content_ids=identifiers(value.get("content_ids")),
        event=identifier(value.get("event")),
    )
