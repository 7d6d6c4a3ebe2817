"""Greetings of named trackers: how one is chosen, and what each counts for itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware, RegistrationError
from kochava_bot_middleware.kochava.records import Ping
from kochava_bot_middleware.messenger.events import Channel, Event, Referral, ReplyTo
from kochava_bot_middleware.messenger.events.base import PriorMessage
from kochava_bot_middleware.store.records import Queue
from tests.tracking.tracked_bot import GREETING, PAGE_ID, USER_ID, TrackedBot, body_to, referral, tracked_bot

SPRING = {
    "impression_url": "https://imp.kochava.test/track/impression?campaign_id=kospring&network_id=1",
    "click_url": "https://control.kochava.test/v1/cpi/click?campaign_id=kospring&network_id=1",
}
NAMED: dict[str, Any] = {"tracker": "spring", "creative": "tulips"}
TRACKERS = {"trackers": {"spring": SPRING, "autumn": SPRING}}


def bot_with(**greeting: Any) -> TrackedBot:
    return tracked_bot(greeting={**GREETING, **TRACKERS, **greeting})


async def pings(bot: TrackedBot) -> list[tuple[str, str]]:
    """Kind and tracker of each ping."""
    return [(record.kind, record.tracker) for record in await bot.records(Queue.PING) if isinstance(record, Ping)]


@pytest.mark.parametrize("way", ["decorator", "keyword", "tracker alone", "body", "message", "send in a handler"])
async def test_a_tracker_is_chosen_in_each_way_in_which_a_greeting_is_marked(way: str) -> None:
    """Together with a creative, which its pings carry."""
    bot, body, named = bot_with(), body_to(), NAMED
    mark = bot.kochava.greeting

    @bot.kochava.greeting(tracker="spring", creative="tulips")
    async def greet(_event: Event) -> None:
        await bot.send(body)

    @bot.kochava.greeting(tracker="autumn", creative="leaves")
    async def greet_otherwise(_event: Event) -> None:
        await bot.send(body, **named)

    match way:
        case "decorator":
            await bot.handle(bot.postback(), greet)
        case "keyword":
            await bot.send(body, greeting=True, **named)
        case "tracker alone":
            await bot.send(body, **named)
        case "body":
            await bot.send(mark(body, **named))
        case "message":
            await bot.send({**body, "message": mark(body["message"], **named)})
        case _:
            await bot.handle(bot.postback(), greet_otherwise)
    await bot.handle(bot.postback("CHAT"))
    assert [("impression", "spring"), ("click", "spring")] == await pings(bot)
    records = [record for record in await bot.records(Queue.PING) if isinstance(record, Ping)]
    assert {"tulips"} == {record.params["creative_id"] for record in records}


async def test_a_host_of_ones_own_chooses_a_tracker_with_send() -> None:
    """With a client of its own."""
    bot = bot_with()

    async def graph(_body: Any) -> dict[str, str]:
        return {"message_id": "m", "recipient_id": USER_ID}

    await bot.kochava.send(body_to(), graph, tracker="spring", page_id=PAGE_ID)
    await bot.handle(bot.delivery("m"))
    assert [("impression", "spring")] == await pings(bot)


def test_synchronous_code_chooses_a_tracker_with_send() -> None:
    """In threads, and in hosts without an event loop."""
    settings = {"kochava_app_id": "koapp", "store": "memory://", "worker": "separate"}
    kochava = KochavaMiddleware.from_dict({**settings, "greeting": {"trackers": TRACKERS["trackers"]}})
    kochava.sync.start()
    try:
        kochava.sync.send(body_to(), lambda _body: {"message_id": "m", "recipient_id": USER_ID}, tracker="spring")
        with kochava.sync.handling(bot_with().delivery("m")):
            pass
        assert {"impression": 1} == dict(kochava.counts.recorded)
    finally:
        kochava.sync.stop()


async def test_the_decorator_passes_results_through() -> None:
    """With arguments as without, on plain functions as on async ones."""
    bot = bot_with()

    @bot.kochava.greeting(tracker="spring")
    def plain(_event: Event) -> str:
        return "plain"

    @bot.kochava.greeting(creative="tulips")
    async def awaited(_event: Event) -> str:
        return "awaited"

    assert "awaited" == await bot.handle(bot.postback(), awaited)
    assert "plain" == plain(bot.postback())


async def test_two_trackers_within_a_day_have_an_impression_and_a_click_each() -> None:
    """Through two processes, with ids of their own."""
    bot = bot_with()
    other = bot.restarted()
    for process, tracker in ((bot, "spring"), (other, "autumn"), (bot, "spring"), (other, "autumn")):
        mid = await process.send(body_to(), tracker=tracker)
        await other.handle(other.delivery(mid))
        await process.handle(process.postback("CHAT"))
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message())
    assert [
        (kind, tracker) for tracker in ("spring", "autumn", "greeting") for kind in ("impression", "click")
    ] == await pings(bot)
    assert 6 == len({record.id for record in await bot.records(Queue.PING)})


@pytest.mark.parametrize(
    ("step", "clicked"),
    [("button", "spring"), ("quick reply", "spring"), ("reply", "spring"), ("message", "autumn")],
)
async def test_a_webhook_tells_which_greeting_it_answers(step: str, clicked: str) -> None:
    """By the title of what was tapped, or the message that it is a reply to; else it is the last."""
    bot = bot_with()
    mids = [
        await bot.send(with_quick_reply("Start", "Tulips"), tracker="spring"),
        await bot.send(with_quick_reply("Begin", "Leaves"), tracker="autumn"),
    ]
    match step:
        case "button":
            await bot.handle(bot.postback("CHAT", title="Start"))
        case "quick reply":
            await bot.handle(bot.message("Tulips", quick_reply_payload="MORE"))
        case "reply":
            await bot.handle(bot.message(reply_to=ReplyTo(mid=mids[0])))
        case _:
            await bot.handle(bot.message("Tulips"))
    assert [("click", clicked)] == [ping for ping in await pings(bot) if ping[0] == "click"]


def with_quick_reply(button: str, title: str) -> dict[str, Any]:
    """A body with a button and a quick reply, both with payloads that others have too."""
    body = body_to()
    body["message"]["attachment"]["payload"]["buttons"][1]["title"] = button
    body["message"]["quick_replies"] = [{"content_type": "text", "title": title, "payload": "MORE"}]
    return body


async def test_one_run_of_a_handler_may_greet_for_two_trackers() -> None:
    """Each of them is counted after the wait, where no delivery comes, and once when the run is repeated."""
    bot = bot_with()
    event = bot.postback()

    @bot.kochava.greeting(tracker="spring")
    async def greet(_event: Event) -> None:
        await bot.send(body_to())
        await bot.send(body_to(), tracker="autumn")
        await bot.send(body_to(), tracker="greeting")

    await bot.handle(event, greet)
    await bot.handle(event, greet)
    await bot.kochava.start()
    await bot.clock.advance(61)
    assert [("impression", "spring"), ("impression", "autumn"), ("impression", "greeting")] == await pings(bot)
    await bot.kochava.stop()


async def test_a_greeting_to_a_reference_is_joined_with_its_tracker() -> None:
    """Also when two were sent to it."""
    bot = bot_with()
    for tracker in ("spring", "autumn"):
        await bot.send(body_to(user_ref="box-1"), tracker=tracker, answer={})
    await bot.handle(bot.message(prior_message=PriorMessage(source="checkbox_plugin", identifier="box-1")))
    assert {("impression", "spring"), ("impression", "autumn"), ("click", "autumn")} == set(await pings(bot))


async def test_a_placeholder_names_the_tracker() -> None:
    """The default tracker has no name."""
    bot = bot_with(params={"cp_1": "{tracker}"})
    await bot.send(body_to(), tracker="spring")
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message())
    assert ["spring", None, None] == [
        record.params.get("cp_1") for record in await bot.records(Queue.PING) if isinstance(record, Ping)
    ]


async def test_only_what_the_tracker_has_is_pinged() -> None:
    """The default tracker's addresses do not stand in, nor are they needed."""
    bot = tracked_bot(greeting={"trackers": {"spring": {"click_url": SPRING["click_url"]}, "quiet": {}}})
    for tracker in ("spring", "quiet", "greeting"):
        await bot.send(body_to(), tracker=tracker)
        await bot.handle(bot.message())
    assert [("click", "spring")] == await pings(bot)


