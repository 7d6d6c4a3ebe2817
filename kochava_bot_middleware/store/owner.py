"""
Who holds a lease: each token begins with the name of the process that made it.

A process is known to be dead only where that can be proved: its name holds the boot of the machine and the process
namespace, so that an id is looked up only among the ids from which it was given. Within another container, or on
another machine, nothing can be proved, and a lease lasts until it lapses. A process id that was given anew is
recognised by the time at which its process started.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
from pathlib import Path

_PROC = Path("/proc")
_SEPARATOR = "."


def new_owner() -> str:
    """A name for this process that was never given before; with what proves its death, where the system tells that."""
    return _SEPARATOR.join((secrets.token_hex(8), *_identity(os.getpid())))


def owner_of(token: str) -> str:
    """The process that made a token."""
    return token.rpartition("-")[0]


def is_owner_dead(owner: str) -> bool:
    """Whether the process is dead for certain."""
    try:
        _, machine, number, started = owner.split(_SEPARATOR)
        pid = int(number)
    except ValueError:
        return False
    if machine != _machine() or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    now = _started_and_state(pid)
    return now is not None and (now[0] != started or now[1] in "ZX")


def _identity(pid: int) -> tuple[str, ...]:
    machine, started = _machine(), _started_and_state(pid)
    return () if machine is None or started is None else (machine, str(pid), started[0])


@functools.cache
def _machine() -> str | None:
    """The boot of the machine and the process namespace; ``None`` where the system has none of both."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.stat(_PROC / "self/ns/pid").st_ino
    except OSError:
        return None
    return hashlib.blake2b(f"{boot} {namespace}".encode(), digest_size=8).hexdigest()


def _started_and_state(pid: int) -> tuple[str, str] | None:
    """When a process started, in ticks since the boot, and its state."""
    try:
        # The name, in brackets, may hold blanks and brackets itself.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19], fields[0]
