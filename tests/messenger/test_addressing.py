"""Which Page or account a call names in its path, and calls that name an ad account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kochava_bot_middleware import BotSettings, MessengerBot
from kochava_bot_middleware.exceptions import RateLimitedError
from kochava_bot_middleware.messenger.events import Channel, MessageEvent
from kochava_bot_middleware.messenger.graph.errors import batch_items
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.messenger.reply import Reply
from kochava_bot_middleware.messenger.send_api import AsyncBot
from kochava_bot_middleware.settings import from_mapping
from tests.messenger.local_graph import Answer, LocalGraph, Watcher

ACCOUNT_ID = "17841400000000001"
BUTTONS = {
    "attachment": {
        "type": "template",
        "payload": {
            "template_type": "button",
            "text": "New shoes",
            "buttons": [{"type": "web_url", "title": "Show", "url": "https://shop.example/shoes"}],
        },
    }
}

CALLS: dict[str, tuple[Callable[[AsyncBot], Awaitable[Any]], str]] = {
    "text": (lambda bot: bot.send_text_message("1", "hi"), "messages"),
    "raw": (lambda bot: bot.send_raw({"recipient": {"id": "1"}, "message": {"text": "hi"}}), "messages"),
    "outgoing": (lambda bot: bot.send(Outgoing(body={"recipient": {"id": "1"}})), "messages"),
    "action": (lambda bot: bot.send_action("1", "typing_on"), "messages"),
    "file": (lambda bot: bot.send_image("1", b"png", filename="a.png"), "messages"),
    "private reply": (lambda bot: bot.send_private_reply("hi", comment_id="c1"), "messages"),
    "reply": (lambda bot: Reply(bot, MessageEvent(user_id="1")).text("hi"), "messages"),
    "upload": (lambda bot: bot.upload_attachment("image", b"png"), "message_attachments"),
    "profile": (lambda bot: bot.set_messenger_profile({"ice_breakers": []}), "messenger_profile"),
    "get profile": (lambda bot: bot.get_messenger_profile(), "messenger_profile"),
    "delete profile": (lambda bot: bot.delete_messenger_profile(["ice_breakers"]), "messenger_profile"),
    "menu": (lambda bot: bot.set_persistent_menu({"persistent_menu": []}), "messenger_profile"),
    "remove menu": (lambda bot: bot.remove_persistent_menu(), "messenger_profile"),
    "user menu": (lambda bot: bot.set_user_menu("1", []), "custom_user_settings"),
    "get user menu": (lambda bot: bot.get_user_menu("1"), "custom_user_settings"),
    "delete user menu": (lambda bot: bot.delete_user_menu("1"), "custom_user_settings"),
    "persona": (lambda bot: bot.create_persona("Ann", "https://a.example/a.png"), "personas"),
    "personas": (lambda bot: bot.list_personas(), "personas"),
    "pass": (lambda bot: bot.pass_thread_control("1", "2"), "pass_thread_control"),
    "extend": (lambda bot: bot.extend_thread_control("1", 60), "extend_thread_control"),
    "call": (lambda bot: bot.call("GET", "me/conversations"), "conversations"),
    "owner": (lambda bot: bot.get_thread_owner("1"), "thread_owner"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_each_call_names_the_account_of_the_token_or_its_id(graph: LocalGraph, name: str) -> None:
    """As the setting says."""
    call, edge = CALLS[name]
    await call(graph.bot(page_id=ACCOUNT_ID))
    await call(graph.bot(page_id=ACCOUNT_ID, addressed_by_id=True))
    assert [f"/v26.0/me/{edge}", f"/v26.0/{ACCOUNT_ID}/{edge}"] == [request.path for request in graph.seen]


@pytest.mark.parametrize(
    ("url", "addressed"),
    [
        ("me/messages", f"{ACCOUNT_ID}/messages"),
        ("/me/messages", f"/{ACCOUNT_ID}/messages"),
        ("v26.0/me/messages", f"v26.0/{ACCOUNT_ID}/messages"),
        ("me?fields=name", f"{ACCOUNT_ID}?fields=name"),
        ("me", ACCOUNT_ID),
        ("mega/messages", "mega/messages"),
        ("1001/messages", "1001/messages"),
        ("act_1/messages", "act_1/messages"),
    ],
)
async def test_the_requests_of_a_batch_name_the_id_too(graph: LocalGraph, url: str, addressed: str) -> None:
    """In a copy of the caller's objects."""
    requests: list[dict[str, Any]] = [{"method": "POST", "relative_url": url, "body": "me/x"}, {"odd": 1}]
    graph.answers.append(Answer([]))
    await graph.bot(page_id=ACCOUNT_ID, addressed_by_id=True).send_batch(requests)
    assert [{"method": "POST", "relative_url": addressed, "body": "me/x"}, {"odd": 1}] == graph.seen[0].body["batch"]
    assert requests[0]["relative_url"] == url
    graph.answers.append(Answer([]))
    await graph.bot(page_id=ACCOUNT_ID).send_batch(requests)
    assert requests == graph.seen[1].body["batch"]


