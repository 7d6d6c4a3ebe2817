"""One kind of record, or one destination, that hangs, is slow or fails does not hold up the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.delivery.attempt import Deliverer
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.destination import Destination, TrackerUrls
from kochava_bot_middleware.kochava.records import Deletion, IdentityLink, Impression, Install, Record
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.settings import Secret
from kochava_bot_middleware.store.records import Unit
from tests.delivery.harness import (
    BUSY,
    OK,
    TRACKERS,
    WIRE,
    FakeSender,
    World,
    body_of,
    click,
    entry_of,
    event,
    impression,
)
from tests.fakes import VirtualClock

NO_ANSWER = Failure(reason="no answer in time", ambiguous=True)
TIMEOUT = 10.0
Chooses = Callable[[WireRequest], bool]


class SlowSender(FakeSender):
    """Takes its time with some requests, and then answers all the same, or not."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.is_slow: Chooses = lambda _request: False
        self.seconds = TIMEOUT
        self.slow_answer: Answer | Failure = NO_ANSWER
        self.answered_at: list[tuple[float, WireRequest]] = []

    async def send(self, request: WireRequest) -> Answer | Failure:
        if self.is_slow(request):
            self.requests.append(request)
            await self._clock.sleep(self.seconds)
            return self.slow_answer
        self.answered_at.append((self._clock.monotonic(), request))
        return await super().send(request)


class SlowWorld(World):
    """A world whose sender can be slow."""

    def __init__(self, **options: Any) -> None:
        has_installs = options.pop("has_installs", False)
        super().__init__(**options)
        self.slow = self.sender = SlowSender(self.clock)
        deliverer = Deliverer(self.sender, self.destinations, self.settings, clock=self.clock)
        self.worker = Worker(self.store, deliverer, has_installs=has_installs, on_settled=self.settled.append)

    def worst_wait(self, chooses: Chooses, sent_every: float, began: float) -> float:
        """How long the last of some records waited of which one was appended every so many seconds."""
        times = [at for at, request in self.slow.answered_at if chooses(request)]
        return max(at - began - number * sent_every for number, at in enumerate(times))


def link(user: str = "u1", *, app: str = "koapp") -> IdentityLink:
    return IdentityLink(
        id=f"l-{app}-{user}",
        app_id=app,
        user_id=user,
        usertime=1_800_000_000,
        device_ids={"fb_user_id": user},
        identities={"customer_id": user},
    )


def install(user: str = "u1") -> Install:
    return Install(
        id=f"n-{user}", app_id="koapp", user_id=user, usertime=1_800_000_000, device_ids={"fb_user_id": user}
    )


def deletion(user: str = "u1") -> Deletion:
    return Deletion(
        id=f"d-{user}", app_id="koapp", user_id=user, usertime=1_800_000_000, device_ids={"fb_user_id": user}
    )


DELETING = attrs.evolve(WIRE, deletion_url="https://privacy.kochava.test/scrub", deletion_key=Secret("key"))


def is_link(request: WireRequest) -> bool:
    return "identityLink" in request.url


def is_purchase(request: WireRequest) -> bool:
    return b'"event_name"' in (request.body or b"")


@pytest.mark.parametrize("kind", [link, install, deletion, impression, click])
async def test_a_kind_that_hangs_does_not_delay_events_of_others(kind: Callable[[str], Record]) -> None:
    """One of it every two seconds; an event of somebody else every second."""
    world = SlowWorld(destinations=[Destination(app_id="koapp", wire=DELETING)], has_installs=True)
    world.slow.is_slow = lambda request: not is_purchase(request)
    async with world.running():
        began = world.clock.monotonic()
        for number in range(200):
            if number % 2 == 0:
                await world.append(kind(f"h{number}"))
            await world.append(event(1, user=f"u{number}", name="Purchase"))
            await world.clock.advance(1)
        assert 200 == sum(map(is_purchase, world.sender.requests))
        assert 0.2 > world.worst_wait(is_purchase, 1.0, began)


