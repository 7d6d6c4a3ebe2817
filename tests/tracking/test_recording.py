"""What calls record: `track`, `identify`, and the arguments of all calls."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import SettingsError, TrackingError, events
from kochava_bot_middleware.exceptions import RegistrationError
from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.messenger.events import Channel, EchoEvent, Event, ReactionEvent, ReadEvent, ReferralEvent
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import (
    PAGE_ID,
    SMARTLINKS,
    USER_ID,
    SlowStore,
    TrackedBot,
    body_to,
    referral,
    tracked_bot,
)


async def only_event(bot: TrackedBot) -> Engagement:
    (record,) = await bot.records()
    assert isinstance(record, Engagement)
    return record


async def test_track_outside_of_handling_is_itself_the_commit() -> None:
    """When the call returns, the event is in the store."""
    bot = tracked_bot()
    await bot.kochava.track("Refund", {"sum": 5, "currency": "USD"}, user_id="u7", channel="instagram")
    event = await only_event(bot)
    assert ("u7", {"ig_user_id": "u7"}, int(bot.clock.now())) == (event.user_id, event.device_ids, event.usertime)


async def test_track_without_a_person_says_what_is_missing() -> None:
    """Outside of handling a person must be named, also in lenient mode: it is a mistake in the code."""
    with pytest.raises(TrackingError, match="`user_id` must say whom"):
        await tracked_bot().kochava.track("Refund")


async def test_track_about_an_event_without_a_person_says_what_is_missing() -> None:
    """A policy warning names no person."""
    bot = tracked_bot()
    raised: list[str] = []

    async def handler(_event: Event) -> None:
        try:
            await bot.kochava.track("Refund")
        except TrackingError as exc:
            raised.append(str(exc))

    await bot.handle(bot.message(user_id=None), handler)
    assert ["event 'Refund': no event of a person is being handled, so `user_id` must say whom it is about"] == raised


@pytest.mark.parametrize("channel", list(Channel))
async def test_act_of_the_page_is_no_event_of_the_person(channel: Channel) -> None:
    """Neither its reaction nor what looks like a tap or a referral; an echo is recorded if it has a name."""
    bot = tracked_bot(install={"mode": "entry"}, events={"names": {"read": "Read", "delivery": "D", "echo": "Echo"}})
    about: dict[str, Any] = {"user_id": USER_ID, "page_id": PAGE_ID, "channel": channel, "from_page": True}
    await bot.handle(ReactionEvent(mid="m", action="react", reaction="love", **about))
    await bot.handle(ReadEvent(mid="m", **about))
    await bot.handle(bot.delivery("m", from_page=True))
    await bot.handle(bot.postback(from_page=True))
    await bot.handle(ReferralEvent(referral=referral(), **about))
    assert [] == await bot.names()

    await bot.handle(EchoEvent(mid="m", **about))
    assert ["Echo"] == await bot.names()


async def test_near_miss_of_a_standard_name_is_sent_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A purchase must not be lost for the spelling of its name."""
    bot = tracked_bot()
    for number in range(3):
        await bot.kochava.track("purchase", {"Price": number}, user_id=USER_ID)

    assert [("purchase", {"Price": number}) for number in range(3)] == await bot.events()
    assert 1 == caplog.text.count("event_name_problem purchase Kochava knows")
    assert 1 == caplog.text.count("event_data_problem purchase.Price is not the standard key 'price'")


async def test_near_miss_of_a_standard_name_is_refused_in_strict_mode() -> None:
    """At the call, with what to write."""
    bot = tracked_bot(events={"strict": True})
    with pytest.raises(TrackingError, match="'Add to Cart'"):
        await bot.kochava.track("Add To Cart", user_id=USER_ID)
    assert [] == await bot.events()


def test_near_miss_of_a_standard_name_is_refused_when_decorated_in_strict_mode() -> None:
    """Not only once the handler has run."""
    with pytest.raises(RegistrationError, match="'Add to Wish List'"):
        tracked_bot(events={"strict": True}).kochava.event("Add to Wishlist")


