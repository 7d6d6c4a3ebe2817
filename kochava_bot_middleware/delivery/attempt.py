"""One claim, from the stored bytes to its settlement: read, ask, send, judge, decide."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from ..clock import Clock
from ..incidents import Incidents
from ..kochava.client import RequestSender
from ..kochava.destination import Destination, Destinations
from ..kochava.records import SCHEMA, Engagement, Ping, Record, UnknownRecord, UnreadableRecord, decode
from ..kochava.verdict import DeliveryResult, Verdict, judge
from ..kochava.wire import build_request
from ..store.contract import Store
from ..store.records import Claim, Entry, Outcome, Settlement
from .circuit import Cause, Circuit, CircuitState, Target
from .horizon import Horizon
from .leases import Held, Leases, Owned
from .pace import Pace
from .retry import TOO_OLD, Dead, Done, Histories, RetryAfter, decide, wait_seconds
from .settings import DeliverySettings
from .store_clock import StoreClock

Gate = Callable[[Record], Awaitable[str | None]]
"""Asked before each request. A text is the reason why the record must not be sent; it is dropped then."""


@attrs.frozen(kw_only=True)
class Settled:
    """
    What became of one claim.

    Attributes:
        settlement: As committed to the store.
        record: ``None`` when the bytes could not be read.
        verdict: On Kochava's answer; ``None`` when nothing was sent.
        seconds: How long the request took; 0 when nothing was sent.
    """

    settlement: Settlement
    record: Record | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0


class Carries(Protocol):
    """What the queue's hands need of `DeliveryAttempt`."""

    async def carry(self, held: Held) -> Settled | None:
        """Work on one claim; ``None`` when its lease is lost. Never raises but for cancellation."""


