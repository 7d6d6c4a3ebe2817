"""
A synchronous program, run as ``python -m tests.sync_process SCENARIO SETTINGS``; prints how many calls have returned.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
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


SCENARIOS: dict[str, Callable[[SyncKochava], int]] = {
    each.__name__: each for each in (threads, forks, busy_forks, hooks, once, after_stop)
}


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[2])
    if sys.argv[1] == "hooks":
        settings["privacy"] = {"consent": lambda _user_id: True}
    returned = SCENARIOS[sys.argv[1]](SyncKochava.from_dict(settings))
    # One write, since several processes share the pipe.
    os.write(1, f"{returned}\n".encode())


if __name__ == "__main__":
    main()
