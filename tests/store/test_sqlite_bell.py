"""How processes that share a SQLite file wake each other."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.cli.worker import READY
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.processes import ChildProcess
from kochava_bot_middleware.store.records import Lease, Outcome
from kochava_bot_middleware.store.sqlite.notifier import (
    LOOK_SECONDS,
    MOST_ADDRESS_BYTES,
    SocketFolder,
    SqliteNotifier,
    socket_name,
)
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import ManualClock, append, claim_one, entry, settle

APP_ID = "kobotdemo1234"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Shorter than pytest's own, so that the wake folder is beside the store."""
    path = Path(tempfile.mkdtemp(prefix="bell-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "store.db"


NewStore = Callable[..., SqliteStore]


@pytest.fixture
async def new_store(path: Path) -> AsyncIterator[NewStore]:
    """Makes stores of the same file, as other processes have them."""
    stores: list[SqliteStore] = []

    def make(at: Path = path, clock: ManualClock | None = None) -> SqliteStore:
        stores.append(SqliteStore(at, clock=clock))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
def ear(path: Path) -> Iterator[socket.socket]:
    """A socket that listens to the store."""
    wakes = SocketFolder(path)
    name = socket_name()
    listener = wakes.open(name)
    yield listener
    listener.close()
    wakes.leave(name)


async def heard(listener: socket.socket) -> None:
    """Wait for a wake-up."""
    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listener, 1), 20)


def is_quiet(listener: socket.socket) -> bool:
    try:
        listener.recv(1)
    except BlockingIOError:
        return True
    return False


async def listens(store: SqliteStore) -> asyncio.Event:
    """What is set when *store* is woken."""
    woken = asyncio.Event()
    store.on_append(woken.set)
    assert await store.listening()
    woken.clear()
    return woken


async def is_woken(woken: asyncio.Event) -> bool:
    await asyncio.wait_for(woken.wait(), 20)
    woken.clear()
    return True


async def test_append_wakes_other_stores_of_the_file(new_store: NewStore) -> None:
    """Nobody looks by itself here, so only the bell can have told."""
    worker, other, bot = new_store(), new_store(), new_store()
    woken, woken_too = await listens(worker), await listens(other)
    await append(bot, entry("a"))
    assert await is_woken(woken)
    assert await is_woken(woken_too)
    assert "a" == (await claim_one(worker)).entry.id


async def test_what_a_process_leased_itself_wakes_nobody(new_store: NewStore, ear: socket.socket) -> None:
    """As a webhook's event, which is handled where it was stored."""
    await append(new_store(), entry("a"), lease=Lease(queue="track", seconds=60.0))
    assert is_quiet(ear)


async def test_what_is_given_back_or_retried_wakes(new_store: NewStore, ear: socket.socket) -> None:
    """A released claim, and a dead entry put back."""
    store = new_store()
    lease = Lease(queue="track", seconds=60.0)
    (first,) = (await append(store, entry("a"), lease=lease)).leased
    assert is_quiet(ear)
    await settle(store, first, Outcome.RELEASE)
    await heard(ear)
    await settle(store, await claim_one(store), Outcome.DEAD)
    assert 0 == await store.retry_dead(["unknown"])
    assert is_quiet(ear)
    assert 1 == await store.retry_dead(["a"])
    await heard(ear)


async def test_own_wake_up_is_not_heard(path: Path) -> None:
    """All are rung but the one who rings."""
    wakes = SocketFolder(path)
    names = [socket_name(), socket_name()]
    ears = [wakes.open(name) for name in names]
    wakes.ring(but=names[0])
    assert [True, False] == [is_quiet(ear) for ear in ears]
    for name, listener in zip(names, ears, strict=True):
        listener.close()
        wakes.leave(name)


async def test_many_appends_ring_few_times(path: Path, ear: socket.socket) -> None:
    """A hundred within an instant are one wake-up, and one more at the end of the pause."""
    bell = SqliteNotifier(SocketFolder(path), ManualClock(), name=socket_name())
    for _ in range(100):
        bell.ring()
    assert [False, True] == [is_quiet(ear), is_quiet(ear)]
    await heard(ear)
    assert is_quiet(ear)
    bell.close()


async def test_closing_rings_what_is_still_to_be_rung(path: Path, ear: socket.socket) -> None:
    """What was committed during the last pause is told too."""
    bell = SqliteNotifier(SocketFolder(path), ManualClock(), name=socket_name())
    bell.ring()
    bell.ring()
    assert [False, True] == [is_quiet(ear), is_quiet(ear)]
    bell.close()
    assert [False, True] == [is_quiet(ear), is_quiet(ear)]