def test_near_miss_as_the_name_of_an_automatic_event_is_refused_in_strict_mode() -> None:
    """It is in the settings, so they are refused."""
    wrong = {"names": {"message": "purchase"}}
    with pytest.raises(SettingsError, match=r"events\.names\.message: wanted 'Purchase', or another name"):
        tracked_bot(events={"strict": True, **wrong})
    tracked_bot(events=wrong)


@pytest.mark.parametrize("outside", [False, True])
async def test_the_same_id_twice_is_a_no_op(outside: bool) -> None:
    """An order is recorded once, in one handling, in two, or outside."""
    bot = tracked_bot(events={"automatic": "off"})

    async def pay(_event: Event | None) -> None:
        await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD"}, id="order-881", user_id=USER_ID)

    for _ in range(2):
        await (pay(None) if outside else bot.handle(bot.message(), pay))
    assert 1 == len(await bot.records())
    await bot.kochava.track("Purchase", id="order-882", user_id=USER_ID)
    assert 2 == len(await bot.records())


async def test_the_same_id_twice_in_a_handling_counts_once() -> None:
    """In metrics, as in the store."""
    bot = tracked_bot(events={"automatic": "off"})

    async def pay(_event: Event) -> None:
        for _ in range(2):
            await bot.kochava.track("Purchase", id="order-881")

    await bot.handle(bot.message(), pay)
    assert {"engagement": 1} == bot.kochava.counts.recorded


async def test_the_same_name_twice_in_a_handling_is_two_events() -> None:
    """Each has an id of its own, since both happened."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        for price in (1, 2):
            await bot.kochava.track("Bid", {"price": price})

    await bot.handle(bot.message(), handler)
    assert [("Bid", {"price": 1}), ("Bid", {"price": 2})] == await bot.events()


async def test_ids_are_the_same_when_an_event_is_handled_again() -> None:
    """Redelivered or rerun after a crash, in another process: everything counts once."""
    bot = tracked_bot(greeting={"impression_url": "https://imp.test/i"})
    message = bot.message()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Bid")
        await bot.kochava.track("Bid")
        await bot.kochava.track("Bid", user_id="friend")

    await bot.handle(message, handler)
    first = [record.id for record in await bot.records()]
    again = bot.restarted()

    async def other_order(_event: Event) -> None:
        await again.kochava.track("Bid", user_id="friend")
        await again.kochava.track("Bid")
        await again.kochava.track("Bid")

    await again.handle(attrs.evolve(message, attempt=2), other_order)
    assert 3 == len(set(first))
    assert first == [record.id for record in await bot.records()]


@pytest.mark.parametrize("named", [True, False])
async def test_ids_of_later_events_sort_later(named: bool) -> None:
    """So what is stored together is on few pages of an index, however much is stored."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        if named:
            await bot.kochava.track("Bid")

    for _ in range(5):
        await bot.handle(bot.message(), handler)
        await bot.clock.advance(0.002)
    ids = [record.id for record in await bot.records()]
    assert sorted(ids) == ids


async def test_ids_of_later_calls_outside_of_handling_sort_later() -> None:
    """Likewise, by the second of the call."""
    bot = tracked_bot()
    for _ in range(5):
        await bot.kochava.track("Bid", user_id=USER_ID)
        await bot.clock.advance(1)
    ids = [record.id for record in await bot.records()]
    assert sorted(ids) == ids


async def test_a_task_that_outlives_the_handling_commits_by_itself() -> None:
    """It belongs to no event any more, so it names the person."""
    bot = tracked_bot()
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        await bot.kochava.track("Reminder Planned", user_id=USER_ID)

    tasks: list[asyncio.Task[None]] = []

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await bot.handle(bot.message(), handler)
    assert ["Message"] == await bot.names()
    go.set()
    await tasks[0]
    assert ["Message", "Reminder Planned"] == await bot.names()


async def test_an_event_tracked_while_the_handling_is_committed_is_not_lost() -> None:
    """Its unit is closed by then, so the call commits by itself."""
    clock = VirtualClock()
    bot = tracked_bot(clock, store=SlowStore(clock=clock))
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await settle(2)
        await bot.kochava.track("Late", user_id=USER_ID)

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await bot.handle(bot.message(), handler)
    await tasks[0]
    assert ["Late", "Message"] == sorted(await bot.names())


