"""
The count at the end: what Messenger was promised against what Kochava got.

Pure, and ignorant of who made the entries: the demo and the kill tests bring both sides down to `LedgerEntry` by
themselves, with a label that tells one happening from another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import attrs


@attrs.frozen(kw_only=True, order=True)
class LedgerEntry:
    """
    One happening that must reach Kochava once.

    Attributes:
        lane: Within it, order counts: usually app and user.
        label: What happened. Equal labels in one lane are counted: two promised, two must come.
    """

    lane: str
    label: str


@attrs.frozen(kw_only=True)
class OutOfOrder:
    """
    An entry that came after one it should have come before.

    Attributes:
        late: The entry that came too late.
        overtaken_by: The entry that came before it, though promised after it.
    """

    late: LedgerEntry
    overtaken_by: LedgerEntry


@attrs.frozen(kw_only=True)
class Balance:
    """
    The difference of the two sides; all empty when the books are right.

    Attributes:
        promised: How many entries were promised.
        received: How many came.
        missing: Promised, but not come; one for each time it is missing.
        doubled: Come more often than promised; one for each time too many.
        unexpected: Come, but never promised at all.
        out_of_order: Come in another order than promised, within a lane.
    """

    promised: int
    received: int
    missing: tuple[LedgerEntry, ...] = ()
    doubled: tuple[LedgerEntry, ...] = ()
    unexpected: tuple[LedgerEntry, ...] = ()
    out_of_order: tuple[OutOfOrder, ...] = ()

    @property
    def nothing_lost(self) -> bool:
        """Whether everything promised came at least once."""
        return not self.missing

    @property
    def exact(self) -> bool:
        """Whether everything came once, in order, and nothing else."""
        return not (self.missing or self.doubled or self.unexpected or self.out_of_order)


def balance(
    promised: Sequence[LedgerEntry], received: Sequence[LedgerEntry], *, uncertain: Iterable[LedgerEntry] = ()
) -> Balance:
    """
    Compare both sides.

    Args:
        promised: In the order in which they must come, within each lane.
        received: In the order in which they came.
        uncertain: Entries that may come or not, such as of webhooks that were never answered. They are neither missing
            nor unexpected, and their order is not looked at.
    """
    wanted, came, allowed = Counter(promised), Counter(received), Counter(uncertain)
    missing = wanted - came
    extra = came - wanted - allowed
    known = set(wanted) | set(allowed)
    return Balance(
        promised=len(promised),
        received=len(received),
        missing=tuple(sorted(missing.elements())),
        doubled=tuple(sorted(entry for entry in extra.elements() if entry in known)),
        unexpected=tuple(sorted(entry for entry in extra.elements() if entry not in known)),
        out_of_order=tuple(_out_of_order(promised, received)),
    )


def _out_of_order(promised: Sequence[LedgerEntry], received: Sequence[LedgerEntry]) -> list[OutOfOrder]:
    wanted, came = _by_lane(promised), _by_lane(received)
    found = []
    for lane in came:
        overtakings = _overtakings(wanted[lane], came[lane])
        if overtakings and not _has_an_order(wanted[lane], came[lane]):
            found.extend(overtakings)
    return found


def _by_lane(entries: Iterable[LedgerEntry]) -> defaultdict[str, list[LedgerEntry]]:
    lanes: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        lanes[entry.lane].append(entry)
    return lanes


def _overtakings(promised: Sequence[LedgerEntry], received: Sequence[LedgerEntry]) -> list[OutOfOrder]:
    """What is out of order if the n-th arrival of an entry is taken for the n-th that was promised."""
    places: defaultdict[LedgerEntry, list[int]] = defaultdict(list)
    for place, entry in enumerate(promised):
        places[entry].append(place)
    furthest: tuple[int, LedgerEntry] | None = None
    found = []
    seen: Counter[LedgerEntry] = Counter()
    for entry in received:
        occurrence = seen[entry]
        seen[entry] += 1
        if occurrence >= len(places[entry]):
            continue
        place = places[entry][occurrence]
        if furthest is not None and place < furthest[0]:
            found.append(OutOfOrder(late=entry, overtaken_by=furthest[1]))
        else:
            furthest = (place, entry)
    return found


def _has_an_order(promised: Sequence[LedgerEntry], received: Sequence[LedgerEntry]) -> bool:
    """
    Whether the arrivals can be matched with the promises, one to one and in order.

    Where an entry was promised several times, a missing or repeated arrival may be any of them. There is such a match
    if the longest common subsequence is as long as both sides have entries in common.
    """
    lengths = [0] * (len(promised) + 1)
    for entry in received:
        diagonal = 0
        for place, wanted in enumerate(promised, start=1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if entry == wanted else max(above, lengths[place - 1])
            diagonal = above
    return lengths[-1] == (Counter(promised) & Counter(received)).total()