async def test_people_whose_records_hang_do_not_delay_those_of_others_at_one_destination() -> None:
    """Every second one of a hundred; an event a second. Nobody waits longer than one request may take."""
    world = SlowWorld()
    world.slow.is_slow = lambda request: b'"fb_user_id":"h' in (request.body or b"")
    async with world.running():
        began = world.clock.monotonic()
        for number in range(100):
            await world.append(event(number, user=f"h{number % 50}"), event(number, user=f"u{number % 50}"))
            await world.clock.advance(2)
        assert 100 == len(world.slow.answered_at)
        assert world.worst_wait(lambda _request: True, 2.0, began) < TIMEOUT


@pytest.mark.parametrize("answer", [NO_ANSWER, OK])
@pytest.mark.parametrize("backlog", [40, 2000])
async def test_an_app_that_hangs_or_is_slow_does_not_delay_the_events_of_another(
    answer: Answer | Failure, backlog: int
) -> None:
    """Also when its records stand before those of the other."""
    other = attrs.evolve(WIRE, event_url="https://slow.test/track/json")
    world = SlowWorld(
        destinations=[
            Destination(app_id="koapp", wire=WIRE, trackers=TRACKERS),
            Destination(app_id="koslow", wire=other, trackers=TRACKERS),
        ]
    )
    world.slow.is_slow = lambda request: request.host == "slow.test"
    world.slow.slow_answer = answer
    world.slow.seconds = 9.0
    async with world.running():
        await world.append(*(event(1, user=f"s{number}", app="koslow") for number in range(backlog)))
        await world.clock.advance(2)
        began = world.clock.monotonic()
        for number in range(60):
            await world.append(event(1, user=f"s{number}", app="koslow"), event(1, user=f"u{number}"))
            await world.clock.advance(1)
        assert 60 == len(world.slow.answered_at)
        assert 1.5 > world.worst_wait(lambda _request: True, 1.0, began)


async def test_each_trackers_host_has_its_share() -> None:
    """A tracker whose impressions hang leaves places to the impressions of another."""
    trackers = {
        "greeting": TrackerUrls(impression_url="https://a.test/i"),
        "spring": TrackerUrls(impression_url="https://b.test/i"),
    }
    world = SlowWorld(destinations=[Destination(app_id="koapp", wire=WIRE, trackers=trackers)])
    world.slow.is_slow = lambda request: request.host == "a.test"
    async with world.running():
        await world.append(*(impression(f"h{number}") for number in range(300)))
        await world.clock.advance(1)
        await world.append(*(attrs.evolve(impression(f"u{number}"), tracker="spring") for number in range(300)))
        await world.clock.advance(3)
        assert 300 == len(world.slow.answered_at)


async def test_a_page_with_a_host_of_its_own_has_its_share() -> None:
    """It hangs, and the other Pages of the same app are served."""
    own = attrs.evolve(WIRE, event_url="https://own.test/track/json")
    destinations = [
        Destination(app_id="koapp", wire=WIRE, trackers=TRACKERS),
        Destination(app_id="koapp", page_id="p", wire=own, trackers=TRACKERS),
    ]
    world = SlowWorld(destinations=destinations)
    world.slow.is_slow = lambda request: request.host == "own.test"
    async with world.running():
        await world.append(*(event(1, user=f"h{number}", page_id="p") for number in range(100)))
        await world.append(*(event(1, user=f"u{number}") for number in range(100)))
        await world.clock.advance(3)
        assert 100 == len(world.slow.answered_at)


async def test_records_that_wait_for_a_place_have_no_attempts() -> None:
    """Nothing was tried."""
    other = attrs.evolve(WIRE, event_url="https://slow.test/track/json")
    world = SlowWorld(
        destinations=[
            Destination(app_id="koapp", wire=WIRE, trackers=TRACKERS),
            Destination(app_id="koslow", wire=other, trackers=TRACKERS),
        ],
        concurrency=4,
        failures_to_open=100,
    )
    world.slow.is_slow = lambda _request: True
    async with world.running():
        await world.append(*(event(1, user=f"s{number}", app="koslow") for number in range(60)))
        await world.clock.advance(9)
        rows = await world.store.browse("track", limit=100)
        assert 4 == len(world.sender.requests)
        assert 56 <= sum(row.attempts == 0 or row.token is not None for row in rows)
        assert 1 >= max(row.attempts for row in rows)


