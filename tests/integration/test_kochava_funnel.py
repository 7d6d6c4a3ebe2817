"""Everything that Kochava receives about a user, over real HTTP: by ad and creative, and no more than allowed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.sandbox.kochava.rules import KochavaCredentials, Profile
from kochava_bot_middleware.sandbox.kochava.server import KochavaOptions, LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.store.records import Queue

from .conftest import APP_ID, INSTAGRAM_ID, MakeShop, Shop

EVERYTHING = {
    "install": {"mode": "entry"},
    "identity": {"identities_in_events": ["customer_id"]},
    "privacy": {"consent": lambda _user_id: True},
}
PRIVATE = ["my secret wish", "ada@example.com", "+491711234567", "Ada Lovelace"]


def shop_of(make_shop: MakeShop, **settings: Any) -> Shop:
    """A shop that greets, identifies customers and sells."""
    shop = make_shop(kochava_settings={**EVERYTHING, **settings})
    bot, kochava = shop.bot, shop.middleware

    @bot.on_postback("GET_STARTED")
    @kochava.ignore
    async def greet(event: Any, reply: Any) -> None:
        await reply.buttons(
            "What next?",
            [
                {"type": "web_url", "title": "Show Website", "url": "https://shop.example/shoes"},
                {"type": "postback", "title": "Start Chatting", "payload": "CHAT"},
            ],
            greeting=True,
            creative="greet_b",
        )

    @bot.on_postback("BUY")
    @kochava.event("Purchase", data={"currency": "USD", "sum": 100})
    async def buy(event: Any, reply: Any) -> None:
        await kochava.identify({"customer_id": f"C-{event.user_id}"})
        await reply.text("Thank you!")

    @bot.on_message()
    async def hear(event: Any, reply: Any) -> None:
        await reply.text("Tell me more")

    return shop


BUY = {"type": "postback", "title": "Buy", "payload": "BUY"}


async def test_the_whole_funnel_from_ad_to_purchase_is_recorded(make_shop: MakeShop) -> None:
    """Install, impression, click, purchase with its ad, identity; each accepted by a strict Kochava."""
    shop = shop_of(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.gets_started(ref="flyer", ad_id="99")
    await person.next_message()
    await person.taps("Start Chatting")
    await person.taps(BUY)
    await shop.delivered(6)

    kochava = shop.kochava
    assert [] == kochava.rejections
    (install,), (impression,), (click,) = kochava.installs, kochava.impressions, kochava.clicks
    assert {"fb_user_id": person.user_id} == install.device_ids
    for ping in (impression, click):
        assert ("greet_b", "messenger", "flyer", "99") == tuple(
            ping.params[name] for name in ("creative_id", "sub_site_id", "referral_from", "referral_ad_id")
        )
    assert impression.params["impression_id"] != click.params["click_id"]
    (purchase,) = (event for event in kochava.events if event.name == "Purchase")
    assert ("flyer", "99") == (purchase.event_data["referral_from"], purchase.event_data["referral_ad_id"])
    (link,) = kochava.identity_links
    assert {"customer_id": f"C-{person.user_id}"} == link.params

    await person.taps(BUY)
    await shop.delivered(7)
    assert 1 == len(kochava.identity_links)
    assert {"fb_user_id": person.user_id, "customer_id": f"C-{person.user_id}"} == kochava.events[-1].device_ids


@pytest.mark.parametrize("way", ["send_raw", "send_recipient", "send_message"])
async def test_a_marked_body_is_a_greeting_with_every_send_method(make_shop: MakeShop, way: str) -> None:
    """The mark is not sent to Facebook."""
    shop = shop_of(make_shop)
    await shop.open()
    person = shop.messenger.person()
    await person.says("hello")
    await person.next_message()
    page, message = shop.bot.page(), {"text": "Welcome back!"}
    marked = shop.middleware.greeting
    match way:
        case "send_raw":
            body = {"recipient": {"id": person.user_id}, "message": message}
            await page.send_raw(marked(body, creative="push"))
        case "send_recipient":
            await page.send_recipient(person.user_id, marked({"message": message}, creative="push"))
        case _:
            await page.send_message(person.user_id, marked(message, creative="push"))
    arrived = await person.next_message()
    await shop.delivered(2)

    assert message == arrived.body["message"]
    assert ["push"] == [impression.params["creative_id"] for impression in shop.kochava.impressions]
    assert [] == shop.kochava.rejections


@pytest.mark.parametrize("way", ["reply", "page"])
async def test_a_named_tracker_gets_its_own_impression_and_click(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava], way: str
) -> None:
    """Beside those of the first greeting of the day."""
    _, kochava = servers
    network = "network_id=1"
    spring = {
        "impression_url": f"{kochava.url}/track/impression?campaign_id=kospring&{network}",
        "click_url": f"{kochava.url}/v1/cpi/click?campaign_id=kospring&{network}",
    }
    first = {name: url.replace("kospring", "kogreet") for name, url in spring.items()}
    shop = make_shop(kochava_settings={"greeting": {**first, "trackers": {"spring": spring}}})

    @shop.bot.on_message()
    async def greet(event: Any, reply: Any) -> None:
        await reply.text("Welcome!", greeting=True)
        if way == "reply":
            await reply.text("Spring sale!", tracker="spring")
        else:
            await shop.bot.page().send_text_message(event.user_id, "Spring sale!", tracker="spring")

    await shop.open()
    person = shop.messenger.person()
    await person.says("hello")
    await person.next_message()
    await person.next_message()
    await shop.delivered(3)
    await person.says("thanks")
    await shop.delivered(5)

    assert [] == kochava.rejections
    assert ["kogreet", "kospring"] == sorted(ping.params["campaign_id"] for ping in kochava.impressions)
    assert ["kospring"] == [ping.params["campaign_id"] for ping in kochava.clicks]


async def test_on_instagram_the_greeting_counts_after_the_wait(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava]
) -> None:
    """There are no delivery receipts on Instagram; the id has its own name."""
    _, kochava = servers
    shop = make_shop(
        bot={
            "page_access_token": None,
            "pages": {INSTAGRAM_ID: {"page_access_token": "instagram-token", "channel": "instagram"}},
        },
        kochava_settings={
            "greeting": {
                "impression_url": f"{kochava.url}/track/impression?campaign_id=kogreet&network_id=1",
                "delivery_wait_seconds": 0.05,
            }
        },
    )

    @shop.bot.on_message()
    @shop.middleware.greeting
    async def greet(event: Any, reply: Any) -> None:
        await reply.text("Welcome!")

    await shop.open()
    person = shop.messenger.person(page_id=INSTAGRAM_ID)
    await person.says("hello")
    await shop.delivered(2)

    (impression,), (event,) = kochava.impressions, kochava.events
    assert ("instagram", person.user_id) == (impression.params["sub_site_id"], impression.params["ig_user_id"])
    assert {"ig_user_id": person.user_id} == event.device_ids


async def test_the_general_profile_satisfies_kochavas_general_page(make_shop: MakeShop) -> None:
    """Install first, all required fields, and strict authentication of the bytes."""
    credentials = KochavaCredentials(api_key="test-api-key", app_secret="test-secret")
    strict = LocalKochava(
        app_ids=[APP_ID],
        options=KochavaOptions(profile="s2s", install_first=True, credentials={APP_ID: credentials}),
    )
    async with strict:
        shop = shop_of(
            make_shop,
            device={
                "origination_ip": lambda _user_id: "192.0.2.7",
                "device_ver": "iPhone-iOS-13.6.0",
                "kochava_device_id": lambda user_id: f"bot-{user_id}",
                "app_version": "2.1",
            },
            wire={
                "profile": "s2s",
                "base_url": strict.url,
                "api_key": "test-api-key",
                "api_secret": "test-secret",
            },
        )
        await shop.open()
        person = shop.messenger.person()
        await person.gets_started(ref="caf\u00e9/\U0001f600")
        await person.taps(BUY)
        await recorded(shop, 3)
        await shop.delivered(0)

        assert [] == strict.rejections
        assert ["install", "event", "identityLink"] == [record.kind for record in strict.records]
        install, purchase, _ = strict.records
        assert ("2.1", f"bot-{person.user_id}") == (install.body["app_ver"], install.body["kochava_device_id"])
        assert ("192.0.2.7", "", "iPhone-iOS-13.6.0") == tuple(
            purchase.body["data"][name] for name in ("origination_ip", "device_ua", "device_ver")
        )


@pytest.mark.parametrize("profile", ["bot", "s2s"])
async def test_an_identity_link_in_the_form_of_the_sdks_belongs_to_the_users_events(
    make_shop: MakeShop, profile: Profile
) -> None:
    """It has the same members as from the SDKs, and the id of a user who has a record."""
    async with LocalKochava(app_ids=[APP_ID], options=KochavaOptions(profile=profile)) as strict:
        wire = {"profile": profile, "identity_form": "action", "base_url": strict.url}
        shop = shop_of(make_shop, install={"mode": "off"}, wire=wire)
        await shop.open()
        person = shop.messenger.person()
        await person.gets_started()
        await person.taps(BUY)
        await recorded(shop, 2)
        await shop.delivered(0)

        assert [] == strict.rejections
        assert [{"customer_id": f"C-{person.user_id}"}] == [link.params for link in strict.identity_links]


async def test_a_greeting_is_recorded_for_a_bot_with_one_token_and_settings_of_its_page(make_shop: MakeShop) -> None:
    """Send, delivery and tap belong to the same Page, although the bot's settings do not name it."""
    async with LocalKochava(app_ids=[APP_ID, "koother"]) as other:
        pages = {"1001": {"kochava_app_id": "koother"}}
        shop = shop_of(make_shop, pages=pages, **other.settings())
        await shop.open()
        person = shop.messenger.person()
        await person.gets_started()
        await person.next_message()
        await person.taps("Start Chatting")
        while not other.clicks:
            await other.received(len(other.records) + 1)

        assert ([], 1, 1) == (other.rejections, len(other.impressions), len(other.clicks))


