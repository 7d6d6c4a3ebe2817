"""The JSON of each public method of both pymessenger releases, as received by Facebook."""

from __future__ import annotations

import enum
import json
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.messenger.outgoing import NotificationType, Recipient
from tests.messenger.local_graph import LocalGraph

R = {"id": "77"}
N = {"notification_type": "REGULAR"}
BUTTONS = [{"type": "web_url", "title": "Go", "url": "https://shop.example/?a=1&b=ü"}]
ELEMENTS = [{"title": "Shoes", "buttons": BUTTONS}]
MENU = {"persistent_menu": [{"locale": "default", "call_to_actions": BUTTONS}]}
STARTED = {"get_started": {"payload": "GO"}}


def _media(kind: str, url: str) -> dict[str, Any]:
    return {"attachment": {"type": kind, "payload": {"url": url}}}


def _template(**payload: Any) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": payload}}


RELEASED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("send_text_message", ("77", "hi"), {"recipient": R, "message": {"text": "hi"}}),
    ("send_message", ("77", {"text": "hi"}), {"recipient": R, "message": {"text": "hi"}}),
    (
        "send_generic_message",
        ("77", ELEMENTS),
        {"recipient": R, "message": _template(template_type="generic", elements=ELEMENTS)},
    ),
    (
        "send_button_message",
        ("77", "What?", BUTTONS),
        {"recipient": R, "message": _template(template_type="button", text="What?", buttons=BUTTONS)},
    ),
    ("send_action", ("77", "typing_on"), {"recipient": R, "sender_action": "typing_on"}),
    ("send_raw", ({"recipient": R, "anything": [1]},), {"recipient": R, "anything": [1]}),
    ("_send_payload", ({"recipient": R, "anything": [1]},), {"recipient": R, "anything": [1]}),
]

UNRELEASED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    (
        "send_attachment_url",
        ("77", "video", "https://a.example/v.mp4"),
        {"recipient": R, "message": _media("video", "https://a.example/v.mp4"), **N},
    ),
    ("send_recipient", ("77", {"message": {"text": "x"}}), {"message": {"text": "x"}, "recipient": R, **N}),
]


@pytest.mark.parametrize(("method", "arguments", "expected"), RELEASED + UNRELEASED)
async def test_body_is_the_one_of_pymessenger(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], expected: dict[str, Any]
) -> None:
    """Each method of table 2.2 posts its body to /me/messages."""
    await getattr(graph.bot(), method)(*arguments)

    (request,) = graph.seen
    assert ("POST", "/v26.0/me/messages", expected) == (request.method, request.path, request.body)


@pytest.mark.parametrize("kind", ["image", "audio", "video", "file"])
async def test_media_url_body_has_json_text_members(graph: LocalGraph, kind: str) -> None:
    """The four *_url methods keep the release's JSON text in JSON; a video is called video."""
    await getattr(graph.bot(), f"send_{kind}_url")("77", "https://a.example/m")

    body = graph.seen[0].body
    assert {"recipient", "message"} == body.keys()
    assert isinstance(body["recipient"], str)
    assert isinstance(body["message"], str)
    assert (R, _media(kind, "https://a.example/m")) == (json.loads(body["recipient"]), json.loads(body["message"]))


PROFILE = [
    ("set_get_started", (STARTED,), "POST", STARTED),
    ("set_persistent_menu", (MENU,), "POST", MENU),
    ("remove_get_started", (), "DELETE", {"fields": ["get_started"]}),
    ("remove_persistent_menu", (), "DELETE", {"fields": ["persistent_menu"]}),
]


@pytest.mark.parametrize(("method", "arguments", "verb", "expected"), PROFILE)
async def test_profile_method_is_the_one_of_main(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], verb: str, expected: dict[str, Any]
) -> None:
    """The four profile methods of pymessenger's main branch call /me/messenger_profile."""
    await getattr(graph.bot(), method)(*arguments)

    (request,) = graph.seen
    assert (verb, "/v26.0/me/messenger_profile", expected) == (request.method, request.path, request.body)


async def test_user_info_requests_the_fields(graph: LocalGraph) -> None:
    """get_user_info gets /{id} with the fields joined by commas."""
    await graph.bot().get_user_info("77", ["first_name", "locale"])

    (request,) = graph.seen
    assert ("GET", "/v26.0/77", {"fields": "first_name,locale"}) == (request.method, request.path, request.query)


async def test_user_info_is_none_when_refused(graph: LocalGraph) -> None:
    """As in pymessenger, a person without a profile gives None."""
    graph.will_refuse(100, 2018218)

    assert await graph.bot().get_user_info("77") is None


@pytest.mark.parametrize("given", [NotificationType.SILENT_PUSH, "SILENT_PUSH", NotificationType.silent_push])
async def test_notification_type_is_the_last_positional_argument(graph: LocalGraph, given: str) -> None:
    """As in pymessenger's main branch; an enum or its text is accepted."""
    await graph.bot().send_text_message("77", "hi", given)

    assert {"recipient": R, "message": {"text": "hi"}, "notification_type": "SILENT_PUSH"} == graph.seen[0].body


async def test_recipient_mapping_replaces_the_id(graph: LocalGraph) -> None:
    """A recipient object is sent as it is, also where the release writes JSON text."""
    bot = graph.bot()

    await bot.send_text_message({"user_ref": "u1"}, "hi")
    await bot.send_image_url(Recipient(comment_id="c1"), "https://a.example/i.png")

    assert {"user_ref": "u1"} == graph.seen[0].body["recipient"]
    assert {"comment_id": "c1"} == json.loads(graph.seen[1].body["recipient"])


async def test_payload_of_send_recipient_is_not_changed(graph: LocalGraph) -> None:
    """In pymessenger's main branch it is."""
    payload = {"message": {"text": "x"}}

    await graph.bot().send_recipient("77", payload)

    assert {"message": {"text": "x"}} == payload


class Kind(enum.Enum):
    """A button type as in older libraries."""

    WEB_URL = "web_url"


@attrs.frozen
class AttrsButton:
    """A button as in pymessenger's unreleased second version."""

    title: str
    url: str
    fallback_url: str | None = None
    type: Kind = Kind.WEB_URL


async def test_fields_of_instances_that_are_none_are_left_out(graph: LocalGraph) -> None:
    """As in that version; a None in a dict of the caller's is kept."""
    buttons: list[Any] = [AttrsButton("A", "https://a.example"), {"type": "postback", "payload": None}]

    await graph.bot().send_button_message("77", "?", buttons)

    assert [
        {"title": "A", "url": "https://a.example", "type": "web_url"},
        {"type": "postback", "payload": None},
    ] == graph.seen[0].body["message"]["attachment"]["payload"]["buttons"]
