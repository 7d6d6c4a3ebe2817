"""Standard events and their builders."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import TrackingError
from kochava_bot_middleware.kochava import event_builders as events
from kochava_bot_middleware.kochava.event_data import Severity, clean_event_data, clean_event_name
from kochava_bot_middleware.kochava.standard import RESERVED_KEYS, StandardEvent, StandardKey


def test_names_are_spelled_as_by_kochava() -> None:
    """Wish List is two words."""
    assert "Add to Wish List" == str(StandardEvent.ADD_TO_WISH_LIST)
    assert "Purchase" == f"{StandardEvent.PURCHASE}"
    assert 19 == len(StandardEvent)


def test_no_standard_key_is_reserved() -> None:
    """Therefore `source` of the SDKs is missing."""
    assert set() == RESERVED_KEYS & set(StandardKey)


@pytest.mark.parametrize(
    ("revenue_key", "amounts"), [("sum", {"sum": 5}), ("price", {"price": 5}), ("both", {"sum": 5, "price": 5})]
)
def test_purchase_has_its_amount_under_the_chosen_key(revenue_key: Any, amounts: dict[str, int]) -> None:
    """Kochava's pages disagree."""
    built = events.purchase(price=5, currency="EUR", revenue_key=revenue_key)
    assert ("Purchase", {"currency": "EUR", **amounts}) == (built.name, built.data)


@pytest.mark.parametrize(
    ("builder", "arguments", "name", "data"),
    [
        (events.add_to_cart, {"name": "Shoes", "quantity": 2}, "Add to Cart", {"name": "Shoes", "quantity": 2}),
        (events.add_to_wish_list, {"content_id": "1"}, "Add to Wish List", {"content_id": "1"}),
        (events.checkout_start, {"price": 3, "currency": "USD"}, "Checkout Start", {"price": 3, "currency": "USD"}),
        (
            events.registration_complete,
            {"registration_method": "bot"},
            "Registration Complete",
            {"registration_method": "bot"},
        ),
        (events.search, {"results": "3", "shop": "b"}, "Search", {"results": "3", "shop": "b"}),
        (events.rating, {"rating_value": 4}, "Rating", {"rating_value": 4}),
        (events.view, {"name": "Shoes"}, "View", {"name": "Shoes"}),
        (events.level_complete, {"duration": 9}, "Level Complete", {"duration": 9}),
        (events.tutorial_complete, {"name": "tour"}, "Tutorial Complete", {"name": "tour"}),
    ],
)
def test_builder(builder: Callable[..., Any], arguments: dict[str, Any], name: str, data: dict[str, Any]) -> None:
    """Keys that are None are left out, other keywords are passed on, and strict mode accepts the result."""
    built = builder(**arguments)
    assert (name, data) == (built.name, built.data)
    assert (data, ()) == clean_event_data(built.data, strict=True)


def test_purchase_accepts_a_decimal() -> None:
    """The amount is exact."""
    assert Decimal("1.10") == events.purchase(price=Decimal("1.10"), currency="USD").data["sum"]


@pytest.mark.parametrize("arguments", [{"currency": "usd"}, {"currency": "USD", "source": "ad"}])
def test_builder_does_not_validate(arguments: dict[str, Any]) -> None:
    """Problems are reported when the event is recorded."""
    built = events.purchase(price=1, **arguments)
    assert 1 == clean_event_data(built.data, strict=False)[0]["sum"]
    with pytest.raises(TrackingError, match=r"'Purchase', key '(currency|source)'"):
        clean_event_data(built.data, strict=True, event_name=built.name)


NEAR_MISSES = [
    ("purchase", "Purchase"),
    ("PURCHASE", "Purchase"),
    (" Purchase ", "Purchase"),
    ("Add To Cart", "Add to Cart"),
    ("add_to_cart", "Add to Cart"),
    ("AddToCart", "Add to Cart"),
    ("Add  to Cart", "Add to Cart"),
    ("add-to-cart", "Add to Cart"),
    ("Add\u00a0to Cart", "Add to Cart"),
    ("Add to Wishlist", "Add to Wish List"),
    ("Checkout start", "Checkout Start"),
    ("Deeplink", "_Deeplink"),
    ("\uff30urchase", "Purchase"),
]


@pytest.mark.parametrize(("name", "meant"), NEAR_MISSES)
def test_near_miss_of_a_standard_name(name: str, meant: str) -> None:
    """Strict mode refuses it and says what to write; otherwise it is sent as it is."""
    with pytest.raises(TrackingError, match=re.escape(f"write {meant!r}")):
        clean_event_name(name, strict=True)
    sent, (problem,) = clean_event_name(name, strict=False)
    assert (name, Severity.WRONG) == (sent, problem.severity)


@pytest.mark.parametrize(
    "name", [*StandardEvent, "Order", "Purchase Failed", "Level 3 Complete", "Repurchase", "買う", ""]
)
def test_name_that_is_standard_or_quite_another(name: str) -> None:
    """Neither is a near miss."""
    assert (str(name), ()) == clean_event_name(str(name), strict=True)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("Price", "price"),
        ("contentId", "content_id"),
        ("content-id", "content_id"),
        ("ORDER_ID", "order_id"),
        (" sum", "sum"),
    ],
)
def test_near_miss_of_a_standard_key(key: str, meant: str) -> None:
    """The same."""
    with pytest.raises(TrackingError, match=re.escape(f"{key!r}: is not the standard key {meant!r}")):
        clean_event_data({key: "5"}, strict=True, event_name="Purchase")
    sent, (problem,) = clean_event_data({key: "5"}, strict=False)
    assert ({key: "5"}, Severity.WRONG) == (sent, problem.severity)


@pytest.mark.parametrize("key", [*StandardKey, "id", "colour", "price_net", "x" * 500])
def test_key_that_is_standard_or_quite_another(key: str) -> None:
    """Neither is a near miss."""
    value = "EUR" if key == "currency" else 5
    assert () == clean_event_data({str(key): value}, strict=True)[1]
