"""Files as multipart requests."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.send_api import AsyncBot
from tests.messenger.local_graph import TOKEN, LocalGraph, Watcher


def _form(graph: LocalGraph) -> tuple[Any, Any]:
    fields = graph.seen[0].fields
    return json.loads(fields["recipient"]), json.loads(fields["message"])


@pytest.mark.parametrize("kind", ["image", "audio", "video", "file"])
async def test_local_file_is_sent_as_multipart(graph: LocalGraph, tmp_path: Path, kind: str) -> None:
    """Recipient and message are JSON text, filedata is the file."""
    path = tmp_path / "shoe.png"
    path.write_bytes(b"pixels")

    await getattr(graph.bot(), f"send_{kind}")("77", str(path))

    request = graph.seen[0]
    assert ("/v26.0/me/messages", {"recipient", "message", "filedata"}) == (request.path, set(request.fields))
    assert ({"id": "77"}, {"attachment": {"type": kind, "payload": {}}}) == _form(graph)
    assert b"pixels" == request.fields["filedata"].content


async def test_file_name_has_no_folders(graph: LocalGraph, tmp_path: Path) -> None:
    """The last part of the path is sent, with the type guessed from it."""
    path = tmp_path / "shoe.png"
    path.write_bytes(b"pixels")

    await graph.bot().send_image("77", path)

    part = graph.seen[0].fields["filedata"]
    assert ("shoe.png", "image/png") == (part.filename, part.content_type)


NAMES = [
    ("rote Schuhe.png", "rote Schuhe.png"),
    ("größe 42 – 靴.png", "größe 42 – 靴.png"),
    ("100% wool.png", "100% wool.png"),
    ('the "red" one.png', "the %22red%22 one.png"),
    ("two\r\nlines.png", "two%0D%0Alines.png"),
    ("it's; a=b.png", "it's; a=b.png"),
    ("cut \ud83d.png", "cut ?.png"),
    ("tab\t.png", "tab%09.png"),
]


@pytest.fixture(name="received")
async def _received() -> AsyncIterator[tuple[AsyncBot, list[bytes]]]:
    """A bot, and the bodies of its requests byte for byte."""
    bodies: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.json_response({"message_id": "m_1"})

    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    async with TestServer(app) as server, AsyncBot(TOKEN, graph_url=str(server.make_url(""))) as bot:
        yield bot, bodies


@pytest.mark.parametrize(("name", "sent"), NAMES)
async def test_file_name_is_written_as_browsers_write_it(
    received: tuple[AsyncBot, list[bytes]], name: str, sent: str
) -> None:
    """In UTF-8; only quotes, line breaks and the like are escaped."""
    bot, bodies = received
    await bot.send_file("77", b"data", filename=name)

    head = f'Content-Disposition: form-data; name="filedata"; filename="{sent}"'.encode()
    assert head in bodies[0].splitlines()


async def test_saved_attachment_has_its_file_name(received: tuple[AsyncBot, list[bytes]], tmp_path: Path) -> None:
    """Written in the same way, also when it is that of a path."""
    bot, bodies = received
    path = tmp_path / "größe 42.png"
    path.write_bytes(b"pixels")

    await bot.upload_attachment("image", path)

    assert 'filename="größe 42.png"'.encode() in bodies[0]


async def test_request_with_a_file_has_a_length(graph: LocalGraph) -> None:
    """Not in chunks, which the Graph API may not accept."""
    await graph.bot().send_image("77", b"x" * 3_000_000, filename="a.jpg")

    assert "Content-Length" in graph.seen[0].headers
    assert 3_000_000 == len(graph.seen[0].fields["filedata"].content)


async def test_generic_attachment_names_its_notification_type(graph: LocalGraph) -> None:
    """As in pymessenger's main branch."""
    await graph.bot().send_attachment("77", "file", b"data")

    assert "REGULAR" == graph.seen[0].fields["notification_type"]
    assert ({"id": "77"}, {"attachment": {"type": "file", "payload": {}}}) == _form(graph)


async def test_options_of_an_upload_are_form_fields(graph: LocalGraph) -> None:
    """Text stays text, objects become JSON text."""
    await graph.bot().send_image("77", b"data", persona_id="9", reply_to="m_2", messaging_type="RESPONSE")

    fields = graph.seen[0].fields
    assert ("9", "RESPONSE", '{"mid": "m_2"}') == (
        fields["persona_id"],
        fields["messaging_type"],
        fields["reply_to"],
    )


async def test_open_file_stays_open(graph: LocalGraph, tmp_path: Path) -> None:
    """The caller closes it."""
    path = tmp_path / "list.pdf"
    path.write_bytes(b"pages")

    file = await asyncio.to_thread(path.open, "rb")
    await graph.bot().send_file("77", file)

    assert not file.closed
    assert "list.pdf" == graph.seen[0].fields["filedata"].filename
    file.close()


async def test_missing_file_is_an_error_before_anything_is_sent(graph: LocalGraph, tmp_path: Path) -> None:
    """Neither chain nor network get the send."""
    watcher = Watcher()

    with pytest.raises(FileNotFoundError, match=r"no file to upload at .*gone\.png"):
        await graph.bot(middlewares=[watcher]).send_image("77", tmp_path / "gone.png")
    assert ([], []) == (watcher.seen, graph.seen)


async def test_folder_is_refused(graph: LocalGraph, tmp_path: Path) -> None:
    """The message says that it is a folder."""
    with pytest.raises(IsADirectoryError, match="is a folder"):
        await graph.bot().send_file("77", tmp_path)


@pytest.mark.parametrize("source", [io.StringIO("text"), 7, None])
async def test_source_of_another_kind_is_refused(graph: LocalGraph, source: Any) -> None:
    """Such as a file opened for text."""
    with pytest.raises(TypeError, match="binary mode"):
        await graph.bot().send_file("77", source)


async def test_chain_sees_body_and_file(graph: LocalGraph) -> None:
    """Recipient and message are objects, with the file beside them."""
    watcher = Watcher()

    await graph.bot(middlewares=[watcher]).send_image("77", b"data", filename="a.png")

    outgoing = watcher.seen[0]
    assert "77" == outgoing.recipient.user_id
    assert "image" == outgoing.body["message"]["attachment"]["type"]
    assert "a.png" == outgoing.upload.filename


async def test_attachment_is_saved_for_reuse(graph: LocalGraph) -> None:
    """An upload without a recipient is posted to /me/message_attachments."""
    await graph.bot().upload_attachment("image", b"data")

    request = graph.seen[0]
    assert "/v26.0/me/message_attachments" == request.path
    assert {"attachment": {"type": "image", "payload": {"is_reusable": True}}} == json.loads(request.fields["message"])


async def test_attachment_is_saved_from_an_address(graph: LocalGraph) -> None:
    """Facebook fetches an http(s) address; Instagram is named in the body."""
    await graph.bot(channel=Channel.INSTAGRAM).upload_attachment("video", "https://a.example/v.mp4")

    payload = {"url": "https://a.example/v.mp4", "is_reusable": True}
    expected = {"message": {"attachment": {"type": "video", "payload": payload}}, "platform": "instagram"}
    assert expected == graph.seen[0].body


async def test_saved_attachment_is_sent_by_its_id(graph: LocalGraph) -> None:
    """Without an upload."""
    await graph.bot().send_saved_attachment("77", "image", "555")

    message = {"attachment": {"type": "image", "payload": {"attachment_id": "555"}}}
    assert {"recipient": {"id": "77"}, "message": message} == graph.seen[0].body