async def test_strict_mode_raises_at_the_call() -> None:
    """In development, a bad key is an error that names event, key and reason."""
    bot = tracked_bot(events={"strict": True})
    with pytest.raises(TrackingError, match="event 'Purchase', key 'source': is reserved by Kochava"):
        await bot.kochava.track("Purchase", {"source": "shop"}, user_id=USER_ID)


async def test_a_purchase_is_not_lost_because_of_one_bad_key() -> None:
    """That key alone is left out, and counted."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD", "source": "x", "when": object()}, user_id=USER_ID)
    assert [("Purchase", {"sum": 1, "currency": "USD"})] == await bot.events()
    assert {"bad key": 2} == bot.kochava.counts.left_out


class Hostile(dict[str, Any]):
    """Data that cannot be read."""

    def keys(self) -> Any:
        raise LookupError

    def items(self) -> Any:
        raise LookupError


@pytest.mark.parametrize("data", [Hostile(a=1), {"deep": Hostile(a=1)}])
async def test_data_that_cannot_be_read_loses_no_event(data: Any) -> None:
    """Whatever an author's object raises, the handler never learns of it."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", data, user_id=USER_ID)
    ((name, _),) = await bot.events()
    assert "Purchase" == name


async def test_data_changed_after_the_call_is_recorded_as_it_was() -> None:
    """The caller may go on to use the object."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        basket = {"quantity": 1}
        await bot.kochava.track("Add to Cart", basket)
        basket["quantity"] = 2
        await bot.kochava.track("Add to Cart", basket)

    await bot.handle(bot.message(), handler)
    assert [1, 2] == [data["quantity"] for _, data in await bot.events()]


async def test_id_without_a_stored_form_loses_that_record_only() -> None:
    """Half a surrogate pair in an id cannot be written, so the call is refused; all else of the handling is written."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        with pytest.raises(TrackingError, match="half a character"):
            await bot.kochava.track("bad", user_id="\ud800")
        await bot.kochava.track("good")

    await bot.handle(bot.message(), handler)
    assert [("good", None)] == await bot.events()


async def test_half_a_character_in_a_name_does_not_lose_the_event() -> None:
    """It is replaced and said."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase \ud800", {"sum": 1}, user_id=USER_ID)
    assert [("Purchase ?", {"sum": 1})] == await bot.events()


@pytest.mark.parametrize("name", ["", " ", "\n"])
async def test_an_event_without_a_name_is_refused_at_the_call(name: str) -> None:
    """Kochava could show nothing for it."""
    bot = tracked_bot()
    with pytest.raises(TrackingError, match="has a name"):
        await bot.kochava.track(name, user_id=USER_ID)


async def test_a_built_purchase_with_a_wrong_currency_is_not_lost() -> None:
    """Neither the handler nor the event ends by it; strict mode would raise."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase", data=lambda _event, _result: events.purchase(price=5, currency="usd"))
    async def sell(_event: Event) -> None:
        await bot.kochava.track(events.purchase(price=6, currency="eur", source="ad"))

    await bot.handle(bot.message(), sell)
    assert [{"currency": "eur", "sum": 6}, {"currency": "usd", "sum": 5}] == [data for _, data in await bot.events()]