OF_EVENTS = (Queue.TRACK, Queue.INSTALL, Queue.LINK)


async def recorded(shop: Shop, count: int) -> None:
    """Wait until so many events are in the store."""
    store = shop.middleware.provide_store()
    while sum(stats.accepted for queue, stats in (await store.stats()).items() if queue in OF_EVENTS) < count:
        await shop.messenger.clock.sleep(0.01)


async def nothing_in_flight(shop: Shop) -> None:
    """Wait until what was claimed before has been settled or put back: it may have asked for consent before, too."""
    store = shop.middleware.provide_store()
    while any(stats.in_flight for queue, stats in (await store.stats()).items() if queue in OF_EVENTS):
        await shop.messenger.clock.sleep(0.01)


async def test_no_record_of_a_user_who_opted_out_reaches_kochava(make_shop: MakeShop) -> None:
    """What waited while Kochava was down is dropped when it is up."""
    shop = shop_of(
        make_shop, delivery={"retry_waits_seconds": [0.05], "probe_waits_seconds": [0.05], "ramp_seconds": 0}
    )
    await shop.open()
    person = shop.messenger.person()
    await shop.kochava.down()
    await person.taps(BUY)
    await recorded(shop, 2)
    await shop.middleware.opt_out(person.user_id)
    await nothing_in_flight(shop)
    await shop.kochava.up()
    await shop.delivered(0)

    assert [] == shop.kochava.records
    stats = await shop.middleware.provide_store().stats()
    assert (1, 0) == (stats[Queue.TRACK].dropped, stats[Queue.TRACK].done)
    assert (1, 0) == (stats[Queue.LINK].dropped, stats[Queue.LINK].done)


