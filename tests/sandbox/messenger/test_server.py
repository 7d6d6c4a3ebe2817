"""The local Messenger's Graph API over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from tests.fakes import VirtualClock
from tests.sandbox.recording_bot import APP_SECRET, PAGE, TOKEN, MakeMessenger

BEARER = {"Authorization": f"Bearer {TOKEN}"}
HELLO = {"recipient": {"id": "7"}, "message": {"text": "hello"}}


async def call(
    client: aiohttp.ClientSession,
    messenger: LocalMessenger,
    path: str = "/v26.0/me/messages",
    body: Any = HELLO,
    *,
    method: str = "POST",
    headers: Mapping[str, str] = BEARER,
) -> tuple[int, Any]:
    """Call the Graph API and return status and decoded answer."""
    async with client.request(method, messenger.url + path, json=body, headers=headers) as response:
        return response.status, await response.json()


def code(answer: tuple[int, Any]) -> tuple[int, int, int | None]:
    """HTTP status, error code and subcode of a refusal."""
    status, body = answer
    assert body["error"]["fbtrace_id"]
    return status, body["error"]["code"], body["error"].get("error_subcode")


@pytest.fixture
async def seven(messenger: LocalMessenger) -> LocalMessenger:
    """A Messenger in which user 7 has just written to the Page."""
    await messenger.person("7").says("hi")
    return messenger


async def test_an_accepted_message_reaches_the_user(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """The answer has the ids of the user and of the message."""
    status, answer = await call(client, seven)
    message = await seven.person("7").next_message()
    assert (200, {"recipient_id": "7", "message_id": message.mid}) == (status, answer)
    assert ("hello", [message]) == (message.text, seven.sent)


async def test_the_id_of_the_page_can_replace_me(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """The id of another Page does not."""
    assert (await call(client, seven, f"/v26.0/{PAGE}/messages"))[0] == 200
    assert code(await call(client, seven, "/v26.0/2222/messages")) == (400, 100, 33)


async def test_the_token_may_be_in_the_query(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """As older libraries send it."""
    path = f"/v2.6/me/messages?access_token={TOKEN}"
    assert (await call(client, seven, path, headers={}))[0] == 200


async def test_a_missing_or_wrong_token_is_refused(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Errors 104 and 190."""
    assert code(await call(client, seven, headers={})) == (400, 104, None)
    assert code(await call(client, seven, headers={"Authorization": "Bearer other"})) == (400, 190, None)


