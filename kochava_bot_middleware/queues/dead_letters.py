"""
What is kept of that which a store cannot keep: a dead letter in place of an entry, a settlement without its detail.

Both consist of short ASCII texts, which every store keeps.
"""

from __future__ import annotations

import hashlib

import attrs

from ..store.records import Entry, Settlement

LONGEST_TEXT = 200
"""Characters of a text that is kept as it is, or of the beginning of one that is not."""


def letter_of(entry: Entry) -> Entry:
    """
    The dead letter of *entry*: it has its id, so that a repetition is ignored.

    It has no body, and a lane of its own: its lane may be what cannot be kept, and nothing of the person waits for it.
    Should the process die before the letter is settled as dead, whoever claims it finds no body, and gives it up.
    """
    return Entry(
        id=_plain(entry.id),
        queue=_plain(entry.queue),
        lane=f"set-aside/{_digest(entry.id)}",
        created_at=entry.created_at,
        body=b"",
        kind=_plain(entry.kind),
        name=_plain(entry.name),
        label=entry.label if entry.label.isascii() else "",
    )


def bare(settlement: Settlement) -> Settlement:
    """*settlement* with nothing in it that a store may refuse."""
    return attrs.evolve(settlement, reason=_plain(settlement.reason), detail="")


def _plain(text: str) -> str:
    """The text itself if it is short and printable ASCII; otherwise its beginning, escaped, and its digest."""
    if len(text) <= LONGEST_TEXT and text.isascii() and text.isprintable():
        return text
    shown = text[:LONGEST_TEXT].encode("unicode_escape").decode("ascii")
    return f"{shown[:LONGEST_TEXT]}...{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
