"""Greeting → impression → click, through the middleware and a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from kochava_bot_middleware import RegistrationError, TrackingError
from kochava_bot_middleware.kochava.destination import Destination, TrackerUrls
from kochava_bot_middleware.kochava.records import Click, Impression, Ping
from kochava_bot_middleware.kochava.wire import build_request
from kochava_bot_middleware.messenger.events import Channel, Event, ReadEvent
from kochava_bot_middleware.messenger.events.base import PriorMessage
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, CommitVerdict, Queue, Unit
from kochava_bot_middleware.tracking.funnel import FunnelState
from tests.fakes import VirtualClock
from tests.tracking.tracked_bot import (
    GREETING,
    PAGE_ID,
    USER_ID,
    SlowStore,
    TrackedBot,
    body_to,
    referral,
    state_keys,
    tracked_bot,
)


async def pings(bot: TrackedBot) -> list[str]:
    return [record.kind for record in await bot.records(Queue.PING)]


async def ping(bot: TrackedBot, kind: type[Ping]) -> Ping:
    (found,) = (record for record in await bot.records(Queue.PING) if isinstance(record, kind))
    return found


async def wait(bot: TrackedBot, seconds: float) -> None:
    """Let time pass while the middleware's timers run."""
    await bot.kochava.start()
    await bot.clock.advance(seconds)


@pytest.fixture
async def greeter() -> AsyncIterator[TrackedBot]:
    """A process with a greeting; stopped at the end."""
    bot = tracked_bot(greeting=GREETING)
    yield bot
    await bot.kochava.stop()


def with_greeting(**more: Any) -> TrackedBot:
    return tracked_bot(greeting={**GREETING, **more})


async def test_all_messages_of_a_greeting_handler_are_one_impression(greeter: TrackedBot) -> None:
    """However many they are, and in whatever order they are delivered."""
    bot = greeter
    mids: list[str] = []

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        mids.append(await bot.send({"recipient": {"id": USER_ID}, "message": {"text": "Welcome!"}}))
        mids.append(await bot.send(body_to()))

    await bot.handle(bot.postback(), greet)
    for mid in reversed(mids):
        await bot.handle(bot.delivery(mid))
    assert ["impression"] == await pings(bot)
    await bot.handle(bot.postback("CHAT"))
    assert ["impression", "click"] == await pings(bot)


@pytest.mark.parametrize("way", ["keyword", "body", "message"])
async def test_a_marked_send_is_a_greeting(greeter: TrackedBot, way: str) -> None:
    """`greeting=True`, or a body or message marked by `kochava.greeting`, also outside of handling."""
    bot, body = greeter, body_to()
    match way:
        case "keyword":
            mid = await bot.send(body, greeting=True)
        case "body":
            mid = await bot.send(bot.kochava.greeting(body, creative="greet_b"))
        case _:
            mid = await bot.send({**body, "message": bot.kochava.greeting(body["message"], creative="greet_b")})
    await bot.handle(bot.delivery(mid))
    impression = await ping(bot, Impression)
    assert (None if way == "keyword" else "greet_b") == impression.params.get("creative_id")


async def test_what_the_page_reads_does_not_show_the_greeting(greeter: TrackedBot) -> None:
    """Nor does its own tap click it: both need the person."""
    bot = greeter
    mid = await bot.send(body_to(), greeting=True)
    about: dict[str, Any] = {"user_id": USER_ID, "page_id": PAGE_ID}
    for from_page, pinged in ((True, []), (False, ["impression", "click"])):
        await bot.handle(bot.delivery(mid, from_page=from_page))
        await bot.handle(ReadEvent(watermark=bot.at(), from_page=from_page, **about))
        await bot.handle(bot.postback("CHAT", from_page=from_page))
        assert pinged == await pings(bot)


def test_a_marked_body_is_the_body() -> None:
    """The mark is no member, and the body that was given stays as it was."""
    kochava, body = with_greeting().kochava, body_to()
    marked = kochava.greeting(body, creative="greet_b")
    assert (body_to(), True) == (body, marked == body)
    assert type(body) is dict


async def test_without_delivery_events_the_sends_success_counts_after_the_wait(greeter: TrackedBot) -> None:
    """The Page is not subscribed to deliveries: one minute after the send, the greeting was shown."""
    bot = greeter
    await bot.send(body_to(), greeting=True)
    await wait(bot, 59)
    assert [] == await pings(bot)
    await wait(bot, 2)
    assert ["impression"] == await pings(bot)
    await wait(bot, 120)
    assert ["impression"] == await pings(bot)