def unknown_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was reported of unknown trackers."""
    return [line for line in caplog.messages if line.startswith("greeting_tracker_unknown")]


@pytest.mark.parametrize("tracker", ["sprng", "Spring", "", 5, ["spring"]])
def test_an_unknown_tracker_is_an_error_where_it_is_written(tracker: Any) -> None:
    """Of a decorator and of a body; it names those that there are, of whatever Page."""
    kochava = tracked_bot(greeting=GREETING, pages={"7": {"greeting": TRACKERS}}).kochava
    for use in (lambda: kochava.greeting(tracker=tracker), lambda: kochava.greeting(body_to(), tracker=tracker)):
        with pytest.raises(RegistrationError, match=r"greeting\.trackers.*'autumn', 'greeting', 'spring'; got"):
            use()


async def test_a_send_with_an_unknown_tracker_is_sent_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Tracking never harms the bot; and no other tracker counts it."""
    bot = bot_with()
    with caplog.at_level(logging.WARNING):
        await bot.send(body_to(), tracker="sprng")
        await bot.handle(bot.message())
    assert ([], 1, {"unknown tracker": 1}) == (await pings(bot), len(bot.sent), dict(bot.kochava.counts.left_out))
    (line,) = unknown_in(caplog)
    assert "'sprng'" in line
    assert "'autumn', 'greeting', 'spring'" in line


