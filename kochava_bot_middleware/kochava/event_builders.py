"""
Builders for standard events with their standard keys, for completion and type checks in an editor.

A builder returns name and data for `track` and `event`. Keys that are ``None`` are left out; any other keyword
becomes a key. No builder raises: problems in the data are reported when the event is recorded, so that a purchase is
not lost because of an invalid currency.
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
    """Name and data of an event."""

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
    A purchase.

    Args:
        price: The total amount.
        currency: ISO 4217 code.
        revenue_key: Key of the amount: ``sum`` on Kochava's bot page, ``price`` on newer pages.
    """
    data: dict[str, Any] = {
        "name": name,
        "content_id": content_id,
        "order_id": order_id,
        "quantity": quantity,
        "currency": currency,
    }
    for key in ("sum", "price") if revenue_key == "both" else (revenue_key,):
        data[key] = price
    return _event(StandardEvent.PURCHASE, **data | others)


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
    """An item was added to the cart."""
    return _event(
        StandardEvent.ADD_TO_CART,
        name=name,
        content_id=content_id,
        price=price,
        currency=currency,
        quantity=quantity,
        referral_from=referral_from,
        **others,
    )


def add_to_wish_list(
    *,
    name: str | None = None,
    content_id: str | None = None,
    price: Amount | None = None,
    currency: str | None = None,
    **others: Any,
) -> StandardEventData:
    """An item was added to the wish list."""
    item = {"name": name, "content_id": content_id, "price": price, "currency": currency}
    return _event(StandardEvent.ADD_TO_WISH_LIST, **item, **others)


def checkout_start(
    *,
    price: Amount | None = None,
    currency: str | None = None,
    name: str | None = None,
    content_id: str | None = None,
    checkout_as_guest: str | None = None,
    **others: Any,
) -> StandardEventData:
    """The checkout was started."""
    item = {"name": name, "content_id": content_id, "price": price, "currency": currency}
    return _event(StandardEvent.CHECKOUT_START, **item, checkout_as_guest=checkout_as_guest, **others)


def registration_complete(*, registration_method: str | None = None, **others: Any) -> StandardEventData:
    """The person registered."""
    return _event(StandardEvent.REGISTRATION_COMPLETE, registration_method=registration_method, **others)


def search(*, search_term: str | None = None, results: str | None = None, **others: Any) -> StandardEventData:
    """The person searched. A search term is written by the person: pass it only if it cannot be private."""
    return _event(StandardEvent.SEARCH, search_term=search_term, results=results, **others)


def rating(*, rating_value: Amount, max_rating_value: Amount | None = None, **others: Any) -> StandardEventData:
    """The person rated something."""
    return _event(StandardEvent.RATING, rating_value=rating_value, max_rating_value=max_rating_value, **others)


def view(*, name: str | None = None, content_id: str | None = None, **others: Any) -> StandardEventData:
    """Something was viewed."""
    return _event(StandardEvent.VIEW, name=name, content_id=content_id, **others)


def level_complete(*, name: str | None = None, duration: Amount | None = None, **others: Any) -> StandardEventData:
    """A level was completed; *duration* is in seconds."""
    return _event(StandardEvent.LEVEL_COMPLETE, name=name, duration=duration, **others)


def tutorial_complete(*, name: str | None = None, duration: Amount | None = None, **others: Any) -> StandardEventData:
    """A tutorial was completed; *duration* is in seconds."""
    return _event(StandardEvent.TUTORIAL_COMPLETE, name=name, duration=duration, **others)


def _event(standard_event: StandardEvent, /, **data: Any) -> StandardEventData:
    return StandardEventData(standard_event.value, {key: value for key, value in data.items() if value is not None})
