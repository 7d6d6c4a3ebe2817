"""
A synchronous program, run as ``python -m tests.sync_process SCENARIO SETTINGS``; prints how many calls have returned.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kochava_bot_middleware import KochavaBotError, SyncKochava

THREADS, CALLS, FORKS = 8, 20, 4


def track_from_threads(kochava: SyncKochava, name: str) -> int:
    """How many calls of so many threads have returned; what they raise is printed."""
    returned: list[str] = []

    def work(thread: int) -> None:
        for number in range(CALLS):
            try:
                kochava.track("Purchase", {"sum": 1}, user_id=f"{name}-{thread}", id=f"{name}-{thread}-{number}")
            except KochavaBotError as exc:
                print(f"{name}: {exc}", file=sys.stderr, flush=True)
            else:
                returned.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(returned)


def threads(kochava: SyncKochava) -> int:
    return track_from_threads(kochava, "only")


def forks(kochava: SyncKochava) -> int:
    """As with ``gunicorn --preload``: at import, then in forked processes with threads, one of which forks again."""
    kochava.track("Import", user_id="0")
    for number in range(FORKS):
        if os.fork() == 0:
            if number == 0 and os.fork() == 0:
                return track_from_threads(kochava, "grandchild")
            return track_from_threads(kochava, f"child-{number}")
    returned = 1 + track_from_threads(kochava, "parent")
    for _ in range(FORKS):
        os.wait()
    return returned


def busy_forks(kochava: SyncKochava) -> int:
    """Forks while other threads write."""
    returned: list[int] = []
    working = threading.Thread(target=lambda: returned.append(track_from_threads(kochava, "parent")))
    working.start()
    for number in range(2 * FORKS):
        if os.fork() == 0:
            kochava.track("Forked", user_id=f"child-{number}")
            return 1
    working.join()
    for _ in range(2 * FORKS):
        os.wait()
    return returned[0]


def hooks(kochava: SyncKochava) -> int:
    """A fork after a callable of the settings was called in threads."""
    returned = track_from_threads(kochava, "parent")
    if os.fork() == 0:
        return track_from_threads(kochava, "child")
    os.wait()
    return returned


def once(kochava: SyncKochava) -> int:
    """A cron job."""
    kochava.track("Renewal", {"sum": 5}, user_id="5551")
    return 1


def after_stop(kochava: SyncKochava) -> int:
    """Nothing is recorded after `stop`."""
    kochava.track("Renewal", user_id="5551")
    kochava.stop()
    kochava.track("Too Late", user_id="5551")
    return 2


def work_on(kochava: SyncKochava) -> None:
    """In a thread: calls after the main thread has ended."""
    threading.main_thread().join()
    for number in range(CALLS):
        kochava.track("Late", user_id="5551", id=str(number))
        os.write(1, b"1\n")


def thread_pool(kochava: SyncKochava) -> int:
    """Calls that a pool makes when the main thread has ended, since nobody waits for them."""
    pool = ThreadPoolExecutor(2)

    def work(number: int) -> None:
        pool_waits.wait()
        try:
            kochava.track("Pooled", user_id=str(number), id=str(number))
        except Exception as exc:  # noqa: BLE001 - a pool keeps it to itself
            print(exc, file=sys.stderr, flush=True)
        else:
            os.write(1, b"1\n")

    pool_waits = threading.Event()
    for number in range(CALLS):
        pool.submit(work, number)
    # Called when the interpreter has begun to wait for its threads, before the pool is emptied.
    register: Callable[[Callable[[], None]], None] = threading._register_atexit  # type: ignore[attr-defined]
    register(pool_waits.set)
    return 0


def thread(kochava: SyncKochava) -> int:
    """A thread that outlives the main one, which has recorded before."""
    kochava.track("First", user_id="1")
    threading.Thread(target=work_on, args=(kochava,)).start()
    return 1


def thread_alone(kochava: SyncKochava) -> int:
    """A thread that begins when the main one has ended."""
    threading.Thread(target=work_on, args=(kochava,)).start()
    return 0


def exit_function(kochava: SyncKochava) -> int:
    """A function of `atexit`."""
    kochava.track("First", user_id="1")
    atexit.register(kochava.track, "Last", user_id="1")
    return 2


def temporary_store(kochava: SyncKochava) -> int:
    """The store is in a folder that is deleted when the interpreter ends."""
    return once(kochava)


def exits(kochava: SyncKochava) -> int:
    """The program asks to end."""
    once(kochava)
    os.write(1, b"1\n")
    sys.exit()


def raises(kochava: SyncKochava) -> int:
    """The program ends with an error."""
    once(kochava)
    os.write(1, b"1\n")
    raise ZeroDivisionError


def child_thread(kochava: SyncKochava) -> int:
    """A process of `multiprocessing`, with a thread that outlives its main one."""
    child = multiprocessing.get_context("fork").Process(target=thread, args=(kochava,))
    child.start()
    child.join()
    return 1


SCENARIOS: dict[str, Callable[[SyncKochava], int]] = {
    each.__name__: each
    for each in (
        threads,
        forks,
        busy_forks,
        hooks,
        once,
        after_stop,
        thread_pool,
        thread,
        thread_alone,
        exit_function,
        temporary_store,
        exits,
        raises,
        child_thread,
    )
}


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[2])
    if sys.argv[1] in ("hooks", "thread"):
        settings["privacy"] = {"consent": lambda _user_id: True}
    if sys.argv[1] == "temporary_store":
        folder = tempfile.mkdtemp()
        weakref.finalize(main, shutil.rmtree, folder)
        settings["store"] = f"sqlite:///{folder}/bot.db"
    returned = SCENARIOS[sys.argv[1]](SyncKochava.from_dict(settings))
    # One write, since several processes share the pipe.
    os.write(1, f"{returned}\n".encode())


if __name__ == "__main__":
    main()
