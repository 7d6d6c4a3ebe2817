"""Event data: what is left out, changed, or only reported."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import TrackingError
from kochava_bot_middleware.kochava.event_data import Problem, Severity, clean_event_data, clean_event_name
from kochava_bot_middleware.kochava.standard import MAX_BYTES, RESERVED_KEYS


class Size(enum.Enum):
    LARGE = "L"


BAD: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "bytes": b"x",
    "set": {1},
    "object": object(),
    "huge": 2**64,
    "surrogate": "\ud800",
    "inner": {"deep": [float("nan")]},
    "no_number": Decimal("NaN"),
}


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
def test_only_the_reserved_key_is_left_out(key: str) -> None:
    """A purchase is not lost because of it."""
    clean, problems = clean_event_data({key: "x", "sum": 5}, strict=False)
    assert {"sum": 5} == clean
    assert (Problem(key=key, reason="is reserved by Kochava"),) == problems


@pytest.mark.parametrize("key", sorted(BAD))
def test_only_the_key_of_an_invalid_value_is_left_out(key: str) -> None:
    """The event is kept."""
    clean, (problem,) = clean_event_data({key: BAD[key], "sum": 5}, strict=False)
    assert {"sum": 5} == clean
    assert (key, Severity.DROPPED) == (problem.key, problem.severity)


@pytest.mark.parametrize("data", [{"source": "ad"}, {"sum": float("nan")}, {"currency": "Dollar"}, b"x", {1: 2}])
def test_strict_mode_names_event_key_and_reason(data: Any) -> None:
    """So that it is found during development."""
    with pytest.raises(TrackingError, match=r"event 'Purchase', (key '|data).*: (is|must)"):
        clean_event_data(data, strict=True, event_name="Purchase")


@pytest.mark.parametrize(
    ("given_amount", "sent"),
    [
        (Decimal("19.99"), 19.99),
        (Decimal("20.00"), 20),
        (Decimal("1E+3"), 1000),
        (Decimal("0.1000"), 0.1),
        (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
        (Decimal("1E+400"), "1E+400"),
        (Decimal("-0.5"), -0.5),
    ],
)
def test_decimal_keeps_its_exact_amount(given_amount: Decimal, sent: float | str) -> None:
    """As a number where JSON can represent it exactly, else as text."""
    clean, problems = clean_event_data({"sum": given_amount}, strict=True)
    assert ({"sum": sent}, ()) == (clean, problems)
    assert type(sent) is type(clean["sum"])


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_no_decimal_changes_its_amount(amount: Decimal) -> None:
    """For any size."""
    clean, _ = clean_event_data(amount, strict=True)
    written = orjson.loads(orjson.dumps(clean))
    assert amount == Decimal(repr(written) if not isinstance(written, str) else written)


def test_common_types_become_json() -> None:
    """Enums, dates, UUIDs, tuples."""
    number = uuid.UUID(int=7)
    data = {
        "size": Size.LARGE,
        "date": dt.date(2026, 5, 1),
        "at": dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC),
        "order_id": number,
        "items": ("a", "b"),
    }
    clean, _ = clean_event_data(data, strict=True)
    assert {
        "size": "L",
        "date": "2026-05-01",
        "at": "2026-05-01T12:00:00+00:00",
        "order_id": str(number),
        "items": ["a", "b"],
    } == clean


@pytest.mark.parametrize(
    ("data", "clean"), [({}, None), (None, None), ("", None), ("20", "20"), (20, 20), (True, True)]
)
def test_data_is_an_object_or_a_scalar_and_left_out_when_empty(data: Any, clean: Any) -> None:
    """Kochava's bot page describes a plain value, its sample has an object."""
    assert (clean, ()) == clean_event_data(data, strict=True)


def test_list_as_data_is_refused() -> None:
    """Data is an object or one value."""
    clean, (problem,) = clean_event_data([1, 2], strict=False)
    assert (None, "must be an object or one scalar value") == (clean, problem.reason)


def test_more_than_sixteen_keys_is_only_a_warning() -> None:
    """The limit is not documented by Kochava, so nothing is left out, even in strict mode."""
    data = {f"k{number}": number for number in range(17)}
    clean, (problem,) = clean_event_data(data, strict=True)
    assert data == clean
    assert Severity.DOUBTFUL is problem.severity
    assert () == clean_event_data(dict(list(data.items())[:16]), strict=True)[1]


def test_nesting_is_only_a_warning() -> None:
    """Even in strict mode."""
    clean, (problem,) = clean_event_data({"payload": {"a": 1}}, strict=True)
    assert ({"payload": {"a": 1}}, "payload", Severity.DOUBTFUL) == (clean, problem.key, problem.severity)


