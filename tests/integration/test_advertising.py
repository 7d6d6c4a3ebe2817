"""From paid messages and ads that were commented on to Kochava, with real servers."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware import AsyncBot
from kochava_bot_middleware.exceptions import RateLimitedError
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from tests.integration.conftest import INSTAGRAM_ID, MakeShop

BUTTONS = {
    "attachment": {
        "type": "template",
        "payload": {
            "template_type": "button",
            "text": "New shoes",
            "buttons": [
                {"type": "web_url", "title": "Show", "url": "https://shop.example/shoes"},
                {"type": "postback", "title": "Chat", "payload": "CHAT"},
            ],
        },
    }
}


async def test_a_marketing_message_is_rewritten_watched_and_counted(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava]
) -> None:
    """Its links are SmartLinks that name nobody; its delivery receipt, which no handler asks for, is the impression."""
    messenger, kochava = servers
    tracker = "campaign_id=kogreet&network_id=1"
    shop = make_shop(
        kochava_settings={
            "greeting": {
                "impression_url": f"{kochava.url}/track/impression?{tracker}",
                "click_url": f"{kochava.url}/v1/cpi/click?{tracker}",
            }
        }
    )
    await shop.open()
    person = messenger.person("5000000000000001")
    messenger.join("subscription_token", "sub-1", person)
    async with AsyncBot("page-token", graph_url=messenger.url, page_id="1001", middlewares=[shop.middleware]) as sender:
        await sender.send_marketing_message("77", "5", "sub-1", BUTTONS, creative="spring", greeting=True)
        await shop.delivered(1)
        tap = await person.taps("Show")
        assert tap.visit is not None
        assert "https://shop.example/shoes" == tap.visit.landed
        await person.taps("Chat")
        await shop.delivered(4)
        with pytest.raises(RateLimitedError):
            await sender.send_marketing_message("77", "5", "sub-1", BUTTONS, min_conversation_gap_seconds=60)
        assert {"invalid_rows_count": 1} == await sender.unsubscribe_from_marketing_messages(
            [{"subscriber_token": "sub-1"}, {"psid": "1", "email": "a@b.example"}]
        )

    assert ["smartlink", "impression", "click", "event"] == sorted(
        (record.kind.value for record in kochava.records), key=["smartlink", "impression", "click", "event"].index
    )
    (impression,) = kochava.impressions
    assert ("spring", person.user_id) == (impression.params["creative_id"], impression.params["fb_user_id"])
    assert person.user_id not in str(kochava.smartlink_clicks[0].params)
    assert [] == kochava.rejections


async def test_the_ad_of_a_comment_goes_with_the_persons_events(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava]
) -> None:
    """The bot answers the comment, the person buys; the account is addressed by its id, as *Unified Login* wants it."""
    messenger, kochava = servers
    page = {"page_access_token": "instagram-token", "channel": "instagram", "addressed_by_id": True}
    shop = make_shop(bot={"page_access_token": None, "pages": {INSTAGRAM_ID: page}})

    @shop.bot.on_change("comments")
    async def answer(event: Any, _reply: Any) -> None:
        await shop.bot.page(INSTAGRAM_ID).send_private_reply("Hello!", comment_id=event.comment_id)

    @shop.bot.on_message()
    @shop.middleware.event("Purchase", data={"currency": "USD", "sum": 1})
    async def buy(_event: Any, _reply: Any) -> None: ...

    await shop.open()
    person = messenger.person("6000000000000001", page_id=INSTAGRAM_ID)
    await person.comments("How much?", ad_id="238")
    await person.next_message()
    await shop.delivered(0)
    await person.says("I take it")
    await shop.delivered(1)

    (event,) = kochava.events
    assert {"currency": "USD", "sum": 1, "referral_source": "ADS", "referral_ad_id": "238"} == event.event_data
    assert {"ig_user_id": person.user_id} == event.device_ids
    assert [] == messenger.refused


async def test_an_ad_is_kept_though_no_handler_is_asked_for_comments(
    make_shop: MakeShop, servers: tuple[LocalMessenger, LocalKochava]
) -> None:
    """Another part of the program answers it later."""
    messenger, kochava = servers
    page = {"page_access_token": "instagram-token", "channel": "instagram"}
    shop = make_shop(bot={"page_access_token": None, "pages": {INSTAGRAM_ID: page}})
    await shop.open()
    person = messenger.person("6000000000000001", page_id=INSTAGRAM_ID)
    comment_id = await person.comments("How much?", ad_id="238")
    await shop.delivered(0)
    await shop.bot.page(INSTAGRAM_ID).send_private_reply("Hello!", comment_id=comment_id)
    await shop.middleware.track("Purchase", {"sum": 1}, user_id=person.user_id, page_id=INSTAGRAM_ID)
    await shop.delivered(1)
    (event,) = kochava.events
    assert "238" == event.event_data["referral_ad_id"]
    assert {"ig_user_id": person.user_id} == event.device_ids
