"""The programs of hosts.md that send with an instrumented client do what the page says."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fbmessenger import MessengerClient

from kochava_bot_middleware import KochavaMiddleware
from tests.docs_pages import DOCS, blocks_of
from tests.integrations.wire import Wire, wire_server

PROGRAMS = [
    block
    for block in blocks_of(DOCS / "hosts.md")
    if "kochava_bot_middleware.integrations." in block.text and "def send(" in block.text
]
MESSAGE = {
    "attachment": {
        "type": "template",
        "payload": {
            "template_type": "button",
            "text": "Hello!",
            "buttons": [{"type": "web_url", "title": "Shop", "url": "https://shop.example/"}],
        },
    }
}
SETTINGS = """
[kochava]
kochava_app_id = "koapp"
store = "memory://"
mode = "dry_run"
[kochava.smartlinks]
default = "https://acme.smart.link/ab12cd34e?url={url}"
"""


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Facebook."""
    with wire_server() as server:
        yield server


def pointed_at(wire: Wire, text: str) -> str:
    """A program whose Graph API is on this machine."""
    for call in ("AsyncKochavaTransport(kochava", "instrument(requests.Session(), kochava", "client_middleware(kochava",
                 "instrument(client.session, kochava"):  # fmt: skip
        text = text.replace(f"{call})", f"{call}, hosts={wire.hosts})")
    return text.replace("https://graph.facebook.com", wire.url)


def test_each_client_has_a_program() -> None:
    """httpx, requests, fbmessenger, pymessenger, aiohttp."""
    assert 5 == len(PROGRAMS)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
async def test_a_program_sends_smartlinks(
    block: Any, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own client, which gets Facebook's answer."""
    (tmp_path / "bot.toml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(pointed_at(wire, block.text), str(block), "exec"), names)
    for name in ("page", "client"):
        if hasattr(names.get(name), "graph_url"):
            names[name].graph_url = f"{wire.url}/v26.0"
    kochava = names["kochava"]
    answer = names["send"]("5551", MESSAGE)
    if inspect.isawaitable(answer):
        answer = await answer
    assert "m_1" == (answer if isinstance(answer, dict) else answer.json())["message_id"]
    (button,) = json.loads(wire.taken().body)["message"]["attachment"]["payload"]["buttons"]
    assert button["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
    if isinstance(kochava, KochavaMiddleware):
        await kochava.stop()
        if "client" in names:
            await names["client"].aclose()
    else:
        await asyncio.to_thread(kochava.stop)


async def test_rasas_channel_is_instrumented(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasa is stood in for by what its channel does; it sends in an event loop."""
    (tmp_path / "bot.toml").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (block,) = (block for block in blocks_of(DOCS / "hosts.md") if "from rasa" in block.text)

    def output_channel() -> Any:
        client = MessengerClient("token", api_version="26.0")
        client.graph_url = f"{wire.url}/v26.0"
        return SimpleNamespace(messenger_client=client)

    class FacebookInput:
        def blueprint(self, on_new_message: Any) -> Any:
            async def webhook() -> None:
                await on_new_message(SimpleNamespace(output_channel=output_channel()))

            return webhook

        def get_output_channel(self) -> Any:
            return output_channel()

    facebook = ModuleType("rasa.core.channels.facebook")
    vars(facebook)["FacebookInput"] = FacebookInput
    for name in ("rasa", "rasa.core", "rasa.core.channels"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, facebook.__name__, facebook)
    names: dict[str, Any] = {"__name__": "program"}
    text = block.text.replace("session, kochava)", f"session, kochava, hosts={wire.hosts})")
    exec(compile(text, str(block), "exec"), names)

    async def answer(message: Any) -> None:
        message.output_channel.messenger_client.send(MESSAGE, "5551", "RESPONSE")

    channel = names["MeasuredFacebook"]()
    await channel.blueprint(answer)()
    channel.get_output_channel().messenger_client.send(MESSAGE, "5551", "RESPONSE")
    for each in wire.received:
        (button,) = json.loads(each.body)["message"]["attachment"]["payload"]["buttons"]
        assert button["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
    assert 2 == len(wire.received)
    await asyncio.to_thread(names["kochava"].stop)