@pytest.mark.parametrize("currency", ["usd", "US$", "XXX", 840, ""])
def test_invalid_currency_is_kept_and_reported(currency: Any) -> None:
    """Without one, Kochava would use a default currency."""
    clean, (problem,) = clean_event_data({"sum": 1, "currency": currency}, strict=False)
    assert ({"sum": 1, "currency": currency}, Severity.WRONG) == (clean, problem.severity)


def test_key_with_the_value_none_is_left_out() -> None:
    """As in the builders: Kochava does not document null."""
    assert ({"sum": 1}, ()) == clean_event_data({"sum": 1, "coupon": None}, strict=True)
    assert (None, ()) == clean_event_data({"coupon": None}, strict=True)


def test_currency_none_is_left_out_and_reported() -> None:
    """Without one, Kochava would use a default currency."""
    clean, (problem,) = clean_event_data({"sum": 1, "currency": None}, strict=False)
    assert ({"sum": 1}, "currency", Severity.DROPPED) == (clean, problem.key, problem.severity)


@pytest.mark.parametrize("key", ["sum", "price"])
@pytest.mark.parametrize("amount", ["12,50", "free", "", "\uff11\uff12", True, [1]])
def test_amount_that_is_not_a_number_is_kept_and_reported(key: str, amount: Any) -> None:
    """Kochava may still read it, and the purchase counts in any case."""
    clean, (problem,) = clean_event_data({key: amount}, strict=False)
    assert ({key: amount}, key, Severity.WRONG) == (clean, problem.key, problem.severity)
    with pytest.raises(TrackingError, match="is not a number"):
        clean_event_data({key: amount}, strict=True)


@pytest.mark.parametrize("amount", [0, -5, 12.5, "12.50", "-3", Decimal("1234567890123456789.01"), Decimal("1E+400")])
def test_amount_that_is_a_number_is_accepted(amount: Any) -> None:
    """Zero, a refund, a number as text, and a Decimal without an exact float."""
    assert () == clean_event_data({"sum": amount}, strict=True)[1]


def test_lone_surrogate_in_a_name_is_replaced() -> None:
    """The event is not lost; in strict mode the call raises."""
    name, (problem,) = clean_event_name("Purchase \ud800", strict=False)
    assert ("Purchase ?", Severity.WRONG) == (name, problem.severity)
    with pytest.raises(TrackingError, match="lone surrogate"):
        clean_event_name("Purchase \ud800", strict=True)


def test_name_with_a_leading_underscore_is_only_a_warning() -> None:
    """Kochava's own have one, but it is not forbidden; `_Deeplink` is a standard event."""
    name, (problem,) = clean_event_name("_install", strict=True)
    assert ("_install", Severity.DOUBTFUL) == (name, problem.severity)
    for fine in ("_Deeplink", "Purchase", "Käufe 😀"):
        assert (fine, ()) == clean_event_name(fine, strict=True)


@pytest.mark.parametrize("currency", ["USD", "EUR", "JPY", "VES", "XOF"])
def test_currency_of_iso_4217_is_accepted(currency: str) -> None:
    """In capitals."""
    assert () == clean_event_data({"currency": currency}, strict=True)[1]


def test_largest_keys_of_too_large_data_are_left_out() -> None:
    """The rest is sent."""
    clean, problems = clean_event_data({"sum": 1, "a": "x" * MAX_BYTES, "b": "y" * 100}, strict=False)
    assert {"sum": 1, "b": "y" * 100} == clean
    assert ["a"] == [problem.key for problem in problems]


def test_caller_s_object_is_not_changed() -> None:
    """The clean data is a new object."""
    data = {"source": "x", "items": (1,)}
    clean_event_data(data, strict=False)
    assert {"source": "x", "items": (1,)} == data


def test_problem_never_shows_the_value() -> None:
    """It may be private."""
    _, problems = clean_event_data({"a": {"Ann Miller"}, "currency": "Ann Miller"}, strict=False)
    assert 2 == len(problems)
    assert "Ann" not in repr(problems)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


@given(ANYTHING)
def test_any_data_gives_a_result_that_is_json(data: Any) -> None:
    """And nothing is raised outside of strict mode."""
    clean, _ = clean_event_data(data, strict=False)
    orjson.dumps(clean)
    assert clean_event_data(clean, strict=False)[0] == clean


def test_as_many_keys_as_fit_are_kept_of_very_many() -> None:
    """Measured again for each that is removed, they would stop the event loop for hours."""
    data = {f"key{number}": "x" * 20 for number in range(100_000)}
    clean, problems = clean_event_data(data, strict=False)
    one_more = max(len(orjson.dumps({key: value})) for key, value in data.items())
    assert MAX_BYTES - one_more < len(orjson.dumps(clean)) <= MAX_BYTES
    assert len(data) == len(clean) + len([problem for problem in problems if problem.key])
