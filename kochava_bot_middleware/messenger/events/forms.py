"""Events about forms, feedback, orders, coupons, payments and games."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True, slots=False)
class GamePlayEvent(Event):
    """
    A person finished a round of an Instant Game.

    Attributes:
        game_id: App id of the game.
        player_id: The person's id within the game.
        locale: Such as ``en_US``.
        context_type: ``SOLO``, ``THREAD`` or ``GROUP``.
        context_id: The thread or group; missing for ``SOLO``.
        score: Points; only for classic high-score games.
        payload: As given by the game.
    """

    kind: ClassVar[Kind] = Kind.GAME_PLAY

    game_id: str | None = None
    player_id: str | None = None
    locale: str | None = None
    context_type: str | None = None
    context_id: str | None = None
    score: int | None = None
    payload: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResponseFeedbackEvent(Event):
    """
    A person rated one message of the bot.

    Attributes:
        feedback: ``Good response`` or ``Bad response``.
        mid: Id of the message.
    """

    kind: ClassVar[Kind] = Kind.RESPONSE_FEEDBACK

    feedback: str | None = None
    mid: str | None = None


@attrs.frozen(kw_only=True)
class FeedbackQuestion:
    """
    One answered question of a feedback form.

    Attributes:
        id: As in the template.
        type: ``csat``, ``nps``, ``ces`` or ``free_form``.
        payload: The answer: a number as text, or what the person wrote.
        follow_up: The person's explanation of the number.
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


@attrs.frozen(kw_only=True, slots=False)
class MessagingFeedbackEvent(Event):
    """A person filled in a customer feedback template."""

    kind: ClassVar[Kind] = Kind.MESSAGING_FEEDBACK

    feedback_screens: tuple[FeedbackScreen, ...] = ()


@attrs.frozen(kw_only=True)
class InformationScreen:
    """
    One page of a structured information template.

    Attributes:
        screen_id: As in the template.
        responses: The answers, by key: name, phone, address.
    """

    screen_id: str | None = None
    responses: Mapping[str, str | None] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class CustomerInformationEvent(Event):
    """A person filled in a structured information template."""

    kind: ClassVar[Kind] = Kind.CUSTOMER_INFORMATION

    screens: tuple[InformationScreen, ...] = ()


@attrs.frozen(kw_only=True, slots=False)
class OrderEvent(Event):
    """
    A person sent a cart.

    Attributes:
        products: As received: ``id``, ``retailer_id``, ``name``, ``unit_price``, ``currency``, ``quantity``.
        note: The person's note.
    """

    kind: ClassVar[Kind] = Kind.ORDER

    products: tuple[Mapping[str, Any], ...] = ()
    note: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class CouponEvent(Event):
    """
    A person revealed the code of a coupon.

    Attributes:
        payload: As in the template.
        coupon_code: The code shown.
    """

    kind: ClassVar[Kind] = Kind.COUPON

    payload: str | None = None
    coupon_code: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class FormEvent(Event):
    """
    A person submitted an instant form.

    Attributes:
        id: Id of the form.
    """

    kind: ClassVar[Kind] = Kind.FORM

    id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class PaymentEvent(Event):
    """
    A person paid (removed from the platform).

    Attributes:
        payload: Payload of the button.
        requested_user_info: Name, address and so on, as received.
        payment_credential: Provider and charge or card, as received.
        amount: ``{"currency", "amount"}``, as received.
        shipping_option_id: The shipping option chosen.
    """

    kind: ClassVar[Kind] = Kind.PAYMENT

    payload: str | None = None
    requested_user_info: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    payment_credential: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    amount: Mapping[str, Any] = attrs.field(factory=dict)
    shipping_option_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class CheckoutUpdateEvent(Event):
    """
    A person chose a shipping address, for which the bot replied with prices (removed from the platform).

    Attributes:
        payload: Payload of the button.
        shipping_address: As received.
    """

    kind: ClassVar[Kind] = Kind.CHECKOUT_UPDATE

    payload: str | None = None
    shipping_address: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class PreCheckoutEvent(Event):
    """
    A person is about to pay (removed from the platform).

    Attributes:
        payload: Payload of the button.
        requested_user_info: As in `PaymentEvent`.
        amount: As in `PaymentEvent`.
    """

    kind: ClassVar[Kind] = Kind.PRE_CHECKOUT

    payload: str | None = None
    requested_user_info: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    amount: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, slots=False)
class BrandedCameraEvent(Event):
    """
    A person used a camera effect of the Page (removed from the platform).

    Attributes:
        content_ids: Ids of the effects.
        event: What the person did with them.
    """

    kind: ClassVar[Kind] = Kind.BRANDED_CAMERA

    content_ids: tuple[str, ...] = ()
    event: str | None = None
