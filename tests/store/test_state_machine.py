"""Any sequence of calls has the same answers from a durable store as from the memory store."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.day_counts import label_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import (
    Claim,
    Committed,
    Condition,
    DayCount,
    Entry,
    EntryState,
    Lease,
    Mark,
    Outcome,
    QueueStats,
    Settlement,
    Unit,
)
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import ManualClock
from tests.store.postgres_server import shared_server
from tests.store.valkey import fresh_url

T = TypeVar("T")

IDS = st.integers(0, 11).map(str)
QUEUES = st.sampled_from(["inbox", "track"])
LANES = st.sampled_from(["ann", "bob"])
KEYS = st.sampled_from(["k", "l"])
SECONDS = st.integers(0, 8).map(float)
LONGEST = st.none() | st.dictionaries(QUEUES, st.integers(1, 8).map(float))
MAYBE_SECONDS = st.none() | st.integers(-5, 20).map(float)
TEXTS = st.sampled_from(["", "event", "\x00ü"])
DAYS = st.integers(0, 3)
AMOUNTS = st.sampled_from([0, 0, 1_990_000, -1, 10**17])


def labelled(entry: Entry, day: int, amount: int) -> Entry:
    """Each entry of `track` is counted, as one of its queue; those of `inbox` are not."""
    return entry if entry.queue == "inbox" else attrs.evolve(entry, label=label_of(day, entry.queue, amount))


ENTRIES = st.builds(
    Entry,
    id=IDS,
    queue=QUEUES,
    lane=LANES,
    created_at=st.integers(0, 9).map(float),
    body=st.binary(max_size=3),
    wait_seconds=MAYBE_SECONDS,
    kind=TEXTS,
    name=TEXTS,
)
LABELLED = st.builds(labelled, ENTRIES, DAYS, AMOUNTS)
COUNTS = st.builds(DayCount, DAYS, st.sampled_from(["", "event", "ü"]), TEXTS, st.integers(-2, 2), AMOUNTS)
VALUES = st.sampled_from([b"", b"1", b"2"])
MARKS = st.builds(
    Mark,
    lane=LANES,
    key=KEYS,
    value=st.none() | VALUES,
    expires_after_seconds=MAYBE_SECONDS,
    condition=st.sampled_from(Condition),
    expected=st.none() | VALUES,
)
LEASES = st.none() | st.builds(Lease, queue=QUEUES, seconds=SECONDS)
SETTLEMENT = st.tuples(st.integers(0, 30), st.sampled_from(Outcome), MAYBE_SECONDS)
PLANS = st.tuples(
    st.lists(LABELLED, max_size=4),
    st.lists(SETTLEMENT, max_size=2),
    st.lists(MARKS, max_size=2),
    st.lists(COUNTS, max_size=1),
    LEASES,
)


class StoreMachine(RuleBasedStateMachine):
    """Calls both stores with the same arguments. Tokens are numbers, given in the same order by both."""

    @initialize()
    def open_both(self) -> None:
        self.clock = ManualClock()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.claims: list[Claim] = []
        self.has_all_counts = True
        self.model = self._store(MemoryStore)
        self.real = self._real()

    def _real(self) -> Any:
        return self._store(SqliteStore, Path(self.folder.name) / "store.db")

    def _store(self, kind: Any, *path: Path) -> Any:
        numbers = itertools.count()
        return kind(
            *path,
            settings=StoreSettings(dedupe_seconds=10.0),
            clock=self.clock,
            new_token=lambda: str(next(numbers)),
        )

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.real.close())
            self.runner.close()
            self.folder.cleanup()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def _both(self, method: str, *args: Any, **kwargs: Any) -> Any:
        expected = self._run(getattr(self.model, method)(*args, **kwargs))
        actual = self._run(getattr(self.real, method)(*args, **kwargs))
        assert expected == actual, method
        return actual

    def _unit(self, plan: Any) -> Unit:
        appends, ends, marks, counts, lease = plan
        settlements = [
            Settlement(
                claim=self.claims[-1 - back % len(self.claims)],
                outcome=outcome,
                retry_after_seconds=retry_after_seconds,
                reason=outcome.value,
                detail=str(back),
            )
            for back, outcome, retry_after_seconds in ends
            if self.claims
        ]
        return Unit(appends=appends, settlements=settlements, marks=marks, counts=counts, lease=lease)

    @rule(plan=PLANS)
    def commit(self, plan: Any) -> None:
        self.claims += self._both("commit", self._unit(plan)).leased

    @rule(plans=st.lists(PLANS, min_size=2, max_size=6))
    def commit_together(self, plans: list[Any]) -> None:
        """Units that share a transaction are as good as units one after the other."""
        units = [self._unit(plan) for plan in plans]

        async def commit_all(store: Store) -> list[Committed]:
            return await asyncio.gather(*(store.commit(unit) for unit in units))

        expected = self._run(commit_all(self.model))
        actual = self._run(commit_all(self.real))
        assert expected == actual
        self.claims += [claim for answer in actual for claim in answer.leased]

    @rule(queue=QUEUES, limit=st.integers(1, 3), seconds=SECONDS)
    def claim(self, queue: str, limit: int, seconds: float) -> None:
        self.claims += self._both("claim", queue, limit, seconds)

    @rule(count=st.integers(1, 3), seconds=SECONDS)
    def renew(self, count: int, seconds: float) -> None:
        self._both("renew", self.claims[-count:], seconds)

    @rule(back=st.integers(0, 5))
    def forge(self, back: int) -> None:
        if self.claims:
            forged = attrs.evolve(self.claims[-1 - back % len(self.claims)], token="forged")
            self._both("commit", Unit(settlements=[Settlement(claim=forged, outcome=Outcome.DONE)]))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=SECONDS)
    def set_back(self, seconds: float) -> None:
        self.clock.advance(-seconds)

    @rule(longest_waits=LONGEST)
    def sweep(self, longest_waits: dict[str, float] | None) -> None:
        self._both("sweep", longest_waits)

    @rule(ids=st.lists(IDS, max_size=3))
    def retry_dead(self, ids: list[str]) -> None:
        self._both("retry_dead", ids)

    @rule(ago=SECONDS)
    def purge(self, ago: float) -> None:
        self._both("purge", ended_for_seconds=ago)

    @rule(lane=LANES, mark=MARKS)
    def forget(self, lane: str, mark: Mark) -> None:
        self._both("forget", [lane], reason="forgotten", tombstone=mark)

    @rule(
        queue=QUEUES,
        state=st.none() | st.sampled_from(EntryState),
        lane=st.none() | LANES,
        limit=st.integers(1, 4),
        after=st.none() | IDS,
    )
    def browse(self, queue: str, state: EntryState | None, lane: str | None, limit: int, after: str | None) -> None:
        self._both("browse", queue, state=state, lane=lane, limit=limit, after=after)

    @rule(entry_id=IDS)
    def find(self, entry_id: str) -> None:
        self._both("find", entry_id)

    @rule(since=st.none() | DAYS, until=st.none() | DAYS)
    def read_counts(self, since: int | None, until: int | None) -> None:
        self._both("counts", since=since, until=until)

    @rule(before=DAYS)
    def forget_counts(self, before: int) -> None:
        self._both("forget_counts", before)
        self.has_all_counts = self.has_all_counts and before == 0

    @invariant()
    def count_exactly(self) -> None:
        """Whatever happened, the counters by day add up to the counts by queue."""
        if not hasattr(self, "runner") or not self.has_all_counts:
            return
        counted: Counter[str] = Counter()
        for each in self._both("counts"):
            if each.facts == "track":
                counted[each.what.partition(":")[0]] += each.count
        stats = self._run(self.real.stats()).get("track", QueueStats())
        assert counted["recorded"] == stats.accepted
        for state in ("done", "dead", "dropped"):
            assert counted[state] == getattr(stats, state), state

    @rule(lanes=st.lists(LANES, max_size=3), limit=st.integers(1, 4))
    def history(self, lanes: list[str], limit: int) -> None:
        self._both("history", lanes, limit=limit)

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "runner"):
            return
        stats = self._both("stats")
        for queue, counts in stats.items():
            ends = counts.done + counts.dead + counts.dropped
            assert counts.accepted == counts.waiting + counts.in_flight + ends, queue
        self._both("recall", [("ann", "k"), ("ann", "l")])
        for queue in ("inbox", "track"):
            self._both("next_due_in", queue)


class ValkeyMachine(StoreMachine):
    """The same with a Valkey server, which numbers the tokens itself."""

    def _real(self) -> Any:
        def store(*, settings: StoreSettings, clock: ManualClock, **_: Any) -> RedisStore:
            return RedisStore(fresh_url(), settings=settings, clock=clock, token_prefix="")

        return self._store(store)


class PostgresMachine(StoreMachine):
    """The same with a PostgreSQL server."""

    def _real(self) -> Any:
        def store(**arguments: Any) -> PostgresStore:
            return PostgresStore(shared_server().url(), **arguments)

        real: PostgresStore = self._store(store)
        self.runner.run(real.init())
        return real


TestStores = StoreMachine.TestCase
TestStores.settings = settings(settings.default, max_examples=50, stateful_step_count=30, deadline=None)

TestValkey = ValkeyMachine.TestCase
TestValkey.settings = TestStores.settings

TestPostgres = PostgresMachine.TestCase
TestPostgres.settings = TestStores.settings
