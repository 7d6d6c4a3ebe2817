"""
What only the PostgreSQL store promises, beside the contract.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg  # type: ignore[import-untyped]
import pytest

from kochava_bot_middleware.exceptions import SchemaTooNew, SettingsError, StoreError, StoreUnavailable
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.contract import Condition, Entry, Lease, Mark, Unit, Verdict
from kochava_bot_middleware.store.postgres import PostgresStore
from kochava_bot_middleware.store.postgres_session import Session
from tests.store.harness import ManualClock, append, claim_one, entry, put, settle
from tests.store.pooler import pooler
from tests.store.postgres_server import PostgresServer, postgres_store, shared_server

NewStore = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
def url() -> str:
    return shared_server().url()


@pytest.fixture
async def new_store(url: str) -> AsyncIterator[NewStore]:
    """Makes stores of the same tables, each with connections of its own."""
    stores: list[PostgresStore] = []

    async def make(address: str = url) -> PostgresStore:
        stores.append(await postgres_store(address))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def execute(*statements: str) -> None:
    connection = await asyncpg.connect(shared_server().url().partition("?")[0])
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def versions(schema: str) -> list[int]:
    connection = await asyncpg.connect(shared_server().url().partition("?")[0])
    rows = await connection.fetch(f"SELECT version FROM {schema}.store_version")
    await connection.close()
    return [row["version"] for row in rows]


def schema_of(url: str) -> str:
    return url.partition("schema=")[2]


async def test_database_without_tables_says_what_to_run(url: str) -> None:
    """Opening makes nothing; the error names the command that does."""
    store = PostgresStore(url)
    with pytest.raises(StoreUnavailable, match=r"no tables of ours in test_\d+; run `kochava-bot store init`"):
        await store.open()
    await store.init()
    await store.open()
    await store.close()


async def test_init_keeps_what_is_there(new_store: NewStore) -> None:
    """Run again, and by two at once, it changes nothing."""
    first = await new_store()
    await append(first, entry("a"))
    second = PostgresStore(f"postgresql://{first._address.dsn.value.partition('//')[2]}?schema={first._address.schema}")
    await asyncio.gather(first.init(), second.init())
    assert "a" == (await claim_one(second)).entry.id
    await second.close()


async def test_newer_schema_is_refused_and_untouched(url: str, new_store: NewStore) -> None:
    """Neither opening nor `init` goes back behind a newer release."""
    await new_store()
    await execute(f"UPDATE {schema_of(url)}.store_version SET version = 999")
    store = PostgresStore(url)
    with pytest.raises(SchemaTooNew, match=r"schema version 999 .* upgrade the package"):
        await store.open()
    with pytest.raises(SchemaTooNew):
        await store.init()
    await store.close()
    assert [999] == await versions(schema_of(url))


async def test_tables_of_another_program_are_left_alone(url: str) -> None:
    """A schema with other tables is not taken over."""
    schema = schema_of(url)
    await execute(f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.entries (theirs text)")
    store = PostgresStore(url)
    with pytest.raises(StoreUnavailable, match="holds other tables"):
        await store.init()
    await store.close()


async def test_commits_that_may_be_lost_are_refused() -> None:
    """A server that answers before it wrote is refused, unless the address accepts it."""
    await execute("CREATE DATABASE careless", "ALTER DATABASE careless SET synchronous_commit = off")
    url = shared_server().url().replace("/postgres?", "/careless?")
    store = await postgres_store(url)
    with pytest.raises(StoreUnavailable, match="synchronous_commit is off"):
        await store.open()
    await store.close()
    trusting = PostgresStore(f"{url}&durability=server")
    await trusting.open()
    await trusting.close()


async def test_two_processes_keep_one_order_in_a_lane(new_store: NewStore) -> None:
    """Appended by two at once: one head, none lost, and the entries of each in the order it appended them."""
    stores = [await new_store(), await new_store()]

    async def fill(store: PostgresStore, name: str) -> None:
        for number in range(40):
            await append(store, entry(f"{name}{number}", lane="shared"), entry(f"{name}{number}-own", lane=name))

    await asyncio.gather(fill(stores[0], "a"), fill(stores[1], "b"))
    seen: list[str] = []
    while claims := await stores[0].claim("track", 100, 60.0):
        assert len(claims) == len({claim.entry.lane for claim in claims})
        for claim in claims:
            if claim.entry.lane == "shared":
                seen.append(claim.entry.id)
            await settle(stores[1], claim)
    assert [f"a{n}" for n in range(40)] == [name for name in seen if name[0] == "a"]
    assert [f"b{n}" for n in range(40)] == [name for name in seen if name[0] == "b"]
    stats = (await stores[0].stats())["track"]
    assert (160, 160) == (stats.accepted, stats.done)


async def test_emptied_lane_is_filled_by_another(new_store: NewStore) -> None:
    """Whether an append meets a lane before or after its last settlement, its entry is claimed."""
    first, second = await new_store(), await new_store()
    for number in range(30):
        await append(first, entry(f"a{number}"))
        claim = await claim_one(first)
        await asyncio.gather(settle(first, claim), append(second, entry(f"b{number}")))
        assert f"b{number}" == (await claim_one(first)).entry.id
        await first.forget(["ann"], reason="next round", tombstone=Mark(key="tombstone", value=b""))


async def test_two_processes_never_share_a_head(new_store: NewStore) -> None:
    """Claims of several stores at once hand out each head once."""
    stores = [await new_store() for _ in range(3)]
    await append(stores[0], *(entry(f"{number}", lane=f"{number}") for number in range(200)))
    answers = await asyncio.gather(*(store.claim("track", 10, 60.0) for store in stores * 10))
    ids = [claim.entry.id for claims in answers for claim in claims]
    assert sorted(ids) == sorted(set(ids))
    rest = [claim.entry.id for claim in await stores[0].claim("track", 200, 60.0)]
    assert 200 == len({*ids, *rest}) == len(ids) + len(rest)


async def test_head_appended_by_two_at_once_is_leased_once(new_store: NewStore) -> None:
    """A lane that is empty has nothing to lock, and still only one of its first two entries is its head."""
    stores = [await new_store(), await new_store()]
    lease = Lease(queue="track", seconds=60.0)
    for number in range(20):
        answers = await asyncio.gather(
            *(
                append(store, entry(f"{name}{number}", lane=f"{number}"), lease=lease)
                for name, store in enumerate(stores)
            )
        )
        assert [0, 1] == sorted(len(answer.leased) for answer in answers)


async def test_unit_does_not_overtake_another_of_its_lane(new_store: NewStore) -> None:
    """While a unit waits for another process, a later one of the same lane waits with it."""
    other, store = await new_store(), await new_store()
    await append(store, entry("a", lane="held"))
    locked, goes_on = asyncio.Event(), asyncio.Event()

    async def hold(session: Session) -> None:
        await session.fetch("SELECT FROM {s}.heads FOR UPDATE")
        locked.set()
        await goes_on.wait()

    holding = asyncio.create_task(other._do(hold))
    await locked.wait()
    first = asyncio.create_task(append(store, entry("b", lane="held"), entry("1", lane="lane")))
    await asyncio.sleep(0)
    second = asyncio.create_task(append(store, entry("2", lane="lane")))
    _, waiting = await asyncio.wait([second], timeout=0.3)
    goes_on.set()
    await asyncio.gather(holding, first, second)
    assert {second} == waiting
    assert ["1", "2"] == [row.entry.id for row in await store.browse("track", lane="lane")]


async def test_id_appended_by_two_at_once_is_appended_once(new_store: NewStore) -> None:
    """Also when they mean different lanes, so that no lane's lock is between them."""
    stores = [await new_store(), await new_store()]
    for number in range(20):
        answers = await asyncio.gather(
            *(append(store, entry(f"{number}", lane=lane)) for store, lane in zip(stores, "ab", strict=True))
        )
        assert [0, 1] == sorted(len(answer.appended) for answer in answers)


