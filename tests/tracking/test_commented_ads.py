"""The ad on which somebody commented is the referral of the person whom a private reply reaches."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kochava_bot_middleware.messenger.events import ChangeEvent, Channel, Event
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.tracking.tracked_bot import GREETING, SMARTLINKS, TrackedBot, body_to, tracked_bot, url_of

ACCOUNT_ID = "17841400000000001"
PERSON = "6200000000000001"
ADS = {"referral_source": "ADS", "referral_ad_id": "238"}


def comment(
    comment_id: str = "c1", ad_id: object = "238", *, field: str = "comments", at: float = 1_800_000_000, **media: Any
) -> Event:
    """A comment, as Instagram reports it."""
    value = {
        "from": {"id": "999", "username": "ada"},
        "media": {"id": "m1", "media_product_type": "AD", **({} if ad_id is None else {"ad_id": ad_id}), **media},
        "id": comment_id,
        "text": "How much?",
        "timestamp": at,
    }
    entry = {"id": ACCOUNT_ID, "time": 1, "changes": [{"field": field, "value": value}]}
    (event,) = parse_webhook(orjson.dumps({"object": "instagram", "entry": [entry]}))
    return event


async def reply_to(bot: TrackedBot, comment_id: str = "c1", **fields: Any) -> None:
    """Send a private reply, whose answer names the person."""
    answer = fields.pop("answer", {"recipient_id": PERSON, "message_id": f"mid-{comment_id}"})
    body = body_to(comment_id=comment_id)
    await bot.send(body, answer=answer, page_id=ACCOUNT_ID, channel=Channel.INSTAGRAM, **fields)


async def purchase(bot: TrackedBot) -> Any:
    """The data of an event that is tracked of the person now."""
    await bot.kochava.track("Purchase", {"sum": 1}, user_id=PERSON)
    name, data = (await bot.events())[-1]
    assert name == "Purchase"
    return data


@pytest.mark.parametrize("ad_id", ["238", 238])
@pytest.mark.parametrize("field", ["comments", "live_comments"])
def test_a_comment_says_which_ad_it_is_on(ad_id: object, field: str) -> None:
    """With its title; the person is not known as one to write to."""
    event = comment(ad_id=ad_id, field=field, ad_title="Shoes")
    assert isinstance(event, ChangeEvent)
    assert event.referral is not None
    assert ("ADS", "238", {"ad_title": "Shoes"}) == (
        event.referral.source,
        event.referral.ad_id,
        event.referral.ads_context,
    )
    assert ("c1", None, True) == (event.comment_id, event.user_id, event.is_about_advertising)


def test_a_comment_on_another_post_has_no_referral() -> None:
    """It led nobody here from an ad."""
    event = comment(ad_id=None)
    assert isinstance(event, ChangeEvent)
    assert ("c1", None, False) == (event.comment_id, event.referral, event.is_about_advertising)


async def test_the_ad_is_the_referral_of_whom_the_reply_reaches() -> None:
    """The reply is sent while the comment is handled; a redelivered comment changes nothing."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await reply_to(bot)

    await bot.handle(comment(), handler)
    await bot.handle(comment())
    assert {"sum": 1, **ADS} == await purchase(bot)
    assert ["Purchase"] == await bot.names()


async def test_the_ad_is_kept_before_the_comments_handling_ends() -> None:
    """A process that dies in between could not reply once more."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await reply_to(bot)
        assert {"sum": 1, **ADS} == await purchase(bot.restarted())

    await bot.handle(comment(), handler)
    assert ["Purchase"] == await bot.names()


async def test_the_reply_may_be_sent_later_and_in_another_process() -> None:
    """Within the seven days that the platform allows."""
    bot = tracked_bot()
    await bot.handle(comment())
    bot.clock.stall(6.9 * 86400)
    await reply_to(bot.restarted())
    assert {"sum": 1, **ADS} == await purchase(bot)


async def test_what_was_learned_lasts_as_long_as_other_referrals() -> None:
    """Thirty days, from the comment on."""
    bot = tracked_bot()
    await bot.handle(comment(at=bot.clock.now()))
    await reply_to(bot)
    bot.clock.stall(29 * 86400)
    assert {"sum": 1, **ADS} == await purchase(bot)
    bot.clock.stall(2 * 86400)
    assert {"sum": 1} == await purchase(bot)


async def test_of_several_comments_the_last_ad_counts_and_the_first_stays_first() -> None:
    """Whatever order the replies are sent in."""
    for which, ad_id in (("last", "2"), ("first", "1")):
        bot = tracked_bot(events={"attach_referral": which})
        start = bot.clock.now()
        for number in ("1", "2"):
            await bot.handle(comment(f"c{number}", number, at=start + int(number)))
        await bot.handle(comment("c3", None, at=start + 3))
        for comment_id in ("c1", "c2", "c3"):
            await reply_to(bot, comment_id)
        assert ad_id == (await purchase(bot))["referral_ad_id"]
    bot = tracked_bot()
    for number in ("1", "2"):
        await bot.handle(comment(f"c{number}", number, at=bot.clock.now() + int(number)))
    await reply_to(bot, "c2")
    await reply_to(bot, "c1")
    assert "2" == (await purchase(bot))["referral_ad_id"]


@pytest.mark.parametrize("answer", [{}, {"error": {"code": 10}}, {"message_id": "m"}, None])
async def test_a_reply_that_names_nobody_teaches_nothing(answer: Any) -> None:
    """Facebook refused it, or a middleware did not send it."""
    bot = tracked_bot()
    await bot.handle(comment())
    await reply_to(bot, answer={} if answer is None else answer)
    assert {"sum": 1} == await purchase(bot)


async def test_a_reply_to_a_comment_on_no_ad_keeps_the_referral() -> None:
    """Nothing newer is known."""
    bot = tracked_bot()
    await bot.handle(comment(ad_id=None))
    await reply_to(bot)
    assert {"sum": 1} == await purchase(bot)


async def test_greeting_and_links_of_the_reply_carry_the_ad() -> None:
    """As those of a person who came by an ad."""
    params = {"params": {"ad": "{ad_id}"}}
    bot = tracked_bot(greeting=GREETING, smartlinks={**SMARTLINKS, **params})

    async def handler(_event: Event) -> None:
        await reply_to(bot, greeting=True)

    await bot.handle(comment(), handler)
    bot.clock.stall(61)
    await bot.end_waits()
    (impression,) = await bot.records("ping")
    assert "238" == impression.params["referral_ad_id"]  # type: ignore[attr-defined]
    assert "ad=238" in url_of(bot.sent[0])
    assert PERSON not in url_of(bot.sent[0])


async def test_with_referrals_off_nothing_is_kept_of_comments() -> None:
    """Neither of the comment nor of the person."""
    bot = tracked_bot(events={"attach_referral": "off"})
    await bot.handle(comment())
    await reply_to(bot)
    keys = [(f"koapp/{PERSON}", f"referral:koapp:{PERSON}"), ("koapp/comment:c1", "comment:koapp:c1")]
    assert {} == await bot.store.recall(keys)


async def test_nothing_is_kept_of_a_person_who_opted_out() -> None:
    """Of a comment alone, nobody is known."""
    bot = tracked_bot()
    await bot.handle(comment())
    await bot.kochava.opt_out(PERSON)
    await reply_to(bot)
    assert {} == await bot.store.recall([(f"koapp/{PERSON}", f"referral:koapp:{PERSON}")])
