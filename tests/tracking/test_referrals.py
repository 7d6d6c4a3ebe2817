"""The referral that is sent with a person's events."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from kochava_bot_middleware.messenger.events import Event, Referral
from kochava_bot_middleware.store.records import Queue
from tests.tracking.tracked_bot import GREETING, SMARTLINKS, USER_ID, body_to, referral, tracked_bot, url_of

DAY = 86400.0


async def test_the_last_referral_is_sent_with_named_events() -> None:
    """Also in another process, and beside the author's own data, which wins."""
    bot = tracked_bot()
    await bot.handle(bot.message(referral=referral("flyer")))
    await bot.clock.advance(10)
    await bot.handle(bot.message(referral=referral("summer", ad_id="99")))
    await bot.restarted().kochava.track("Purchase", {"sum": 1, "referral_from": "mine"}, user_id=USER_ID)
    (_, _, (_, data)) = await bot.events()
    assert {"sum": 1, "referral_from": "mine", "referral_source": "SHORTLINK", "referral_ad_id": "99"} == data


@pytest.mark.parametrize(
    ("which", "expected"), [("first", {"referral_from": "flyer", "referral_source": "SHORTLINK"}), ("off", None)]
)
async def test_the_first_referral_or_none_may_be_sent(which: str, expected: Any) -> None:
    """`attach_referral`."""
    bot = tracked_bot(events={"attach_referral": which, "automatic": "off"})
    for ref in ("flyer", "summer"):
        await bot.handle(bot.message(referral=referral(ref)))
        await bot.clock.advance(1)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    assert [("Purchase", expected)] == await bot.events()


async def test_the_event_that_brings_a_referral_has_it_at_once() -> None:
    """The handler of the very postback names its event."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Started")

    await bot.handle(bot.postback(referral=referral()), handler)
    assert [("Started", {"referral_from": "flyer", "referral_source": "SHORTLINK"})] == await bot.events()


async def test_a_referral_is_not_sent_after_thirty_days() -> None:
    """It is forgotten then."""
    bot = tracked_bot(events={"automatic": "off"})
    await bot.handle(bot.message(referral=referral()))
    await bot.clock.advance(30 * DAY + 1)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    assert [("Purchase", None)] == await bot.events()


async def test_a_ref_with_an_email_address_is_left_out() -> None:
    """Anybody can make a link with any text; no e-mail address leaves by it."""
    bot = tracked_bot(greeting=GREETING)
    await bot.send({"recipient": {"id": USER_ID}, "message": {"text": "Hello"}}, greeting=True)
    await bot.handle(bot.postback(referral=Referral(ref="mail-ada@example.com", source="ADS", ad_id="9")))
    await bot.kochava.track("Order", user_id=USER_ID)
    assert ("Order", {"referral_source": "ADS", "referral_ad_id": "9"}) == (await bot.events())[-1]
    assert "ada@" not in str(await bot.records())


async def test_another_persons_referral_is_not_sent() -> None:
    """The handled event speaks of its own person only."""
    bot = tracked_bot(events={"automatic": "off"})

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Invited", user_id="friend")
        await bot.kochava.track("Scalar", 7)

    await bot.handle(bot.postback(referral=referral()), handler)
    assert [("Invited", None), ("Scalar", 7)] == await bot.events()


async def test_smartlinks_and_pings_hold_a_personal_ref_back() -> None:
    """Also one in another spelling: `{ref}` of a SmartLink, and the parameter of an impression."""
    links = {**SMARTLINKS, "params": {"from": "{ref}", "at": "{channel}"}}
    bot = tracked_bot(greeting=GREETING, smartlinks=links, events={"automatic": "off"})

    async def greet(_event: Event) -> None:
        await bot.send(body_to(), greeting=True)

    await bot.handle(bot.message(referral=referral("jane%40shop.example")), greet)
    await bot.handle(bot.delivery("mid-1"))
    (impression,) = await bot.records(Queue.PING)
    assert "jane" not in repr(attrs.asdict(impression))
    assert "jane" not in url_of(bot.sent[0])
    assert "at=messenger" in url_of(bot.sent[0])
