"""
A process that has imported everything and forks a child for each line it reads, so that a child starts in milliseconds.

Run as ``python -m tests.faults.forker``. A line is a plan in JSON. It reports each child that has exited, and kills all
when its input ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback

from tests.faults.child import ChildPlan, report, run

FORKED, EXITED = "forked", "exited"


def main() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    names: dict[int, str] = {}
    unread = b""
    while True:
        ready, _, _ = select.select([0, reader], [], [])
        if reader in ready:
            os.read(reader, 4096)
            _reap(names)
        if 0 in ready:
            read = os.read(0, 65_536)
            if not read:
                break
            *lines, unread = (unread + read).split(b"\n")
            for line in lines:
                plan = ChildPlan(**json.loads(line))
                pid = _fork(plan)
                names[pid] = plan.name
                report(FORKED, plan.name, pid)
    for pid in names:
        os.kill(pid, signal.SIGKILL)


def _reap(names: dict[int, str]) -> None:
    while names:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        report(EXITED, names.pop(pid), os.waitstatus_to_exitcode(status))


def _fork(plan: ChildPlan) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        run(plan)
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing of it may reach the loop above
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
