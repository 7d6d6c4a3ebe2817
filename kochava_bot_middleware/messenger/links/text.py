"""
Finds the addresses in plain text, whose writers leave no blank between an address and what follows it.

An address ends before white space, quotes, and every punctuation mark, symbol or invisible character beyond ASCII that
stands in no word; letters of any script are part of it. The host ends before ASCII punctuation, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

_SCHEME = re.compile(r"(?<![A-Za-z0-9])https?://", re.IGNORECASE)

_HOST_STOP = re.compile(
    # What follows the host; where a user and a password come before it, punctuation may be theirs.
    r"[/?#]|[\x00-\x20\x7f<>\"`]|[^\x00-\x7f]|[,;!'()*|{}$&+=~\\](?![^\s<>\"`/?#]{0,100}@)|(?<!\.)\.+(?=https?://)",
    re.IGNORECASE,
)
_PATH_STOP = re.compile(
    # Separators are looked at once, so that many of them cost no more than other characters.
    r"[\x00-\x20\x7f<>\"`]|[^\x00-\x7f]|(?<![.,;!'()*|{}\[\]\\])[.,;!'()*|{}\[\]\\]+(?=https?://)",
    re.IGNORECASE,
)

_PUNCTUATION = frozenset(".,;:!?'*|\\([{")
_BRACKETS = {")": "(", "]": "[", "}": "{"}

_IN_WORDS = frozenset("·・׳״་")  # noqa: RUF001
"""Punctuation that is a part of words, and of domain names."""
_IN_TITLES = frozenset("‐‑‒–’־")  # noqa: RUF001
"""Punctuation that is a part of words, but not of domain names."""
_JOINED = re.compile("[\u0600-\u08ff][\u200c\u200d][\u0600-\u08ff]|[\u0900-\u0dff][\u200c\u200d][\u0900-\u0dff]")
"""Joiners within words of the scripts that are not spelled right without them: Arabic and those of India."""

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Letters and marks without a shape, such as those that make a symbol an emoji."""

_FIRST_PICTURE = "\u2190"
"""Symbols from here on are arrows, emoji and the like; those before, such as the euro, are used in paths."""
_HOST_GOES_ON = re.compile(r"[^\s<>\"`/?#]{0,100}\.[^\W_]")


def addresses(text: str) -> Iterator[tuple[int, str]]:
    """Position and text of each http(s) address, without what belongs to the sentence around it."""
    match = _SCHEME.search(text)
    while match is not None:
        start, host = match.span()
        path = _end(text, host, _HOST_STOP, _is_in_host)
        is_path = text[path : path + 1] in ("/", "?", "#")
        end = _end(text, path, _PATH_STOP, _is_in_path) if is_path else path
        address = _without_punctuation(text[start:end])
        if len(address) > host - start:
            yield start, address
        match = _SCHEME.search(text, end)


def _end(text: str, position: int, stop: re.Pattern[str], is_inside: Callable[[str, int], bool]) -> int:
    """Where a part of an address ends that begins at *position*."""
    for match in stop.finditer(text, position):
        if match[0].isascii() or not is_inside(text, match.start()):
            return match.start()
    return len(text)


def _is_in_host(text: str, position: int) -> bool:
    character = text[position]
    if character in _IN_WORDS:
        return _is_between_letters(text, position)
    if unicodedata.category(character)[0] == "S" or _INVISIBLE.match(character):
        # A domain name may consist of emoji; after one, a sentence goes on.
        return _HOST_GOES_ON.match(text, position) is not None
    return _is_letter(character) or _is_joiner(text, position)


def _is_in_path(text: str, position: int) -> bool:
    character = text[position]
    if character in _IN_WORDS or character in _IN_TITLES:
        return _is_between_letters(text, position)
    if unicodedata.category(character)[0] == "S":
        return character < _FIRST_PICTURE
    return _is_letter(character) or _is_joiner(text, position)


def _is_letter(character: str) -> bool:
    """Whether it is a letter, a mark that belongs to one, a digit, or a low line."""
    category = unicodedata.category(character)
    return (category[0] in "LMN" or category == "Pc") and _INVISIBLE.match(character) is None


def _is_between_letters(text: str, position: int) -> bool:
    before, after = text[position - 1], text[position + 1 : position + 2]
    if text[position] == "・" and (before.isascii() or after.isascii()):
        # It also separates the items of a list.
        return False
    return _is_letter(before) and after != "" and _is_letter(after)


def _is_joiner(text: str, position: int) -> bool:
    return _JOINED.match(text, position - 1) is not None


def _without_punctuation(address: str) -> str:
    end = len(address)
    opened = {bracket: address.count(bracket) for bracket in (*_BRACKETS, *_BRACKETS.values())}
    while end:
        last = address[end - 1]
        if last in _BRACKETS and opened[last] > opened[_BRACKETS[last]]:
            opened[last] -= 1
        elif last in _PUNCTUATION:
            if last in opened:
                opened[last] -= 1
        else:
            break
        end -= 1
    return address[:end]
