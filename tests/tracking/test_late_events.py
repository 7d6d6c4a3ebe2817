"""Events of other programs: they happened at another time, perhaps to a person known only by a device id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import TrackingError
from kochava_bot_middleware.kochava.records import Deletion, Engagement, Install, Record
from kochava_bot_middleware.kochava.wire import build_request
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.store.records import Queue
from kochava_bot_middleware.tracking.privacy import Privacy
from tests.tracking.tracked_bot import USER_ID, TrackedBot, referral, tracked_bot

ADID = "38400000-8cf0-11bd-b23e-10b96e40000d"
DAY = 86_400
HASHED = {"user_id_hash": True, "user_id_hash_key": "key"}


async def only(bot: TrackedBot) -> Engagement:
    """The event that was recorded."""
    (record,) = [record for record in await bot.records() if isinstance(record, Engagement)]
    return record


async def test_an_event_has_the_time_it_happened() -> None:
    """As given, in whole seconds."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", user_id=USER_ID, time=datetime(2026, 9, 1, tzinfo=UTC))
    assert int(datetime(2026, 9, 1, tzinfo=UTC).timestamp()) == (await only(bot)).usertime


async def test_an_event_tracked_while_another_is_handled_has_its_own_time() -> None:
    """The automatic ones keep that of the webhook."""
    bot = tracked_bot(events={"automatic": "always"})
    now = int(bot.clock.now())

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Shipped", time=now - DAY)

    await bot.handle(bot.message(), handler)
    times = {record.event_name: record.usertime for record in await bot.records() if isinstance(record, Engagement)}
    assert {"Shipped": now - DAY, "Message": now} == times


@pytest.mark.parametrize("form", [lambda moment: moment, datetime.timestamp])
async def test_the_time_of_the_event_being_handled_is_not_refused(form: Callable[[datetime], Any]) -> None:
    """Though the clock was set back by hours; then it counts as now, as that of its automatic event."""
    bot = tracked_bot(events={"automatic": "always"})
    event = attrs.evolve(bot.message(), timestamp=bot.at() + timedelta(hours=2, microseconds=7000))

    async def handler(event: Event) -> None:
        assert event.timestamp is not None
        await bot.kochava.track("Shipped", time=form(event.timestamp))
        with pytest.raises(TrackingError, match="more than an hour in the future"):
            await bot.kochava.track("Shipped", time=event.timestamp + timedelta(seconds=1))

    await bot.handle(event, handler)
    now = int(bot.clock.now())
    assert [("Message", now), ("Shipped", now)] == sorted(
        (record.event_name, record.usertime) for record in await bot.records() if isinstance(record, Engagement)
    )


async def test_an_old_event_is_not_given_up_for_its_age() -> None:
    """Ages of records are counted from when they were recorded."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", user_id=USER_ID, time=1)
    (row,) = await bot.store.browse(Queue.TRACK)
    assert bot.clock.now() == row.entry.created_at


@pytest.mark.parametrize("arguments", [{"time": datetime(2026, 9, 1)}, {"time": 9e12}, {"device_ids": {"adid": " "}}])  # noqa: DTZ001
async def test_a_wrong_argument_stores_nothing(arguments: Any) -> None:
    """The call raises."""
    bot = tracked_bot()
    with pytest.raises(TrackingError):
        await bot.kochava.track("Purchase", user_id=USER_ID, **arguments)
    assert [] == await bot.records()


async def test_an_install_is_not_later_than_what_is_recorded_late() -> None:
    """Kochava wants the install first."""
    bot = tracked_bot(install={"mode": "first_seen", "since": "2020-01-01T00:00:00Z"})
    then = int(bot.clock.now()) - DAY
    await bot.kochava.track("Purchase", user_id=USER_ID, time=then)
    assert [then, then] == [record.usertime for record in await bot.records()]


async def test_a_referral_does_not_go_with_what_happened_before_it() -> None:
    """Only with what came later."""
    bot = tracked_bot()
    came_at = int(bot.clock.now())
    await bot.handle(bot.postback(referral=referral("flyer")))
    bot.clock.stall(100)
    await bot.kochava.track("Before", {"sum": 1}, user_id=USER_ID, time=came_at - DAY)
    await bot.kochava.track("After", {"sum": 1}, user_id=USER_ID, time=came_at + 50)
    found = {name: "referral_from" in data for name, data in await bot.events() if name in ("Before", "After")}
    assert {"Before": False, "After": True} == found


async def test_further_ids_go_with_the_persons_own() -> None:
    """Which comes first."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", user_id=USER_ID, device_ids={"adid": ADID, "customer_id": 17})
    assert [("fb_user_id", USER_ID), ("adid", ADID), ("customer_id", "17")] == [*(await only(bot)).device_ids.items()]