async def test_on_instagram_the_wait_always_counts() -> None:
    """It has no delivery events, whatever its Page has on Messenger."""
    bot = with_greeting(delivery_events="expected")
    await bot.send(body_to(), greeting=True, channel=Channel.INSTAGRAM)
    await wait(bot, 61)
    impression = await ping(bot, Impression)
    assert "instagram" == impression.params["sub_site_id"]
    await bot.kochava.stop()


async def test_an_instagram_read_proves_the_greeting_shown(greeter: TrackedBot) -> None:
    """Its read event names the message."""
    bot = greeter
    mid = await bot.send(body_to(), greeting=True, channel=Channel.INSTAGRAM)
    await bot.handle(
        ReadEvent(user_id=USER_ID, page_id=PAGE_ID, channel=Channel.INSTAGRAM, mid=mid, timestamp=bot.at())
    )
    assert ["impression"] == await pings(bot)


async def test_where_deliveries_come_the_wait_alone_proves_nothing(greeter: TrackedBot) -> None:
    """This Page has delivery events, so a greeting without one did not arrive: the phone is off."""
    bot = greeter
    await bot.handle(bot.delivery("other", user_id="somebody"))
    await bot.send(body_to(), greeting=True)
    await wait(bot, 120)
    assert [] == await pings(bot)
    assert {} == {name: one for name, one in (await bot.store.stats()).items() if name == Queue.TIMER and one.waiting}


class MarkKeepingStore(MemoryStore):
    """A store that remembers the keys of all marks it is given."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.keys: list[str] = []

    async def commit(self, unit: Unit) -> Committed:
        self.keys += [mark.key for mark in unit.marks]
        return await super().commit(unit)


async def test_that_a_page_has_delivery_events_is_written_once_a_day() -> None:
    """Not with each of them: they are most of all events."""
    clock = VirtualClock()
    store = MarkKeepingStore(clock)
    bot = tracked_bot(clock, store=store, greeting=GREETING)
    for hours in (0, 1, 22, 2):
        clock.stall(hours * 3600.0)
        await bot.handle(bot.delivery(f"mid-{hours}"))
    assert [f"deliveries:{PAGE_ID}"] * 2 == [key for key in store.keys if key.startswith("deliveries:")]


class ContestedStore(MemoryStore):
    """A store whose first commit fails, as if another process had changed a state entry."""

    contested = True

    async def commit(self, unit: Unit) -> Committed:
        if self.contested:
            self.contested = False
            return Committed(verdict=CommitVerdict.CONDITION_FAILED)
        return await super().commit(unit)


async def test_that_a_page_has_delivery_events_is_written_by_the_next_try_too() -> None:
    """It is known as written only when it is."""
    clock = VirtualClock()
    store = ContestedStore(clock=clock)
    bot = tracked_bot(clock, store=store, greeting=GREETING)
    await bot.handle(bot.delivery("mid-1"))
    assert [f"deliveries:{PAGE_ID}"] == list(await store.recall([(PAGE_ID, f"deliveries:{PAGE_ID}")]))


@pytest.mark.parametrize(
    "recipient", [{"user_ref": "box-1"}, {"comment_id": "c1"}, {"notification_messages_token": "t"}]
)
async def test_a_greeting_without_a_user_id_is_joined_by_its_message_id(
    greeter: TrackedBot, recipient: dict[str, str]
) -> None:
    """Facebook names the person only in the delivery event."""
    bot = greeter
    mid = await bot.send(body_to(**recipient), greeting=True, answer={"message_id": "mid-x"})
    other = bot.restarted()
    await other.handle(other.delivery("mid-x"))
    await other.handle(other.postback("CHAT"))
    assert [("impression", USER_ID), ("click", USER_ID)] == [
        (record.kind, record.user_id) for record in await bot.records(Queue.PING)
    ]
    assert mid


async def test_a_delivery_that_comes_before_the_greeting_is_recorded_joins_too(greeter: TrackedBot) -> None:
    """The webhook overtook the answer."""
    bot = greeter
    await bot.handle(bot.delivery("mid-x"))
    await bot.send(body_to(comment_id="c1"), greeting=True, answer={"message_id": "mid-x"})
    assert ["impression"] == await pings(bot)


async def test_a_greeting_to_a_plugins_reference_is_joined_by_the_first_message(greeter: TrackedBot) -> None:
    """The event names the `user_ref` that its person had before."""
    bot = greeter
    await bot.send(body_to(user_ref="box-1"), greeting=True, answer={})
    await bot.handle(bot.message(prior_message=PriorMessage(source="checkbox_plugin", identifier="box-1")))
    assert ["impression", "click"] == await pings(bot)


async def test_a_first_message_after_a_link_is_no_click(greeter: TrackedBot) -> None:
    """The link was counted by itself, so the message proves the greeting shown, and no more."""
    bot = greeter
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message(referral=referral()))
    assert ["impression"] == await pings(bot)


async def test_an_offered_button_counts_although_facebooks_clock_is_behind(greeter: TrackedBot) -> None:
    """The payload itself proves that the tap came after the offer."""
    bot = greeter
    await bot.send(body_to(), greeting=True)
    await bot.handle(attrs.evolve(bot.postback("CHAT"), timestamp=datetime_before(bot, 2)))
    assert ["impression", "click"] == await pings(bot)


def datetime_before(bot: TrackedBot, seconds: float) -> Any:
    return bot.at().fromtimestamp(bot.clock.now() - seconds, bot.at().tzinfo)


async def test_pings_carry_what_the_settings_name() -> None:
    """Ids are stable and own; names are settable; what is not known is left out."""
    bot = tracked_bot(
        greeting={
            **GREETING,
            "user_param": "device_id",
            "impression_id_param": "imp_id",
            "click_id_param": "cid",
            "site_id_param": None,
            "sub_site_id_param": "site",
            "creative_id_param": None,
            "ref_param": "cp_1",
            "params": {"cp_0": "{handler}", "cp_2": "{ad_id}", "cp_3": "page-{page_id}", "fixed": "yes"},
        },
        device={"origination_ip": lambda user_id: f"2001:db8::{user_id[1:]}"},
    )

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        await bot.send(body_to())

    await bot.handle(bot.postback(referral=referral()), greet)
    await bot.handle(bot.message())
    impression, click = await bot.records(Queue.PING)
    assert isinstance(impression, Impression)
    assert isinstance(click, Click)
    common = {
        "device_id": USER_ID,
        "site": "messenger",
        "cp_1": "flyer",
        "referral_source": "SHORTLINK",
        "cp_3": f"page-{PAGE_ID}",
        "fixed": "yes",
        "ip_address": "2001:db8::1",
    }
    assert {**common, "imp_id": impression.id} == impression.params
    assert {**common, "cid": click.id} == click.params
    assert impression.id != click.id


@pytest.mark.parametrize("creative", [{}, {"creative": "greet_b"}])
async def test_a_ping_tells_page_channel_and_the_creative_that_was_given(
    greeter: TrackedBot, creative: dict[str, Any]
) -> None:
    """And not the handler's name: a renamed function would change the reports."""
    bot = greeter

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        await bot.send(body_to(), **creative)

    await bot.handle(bot.postback(), greet)
    await bot.handle(bot.message())
    for record in await bot.records(Queue.PING):
        assert isinstance(record, Ping)
        facts = {name: value for name, value in record.params.items() if name not in ("impression_id", "click_id")}
        ids = {f"{name}_id": value for name, value in creative.items()}
        assert {"site_id": PAGE_ID, "sub_site_id": "messenger", "fb_user_id": USER_ID, **ids} == facts


