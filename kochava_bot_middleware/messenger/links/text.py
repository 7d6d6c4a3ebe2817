"""Addresses in plain text, which Messenger makes tappable."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

BUTTON_TEXT_LIMIT = 640
"""Characters allowed in the text of a button template."""

_ADDRESS = re.compile(r"(?<![A-Za-z0-9])https?://[^\s<>\"“”«»]+", re.IGNORECASE)
_PUNCTUATION = frozenset(".,;:!?'’*…。，、；：！？")  # noqa: RUF001
_BRACKETS = {")": "(", "]": "[", "}": "{", "）": "（", "」": "「", "』": "『", "》": "《", "】": "【"}  # noqa: RUF001


class TextLimit(enum.Enum):
    """Maximum length of the text of a message."""

    MESSENGER = 1999
    """Characters: the Send API allows fewer than 2000."""
    INSTAGRAM = 1000
    """Bytes of UTF-8."""

    def size(self, text: str) -> int:
        """The length of *text* as counted by the platform."""
        return len(text) if self is TextLimit.MESSENGER else len(text.encode("utf-8", "surrogatepass"))


def addresses(text: str) -> Iterator[tuple[int, str]]:
    """Position and text of each http(s) address, without a full stop or closing bracket of the sentence."""
    for match in _ADDRESS.finditer(text):
        address = _without_punctuation(match[0])
        if address.partition("//")[2]:
            yield match.start(), address


def _without_punctuation(address: str) -> str:
    end = len(address)
    opened = {bracket: address.count(bracket) for bracket in (*_BRACKETS, *_BRACKETS.values())}
    while end:
        last = address[end - 1]
        if last in _BRACKETS and opened[last] > opened[_BRACKETS[last]]:
            opened[last] -= 1
        elif last not in _PUNCTUATION:
            break
        end -= 1
    return address[:end]
