"""Methods and options of the platform that pymessenger does not have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.outgoing import MessagingType, Recipient
from tests.messenger.local_graph import LocalGraph, Watcher

R = {"id": "77"}
HI = {"recipient": R, "message": {"text": "hi"}}
MEDIA = [{"media_type": "image"}]
QUICK = [{"content_type": "text", "title": "42", "payload": "SIZE_42"}]


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({"messaging_type": "UPDATE"}, {"messaging_type": "UPDATE"}),
        ({"messaging_type": MessagingType.RESPONSE}, {"messaging_type": "RESPONSE"}),
        ({"tag": "HUMAN_AGENT"}, {"tag": "HUMAN_AGENT", "messaging_type": "MESSAGE_TAG"}),
        ({"persona_id": "9"}, {"persona_id": "9"}),
        ({"reply_to": "m_2"}, {"reply_to": {"mid": "m_2"}}),
        ({"reply_to": {"mid": "m_2"}}, {"reply_to": {"mid": "m_2"}}),
        ({"notification_type": "NO_PUSH"}, {"notification_type": "NO_PUSH"}),
        ({"quick_replies": QUICK}, {"message": {"text": "hi", "quick_replies": QUICK}}),
        ({"creative": "a", "greeting": True}, {}),
    ],
)
async def test_option_is_a_member_of_the_body(
    graph: LocalGraph, options: dict[str, Any], added: dict[str, Any]
) -> None:
    """Nothing else changes."""
    await graph.bot().send_text_message("77", "hi", **options)

    assert {**HI, **added} == graph.seen[0].body


async def test_quick_replies_are_added_to_json_text(graph: LocalGraph) -> None:
    """A message in JSON text stays JSON text."""
    await graph.bot().send_image_url("77", "https://a.example/i.png", quick_replies=QUICK)

    assert QUICK == json.loads(graph.seen[0].body["message"])["quick_replies"]


async def test_unknown_option_is_refused(graph: LocalGraph) -> None:
    """A mistyped keyword is an error."""
    with pytest.raises(TypeError, match="persona"):
        await graph.bot().send_text_message("77", "hi", persona="9")  # type: ignore[call-arg]
    assert [] == graph.seen


async def test_quick_replies_need_a_message(graph: LocalGraph) -> None:
    """A sender action cannot have quick replies."""
    with pytest.raises(ValueError, match="need a message"):
        await graph.bot().send_action("77", "typing_on", quick_replies=QUICK)


def _template(**payload: Any) -> dict[str, Any]:
    return {"recipient": R, "message": {"attachment": {"type": "template", "payload": payload}}}


MESSAGES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    (
        "send_quick_replies",
        ("77", "Size?", QUICK),
        {"recipient": R, "message": {"text": "Size?", "quick_replies": QUICK}},
    ),
    ("send_template", ("77", {"template_type": "product"}), _template(template_type="product")),
    ("send_media_message", ("77", MEDIA), _template(template_type="media", elements=MEDIA)),
    ("send_receipt_message", ("77", {"order_number": "1"}), _template(template_type="receipt", order_number="1")),
    ("send_coupon_message", ("77", {"coupon_code": "X"}), _template(template_type="coupon", coupon_code="X")),
    (
        "send_reaction",
        ("77", "m_1", "love"),
        {"recipient": R, "sender_action": "react", "payload": {"message_id": "m_1", "reaction": "love"}},
    ),
    ("remove_reaction", ("77", "m_1"), {"recipient": R, "sender_action": "unreact", "payload": {"message_id": "m_1"}}),
]


@pytest.mark.parametrize(("method", "arguments", "expected"), MESSAGES)
async def test_message_body(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    """Each method posts the platform's body."""
    await getattr(graph.bot(), method)(*arguments)

    assert ("/v26.0/me/messages", expected) == (graph.seen[0].path, graph.seen[0].body)


async def test_action_accepts_a_payload(graph: LocalGraph) -> None:
    """A reaction can also be sent with pymessenger's method."""
    await graph.bot().send_action("77", "react", payload={"message_id": "m_1", "reaction": "wow"})

    assert {"message_id": "m_1", "reaction": "wow"} == graph.seen[0].body["payload"]


@pytest.mark.parametrize("place", ["comment_id", "post_id"])
async def test_private_reply_is_for_a_comment_or_post(graph: LocalGraph, place: str) -> None:
    """The comment or post is the recipient."""
    await graph.bot().send_private_reply("hi", **{place: "c_1"})  # type: ignore[arg-type]

    assert {"recipient": {place: "c_1"}, "message": {"text": "hi"}} == graph.seen[0].body


async def test_private_reply_needs_one_comment_or_post(graph: LocalGraph) -> None:
    """Not none, and not both."""
    with pytest.raises(TypeError, match="either comment_id or post_id"):
        await graph.bot().send_private_reply("hi")