async def test_placeholders_of_a_pasted_address_are_filled_or_dropped(greeter: TrackedBot) -> None:
    """Campaign Manager leaves `device_id=device_id` where no id is known."""
    bot = tracked_bot(greeting={**GREETING, "user_param": "device_id"})
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message())
    pasted = "https://imp.test/track/impression?campaign_id=ko1&device_id=device_id&cp_0={cp_0}"
    destination = Destination(app_id="koapp", trackers={"greeting": TrackerUrls(impression_url=pasted)})
    request = build_request(await ping(bot, Impression), destination)
    query = parse_qs(urlsplit(request.url).query)
    assert (["u1"], ["ko1"], None) == (query["device_id"], query["campaign_id"], query.get("cp_0"))


async def test_a_greeting_shows_the_referral_that_is_remembered(greeter: TrackedBot) -> None:
    """The person came from the flyer yesterday, and is greeted now by a proactive send."""
    bot = greeter
    await bot.handle(bot.message(referral=referral()))
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message())
    assert "flyer" == (await ping(bot, Impression)).params["referral_from"]


async def test_two_processes_with_signals_of_one_greeting_ping_once() -> None:
    """The state entry's condition makes one of them plan anew, and no signal is lost."""
    clock = VirtualClock()
    bot = tracked_bot(clock, store=SlowStore(clock=clock), greeting=GREETING)
    other = bot.restarted()
    mid = await bot.send(body_to(), greeting=True)
    await asyncio.gather(bot.handle(bot.delivery(mid)), other.handle(bot.message()), bot.handle(bot.delivery(mid)))
    await asyncio.gather(bot.handle(bot.message()), other.handle(bot.message()))
    rows = [*await bot.store.browse(Queue.PING), *await bot.store.browse(Queue.CLICK)]
    assert ["impression", "click"] == await pings(bot)
    assert 2 == len({row.entry.id for row in rows})
    state = FunnelState.from_bytes((await bot.store.recall(state_keys("funnel")))[f"funnel:koapp:{USER_ID}"])
    (greeting,) = state.greetings
    assert None not in (greeting.shown_at, greeting.clicked_at)


