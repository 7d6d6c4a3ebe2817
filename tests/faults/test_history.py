"""The check of a history finds each fault, and nothing else."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.store.records import DayCount, QueueStats
from kochava_bot_middleware.tracking.counting import Facts
from tests.faults.history import Finding, History, Step, StepKind, check_counts, check_day_counts

KINDS = {
    "began": StepKind.BEGAN,
    "late": StepKind.BEGAN_LATE,
    "taken": StepKind.TAKEN,
    "refused": StepKind.NOT_TAKEN,
    "unsure": StepKind.UNSURE,
    "settled": StepKind.SETTLED,
    "interrupted": StepKind.INTERRUPTED,
    "recovered": StepKind.RECOVERED,
}


def entry(label: str) -> AuditEntry:
    return AuditEntry(lane=label[0], label=label)


def history(script: str, promised: str = "a1 a2", given_up: str = "", uncertain: str = "") -> History:
    """Steps as ``sender kind label``, one after the other, separated by semicolons."""
    steps = []
    for line in filter(None, map(str.strip, script.split(";"))):
        sender, kind, *label = line.split()
        steps.append(Step(kind=KINDS[kind], sender=sender, entry=entry(label[0]) if label else None))
    return History(
        promised=[entry(label) for label in promised.split()],
        steps=steps,
        given_up={entry(label) for label in given_up.split()},
        uncertain={entry(label) for label in uncertain.split()},
    )


def found(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.promise, finding.entry.label if finding.entry else "") for finding in findings]


SENT_1 = "x began a1; x taken a1; x settled a1"
SENT_2 = "x began a2; x taken a2; x settled a2"


@pytest.mark.parametrize(
    "script",
    [
        f"{SENT_1}; {SENT_2}",
        f"x began a1; x refused a1; {SENT_1}; {SENT_2}",
        f"x began a1; x taken a1; x interrupted; y began a1; y taken a1; y settled a1; {SENT_2}",
        f"x began a1; x taken a1; x unsure a1; {SENT_1}; {SENT_2}",
        f"x began a1; x taken a1; * interrupted; {SENT_1}; {SENT_2}",
        f"x began a1; x interrupted; {SENT_1}; {SENT_2}",
        f"y interrupted; {SENT_1}; y late a1; y taken a1; {SENT_2}",
        f"* interrupted; x began a1; x taken a1; * recovered; y began a1; y taken a1; y settled a1; {SENT_2}",
        f"x began a1; x interrupted; x taken a1; y began a1; y taken a1; y settled a1; {SENT_2}",
    ],
    ids=[
        "plain",
        "refused",
        "killed after the answer",
        "no answer in time",
        "store lost",
        "killed before it left",
        "stopped before it left",
        "taken while the store was away",
        "killed on the way",
    ],
)
def test_a_good_history_has_no_findings(script: str) -> None:
    """A record may be repeated where no process could know that it was taken."""
    assert [] == history(script).findings()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (SENT_1, [("lost", "a2")]),
        (f"{SENT_1}; x began a2; x refused a2; x settled a2", [("lost", "a2")]),
        (f"{SENT_1}; {SENT_2}; x began a9; x taken a9", [("never promised", "a9")]),
        (f"{SENT_2}; {SENT_1}", [("out of order", "a1")]),
        (f"x began a1; x refused a1; {SENT_2}; {SENT_1}", [("overtaken", "a1")]),
        (f"{SENT_1}; {SENT_1}; {SENT_2}", [("sent after it was settled", "a1")]),
        (
            f"{SENT_1}; x interrupted; y began a1; y taken a1; {SENT_2}",
            [("sent after it was settled", "a1")],
        ),
        (f"x began a1; x taken a1; y began a1; y taken a1; {SENT_2}", [("doubled", "a1")]),
        (
            f"x began a1; x taken a1; y interrupted; y began a1; y taken a1; {SENT_2}",
            [("doubled", "a1")],
        ),
        (
            f"* interrupted; * recovered; x began a1; x taken a1; y began a1; y taken a1; {SENT_2}",
            [("doubled", "a1")],
        ),
        (f"x began a1; x taken a1; x taken a1; {SENT_2}", [("received more often than sent", "a1")]),
    ],
)
def test_a_fault_is_found(script: str, expected: list[tuple[str, str]]) -> None:
    """And no other."""
    assert expected == found(history(script).findings())


def test_lanes_do_not_order_each_other() -> None:
    """The order of different users' records does not matter."""
    script = "x began b1; x taken b1; x began a1; x refused a1; x began b2; x taken b2; x began a1; x taken a1"
    assert [] == history(script, promised="a1 b1 b2").findings()


def test_a_record_that_was_given_up_need_not_arrive_and_holds_up_no_other() -> None:
    """It is a dead letter with a reason."""
    assert [] == history(f"x began a1; x refused a1; x settled a1; {SENT_2}", given_up="a1").findings()


def test_a_record_of_an_unanswered_webhook_may_arrive() -> None:
    """The webhook was stored by a process that was killed before it answered."""
    assert [] == history(f"{SENT_1}; {SENT_2}; x began a3; x taken a3", uncertain="a3").findings()


def test_findings_are_shown_with_their_lane() -> None:
    """The message shows what happened before and after it."""
    described = history(f"{SENT_1}; x interrupted; y began a1")
    assert "sent after it was settled: a1 (a) by y" in described.describe(described.findings())
    assert "  x settled a1\n  x interrupted\n  y began to send a1" in described.describe(described.findings())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (QueueStats(accepted=4, done=2, dead=1, dropped=1), []),
        (QueueStats(accepted=4, done=3), ["counts add up"]),
        (QueueStats(accepted=5, done=5), ["counted once"]),
        (QueueStats(accepted=4, done=2, waiting=1, in_flight=1), ["all is settled"]),
    ],
)
def test_counts_are_checked(counts: QueueStats, expected: list[str]) -> None:
    """accepted = done + waiting + in flight + dead + dropped, and as many as expected."""
    assert expected == [finding.promise for finding in check_counts({"track": counts}, accepted={"track": 4})]


GREETED = [("greeting", "sent"), ("impression", "recorded"), ("impression", "done:0.5")]


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (GREETED, []),
        (GREETED[1:], ["greeting sent: 0, not 1"]),
        (GREETED[:2], ["impression done: 0, not 1"]),
        ([*GREETED, GREETED[2]], ["impression done: 2, not 1"]),
        ([*GREETED, ("click", "dead:refused")], ["click dead: 1, not 0"]),
    ],
)
def test_counters_by_day_are_checked(counted: list[tuple[str, str]], expected: list[str]) -> None:
    """As many of each kind and outcome as the store has, and as many greetings as impressions."""
    counts = [DayCount(1, Facts("1001", "messenger", kind).to_text(), what) for kind, what in counted]
    findings = check_day_counts(counts, {"ping": QueueStats(accepted=1, done=1)})
    assert expected == [finding.detail for finding in findings]
