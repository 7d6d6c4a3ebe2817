"""What a store can never keep becomes a dead letter, and the rest of its unit is written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kochava_bot_middleware.exceptions import NotStorable, StoreUnavailable
from kochava_bot_middleware.queues.commits import CommitRetry
from kochava_bot_middleware.queues.dead_letters import bare, letter_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import (
    Committed,
    CommitVerdict,
    Condition,
    Entry,
    Lease,
    Mark,
    Outcome,
    Queue,
    Settlement,
    Unit,
)
from kochava_bot_middleware.store.wrapper import StoreWrapper
from tests.fakes import VirtualClock

BAD = "bad \ud800"


def entry(name: str, lane: str = "ann", queue: str = Queue.TRACK) -> Entry:
    return Entry(id=name, queue=queue, lane=lane, created_at=0.0, body=name.encode(errors="replace"))


def texts_of(unit: Unit) -> list[str]:
    texts = [text for each in unit.appends for text in (each.id, each.lane, each.kind, each.name)]
    texts += [text for each in unit.settlements for text in (each.reason, each.detail)]
    return texts + [each.key for each in unit.marks]


class Choosy(StoreWrapper):
    """
    Keeps no text with a lone surrogate.

    Attributes:
        refusal: What it raises then.
    """

    refusal: Exception = NotStorable("cannot keep this", reason="not UTF-8")

    async def commit(self, unit: Unit) -> Committed:
        await asyncio.sleep(0)
        if any("\ud800" in text for text in texts_of(unit)):
            raise self.refusal
        return await super().commit(unit)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> Choosy:
    return Choosy(MemoryStore(clock=clock))


@pytest.fixture
def commits(store: Choosy, clock: VirtualClock) -> CommitRetry:
    return CommitRetry(store, clock)


async def states(store: Choosy, queue: str = Queue.TRACK) -> dict[str, str]:
    return {row.entry.id: str(row.state) for row in await store.browse(queue)}


@pytest.mark.parametrize("queue", list(Queue))
async def test_one_of_several_entries_is_set_aside_alone(store: Choosy, commits: CommitRetry, queue: str) -> None:
    """Such as one event of a webhook with several."""
    unit = Unit(appends=[entry("a", queue=queue), entry("b", BAD, queue), entry("c", queue=queue)])
    committed = await commits.commit(unit)

    assert (CommitVerdict.COMMITTED, ("a", "c"), ("b",)) == (
        committed.verdict,
        committed.appended,
        committed.set_aside,
    )
    assert {"a": "waiting", "b": "dead", "c": "waiting"} == await states(store, queue)


async def test_dead_letter_says_why_and_holds_nothing_of_a_person(store: Choosy, commits: CommitRetry) -> None:
    """It is found by the id of what it stands for."""
    await commits.commit(Unit(appends=[entry("b", BAD)]))
    letter = await store.find("b")

    assert letter is not None
    assert ("not UTF-8", b"") == (letter.reason, letter.entry.body)
    assert "bad" not in letter.entry.lane
    assert 1 == (await store.stats())[Queue.TRACK].dead


async def test_id_that_cannot_be_kept_is_escaped(store: Choosy, commits: CommitRetry) -> None:
    """Two of them stay two."""
    await commits.commit(Unit(appends=[entry(BAD), entry(f"{BAD}!")]))

    ids = list(await states(store))
    assert 2 == len(ids)
    assert all(each.startswith(r"bad \ud800") and each.isascii() for each in ids)


async def test_repetition_of_what_was_set_aside_changes_nothing(store: Choosy, commits: CommitRetry) -> None:
    """Facebook delivers a webhook again now and then."""
    for _ in range(2):
        committed = await commits.commit(Unit(appends=[entry("b", BAD)]))
        assert ("b",) == committed.set_aside

    assert 1 == (await store.stats())[Queue.TRACK].accepted


async def test_leases_are_given_for_what_is_kept(store: Choosy, commits: CommitRetry) -> None:
    """The events of a webhook are handled at once."""
    lease = Lease(queue=Queue.TRACK, seconds=30)
    committed = await commits.commit(Unit(appends=[entry("a", "ann"), entry("b", BAD), entry("c", "cid")], lease=lease))

    assert ["a", "c"] == [claim.entry.id for claim in committed.leased]


async def test_event_is_settled_although_a_record_of_it_cannot_be_kept(store: Choosy, commits: CommitRetry) -> None:
    """Otherwise it would be handled again, for ever."""
    await store.commit(Unit(appends=[entry("event", queue=Queue.INBOX)]))
    (claim,) = await store.claim(Queue.INBOX, 1, 30)
    unit = Unit(
        appends=[entry("a"), entry("b", BAD)],
        settlements=[Settlement(claim=claim, outcome=Outcome.DONE)],
        marks=[Mark(lane="ann", key="good", value=b"1", condition=Condition.IF_ABSENT)],
    )
    committed = await commits.commit(unit)

    assert (CommitVerdict.COMMITTED, ("b",)) == (committed.verdict, committed.set_aside)
    assert 1 == (await store.stats())[Queue.INBOX].done
    assert {"good": b"1"} == await store.recall([("ann", "good")])


@pytest.mark.parametrize(
    "change", [{"marks": [Mark(lane="ann", key=BAD, value=b"1")]}, {"detail": BAD}, {"reason": BAD}], ids=str
)
async def test_state_and_detail_that_cannot_be_kept_are_left_out(
    store: Choosy, commits: CommitRetry, change: dict[str, object]
) -> None:
    """The settlement and the records count more."""
    await store.commit(Unit(appends=[entry("event", queue=Queue.INBOX)]))
    (claim,) = await store.claim(Queue.INBOX, 1, 30)
    marks = change.pop("marks", ())
    settlement = Settlement(claim=claim, outcome=Outcome.DEAD, **change)  # type: ignore[arg-type]
    await commits.commit(Unit(appends=[entry("a")], settlements=[settlement], marks=marks))  # type: ignore[arg-type]

    assert {"a": "waiting"} == await states(store)
    assert 1 == (await store.stats())[Queue.INBOX].dead


async def test_plan_is_made_anew_when_a_condition_fails_beside_what_cannot_be_kept(
    store: Choosy, commits: CommitRetry
) -> None:
    """The answer is the same as that of a store."""
    await store.commit(Unit(marks=[Mark(lane="ann", key="k", value=b"old")]))
    marks = [Mark(lane="ann", key="k", value=b"new", condition=Condition.IF_ABSENT)]
    committed = await commits.commit(Unit(appends=[entry("b", BAD)], marks=marks))

    assert CommitVerdict.CONDITION_FAILED is committed.verdict


async def test_others_do_not_wait_for_what_cannot_be_kept(store: Choosy, commits: CommitRetry) -> None:
    """Neither those of the same person nor anybody else."""
    names = [(f"{lane}{number}", lane) for number in range(5) for lane in ("ann", "ben", BAD)]
    answers = await asyncio.gather(*(commits.commit(Unit(appends=[entry(*name)])) for name in names))

    assert 5 == sum(len(answer.set_aside) for answer in answers)
    assert [f"ann{number}" for number in range(5)] == [row.entry.id for row in await store.browse("track", lane="ann")]


async def test_unit_that_always_fails_beside_others_is_no_outage(
    store: Choosy, clock: VirtualClock, commits: CommitRetry
) -> None:
    """Such as one at which a server breaks the connection: the error does not say whose fault it is."""
    store.refusal = StoreUnavailable("connection reset")
    tasks = [
        asyncio.create_task(commits.commit(Unit(appends=[entry(name, lane)])))
        for name, lane in (("a", "ann"), ("b", BAD), ("c", "cid"))
    ]
    await clock.advance(120)

    assert [(), ("b",), ()] == [task.result().set_aside for task in tasks]
    assert {"a": "waiting", "b": "dead", "c": "waiting"} == await states(store)
    assert commits.failing_since is None


async def test_outage_of_an_hour_sets_nothing_aside(store: Choosy, clock: VirtualClock, commits: CommitRetry) -> None:
    """A store that is away keeps nothing else either."""

    class Away(Choosy):
        async def commit(self, unit: Unit) -> Committed:
            raise StoreUnavailable("away")

    commits = CommitRetry(Away(store), clock)
    task = asyncio.create_task(commits.commit(Unit(appends=[entry("a")])))
    await clock.advance(3600)

    assert not task.done()
    task.cancel()


async def test_what_is_set_aside_is_one_line_a_minute(
    commits: CommitRetry, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason, and without the text."""
    caplog.set_level(logging.INFO)
    for number in range(100):
        await commits.commit(Unit(appends=[entry(f"{BAD}{number}")]))

    assert ["set_aside track not UTF-8"] == [record.getMessage() for record in caplog.records]


async def test_store_that_cannot_even_keep_a_dead_letter_refuses(clock: VirtualClock) -> None:
    """Then nothing is lost in silence: the caller is told."""

    class KeepsNothing(StoreWrapper):
        async def commit(self, unit: Unit) -> Committed:
            raise NotStorable("cannot keep this")

    commits = CommitRetry(KeepsNothing(MemoryStore(clock=clock)), clock)
    with pytest.raises(NotStorable):
        await commits.commit(Unit(appends=[entry("a")]))


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 10**6, "ünï", "\u202eabc", "", "a\nb"])
def test_letters_and_bare_settlements_are_short_ascii(text: str) -> None:
    """Every store keeps these."""
    letter = letter_of(Entry(id=text, queue=text, lane=text, created_at=0.0, body=b"x", kind=text, name=text))
    settlement = bare(Settlement(claim=None, outcome=Outcome.DEAD, reason=text, detail=text))  # type: ignore[arg-type]

    for kept in (letter.id, letter.queue, letter.lane, letter.kind, letter.name, settlement.reason, settlement.detail):
        assert kept.isascii()
        assert kept.isprintable()
        assert 300 > len(kept)