async def test_without_such_sockets_nobody_is_told() -> None:
    """As on Windows: everything else works, and workers look by themselves."""
    bell = SqliteNotifier(None, ManualClock(), name=socket_name())
    bell.on_append(lambda: None)
    bell.ring()
    assert not bell.listening()
    bell.close()


async def test_listener_that_does_not_read_delays_nobody(new_store: NewStore, path: Path, ear: socket.socket) -> None:
    """When it has no room for more wake-ups, commits go on, and it is not taken for dead."""
    wakes = SocketFolder(path)
    for _ in range(2_000):
        wakes.ring(but="")
    await append(new_store(), entry("a"))
    assert 1 == len(list(wakes.path.iterdir()))
    assert not is_quiet(ear)


async def test_dead_listener_is_removed(new_store: NewStore, path: Path) -> None:
    """By whoever rings next; what else lies in the folder is left."""
    wakes = SocketFolder(path)
    wakes.open(socket_name()).close()
    note = wakes.path / "note.txt"
    note.write_text("mine")
    await append(new_store(), entry("a"))
    assert [note] == list(wakes.path.iterdir())


async def test_closing_leaves_nothing_behind(new_store: NewStore, path: Path) -> None:
    """Neither a socket nor the folder; but others keep theirs."""
    worker, other = new_store(), new_store()
    await listens(worker)
    woken = await listens(other)
    await worker.close()
    assert 1 == len(list(SocketFolder(path).path.iterdir()))
    await append(new_store(), entry("a"))
    assert await is_woken(woken)
    await other.close()
    assert not SocketFolder(path).path.exists()


async def test_nobody_is_rung_where_nobody_listens(new_store: NewStore, path: Path) -> None:
    """A bot alone with its file makes no folder."""
    await append(new_store(), entry("a"))
    assert not SocketFolder(path).path.exists()


async def test_folder_is_for_its_user_only(new_store: NewStore, path: Path) -> None:
    """Nobody else can wake or listen."""
    await listens(new_store())
    wakes = SocketFolder(path).path
    assert [0o700, 0o600] == [each.stat().st_mode & 0o777 for each in (wakes, *wakes.iterdir())]


async def test_folder_that_others_can_write_is_not_rung(new_store: NewStore, path: Path, ear: socket.socket) -> None:
    """Who is in it may be anybody."""
    SocketFolder(path).path.chmod(0o777)
    await append(new_store(), entry("a"))
    assert is_quiet(ear)


def take_the_name(wakes: Path) -> None:
    wakes.write_text("a file of somebody")


def open_it_to_all(wakes: Path) -> None:
    wakes.mkdir()
    wakes.chmod(0o777)


def link_it(wakes: Path) -> None:
    wakes.with_name("elsewhere").mkdir(mode=0o700)
    wakes.symlink_to(wakes.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [take_the_name, open_it_to_all, link_it])
