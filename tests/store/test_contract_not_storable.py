"""What a store has no form for is refused alone: whatever waits with it is written and read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs
import pytest

from kochava_bot_middleware.exceptions import NotStorable
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Committed, CommitVerdict, Entry, Outcome, Settlement, Unit
from tests.store.harness import append, claim_one, claimed_ids, entry, mark, put, recalled

HALF_A_PAIR = "\ud83d"

LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(300_000))
"""A megabyte that hardly can be compressed, as PostgreSQL would do before it refuses to index it."""

STRANGE: dict[str, Callable[[], Entry]] = {
    "id": lambda: entry(HALF_A_PAIR),
    "lane": lambda: entry("bad", lane=HALF_A_PAIR),
    "queue": lambda: entry("bad", queue=HALF_A_PAIR),
    "kind": lambda: attrs.evolve(entry("bad"), kind=HALF_A_PAIR),
    "name": lambda: attrs.evolve(entry("bad"), name=HALF_A_PAIR),
    "large number": lambda: attrs.evolve(entry("bad"), schema=2**70),
    "no number": lambda: attrs.evolve(entry("bad"), created_at=float("nan")),
    "endless wait": lambda: entry("bad", wait_seconds=float("inf")),
    "long id": lambda: entry(LONG),
    "long lane": lambda: entry("bad", lane=LONG),
    "control characters": lambda: entry("\x00\x1a\x01\x7f\u202e", lane="\x00\u0301\u200f"),
}
"""Some of these are refused by one engine and kept by another."""


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
async def test_neighbours_of_what_cannot_be_kept_are_written(store: Store, strange: Callable[[], Entry]) -> None:
    """They share its transaction, or its round trip, but not its error."""
    answers = await asyncio.gather(
        append(store, entry("a", lane="a")),
        append(store, strange()),
        append(store, entry("b", lane="b")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Committed | NotStorable)
    assert [("a",), ("b",)] == [getattr(answer, "appended", answer) for answer in answers[::2]]
    assert {"a", "b"} <= set(await claimed_ids(store))


async def test_settlements_beside_one_that_cannot_be_kept_are_written(store: Store) -> None:
    """What Kochava answered may be any text."""
    await append(store, *(entry(name, lane=name) for name in "abc"))
    claims = await store.claim("track", 3, 60.0)
    answers = await asyncio.gather(
        *(
            store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DEAD, detail=detail)]))
            for claim, detail in zip(claims, ("", HALF_A_PAIR, ""), strict=True)
        ),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Committed | NotStorable)
    assert [CommitVerdict.COMMITTED] * 2 == [getattr(answer, "verdict", answer) for answer in answers[::2]]


async def test_state_entries_beside_one_that_cannot_be_kept_are_written_and_read(store: Store) -> None:
    """What can have no value has none; that is no error."""
    answers = await asyncio.gather(
        put(store, mark("a", b"1")),
        put(store, mark(HALF_A_PAIR, b"1")),
        put(store, mark("b", b"1")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Committed | NotStorable)
    found = await asyncio.gather(recalled(store, "a", HALF_A_PAIR), recalled(store, "b"))
    assert [b"1", b"1"] == [found[0]["a"], found[1]["b"]]


async def test_claims_and_listings_work_beside_what_cannot_be_kept(store: Store) -> None:
    """Other calls share the transaction of a commit, too."""
    await append(store, entry("a"))
    claim, _ = await asyncio.gather(
        claim_one(store), append(store, entry(HALF_A_PAIR, lane="ben")), return_exceptions=True
    )
    assert isinstance(claim, Claim)
    assert [claim] == await store.renew([claim], 60.0)
    assert 1 <= (await store.stats())["track"].in_flight


@pytest.mark.parametrize(
    ("strange", "reason"), [("lane", "the store has no form for it"), ("large number", "the store has no form for it")]
)
async def test_reason_says_what_is_wrong(store: Store, strange: str, reason: str) -> None:
    """Alone and beside others; it is what listings and metrics show."""
    for beside in ([], [append(store, entry("a"))]):
        answer, *_ = await asyncio.gather(append(store, STRANGE[strange]()), *beside, return_exceptions=True)
        assert isinstance(answer, Committed) or (isinstance(answer, NotStorable) and reason == answer.reason)
