"""One delivery attempt, from the stored bytes to the settlement: read, ask the gate, send, judge, decide."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreError
from ..incidents import Incidents
from ..kochava.client import RequestSender
from ..kochava.destination import Destination, Destinations, WireSettings
from ..kochava.records import (
    PING_QUEUES,
    SCHEMA,
    Engagement,
    Ping,
    Record,
    UnknownRecord,
    UnreadableRecord,
    decode,
)
from ..kochava.verdict import DeliveryResult, Verdict, judge
from ..kochava.wire import WireRequest, build_request
from ..queues.claims import Claimed
from ..store.records import OUTBOX, Claim, Entry, Mark, Outcome, Settlement
from ..time_limit import TimeLimit
from .circuit import Cause, Circuit, Circuits, CircuitState, Target, targets_of
from .places import Places, ShareName
from .retry import PERHAPS_DELIVERED, TOO_OLD, Histories, decide, longest_wait_seconds, wait_seconds
from .safeguards import Safeguards, end_of_begun
from .settings import DeliverySettings

logger = logging.getLogger(__package__)

UNCHECKED_WAIT_SECONDS = (1.0, 5.0)
"""How long a record waits that the store could not be asked about."""

Gate = Callable[[Record], Awaitable[str | None]]
"""Asked before each request. A text is the reason why the record must not be sent; it is dropped then."""


@attrs.frozen(kw_only=True)
class Settled(Settlement):
    """
    The settlement of one delivery attempt, and what led to it.

    Attributes:
        record: ``None`` when the bytes could not be read.
        verdict: On Kochava's answer; ``None`` when nothing was sent.
        seconds: How long the request took; 0 when nothing was sent.
    """

    record: Record | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class RecordRoute:
    """
    What is the same for all records of one kind to one destination and host, looked up for the first of them.

    Attributes:
        subject: What the log calls it.
    """

    wire: WireSettings
    circuit: Circuit
    share: ShareName
    subject: str


@attrs.define(kw_only=True)
class Prepared:
    """A record that is to be sent."""

    claimed: Claimed
    record: Record
    request: WireRequest
    route: RecordRoute


class Deliverer:
    """
    Makes delivery attempts, one a claim, and remembers what they say about records and destinations.

    Args:
        sender: What sends a request.
        destinations: The apps that there are settings for. Records of others are left for another worker.
        clock: Time.
        rng: For jitter.
        gate: Asked before each request.
    """

    def __init__(
        self,
        sender: RequestSender,
        destinations: Destinations,
        settings: DeliverySettings | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.settings = settings or DeliverySettings()
        self.clock = clock or SystemClock()
        self.incidents = Incidents(self.clock, logger)
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self.circuits = Circuits(self.settings, known=targets_of(destinations), rng=self._rng)
        self.places = {str(queue): Places(self.settings.concurrency, self.clock) for queue in OUTBOX}
        self._sender = sender
        self._destinations = destinations
        self._gate = gate
        self._gives_up_any = self.settings.gives_up_any
        self._gate_limit = TimeLimit(self.settings.gate_timeout_seconds)
        self._routes: dict[tuple[str, str, str | None, str], RecordRoute] = {}
        self._histories = Histories()
        self._put_off_until = self.clock.monotonic()

    def longest_wait_seconds(self) -> float:
        """
        The longest time that any record waits: by the settings, and by what was put off here.

        Kochava may ask for a day's pause (``Retry-After``), which is far longer than all other waits. Only the worker
        that was asked knows of it; another one, or this one after a restart, tries the record earlier and is asked
        itself. Other workers may have longer waits by their settings, hence half as long again.
        """
        return 1.5 * max(longest_wait_seconds(self.settings), self._put_off_until - self.clock.monotonic())

    def prepare(self, claimed: Claimed, safeguards: Safeguards) -> Prepared | Settled | None:
        """
        What is to be sent for a claim, or why nothing is; ``None`` when the store must be asked first, see `attempt`.
        """
        claim = claimed.claim
        if (claim.is_takeover and self._gives_up_any) or safeguards.may_wait(claim.entry):
            return None
        try:
            return self._prepared(claimed, _read(claim.entry))
        except Exception as exc:  # noqa: BLE001 - see _failed
            return self._failed(claim, exc)

    async def attempt(self, claimed: Claimed, safeguards: Safeguards) -> Settled | None:
        """
        Work on one claim, whatever there is to be asked or waited for; ``None`` when its lease is lost, or when it is
        left to lapse. Raises nothing but for cancellation.
        """
        claim = claimed.claim
        entry = claim.entry
        try:
            record = _read(entry)
            try:
                if claim.is_takeover and self.is_given_up_unknown(record) and await safeguards.was_begun(claim):
                    detail = "the process that sent it ended before its answer was stored"
                    return self._dead(claim, record, PERHAPS_DELIVERED, detail)
                if (seconds := await safeguards.wait_seconds(claim, self._age(entry))) is not None:
                    return self._behind_another(claim, record, seconds)
            except StoreError:
                # Whatever the store would have said must not be overlooked: another claim asks it again.
                self.incidents.report("store_failed", entry.queue)
                return None
            prepared = self._prepared(claimed, record)
        except Exception as exc:  # noqa: BLE001 - see _failed
            return self._failed(claim, exc)
        if isinstance(prepared, Settled):
            return prepared
        places, share = self.places[entry.queue], prepared.route.share
        seconds = await places.take(share)
        if seconds is not None:
            return None if places.is_closed else self.released(claim, record, seconds)
        try:
            return await self.send(prepared, safeguards)
        finally:
            places.give_back(share)

    async def send(self, prepared: Prepared, safeguards: Safeguards) -> Settled | None:
        """Send what has a place; ``None`` and errors as in `attempt`."""
        try:
            return await self._send(prepared, safeguards)
        except Exception as exc:  # noqa: BLE001 - see _failed
            return self._failed(prepared.claimed.claim, exc)

    def is_given_up_unknown(self, record: Record) -> bool:
        """Whether *record* is given up, not sent again, when it is not known whether it arrived."""
        return self._gives_up_any and self.settings.gives_up_unknown(_event_name(record))

    def marks_of(self, settlement: Settlement) -> Sequence[Mark]:
        """What is to be written together with a settlement: that its request is under way no more."""
        assert isinstance(settlement, Settled)
        is_noted = settlement.record is not None and self.is_given_up_unknown(settlement.record)
        return end_of_begun(settlement.claim) if is_noted else ()

    def _prepared(self, claimed: Claimed, record: Record) -> Prepared | Settled:
        claim = claimed.claim
        entry = claim.entry
        destination = self._destinations.resolve(record)
        if destination is None:
            detail = f"no settings here for a {record.kind} of app {record.app_id}, page {record.page_id}"
            return self._left(claim, record, "unknown destination", detail)
        if isinstance(record, Ping) and self._age(entry) >= self.settings.ping_max_age_seconds:
            return self._dead(claim, record, TOO_OLD)
        request = build_request(record, destination)
        route = self._route(request.host, destination, record, entry.queue)
        return Prepared(claimed=claimed, record=record, request=request, route=route)

    async def _send(self, prepared: Prepared, safeguards: Safeguards) -> Settled | None:
        claimed, record, route, clock = prepared.claimed, prepared.record, prepared.route, self.clock
        claim, circuit = claimed.claim, route.circuit
        again = circuit.admit(clock.monotonic())
        if again is not None:
            return self._postponed(claim, record, circuit, again)
        safeguards.begin(claimed)
        reported = False
        try:
            try:
                reason = None if self._gate is None else await self._forbidden(self._gate, record)
                if reason is not None:
                    return Settled(claim=claim, outcome=Outcome.DROPPED, record=record, reason=reason)
                if not await self._may_send(claimed, record, safeguards):
                    return None
            except (StoreError, TimeoutError) as exc:
                return self._unchecked(claim, record, exc)
            began = clock.monotonic()
            outcome = await self._sender.send(prepared.request)
            verdict = judge(outcome, queue=claim.entry.queue, settings=route.wire, now=clock.now(), kind=record.kind)
            reported = True
        finally:
            if not reported:
                circuit.abandoned(clock.monotonic())
        ended = clock.monotonic()
        self._report(route, verdict, claim.entry, began=began, ended=ended)
        return self._judged(claim, record, verdict, circuit, began=began, ended=ended)

    def _route(self, host: str, destination: Destination, record: Record, queue: str) -> RecordRoute:
        key = (host, record.app_id, destination.page_id, record.kind)
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = RecordRoute(
                wire=destination.wire,
                circuit=self.circuits.circuit(Target(host=host, app_id=record.app_id, queue=queue)),
                share=ShareName(host=host, app_id=record.app_id, kind=record.kind),
                subject=f"{host} {record.app_id} {queue}",
            )
        return route

    async def _may_send(self, claimed: Claimed, record: Record, safeguards: Safeguards) -> bool:
        if self.is_given_up_unknown(record):
            if not await safeguards.is_owned(claimed):
                return False
            await safeguards.note_begun(claimed.claim)
        # Last of all, since the process may be stopped while the store answers.
        return await safeguards.is_owned(claimed)

    async def _forbidden(self, gate: Gate, record: Record) -> str | None:
        with self._gate_limit.work():
            return await gate(record)

    def _judged(
        self, claim: Claim, record: Record, verdict: Verdict, circuit: Circuit, *, began: float, ended: float
    ) -> Settled:
        entry, seconds = claim.entry, ended - began
        decision = decide(
            verdict,
            history=self._histories.note(entry.id, verdict, now=ended, served_at=circuit.served_at),
            age_seconds=self._age(entry),
            max_age_seconds=self._max_age(entry),
            settings=self.settings,
            rng=self._rng,
            event_name=_event_name(record),
        )
        if decision.outcome is Outcome.DONE:
            return Settled(
                claim=claim,
                outcome=Outcome.DONE,
                detail=verdict.detail,
                record=record,
                verdict=verdict,
                seconds=seconds,
            )
        if decision.outcome is Outcome.DEAD:
            settled = self._dead(claim, record, decision.reason, verdict.detail)
        else:
            wait = max(decision.seconds, self._behind_others(circuit, ended))
            settled = self._retry(claim, record, wait, verdict.reason, verdict.detail)
        return attrs.evolve(settled, verdict=verdict, seconds=seconds)

    def _report(self, route: RecordRoute, verdict: Verdict, entry: Entry, *, began: float, ended: float) -> None:
        """Report to the circuit what came of a request, and to the log when an outage begins or ends."""
        circuit, subject = route.circuit, route.subject
        if verdict.result in (DeliveryResult.DELIVERED, DeliveryResult.REJECTED):
            if circuit.succeeded(ended):
                self.incidents.over("destination_down", subject)
                self.incidents.over("credentials_refused", subject)
        elif verdict.result is DeliveryResult.REFUSED:
            circuit.refused(ended)
            self.incidents.report("credentials_refused", subject, reason=verdict.detail[:3], level=logging.ERROR)
        else:
            if verdict.too_fast:
                opened = circuit.slowed(ended, floor_seconds=verdict.floor_seconds)
            else:
                opened = circuit.failed(ended, lane=entry.lane, began=began, floor_seconds=verdict.floor_seconds)
            event = "destination_down" if opened or circuit.state is CircuitState.OPEN else "request_failed"
            self.incidents.report(event, subject, reason=verdict.reason)

    def _behind_others(self, circuit: Circuit, now: float) -> float:
        """The next probe is another record's, so that one that always fails cannot keep its destination closed."""
        if circuit.state is CircuitState.CLOSED:
            return 0.0
        return (circuit.until - now) * 1.5 + self._rng.uniform(1.0, 2.0)

    def _postponed(self, claim: Claim, record: Record, circuit: Circuit, again: float) -> Settled:
        """Nothing is sent, and no try is counted: the record waits for the next probe, or until there is room."""
        paused = circuit.state is not CircuitState.CLOSED and circuit.cause is Cause.REFUSED
        if circuit.state is CircuitState.OPEN and not paused and self._age(claim.entry) >= self._max_age(claim.entry):
            return self._dead(claim, record, TOO_OLD)
        wait = again - self.clock.monotonic()
        reason = str(circuit.cause) if circuit.state is not CircuitState.CLOSED else "waits for its turn"
        return self._retry(claim, record, wait + self._rng.uniform(0.0, max(1.0, wait / 2)), reason)

    def _behind_another(self, claim: Claim, record: Record, seconds: float) -> Settled:
        if self._age(claim.entry) >= self._max_age(claim.entry):
            return self._dead(claim, record, TOO_OLD)
        return self.released(claim, record, seconds)

    def released(self, claim: Claim, record: Record, seconds: float) -> Settled:
        """Nothing is sent, and the claim does not count."""
        self._put_off_until = max(self._put_off_until, self.clock.monotonic() + seconds)
        return Settled(claim=claim, outcome=Outcome.RELEASE, retry_after_seconds=seconds, record=record)

    def _unchecked(self, claim: Claim, record: Record, exc: StoreError | TimeoutError) -> Settled:
        """Nothing is sent while the store does not say whether it may be, and no age makes the record dead for that."""
        self.incidents.report("store_failed", claim.entry.queue, reason=type(exc).__name__)
        return self._retry(claim, record, self._rng.uniform(*UNCHECKED_WAIT_SECONDS), "the store does not answer")

    def _left(self, claim: Claim, record: Record | None, reason: str, detail: str) -> Settled:
        self.incidents.report("record_left_for_another_worker", detail)
        wait = self.settings.unknown_wait_seconds * self._rng.uniform(0.5, 1.0)
        return self._retry(claim, record, wait, reason, detail)

    def _failed(self, claim: Claim, exc: Exception) -> Settled:
        """Whatever it is, the record must not be lost, nor the worker end."""
        if isinstance(exc, UnreadableRecord):
            self.incidents.report("record_unreadable", claim.entry.queue, level=logging.ERROR)
            return self._dead(claim, None, "unreadable record", str(exc))
        if isinstance(exc, UnknownRecord):
            return self._left(claim, None, "unknown kind of record", str(exc))
        where = _place_of(exc)
        self.incidents.report("attempt_crashed", where, level=logging.ERROR)
        if self._age(claim.entry) >= self._max_age(claim.entry):
            return self._dead(claim, None, "could not be tried", where)
        wait = 1.0 + wait_seconds(claim.attempt, self.settings, self._rng)
        return self._retry(claim, None, wait, "could not be tried", where)

    def _dead(self, claim: Claim, record: Record | None, reason: str, detail: str = "") -> Settled:
        self._histories.forget(claim.entry.id)
        return Settled(claim=claim, outcome=Outcome.DEAD, record=record, reason=reason, detail=detail)

    def _retry(self, claim: Claim, record: Record | None, seconds: float, reason: str, detail: str = "") -> Settled:
        self._put_off_until = max(self._put_off_until, self.clock.monotonic() + seconds)
        return Settled(
            claim=claim,
            outcome=Outcome.RETRY,
            retry_after_seconds=seconds,
            record=record,
            reason=reason,
            detail=detail,
        )

    def _age(self, entry: Entry) -> float:
        return self.clock.now() - entry.created_at

    def _max_age(self, entry: Entry) -> float:
        settings = self.settings
        return settings.ping_max_age_seconds if entry.queue in PING_QUEUES else settings.max_age_seconds


def _event_name(record: Record) -> str:
    return record.event_name if isinstance(record, Engagement) else ""


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
