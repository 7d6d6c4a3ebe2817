"""
Standard events with their standard keys, so that an editor completes them and a typing error shows.

Each builder gives the pair that `track` and `event` take: name and data. Keys left at ``None`` are left out; any other
keyword is passed on as a key of its own. No builder raises: what is wrong with the data is told where the event is
recorded, so that a purchase is not lost for a currency.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypeAlias

import attrs

from .standard import StandardEvent

Amount: TypeAlias = int | float | Decimal
RevenueKey: TypeAlias = Literal["sum", "price", "both"]


@attrs.frozen
class StandardEventData:
    """
    A named event, ready to be tracked.

    Attributes:
        name: The event's name.
        data: Its data.
    """

    name: str
    data: dict[str, Any]


def purchase(
    *,
    price: Amount,
    currency: str,
    name: str | None = None,
    content_id: str | None = None,
    order_id: str | None = None,
    quantity: int | None = None,
    revenue_key: RevenueKey = "sum",
    **others: Any,
) -> StandardEventData:
    """
    Something was bought.

    Args:
        price: The whole amount.
        currency: Code of ISO 4217.
        revenue_key: Kochava's bot page calls the amount ``sum``, newer pages ``price``.
    """
    keys = ("sum", "price") if revenue_key == "both" else (revenue_key,)
    amounts = dict.fromkeys(keys, price)
    return _event(
        StandardEvent.PURCHASE,
        {"name": name, "content_id": content_id, "order_id": order_id, "quantity": quantity, "currency": currency},
        amounts,
        others,
    )


def add_to_cart(
    *,
    name: str | None = None,
    content_id: str | None = None,
    quantity: int | None = None,
    price: Amount | None = None,
    currency: str | None = None,
    referral_from: str | None = None,
    **others: Any,
) -> StandardEventData:
    """Something was put into the cart."""
    return _product(
        StandardEvent.ADD_TO_CART, name, content_id, price, currency,
        {"quantity": quantity, "referral_from": referral_from, **others},
    )  # fmt: skip


def add_to_wish_list(
    *,
    name: str | None = None,
    content_id: str | None = None,
    price: Amount | None = None,
    currency: str | None = None,
    **others: Any,
) -> StandardEventData:
    """Something was put on the wish list."""
    return _product(StandardEvent.ADD_TO_WISH_LIST, name, content_id, price, currency, others)


def checkout_start(
    *,
    price: Amount | None = None,
    currency: str | None = None,
    name: str | None = None,
    content_id: str | None = None,
    checkout_as_guest: str | None = None,
    **others: Any,
) -> StandardEventData:
    """The checkout was begun."""
    return _product(
        StandardEvent.CHECKOUT_START, name, content_id, price, currency,
        {"checkout_as_guest": checkout_as_guest, **others},
    )  # fmt: skip


def registration_complete(*, registration_method: str | None = None, **others: Any) -> StandardEventData:
    """The person registered."""
    return _event(StandardEvent.REGISTRATION_COMPLETE, {"registration_method": registration_method}, others)


def search(*, search_term: str | None = None, results: str | None = None, **others: Any) -> StandardEventData:
    """The person searched. A search term is what the person wrote: pass it only if it cannot be private."""
    return _event(StandardEvent.SEARCH, {"search_term": search_term, "results": results}, others)


def rating(*, rating_value: Amount, max_rating_value: Amount | None = None, **others: Any) -> StandardEventData:
    """The person rated something."""
    return _event(StandardEvent.RATING, {"rating_value": rating_value, "max_rating_value": max_rating_value}, others)


def view(*, name: str | None = None, content_id: str | None = None, **others: Any) -> StandardEventData:
    """Something was looked at."""
    return _event(StandardEvent.VIEW, {"name": name, "content_id": content_id}, others)


def level_complete(*, name: str | None = None, duration: Amount | None = None, **others: Any) -> StandardEventData:
    """
    A level was finished.

    Args:
        duration: Seconds.
    """
    return _event(StandardEvent.LEVEL_COMPLETE, {"name": name, "duration": duration}, others)


def tutorial_complete(*, name: str | None = None, duration: Amount | None = None, **others: Any) -> StandardEventData:
    """
    A tutorial was finished.

    Args:
        duration: Seconds.
    """
    return _event(StandardEvent.TUTORIAL_COMPLETE, {"name": name, "duration": duration}, others)


def _product(
    event: StandardEvent,
    name: str | None,
    content_id: str | None,
    price: Amount | None,
    currency: str | None,
    others: dict[str, Any],
) -> StandardEventData:
    return _event(event, {"name": name, "content_id": content_id, "price": price, "currency": currency}, others)


def _event(event: StandardEvent, *parts: dict[str, Any]) -> StandardEventData:
    data = {key: value for part in parts for key, value in part.items() if value is not None}
    return StandardEventData(event.value, data)
