"""The example shop as a process of its own, so that it can really be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ..settings import ENVIRONMENT_PREFIX
from .shop import READY

START_SECONDS = 30.0
"""How long a process may take until it says that it is ready; only a broken one comes near it."""


class ChildFailed(RuntimeError):
    """A process did not start or ended by itself; the message has the end of its log."""


class Child:
    """
    One process of this package, which is started, killed and started again; used as ``async with``.

    Its standard input is a pipe from here: it ends when this process does, however that happens.

    Args:
        arguments: Of Python, such as ``["-m", "kochava_bot_middleware", "worker"]``.
        ready: How the line begins that it prints to standard output when it works.
        log: File that its standard error is appended to.
    """

    def __init__(self, arguments: Sequence[str], *, ready: str, log: Path) -> None:
        self._arguments = tuple(arguments)
        self._ready = ready
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process_id(self) -> int | None:
        """``None`` while it is not running."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """
        Start it and wait until it is ready; gives what it said after `ready`.

        Raises:
            ChildFailed: It ended, or said nothing in time.
        """
        # Settings of a bot of yours in the environment are not the sandbox's.
        environment = {name: text for name, text in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                while line := (await process.stdout.readline()).decode():
                    if line.startswith(self._ready):
                        return line.removeprefix(self._ready).strip()
        except TimeoutError:
            await self.kill()
        msg = f"`python {' '.join(self._arguments)}` did not start; the end of its log:\n{self.log_end()}"
        raise ChildFailed(msg)

    async def kill(self) -> None:
        """SIGKILL: no handler, no goodbye."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> str:
        """
        SIGTERM, and wait until it has drained; gives what it printed since it was ready.

        Raises:
            ChildFailed: It did not end well.
        """
        said, status = await self._end(signal.SIGTERM)
        if status:
            msg = f"`python {' '.join(self._arguments)}` ended with {status}; the end of its log:\n{self.log_end()}"
            raise ChildFailed(msg)
        return said

    def log_end(self, *, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    async def _end(self, number: signal.Signals) -> tuple[str, int]:
        process, self._process = self._process, None
        if process is None:
            return "", 0
        if process.returncode is None:
            process.send_signal(number)
        said, _ = await process.communicate()
        assert process.returncode is not None
        return said.decode(), process.returncode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()


def shop_process(settings: Path) -> Child:
    """The shop with the settings file *settings*; its log is written beside it."""
    arguments = ["-m", f"{__package__}.shop", str(settings)]
    return Child(arguments, ready=READY, log=settings.with_suffix(".log"))