async def test_condition_is_met_by_one_of_two_at_once(new_store: NewStore) -> None:
    """A key that is absent has nothing to lock, and still only one writer finds it absent."""
    stores = [await new_store(), await new_store()]
    for number in range(20):
        marks = [Mark(key=f"k{number}", value=value, condition=Condition.IF_ABSENT) for value in (b"1", b"2")]
        answers = await asyncio.gather(*(put(store, mark) for store, mark in zip(stores, marks, strict=True)))
        assert {Verdict.COMMITTED, Verdict.CONDITION_FAILED} == {answer.verdict for answer in answers}


async def test_callers_that_commit_again_at_once_are_served(new_store: NewStore) -> None:
    """Whoever commits in the very moment a transaction ended starts the next one."""
    store = await new_store()

    async def caller(name: int) -> None:
        for number in range(30):
            await append(store, entry(f"{name}-{number}", lane=f"{name}"))

    async with asyncio.timeout(60):
        await asyncio.gather(*(caller(name) for name in range(8)))
    assert 240 == (await store.stats())["track"].waiting


async def test_unit_that_cannot_be_kept_is_refused_alone(new_store: NewStore) -> None:
    """The units that share its transaction are written; the error does not show what was in it."""
    store = await new_store()
    bad = Entry(id="bad", queue="track", lane="eve", schema=2**40, created_at=1.0, body=b"secret")
    answers = await asyncio.gather(
        append(store, entry("a")), append(store, bad), append(store, entry("b")), return_exceptions=True
    )
    assert isinstance(answers[1], StoreError)
    assert "secret" not in str(answers[1])
    assert 2 == (await store.stats())["track"].accepted


