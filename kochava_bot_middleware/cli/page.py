"""What the commands share that serve the page of the sandbox."""

from __future__ import annotations

import argparse
import threading
import webbrowser

from .command import number_from

PORT = number_from(int, 0, 65535)
"""The type of an argument."""


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--port`` and ``--no-browser``."""
    parser.add_argument("--port", type=PORT, default=0, metavar="N", help="of the page; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, and do not open it")


def open_page(url: str, arguments: argparse.Namespace) -> None:
    """Open the page in the browser, unless the arguments say otherwise."""
    if not arguments.no_browser:
        # It may wait for the browser to end.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
