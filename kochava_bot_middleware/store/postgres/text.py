"""Texts as PostgreSQL can hold them: it knows no NUL character, and ids and lanes may have any."""

from __future__ import annotations

_ESCAPE = "\x1a"


def to_text(text: str) -> str:
    """The text to store; different texts stay different."""
    if "\x00" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE + "1").replace("\x00", _ESCAPE + "0")


def from_text(text: str) -> str:
    """What `to_text` was given."""
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + "0", "\x00").replace(_ESCAPE + "1", _ESCAPE)