async def test_servers_clock_counts(new_store: NewStore) -> None:
    """Without a clock of its own a lease ends by the server's, which is this machine's here."""
    store = await new_store()
    await append(store, entry("a"))
    before = time.time()
    claim = await claim_one(store)
    assert before - 1 <= claim.expires_at - 60.0 <= time.time() + 1
    (renewed,) = await store.renew([claim], 0.0)
    assert 2 == (await claim_one(store)).attempt
    assert [] == await store.renew([renewed], 60.0)


async def test_process_stopped_in_a_transaction_lets_go(new_store: NewStore) -> None:
    """A lane it has locked is free again within seconds, and its transaction has changed nothing."""
    stopped, other = await new_store(), await new_store()
    await append(stopped, entry("a"))
    await stopped.open()
    goes_on = asyncio.Event()

    async def stop(session: Session) -> None:
        await session.fetch("DELETE FROM {s}.heads")
        locked.set()
        await goes_on.wait()

    locked = asyncio.Event()
    stuck = asyncio.create_task(stopped._do(stop))
    await locked.wait()
    await append(other, entry("b"))
    goes_on.set()
    with pytest.raises(StoreUnavailable):
        await stuck
    assert "a" == (await claim_one(other)).entry.id


async def test_restarted_server_is_used_again(own_server: PostgresServer) -> None:
    """While it is down calls say so; afterwards they work, and what was committed is there."""
    store = await postgres_store(own_server.url(timeout_seconds="5"))
    await append(store, entry("a"))
    own_server.stop()
    with pytest.raises(StoreUnavailable, match=r"cannot be reached|closed the connection"):
        await append(store, entry("b"))
    with pytest.raises(StoreUnavailable):
        await store.claim("track", 1, 60.0)
    own_server.start()
    assert ("b",) == (await append(store, entry("b"))).appended
    assert 2 == (await store.stats())["track"].waiting
    await store.close()


async def test_crashed_server_has_lost_nothing(own_server: PostgresServer) -> None:
    """Every unit that was answered is there after the crash; those that were not may be committed again."""
    store = await postgres_store(own_server.url(timeout_seconds="5"))
    answered: list[str] = []
    unknown: list[str] = []

    async def caller(name: int) -> None:
        for number in range(10_000):
            try:
                await append(store, entry(f"{name}-{number}", lane=f"{name}"))
            except StoreUnavailable:
                unknown.append(f"{name}-{number}")
                return
            answered.append(f"{name}-{number}")
            if len(answered) == 500:
                own_server.stop(signal.SIGQUIT)

    await asyncio.gather(*(caller(name) for name in range(20)))
    own_server.start()
    repeated = [await append(store, entry(name, lane=name.partition("-")[0])) for name in (*answered, *unknown)]
    assert [(name,) for name in answered] == [answer.repeated for answer in repeated[: len(answered)]]
    assert len(answered) + len(unknown) == (await store.stats())["track"].waiting
    await store.close()


async def test_append_wakes_other_processes(new_store: NewStore) -> None:
    """Whoever listens is called when another store left something to claim, and when its own did."""
    worker, bot = await new_store(), await new_store()
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert await worker.listening()
    woken.clear()
    await append(bot, entry("a"))
    await asyncio.wait_for(woken.wait(), 10)
    woken.clear()
    await append(worker, entry("b"))
    assert woken.is_set()


async def test_listening_comes_back_after_a_restart(own_server: PostgresServer) -> None:
    """The loss of the connection wakes, and the next claims connect again."""
    clock = ManualClock()
    worker = await postgres_store(own_server.url(timeout_seconds="5"), clock=clock)
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert await worker.listening()
    woken.clear()
    own_server.stop()
    await asyncio.wait_for(woken.wait(), 10)
    own_server.start()
    await worker.claim("track", 1, 60.0)
    assert not await worker.listening()
    clock.advance(10)
    await worker.claim("track", 1, 60.0)
    assert await worker.listening()
    await worker.close()


