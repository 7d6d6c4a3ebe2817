"""Calls in threads that work until the process is gone."""

from __future__ import annotations

import threading

from kochava_bot_middleware.daemon_threads import DaemonThreads


def test_threads_beyond_those_of_the_beginning_come_with_the_calls() -> None:
    """So that it costs nothing to allow many."""
    names = set[str]()
    together = threading.Barrier(4)

    def call() -> None:
        names.add(threading.current_thread().name)
        together.wait(20)

    threads = DaemonThreads(2, "growing", most=4)
    assert ["growing-0", "growing-1"] == sorted(_names("growing"))
    for future in [threads.submit(call) for _ in range(4)]:
        future.result(20)
    assert {f"growing-{number}" for number in range(4)} == names


def test_calls_beyond_the_most_threads_wait_for_one() -> None:
    """Each of them is made."""
    threads = DaemonThreads(1, "few", most=2)
    assert list(range(10)) == [future.result(20) for future in [threads.submit(int, number) for number in range(10)]]
    assert len(_names("few")) <= 2


def _names(beginning: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(beginning)]
