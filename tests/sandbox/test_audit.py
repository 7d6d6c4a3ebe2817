"""The comparison of what was promised with what was received."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.sandbox.audit import AuditEntry, compare


def entry(label: str, lane: str = "ada") -> AuditEntry:
    """An entry, by default in Ada's lane."""
    return AuditEntry(lane=lane, label=label)


A, B, C = entry("a"), entry("b"), entry("c")


def test_equal_sides_have_no_differences() -> None:
    """Nothing is missing, doubled or out of order."""
    found = compare([A, B, C], [A, B, C])
    assert found.is_good
    assert (3, 3) == (found.promised, found.received)


def test_a_missing_entry_is_found() -> None:
    """It is listed."""
    found = compare([A, B], [A])
    assert (B,) == found.missing
    assert not found.is_good


def test_a_doubled_entry_is_found() -> None:
    """It is not missing."""
    found = compare([A, B], [A, B, B])
    assert (B,) == found.doubled
    assert () == found.missing
    assert not found.is_good


def test_what_was_never_promised_is_found() -> None:
    """It is not listed as doubled."""
    found = compare([A], [A, C])
    assert ((C,), ()) == (found.unexpected, found.doubled)


def test_a_swap_within_a_lane_is_found() -> None:
    """Both entries are listed."""
    found = compare([A, B, C], [A, C, B])
    assert ((B, C),) == found.out_of_order
    assert not found.is_good


def test_other_lanes_are_not_ordered() -> None:
    """Order counts within a lane only."""
    other = entry("x", lane="bob")
    assert compare([A, other, B], [other, A, B]).is_good
    assert compare([A, other, B], [A, B, other]).is_good


def test_equal_labels_are_counted() -> None:
    """Of two promised, two must be received."""
    assert compare([A, B, A], [A, B, A]).is_good
    assert (A,) == compare([A, A], [A]).missing


def test_a_repeated_arrival_may_be_any_of_equal_promises() -> None:
    """The first of two equal entries is received twice: that is doubled, not out of order."""
    found = compare([A, B, A], [A, A, B, A])
    assert ((A,), ()) == (found.doubled, found.out_of_order)


def test_a_missing_arrival_may_be_any_of_equal_promises() -> None:
    """The first of two equal entries is not received: that is missing, not out of order."""
    found = compare([A, B, A], [B, A])
    assert ((A,), ()) == (found.missing, found.out_of_order)


def test_a_swap_beside_equal_entries_is_found() -> None:
    """No match of the equal entries explains it."""
    assert compare([A, B, A, C], [A, A, C, B]).out_of_order


def test_uncertain_entries_may_be_received_or_not() -> None:
    """Once; received a second time, an entry is doubled."""
    assert compare([A], [A], uncertain=[B]).is_good
    assert compare([A], [B, A], uncertain=[B]).is_good
    assert (B,) == compare([A], [A, B, B], uncertain=[B]).doubled


@given(st.integers(2, 30), st.randoms(use_true_random=False))
def test_a_planted_swap_is_always_found(count: int, chance: random.Random) -> None:
    """Wherever two neighbours are swapped."""
    promised = [entry(str(number)) for number in range(count)]
    received = list(promised)
    place = chance.randrange(count - 1)
    received[place], received[place + 1] = received[place + 1], received[place]
    assert ((promised[place], promised[place + 1]),) == compare(promised, received).out_of_order
