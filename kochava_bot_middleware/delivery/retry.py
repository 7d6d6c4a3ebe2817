"""When to try again, and when to give up. Pure: age, tries and randomness are arguments."""

from __future__ import annotations

import random
from collections import OrderedDict

import attrs

from ..kochava.verdict import DeliveryResult, Verdict
from ..store.records import Outcome
from .settings import DeliverySettings

TOO_OLD = "too old"
"""Reason of a record that reached its greatest age."""

PERHAPS_DELIVERED = "perhaps delivered"
"""Reason of a record whose outcome is unknown, and that must not be sent twice."""


@attrs.frozen(kw_only=True)
class Decision:
    """
    What becomes of a record after an attempt.

    Attributes:
        outcome: It is delivered, given up, or tried again.
        reason: Why it is given up: one constant phrase.
        seconds: In how long it is tried again.
    """

    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@attrs.define(kw_only=True)
class Attempts:
    """
    What this worker knows of a record's attempts.

    Attributes:
        tries: Requests made for it. Claims that sent nothing are not counted.
        faults_while_serving: Tries that got a server error or no answer, or were refused, although the destination
            had served other records since the try before.
        last_at: Monotonic time of the last one.
    """

    tries: int = 0
    faults_while_serving: int = 0
    last_at: float = float("-inf")


def decide(
    verdict: Verdict,
    *,
    history: Attempts,
    age_seconds: float,
    max_age_seconds: float,
    settings: DeliverySettings,
    rng: random.Random,
    event_name: str = "",
) -> Decision:
    """
    What follows from the judgement on one attempt.

    Args:
        history: Of the record, this attempt included.
        age_seconds: Since the record was made.
        max_age_seconds: At which a failed record of this kind is given up.
        rng: For the jitter.
        event_name: For `DeliverySettings.on_ambiguous`.
    """
    if verdict.result is DeliveryResult.DELIVERED:
        return Decision(outcome=Outcome.DONE)
    if verdict.result is DeliveryResult.REJECTED:
        return _dead(verdict.reason)
    if history.faults_while_serving >= settings.head_tries:
        return _dead("fails while others are served")
    if verdict.result is DeliveryResult.REFUSED:
        return Decision(outcome=Outcome.RETRY, seconds=wait_seconds(history.tries, settings, rng))
    if verdict.ambiguous and settings.gives_up_unknown(event_name):
        return _dead(PERHAPS_DELIVERED)
    if age_seconds >= max_age_seconds:
        return _dead(TOO_OLD)
    return Decision(outcome=Outcome.RETRY, seconds=verdict.floor_seconds + wait_seconds(history.tries, settings, rng))


def _dead(reason: str) -> Decision:
    return Decision(outcome=Outcome.DEAD, reason=reason)


def wait_seconds(tries: int, settings: DeliverySettings, rng: random.Random) -> float:
    """Full jitter: anything from 0 to the bound for this number of tries."""
    waits = settings.retry_waits_seconds
    return rng.uniform(0.0, waits[min(tries, len(waits)) - 1])


def longest_wait_seconds(settings: DeliverySettings) -> float:
    """The longest that a record waits for any reason in the settings, a lease included."""
    spacing = 0.0 if settings.rate_per_second is None else 1.0 / settings.rate_per_second
    probe = max(*settings.probe_waits_seconds, *settings.refused_waits_seconds, spacing)
    return max(
        1.0 + max(settings.retry_waits_seconds),
        # A record that is not the probe waits up to half as long again, and two seconds, so that the probe comes first.
        2.0 + 1.5 * probe,
        settings.unknown_wait_seconds,
        settings.lease,
    )


class Histories:
    """
    Attempts of the records that wait for another one, in bounded memory.

    The store counts claims, of which many send nothing while a destination is down. What is forgotten here, by a
    restart or by the bound, only makes the next wait shorter and the end of a hopeless record later.
    """

    def __init__(self, *, bound: int = 20_000) -> None:
        self._bound = bound
        self._tried: OrderedDict[str, Attempts] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tried)

    def note(self, entry_id: str, verdict: Verdict, *, now: float, served_at: float | None) -> Attempts:
        """
        Count one attempt, at *now* in monotonic seconds, and return those of a record that is not ended by it.

        Args:
            served_at: When the destination last served any record, on the same clock; ``None``: never yet.
        """
        if verdict.result in (DeliveryResult.DELIVERED, DeliveryResult.REJECTED):
            self.forget(entry_id)
            return Attempts()
        tried = self._tried.setdefault(entry_id, Attempts())
        serving = served_at is not None and served_at >= tried.last_at
        if serving and (verdict.server_error or verdict.ambiguous or verdict.result is DeliveryResult.REFUSED):
            tried.faults_while_serving += 1
        tried.tries += 1
        tried.last_at = now
        self._tried.move_to_end(entry_id)
        while len(self._tried) > self._bound:
            self._tried.popitem(last=False)
        return tried

    def forget(self, entry_id: str) -> None:
        """The record has ended."""
        self._tried.pop(entry_id, None)
