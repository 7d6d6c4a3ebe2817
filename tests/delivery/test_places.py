"""How places are divided among shares."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.delivery.places import Places, ShareName
from tests.fakes import VirtualClock


def share(host: str = "a") -> ShareName:
    return ShareName(host=host, app_id="koapp", kind="engagement")


async def taken_by(places: Places, *names: ShareName, times: int = 100) -> list[int]:
    """How many places each share gets when all want many, in turns."""
    taken = dict.fromkeys(names, 0)
    waiting: list[asyncio.Task[float | None]] = []
    for _ in range(times):
        for name in names:
            task = asyncio.create_task(places.take(name))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if task.done() and task.result() is None:
                taken[name] += 1
            else:
                waiting.append(task)
    places.close()
    await asyncio.gather(*waiting)
    return list(taken.values())


async def test_alone_a_share_gets_as_many_as_the_settings_allow() -> None:
    """Whatever number that is."""
    for most in (1, 2, 3, 4, 5, 8, 16, 17, 100):
        assert [most] == await taken_by(Places(most, VirtualClock()), share())


async def test_shares_that_hang_leave_places_to_another() -> None:
    """Though each of them wants all."""
    for hanging in range(1, 6):
        places = Places(16, VirtualClock())
        held = [share(f"h{number}") for number in range(hanging)]
        waiting = []
        for _ in range(20):
            for name in held:
                waiting.append(asyncio.create_task(places.take(name)))
                await asyncio.sleep(0)
        assert await places.take(share("new")) is None
        places.close()
        await asyncio.gather(*waiting)


async def test_a_place_that_is_given_back_goes_to_who_waits() -> None:
    """The first of the share comes first."""
    places = Places(1, VirtualClock())
    assert await places.take(share()) is None
    first, second = (asyncio.create_task(places.take(share())) for _ in range(2))
    await asyncio.sleep(0)
    places.give_back(share())
    assert await first is None
    assert not second.done()
    places.close()
    assert await second is not None


async def test_who_waits_for_long_is_sent_away() -> None:
    """After a second, so that others are claimed."""
    clock = VirtualClock()
    places = Places(1, clock)
    assert await places.take(share()) is None
    waiting = asyncio.create_task(places.take(share()))
    await clock.advance(0.9)
    assert not waiting.done()
    await clock.advance(0.4)
    seconds = await waiting
    assert seconds is not None
    assert 1.0 <= seconds < 1.1


async def test_in_a_slow_share_few_wait() -> None:
    """The others are sent away at once, the later the more they are."""
    clock = VirtualClock()
    places = Places(4, clock)
    for _ in range(4):
        assert await places.take(share()) is None
    waiting = [asyncio.create_task(places.take(share())) for _ in range(2)]
    await clock.advance(1.5)
    assert all(task.done() for task in waiting)
    again = asyncio.create_task(places.take(share()))
    await asyncio.sleep(0)
    seconds = [await places.take(share()) for _ in range(1000)]
    assert not again.done()
    assert seconds == sorted(seconds, key=lambda each: each or 0.0)
    assert 4.5 < (seconds[-1] or 0.0) < 5.5
    places.close()
    await again


async def test_a_place_given_to_a_task_that_is_cancelled_comes_back() -> None:
    """None is lost."""
    places = Places(1, VirtualClock())
    assert await places.take(share()) is None
    waiting = asyncio.create_task(places.take(share()))
    await asyncio.sleep(0)
    places.give_back(share())
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert await places.take(share()) is None
    places.close()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.integers(1, 9))
def test_no_sequence_takes_more_places_than_there_are(steps: list[tuple[str, bool]], most: int) -> None:
    """And what is given back can be taken again."""

    async def run() -> None:
        places = Places(most, VirtualClock())
        held: dict[str, list[asyncio.Task[float | None]]] = {host: [] for host in "abc"}
        for host, takes in steps:
            if takes:
                held[host].append(asyncio.create_task(places.take(share(host))))
            elif held[host] and held[host][0].done():
                held[host].pop(0)
                places.give_back(share(host))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            under_way = [sum(task.done() for task in tasks) for tasks in held.values()]
            assert max(under_way) <= most
            assert sum(under_way) <= most + max(1, most // 4)
        places.close()
        await asyncio.gather(*(task for tasks in held.values() for task in tasks))

    asyncio.run(run())
