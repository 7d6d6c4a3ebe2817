"""When to try again, and when to give up. Pure: age, tries and randomness are arguments."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import TypeAlias

import attrs

from ..kochava.verdict import DeliveryResult, Verdict
from .settings import DeliverySettings

TOO_OLD = "too old"
"""Reason of a record that reached its greatest age."""


@attrs.frozen(kw_only=True)
class Done:
    """It is delivered."""


@attrs.frozen(kw_only=True)
class Dead:
    """
    It is given up.

    Attributes:
        reason: One constant phrase.
    """

    reason: str


@attrs.frozen(kw_only=True)
class RetryAfter:
    """
    It is tried again.

    Attributes:
        seconds: From now.
    """

    seconds: float


Decision: TypeAlias = Done | Dead | RetryAfter


@attrs.frozen(kw_only=True)
class Attempts:
    """
    What this worker knows of a record's earlier attempts.

    Attributes:
        tries: Requests made for it, the last one included. Claims that sent nothing are not counted.
        faults_while_serving: Tries that got a server error, or were refused, although the destination had served
            other records since the try before.
    """

    tries: int = 1
    faults_while_serving: int = 0


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
        return Done()
    if verdict.result is DeliveryResult.REJECTED:
        return Dead(reason=verdict.reason)
    if history.faults_while_serving >= settings.head_tries:
        return Dead(reason="fails while others are served")
    if verdict.result is DeliveryResult.REFUSED:
        return RetryAfter(seconds=wait_seconds(history.tries, settings, rng))
    ambiguous = settings.on_ambiguous.get(event_name, settings.on_ambiguous_default)
    if verdict.ambiguous and ambiguous == "dead":
        return Dead(reason="perhaps delivered")
    if age_seconds >= max_age_seconds:
        return Dead(reason=TOO_OLD)
    return RetryAfter(seconds=verdict.floor_seconds + wait_seconds(history.tries, settings, rng))


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
        settings.lease_seconds,
    )


@attrs.define
class _Tried:
    tries: int = 0
    faults_while_serving: int = 0
    last_at: float = float("-inf")


class Histories:
    """
    Attempts of the records that wait for another one, in bounded memory.

    The store counts claims, of which many send nothing while a destination is down. What is forgotten here, by a
    restart or by the bound, only makes the next wait shorter and the end of a hopeless record later.
    """

    def __init__(self, *, bound: int = 20_000) -> None:
        self._bound = bound
        self._tried: OrderedDict[str, _Tried] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tried)

    def note(self, entry_id: str, verdict: Verdict, *, now: float, served_at: float | None) -> Attempts:
        """
        Count one attempt.

        Args:
            now: Monotonic seconds.
            served_at: When the destination last served any record, on the same clock; ``None``: never yet.
        """
        if verdict.result in (DeliveryResult.DELIVERED, DeliveryResult.REJECTED):
            return self.forget(entry_id)
        tried = self._tried.setdefault(entry_id, _Tried())
        serving = served_at is not None and served_at >= tried.last_at
        if serving and (verdict.server_error or verdict.result is DeliveryResult.REFUSED):
            tried.faults_while_serving += 1
        tried.tries += 1
        tried.last_at = now
        self._tried.move_to_end(entry_id)
        while len(self._tried) > self._bound:
            self._tried.popitem(last=False)
        return Attempts(tries=tried.tries, faults_while_serving=tried.faults_while_serving)

    def forget(self, entry_id: str) -> Attempts:
        """The record has ended; gives what was known of it, with one more try."""
        tried = self._tried.pop(entry_id, None) if self._tried else None
        if tried is None:
            return Attempts()
        return Attempts(tries=tried.tries + 1, faults_while_serving=tried.faults_while_serving)
