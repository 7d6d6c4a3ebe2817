"""Events that answer something richer than a message: forms, feedback, carts, coupons, payments, games."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True)
class GamePlayEvent(Event):
    """
    A person finished a round of an Instant Game.

    Attributes:
        game_id: App id of the game.
        player_id: The person's id within the game.
        locale: Such as ``en_US``.
        context_type: ``SOLO``, ``THREAD`` or ``GROUP``.
        context_id: Where it was played; missing for ``SOLO``.
        score: Points; of classic high-score games only.
        payload: As the game gave it.
    """

    kind: ClassVar[Kind] = Kind.GAME_PLAY

    game_id: str | None = None
    player_id: str | None = None
    locale: str | None = None
    context_type: str | None = None
    context_id: str | None = None
    score: int | None = None
    payload: str | None = None


@attrs.frozen(kw_only=True)
class ResponseFeedbackEvent(Event):
    """
    A person judged one message of the bot.

    Attributes:
        feedback: ``Good response`` or ``Bad response``.
        mid: The message judged.
    """

    kind: ClassVar[Kind] = Kind.RESPONSE_FEEDBACK

    feedback: str | None = None
    mid: str | None = None


@attrs.frozen(kw_only=True)
class FeedbackQuestion:
    """
    One answered question of a feedback form.

    Attributes:
        id: As the template had it.
        type: ``csat``, ``nps``, ``ces`` or ``free_form``.
        payload: The answer: a figure as text, or what the person wrote.
        follow_up: What the person wrote to explain the figure.
    """

    id: str
    type: str | None = None
    payload: str | None = attrs.field(default=None, repr=False)
    follow_up: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class FeedbackScreen:
    """One page of a feedback form."""

    screen_id: str | None = None
    questions: tuple[FeedbackQuestion, ...] = ()


@attrs.frozen(kw_only=True)
class MessagingFeedbackEvent(Event):
    """A person filled in a customer feedback template."""

    kind: ClassVar[Kind] = Kind.MESSAGING_FEEDBACK

    feedback_screens: tuple[FeedbackScreen, ...] = ()


@attrs.frozen(kw_only=True)
class InformationScreen:
    """
    One page of a structured information template.

    Attributes:
        screen_id: As the template had it.
        responses: What the person gave, by key: name, phone, address.
    """

    screen_id: str | None = None
    responses: Mapping[str, str | None] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class CustomerInformationEvent(Event):
    """A person filled in a structured information template."""

    kind: ClassVar[Kind] = Kind.CUSTOMER_INFORMATION

    screens: tuple[InformationScreen, ...] = ()


@attrs.frozen(kw_only=True)
class OrderEvent(Event):
    """
    A person sent a cart.

    Attributes:
        products: As they came: ``id``, ``retailer_id``, ``name``, ``unit_price``, ``currency``, ``quantity``.
        note: What the person added.
    """

    kind: ClassVar[Kind] = Kind.ORDER

    products: tuple[Mapping[str, Any], ...] = ()
    note: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class CouponEvent(Event):
    """
    A person uncovered a coupon.

    Attributes:
        payload: As the template had it.
        coupon_code: The code shown.
    """

    kind: ClassVar[Kind] = Kind.COUPON

    payload: str | None = None
    coupon_code: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class FormEvent(Event):
    """
    A person sent an instant form.

    Attributes:
        id: The form.
    """

    kind: ClassVar[Kind] = Kind.FORM

    id: str | None = None


@attrs.frozen(kw_only=True)
class PaymentEvent(Event):
    """
    A person paid (gone from the platform).

    Attributes:
        payload: As the button had it.
        requested_user_info: Name, address and so on, as it came.
        payment_credential: Provider and charge or card, as it came.
        amount: ``{"currency", "amount"}``, as it came.
        shipping_option_id: The way of shipping chosen.
    """

    kind: ClassVar[Kind] = Kind.PAYMENT

    payload: str | None = None
    requested_user_info: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    payment_credential: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    amount: Mapping[str, Any] = attrs.field(factory=dict)
    shipping_option_id: str | None = None


@attrs.frozen(kw_only=True)
class CheckoutUpdateEvent(Event):
    """
    A person chose a shipping address; the bot was to answer with prices (gone from the platform).

    Attributes:
        payload: As the button had it.
        shipping_address: As it came.
    """

    kind: ClassVar[Kind] = Kind.CHECKOUT_UPDATE

    payload: str | None = None
    shipping_address: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class PreCheckoutEvent(Event):
    """
    A person is about to pay (gone from the platform).

    Attributes:
        payload: As the button had it.
        requested_user_info: As of `PaymentEvent`.
        amount: As of `PaymentEvent`.
    """

    kind: ClassVar[Kind] = Kind.PRE_CHECKOUT

    payload: str | None = None
    requested_user_info: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    amount: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class BrandedCameraEvent(Event):
    """
    A person used the Page's camera effect (gone from the platform).

    Attributes:
        content_ids: The effects.
        event: What the person did.
    """

    kind: ClassVar[Kind] = Kind.BRANDED_CAMERA

    content_ids: tuple[str, ...] = ()
    event: str | None = None