async def test_an_unknown_tracker_is_reported_where_no_greeting_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Unless other Pages have it: to count none on this one is a choice."""
    bot = tracked_bot(pages={"7": {"greeting": TRACKERS}})
    with caplog.at_level(logging.WARNING):
        await bot.send(body_to(), tracker="spring")
        await bot.send(body_to(), tracker="sprng")
    assert ["'sprng'" in line for line in unknown_in(caplog)] == [True]


async def test_a_page_without_the_tracker_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Its `greeting` section replaces the one at the top whole."""
    bot = tracked_bot(greeting={**GREETING, **TRACKERS}, pages={"7": {"greeting": GREETING}})
    with caplog.at_level(logging.WARNING):
        await bot.send(body_to(), tracker="spring", page_id="7")
        await bot.send(body_to(), tracker="spring", page_id=PAGE_ID)
    await bot.handle(bot.message())
    assert [("impression", "spring"), ("click", "spring")] == await pings(bot)
    assert ["Page 7" in line for line in unknown_in(caplog)] == [True]


@pytest.mark.parametrize(
    ("came_by", "hours_before", "counts"),
    [
        (referral("poster-7"), 1, False),
        (referral("poster-7"), 25, True),
        (referral("newsletter"), 1, True),
        (Referral(ref="", source="ADS", ad_id="99"), 1, True),
        (None, 0, True),
    ],
)
@pytest.mark.parametrize("attach", ["last", "off"])
async def test_after_an_entry_link_the_greeting_has_no_click_if_the_settings_say_so(
    came_by: Referral | None, hours_before: float, counts: bool, attach: str
) -> None:
    """Kochava has the SmartLink's click, and a later one would win. The impression is counted in any case."""
    greeting = {**GREETING, **TRACKERS, "no_click_after_refs": ["poster-*", "flyer"]}
    bot = tracked_bot(greeting=greeting, events={"attach_referral": attach})
    if came_by is not None:
        await bot.handle(bot.message(referral=came_by))
        bot.clock.stall(hours_before * 3600.0)
    await bot.restarted().send(body_to(), tracker="spring")
    await bot.handle(bot.postback("CHAT"))
    await bot.handle(bot.message())
    kinds = ["impression", "click"] if counts else ["impression"]
    assert [(kind, "spring") for kind in kinds] == await pings(bot)
    assert (0 if counts else 1) == bot.kochava.counts.left_out["click of entry link"]


async def test_by_default_every_greeting_has_its_click() -> None:
    """Whatever led the person here."""
    bot = bot_with()
    await bot.handle(bot.message(referral=referral("poster-7")))
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.postback("CHAT"))
    assert [("impression", "greeting"), ("click", "greeting")] == await pings(bot)


async def test_trackers_count_on_instagram_too() -> None:
    """Where the wait stands in for deliveries."""
    bot = bot_with()
    await bot.send(body_to(), tracker="spring", channel=Channel.INSTAGRAM)
    await bot.kochava.start()
    await bot.clock.advance(61)
    assert [("impression", "spring")] == await pings(bot)
    assert {USER_ID} == {record.user_id for record in await bot.records(Queue.PING)}
    await bot.kochava.stop()