async def test_kochava_is_asked_to_delete_a_forgotten_user(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava]
) -> None:
    """Its privacy API receives one request, and nothing is sent afterwards."""
    _, kochava = servers
    url = f"{kochava.url}/accounts/1/apps/2/privacy/scrub"
    shop = shop_of(make_shop, wire={"base_url": kochava.url, "deletion_url": url, "deletion_key": "k"})
    await shop.open()
    person = shop.messenger.person()
    await person.says("hello")
    await shop.delivered(1)
    await shop.middleware.identify({"customer_id": "C-17"}, user_id=person.user_id)
    await shop.delivered(2)
    await shop.middleware.forget(person.user_id)
    await person.says("hello again")
    await shop.delivered(3)

    assert ["event", "identityLink", "scrub"] == [record.kind for record in shop.kochava.records]
    assert {"fb_user_id": person.user_id, "customer_id": "C-17"} == shop.kochava.scrubs[0].device_ids


async def test_nothing_private_is_sent_kept_or_logged(
    make_shop: MakeShop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Message text, names, e-mail address and phone number are not at Kochava, nor in the file, a log or a listing."""
    shop = shop_of(make_shop)

    @shop.bot.on_error
    async def on_error(event: Any, reply: Any, error: Exception) -> None: ...

    @shop.bot.on_quick_reply()
    async def fail(event: Any, reply: Any) -> None:
        raise LookupError(event.text)

    await shop.open()
    with caplog.at_level(logging.DEBUG):
        person = shop.messenger.person(first_name="Ada", last_name="Lovelace")
        await person.gets_started()
        for text in PRIVATE:
            await person.says(text)
            await person.taps({"type": "postback", "title": text, "payload": "WISH"})
        # The platform fills both in, from the person's profile.
        for text in ("ada@example.com", "+491711234567"):
            await person.taps_quick_reply({"title": text, "payload": text})
            await person.taps({"type": "postback", "title": "Use this", "payload": text})
        await person.does(
            "feedback",
            {
                "messaging_feedback": {
                    "feedback_screens": [
                        {
                            "screen_id": 0,
                            "questions": {
                                "q1": {
                                    "type": "csat",
                                    "payload": "4",
                                    "follow_up": {"type": "free_form", "payload": "my secret wish"},
                                }
                            },
                        }
                    ]
                }
            },
        )
        await shop.messenger.settled()
        await shop.delivered(3)
        listed = [row for queue in Queue for row in await shop.middleware.provide_store().browse(queue)]
        await shop.close()

    sent = "".join(f"{record.body} {record.params}" for record in shop.kochava.records)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert len(shop.kochava.records) > 10
    assert b"kobotdemo1234" in kept
    for text in PRIVATE:
        assert text not in sent
        assert text not in logged
        assert text not in str(listed)
        assert text.encode() not in kept
