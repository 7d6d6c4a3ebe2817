"""
Units, claims and listings as the scripts read and write them: JSON for what they look into, bytes for what they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import orjson

from ..records import Claim, Committed, CommitVerdict, Entry, EntryState, Listed, Mark, Unit

_VERDICTS = (CommitVerdict.COMMITTED, CommitVerdict.CONDITION_FAILED, CommitVerdict.LEASE_LOST)


@attrs.frozen(kw_only=True)
class Encoded:
    """
    A unit ready to be sent.

    Attributes:
        unit: What it is.
        json: What the script looks into. It names the bytes by their number, from 1.
        blobs: Bodies and values of marks.
        grows: Whether it adds to the store.
    """

    unit: Unit
    json: bytes
    blobs: Sequence[bytes]
    grows: bool


def encode_unit(unit: Unit) -> Encoded:
    """
    Write *unit* for the script.

    Raises:
        TypeError: A text in it cannot be written as UTF-8.
    """
    blobs = [entry.body for entry in unit.appends]
    settlements = [
        (
            settlement.claim.entry.id,
            settlement.claim.token,
            settlement.outcome.value,
            or_false(settlement.retry_at),
            settlement.reason,
            settlement.detail,
        )
        for settlement in unit.settlements
    ]
    appends = [
        (entry.id, entry.queue, entry.lane, entry.schema, entry.created_at, or_false(entry.due_at))
        for entry in unit.appends
    ]
    marks = [encode_mark(mark, blobs) for mark in unit.marks]
    lease = False if unit.lease is None else (unit.lease.queue, unit.lease.seconds)
    return Encoded(
        unit=unit,
        json=orjson.dumps((settlements, appends, marks, lease, len(blobs))),
        blobs=blobs,
        grows=bool(appends) or any(mark.value is not None for mark in unit.marks),
    )


def encode_mark(mark: Mark, blobs: list[bytes]) -> tuple[str, float | bool, int | bool, str, int | bool]:
    """Write *mark* for a script, adding its bytes to *blobs*."""
    value = expected = 0
    if mark.value is not None:
        blobs.append(mark.value)
        value = len(blobs)
    if mark.expected is not None:
        blobs.append(mark.expected)
        expected = len(blobs)
    return mark.key, or_false(mark.expires_at), value or False, mark.condition.value, expected or False


def committed_of(unit: Unit, answer: Sequence[Any]) -> Committed:
    """The script's answer to *unit*."""
    code, failed, flags, leased = answer
    if code:
        return Committed(verdict=_VERDICTS[code], failed_key=failed.decode())
    appended: list[str] = []
    repeated: list[str] = []
    for entry, flag in zip(unit.appends, flags.decode(), strict=True):
        (appended if flag == "1" else repeated).append(entry.id)
    return Committed(
        verdict=CommitVerdict.COMMITTED,
        appended=tuple(appended),
        repeated=tuple(repeated),
        leased=tuple(claim_of(each, unit.appends) for each in leased),
    )


def claim_of(answer: Sequence[Any], appends: Sequence[Entry] = ()) -> Claim:
    """A claim as a script answers it; its entry is a number of *appends*, from 1, or written out."""
    number, token, expires_at, attempt, *columns = answer
    entry = appends[number - 1] if number else entry_of(columns)
    return Claim(entry=entry, token=token.decode(), expires_at=float(expires_at), attempt=attempt)


def entry_of(columns: Sequence[Any]) -> Entry:
    """An entry as a script answers it."""
    entry_id, queue, lane, schema, created_at, due_at, body = columns
    return Entry(
        id=entry_id.decode(),
        queue=queue.decode(),
        lane=lane.decode(),
        schema=int(schema),
        created_at=float(created_at),
        due_at=_float(due_at),
        body=body,
    )


def listed_of(answer: Sequence[Any]) -> tuple[bytes, Listed]:
    """A row of a listing, and its place."""
    place, state, attempts, due_at, reason, detail, ended_at, *columns = answer
    listed = Listed(
        entry=entry_of(columns),
        state=EntryState(state.decode()),
        attempts=attempts,
        due_at=_float(due_at),
        reason=reason.decode(),
        detail=detail.decode(),
        ended_at=_float(ended_at),
    )
    return place, listed


def merge(unit: Unit, answers: Sequence[Committed]) -> Committed:
    """One answer out of those of the unit's parts, all of them committed."""
    new = {entry_id for answer in answers for entry_id in answer.appended}
    appended: list[str] = []
    repeated: list[str] = []
    for entry in unit.appends:
        # An id that is twice in the unit is new only once.
        (appended if entry.id in new else repeated).append(entry.id)
        new.discard(entry.id)
    return Committed(
        verdict=CommitVerdict.COMMITTED,
        appended=tuple(appended),
        repeated=tuple(repeated),
        leased=tuple(claim for answer in answers for claim in answer.leased),
    )


def or_false(number: float | None) -> float | bool:
    """Lua has no element that is missing, but it has a false."""
    return False if number is None else number


def _float(text: bytes | None) -> float | None:
    return None if text is None else float(text)
