"""
Hooks of the site's build.

- The name of a class of the API in backticks leads to its entry, on pages and in docstrings. So docstrings stay plain
  text, for people who read them in an editor.
- A page that would load something from the network stops the build.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ENTRY = re.compile(r"^::: (kochava_bot_middleware[\w.]*)$", re.MULTILINE)
CODE = re.compile(
    r"<(a|pre|h\d|autoref)\b.*?</\1>"  # left alone
    r"|<code>([A-Z]\w+|[a-z]+_\w+)</code>",
    re.DOTALL,
)
REMOTE = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?https?://[^>]*>")

_entries: dict[str, str] = {}


def on_files(files: Any, **_: Any) -> None:
    """Read from the pages which names have an entry: those given themselves, and the classes of modules."""
    for file in files.documentation_pages():
        for path in ENTRY.findall(file.content_string):
            source = Path(*path.split(".")).with_suffix(".py")
            if source.exists():
                tree = ast.parse(source.read_text(encoding="utf-8"))
                names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
                _entries.update({name: f"{path}.{name}" for name in names})
            else:
                _entries[path.rpartition(".")[2]] = path


def on_page_content(html: str, **_: Any) -> str:
    """Make references of these names."""

    def linked(match: re.Match[str]) -> str:
        path = _entries.get(match[2] or "")
        return match[0] if path is None else f'<autoref optional identifier="{path}">{match[0]}</autoref>'

    return CODE.sub(linked, html)


def on_post_page(output: str, page: Any, **_: Any) -> None:
    """The site works without a network."""
    remote = REMOTE.search(output)
    if remote is not None:
        msg = f"{page.file.src_uri}: the site has to work without a network, but would load {remote[0]}"
        raise PluginError(msg)
