"""
Which slot of a cluster a thing is in.

A person's entries and marks belong together, so what decides is the last part of a lane's name or of a mark's key, what
follows the last slash or colon: of the lanes ``page/ann`` and ``app/ann`` and of the mark ``funnel:app:ann`` it is
``ann``.

With one shard, which is the default, everything is in one slot, and each unit is one transaction whatever it touches.
With more, so is each unit about one person whose marks are all named after them. An id is looked for in the shard of
its lane only. A unit over several people, or with a mark that is not named after one, is split, as below. So is each
event that is recorded, since the mark that tells whether its person opted out is named after a keyed hash.

1. In each shard its claims and conditions are checked. If one fails, nothing is written.
2. Each shard's part is written in one transaction: first the parts that settle nothing, then the others.

If the process dies in between, the claims are not settled yet, so the work is done again and writes the same ids, which
count once. If somebody else's unit comes in between, the answer is the refusal, and what was written of the unit before
stays: the caller plans anew and its appends are told as repeated.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import attrs

from ..records import Condition, Unit


def shard_of(name: str, shards: int) -> int:
    """The shard of a lane or of a mark's key."""
    if shards == 1:
        return 0
    person = name[max(name.rfind("/"), name.rfind(":")) + 1 :]
    return zlib.crc32(person.encode()) % shards


def meta_key(prefix: str, shard: int) -> str:
    """The key whose hash tag all keys of the shard have."""
    return f"{{{prefix}:{shard}}}:meta"


@attrs.frozen(kw_only=True)
class Part:
    """What of a unit is in one shard."""

    shard: int
    unit: Unit

    @property
    def can_be_refused(self) -> bool:
        return bool(self.unit.settlements) or any(mark.condition is not Condition.ALWAYS for mark in self.unit.marks)


def split(unit: Unit, shards: int) -> list[Part]:
    """The parts of *unit* in the order to write them: those that settle something come last."""
    if shards == 1:
        return [Part(shard=0, unit=unit)]
    names = dict.fromkeys(shard_of(name, shards) for name in _names(unit))
    if len(names) <= 1:
        return [Part(shard=next(iter(names), 0), unit=unit)]
    parts = [
        Part(
            shard=shard,
            unit=Unit(
                appends=[each for each in unit.appends if shard_of(each.lane, shards) == shard],
                settlements=[each for each in unit.settlements if shard_of(each.claim.entry.lane, shards) == shard],
                marks=[each for each in unit.marks if shard_of(each.key, shards) == shard],
                lease=unit.lease,
            ),
        )
        for shard in names
    ]
    return sorted(parts, key=lambda part: bool(part.unit.settlements))


def _names(unit: Unit) -> Iterator[str]:
    for settlement in unit.settlements:
        yield settlement.claim.entry.lane
    for entry in unit.appends:
        yield entry.lane
    for mark in unit.marks:
        yield mark.key