async def test_pooler_in_transaction_mode(url: str, new_store: NewStore) -> None:
    """With two server connections that change at each transaction everything works, and notices come directly."""
    server = shared_server()
    await new_store()
    async with pooler(server.port) as port:
        pooled = url.replace(f":{server.port}/", f":{port}/") + f"&statement_cache=0&listen=127.0.0.1:{server.port}"
        bot, worker = await new_store(pooled), await new_store(pooled)
        woken = asyncio.Event()
        worker.on_append(woken.set)
        assert await worker.listening()
        woken.clear()
        await asyncio.gather(*(append(bot, entry(f"{n}", lane=f"{n % 10}")) for n in range(60)))
        await asyncio.wait_for(woken.wait(), 10)
        while claims := await worker.claim("track", 3, 60.0):
            await asyncio.gather(*(settle(worker, claim) for claim in claims))
        assert 60 == (await bot.stats())["track"].done
        await bot.close()
        await worker.close()


async def test_pooler_without_its_option_is_explained(url: str, new_store: NewStore) -> None:
    """Named statements are not there on the next server connection; the error names the option."""
    server = shared_server()
    await new_store()
    async with pooler(server.port) as port:
        store = PostgresStore(url.replace(f":{server.port}/", f":{port}/") + "&connections=2")
        with pytest.raises(StoreUnavailable, match=r"add \?statement_cache=0"):
            await asyncio.gather(*(store.stats() for _ in range(10)))
        await store.close()


async def test_unreachable_server_is_named_without_password() -> None:
    """One error that says what was tried and how to mend it; the password shows nowhere."""
    store = PostgresStore("postgresql://bot:hunter2@127.0.0.1:1/bots?sslmode=disable")
    with pytest.raises(StoreUnavailable, match=r"postgresql://bot@127.0.0.1:1/bots cannot be reached") as caught:
        await store.open()
    assert "hunter2" not in f"{caught.value} {store!r} {store._address!r}"
    await store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://bot:hun/ter2@db/bots", "percent-encoded"),
        ("postgresql://bot:12/hunter2@db/bots", "percent-encoded"),
        ("postgresql://bot:hunter2@[db/bots", "cannot be taken apart"),
        ("postgresql://bot:hunter2@db:port/bots", "cannot be told apart"),
        ("postgresql://bot:hunter2@db/bots?schema=Bots", "schema to be lower-case letters"),
        ("postgresql://bot:hunter2@db/bots?connections=1", "connections to be a number, at least 2, got 1"),
        ("postgresql://bot:hunter2@db/bots?listen=yes", "listen to be on, off or host:port, got yes"),
        ("postgresql://bot:hunter2@db/bots?pool=9", "only the options .* got the option pool"),
    ],
)
def test_wrong_address_is_explained(url: str, message: str) -> None:
    """The error names the option or the place, and never a part of the password."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(url)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_address_opens_the_store(scheme: str) -> None:
    """Both names of the scheme are known."""
    store = open_store(f"{scheme}://bot@db/bots")
    assert (True, "PostgresStore('postgresql://bot@db/bots')") == (store.durable, repr(store))


def test_missing_library_is_one_line() -> None:
    """Without asyncpg the error says what to install."""
    program = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from kochava_bot_middleware.exceptions import SettingsError\n"
        "from kochava_bot_middleware.store.address import open_store\n"
        "try: open_store('postgresql://db/bots')\n"
        "except SettingsError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'kochava-bot-middleware[postgres]'" in done.stdout


async def test_cancelled_call_leaves_the_store_usable(new_store: NewStore) -> None:
    """What was begun is finished though its caller is gone, and nothing of it is in the way of later calls."""
    store = await new_store()
    await append(store, entry("a", lane="a"))
    commit = asyncio.create_task(append(store, entry("b", lane="b")))
    calls = [asyncio.create_task(store.stats()) for _ in range(20)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in (commit, *calls):
        task.cancel()
    await asyncio.gather(commit, *calls, return_exceptions=True)
    # Of the same lane, so it comes after what was cancelled.
    await append(store, entry("c", lane="b"))
    assert 3 == (await store.stats())["track"].waiting


async def test_close_finishes_what_was_handed_over(new_store: NewStore) -> None:
    """Units on their way are committed before the connections go."""
    store = await new_store()
    commits = [asyncio.create_task(append(store, entry(f"{number}", lane=f"{number}"))) for number in range(300)]
    await asyncio.sleep(0)
    await store.close()
    assert 300 == sum(len(answer.appended) for answer in await asyncio.gather(*commits))


async def test_empty_unit_is_committed(new_store: NewStore) -> None:
    """There is nothing to write."""
    assert Verdict.COMMITTED is (await (await new_store()).commit(Unit())).verdict
