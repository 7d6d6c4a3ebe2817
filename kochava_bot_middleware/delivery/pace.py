"""The circuits of one worker, and how much it is worth claiming."""

from __future__ import annotations

import random
from collections.abc import Iterable

from ..kochava.destination import Destinations
from ..store.records import Queue
from .circuit import Circuit, Target
from .settings import DeliverySettings

QUEUES = (Queue.TRACK, Queue.PING)
"""What is delivered."""


class Pace:
    """
    Keeps a `Circuit` for every target that was met.

    Args:
        known: Targets that the settings name. While each of them is left alone, nothing is claimed.
    """

    def __init__(self, settings: DeliverySettings, *, known: Iterable[Target], rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._circuits: dict[Target, Circuit] = {}
        known = tuple(known)
        self._several = {target.queue for target in known if sum(other.queue == target.queue for other in known) > 1}
        for target in known:
            self.circuit(target)

    def circuit(self, target: Target) -> Circuit:
        """The one of *target*."""
        found = self._circuits.get(target)
        if found is None:
            concurrency = self._settings.concurrency
            # A slow destination must not take every place from the others.
            limit = max(1, concurrency * 3 // 4) if target.queue in self._several else concurrency
            found = self._circuits[target] = Circuit(self._settings, limit=limit, rng=self._rng)
        return found

    def circuits(self) -> dict[Target, Circuit]:
        """All of them, for a person to look at."""
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
        for queue in QUEUES
        for host in destination.hosts(queue)
    }
