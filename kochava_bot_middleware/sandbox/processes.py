"""A child process that is started, killed and started again."""

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

START_SECONDS = 30.0
"""How long a process may take until it prints that it is ready."""


class ProcessFailed(RuntimeError):
    """A process did not start or ended by itself; the message has the end of its log."""


class ChildProcess:
    """
    A Python process that is started, killed and started again; used as ``async with``.

    Its standard input is a pipe from this process, so that it can end when this process has ended.

    Args:
        arguments: Of Python, such as ``["-m", "kochava_bot_middleware", "worker"]``.
        ready: The beginning of the line that it prints to standard output when it is ready.
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
        Start it and wait until it is ready; returns what it printed after `ready`.

        Raises:
            ProcessFailed: It ended, or was not ready in time.
        """
        # The environment may have settings of another bot.
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
        raise self._failed(how="did not start")

    async def kill(self) -> None:
        """Send SIGKILL, and wait until it has ended."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> str:
        """
        Send SIGTERM, and wait until it has ended; returns what it printed since it was ready.

        Raises:
            ProcessFailed: Its exit status was not 0.
        """
        output, status = await self._end(signal.SIGTERM)
        if status:
            raise self._failed(how=f"ended with {status}")
        return output

    def log_end(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _failed(self, *, how: str) -> ProcessFailed:
        return ProcessFailed(f"`python {' '.join(self._arguments)}` {how}; the end of its log:\n{self.log_end()}")

    async def _end(self, number: signal.Signals) -> tuple[str, int]:
        process = self._process
        if process is None:
            return "", 0
        if process.returncode is None:
            process.send_signal(number)
        output, _ = await process.communicate()
        # Not before: if this is cancelled, it still has to be killed.
        self._process = None
        assert process.returncode is not None
        return output.decode(), process.returncode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()