async def test_a_proof_that_is_given_must_be_right(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """The token's HMAC under the app secret."""
    proof = hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert (await call(client, seven, f"/v26.0/me/messages?appsecret_proof={proof}"))[0] == 200
    assert code(await call(client, seven, f"/v26.0/me/messages?appsecret_proof={proof[:-1]}x")) == (400, 100, None)


async def test_a_proof_can_be_required(make_messenger: MakeMessenger, client: aiohttp.ClientSession) -> None:
    """As the app setting "Require App Secret" does."""
    async with make_messenger(require_proof=True) as messenger:
        assert code(await call(client, messenger)) == (400, 100, None)


async def test_members_may_be_json_text(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Inside JSON, and as form fields."""
    texts = {name: json.dumps(value) for name, value in HELLO.items()}
    assert (await call(client, seven, body=texts))[0] == 200
    async with client.post(seven.url + "/v26.0/me/messages", data=texts, headers=BEARER) as response:
        assert response.status == 200
    assert [HELLO, HELLO] == [sent.body for sent in seven.sent]


async def test_a_file_is_uploaded_as_multipart(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """With the message as JSON text in another part."""
    form = aiohttp.FormData()
    form.add_field("recipient", json.dumps({"id": "7"}))
    form.add_field("message", json.dumps({"attachment": {"type": "image", "payload": {}}}))
    form.add_field("filedata", b"picture", filename="a.png", content_type="image/png")
    async with client.post(seven.url + "/v26.0/me/messages", data=form, headers=BEARER) as response:
        assert response.status == 200


async def test_an_uploaded_attachment_can_be_sent(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """With the id of the upload, and with no other."""
    picture = {"type": "image", "payload": {"url": "https://shop.example/a.png", "is_reusable": True}}
    upload = {"message": {"attachment": picture}}
    _, answer = await call(client, seven, "/v26.0/me/message_attachments", upload)
    sent = {"type": "image", "payload": {"attachment_id": answer["attachment_id"]}}
    body = {"recipient": {"id": "7"}, "message": {"attachment": sent}}
    assert (await call(client, seven, body=body))[0] == 200
    sent["payload"] = {"attachment_id": "1"}
    assert code(await call(client, seven, body=body)) == (400, 100, 2018074)


async def test_broken_json_is_refused(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Error 100."""
    headers = BEARER | {"Content-Type": "application/json"}
    async with client.post(seven.url + "/v26.0/me/messages", data=b"{", headers=headers) as response:
        assert response.status == 400


async def test_a_message_to_an_unknown_user_is_refused(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Error 100, subcode 2018001; the call is in `refused`."""
    answer = await call(client, seven, body=HELLO | {"recipient": {"id": "8"}})
    assert code(answer) == (400, 100, 2018001)
    assert [2018001] == [refused.error["error_subcode"] for refused in seven.refused]
    assert [] == seven.sent


async def test_a_message_to_a_user_who_never_wrote_is_outside_the_window(
    messenger: LocalMessenger, client: aiohttp.ClientSession
) -> None:
    """Error 10, subcode 2018278."""
    messenger.person("7")
    assert code(await call(client, messenger)) == (400, 10, 2018278)


async def test_the_window_closes_after_a_day(
    seven: LocalMessenger, client: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    """For a human agent after seven days."""
    await clock.advance(24 * 3600)
    assert (await call(client, seven))[0] == 200
    await clock.advance(1)
    assert code(await call(client, seven)) == (400, 10, 2018278)
    tagged = HELLO | {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    assert code(await call(client, seven, body=tagged | {"messaging_type": "RESPONSE"})) == (400, 10, 2018278)
    assert (await call(client, seven, body=tagged))[0] == 200


async def test_a_comment_has_one_private_reply(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """A second one is refused."""
    seven.join("comment_id", "c1", seven.person("7"))
    body = HELLO | {"recipient": {"comment_id": "c1"}}
    assert (await call(client, seven, body=body))[0] == 200
    assert code(await call(client, seven, body=body)) == (400, 10, None)


async def test_a_comment_has_its_private_reply_within_a_week(
    seven: LocalMessenger, client: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    """Later it is refused."""
    seven.join("comment_id", "c1", seven.person("7"))
    await clock.advance(7 * 24 * 3600 + 1)
    assert code(await call(client, seven, body=HELLO | {"recipient": {"comment_id": "c1"}})) == (400, 10, None)


async def test_a_utility_template_needs_no_window(messenger: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """A text of that type is refused."""
    messenger.person("7")
    utility = {"recipient": {"id": "7"}, "messaging_type": "UTILITY", "message": {"template": {"name": "order"}}}
    assert (await call(client, messenger, body=utility))[0] == 200
    assert code(await call(client, messenger, body=utility | {"message": {"text": "x"}})) == (400, 100, None)
    assert len(messenger.person("7").inbox) == 1


async def test_a_sender_action_has_no_message_id(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """It is not in the inbox."""
    body = {"recipient": {"id": "7"}, "sender_action": "typing_on"}
    assert await call(client, seven, body=body) == (200, {"recipient_id": "7"})
    assert [] == seven.person("7").inbox


async def test_a_user_ref_reaches_the_user_it_was_joined_to(
    messenger: LocalMessenger, client: aiohttp.ClientSession
) -> None:
    """The answer does not have the user's id."""
    person = messenger.person("7")
    messenger.join("user_ref", "box-1", person)
    status, answer = await call(client, messenger, body=HELLO | {"recipient": {"user_ref": "box-1"}})
    assert (200, ["message_id"]) == (status, list(answer))
    assert len(person.inbox) == 1


async def test_the_whitelist_of_the_profile_applies(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """A button with messenger extensions is accepted once its domain is set."""
    button = {"type": "web_url", "title": "Go", "url": "https://shop.example/", "messenger_extensions": True}
    payload = {"template_type": "button", "text": "x", "buttons": [button]}
    body = {"recipient": {"id": "7"}, "message": {"attachment": {"type": "template", "payload": payload}}}
    assert code(await call(client, seven, body=body)) == (400, 100, None)
    domains = {"whitelisted_domains": ["https://shop.example"]}
    assert await call(client, seven, "/v26.0/me/messenger_profile", domains) == (200, {"result": "success"})
    assert (await call(client, seven, body=body))[0] == 200


async def test_the_profile_is_kept(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Set, read, delete."""
    path, started = "/v26.0/me/messenger_profile", {"get_started": {"payload": "GO"}}
    await call(client, seven, path, started)
    assert await call(client, seven, path + "?fields=get_started", None, method="GET") == (200, {"data": [started]})
    await call(client, seven, path, {"fields": ["get_started"]}, method="DELETE")
    assert await call(client, seven, path, None, method="GET") == (200, {"data": [{}]})


async def test_a_user_has_a_profile_and_a_menu(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Only users known to the Page."""
    path = "/v26.0/7?fields=first_name"
    assert await call(client, seven, path, None, method="GET") == (200, {"first_name": "Ada", "id": "7"})
    assert code(await call(client, seven, "/v26.0/8", None, method="GET")) == (400, 100, 33)
    postback = {"type": "postback", "title": "Help", "payload": "HELP"}
    menu = {"psid": "7", "persistent_menu": [{"locale": "default", "call_to_actions": [postback]}]}
    assert (await call(client, seven, "/v26.0/me/custom_user_settings", menu))[0] == 200
    unknown = menu | {"psid": "8"}
    assert code(await call(client, seven, "/v26.0/me/custom_user_settings", unknown)) == (400, 100, 2018001)


async def test_personas_and_thread_control(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """In their simplest forms."""
    persona = {"name": "Tom", "profile_picture_url": "https://shop.example/tom.png"}
    status, made = await call(client, seven, "/v26.0/me/personas", persona)
    listed = await call(client, seven, "/v26.0/me/personas", None, method="GET")
    assert (200, (200, {"data": [persona | made]})) == (status, listed)
    control = {"recipient": {"id": "7"}, "target_app_id": "263902037430900"}
    assert await call(client, seven, "/v26.0/me/pass_thread_control", control) == (200, {"success": True})
    owner = await call(client, seven, "/v26.0/me/thread_owner?recipient=7", None, method="GET")
    assert (200, {"data": [{"thread_owner": {"app_id": "263902037430900"}}]}) == owner


async def test_an_app_subscribes_to_fields_of_webhooks(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Named in the query or the body."""
    path = "/v26.0/me/subscribed_apps"
    assert code(await call(client, seven, path, {})) == (400, 100, None)
    assert await call(client, seven, f"{path}?subscribed_fields=messages,messaging_postbacks", {}) == (
        200,
        {"success": True},
    )
    _, listed = await call(client, seven, path, None, method="GET")
    assert [["messages", "messaging_postbacks"]] == [app["subscribed_fields"] for app in listed["data"]]


async def test_an_unknown_edge_is_refused(seven: LocalMessenger, client: aiohttp.ClientSession) -> None:
    """Error 2500."""
    assert code(await call(client, seven, "/v26.0/me/message_creatives")) == (400, 2500, None)


async def test_calls_may_have_to_name_the_id(client: aiohttp.ClientSession, make_messenger: MakeMessenger) -> None:
    """As with *Unified Login*, where `me` fails."""
    async with make_messenger(requires_ids=True) as messenger:
        await messenger.person("7").says("hi")
        assert 200 == (await call(client, messenger, f"/v26.0/{PAGE}/messages"))[0]
        assert (400, 100, 33) == code(await call(client, messenger))


PAID: dict[str, Any] = {
    "message_id": "5",
    "messenger_delivery_data": {"subscription_token": "sub-1"},
    "message": {"text": "hello"},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"min_conversation_gap_seconds": 1}, None),
        ({"min_conversation_gap_seconds": "soon"}, 100),
        ({"min_conversation_gap_seconds": 3600}, 2300052),
        ({"recipient": {"id": "7"}}, 100),
        ({"message_id": None}, 100),
        ({"messenger_delivery_data": {}}, 100),
        ({"messenger_delivery_data": {"subscription_token": "other"}}, 100),
        ({"message": None}, 100),
        ({"message": {"text": "x" * 2000}}, 100),
    ],
)
async def test_marketing_messages_are_checked(
    client: aiohttp.ClientSession,
    make_messenger: MakeMessenger,
    clock: VirtualClock,
    change: dict[str, Any],
    expected: int | None,
) -> None:
    """Body, subscription, and the gap to the person's last message."""
    async with make_messenger() as messenger:
        person = messenger.person("7")
        messenger.join("subscription_token", "sub-1", person)
        await person.says("hi")
        await clock.advance(10)
        status, answer = await call(client, messenger, "/v26.0/act_1/messages", {**PAID, **change})
    if expected is None:
        assert (200, True) == (status, answer["success"])
        assert answer["marketing_message_tracking_id"]
        assert ["hello"] == [message.text for message in person.inbox]
    else:
        assert expected == answer["error"]["code"]


async def test_rows_that_name_nobody_are_counted(client: aiohttp.ClientSession, make_messenger: MakeMessenger) -> None:
    """An unsubscribed person gets no marketing message any more."""
    async with make_messenger() as messenger:
        messenger.join("subscription_token", "sub-1", messenger.person("7"))
        path = f"/v26.0/{PAGE}/messaging_customer_base/unsubscribe"
        rows = [{"psid": "7"}, {"psid": "7", "email": "a@b.example"}, {"phone": "1", "email": "a"}, "odd"]
        assert (200, {"invalid_rows_count": 2}) == await call(client, messenger, path, {"data": rows})
        assert 400 == (await call(client, messenger, path, {"data": []}))[0]
        assert 400 == (await call(client, messenger, "/v26.0/act_1/messages", PAID))[0]
