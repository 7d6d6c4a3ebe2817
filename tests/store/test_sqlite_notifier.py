"""How processes that share a SQLite file notify each other."""

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
    """Shorter than pytest's own, so that the sockets are beside the store."""
    path = Path(tempfile.mkdtemp(prefix="notify-"))
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
def listener(path: Path) -> Iterator[socket.socket]:
    """A socket that listens to the store."""
    sockets = SocketFolder(path)
    name = socket_name()
    listener = sockets.open(name)
    yield listener
    listener.close()
    sockets.remove(name)


async def notified(listener: socket.socket) -> None:
    """Wait for a notification."""
    await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listener, 1), 20)


def is_quiet(listener: socket.socket) -> bool:
    try:
        listener.recv(1)
    except BlockingIOError:
        return True
    return False


async def listens(store: SqliteStore) -> asyncio.Event:
    """An event that is set when *store* is notified."""
    event = asyncio.Event()
    store.on_append(event.set)
    assert await store.listening()
    event.clear()
    return event


async def is_notified(event: asyncio.Event) -> bool:
    await asyncio.wait_for(event.wait(), 20)
    event.clear()
    return True


async def test_append_notifies_other_stores_of_the_file(new_store: NewStore) -> None:
    """None of them looks by itself here, so it can only have been notified."""
    worker, other, bot = new_store(), new_store(), new_store()
    event, notified_too = await listens(worker), await listens(other)
    await append(bot, entry("a"))
    assert await is_notified(event)
    assert await is_notified(notified_too)
    assert "a" == (await claim_one(worker)).entry.id


async def test_what_a_process_leased_itself_notifies_nobody(new_store: NewStore, listener: socket.socket) -> None:
    """As a webhook's event, which is handled where it was stored."""
    await append(new_store(), entry("a"), lease=Lease(queue="track", seconds=60.0))
    assert is_quiet(listener)


async def test_released_claims_and_retried_entries_notify(new_store: NewStore, listener: socket.socket) -> None:
    """A released claim, and a dead entry put back."""
    store = new_store()
    lease = Lease(queue="track", seconds=60.0)
    (first,) = (await append(store, entry("a"), lease=lease)).leased
    assert is_quiet(listener)
    await settle(store, first, Outcome.RELEASE)
    await notified(listener)
    await settle(store, await claim_one(store), Outcome.DEAD)
    assert 0 == await store.retry_dead(["unknown"])
    assert is_quiet(listener)
    assert 1 == await store.retry_dead(["a"])
    await notified(listener)


async def test_process_does_not_notify_itself(path: Path) -> None:
    """All others are notified."""
    sockets = SocketFolder(path)
    names = [socket_name(), socket_name()]
    listeners = [sockets.open(name) for name in names]
    sockets.notify(but=names[0])
    assert [True, False] == [is_quiet(listener) for listener in listeners]
    for name, listener in zip(names, listeners, strict=True):
        listener.close()
        sockets.remove(name)


async def test_many_appends_are_few_notifications(path: Path, listener: socket.socket) -> None:
    """A hundred within an instant are one notification, and one more at the end of the pause."""
    notifier = SqliteNotifier(SocketFolder(path), ManualClock(), name=socket_name())
    for _ in range(100):
        notifier.throttle.notify()
    assert [False, True] == [is_quiet(listener), is_quiet(listener)]
    await notified(listener)
    assert is_quiet(listener)
    notifier.close()


async def test_closing_sends_what_is_pending(path: Path, listener: socket.socket) -> None:
    """What was committed during the last pause is notified too."""
    notifier = SqliteNotifier(SocketFolder(path), ManualClock(), name=socket_name())
    notifier.throttle.notify()
    notifier.throttle.notify()
    assert [False, True] == [is_quiet(listener), is_quiet(listener)]
    notifier.close()
    assert [False, True] == [is_quiet(listener), is_quiet(listener)]


async def test_without_such_sockets_nobody_is_notified() -> None:
    """As on Windows: everything else works, and workers look by themselves."""
    notifier = SqliteNotifier(None, ManualClock(), name=socket_name())
    notifier.on_append(lambda: None)
    notifier.throttle.notify()
    assert not notifier.listening()
    notifier.close()


