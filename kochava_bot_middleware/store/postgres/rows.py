"""From rows to the contract's records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..records import Entry
from .text import from_text


def entry_of(columns: Sequence[Any]) -> Entry:
    """The entry whose columns a statement has read: id, queue, lane, schema, created_at, due_at, body."""
    entry_id, queue, lane, schema, created_at, due_at, body = columns
    return Entry(
        id=from_text(entry_id),
        queue=from_text(queue),
        lane=from_text(lane),
        schema=schema,
        created_at=created_at,
        due_at=due_at,
        body=body,
    )
