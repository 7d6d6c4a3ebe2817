"""`kochava-bot simulate`, against a bot of this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply
from kochava_bot_middleware.sandbox.own_bot import SMARTLINK_HOST, SMARTLINK_PATH
from tests.cli.conftest import Run

SECRET = "app-secret"
BUTTONS = [
    {"type": "web_url", "title": "Shop", "url": "https://shop.example/"},
    {"type": "web_url", "title": "Us", "url": "https://m.me/shop"},
    {"type": "postback", "title": "Chat", "payload": "CHAT"},
]


@pytest.fixture
def ports(unused_tcp_port_factory: Any) -> tuple[int, int]:
    """Of the local Graph API and the local Kochava."""
    return unused_tcp_port_factory(), unused_tcp_port_factory()


@pytest.fixture
async def arguments(ports: tuple[int, int]) -> AsyncIterator[list[object]]:
    """Of the command, for a bot that greets with buttons and answers `ping`."""
    graph, kochava_port = ports
    bot = MessengerBot.from_dict(
        {
            "page_access_token": "page-token",
            "app_secret": SECRET,
            "verify_token": "verify",
            "graph_url": f"http://127.0.0.1:{graph}",
        }
    )
    kochava = KochavaMiddleware.from_dict(
        {
            "kochava_app_id": "kosandbox1234",
            "store": "memory://",
            "wire": {"base_url": f"http://127.0.0.1:{kochava_port}"},
            "smartlinks": {"default": f"https://{SMARTLINK_HOST}{SMARTLINK_PATH}?url={{url}}"},
        }
    )
    bot.add_middleware(kochava)

    @bot.on_postback("GET_STARTED")
    async def greet(_event: Event, reply: Reply) -> None:
        await reply.buttons("Welcome", BUTTONS)

    @bot.on_message()
    async def answer(event: Any, reply: Reply) -> None:
        if event.text == "ping":
            await reply.quick_replies("pong", [{"content_type": "text", "title": "Again", "payload": "AGAIN"}])
        if event.text == "break":
            await reply.text("x" * 3000)

    async with TestServer(bot.app()) as server:
        given = {"--bot": server.make_url("/webhook"), "--graph-port": graph, "--kochava-port": kochava_port}
        yield [word for pair in {**given, "--app-secret": SECRET}.items() for word in pair]


async def test_simulate_has_the_conversation_of_a_script(run: Run, arguments: list[object], tmp_path: Path) -> None:
    """The summary counts what was answered, and names where links led that were not tracked."""
    script = tmp_path / "script.yaml"
    script.write_text(
        "people: 3\nsteps:\n- start\n- expect: Welcome\n- tap: Shop\n- say: ping\n- expect: pong\n- choose: Again"
    )
    ran = await run("simulate", "--script", script, *arguments)
    assert (0, "") == (ran.status, ran.err)
    counts = {line.rsplit("  ", 1)[0].strip(): line.rsplit("  ", 1)[1] for line in ran.out.splitlines() if "  " in line}
    assert ("18", "3", "3") == tuple(
        counts[name] for name in ("actions of people", "links tracked", "links not tracked")
    )
    assert counts["m.me"] == "3"


async def test_simulate_says_at_which_step_a_conversation_ended(
    run: Run, arguments: list[object], tmp_path: Path
) -> None:
    """It fails."""
    script = tmp_path / "script.yaml"
    script.write_text("- start\n- expect: Welcome\n- tap: Buy")
    ran = await run("simulate", "--script", script, *arguments)
    assert ran.status == 1
    assert "step 3, tap: no message has a button 'Buy'" in ran.out


async def test_simulate_shows_what_messenger_would_refuse(run: Run, arguments: list[object], tmp_path: Path) -> None:
    """With the reason, and how often."""
    script = tmp_path / "script.yaml"
    script.write_text("- say: break\n- say: ping\n- expect: pong")
    ran = await run("simulate", "--script", script, *arguments)
    assert ran.status == 1
    assert "refused by Messenger" in ran.out
    assert "Length of param message[text] must be less" in ran.out


async def test_simulated_people_try_what_the_bot_offers(run: Run, arguments: list[object]) -> None:
    """At the rate that is given, for all of them together."""
    ran = await run("simulate", "--people", 4, "--rate", 40, "--seconds", 0.5, *arguments)
    assert ran.status == 0
    assert "actions of people      20" in ran.out


async def test_simulate_prints_the_settings_of_the_bot(
    run: Run, arguments: list[object], ports: tuple[int, int]
) -> None:
    """With the addresses of both local servers."""
    ran = await run("simulate", "--people", 1, "--rate", 10, "--seconds", 0.1, *arguments)
    assert f'graph_url = "http://127.0.0.1:{ports[0]}"' in ran.out
    assert f'wire.base_url = "http://127.0.0.1:{ports[1]}"' in ran.out
    assert "answers the subscription check" in ran.out


async def test_simulate_needs_a_bot_that_passes_the_subscription_check(
    run: Run, arguments: list[object], ports: tuple[int, int]
) -> None:
    """Nobody would get its webhooks."""
    ran = await run("simulate", "--people", 1, *arguments, "--verify-token", "wrong")
    assert ran.status == 2
    assert "did not answer the subscription check" in ran.err
    away = await run("simulate", "--people", 1, *arguments, "--bot", f"http://127.0.0.1:{ports[0] ^ 1}/webhook")
    assert away.status == 2
    assert "start the bot" in away.err


async def test_simulate_names_a_free_port_when_one_is_taken(
    run: Run, arguments: list[object], ports: tuple[int, int]
) -> None:
    """Nothing is sent."""
    with socket.create_server(("127.0.0.1", ports[0])):
        ran = await run("simulate", "--people", 1, *arguments)
    assert ran.status == 2
    assert f"port {ports[0]} of 127.0.0.1 is taken; " in ran.err


@pytest.mark.parametrize(
    ("text", "reported"),
    [("- [", "wanted YAML"), ("- shout", "script: step 1: wanted one of start"), (None, "No such file")],
)
async def test_simulate_refuses_a_wrong_script(
    run: Run, arguments: list[object], tmp_path: Path, text: str | None, reported: str
) -> None:
    """The error names the file or the step."""
    script = tmp_path / "script.yaml"
    if text is not None:
        script.write_text(text)
    ran = await run("simulate", "--script", script, *arguments)
    assert ran.status == 2
    assert reported in ran.err