async def test_listener_that_does_not_read_delays_nobody(
    new_store: NewStore, path: Path, listener: socket.socket
) -> None:
    """When it has no room for more notifications, commits go on, and it is not taken for dead."""
    sockets = SocketFolder(path)
    for _ in range(2_000):
        sockets.notify(but="")
    await append(new_store(), entry("a"))
    assert 1 == len(list(sockets.path.iterdir()))
    assert not is_quiet(listener)


async def test_dead_listener_is_removed(new_store: NewStore, path: Path) -> None:
    """By the next process that notifies; other files of the folder are left alone."""
    sockets = SocketFolder(path)
    sockets.open(socket_name()).close()
    note = sockets.path / "note.txt"
    note.write_text("mine")
    await append(new_store(), entry("a"))
    assert [note] == list(sockets.path.iterdir())


async def test_closing_leaves_nothing_behind(new_store: NewStore, path: Path) -> None:
    """Neither a socket nor the folder; but others keep theirs."""
    worker, other = new_store(), new_store()
    await listens(worker)
    event = await listens(other)
    await worker.close()
    assert 1 == len(list(SocketFolder(path).path.iterdir()))
    await append(new_store(), entry("a"))
    assert await is_notified(event)
    await other.close()
    assert not SocketFolder(path).path.exists()


async def test_without_listeners_there_is_no_folder(new_store: NewStore, path: Path) -> None:
    """A bot alone with its file makes no folder."""
    await append(new_store(), entry("a"))
    assert not SocketFolder(path).path.exists()


async def test_folder_is_for_its_user_only(new_store: NewStore, path: Path) -> None:
    """No other user can notify or listen."""
    await listens(new_store())
    sockets = SocketFolder(path).path
    assert [0o700, 0o600] == [each.stat().st_mode & 0o777 for each in (sockets, *sockets.iterdir())]


async def test_folder_that_others_can_write_is_not_used(
    new_store: NewStore, path: Path, listener: socket.socket
) -> None:
    """Its sockets may be those of another user."""
    SocketFolder(path).path.chmod(0o777)
    await append(new_store(), entry("a"))
    assert is_quiet(listener)


def take_the_name(sockets: Path) -> None:
    sockets.write_text("a file of another program")


def open_it_to_all(sockets: Path) -> None:
    sockets.mkdir()
    sockets.chmod(0o777)


def link_it(sockets: Path) -> None:
    sockets.with_name("elsewhere").mkdir(mode=0o700)
    sockets.symlink_to(sockets.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [take_the_name, open_it_to_all, link_it])