async def test_in_a_handler_they_are_further_ids_of_the_events_person() -> None:
    """Nobody else is meant."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Purchase", device_ids={"adid": ADID})

    await bot.handle(bot.message(), handler)
    record = await only(bot)
    assert (USER_ID, {"fb_user_id": USER_ID, "adid": ADID}) == (record.user_id, record.device_ids)


async def test_a_person_may_be_known_by_a_device_id_alone() -> None:
    """It names their lane, so that it is the same person each time, and no id of Messenger is made up."""
    bot = tracked_bot(install={"mode": "first_seen", "since": "2020-01-01T00:00:00Z"})
    await bot.kochava.track("Search", device_ids={"adid": ADID})
    await bot.kochava.track("Purchase", device_ids={"adid": ADID, "idfv": "x"})
    records: list[Record] = await bot.records()
    assert not [record for record in records if isinstance(record, Install)]
    assert [f"koapp/adid:{ADID}"] * 2 == [record.lane for record in records]
    assert [{"adid": ADID}, {"adid": ADID, "idfv": "x"}] == [record.device_ids for record in records]  # type: ignore[attr-defined]


async def test_a_hash_hides_the_persons_own_id_under_every_name() -> None:
    """Other ids leave as they are, since that is what joins them."""
    bot = tracked_bot(privacy=HASHED)
    await bot.kochava.track("Purchase", user_id=USER_ID, device_ids={"psid": USER_ID, "adid": ADID})
    context = bot.context()
    record = await only(bot)
    request = build_request(record, context.apps.of(None).destination)
    assert f'"{USER_ID}"'.encode() not in (request.body or b"")
    assert record.device_ids["psid"] == record.device_ids["fb_user_id"]
    assert ADID == record.device_ids["adid"]


@pytest.mark.parametrize("privacy", [{}, HASHED])
async def test_an_opt_out_holds_for_a_person_known_by_a_device_id(privacy: Any) -> None:
    """And is taken back likewise."""
    bot = tracked_bot(privacy=privacy)
    await bot.kochava.opt_out(device_ids={"adid": ADID})
    await bot.kochava.track("Not Sent", device_ids={"adid": ADID})
    await bot.kochava.track("Not Sent", device_ids={"idfv": "x", "adid": ADID})
    await bot.kochava.track("Not Sent", user_id=USER_ID, device_ids={"adid": ADID})
    assert ([], 3) == (await bot.names(), bot.kochava.counts.left_out["opted out"])
    await bot.kochava.opt_in(device_ids={"adid": ADID})
    await bot.kochava.track("Sent", device_ids={"adid": ADID})
    assert ["Sent"] == await bot.names()


@pytest.mark.parametrize("privacy", [{}, HASHED])
async def test_an_opt_out_holds_for_all_ids_that_were_sent(privacy: Any) -> None:
    """A shop that knows only the device must not go on."""
    bot = tracked_bot(privacy=privacy)
    await bot.kochava.track("Purchase", user_id=USER_ID, device_ids={"adid": ADID})
    await bot.kochava.opt_out(USER_ID)
    await bot.kochava.track("Not Sent", device_ids={"adid": ADID})
    assert ["Purchase"] == await bot.names()
    await bot.kochava.opt_in(USER_ID)
    await bot.kochava.track("Sent", device_ids={"adid": ADID})
    assert ["Purchase", "Sent"] == await bot.names()


async def test_what_waits_with_the_id_of_a_suppressed_person_is_not_sent() -> None:
    """Whoever's lane it is in."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", user_id=USER_ID, device_ids={"adid": ADID})
    await bot.kochava.opt_out(device_ids={"adid": ADID})
    assert "opted out" == await Privacy(bot.context()).gate(await only(bot))


async def test_a_forgotten_person_is_forgotten_under_all_ids() -> None:
    """What waits is dropped, and Kochava is asked to delete each."""
    bot = tracked_bot(wire={"deletion_url": "https://kochava.test/scrub", "deletion_key": "key"})
    await bot.kochava.track("Search", device_ids={"adid": ADID, "idfv": "x"})
    await bot.kochava.track("Purchase", user_id=USER_ID, device_ids={"adid": ADID})
    assert 2 == await bot.kochava.forget(USER_ID)
    (record,) = await bot.records()
    assert isinstance(record, Deletion)
    assert {"fb_user_id": USER_ID, "adid": ADID, "idfv": "x"} == record.device_ids
    assert {} == await bot.store.recall([(f"koapp/adid:{ADID}", f"known:koapp:adid:{ADID}")])


async def test_forget_by_a_device_id() -> None:
    """Of a person of whom nothing else is known."""
    bot = tracked_bot()
    await bot.kochava.track("Search", device_ids={"adid": ADID})
    assert 1 == await bot.kochava.forget(device_ids={"adid": ADID})
    await bot.kochava.track("Not Sent", device_ids={"adid": ADID})
    assert [] == await bot.names()
