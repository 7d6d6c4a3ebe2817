"""A report of what a bot did, over real HTTP."""

from __future__ import annotations

from typing import Any

from kochava_bot_middleware.reporting.report import ReportBy, report_of
from kochava_bot_middleware.store.records import OUTBOX

from .conftest import MakeShop

GREETING_BUTTONS = [
    {"type": "web_url", "title": "Show Website", "url": "https://shop.example/shoes"},
    {"type": "web_url", "title": "Share", "url": "https://m.me/shop"},
    {"type": "postback", "title": "Start Chatting", "payload": "CHAT"},
]


async def test_report_says_what_people_did_with_the_bot(make_shop: MakeShop) -> None:
    """Two are greeted, one of them starts to chat and buys; each greeting has a link that is left alone."""
    shop = make_shop()
    bot, kochava = shop.bot, shop.middleware

    @bot.on_postback("GET_STARTED")
    @kochava.greeting
    @kochava.ignore
    async def greet(event: Any, reply: Any) -> None:
        await reply.buttons("What next?", GREETING_BUTTONS)

    @bot.on_postback("CHAT")
    @kochava.event("Purchase", data={"currency": "USD", "sum": "19.99"})
    async def chat(event: Any, reply: Any) -> None:
        await reply.text("Thank you!")

    await shop.open()
    people = [shop.messenger.person() for _ in range(2)]
    for person in people:
        await person.gets_started()
        await person.next_message()
    await shop.delivered(2)
    await people[0].taps("Start Chatting")
    await shop.delivered(4)

    store = kochava.provide_store()
    report = report_of(await store.counts(), by=ReportBy.CHANNEL).as_json()
    stats = await store.stats()
    total = report["total"]
    assert [("sent", 2, None), ("shown", 2, 1.0), ("clicked", 1, 0.5), ("events", 1, None), ("purchases", 1, 1.0)] == [
        (step["step"], step["count"], step["rate"]) for step in total["funnel"]
    ]
    assert {"rewritten": 2, "left_alone": {"messenger_link": 2}} == total["links"]
    assert {"USD": {"recorded": "19.99", "delivered": "19.99"}} == total["revenue"]
    assert sum(stats[queue].done for queue in OUTBOX if queue in stats) == total["records"]["delivered"] == 4
    assert ["messenger"] == list(report["by_channel"])