async def test_folder_that_cannot_be_used_breaks_nothing(
    new_store: NewStore, path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    """It is logged in one line, commits and claims go on, and once it is fixed the next check listens."""
    caplog.set_level(logging.INFO)
    sockets, clock = SocketFolder(path), ManualClock()
    spoil(sockets.path)
    worker, bot = new_store(clock=clock), new_store(clock=clock)
    event = asyncio.Event()
    worker.on_append(event.set)
    assert not await worker.listening()
    await append(bot, entry("a"))
    assert "a" == (await claim_one(worker)).entry.id
    clock.advance(LOOK_SECONDS)
    assert [] == await worker.claim("track", 1, 60.0)
    assert 1 == len([line for line in caplog.messages if line.startswith(f"wake_ups_unheard {sockets.path}")])

    sockets.path.rename(path.with_name("away"))
    clock.advance(LOOK_SECONDS)
    assert [] == await worker.claim("track", 1, 60.0)
    assert await worker.listening()
    assert await is_notified(event)
    await append(bot, entry("b"))
    assert await is_notified(event)


async def test_removed_socket_is_made_again(new_store: NewStore, path: Path) -> None:
    """By the next check, which notifies, since no notification could arrive meanwhile."""
    clock = ManualClock()
    worker, bot = new_store(clock=clock), new_store(clock=clock)
    event = await listens(worker)
    shutil.rmtree(SocketFolder(path).path)
    await worker.claim("track", 1, 60.0)
    assert not SocketFolder(path).path.exists()
    clock.advance(LOOK_SECONDS)
    await worker.claim("track", 1, 60.0)
    assert await is_notified(event)
    await append(bot, entry("a"))
    assert await is_notified(event)


async def test_file_opened_by_a_link_is_the_same_file(new_store: NewStore, path: Path) -> None:
    """As it is for SQLite."""
    bot = new_store()
    await bot.open()
    link = path.with_name("link.db")
    link.symlink_to(path)
    event = await listens(new_store(link))
    await append(bot, entry("a"))
    assert await is_notified(event)


async def test_long_path_has_its_folder_elsewhere(new_store: NewStore, folder: Path) -> None:
    """Among the temporary ones, since a socket's address has room for about a hundred bytes."""
    deep = folder / ("deep" * 20)
    deep.mkdir()
    worker, bot = new_store(deep / "store.db"), new_store(deep / "store.db")
    event = await listens(worker)
    sockets = SocketFolder(deep / "store.db").path
    assert (Path(tempfile.gettempdir()), 1) == (sockets.parent, len(list(sockets.iterdir())))
    await append(bot, entry("a"))
    assert await is_notified(event)
    await worker.close()
    assert not sockets.exists()


@pytest.mark.parametrize("length", range(40, 100, 5))
def test_address_of_a_socket_is_never_too_long(folder: Path, length: int) -> None:
    """Whatever the store's path."""
    sockets = SocketFolder(Path("/" + "x" * length), temporary=folder)
    assert len(os.fsencode(sockets.path / ".4194304-01234567")) <= MOST_ADDRESS_BYTES


def test_stores_with_long_paths_do_not_share_a_folder(folder: Path) -> None:
    """Its name is made from the whole path."""
    stores = [Path("/" + "x" * 200) / name for name in ("a.db", "b.db")]
    first, second = (SocketFolder(store, temporary=folder).path for store in stores)
    assert first != second


def _wait_for_one(path: Path, seen: multiprocessing.Queue[str]) -> None:
    async def wait() -> None:
        store = SqliteStore(path)
        event = await listens(store)
        seen.put("listens")
        while True:
            await event.wait()
            event.clear()
            for claim in await store.claim("track", 9, 60.0):
                seen.put(claim.entry.id)

    asyncio.run(wait())


async def test_another_process_is_notified_until_it_is_killed(new_store: NewStore, path: Path) -> None:
    """It never looks by itself; what it leaves behind when it dies is removed."""
    context = multiprocessing.get_context("spawn")
    seen: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_wait_for_one, args=(path, seen))
    process.start()
    bot = new_store()
    try:
        assert "listens" == await asyncio.to_thread(seen.get, timeout=60)
        for name in ("a", "b"):
            await append(bot, entry(name, lane=name))
            assert name == await asyncio.to_thread(seen.get, timeout=60)
    finally:
        process.kill()
        await asyncio.to_thread(process.join)
        seen.close()
    assert 1 == len(list(SocketFolder(path).path.iterdir()))
    await append(bot, entry("c"))
    await bot.close()
    assert not SocketFolder(path).path.exists()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_leaves_its_parents_socket(path: Path) -> None:
    """It commits, which notifies the parent, and closes only what is its own."""
    store = SqliteStore(path)

    async def add() -> None:
        await append(store, entry("child"))
        await store.close()

    async def fork() -> None:
        event = await listens(store)
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(asyncio.wait_for(add(), 10))
                os._exit(0)
            finally:
                os._exit(1)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert 0 == os.waitstatus_to_exitcode(status)
        assert await is_notified(event)
        assert 1 == len(list(SocketFolder(path).path.iterdir()))
        await store.close()

    asyncio.run(fork())
    assert not SocketFolder(path).path.exists()


async def test_worker_delivers_at_once_what_another_process_appends(folder: Path) -> None:
    """`kochava-bot worker` looks by itself once an hour here, so it must be notified of what comes later."""
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