async def test_rewrite_is_pure_and_takes_the_bodys_recipient() -> None:
    """For senders that do not pass the middleware."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    body = body_to("u9")
    rewritten = bot.kochava.rewrite(body, page_id=PAGE_ID, creative="greet_b")
    url = rewritten["message"]["attachment"]["payload"]["buttons"][0]["url"]
    assert body_to("u9") == body
    assert (
        "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes&site_id=1001"
        "&sub_site_id=messenger&creative_id=greet_b&fb_user_id=u9"
    ) == url
    assert rewritten == bot.kochava.rewrite(rewritten, creative="greet_b")
    assert "fb_user_id=u7" in str(bot.kochava.rewrite({"message": body["message"]}, user_id="u7"))


async def test_an_integer_is_an_id_as_well() -> None:
    """Ids come as numbers out of many databases."""
    bot = tracked_bot()
    await bot.kochava.track("Refund", user_id=4711, channel=Channel.MESSENGER)
    assert {"fb_user_id": "4711"} == (await only_event(bot)).device_ids


@pytest.mark.parametrize("call", ["track", "identify", "rewrite", "opt_out", "opt_in", "forget"])
@pytest.mark.parametrize("user_id", ["", "  ", ["1", "2"], 7.5, True, b"77"])
async def test_every_call_refuses_an_invalid_user_id(call: str, user_id: Any) -> None:
    """With an error that names the argument and its type, but not the id."""
    bot = tracked_bot()
    arguments = {"track": ("Purchase",), "identify": ({"customer_id": "C-17"},), "rewrite": ({"message": {}},)}
    with pytest.raises(TrackingError, match="`user_id` is one id") as caught:
        await getattr(bot.kochava, call)(*arguments.get(call, ()), user_id=user_id)
    assert "77" not in str(caught.value)
    assert [] == await bot.records()


@pytest.mark.parametrize("call", ["track", "identify", "rewrite", "opt_out", "opt_in", "forget"])
async def test_every_call_refuses_half_a_character_in_a_user_id(call: str) -> None:
    """No store and no request has a form for it."""
    bot = tracked_bot()
    arguments = {"track": ("Purchase",), "identify": ({"customer_id": "C-17"},), "rewrite": ({"message": {}},)}
    with pytest.raises(TrackingError, match="`user_id` holds half a character"):
        await getattr(bot.kochava, call)(*arguments.get(call, ()), user_id="77\ud83d")


@pytest.mark.parametrize("call", ["opt_out", "opt_in", "forget"])
async def test_opting_out_needs_a_user_id(call: str) -> None:
    """Nor be forgotten."""
    with pytest.raises(TrackingError, match=r"`user_id` is one id, .*, got nothing"):
        await getattr(tracked_bot().kochava, call)(None)


async def test_ids_may_be_whole_numbers() -> None:
    """The same person, event and Page as with the text."""
    bot = tracked_bot(pages={"7": {"kochava_app_id": "koseven"}})
    await bot.kochava.track("Order", user_id=77, id=881, page_id=7)
    await bot.kochava.track("Order", user_id="77", id="881", page_id="7")

    (record,) = await bot.records()
    assert ("77", "koseven") == (record.user_id, record.app_id)
    assert await bot.kochava.forget(77) == 1


@pytest.mark.parametrize(
    ("named", "reported"),
    [
        ({"channel": "whatsapp"}, "`channel` is one of 'messenger', 'instagram', got 'whatsapp'"),
        ({"channel": []}, "`channel` is one of 'messenger', 'instagram', got a list of 0"),
        ({"page_id": ""}, "`page_id` is one id, .*, got an empty text"),
        ({"page_id": ["7"]}, "`page_id` is one id, .*, got a list of 1"),
    ],
)
@pytest.mark.parametrize("mode", ["live", "off"])
async def test_an_invalid_page_or_channel_is_refused(named: dict[str, Any], reported: str, mode: str) -> None:
    """Also while the middleware is off, so that switching it on is no surprise."""
    kochava = tracked_bot(mode=mode).kochava
    with pytest.raises(TrackingError, match=reported):
        await kochava.track("Order", user_id="1", **named)
    with pytest.raises(TrackingError, match=reported):
        await kochava.identify({"customer_id": "C"}, user_id="1", **named)


@pytest.mark.parametrize("track_id", ["", " ", 1.5, ["a"], False])
async def test_an_invalid_event_id_is_refused(track_id: Any) -> None:
    """An empty one would make all orders one."""
    with pytest.raises(TrackingError, match="`id` is one id"):
        await tracked_bot().kochava.track("Order", user_id="1", id=track_id)


def test_a_message_alone_is_rewritten_as_in_its_body() -> None:
    """Some senders are given no more than that."""
    kochava = tracked_bot(smartlinks=SMARTLINKS).kochava
    button = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}
    message = {
        "attachment": {"type": "template", "payload": {"template_type": "button", "text": "x", "buttons": [button]}}
    }

    alone = kochava.rewrite(message, user_id=77)
    assert kochava.rewrite({"recipient": {"id": "77"}, "message": message})["message"] == alone
    assert "fb_user_id=77" in str(alone)
    assert "https://shop.example" == button["url"]