class DeliveryAttempt:
    """See `Carries`."""

    def __init__(
        self,
        *,
        store: Store,
        sender: RequestSender,
        destinations: Destinations,
        pace: Pace,
        settings: DeliverySettings,
        clock: Clock,
        store_clock: StoreClock,
        horizon: Horizon,
        rng: random.Random,
        incidents: Incidents,
        gate: Gate | None,
    ) -> None:
        self._leases = Leases(store, clock, settings.lease_seconds)
        self._sender = sender
        self._destinations = destinations
        self._pace = pace
        self._settings = settings
        self._clock = clock
        self._store_clock = store_clock
        self._horizon = horizon
        self._rng = rng
        self._incidents = incidents
        self._gate = gate
        self._histories = Histories()

    async def carry(self, held: Held) -> Settled | None:
        """See `Carries.carry`."""
        entry = held.claim.entry
        try:
            record = _read(entry)
            destination = self._destinations.resolve(record)
            if destination is not None:
                return await self._carry_to(destination, held, record)
        except UnreadableRecord as exc:
            self._incidents.report("record_unreadable", entry.queue, level=logging.ERROR)
            return self._dead(held.claim, None, "unreadable record", str(exc))
        except UnknownRecord as exc:
            return self._left(held.claim, None, "unknown kind of record", str(exc))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the record must not be lost nor the worker end
            return self._crashed(held.claim, exc)
        detail = f"no settings here for a {record.kind} of app {record.app_id}, page {record.page_id}"
        return self._left(held.claim, record, "unknown destination", detail)

    async def _carry_to(self, destination: Destination, held: Held, record: Record) -> Settled | None:
        claim = held.claim
        if isinstance(record, Ping) and self._age(claim.entry) >= self._settings.ping_max_age_seconds:
            return self._dead(claim, record, TOO_OLD)
        request = build_request(record, destination)
        circuit = self._pace.circuit(Target(host=request.host, app_id=record.app_id, queue=claim.entry.queue))
        again = circuit.admit(self._clock.monotonic())
        if again is not None:
            return self._postponed(claim, record, circuit, again)
        reported = False
        try:
            reason = await self._forbidden(record)
            if reason is not None:
                return self._settled(claim, Outcome.DROPPED, record, reason=reason)
            owned = await self._leases.owned(held)
            if owned is None:
                return None
            outcome = await self._sender.send(request)
            wire, now = destination.wire, self._clock.now()
            verdict = judge(outcome, queue=claim.entry.queue, settings=wire, now=now, kind=record.kind)
            reported = True
        finally:
            if not reported:
                circuit.abandoned(self._clock.monotonic())
        return self._judged(owned, record, verdict, circuit, host=request.host)

    async def _forbidden(self, record: Record) -> str | None:
        if self._gate is None:
            return None
        async with asyncio.timeout(self._settings.gate_timeout_seconds):
            return await self._gate(record)

    def _judged(self, owned: Owned, record: Record, verdict: Verdict, circuit: Circuit, *, host: str) -> Settled:
        now = self._clock.monotonic()
        claim, entry = owned.claim, owned.claim.entry
        history = self._histories.note(entry.id, verdict, now=now, served_at=circuit.served_at)
        self._tell(circuit, verdict, entry, subject=f"{host} {record.app_id} {entry.queue}")
        decision = decide(
            verdict,
            history=history,
            age_seconds=self._age(entry),
            max_age_seconds=self._max_age(entry),
            settings=self._settings,
            rng=self._rng,
            event_name=record.event_name if isinstance(record, Engagement) else "",
        )
        match decision:
            case Done():
                settlement = Settlement(claim=claim, outcome=Outcome.DONE)
            case Dead():
                self._histories.forget(entry.id)
                settlement = Settlement(
                    claim=claim, outcome=Outcome.DEAD, reason=decision.reason, detail=verdict.detail
                )
            case RetryAfter():
                seconds = max(decision.seconds, self._behind_others(circuit, now))
                settlement = self._retry(claim, seconds, verdict.reason, verdict.detail)
        return Settled(settlement=settlement, record=record, verdict=verdict, seconds=now - owned.at)

    def _tell(self, circuit: Circuit, verdict: Verdict, entry: Entry, *, subject: str) -> None:
        """Tell the circuit what came of a request, and the log when an outage begins or ends."""
        now = self._clock.monotonic()
        if verdict.result in (DeliveryResult.DELIVERED, DeliveryResult.REJECTED):
            if circuit.succeeded(now):
                self._incidents.over("destination_down", subject)
                self._incidents.over("credentials_refused", subject)
        elif verdict.result is DeliveryResult.REFUSED:
            circuit.refused(now)
            self._incidents.report("credentials_refused", subject, reason=verdict.detail[:3], level=logging.ERROR)
        else:
            if verdict.too_fast:
                began = circuit.slowed(now, floor_seconds=verdict.floor_seconds)
            else:
                began = circuit.failed(now, lane=entry.lane, floor_seconds=verdict.floor_seconds)
            event = "destination_down" if began or circuit.state is CircuitState.OPEN else "request_failed"
            self._incidents.report(event, subject, reason=verdict.reason)

    def _behind_others(self, circuit: Circuit, now: float) -> float:
        """The next probe is another record's, so that one that always fails cannot keep its destination closed."""
        if circuit.state is CircuitState.CLOSED:
            return 0.0
        return (circuit.until - now) * 1.5 + self._rng.uniform(1.0, 2.0)

    def _postponed(self, claim: Claim, record: Record, circuit: Circuit, again: float) -> Settled:
        """Nothing is sent and nothing is spent: the record waits for the next probe or for its turn."""
        paused = circuit.state is not CircuitState.CLOSED and circuit.cause is Cause.REFUSED
        if circuit.state is CircuitState.OPEN and not paused and self._age(claim.entry) >= self._max_age(claim.entry):
            return self._dead(claim, record, TOO_OLD)
        wait = again - self._clock.monotonic()
        reason = str(circuit.cause) if circuit.state is not CircuitState.CLOSED else "waits for its turn"
        settlement = self._retry(claim, wait + self._rng.uniform(0.0, max(1.0, wait / 2)), reason)
        return Settled(settlement=settlement, record=record)

    def _left(self, claim: Claim, record: Record | None, reason: str, detail: str) -> Settled:
        self._incidents.report("record_left_for_another_worker", detail)
        wait = self._settings.unknown_wait_seconds * self._rng.uniform(0.5, 1.0)
        return Settled(settlement=self._retry(claim, wait, reason, detail), record=record)

    def _crashed(self, claim: Claim, exc: Exception) -> Settled:
        where = _place_of(exc)
        self._incidents.report("attempt_crashed", where, level=logging.ERROR)
        if self._age(claim.entry) >= self._max_age(claim.entry):
            return self._dead(claim, None, "could not be tried", where)
        wait = 1.0 + wait_seconds(claim.attempt, self._settings, self._rng)
        return Settled(settlement=self._retry(claim, wait, "could not be tried", where))

    def _dead(self, claim: Claim, record: Record | None, reason: str, detail: str = "") -> Settled:
        self._histories.forget(claim.entry.id)
        return self._settled(claim, Outcome.DEAD, record, reason=reason, detail=detail)

    def _retry(self, claim: Claim, seconds: float, reason: str, detail: str = "") -> Settlement:
        self._horizon.note(seconds)
        retry_at = self._store_clock.now() + seconds
        return Settlement(claim=claim, outcome=Outcome.RETRY, retry_at=retry_at, reason=reason, detail=detail)

    @staticmethod
    def _settled(
        claim: Claim, outcome: Outcome, record: Record | None, *, reason: str = "", detail: str = ""
    ) -> Settled:
        return Settled(settlement=Settlement(claim=claim, outcome=outcome, reason=reason, detail=detail), record=record)

    def _age(self, entry: Entry) -> float:
        return self._clock.now() - entry.created_at

    def _max_age(self, entry: Entry) -> float:
        settings = self._settings
        return settings.ping_max_age_seconds if entry.queue == Ping.queue else settings.max_age_seconds


def _read(entry: Entry) -> Record:
    if entry.schema > SCHEMA:
        msg = f"schema {entry.schema} is not known to this release; upgrade this worker"
        raise UnknownRecord(msg)
    return decode(entry.body)


def _place_of(exc: BaseException) -> str:
    """Type and line only: the message of an exception may hold private text."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace is not None else ""
    return f"{type(exc).__name__}{where}"
