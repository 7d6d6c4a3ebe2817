"""
Whether a destination may be sent to now, a state machine over injected time, and how much it is worth claiming.

::

    CLOSED ──many users' records fail, or 401/403, or 429──▶ OPEN ──time──▶ PROBING ──served──▶ CLOSED (slow start)
                                                              ▲                │
                                                              └────failed──────┘
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable

import attrs

from ..kochava.destination import Destinations
from ..store.records import OUTBOX
from .settings import DeliverySettings

BUSY_SECONDS = 1.0
"""When to ask again if a probe, or as many requests as allowed, are under way."""


class CircuitState(enum.StrEnum):
    """Of one destination."""

    CLOSED = "closed"
    """It is served."""

    OPEN = "open"
    """It is left alone."""

    PROBING = "probing"
    """One request finds out whether it works again."""


class Cause(enum.StrEnum):
    """Why a destination is left alone."""

    DOWN = "down"
    REFUSED = "credentials refused"
    TOO_FAST = "too many requests"


@attrs.frozen(kw_only=True)
class Target:
    """
    What is up or down by itself: one host, for one app and one queue.

    The queue is part of it so that a broken impression URL never holds back a purchase, the app so that one app's
    bad credentials never stop another.
    """

    host: str
    app_id: str
    queue: str


class Circuit:
    """
    Of one `Target`. All times are monotonic seconds.

    Args:
        limit: Most requests under way at once.
        rng: For the jitter of probes, so that many workers do not probe together.
    """

    def __init__(self, settings: DeliverySettings, *, limit: int, rng: random.Random) -> None:
        self._settings = settings
        self._limit = limit
        self._rng = rng
        self._under_way = 0
        self._failed: set[str] = set()
        self._openings = 0
        self._reopened_at: float | None = None
        self._tokens = 1.0
        self._counted_at: float | None = None
        self.state = CircuitState.CLOSED
        self.cause = Cause.DOWN
        self.until = 0.0
        """While it is open: when it will be probed."""
        self.served_at: float | None = None
        """When it last served any record; ``None``: never yet."""

    def admit(self, now: float) -> float | None:
        """
        Ask to send one request; follow it by exactly one of the methods below.

        Returns:
            ``None`` when it may go, else when to ask again.
        """
        if self.state is CircuitState.OPEN:
            if now < self.until:
                return self.until
            if self._under_way:
                return now + BUSY_SECONDS
            self.state = CircuitState.PROBING
        elif self.state is CircuitState.PROBING or self._under_way >= self._limit:
            return now + BUSY_SECONDS
        else:
            wait = self._token_wait(now)
            if wait > 0:
                return now + wait
            self._tokens -= 1
        self._under_way += 1
        return None

    @property
    def is_down(self) -> bool:
        """Whether it is left alone or probed."""
        return self.state is not CircuitState.CLOSED

    def room(self, now: float) -> int:
        """How many requests `admit` would let go now."""
        if self.state is CircuitState.OPEN:
            return 1 if now >= self.until and not self._under_way else 0
        if self.state is CircuitState.PROBING:
            return 0
        room = self._limit - self._under_way
        return room if self.free(now) else min(room, int(self._refill(now)))

    def room_at(self, now: float) -> float:
        """When to look for room again."""
        if self.state is CircuitState.OPEN and now < self.until:
            return self.until
        if self.state is CircuitState.CLOSED and not self.free(now):
            return now + max(self._token_wait(now), 0.05)
        return now + BUSY_SECONDS

    def free(self, now: float) -> bool:
        """Whether it is served without any limit of rate."""
        return self.state is CircuitState.CLOSED and self._rate(now) is None

    def succeeded(self, now: float) -> bool:
        """
        A request was answered, and the answer says that the destination works.

        Returns:
            Whether this ended an outage.
        """
        self._under_way -= 1
        self.served_at = now
        if self.state is CircuitState.OPEN:
            # It left before the outage began, and proves nothing about now.
            return False
        self._failed.clear()
        if self.state is CircuitState.CLOSED:
            if self._openings and self._rate(now) in (None, self._settings.rate_per_second):
                self._openings = 0
            return False
        self.state = CircuitState.CLOSED
        if self._settings.ramp_seconds > 0:
            self._reopened_at = now
            self._tokens, self._counted_at = 1.0, now
        return True

    def failed(self, now: float, *, lane: str, began: float, floor_seconds: float = 0.0) -> bool:
        """
        A request was not served.

        Args:
            lane: Whose record it was. One record that always fails does not prove the destination to be down.
            began: When it began. If another record was served since then, it proves nothing either.
            floor_seconds: Least time to leave it alone, should it be opened by this.

        Returns:
            Whether this began an outage.
        """
        self._under_way -= 1
        if self.state is CircuitState.CLOSED:
            if self.served_at is None or self.served_at <= began:
                self._failed.add(lane)
            if len(self._failed) < self._failures_to_open(now):
                return False
        return self._open(now, Cause.DOWN, floor_seconds)

    def slowed(self, now: float, *, floor_seconds: float = 0.0) -> bool:
        """It asked for fewer requests. Returns as `failed` does."""
        self._under_way -= 1
        return self._open(now, Cause.TOO_FAST, floor_seconds)

    def refused(self, now: float) -> bool:
        """It did not accept the credentials. Returns as `failed` does."""
        self._under_way -= 1
        return self._open(now, Cause.REFUSED, 0.0)

    def abandoned(self, now: float) -> None:
        """The request was not made after all, or nothing is known of it."""
        self._under_way -= 1
        if self.state is CircuitState.PROBING:
            self.state = CircuitState.OPEN
            self.until = now

    def _failures_to_open(self, now: float) -> int:
        if self._reopened_at is None or now - self._reopened_at > self._settings.ramp_seconds:
            return self._settings.failures_to_open
        return min(2, self._settings.failures_to_open)

    def _open(self, now: float, cause: Cause, floor_seconds: float) -> bool:
        if self.state is CircuitState.OPEN:
            self.until = max(self.until, now + floor_seconds)
            return False
        began = self.state is CircuitState.CLOSED
        waits = self._settings.refused_waits_seconds if cause is Cause.REFUSED else self._settings.probe_waits_seconds
        wait = waits[min(self._openings, len(waits) - 1)]
        self._openings += 1
        self._failed.clear()
        self.state = CircuitState.OPEN
        self.cause = cause
        self.until = now + max(floor_seconds, wait * self._rng.uniform(0.5, 1.0))
        return began

    def _rate(self, now: float) -> float | None:
        """Requests a second that are allowed now; ``None`` for any number."""
        rate = self._settings.rate_per_second
        if self._reopened_at is None:
            return rate
        age = now - self._reopened_at
        if age >= self._settings.ramp_seconds:
            self._reopened_at = None
            return rate
        ramp = float(self._settings.ramp_start_per_second * 2.0 ** min(age, 60.0))
        return ramp if rate is None else min(ramp, rate)

    def _refill(self, now: float) -> float:
        rate = self._rate(now)
        if rate is not None:
            since = now - self._counted_at if self._counted_at is not None else 0.0
            self._tokens = min(self._tokens + since * rate, max(1.0, rate / 10))
            self._counted_at = now
        return self._tokens

    def _token_wait(self, now: float) -> float:
        rate = self._rate(now)
        if rate is None:
            self._tokens = 1.0
            return 0.0
        tokens = self._refill(now)
        return 0.0 if tokens >= 1.0 else (1.0 - tokens) / rate


class Circuits:
    """
    The circuits of one worker: one for every target that was met.

    Args:
        known: Targets that the settings name. While each of them is left alone, nothing is claimed.
    """

    def __init__(self, settings: DeliverySettings, *, known: Iterable[Target], rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._circuits: dict[Target, Circuit] = {}
        for target in known:
            self.circuit(target)

    def circuit(self, target: Target) -> Circuit:
        """The circuit of *target*."""
        found = self._circuits.get(target)
        if found is None:
            found = self._circuits[target] = Circuit(self._settings, limit=self._settings.concurrency, rng=self._rng)
        return found

    def all(self) -> dict[Target, Circuit]:
        """Each of them, by target."""
        return dict(self._circuits)

    def room(self, queue: str, now: float, most: int) -> tuple[int, float]:
        """
        How many records of *queue* are worth claiming: *most*, unless all its destinations are held back. And in how
        many seconds there may be room again.
        """
        circuits = [circuit for target, circuit in self._circuits.items() if target.queue == queue]
        if not circuits or any(circuit.free(now) for circuit in circuits):
            return most, 0.0
        room = min(most, sum(circuit.room(now) for circuit in circuits))
        return room, min(circuit.room_at(now) for circuit in circuits) - now


def targets_of(destinations: Destinations) -> set[Target]:
    """Where records for *destinations* are sent to."""
    return {
        Target(host=host, app_id=destination.app_id, queue=queue)
        for destination in destinations
        for queue in OUTBOX
        for host in destination.hosts(queue)
    }
