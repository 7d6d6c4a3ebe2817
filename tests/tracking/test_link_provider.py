"""SmartLinks from a provider of the author's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kochava_bot_middleware.tracking.links.provider import LinkProvider
from tests.fakes import settle
from tests.tracking.tracked_bot import SMARTLINKS, TrackedBot, body_to, tracked_bot, url_of

CATALOGUE = {"https://shop.example/shoes": "https://acme.smart.link/shoes7"}


class Shelf:
    """A catalogue that can be made to fail or to be slow."""

    def __init__(self, links: dict[str, Any]) -> None:
        self.links = links
        self.asked: list[str] = []
        self.error: BaseException | None = None
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def smartlink_for(self, url: str) -> str | None:
        self.asked.append(url)
        await self.going_on.wait()
        if self.error is not None:
            raise self.error
        answer: str | None = self.links.get(url)
        return answer


def shop(provider: LinkProvider, **settings: Any) -> TrackedBot:
    plain = tracked_bot()
    return TrackedBot(settings=settings, clock=plain.clock, store=plain.store, link_provider=provider)


def body_with(url: str) -> dict[str, Any]:
    body = body_to()
    body["message"]["attachment"]["payload"]["buttons"][0]["url"] = url
    return body


async def test_a_provided_link_carries_the_parameters_too() -> None:
    """As any other SmartLink, with the person's id; the provider is called once while its answer is good."""
    shelf = Shelf(CATALOGUE)
    bot = shop(shelf)
    for _ in range(3):
        await bot.send(body_to(), creative="greet_b")
    assert {"https://acme.smart.link/shoes7?site_id=1001&sub_site_id=messenger&creative_id=greet_b&fb_user_id=u1"} == {
        url_of(sent) for sent in bot.sent
    }
    assert ["https://shop.example/shoes"] == shelf.asked
    await bot.clock.advance(3601)
    await bot.send(body_to())
    assert 2 == len(shelf.asked)


async def test_a_provided_link_may_be_a_template() -> None:
    """As a route has it."""
    bot = shop(Shelf({"https://shop.example/shoes": "https://acme.smart.link/s?p={path}&u={user_id}"}))
    await bot.send(body_to())
    assert url_of(bot.sent[0]).startswith("https://acme.smart.link/s?p=%2Fshoes&u=u1&")


async def test_an_address_without_a_provided_link_uses_the_routes() -> None:
    """Routes and default; without these, the address stays."""
    bot, bare = shop(Shelf({}), smartlinks=SMARTLINKS), shop(Shelf({}))
    await bot.send(body_to())
    await bare.send(body_to())
    assert url_of(bot.sent[0]).startswith("https://acme.smart.link/ab12cd34e?url=")
    assert "https://shop.example/shoes" == url_of(bare.sent[0])


async def test_a_link_into_messenger_with_a_route_of_its_own_is_asked_for_too() -> None:
    """The provider comes before routes; without one of its own, such a link stays."""
    into_bot = {"match": "m.me/*", "link": "https://acme.smart.link/inbot"}
    for settings, asked, begins in (
        ({"routes": [into_bot]}, ["https://m.me/shop"], "https://acme.smart.link/inbot?"),
        ({}, [], "https://m.me/shop"),
    ):
        shelf = Shelf({})
        bot = shop(shelf, smartlinks={"default": "https://acme.smart.link/x?url={url}", **settings})
        await bot.send(body_with("https://m.me/shop"))
        assert asked == shelf.asked
        assert url_of(bot.sent[0]).startswith(begins)


@pytest.mark.parametrize("fault", [LookupError(), asyncio.CancelledError(), SystemExit(3), "no address", 7])
async def test_a_failing_provider_leaves_the_address(fault: Any) -> None:
    """Counted, and not called again for a while."""
    is_raised = isinstance(fault, BaseException)
    shelf = Shelf({"https://shop.example/shoes": None if is_raised else fault})
    shelf.error = fault if is_raised else None
    bot = shop(shelf, smartlinks=SMARTLINKS)
    await bot.send(body_to())
    await bot.send(body_to())
    assert ["https://shop.example/shoes"] * 2 == [url_of(sent) for sent in bot.sent]
    assert (1, 1) == (len(shelf.asked), bot.kochava.counts.provider_failures)
    shelf.error = None
    shelf.links = CATALOGUE
    await bot.clock.advance(11)
    await bot.send(body_to())
    assert "acme.smart.link/shoes7" in url_of(bot.sent[2])


