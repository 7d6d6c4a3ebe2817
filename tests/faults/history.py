"""
The history of a fault run, and the check whether the promises were kept.

Promises and arrivals are what the two platforms saw. What the processes report decides one thing only: whether a record
that arrived twice was allowed to.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from kochava_bot_middleware.kochava.records import Click, Engagement, Impression
from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.store.records import DayCount, Queue, QueueStats
from kochava_bot_middleware.tracking.counting import Facts

_SHOWN = 12
"""How many findings, and how many steps of a lane, are shown."""

_KINDS = {Queue.TRACK: Engagement.kind, Queue.PING: Impression.kind, Queue.CLICK: Click.kind}

EVERYBODY = "*"
"""The sender of an interruption of all processes."""


class StepKind(enum.Enum):
    """What a step of a history is."""

    BEGAN = "began to send"
    BEGAN_LATE = "began to send, late"
    """The sender was paused between its last check of the lease and the request, which it cannot prevent."""

    TAKEN = "taken"
    """It arrived, and Kochava counted it; the sender was answered."""

    NOT_TAKEN = "not taken"
    """It arrived, and was refused, deferred, or never answered."""

    UNSURE = "unsure"
    """The sender could not know whether it was taken."""

    SETTLED = "settled"
    """The settlement is committed: it must not be sent again."""

    INTERRUPTED = "interrupted"
    """
    The sender was killed or paused: what it had not settled by then is unknown. For `EVERYBODY`, this lasts until
    `RECOVERED`, since the store is unavailable or leases are wrong.
    """

    RECOVERED = "recovered"


@attrs.frozen(kw_only=True)
class Step:
    """
    Something that happened.

    Attributes:
        kind: What.
        sender: The name of a process, or `EVERYBODY`.
        entry: Which record; ``None`` for `INTERRUPTED` and `RECOVERED`.
        note: Shown in messages.
    """

    kind: StepKind
    sender: str
    entry: AuditEntry | None = None
    note: str = ""

    def __str__(self) -> str:
        label = "" if self.entry is None else f" {self.entry.label}"
        return f"{self.sender} {self.kind.value}{label} {self.note}".rstrip()


@attrs.frozen(kw_only=True)
class Finding:
    """
    A broken promise.

    Attributes:
        promise: Which one.
        entry: The record; ``None`` when it concerns the counts.
        detail: What happened to it.
    """

    promise: str
    entry: AuditEntry | None = None
    detail: str = ""

    def __str__(self) -> str:
        where = "" if self.entry is None else f"{self.entry.label} ({self.entry.lane}) "
        return f"{self.promise}: {where}{self.detail}".rstrip()


@attrs.frozen(kw_only=True)
class History:
    """
    One run.

    Attributes:
        promised: What Kochava must receive, in order within each lane.
        steps: What happened, in order.
        given_up: Records that ended as dead or dropped, with a reason, so that they need not have arrived.
        uncertain: Records that may have arrived or not: of webhooks that were never answered.
    """

    promised: Sequence[AuditEntry]
    steps: Sequence[Step]
    given_up: Collection[AuditEntry] = ()
    uncertain: Collection[AuditEntry] = ()

    def findings(self) -> list[Finding]:
        """All broken promises."""
        return [*self._lost(), *self._unpromised(), *self._disordered(), *self._doubled()]

    def describe(self, findings: Sequence[Finding]) -> str:
        """The findings, and the history of the lane of the first."""
        lines = [str(finding) for finding in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"… and {len(findings) - _SHOWN} more")
        concerned = next((finding.entry for finding in findings if finding.entry is not None), None)
        if concerned is not None:
            lines.append(f"the lane {concerned.lane}:")
            lines.extend(f"  {step}" for step in self._around(concerned))
        return "\n".join(lines)

    def _around(self, entry: AuditEntry) -> list[Step]:
        lane = [step for step in self.steps if step.entry is not None and step.entry.lane == entry.lane]
        senders = {step.sender for step in lane} | {EVERYBODY}
        shown = [
            step
            for step in self.steps
            if (step.entry.lane == entry.lane if step.entry is not None else step.sender in senders)
        ]
        place = next((index for index, step in enumerate(shown) if step.entry == entry), 0)
        return shown[max(0, place - _SHOWN) : place + 2 * _SHOWN]

    def _lost(self) -> Iterator[Finding]:
        taken = {step.entry for step in self.steps if step.kind is StepKind.TAKEN}
        for entry in self.promised:
            if entry not in taken and entry not in self.given_up:
                yield Finding(promise="lost", entry=entry)

    def _unpromised(self) -> Iterator[Finding]:
        known = {*self.promised, *self.uncertain}
        arrived = dict.fromkeys(step.entry for step in self._arrivals() if step.entry not in known)
        yield from (Finding(promise="never promised", entry=entry) for entry in arrived)

    def _arrivals(self) -> Iterator[Step]:
        return (step for step in self.steps if step.kind in (StepKind.TAKEN, StepKind.NOT_TAKEN))

    def _disordered(self) -> Iterator[Finding]:
        """First sends must come in order, and none before its predecessor was taken or given up."""
        place = {entry: number for number, entry in enumerate(self.promised)}
        furthest: dict[str, AuditEntry] = {}
        taken: set[AuditEntry] = set()
        seen: set[AuditEntry] = set()
        for step in self._arrivals():
            entry = step.entry
            if entry is None or entry not in place:
                continue
            if entry not in seen:
                seen.add(entry)
                ahead = furthest.get(entry.lane)
                if ahead is not None and place[entry] < place[ahead]:
                    yield Finding(promise="out of order", entry=entry, detail=f"first sent after {ahead.label}")
                    continue
                if ahead is not None and ahead not in taken and ahead not in self.given_up:
                    yield Finding(promise="overtaken", entry=ahead, detail=f"by {entry.label} before it was taken")
                furthest[entry.lane] = entry
            if step.kind is StepKind.TAKEN:
                taken.add(entry)

    def _doubled(self) -> Iterator[Finding]:
        """A record may be sent again only if no process could know that it had been taken."""
        begun: Counter[AuditEntry] = Counter()
        arrived: Counter[AuditEntry] = Counter()
        trying: defaultdict[AuditEntry, set[str]] = defaultdict(set)
        certain: defaultdict[AuditEntry, set[str]] = defaultdict(set)
        settled: set[AuditEntry] = set()
        is_normal = True
        for step in self.steps:
            entry = step.entry
            if entry is None:
                is_normal = step.kind is StepKind.RECOVERED or (is_normal and step.sender != EVERYBODY)
                _forget(step.sender, trying, certain)
                continue
            match step.kind:
                case StepKind.BEGAN_LATE:
                    begun[entry] += 1
                case StepKind.BEGAN:
                    begun[entry] += 1
                    if entry in settled:
                        yield Finding(promise="sent after it was settled", entry=entry, detail=f"by {step.sender}")
                    elif certain[entry]:
                        who = ", ".join(sorted(certain[entry]))
                        detail = f"by {step.sender}, though {who} knew that it was taken"
                        yield Finding(promise="doubled", entry=entry, detail=detail)
                    trying[entry].add(step.sender)
                case StepKind.TAKEN | StepKind.NOT_TAKEN:
                    arrived[entry] += 1
                    if arrived[entry] > begun[entry]:
                        detail = f"received {arrived[entry]} times, sent {begun[entry]} times"
                        yield Finding(promise="received more often than sent", entry=entry, detail=detail)
                    # What a killed process had sent may arrive after the kill.
                    if is_normal and step.kind is StepKind.TAKEN and step.sender in trying[entry]:
                        certain[entry].add(step.sender)
                case StepKind.UNSURE:
                    trying[entry].discard(step.sender)
                    certain[entry].discard(step.sender)
                case StepKind.SETTLED:
                    settled.add(entry)


def _forget(sender: str, *attempts: Mapping[AuditEntry, set[str]]) -> None:
    """What *sender* had under way is unknown."""
    for senders in (senders for by_entry in attempts for senders in by_entry.values()):
        if sender == EVERYBODY:
            senders.clear()
        else:
            senders.discard(sender)


def check_counts(stats: Mapping[str, QueueStats], *, accepted: Mapping[str, int]) -> list[Finding]:
    """
    Check that the store's counts add up, nothing is left, and as much was accepted as expected.

    Args:
        stats: By queue, when all is delivered.
        accepted: How many entries each queue must have accepted, counted independently.
    """
    findings = []
    for queue in sorted({*stats, *accepted}):
        counts = stats.get(queue, QueueStats())
        total = counts.waiting + counts.in_flight + counts.done + counts.dead + counts.dropped
        if total != counts.accepted:
            findings.append(Finding(promise="counts add up", detail=f"{queue}: {counts}"))
        if queue in accepted and counts.accepted != accepted[queue]:
            detail = f"{queue}: {counts.accepted} accepted, {accepted[queue]} expected"
            findings.append(Finding(promise="counted once", detail=detail))
        if queue in accepted and counts.waiting + counts.in_flight:
            findings.append(Finding(promise="all is settled", detail=f"{queue}: {counts}"))
    return findings


def check_day_counts(counts: Iterable[DayCount], stats: Mapping[str, QueueStats]) -> list[Finding]:
    """
    Check that the counters by day add up to the store's counts, and that each greeting that was sent is counted once.

    Args:
        counts: Of all days.
        stats: By queue; a greeting that was sent is an impression.
    """
    counted: Counter[tuple[str, str]] = Counter()
    for each in counts:
        facts = Facts.from_text(each.facts)
        counted["" if facts is None else facts.kind, each.what.partition(":")[0]] += each.count
    expected: Counter[tuple[str, str]] = Counter()
    for queue, kind in _KINDS.items():
        totals = stats.get(queue, QueueStats())
        expected[kind, "recorded"] = totals.accepted
        for what in ("done", "dead", "dropped"):
            expected[kind, what] = getattr(totals, what)
    expected["greeting", "sent"] = expected[Impression.kind, "recorded"]
    return [
        Finding(promise="counted by day", detail=f"{kind} {what}: {counted[kind, what]}, not {expected[kind, what]}")
        for kind, what in sorted(counted.keys() | expected.keys())
        if counted[kind, what] != expected[kind, what]
    ]
