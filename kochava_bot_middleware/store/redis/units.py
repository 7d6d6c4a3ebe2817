"""
Units on their way to the server: in which slot of a cluster each part of them is, and how the scripts read it.

**Shards.** A person's entries and marks belong together, so the last part of a lane's name decides, what follows the
last slash or colon: of the lanes ``page/ann`` and ``app/ann`` it is ``ann``. A mark is kept with its lane, whatever its
key is. An id is looked for in the shard of its lane only.

With one shard, which is the default, everything is in one slot, and each unit is one transaction whatever it touches.
With more, so is each unit whose lanes are all of one person. A unit over several shards is written in parts:

1. In each shard its claims and conditions are checked. If one fails, nothing is written.
2. Each shard's part is written in one transaction: first the parts that settle nothing, then the others.

If the process dies in between, the claims are not settled yet, so the work is done again and writes the same ids, which
count once. If another unit comes in between, the answer is the refusal, and what was written of the unit before stays:
the caller plans anew, and its appends are reported as repeated.

**Encoding.** JSON for what a script looks into, bytes for what it does not.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from ..records import (
    Claim,
    Committed,
    CommitVerdict,
    Condition,
    DayCount,
    Entry,
    EntryState,
    Listed,
    Mark,
    QueueStats,
    Unit,
)

_VERDICTS = (CommitVerdict.COMMITTED, CommitVerdict.CONDITION_FAILED, CommitVerdict.LEASE_LOST)


def shard_of(lane: str, shards: int) -> int:
    """The shard of a lane."""
    if shards == 1:
        return 0
    person = lane[max(lane.rfind("/"), lane.rfind(":")) + 1 :]
    return zlib.crc32(person.encode(errors="surrogatepass")) % shards


def meta_key(prefix: str, shard: int) -> str:
    """The key whose hash tag all keys of the shard have."""
    return f"{{{prefix}:{shard}}}:meta"


def split(unit: Unit, shards: int) -> dict[int, Unit]:
    """The parts of *unit* by shard, in the order to write them: those that settle something come last."""
    if shards == 1:
        return {0: unit}
    lanes = [settlement.claim.entry.lane for settlement in unit.settlements]
    lanes += [*(entry.lane for entry in unit.appends), *(mark.lane for mark in unit.marks)]
    touched = dict.fromkeys(shard_of(lane, shards) for lane in lanes)
    if len(touched) <= 1:
        return {next(iter(touched), 0): unit}
    last = next(reversed(touched))
    parts = {
        shard: attrs.evolve(
            unit,
            appends=[each for each in unit.appends if shard_of(each.lane, shards) == shard],
            settlements=[each for each in unit.settlements if shard_of(each.claim.entry.lane, shards) == shard],
            marks=[each for each in unit.marks if shard_of(each.lane, shards) == shard],
            counts=unit.counts if shard == last else (),
        )
        for shard in touched
    }
    return dict(sorted(parts.items(), key=lambda part: bool(part[1].settlements)))


def can_be_refused(unit: Unit) -> bool:
    """Whether anything of *unit* depends on what is in the store."""
    return bool(unit.settlements) or any(mark.condition is not Condition.ALWAYS for mark in unit.marks)


def grows(unit: Unit) -> bool:
    """Whether *unit* adds to the store."""
    return bool(unit.appends) or any(mark.value is not None for mark in unit.marks)


def merge(unit: Unit, answers: Sequence[Committed]) -> Committed:
    """One answer out of those of the unit's parts, all of them committed."""
    new = {entry_id for answer in answers for entry_id in answer.appended}
    flags = []
    for entry in unit.appends:
        # An id that is twice in the unit is new only once.
        flags.append(entry.id in new)
        new.discard(entry.id)
    return _committed(unit, flags, (claim for answer in answers for claim in answer.leased))


def encode_unit(unit: Unit) -> tuple[bytes, Sequence[bytes]]:
    """
    Write *unit* as JSON, and the bytes that it names by their number, from 1.

    Raises:
        TypeError: A text in it cannot be written as UTF-8, or a number has more than 64 bits.
        ValueError: A time in it is no number, which a script could not read.
    """
    times = [each.retry_after_seconds or 0.0 for each in unit.settlements]
    times += [number for each in unit.appends for number in (each.created_at, each.wait_seconds or 0.0)]
    times += [each.expires_after_seconds or 0.0 for each in unit.marks]
    if not all(map(math.isfinite, times)):
        message = "a time is no number"
        raise ValueError(message)
    blobs = [entry.body for entry in unit.appends]
    settlements = [
        (s.claim.entry.id, s.claim.token, s.outcome.value, max(0.0, s.retry_after_seconds or 0.0), s.reason, s.detail)
        for s in unit.settlements
    ]
    # The script replaces the wait by a time, and the empty element by the body.
    appends = [
        (e.id, e.queue, e.lane, e.schema, e.created_at, max(0.0, e.wait_seconds or 0.0), "", e.kind, e.name, e.label)
        for e in unit.appends
    ]
    marks = [encode_mark(mark, blobs) for mark in unit.marks]
    lease = False if unit.lease is None else (unit.lease.queue, unit.lease.seconds)
    counts = [(str(each.day), each.facts, each.what, each.count, str(each.amount)) for each in unit.counts]
    return orjson.dumps((settlements, appends, marks, lease, len(blobs), counts)), blobs


