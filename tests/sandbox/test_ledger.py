"""The count at the end."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.sandbox.ledger import LedgerEntry, OutOfOrder, balance


def entry(label: str, lane: str = "ada") -> LedgerEntry:
    """An entry, by default in Ada's lane."""
    return LedgerEntry(lane=lane, label=label)


A, B, C = entry("a"), entry("b"), entry("c")


def test_equal_sides_balance() -> None:
    """Nothing is missing, doubled or out of order."""
    found = balance([A, B, C], [A, B, C])
    assert found.exact
    assert (3, 3) == (found.promised, found.received)


def test_a_missing_entry_is_found() -> None:
    """By name."""
    found = balance([A, B], [A])
    assert (B,) == found.missing
    assert not found.nothing_lost


def test_a_doubled_entry_is_found() -> None:
    """But nothing is lost by it."""
    found = balance([A, B], [A, B, B])
    assert (B,) == found.doubled
    assert found.nothing_lost
    assert not found.exact


def test_what_was_never_promised_is_found() -> None:
    """Apart from the doubled."""
    found = balance([A], [A, C])
    assert ((C,), ()) == (found.unexpected, found.doubled)


def test_a_swap_within_a_lane_is_found() -> None:
    """With both entries named."""
    found = balance([A, B, C], [A, C, B])
    assert (OutOfOrder(late=B, overtaken_by=C),) == found.out_of_order
    assert not found.exact


def test_other_lanes_may_overtake() -> None:
    """Order counts within a lane only."""
    other = entry("x", lane="bob")
    assert balance([A, other, B], [other, A, B]).exact
    assert balance([A, other, B], [A, B, other]).exact


def test_equal_labels_are_counted() -> None:
    """Two promised, two must come."""
    assert balance([A, B, A], [A, B, A]).exact
    assert (A,) == balance([A, A], [A]).missing


def test_a_repeated_arrival_may_be_any_of_equal_promises() -> None:
    """The first of two equal entries came twice: that is doubled, not out of order."""
    found = balance([A, B, A], [A, A, B, A])
    assert ((A,), ()) == (found.doubled, found.out_of_order)


def test_a_missing_arrival_may_be_any_of_equal_promises() -> None:
    """The first of two equal entries did not come: that is missing, not out of order."""
    found = balance([A, B, A], [B, A])
    assert ((A,), ()) == (found.missing, found.out_of_order)


def test_a_swap_beside_equal_entries_is_found() -> None:
    """No match of the equal entries explains it."""
    assert balance([A, B, A, C], [A, A, C, B]).out_of_order


def test_the_uncertain_may_come_or_not() -> None:
    """Once; a second time it is doubled."""
    assert balance([A], [A], uncertain=[B]).exact
    assert balance([A], [B, A], uncertain=[B]).exact
    assert (B,) == balance([A], [A, B, B], uncertain=[B]).doubled


@given(st.integers(2, 30), st.randoms(use_true_random=False))
def test_a_planted_swap_is_always_found(count: int, chance: random.Random) -> None:
    """Wherever two neighbours change places."""
    promised = [entry(str(number)) for number in range(count)]
    received = list(promised)
    place = chance.randrange(count - 1)
    received[place], received[place + 1] = received[place + 1], received[place]
    (found,) = balance(promised, received).out_of_order
    assert (promised[place], promised[place + 1]) == (found.late, found.overtaken_by)
