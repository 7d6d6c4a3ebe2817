"""One run of a fault test: both platforms, child processes on one store, and the history of what they did."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs

from kochava_bot_middleware.clock import Clock, SystemClock
from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.messenger.users import SimulatedUser
from kochava_bot_middleware.sandbox.messenger.webhooks import MessengerOptions
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import DayCount, Outcome, Queue, QueueStats
from tests.faults import entries
from tests.faults.child import SENDER_HEADER, ChildPlan
from tests.faults.children import Child, Children
from tests.faults.engines import can_be_written
from tests.faults.fault_server import FaultServer, Mode, Received
from tests.faults.forker import EXITED
from tests.faults.history import EVERYBODY, Finding, History, Step, StepKind, check_counts, check_day_counts
from tests.faults.short_settings import settings_of

DRAIN_SECONDS = 40.0
STOPPING_SECONDS = 0.2
"""SIGSTOP has taken effect after so long, which is much shorter than a lease."""

KILLED = "at any moment"
REQUEST_LEFT = "after the request left"
"""The one kill point that only the other end of the connection can see."""


@attrs.define(kw_only=True)
class FaultRun:
    """
    One run.

    Attributes:
        messenger: Where users write.
        kochava: Where records are sent.
        children: Starts the processes.
        url: Of the store.
        settings: Of all processes.
        seed: Of all random choices.
        mode: Decides how Kochava answers a request.
        steps: What happened.
        kills: How often a process was killed at each point.
        unanswered: Processes that are killed when so many more of their requests have arrived.
        on_arrival: Called with the name of the sender of each request, once it is a step, before it is answered.
    """

    messenger: LocalMessenger
    kochava: FaultServer
    children: Children = attrs.field(init=False)
    url: str
    settings: Mapping[str, Any]
    seed: int
    clock: Clock = attrs.field(factory=SystemClock)
    mode: Callable[[], Mode] = lambda: Mode.OK
    steps: list[Step] = attrs.field(factory=list)
    given_up: set[AuditEntry] = attrs.field(factory=set)
    kills: Counter[str] = attrs.field(factory=Counter)
    unanswered: dict[str, int] = attrs.field(factory=dict)
    on_arrival: Callable[[str], None] = lambda _name: None
    _arrived: asyncio.Event = attrs.field(factory=asyncio.Event)
    _started: int = 0

    async def start(self, name: str = "", **plan: Any) -> Child:
        """Start a process; Messenger then delivers its webhooks to it if it is a bot."""
        self._started += 1
        kills = dict(plan.pop("kills", {}))
        name = f"{name or ('bot' if plan.get('is_bot') else 'worker')}-{self._started}"
        if REQUEST_LEFT in kills:
            self.unanswered[name] = kills.pop(REQUEST_LEFT)
        child = await self.children.start(
            ChildPlan(name=name, store=self.url, settings=self.settings, kills=kills, **plan)
        )
        if child.plan.is_bot and child.ready.done():
            self.messenger.webhook_url = child.ready.result()
        return child

    async def kill(self, child: Child) -> None:
        """Send SIGKILL, and wait until it has exited."""
        child.send(signal.SIGKILL)
        await child.exited

    async def stop(self, child: Child) -> None:
        """Send SIGTERM, and wait until it has exited with status 0."""
        child.send(signal.SIGTERM)
        async with asyncio.timeout(30):
            status = await child.exited
        assert 0 == status, f"{child.plan.name} ended with {status}:\n{self.children.log_end()}"

    async def pause(self, child: Child) -> bool:
        """
        Send SIGSTOP at once.

        Returns:
            False if the process was resumed because it was within a commit on SQLite. It would hold the write lock, so
            that no process could settle: all leases would expire, which is another fault than a paused process.
        """
        child.send(signal.SIGSTOP)
        await self.clock.sleep(STOPPING_SECONDS)
        if not await can_be_written(self.url):
            self.resume(child)
            return False
        self._interrupted(child.plan.name, "paused")
        return True

    async def pause_at_request(self, child: Child) -> bool:
        """Like `pause`, as soon as a request of the process arrives; it is not answered before."""
        arrived = asyncio.Event()

        def on_arrival(name: str) -> None:
            if name == child.plan.name and not arrived.is_set():
                child.send(signal.SIGSTOP)
                arrived.set()

        self.on_arrival = on_arrival
        async with asyncio.timeout(20):
            await arrived.wait()
        self.on_arrival = lambda _name: None
        return await self.pause(child)

    def resume(self, child: Child) -> None:
        """Send SIGCONT."""
        child.send(signal.SIGCONT)

    @contextmanager
    def interruption(self, why: str) -> Iterator[None]:
        """A time in which no process can settle what it knows, or keep its leases."""
        self._interrupted(EVERYBODY, why)
        yield
        self.children.read()
        self.steps.append(Step(kind=StepKind.RECOVERED, sender=EVERYBODY, note=why))

    def _interrupted(self, sender: str, why: str) -> None:
        self.children.read()
        self.steps.append(Step(kind=StepKind.INTERRUPTED, sender=sender, note=why))

    def answer(self, received: Received) -> Mode:
        """How Kochava answers a request, which becomes a step."""
        self.children.read()
        name = received.headers[SENDER_HEADER.lower()]
        entry = entries.of_request(received.path, received.body)
        left = self.unanswered.get(name, 0)
        if left:
            self.unanswered[name] = left - 1
        mode = Mode.HANG if left == 1 else self.mode()
        # Of the answer to a ping only the status counts.
        is_counted = mode.is_counted or (mode is Mode.HALF_BODY and not received.body)
        kind = StepKind.TAKEN if is_counted else StepKind.NOT_TAKEN
        self.steps.append(Step(kind=kind, sender=name, entry=entry, note=mode.value))
        if left == 1:
            self.children.by_name[name].killed_at = REQUEST_LEFT
            self.children.by_name[name].send(signal.SIGKILL)
        self.on_arrival(name)
        self._arrived.set()
        return mode

    async def until(self, condition: Callable[[], bool], *, within_seconds: float = 20.0) -> None:
        """Wait until *condition* holds; it is checked again after each request that arrives."""
        async with asyncio.timeout(within_seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def until_promised(self, count: int) -> None:
        """Wait until so many records are promised, while users write: how many are so far depends on the machine."""
        await self.until(lambda: len(entries.promised(self.messenger.acknowledged)) >= count, within_seconds=60.0)

    def on_report(self, words: list[Any]) -> None:
        """Add what a process reports to the steps."""
        if words[0] == EXITED:
            name, status = words[1:]
            child = self.children.by_name[name]
            why = (child.killed_at or KILLED) if status == -signal.SIGKILL else f"ended with {status}"
            self.kills[why] += 1
            self.steps.append(Step(kind=StepKind.INTERRUPTED, sender=name, note=why))
            return
        kind, sender, lane, label, note = words
        entry = AuditEntry(lane=lane, label=label)
        self.steps.append(Step(kind=StepKind(kind), sender=sender, entry=entry, note=note))
        if note in (Outcome.DEAD.value, Outcome.DROPPED.value):
            self.given_up.add(entry)

    async def people(self, count: int) -> list[SimulatedUser]:
        """So many users who have tapped "Get started"."""
        people = [self.messenger.person() for _ in range(count)]
        await asyncio.gather(*(person.gets_started() for person in people))
        return people

    async def write(self, people: list[SimulatedUser], *, until: asyncio.Event, pause: tuple[float, float]) -> None:
        """Let all users write, one message after the other, until *until*."""

        async def chat(person: SimulatedUser, chance: random.Random) -> None:
            while not until.is_set():
                await person.says("something")
                await self.clock.sleep(chance.uniform(*pause))

        async with asyncio.TaskGroup() as group:
            for number, person in enumerate(people):
                group.create_task(chat(person, random.Random(self.seed * 1000 + number)))

    async def write_times(self, people: list[SimulatedUser], times: int) -> None:
        """Let all users write so many messages, one after the other."""

        async def chat(person: SimulatedUser) -> None:
            for _ in range(times):
                await person.says("something")

        await asyncio.gather(*map(chat, people))

    async def counts(self) -> tuple[Mapping[str, QueueStats], list[DayCount]]:
        """By queue, and by day."""
        store = self.open_store()
        try:
            return await store.stats(), await store.counts()
        finally:
            await store.close()

    def open_store(self) -> Store:
        return open_store(self.url)

    async def drained(self, *, within_seconds: float = DRAIN_SECONDS) -> None:
        """Wait until nothing waits but timers, or the time is over; `check` then finds what is missing."""
        store = self.open_store()
        began = self.clock.monotonic()
        try:
            while self.clock.monotonic() - began < within_seconds:
                sent = len(self.messenger.sent)
                await self.messenger.settled()
                stats = await store.stats()
                left = sum(stats[q].waiting + stats[q].in_flight for q in stats if q != Queue.TIMER)
                if not left and sent == len(self.messenger.sent):
                    return
                await self.clock.sleep(0.05)
        finally:
            await store.close()

    async def check(self) -> History:
        """Fail unless every promise was kept; the message has the seed and the history of a lane."""
        self.children.read()
        history = History(
            promised=entries.promised(self.messenger.acknowledged),
            steps=self.steps,
            given_up=self.given_up,
            uncertain=entries.promised(self.messenger.abandoned),
        )
        stats, counts = await self.counts()
        findings = [*history.findings(), *check_counts(stats, accepted=self._expected(history))]
        findings += check_day_counts(counts, stats)
        findings += [Finding(promise="given up", entry=entry) for entry in sorted(self.given_up)]
        findings += [Finding(promise="answered", detail=f"{outcome.webhook}") for outcome in self.messenger.abandoned]
        findings += [Finding(promise="accepted by Messenger", detail=f"{call}") for call in self.messenger.refused]
        assert not findings, (
            f"seed {self.seed}, {dict(self.kills)}\n{history.describe(findings)}\n{self.children.log_end()}"
        )
        return history

    def _expected(self, history: History) -> dict[str, int]:
        labels = Counter(entry.label for entry in history.promised)
        impressions, clicks = labels[entries.IMPRESSION], labels[entries.CLICK]
        webhooks = {outcome.webhook.raw for outcome in self.messenger.acknowledged}
        return {
            Queue.INBOX: len(webhooks),
            Queue.TRACK: len(history.promised) - impressions - clicks,
            Queue.PING: impressions,
            Queue.CLICK: clicks,
        }


@asynccontextmanager
async def fault_run(folder: Path, url: str, *, seed: int) -> AsyncIterator[FaultRun]:
    """A run on the store at *url*; the log is written into *folder*."""
    messenger = LocalMessenger(
        app_secret="app-secret",
        verify_token="verify",
        page_tokens={"page-token": "1001"},
        options=MessengerOptions(
            redelivery="afterwards",
            redelivery_probability=0.05,
            # Facebook retries for much longer than any fault here lasts.
            retry_waits=(0.03,) * 1500,
            seed=seed,
        ),
    )
    kochava = FaultServer()
    async with messenger, kochava.running():
        run = FaultRun(
            messenger=messenger, kochava=kochava, url=url, settings=settings_of(messenger, kochava), seed=seed
        )
        kochava.choose = run.answer
        run.children = Children(folder / "children.log", run.on_report)
        async with run.children:
            yield run
