"""What is listed of an entry, and what is kept of one that is done or dropped."""

from __future__ import annotations

import attrs

from .records import Entry, Queue


def without_private_body(entry: Entry) -> Entry:
    """The entry as it may be listed: an event of the inbox is for nobody to read."""
    return attrs.evolve(entry, body=b"") if entry.queue == Queue.INBOX else entry


def without_settled_parts(entry: Entry) -> Entry:
    """The entry as it is kept once it is done or dropped: an event of the inbox names nobody any more."""
    if entry.queue == Queue.INBOX:
        return attrs.evolve(entry, body=b"", lane="", name="")
    return attrs.evolve(entry, body=b"")
