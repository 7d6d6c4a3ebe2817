"""What is counted by day: of records, greetings and links, of what is left out, and of amounts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.reporting.report import ReportBy, Totals, money, report_of
from kochava_bot_middleware.tracking.counting import MOST_AMOUNT, MOST_NAMES, OTHER, Facts, amount_of
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import GREETING, SMARTLINKS, TrackedBot, body_to, tracked_bot

DAY = 86_400.0


async def totals_of(bot: TrackedBot) -> Totals:
    return report_of(await bot.store.counts(), by=ReportBy.DAY).total


async def recorded_amounts(*data: dict[str, Any]) -> dict[str, str]:
    """Revenue by currency after a purchase with each of *data*."""
    bot = tracked_bot()
    for each in data:
        await bot.kochava.track("Purchase", each, user_id="5")
    revenue = (await totals_of(bot)).revenue
    return {currency: money(sums["recorded"]) for currency, sums in revenue.items()}


@pytest.mark.parametrize("settings", [{"report": {"retention_days": 0}}, {"mode": "dry_run"}])
async def test_nothing_is_counted_without_retention_or_in_a_dry_run(settings: dict[str, Any]) -> None:
    """Neither records, nor greetings, nor links, nor what is left out."""
    bot = tracked_bot(**settings, greeting=GREETING, smartlinks=SMARTLINKS)
    await bot.handle(bot.postback())
    mid = await bot.send(body_to(), greeting=True)
    await bot.handle(bot.delivery(mid))
    await bot.kochava.opt_out("5")
    await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD"}, user_id="5")
    await bot.kochava.stop()
    await bot.store.open()
    assert [] == await bot.store.counts()


async def test_days_older_than_the_retention_are_forgotten() -> None:
    """Of three days with a retention of two, today and yesterday are kept."""
    clock = VirtualClock()
    bot = tracked_bot(clock, report={"retention_days": 2})
    for day in range(3):
        if day:
            clock.stall(DAY)
        await bot.kochava.track("Rating", user_id="5")
        await settle()
    today = int(clock.now() // DAY)
    assert [today - 1, today] == [each.day for each in await bot.store.counts()]


async def test_names_beyond_the_limit_are_counted_as_others() -> None:
    """A bot that makes names of what people write does not fill the store; no event is missing."""
    bot = tracked_bot()
    for number in range(MOST_NAMES + 3):
        await bot.kochava.track(f"Name {number}", user_id="5")
    events = (await totals_of(bot)).events
    assert (MOST_NAMES + 1, 3) == (len(events), events[OTHER].recorded)


async def test_names_are_counted_by_themselves_again_on_the_next_day() -> None:
    """The limit is one of a day."""
    bot = tracked_bot()
    for number in range(MOST_NAMES + 1):
        await bot.kochava.track(f"Name {number}", user_id="5")
    bot.clock.stall(DAY)
    await bot.kochava.track("Rating", user_id="5")
    assert 1 == (await totals_of(bot)).events["Rating"].recorded


async def test_greeting_is_counted_as_sent_once() -> None:
    """Not again when another event of the person is recorded."""
    bot = tracked_bot(greeting=GREETING)
    mid = await bot.send(body_to(), greeting=True)
    await bot.handle(bot.delivery(mid))
    await bot.handle(bot.message())
    await bot.handle(bot.message())
    assert {"sent": 1, "shown": 1, "clicked": 1, "events": 2} == dict((await totals_of(bot)).funnel)


async def test_links_of_a_message_without_a_commit_are_counted_when_the_bot_stops() -> None:
    """They wait for the next commit of the process, of which there is none."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    await bot.send(body_to())
    await bot.kochava.stop()
    await bot.store.open()
    assert 1 == (await totals_of(bot)).links_rewritten


async def test_left_alone_links_are_counted_by_reason() -> None:
    """Beside those that became SmartLinks."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    buttons = [
        {"type": "web_url", "title": "Show", "url": url}
        for url in ("https://shop.example/shoes", "https://m.me/shop", "https://m.me/shop?ref=a")
    ]
    payload = {"template_type": "button", "text": "What next?", "buttons": buttons}
    await bot.send({"recipient": {"id": "5"}, "message": {"attachment": {"type": "template", "payload": payload}}})
    await bot.kochava.track("Rating", user_id="5")
    totals = await totals_of(bot)
    assert (1, Counter({"messenger_link": 2})) == (totals.links_rewritten, totals.links_left_alone)


async def test_each_currency_has_a_sum_of_its_own() -> None:
    """They are never added to each other."""
    found = await recorded_amounts(
        {"sum": 10, "currency": "USD"}, {"sum": "2.50", "currency": "EUR"}, {"price": 0.75, "currency": "USD"}
    )
    assert {"USD": "10.75", "EUR": "2.50"} == found


async def test_refund_is_taken_from_the_sum() -> None:
    """A purchase of a negative sum; all together may be less than nothing."""
    assert {"USD": "6.01"} == await recorded_amounts({"sum": 10, "currency": "USD"}, {"sum": -3.99, "currency": "USD"})
    assert {"USD": "-3.99"} == await recorded_amounts({"sum": "-3.99", "currency": "USD"})


async def test_absurd_sum_leaves_the_others_as_they_are() -> None:
    """The purchases are counted nevertheless."""
    bot = tracked_bot()
    for value in (1, "1e400", "nan", "-inf", "text", 10**30, float("inf"), True, "9" * 5000, MOST_AMOUNT * 2):
        data = {"sum": value, "currency": "USD"}
        await bot.kochava.track("Purchase", data, user_id="5")
    totals = await totals_of(bot)
    assert (10, 10) == (totals.events["Purchase"].recorded, totals.funnel["purchases"])
    assert ("1.00", 0) == (money(totals.revenue["USD"]["recorded"]), totals.revenue[OTHER]["recorded"])


async def test_code_that_is_no_currency_is_counted_as_another() -> None:
    """What a person wrote there is in no report."""
    assert {OTHER: "5.00"} == await recorded_amounts({"sum": 5, "currency": "dollars"})


async def test_what_becomes_of_a_purchase_has_its_amount() -> None:
    """What was delivered, in its currency."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", {"sum": 10, "currency": "USD"}, user_id="5")
    await bot.deliver()
    assert 10_000_000 == (await totals_of(bot)).revenue["USD"]["delivered"]


async def test_counters_do_not_name_people() -> None:
    """Neither their ids nor their texts."""
    bot = tracked_bot(greeting=GREETING)
    await bot.handle(bot.message("my secret wish", user_id="person-7"))
    await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD", "name": "my secret wish"}, user_id="person-7")
    counts = str(await bot.store.counts())
    assert "Purchase" in counts
    assert not any(word in counts for word in ("person-7", "secret"))


@given(value=st.one_of(st.integers(), st.floats(), st.text(), st.decimals().map(str), st.none(), st.booleans()))
def test_every_amount_can_be_added_up(value: object) -> None:
    """It is a whole number of millionths within bounds, whatever the developer wrote."""
    millionths, currency = amount_of({"sum": value, "currency": "USD"})
    assert isinstance(millionths, int)
    assert abs(millionths) <= MOST_AMOUNT * 1_000_000
    assert currency in ("", "USD", OTHER)


@given(st.builds(Facts, *[st.text()] * 5))
def test_facts_are_stored_as_plain_text(facts: Facts) -> None:
    """ASCII without control characters, and read as they were."""
    text = facts.to_text()
    assert text.isascii()
    assert text.isprintable()
    assert facts == Facts.from_text(text)