async def test_batch_goes_to_the_root(graph: LocalGraph) -> None:
    """A batch is posted to the path of the version itself."""
    requests = [{"method": "POST", "relative_url": "me/messages", "body": "recipient=%7B%7D"}]

    await graph.bot().send_batch(requests)

    assert ("/v26.0/", {"batch": requests}) == (graph.seen[0].path, graph.seen[0].body)


CALLS: list[tuple[str, tuple[Any, ...], str, str, dict[str, str], dict[str, Any] | None]] = [
    ("set_messenger_profile", ({"commands": []},), "POST", "me/messenger_profile", {}, {"commands": []}),
    ("get_messenger_profile", (["greeting"],), "GET", "me/messenger_profile", {"fields": "greeting"}, None),
    ("delete_messenger_profile", (["greeting"],), "DELETE", "me/messenger_profile", {}, {"fields": ["greeting"]}),
    ("set_user_menu", ("77", []), "POST", "me/custom_user_settings", {}, {"psid": "77", "persistent_menu": []}),
    ("get_user_menu", ("77",), "GET", "me/custom_user_settings", {"psid": "77"}, None),
    (
        "delete_user_menu",
        ("77",),
        "DELETE",
        "me/custom_user_settings",
        {"psid": "77", "params": '["persistent_menu"]'},
        None,
    ),
    (
        "create_persona",
        ("Ann", "https://a.example/p.png"),
        "POST",
        "me/personas",
        {},
        {"name": "Ann", "profile_picture_url": "https://a.example/p.png"},
    ),
    ("get_persona", ("9",), "GET", "9", {}, None),
    ("list_personas", (), "GET", "me/personas", {}, None),
    ("delete_persona", ("9",), "DELETE", "9", {}, None),
    ("get_user_profile", ("77", ["name"]), "GET", "77", {"fields": "name"}, None),
    (
        "pass_thread_control",
        ("77", "263902037430900", "why"),
        "POST",
        "me/pass_thread_control",
        {},
        {"recipient": R, "target_app_id": "263902037430900", "metadata": "why"},
    ),
    ("take_thread_control", ("77",), "POST", "me/take_thread_control", {}, {"recipient": R}),
    ("request_thread_control", ("77",), "POST", "me/request_thread_control", {}, {"recipient": R}),
    ("release_thread_control", ("77",), "POST", "me/release_thread_control", {}, {"recipient": R}),
    ("extend_thread_control", ("77", 60), "POST", "me/extend_thread_control", {}, {"recipient": R, "duration": 60}),
    ("get_thread_owner", ("77",), "GET", "me/thread_owner", {"recipient": "77"}, None),
]


@pytest.mark.parametrize(("method", "arguments", "verb", "path", "query", "body"), CALLS)
async def test_page_call(
    graph: LocalGraph,
    method: str,
    arguments: tuple[Any, ...],
    verb: str,
    path: str,
    query: dict[str, str],
    body: dict[str, Any] | None,
) -> None:
    """Each call has its verb, path, query and body."""
    await getattr(graph.bot(), method)(*arguments)

    (request,) = graph.seen
    assert (verb, f"/v26.0/{path}", query) == (request.method, request.path, request.query)
    assert body == (request.body if request.content else None)


async def test_instagram_profile_names_its_platform(graph: LocalGraph) -> None:
    """Each profile call of an Instagram bot has the platform."""
    bot = graph.bot(channel=Channel.INSTAGRAM)

    await bot.set_messenger_profile({"ice_breakers": []})
    await bot.delete_messenger_profile(["ice_breakers"])

    assert [{"platform": "instagram"}] * 2 == [request.query for request in graph.seen]


async def test_identifier_is_one_segment_of_the_path(graph: LocalGraph) -> None:
    """An id from outside is quoted."""
    await graph.bot().get_user_info("../me/messages?x=1")

    assert "/v26.0/../me/messages?x=1" == graph.seen[0].path
    assert {} == graph.seen[0].query


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        (Recipient(user_id="7"), "id"),
        (Recipient(user_ref="u"), "user_ref"),
        (Recipient(token="t"), "notification_messages_token"),
        (Recipient(one_time_notif_token="t"), "one_time_notif_token"),
        (Recipient(phone_number="+49"), "phone_number"),
    ],
)
async def test_recipient_record_is_sent_as_the_chain_reads_it(
    graph: LocalGraph, recipient: Recipient, name: str
) -> None:
    """With the key of the platform."""
    watcher = Watcher()

    await graph.bot(middlewares=[watcher]).send_text_message(recipient, "hi")

    assert recipient == watcher.seen[0].recipient
    assert [name] == list(graph.seen[0].body["recipient"])


def test_empty_recipient_is_refused() -> None:
    """It has no form in the body."""
    with pytest.raises(ValueError, match="needs one of"):
        Recipient().as_body()
