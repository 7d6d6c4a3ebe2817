"""What the commands share that serve the page of the sandbox."""

from __future__ import annotations

import argparse
import threading
import webbrowser
from collections.abc import Callable

from ..command import number_from

OpenPage = Callable[[str], object]
"""Opens an address in a browser."""

PORT = number_from(int, 0, 65535)
"""The type of an argument."""


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--port`` and ``--no-browser``."""
    parser.add_argument("--port", type=PORT, default=0, metavar="N", help="of the page; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, and do not open it")


def opener(arguments: argparse.Namespace) -> OpenPage | None:
    """What opens the page; ``None`` if it shall not be opened."""
    return None if arguments.no_browser else webbrowser.open


def announce(what: str, url: str, open_page: OpenPage | None) -> None:
    """Print where the page is, and open it."""
    print(f"The {what} is at {url} (Ctrl-C ends it).", flush=True)
    if open_page is not None:
        # It may wait for the browser to end.
        threading.Thread(target=open_page, args=(url,), daemon=True).start()
