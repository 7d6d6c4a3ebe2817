"""What a SmartLink does with a tap: fill the ``{key}`` of its owner's destination from its query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit


def query_params(raw_path: str) -> list[tuple[str, str]]:
    """The decoded query of a request line's target, in order, empty values included."""
    return parse_qsl(raw_path.partition("?")[2], keep_blank_values=True)


def fill_destination(template: str, params: Sequence[tuple[str, str]]) -> str | None:
    """
    The address a tap leads to.

    Keys are case-sensitive; a key that the tap does not bring is left empty; the first of several values counts.

    Args:
        template: The destination its owner configured, such as ``{url}`` or ``https://shop.example{path}``.
        params: The decoded query of the tap.

    Returns:
        The destination, or ``None`` if what came out is not an absolute address.
    """
    values: dict[str, str] = {}
    for name, value in params:
        values.setdefault(name, value)
    destination = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], ""), template)
    if any(character < " " or character == "\x7f" for character in destination):
        return None
    try:
        parts = urlsplit(destination)
    except ValueError:
        return None
    return destination if parts.scheme and (parts.netloc or parts.path) else None
