"""Both platforms, the lives on one store, and the row of all that happened."""

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
from kochava_bot_middleware.store.records import Outcome, Queue, QueueStats
from tests.faults import labels
from tests.faults.fault_server import FaultServer, Mode, Received
from tests.faults.history import EVERYBODY, Finding, History, Step, StepKind, counted
from tests.faults.life import SENDER, Plan
from tests.faults.nursery import Life, Nursery
from tests.faults.nursery_process import DEAD
from tests.faults.short_settings import settings_of

DRAIN_SECONDS = 40.0
STOPPING_SECONDS = 0.2
KILLED = "at any moment"
REQUEST_LEFT = "after the request left"
"""The one point that only the other end of the wire can see."""


@attrs.define(kw_only=True)
class Stage:
    """
    One run.

    Attributes:
        messenger: Where people write.
        kochava: What is sent to.
        nursery: Where lives begin.
        url: Of the store.
        settings: Of all lives.
        seed: Of everything by chance.
        mode: Decides how Kochava answers a request.
        steps: What happened.
        deaths: How often a life ended at each point.
        unanswered: Lives that die when so many more of their requests have arrived.
        arrived: Told the life of each request that arrives, once it is a step.
    """

    messenger: LocalMessenger
    kochava: FaultServer
    nursery: Nursery = attrs.field(init=False)
    url: str
    settings: Mapping[str, Any]
    seed: int
    clock: Clock = attrs.field(factory=SystemClock)
    mode: Callable[[], Mode] = lambda: Mode.OK
    steps: list[Step] = attrs.field(factory=list)
    given_up: set[AuditEntry] = attrs.field(factory=set)
    deaths: Counter[str] = attrs.field(factory=Counter)
    unanswered: dict[str, int] = attrs.field(factory=dict)
    arrived: Callable[[str], None] = lambda _name: None
    _lives: int = 0

    async def begin(self, name: str = "", **plan: Any) -> Life:
        """Begin a life; a bot becomes the one that Messenger writes to."""
        self._lives += 1
        deaths = dict(plan.pop("deaths", {}))
        name = f"{name or ('bot' if plan.get('is_bot') else 'worker')}-{self._lives}"
        if REQUEST_LEFT in deaths:
            self.unanswered[name] = deaths.pop(REQUEST_LEFT)
        life = await self.nursery.begin(Plan(name=name, store=self.url, settings=self.settings, deaths=deaths, **plan))
        if life.plan.is_bot and life.ready.done():
            self.messenger.webhook_url = life.ready.result()
        return life

    async def kill(self, life: Life) -> None:
        """SIGKILL, and wait for the death."""
        life.send(signal.SIGKILL)
        await life.dead

    async def stop(self, life: Life) -> None:
        """SIGTERM, and wait for a good end."""
        life.send(signal.SIGTERM)
        async with asyncio.timeout(30):
            status = await life.dead
        assert 0 == status, f"{life.plan.name} ended with {status}:\n{self.nursery.log_end()}"

    @contextmanager
    def trouble(self, why: str) -> Iterator[None]:
        """For so long nobody can settle what it knows, or keep what it leased."""
        self.nursery.hear()
        self.steps.append(Step(kind=StepKind.INTERRUPTED, sender=EVERYBODY, note=why))
        yield
        self.nursery.hear()
        self.steps.append(Step(kind=StepKind.CALM, sender=EVERYBODY, note=why))

    def freeze(self, life: Life) -> None:
        """SIGSTOP."""
        life.send(signal.SIGSTOP)
        # It takes effect in its own time, but long before a lease lapses.
        asyncio.get_running_loop().call_later(STOPPING_SECONDS, self._stopped, life.plan.name)

    def answer(self, received: Received) -> Mode:
        """How Kochava answers; what arrived becomes a step."""
        self.nursery.hear()
        name = received.headers[SENDER.lower()]
        entry = labels.of_request(received.path, received.body)
        left = self.unanswered.get(name, 0)
        if left:
            self.unanswered[name] = left - 1
        mode = Mode.HANG if left == 1 else self.mode()
        # Of the answer to a ping only the status counts.
        takes = mode.takes or (mode is Mode.HALF_BODY and not received.body)
        kind = StepKind.TAKEN if takes else StepKind.NOT_TAKEN
        self.steps.append(Step(kind=kind, sender=name, entry=entry, note=mode.value))
        if left == 1:
            self.nursery.lives[name].died_at = REQUEST_LEFT
            self.nursery.lives[name].send(signal.SIGKILL)
        self.arrived(name)
        return mode

    def heard(self, words: list[Any]) -> None:
        """What a life tells of itself."""
        if words[0] == DEAD:
            name, status = words[1:]
            why = (self.nursery.lives[name].died_at or KILLED) if status == -signal.SIGKILL else f"ended with {status}"
            self.deaths[why] += 1
            self.steps.append(Step(kind=StepKind.INTERRUPTED, sender=name, note=why))
            return
        kind, sender, lane, label, note = words
        entry = AuditEntry(lane=lane, label=label)
        self.steps.append(Step(kind=StepKind(kind), sender=sender, entry=entry, note=note))
        if note in (Outcome.DEAD.value, Outcome.DROPPED.value):
            self.given_up.add(entry)

    def wake(self, life: Life) -> None:
        """SIGCONT."""
        life.send(signal.SIGCONT)

    async def people(self, count: int) -> list[SimulatedUser]:
        """So many people who have tapped "Get started"."""
        people = [self.messenger.person() for _ in range(count)]
        await asyncio.gather(*(person.gets_started() for person in people))
        return people

    async def write(self, people: list[SimulatedUser], *, until: asyncio.Event, pause: tuple[float, float]) -> None:
        """Let everybody write, one message after the other, until *until*."""

        async def chat(person: SimulatedUser, chance: random.Random) -> None:
            while not until.is_set():
                await person.says("something")
                await self.clock.sleep(chance.uniform(*pause))

        async with asyncio.TaskGroup() as group:
            for number, person in enumerate(people):
                group.create_task(chat(person, random.Random(self.seed * 1000 + number)))

    async def say(self, people: list[SimulatedUser], *, times: int) -> None:
        """Let everybody write so often, one message after the other."""

        async def chat(person: SimulatedUser) -> None:
            for _ in range(times):
                await person.says("something")

        await asyncio.gather(*map(chat, people))

    async def counts(self) -> Mapping[str, QueueStats]:
        store = self.open_store()
        try:
            return await store.stats()
        finally:
            await store.close()

    def open_store(self) -> Store:
        return open_store(self.url)

    async def drained(self, *, within_seconds: float = DRAIN_SECONDS) -> None:
        """Wait until nothing waits any more but timers; the caller's judgement tells if it took too long."""
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

    async def judge(self) -> History:
        """Fail unless every promise was kept; the failure shows the seed and the lane's history."""
        self.nursery.hear()
        history = History(
            promised=labels.promised(self.messenger.acknowledged),
            steps=self.steps,
            given_up=self.given_up,
            uncertain=labels.promised(self.messenger.abandoned),
        )
        findings = [*history.findings(), *counted(await self.counts(), accepted=self._expected(history))]
        findings += [Finding(promise="given up", entry=entry) for entry in sorted(self.given_up)]
        findings += [Finding(promise="answered", detail=f"{outcome.webhook}") for outcome in self.messenger.abandoned]
        findings += [Finding(promise="sent well", detail=f"{call}") for call in self.messenger.refused]
        assert not findings, (
            f"seed {self.seed}, {dict(self.deaths)}\n{history.told(findings)}\n{self.nursery.log_end()}"
        )
        return history

    def _expected(self, history: History) -> dict[str, int]:
        pings = sum(entry.lane.endswith("pings") for entry in history.promised)
        webhooks = {outcome.webhook.raw for outcome in self.messenger.acknowledged}
        return {Queue.INBOX: len(webhooks), Queue.TRACK: len(history.promised) - pings, Queue.PING: pings}

    def _stopped(self, name: str) -> None:
        self.nursery.hear()
        self.steps.append(Step(kind=StepKind.INTERRUPTED, sender=name, note="stopped"))


@asynccontextmanager
async def stage(folder: Path, url: str, *, seed: int) -> AsyncIterator[Stage]:
    """A stage on the store at *url*; what it writes goes into *folder*."""
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
        place = Stage(
            messenger=messenger, kochava=kochava, url=url, settings=settings_of(messenger, kochava), seed=seed
        )
        kochava.choose = place.answer
        place.nursery = Nursery(folder / "lives.log", place.heard)
        async with place.nursery:
            yield place