@pytest.mark.parametrize("delivery_first", [True, False])
async def test_send_and_delivery_are_joined_when_two_processes_write_at_once(delivery_first: bool) -> None:
    """Neither overwrites what the other has just learnt."""
    clock = VirtualClock()
    bot = tracked_bot(clock, store=SlowStore(clock=clock), greeting=GREETING)
    other = bot.restarted()
    both = [
        bot.send(body_to(), greeting=True, answer={"message_id": "mid-x", "recipient_id": USER_ID}),
        other.handle(other.delivery("mid-x")),
    ]
    await asyncio.gather(*(reversed(both) if delivery_first else both))
    assert ["impression"] == await pings(bot)


async def test_a_page_whose_deliveries_begin_during_the_wait_is_expected_to_send_more(greeter: TrackedBot) -> None:
    """Another person's came in the meantime, so this greeting's would have come as well."""
    bot = greeter
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.delivery("other", user_id="somebody"))
    await wait(bot, 61)
    assert [] == await pings(bot)


async def test_only_what_is_configured_is_pinged() -> None:
    """Without a click address there are impressions, and no clicks."""
    bot = tracked_bot(greeting={"impression_url": GREETING["impression_url"]})
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message())
    assert ["impression"] == await pings(bot)


async def test_a_task_that_outlives_a_greeting_handler_sends_no_greetings(greeter: TrackedBot) -> None:
    """A consumer that was started in a greeting handler goes on to handle other events."""
    bot = greeter
    work: asyncio.Queue[Event] = asyncio.Queue()
    tasks: list[asyncio.Task[None]] = []

    async def answer(_event: Event) -> None:
        await bot.send(body_to())

    async def consume() -> None:
        await bot.handle(await work.get(), answer)

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        tasks.append(asyncio.create_task(consume()))

    await bot.handle(bot.postback(), greet)
    work.put_nowait(bot.message())
    await tasks[0]
    await bot.handle(bot.message())
    assert [] == await pings(bot)


HALF = "Caf\ud83d"
"""A text that was cut within an emoji."""


@pytest.mark.parametrize("place", ["payload", "title", "creative", "quick reply", "handler's creative"])
async def test_half_a_character_in_a_greeting_costs_no_record(greeter: TrackedBot, place: str) -> None:
    """It becomes ``?``, as where Facebook returns it, so that the tap is still the click."""
    bot, body = greeter, body_to()
    button: dict[str, Any] = {"type": "postback", "title": "Start", "payload": "CHAT"}
    button |= {place: HALF} if place in button else {}
    body["message"]["attachment"]["payload"]["buttons"] = [button]
    if place == "quick reply":
        body["message"]["quick_replies"] = [{"content_type": "text", "title": HALF, "payload": HALF}]
    creative = HALF if place == "creative" else None

    async def greet(_event: Event) -> None:
        await bot.send(body, greeting=True, creative=creative)
        await bot.kochava.track("Purchase", {"sum": 1})

    if place == "handler's creative":
        greet = bot.kochava.greeting(creative=HALF)(greet)
    await bot.handle(bot.postback(), greet)
    await bot.handle(bot.postback(button["payload"].replace("\ud83d", "?")))
    assert "Purchase" in await bot.names()
    assert ["impression", "click"] == await pings(bot)
    assert ("Caf?" if "creative" in place else None) == (await ping(bot, Click)).params.get("creative_id")


@pytest.mark.parametrize("creative", [123, b"x", lambda _event: "x"])
async def test_creative_that_is_no_text_is_refused(greeter: TrackedBot, creative: Any) -> None:
    """Where it is given, and before anything is sent."""
    bot = greeter
    with pytest.raises(RegistrationError, match="`creative`"):
        bot.kochava.greeting(creative=creative)
    with pytest.raises(RegistrationError, match="`creative`"):
        bot.kochava.greeting(body_to(), creative=creative)
    with pytest.raises(TrackingError, match="`creative`"):
        await bot.kochava.send(body_to(), bot.send, creative=creative)
    with pytest.raises(TrackingError, match="`creative`"):
        bot.kochava.rewrite(body_to(), creative=creative)
    with pytest.raises(TrackingError, match="`creative`"):
        bot.kochava.entry_link("https://m.me/shop", creative=creative)
    assert [] == bot.sent