async def test_folder_that_cannot_be_used_breaks_nothing(
    new_store: NewStore, path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    """It is told in one line, commits and claims go on, and once it is mended the next look listens."""
    caplog.set_level(logging.INFO)
    wakes, clock = SocketFolder(path), ManualClock()
    spoil(wakes.path)
    worker, bot = new_store(clock=clock), new_store(clock=clock)
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert not await worker.listening()
    await append(bot, entry("a"))
    assert "a" == (await claim_one(worker)).entry.id
    clock.advance(LOOK_SECONDS)
    assert [] == await worker.claim("track", 1, 60.0)
    assert 1 == len([line for line in caplog.messages if line.startswith(f"wake_ups_unheard {wakes.path}")])

    wakes.path.rename(path.with_name("away"))
    clock.advance(LOOK_SECONDS)
    assert [] == await worker.claim("track", 1, 60.0)
    assert await worker.listening()
    assert await is_woken(woken)
    await append(bot, entry("b"))
    assert await is_woken(woken)


async def test_socket_that_somebody_removed_is_made_again(new_store: NewStore, path: Path) -> None:
    """The next look sees to it, and wakes, since nobody could be heard meanwhile."""
    clock = ManualClock()
    worker, bot = new_store(clock=clock), new_store(clock=clock)
    woken = await listens(worker)
    shutil.rmtree(SocketFolder(path).path)
    await worker.claim("track", 1, 60.0)
    assert not SocketFolder(path).path.exists()
    clock.advance(LOOK_SECONDS)
    await worker.claim("track", 1, 60.0)
    assert await is_woken(woken)
    await append(bot, entry("a"))
    assert await is_woken(woken)


async def test_file_opened_by_a_link_is_the_same_file(new_store: NewStore, path: Path) -> None:
    """As it is for SQLite."""
    bot = new_store()
    await bot.open()
    link = path.with_name("link.db")
    link.symlink_to(path)
    woken = await listens(new_store(link))
    await append(bot, entry("a"))
    assert await is_woken(woken)


async def test_long_path_has_its_folder_elsewhere(new_store: NewStore, folder: Path) -> None:
    """Among the temporary ones, since a socket's address has room for about a hundred bytes."""
    deep = folder / ("deep" * 20)
    deep.mkdir()
    worker, bot = new_store(deep / "store.db"), new_store(deep / "store.db")
    woken = await listens(worker)
    wakes = SocketFolder(deep / "store.db").path
    assert (Path(tempfile.gettempdir()), 1) == (wakes.parent, len(list(wakes.iterdir())))
    await append(bot, entry("a"))
    assert await is_woken(woken)
    await worker.close()
    assert not wakes.exists()


@pytest.mark.parametrize("length", range(40, 100, 5))
def test_address_of_a_socket_is_never_too_long(folder: Path, length: int) -> None:
    """Whatever the store's path."""
    wakes = SocketFolder(Path("/" + "x" * length), temporary=folder)
    assert len(os.fsencode(wakes.path / ".4194304-01234567")) <= MOST_ADDRESS_BYTES


def test_stores_with_long_paths_do_not_share_a_folder(folder: Path) -> None:
    """Its name is made from the whole path."""
    stores = [Path("/" + "x" * 200) / name for name in ("a.db", "b.db")]
    first, second = (SocketFolder(store, temporary=folder).path for store in stores)
    assert first != second


def _wait_for_one(path: Path, told: multiprocessing.Queue[str]) -> None:
    async def wait() -> None:
        store = SqliteStore(path)
        woken = await listens(store)
        told.put("listens")
        while True:
            await woken.wait()
            woken.clear()
            for claim in await store.claim("track", 9, 60.0):
                told.put(claim.entry.id)

    asyncio.run(wait())


async def test_another_process_is_woken_until_it_is_killed(new_store: NewStore, path: Path) -> None:
    """It never looks by itself; what it leaves behind when it dies is removed."""
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_wait_for_one, args=(path, told))
    process.start()
    bot = new_store()
    try:
        assert "listens" == await asyncio.to_thread(told.get, timeout=60)
        for name in ("a", "b"):
            await append(bot, entry(name, lane=name))
            assert name == await asyncio.to_thread(told.get, timeout=60)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        told.close()
    assert 1 == len(list(SocketFolder(path).path.iterdir()))
    await append(bot, entry("c"))
    await bot.close()
    assert not SocketFolder(path).path.exists()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_leaves_its_parents_socket(path: Path) -> None:
    """It commits, which wakes the parent, and closes only what is its own."""
    store = SqliteStore(path)

    async def listen() -> None:
        await listens(store)

    async def add() -> None:
        await append(store, entry("child"))
        await store.close()

    asyncio.run(listen())
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(asyncio.wait_for(add(), 10))
            os._exit(0)
        finally:
            os._exit(1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    bell = store._bell
    assert bell is not None
    assert bell._listener is not None
    assert b"!" == bell._listener.recv(1)
    assert 1 == len(list(SocketFolder(path).path.iterdir()))
    asyncio.run(store.close())
    assert not SocketFolder(path).path.exists()


async def test_worker_delivers_at_once_what_another_process_appends(folder: Path) -> None:
    """`kochava-bot worker` looks by itself once an hour here, so what comes later is told by the bell."""
    settings = folder / "bot.toml"
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        settings.write_text(
            f'[kochava]\nkochava_app_id = "{APP_ID}"\nstore = "sqlite:///{folder / "bot.db"}"\nworker = "separate"\n'
            f'delivery.poll_seconds = 3600\nwire.event_url = "{kochava.url}/track/json"\n'
        )
        middleware = KochavaMiddleware.from_dict(
            {"kochava_app_id": APP_ID, "store": f"sqlite:///{folder / 'bot.db'}", "worker": "separate"}
        )
        arguments = ["-m", "kochava_bot_middleware", "worker", "--settings", str(settings)]
        async with ChildProcess(arguments, ready=READY, log=folder / "worker.log") as worker:
            await worker.start()
            await middleware.start()
            async with asyncio.timeout(60):
                # The first may be found by the look at the start.
                for number in range(1, 6):
                    await middleware.track("Purchase", user_id=f"{number}")
                    while len(kochava.events) < number:
                        await kochava.clock.sleep(0.02)
            await worker.stop()
        await middleware.stop()
    assert 5 == len(kochava.events)