@pytest.mark.parametrize("answer", [BUSY, Answer(status=404), NO_ANSWER, Failure(reason="refused", ambiguous=False)])
async def test_a_link_that_keeps_failing_holds_up_nothing_of_the_person(answer: Answer | Failure) -> None:
    """Their events depend on nothing but their own order."""
    world = World()
    world.sender.answer = lambda request: answer if is_link(request) else OK
    async with world.running():
        await world.append(event(1), link(), event(2))
        await world.clock.advance(1)
        await world.append(event(3), impression(), click())
        await world.clock.advance(1)
        assert 3 == (await world.stats()).done
        assert 1 == (await world.stats("ping")).done == (await world.stats("click")).done
        assert 1 == (await world.stats("link")).waiting


async def test_a_link_comes_after_what_was_recorded_before_it() -> None:
    """Kochava does not join it to a person it does not know."""
    world = World(retry_waits_seconds=(3.0,))
    world.sender.answer = lambda request: OK if is_link(request) else BUSY
    async with world.running():
        await world.append(event(1), link(), event(2))
        await world.append(event(1, user="u2"), event(2, user="u2"))
        await world.clock.advance(20)
        assert not any(map(is_link, world.sender.requests))
        world.sender.answer = lambda _request: OK
        await world.clock.advance(120)
        sent = [is_link(request) for request in world.sender.requests if b'"u1"' in (request.body or b"")]
        assert sent.count(True) == 1
        assert sent.index(True) > 0
        assert 1 == (await world.stats("link")).done


async def test_a_link_follows_an_install_alone() -> None:
    """It may be all that is recorded of a new person."""
    world = SlowWorld(has_installs=True)
    world.slow.is_slow = lambda request: not is_link(request)
    async with world.running():
        await world.append(install(), link())
        await world.clock.advance(9)
        assert [False] == list(map(is_link, world.sender.requests))
        world.slow.is_slow = lambda _request: False
        await world.clock.advance(60)
        assert [False, False, True] == list(map(is_link, world.sender.requests))


async def test_events_follow_their_install_but_wait_for_minutes_at_most() -> None:
    """One that fails for long does not cost the person's purchases."""
    world = SlowWorld(has_installs=True)
    world.sender.answer = lambda request: OK if is_purchase(request) else BUSY
    async with world.running():
        await world.append(install(), event(1))
        await world.clock.advance(250)
        assert not any(map(is_purchase, world.sender.requests))
        await world.append(event(2))
        await world.clock.advance(52)
        events = [body_of(request)["data"] for request in world.sender.requests if is_purchase(request)]
        assert [1, 2] == [each["event_data"]["n"] for each in events]


async def test_a_click_waits_for_its_impression_for_minutes_at_most() -> None:
    """A broken impression address does not cost the click, which dies after a day."""
    world = World()
    world.sender.answer = lambda request: Answer(status=404) if request.host == "imp.kochava.test" else OK
    async with world.running():
        await world.append(impression(), click())
        await world.clock.advance(200)
        assert {"imp.kochava.test"} == {request.host for request in world.sender.requests}
        await world.clock.advance(102)
        assert (1, 1) == ((await world.stats("click")).done, (await world.stats("ping")).waiting)


async def test_a_link_of_before_has_no_predecessors_in_other_lanes() -> None:
    """What others recorded is not waited for."""
    world = World()
    world.sender.answer = lambda request: OK if is_link(request) else BUSY
    async with world.running():
        await world.append(event(1, user="u2"), link())
        await world.clock.advance(1)
        assert 1 == (await world.stats("link")).done


async def test_link_waits_for_none_that_came_later_or_is_dead() -> None:
    """Only what is unsettled and older matters."""
    world = World()
    world.sender.answer = lambda request: OK if is_link(request) else Answer(status=400)
    await world.append(event(1))
    async with world.running():
        await world.clock.advance(1)
        assert 1 == (await world.stats()).dead
        world.sender.answer = lambda request: OK if is_link(request) else BUSY
        await world.append(link())
        later = entry_of(event(2), at=world.clock.now() + 1)
        await world.store.commit(Unit(appends=[later]))
        await world.clock.advance(1)
        assert 1 == (await world.stats("link")).done


def test_kinds_have_queues_of_their_own() -> None:
    """So that none waits for another."""
    kinds = (link(), install(), deletion(), impression(), click(), event(1))
    assert 6 == len({record.queue for record in kinds})
    assert isinstance(impression(), Impression)
