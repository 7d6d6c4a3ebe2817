"""The child processes as seen by their parent: start them, send signals, and read what they report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from types import TracebackType
from typing import Any, Self

import attrs

from tests.faults.child import KILLING_ITSELF, READY, STOPPED, ChildPlan
from tests.faults.forker import EXITED, FORKED

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 30.0


class NotStarted(RuntimeError):
    """A process did not start; the message has the end of its log."""


@attrs.define(eq=False, kw_only=True)
class Child:
    """
    A child process.

    Attributes:
        plan: What it was started with.
        ready: Its webhook address once it works, empty for a worker.
        exited: Its exit status, negative for a signal.
        process_id: ``None`` until it is forked.
        killed_at: The point where it killed itself; ``None`` if it did not.
    """

    plan: ChildPlan
    ready: asyncio.Future[str]
    exited: asyncio.Future[int]
    process_id: int | None = None
    killed_at: str | None = None

    def send(self, number: signal.Signals) -> None:
        if self.process_id is not None and not self.exited.done():
            os.kill(self.process_id, number)


class Children:
    """
    Starts child processes, and reads what they report in the order in which it was written.

    Args:
        log: Takes the standard error of all.
        on_report: Takes exits, and all that children report of their work.
    """

    def __init__(self, log: Path, on_report: Callable[[list[Any]], None]) -> None:
        self.by_name: dict[str, Child] = {}
        self._log = log
        self._on_report = on_report
        self._unread = b""
        self._process: Popen[bytes] | None = None

    async def start(self, plan: ChildPlan) -> Child:
        """
        Start a child; returns when it works, or has already killed itself as planned.

        Raises:
            NotStarted: It did not work in time.
        """
        loop = asyncio.get_running_loop()
        child = Child(plan=plan, ready=loop.create_future(), exited=loop.create_future())
        self.by_name[plan.name] = child
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(attrs.asdict(plan)).encode() + b"\n")
        self._process.stdin.flush()
        outcomes: set[asyncio.Future[Any]] = {child.ready, child.exited}
        await asyncio.wait(outcomes, timeout=TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not child.ready.done() and child.killed_at is None:
            msg = f"{plan.name} did not start:\n{self.log_end()}"
            raise NotStarted(msg)
        return child

    def read(self) -> None:
        """Read all that was reported so far; call it before comparing reports with anything else."""
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            try:
                read = os.read(self._process.stdout.fileno(), 1 << 20)
            except BlockingIOError:
                return
            if not read:
                asyncio.get_running_loop().remove_reader(self._process.stdout.fileno())
                return
            *lines, self._unread = (self._unread + read).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def log_end(self, lines: int = 30) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def _note(self, words: list[Any]) -> None:
        child = self.by_name[words[1]]
        match words:
            case [kind, _, int(process_id)] if kind == FORKED:
                child.process_id = process_id
            case [kind, _, str(url)] if kind == READY:
                child.ready.set_result(url)
            case [kind, _, int(status)] if kind == EXITED:
                child.exited.set_result(status)
                self._on_report(words)
            case [kind, _, str(point)] if kind == KILLING_ITSELF:
                child.killed_at = point
            case [kind, _] if kind == STOPPED:
                pass
            case _:
                self._on_report(words)

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = Popen(
                [sys.executable, "-m", "tests.faults.forker"], stdin=PIPE, stdout=PIPE, stderr=log, cwd=ROOT
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        asyncio.get_running_loop().add_reader(self._process.stdout.fileno(), self.read)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        for child in self.by_name.values():
            child.send(signal.SIGKILL)
        process.stdin.close()
        asyncio.get_running_loop().remove_reader(process.stdout.fileno())
        await asyncio.to_thread(process.wait, TIMEOUT_SECONDS)
        process.stdout.close()