def encode_mark(mark: Mark, blobs: list[bytes]) -> tuple[str, float | bool, int | bool, str, int | bool]:
    """Write *mark* for a script, adding its bytes to *blobs*."""
    value = expected = 0
    if mark.value is not None:
        blobs.append(mark.value)
        value = len(blobs)
    if mark.expected is not None:
        blobs.append(mark.expected)
        expected = len(blobs)
    # Lua has no element that is missing, but it has a false.
    expires = False if mark.expires_after_seconds is None else mark.expires_after_seconds
    return mark.key, expires, value or False, mark.condition.value, expected or False


def committed_of(unit: Unit, answer: Sequence[Any]) -> Committed:
    """The script's answer to *unit*."""
    code, failed, flags, leased = answer
    if code:
        return Committed(verdict=_VERDICTS[code], failed_key=failed.decode())
    new = (flag == "1" for flag in flags.decode())
    return _committed(unit, new, (claim_of(each, unit.appends) for each in leased))


def claim_of(answer: Sequence[Any], appends: Sequence[Entry] = ()) -> Claim:
    """A claim as a script answers it; its entry is a number of *appends*, from 1, or written out."""
    number, token, attempt, is_takeover, *columns = answer
    entry = appends[number - 1] if number else _entry_of(columns)
    return Claim(entry=entry, token=token.decode(), attempt=attempt, is_takeover=bool(is_takeover))


def listed_of(answer: Sequence[Any]) -> tuple[bytes, Listed]:
    """A row of a listing, and its place."""
    place, state, attempts, due_at, reason, detail, ended_at, token, *columns = answer
    listed = Listed(
        entry=_entry_of(columns),
        state=EntryState(state.decode()),
        attempts=attempts,
        due_at=_float(due_at),
        reason=reason.decode(),
        detail=detail.decode(),
        ended_at=_float(ended_at),
        token=None if token is None else token.decode(),
    )
    return place, listed


def day_counts_of(answer: Sequence[Any]) -> list[DayCount]:
    """The counters of a day."""
    day, fields, counts, amounts = answer
    rows = []
    for field, count, amount in zip(fields, counts, amounts, strict=True):
        _, facts, what = field.decode().split("\0", 2)
        rows.append(DayCount(day, facts, what, int(count or 0), int(amount or 0)))
    return rows


def stats_of(answers: Sequence[Any]) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something, added up over the shards."""
    counts: Counter[tuple[str, str]] = Counter()
    firsts: dict[str, list[tuple[bytes, float]]] = {}
    for numbers, queues in answers:
        for field, number in zip(numbers[::2], numbers[1::2], strict=True):
            name, _, queue = field.decode().partition(":")
            counts[queue, name] += int(number)
        for queue, in_flight, first in queues:
            counts[queue.decode(), "in_flight"] += in_flight
            heads = firsts.setdefault(queue.decode(), [])
            if first is not None:
                place, created_at = first.split()
                heads.append((place, float(created_at)))
    return {queue: _queue_stats(queue, counts, heads) for queue, heads in firsts.items()}


def _committed(unit: Unit, are_new: Iterable[bool], leased: Iterable[Claim]) -> Committed:
    appends = list(zip(unit.appends, are_new, strict=True))
    return Committed(
        verdict=CommitVerdict.COMMITTED,
        appended=tuple(entry.id for entry, is_new in appends if is_new),
        repeated=tuple(entry.id for entry, is_new in appends if not is_new),
        leased=tuple(leased),
    )


def _queue_stats(queue: str, counts: Counter[tuple[str, str]], heads: Sequence[tuple[bytes, float]]) -> QueueStats:
    accepted, in_flight = counts[queue, "accepted"], counts[queue, "in_flight"]
    ends = {name: counts[queue, name] for name in ("done", "dead", "dropped")}
    return QueueStats(
        accepted=accepted,
        waiting=accepted - in_flight - sum(ends.values()),
        in_flight=in_flight,
        oldest_waiting_at=min(heads)[1] if heads else None,
        **ends,
    )


def _entry_of(columns: Sequence[Any]) -> Entry:
    entry_id, queue, lane, schema, created_at, body, kind, name, label = columns
    return Entry(
        id=entry_id.decode(),
        queue=queue.decode(),
        lane=lane.decode(),
        schema=int(schema),
        created_at=float(created_at),
        body=body,
        kind=kind.decode(),
        name=name.decode(),
        label=label.decode(),
    )


def _float(text: bytes | None) -> float | None:
    return None if text is None else float(text)
