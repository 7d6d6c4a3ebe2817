"""The lives from outside: begin, kill, stop and wake them, and hear what they tell."""

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

from tests.faults.life import DYING, ENDED, READY, Plan
from tests.faults.nursery_process import BORN, DEAD

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


class NotBorn(RuntimeError):
    """A process did not start; the message has the end of its log."""


@attrs.define(eq=False, kw_only=True)
class Life:
    """
    A process as its parent knows it.

    Attributes:
        plan: What it was begun with.
        ready: Its webhook address once it works, empty for a worker.
        dead: How it ended: the exit status, negative for a signal.
        process_id: ``None`` until it is born.
        died_at: The point where it killed itself; ``None`` if it did not.
    """

    plan: Plan
    ready: asyncio.Future[str]
    dead: asyncio.Future[int]
    process_id: int | None = None
    died_at: str | None = None

    def send(self, number: signal.Signals) -> None:
        if self.process_id is not None and not self.dead.done():
            os.kill(self.process_id, number)


class Nursery:
    """
    Begins lives, and reads what they tell in the order in which it was written.

    Args:
        log: Takes the standard error of all.
        heard: Takes deaths and all that lives tell of their work.
    """

    def __init__(self, log: Path, heard: Callable[[list[Any]], None]) -> None:
        self.lives: dict[str, Life] = {}
        self._log = log
        self._heard = heard
        self._unread = b""
        self._process: Popen[bytes] | None = None

    async def begin(self, plan: Plan) -> Life:
        """
        Begin a life; returns when it works, or is dead already because its plan said so.

        Raises:
            NotBorn: It never worked.
        """
        loop = asyncio.get_running_loop()
        life = Life(plan=plan, ready=loop.create_future(), dead=loop.create_future())
        self.lives[plan.name] = life
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(attrs.asdict(plan)).encode() + b"\n")
        self._process.stdin.flush()
        outcomes: set[asyncio.Future[Any]] = {life.ready, life.dead}
        await asyncio.wait(outcomes, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not life.ready.done() and life.died_at is None:
            msg = f"{plan.name} did not start:\n{self.log_end()}"
            raise NotBorn(msg)
        return life

    def hear(self) -> None:
        """Read all that was told so far. Whoever compares it with something else calls this first."""
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
        life = self.lives[words[1]]
        match words:
            case [kind, _, int(process_id)] if kind == BORN:
                life.process_id = process_id
            case [kind, _, str(url)] if kind == READY:
                life.ready.set_result(url)
            case [kind, _, int(status)] if kind == DEAD:
                life.dead.set_result(status)
                self._heard(words)
            case [kind, _, str(point)] if kind == DYING:
                life.died_at = point
            case [kind, _] if kind == ENDED:
                pass
            case _:
                self._heard(words)

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = Popen(
                [sys.executable, "-m", "tests.faults.nursery_process"], stdin=PIPE, stdout=PIPE, stderr=log, cwd=ROOT
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        asyncio.get_running_loop().add_reader(self._process.stdout.fileno(), self.hear)
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
        for life in self.lives.values():
            life.send(signal.SIGKILL)
        process.stdin.close()
        asyncio.get_running_loop().remove_reader(process.stdout.fileno())
        await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
        process.stdout.close()
