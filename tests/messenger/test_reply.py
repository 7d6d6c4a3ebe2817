"""Answers to the person an event came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import BadRequestError, WindowClosedError
from kochava_bot_middleware.messenger.events import Channel, Event
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


@pytest.mark.parametrize(("own", "told"), [(None, "P1"), ("P2", "P2")])
async def test_answer_is_of_the_events_page_unless_the_bot_has_its_own(
    graph: LocalGraph, own: str | None, told: str
) -> None:
    """A bot with one token need not know its Page, but who sees its messages must."""
    watcher = Watcher()
    await Reply(graph.bot(page_id=own, middlewares=[watcher]), EVENT).text("hi")
    assert [told] == [outgoing.page_id for outgoing in watcher.seen]


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
async def test_message_answers_the_person(
    graph: LocalGraph, method: str, arguments: tuple[Any, ...], message: dict[str, Any]
) -> None:
    """Each method sends one RESPONSE to the event's person, through the chain once."""
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
    """Actions are no messages."""
    await getattr(Reply(graph.bot(), EVENT), method)(*arguments)

    assert {"recipient": R, "sender_action": action} == graph.seen[0].body


async def test_options_are_taken(graph: LocalGraph) -> None:
    """Options of the platform go into the body, ours travel beside it."""
    watcher = Watcher()
    reply = Reply(graph.bot(middlewares=[watcher]), EVENT)

    await reply.text("hi", quick_replies=QUICK, persona_id="9", creative="greet_b", greeting=True, tag="HUMAN_AGENT")

    assert {
        "recipient": R,
        "message": {"text": "hi", "quick_replies": QUICK},
        "messaging_type": "MESSAGE_TAG",
        "tag": "HUMAN_AGENT",
        "persona_id": "9",
    } == graph.seen[0].body
    assert ("greet_b", True) == (watcher.seen[0].creative, watcher.seen[0].greeting)


async def test_local_file_is_uploaded(graph: LocalGraph, tmp_path: Path) -> None:
    """What is no address is a file."""
    path = tmp_path / "shoe.png"
    path.write_bytes(b"pixels")

    await Reply(graph.bot(), EVENT).image(path)

    fields = graph.seen[0].fields
    assert (b"pixels", "RESPONSE") == (fields["filedata"].content, fields["messaging_type"])


async def test_missing_file_is_told_before_anything_leaves(graph: LocalGraph) -> None:
    """A path with no file behind it never reaches the network."""
    with pytest.raises(FileNotFoundError):
        await Reply(graph.bot(), EVENT).file("/no/such/file.pdf")
    assert [] == graph.seen


@pytest.mark.parametrize("raw", [{"sender": {"user_ref": "7700112233"}}, {"optin": {"user_ref": "7700112233"}}])
async def test_plugin_user_is_answered_by_reference(graph: LocalGraph, raw: dict[str, Any]) -> None:
    """Who is known by user_ref only is addressed by it."""
    await Reply(graph.bot(), Event(user_id="7700112233", raw=raw)).text("hi")

    assert {"user_ref": "7700112233"} == graph.seen[0].body["recipient"]


async def test_event_without_a_person_cannot_be_answered(graph: LocalGraph) -> None:
    """A policy warning is from nobody."""
    with pytest.raises(BadRequestError, match="names no person"):
        await Reply(graph.bot(), Event()).text("hi")


@pytest.mark.parametrize(
    ("option", "wanted"),
    [("greting", "probably `greeting`"), ("colour", "one of creative, greeting, messaging_type, ")],
)
async def test_unknown_option_is_named_with_what_was_meant(graph: LocalGraph, option: str, wanted: str) -> None:
    """Of a reply and of the bot's own methods, before anything leaves."""
    keywords: dict[str, Any] = {option: True}
    for send in (
        Reply(graph.bot(), EVENT).text("hi", **keywords),
        graph.bot().send_text_message("7", "hi", **keywords),
    ):
        with pytest.raises(TypeError, match=f"no option `{option}`: wanted {wanted}"):
            await send

    assert [] == graph.seen


async def test_refusal_is_raised_whatever_the_bot_does(graph: LocalGraph) -> None:
    """Though the bot returns errors, a reply raises them."""
    graph.will_refuse(10, 2018278)

    with pytest.raises(WindowClosedError):
        await Reply(graph.bot(raise_errors=False), EVENT).text("hi")


async def test_result_tells_the_message_id(graph: LocalGraph) -> None:
    """Facebook's answer comes back as a record."""
    result = await Reply(graph.bot(), EVENT).text("hi")

    assert SendResult(message_id="m_1", recipient_id="1", raw={"recipient_id": "1", "message_id": "m_1"}) == result


async def test_channel_is_the_one_of_the_event(graph: LocalGraph) -> None:
    """A Page with an Instagram account answers where it was written to."""
    watcher = Watcher()

    await Reply(graph.bot(middlewares=[watcher]), Event(user_id="5", channel=Channel.INSTAGRAM)).text("hi")

    assert Channel.INSTAGRAM is watcher.seen[0].channel


async def test_reply_can_be_printed(graph: LocalGraph) -> None:
    """Neither token nor person is shown; the bot is at hand."""
    bot = graph.bot()
    reply = Reply(bot, EVENT)

    assert reply.bot is bot
    assert TOKEN not in repr(reply)
    assert "7700112233" not in repr(reply)
