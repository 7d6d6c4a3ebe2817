"""Replies to the person of an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import BadRequestError, WindowClosedError
from kochava_bot_middleware.messenger.events import Channel, Event
from kochava_bot_middleware.messenger.parsing.webhook import parse_item
from kochava_bot_middleware.messenger.reply import Reply, SendResult
from tests.messenger.local_graph import TOKEN, LocalGraph, Watcher

R = {"id": "7700112233"}
EVENT = Event(user_id="7700112233", page_id="P1", raw={"sender": {"id": "7700112233"}})
BUTTONS = [{"type": "postback", "title": "Chat", "payload": "CHAT"}]
ELEMENTS = [{"title": "Shoes"}]
QUICK = [{"content_type": "text", "title": "42", "payload": "SIZE_42"}]
URL = "https://a.example/m"


def _template(**payload: Any) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": payload}}


def _media(kind: str) -> dict[str, Any]:
    return {"attachment": {"type": kind, "payload": {"url": URL}}}


@pytest.mark.parametrize(("own", "reported"), [(None, "P1"), ("P2", "P2")])
async def test_reply_is_from_the_page_of_the_event_unless_the_bot_has_one(
    graph: LocalGraph, own: str | None, reported: str
) -> None:
    """A bot with one token need not know its Page."""
    watcher = Watcher()
    await Reply(graph.bot(page_id=own, middlewares=[watcher]), EVENT).text("hi")
    assert [reported] == [outgoing.page_id for outgoing in watcher.seen]


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("text", ("hi",), {"text": "hi"}),
        ("quick_replies", ("Size?", QUICK), {"text": "Size?", "quick_replies": QUICK}),
        ("buttons", ("What?", BUTTONS), _template(template_type="button", text="What?", buttons=BUTTONS)),
        ("generic", (ELEMENTS,), _template(template_type="generic", elements=ELEMENTS)),
        ("media", (ELEMENTS,), _template(template_type="media", elements=ELEMENTS)),
        ("template", ({"template_type": "coupon"},), _template(template_type="coupon")),
        ("image", (URL,), _media("image")),
        ("audio", (URL,), _media("audio")),
        ("video", (URL,), _media("video")),
        ("file", (URL,), _media("file")),
        ("attachment", ("file", URL), _media("file")),
        ("raw", ({"sticker_id": "1"},), {"sticker_id": "1"}),
    ],
)
async def test_message_is_a_response_to_the_person(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], message: dict[str, Any]
) -> None:
    """Each method sends one RESPONSE to the person of the event, through the chain once."""
    watcher = Watcher()
    bot = graph.bot(page_id="P1", middlewares=[watcher])

    await getattr(Reply(bot, EVENT), method)(*arguments)

    assert {"recipient": R, "message": message, "messaging_type": "RESPONSE"} == graph.seen[0].body
    assert 1 == len(watcher.seen) == len(graph.seen)


@pytest.mark.parametrize(
    ("method", "arguments", "action"),
    [("typing", (), "typing_on"), ("typing", (False,), "typing_off"), ("seen", (), "mark_seen")],
)
async def test_sender_action_has_no_messaging_type(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], action: str
) -> None:
    """Sender actions are not messages."""
    await getattr(Reply(graph.bot(), EVENT), method)(*arguments)

    assert {"recipient": R, "sender_action": action} == graph.seen[0].body


async def test_options_are_accepted(graph: LocalGraph) -> None:
    """Options of the platform are in the body, options for tracking are not."""
    watcher = Watcher()
    reply = Reply(graph.bot(middlewares=[watcher]), EVENT)

    tracking: dict[str, Any] = {"creative": "greet_b", "greeting": True, "tracker": "spring"}
    await reply.text("hi", quick_replies=QUICK, persona_id="9", tag="HUMAN_AGENT", **tracking)

    assert {
        "recipient": R,
        "message": {"text": "hi", "quick_replies": QUICK},
        "messaging_type": "MESSAGE_TAG",
        "tag": "HUMAN_AGENT",
        "persona_id": "9",
    } == graph.seen[0].body
    assert tracking == {name: getattr(watcher.seen[0], name) for name in tracking}


async def test_local_file_is_uploaded(graph: LocalGraph, tmp_path: Path) -> None:
    """A source that is not an address is a file."""
    path = tmp_path / "shoe.png"
    path.write_bytes(b"pixels")

    await Reply(graph.bot(), EVENT).image(path)

    fields = graph.seen[0].fields
    assert (b"pixels", "RESPONSE") == (fields["filedata"].content, fields["messaging_type"])


async def test_missing_file_is_an_error_before_anything_is_sent(graph: LocalGraph) -> None:
    """There is no request."""
    with pytest.raises(FileNotFoundError):
        await Reply(graph.bot(), EVENT).file("/no/such/file.pdf")
    assert [] == graph.seen


@pytest.mark.parametrize("item", [{"sender": {"user_ref": "7700112233"}}, {"optin": {"user_ref": "7700112233"}}])
async def test_user_of_a_plugin_gets_the_reply_by_reference(graph: LocalGraph, item: dict[str, Any]) -> None:
    """A person without an id is addressed by user_ref."""
    event = parse_item({"optin": {}, **item}, channel=Channel.MESSENGER, page_id="1001")
    await Reply(graph.bot(), event).text("hi")

    assert {"user_ref": "7700112233"} == graph.seen[0].body["recipient"]


async def test_event_without_a_person_gets_no_reply(graph: LocalGraph) -> None:
    """A policy warning names no person."""
    with pytest.raises(BadRequestError, match="names no person"):
        await Reply(graph.bot(), Event()).text("hi")


@pytest.mark.parametrize(
    ("option", "wanted"),
    [("greting", r"did you mean `greeting`\?"), ("colour", "the options are creative, greeting, messaging_type, ")],
)
async def test_unknown_option_is_an_error_that_suggests_the_nearest(
    graph: LocalGraph, option: str, wanted: str
) -> None:
    """For a reply and for the bot's own methods, before anything is sent."""
    keywords: dict[str, Any] = {option: True}
    for send in (
        Reply(graph.bot(), EVENT).text("hi", **keywords),
        graph.bot().send_text_message("7", "hi", **keywords),
    ):
        with pytest.raises(TypeError, match=f"unknown option `{option}` of a send: {wanted}"):
            await send

    assert [] == graph.seen


async def test_refusal_is_raised_whatever_raise_errors_is(graph: LocalGraph) -> None:
    """Also when the bot returns errors."""
    graph.will_refuse(10, 2018278)

    with pytest.raises(WindowClosedError):
        await Reply(graph.bot(raise_errors=False), EVENT).text("hi")


async def test_result_has_the_message_id(graph: LocalGraph) -> None:
    """Facebook's answer is returned as a record."""
    result = await Reply(graph.bot(), EVENT).text("hi")

    assert SendResult(message_id="m_1", recipient_id="1", raw={"recipient_id": "1", "message_id": "m_1"}) == result


async def test_channel_is_the_one_of_the_event(graph: LocalGraph) -> None:
    """A Page with an Instagram account replies on the channel of the event."""
    watcher = Watcher()

    await Reply(graph.bot(middlewares=[watcher]), Event(user_id="5", channel=Channel.INSTAGRAM)).text("hi")

    assert Channel.INSTAGRAM is watcher.seen[0].channel


async def test_reply_can_be_printed(graph: LocalGraph) -> None:
    """Its repr shows neither token nor person."""
    bot = graph.bot()
    reply = Reply(bot, EVENT)

    assert reply.bot is bot
    assert TOKEN not in repr(reply)
    assert "7700112233" not in repr(reply)