def test_an_id_to_address_by_is_needed() -> None:
    """Else every call would fail at Facebook."""
    with pytest.raises(ValueError, match="addressed_by_id needs page_id"):
        AsyncBot("token", addressed_by_id=True)


async def test_a_page_of_the_settings_may_be_addressed_by_its_id(graph: LocalGraph) -> None:
    """Others are not."""
    page = {"page_access_token": "t", "channel": "instagram", "addressed_by_id": True}
    pages = {ACCOUNT_ID: page, "1001": {"page_access_token": "u"}}
    settings = {"verify_token": "v", "app_secret": "s", "graph_url": graph.url, "pages": pages}
    bot = MessengerBot(from_mapping(BotSettings, settings))
    for page_id in pages:
        await bot.page(page_id).send_text_message("1", "hi")
        await bot.page(page_id).close()
    assert [f"/v26.0/{ACCOUNT_ID}/messages", "/v26.0/me/messages"] == [request.path for request in graph.seen]
    assert Channel.INSTAGRAM is bot.page(ACCOUNT_ID).channel


@pytest.mark.parametrize("ad_account_id", ["act_77", "77", 77])
@pytest.mark.parametrize("addressed_by_id", [True, False])
async def test_a_marketing_message_is_sent_by_the_ad_account(
    graph: LocalGraph, ad_account_id: str | int, addressed_by_id: bool
) -> None:
    """Once through the send chain, and without a recipient."""
    watcher = Watcher()
    bot = graph.bot(page_id=ACCOUNT_ID, addressed_by_id=addressed_by_id, middlewares=[watcher])
    graph.answers.append(Answer({"success": True, "marketing_message_tracking_id": "98ecd977"}))
    answer = await bot.send_marketing_message(
        ad_account_id, 5, "sub-1", BUTTONS, min_conversation_gap_seconds=3600, creative="spring", greeting=True
    )
    (request,) = graph.seen
    (outgoing,) = watcher.seen
    assert ("POST", "/v26.0/act_77/messages") == (request.method, request.path)
    assert {
        "message_id": "5",
        "messenger_delivery_data": {"subscription_token": "sub-1"},
        "message": BUTTONS,
        "min_conversation_gap_seconds": 3600,
    } == request.body
    assert ("spring", True, ACCOUNT_ID) == (outgoing.creative, outgoing.greeting, outgoing.page_id)
    assert answer["marketing_message_tracking_id"] == "98ecd977"


async def test_without_a_gap_none_is_sent(graph: LocalGraph) -> None:
    """It is optional."""
    await graph.bot().send_marketing_message("77", "5", "sub-1", {"text": "hi"})
    assert "min_conversation_gap_seconds" not in graph.seen[0].body


@pytest.mark.parametrize(("code", "subcode"), [(2300052, None), (100, 2300052), (4, 2300052)])
async def test_a_person_who_wrote_within_the_gap_is_not_written_to_again_at_once(
    graph: LocalGraph, code: int, subcode: int | None
) -> None:
    """The gap lasts far longer than the waits of a repetition."""
    graph.will_refuse(code, subcode)
    with pytest.raises(RateLimitedError, match="min_conversation_gap_seconds") as caught:
        await graph.bot().send_marketing_message("77", "5", "sub-1", {"text": "hi"}, min_conversation_gap_seconds=60)
    assert 1 == len(graph.seen)
    assert (code, subcode) == (caught.value.code, caught.value.subcode)
    (item,) = batch_items([{"code": 400, "body": {"error": {"code": 2300052}}}])
    assert isinstance(item.error, RateLimitedError)


async def test_people_are_unsubscribed_from_the_page(graph: LocalGraph) -> None:
    """By the Page's id where it is known; nobody sees it, so it does not pass the send chain."""
    watcher = Watcher()
    for page_id, node in (("1001", "1001"), (None, "me")):
        bot = graph.bot(page_id=page_id, middlewares=[watcher])
        await bot.unsubscribe_from_marketing_messages([{"psid": "1"}, {"subscriber_token": "sub-1"}])
        assert f"/v26.0/{node}/messaging_customer_base/unsubscribe" == graph.seen[-1].path
        assert {"data": [{"psid": "1"}, {"subscriber_token": "sub-1"}]} == graph.seen[-1].body
    assert [] == watcher.seen