async def test_a_slow_provider_delays_no_message_for_long() -> None:
    """The address stays, and the late answer counts for the next message."""
    shelf = Shelf(CATALOGUE)
    shelf.going_on.clear()
    bot = shop(shelf, link_provider={"timeout_seconds": 0.01})
    async with asyncio.timeout(5):
        await bot.send(body_to())
        await bot.send(body_to())
    assert ["https://shop.example/shoes"] * 2 == [url_of(sent) for sent in bot.sent]
    shelf.going_on.set()
    await settle()
    await bot.send(body_to())
    assert "acme.smart.link/shoes7" in url_of(bot.sent[2])
    assert 1 == len(shelf.asked)
    await bot.kochava.stop()


async def test_the_provider_is_not_called_for_skipped_addresses_and_smartlinks() -> None:
    """Nor is what must stay anyway, such as m.me."""
    shelf = Shelf({})
    bot = shop(shelf, smartlinks={**SMARTLINKS, "skip": ["https://shop.example/*"]})
    body = body_to()
    body["message"]["attachment"]["payload"]["buttons"] += [
        {"type": "web_url", "title": "a", "url": "https://acme.smart.link/x"},
        {"type": "web_url", "title": "b", "url": "https://m.me/shop"},
    ]
    await bot.send(body)
    assert [] == shelf.asked


async def test_the_catalogue_is_bounded() -> None:
    """The oldest answer goes first."""
    shelf = Shelf({})
    bot = shop(shelf, link_provider={"cache_size": 1})
    for url in ("https://a.example/", "https://b.example/", "https://a.example/"):
        await bot.send(body_with(url))
    assert 3 == len(shelf.asked)


async def test_rewrite_uses_what_is_known() -> None:
    """It is pure, so it does not call the provider."""
    shelf = Shelf(CATALOGUE)
    bot = shop(shelf)
    assert body_to() == bot.kochava.rewrite(body_to())
    await bot.send(body_to())
    assert "acme.smart.link/shoes7" in str(bot.kochava.rewrite(body_to()))
    assert 1 == len(shelf.asked)


@pytest.mark.parametrize("link", ["https://go.acme.example/s7", "https://go.acme.example/to/{path}/{user_id}?u={url}"])
async def test_a_provided_link_is_not_replaced_again(link: str) -> None:
    """Whatever its host, by a second layer or `rewrite`; nor is the provider asked for it."""
    shelf = Shelf({"https://shop.example/shoes": link})
    bot = shop(shelf, smartlinks=SMARTLINKS)
    await bot.send(body_to())
    sent = bot.sent[-1].body
    assert url_of(bot.sent[-1]).startswith("https://go.acme.example/")

    assert sent == bot.kochava.rewrite(sent)
    await bot.send(sent)

    assert sent == bot.sent[-1].body
    assert ["https://shop.example/shoes"] == shelf.asked


async def test_other_addresses_of_a_provided_links_host_are_replaced() -> None:
    """The host may be the shop's own."""
    shelf = Shelf({"https://shop.example/shoes": "https://acme.example/s7"})
    bot = shop(shelf, smartlinks=SMARTLINKS)
    await bot.send(body_to())
    await bot.send(body_with("https://acme.example/imprint"))
    assert url_of(bot.sent[-1]).startswith("https://acme.smart.link/")


async def test_a_provider_may_give_an_address_on_its_own_host() -> None:
    """Then the address itself, with another query, is still asked for."""
    shelf = Shelf({f"https://shop.example/shoes{query}": "https://shop.example/shoes?v=1" for query in ("", "?size=4")})
    bot = shop(shelf)
    for url in ("https://shop.example/shoes", "https://shop.example/shoes?size=4"):
        await bot.send(body_with(url))
    assert ["https://shop.example/shoes?v=1"] * 2 == [url_of(sent).partition("&")[0] for sent in bot.sent]


async def test_an_address_that_cannot_be_encoded_stays() -> None:
    """Half a surrogate pair in one address; the other links of the message are replaced."""
    bot = shop(Shelf({"https://a.example/\ud800": "https://acme.smart.link/x?u={url}", **CATALOGUE}))
    buttons = [
        {"type": "web_url", "title": "Go", "url": url}
        for url in ("https://a.example/\ud800", "https://shop.example/shoes")
    ]
    message = {
        "attachment": {"type": "template", "payload": {"template_type": "button", "text": "?", "buttons": buttons}}
    }
    await bot.send({"recipient": {"id": "u1"}, "message": message})
    sent = bot.sent[-1].body["message"]["attachment"]["payload"]["buttons"]
    assert "https://a.example/\ud800" == sent[0]["url"]
    assert sent[1]["url"].startswith("https://acme.smart.link/shoes7")
