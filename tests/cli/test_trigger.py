"""`kochava-bot trigger`, against a bot that records what it is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kochava_bot_middleware.messenger.parsing.webhook import SIGNATURE_HEADER, verify_signature
from tests.cli.conftest import Run

SECRET = "app-secret"


class AnsweringBot:
    """A webhook that gives one answer to all requests, and keeps them."""

    def __init__(self) -> None:
        self.answer: tuple[int, str] = (200, "EVENT_RECEIVED")
        self.bodies: list[bytes] = []
        self.signatures: list[str | None] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers.get(SIGNATURE_HEADER))
        status, text = self.answer
        return web.Response(status=status, text=text)


@pytest.fixture
def bot() -> AnsweringBot:
    return AnsweringBot()


@pytest.fixture
async def url(bot: AnsweringBot) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/webhook", bot.receive)
    async with TestServer(app) as server:
        yield str(server.make_url("/webhook"))


async def test_trigger_sends_one_signed_webhook(run: Run, bot: AnsweringBot, url: str) -> None:
    """As Facebook would, with what the arguments say; its body and the answer are printed."""
    ran = await run("trigger", "message", "--url", url, "--app-secret", SECRET, "--user", "77", "--text", "Hi")
    (body,) = bot.bodies
    verify_signature(body, bot.signatures[0], [SECRET])
    (item,) = json.loads(body)["entry"][0]["messaging"]
    assert ("77", "Hi") == (item["sender"]["id"], item["message"]["text"])
    lines = ran.out.splitlines()
    assert (0, body.decode()) == (ran.status, lines[0])
    assert lines[1].startswith("200 OK after ")
    assert lines[1].endswith(": EVENT_RECEIVED")


@pytest.mark.parametrize(("status", "exit_status"), [(204, 0), (302, 1), (403, 1), (500, 1)])
async def test_trigger_succeeds_when_the_answer_is_2xx(
    run: Run, bot: AnsweringBot, url: str, status: int, exit_status: int
) -> None:
    """Any other answer, a redirect too, is a webhook that Facebook would send again."""
    bot.answer = (status, "")
    ran = await run("trigger", "postback", "--url", url, "--app-secret", SECRET)
    assert (exit_status, 1) == (ran.status, len(bot.bodies))
    assert ran.out.splitlines()[1].startswith(f"{status} ")


async def test_trigger_takes_the_secret_from_the_environment(
    run: Run, bot: AnsweringBot, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other users of the machine see the arguments of a process."""
    monkeypatch.setenv("KOCHAVA_BOT__BOT__APP_SECRET", SECRET)
    ran = await run("trigger", "read", "--url", url)
    verify_signature(bot.bodies[0], bot.signatures[0], [SECRET])
    assert ran.status == 0


async def test_trigger_without_a_secret_sends_nothing(
    run: Run, bot: AnsweringBot, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names both places for it."""
    monkeypatch.delenv("KOCHAVA_BOT__BOT__APP_SECRET", raising=False)
    ran = await run("trigger", "read", "--url", url)
    assert (2, []) == (ran.status, bot.bodies)
    assert "--app-secret: wanted" in ran.err
    assert "KOCHAVA_BOT__BOT__APP_SECRET" in ran.err


async def test_trigger_says_when_nobody_listens(run: Run, unused_tcp_port: int) -> None:
    """With what Facebook would do."""
    ran = await run("trigger", "read", "--url", f"http://127.0.0.1:{unused_tcp_port}/", "--app-secret", SECRET)
    assert ran.status == 1
    assert "no answer: " in ran.out
    assert "Facebook would send the webhook again" in ran.out


async def test_trigger_prints_a_webhook_without_sending_it(run: Run, bot: AnsweringBot, url: str) -> None:
    """It needs no secret; `kochava-bot parse` reads what it prints."""
    ran = await run("trigger", "get_started", "--ref", "spring", "--print", "--url", url)
    assert (0, []) == (ran.status, bot.bodies)
    (item,) = json.loads(ran.out)["entry"][0]["messaging"]
    assert item["postback"]["referral"]["ref"] == "spring"


async def test_trigger_lists_the_kinds(run: Run) -> None:
    """One a line."""
    ran = await run("trigger", "--list")
    assert ran.status == 0
    assert {"message", "postback", "policy_enforcement"} <= set(ran.out.split())


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ([], "trigger: wanted a KIND"),
        (["massage"], "invalid choice: 'massage'"),
        (["read", "--url", "nowhere", "--app-secret", SECRET], "--url: wanted an address such as http://"),
    ],
)
async def test_trigger_refuses_wrong_arguments(run: Run, arguments: list[str], reported: str) -> None:
    """The error says what is wanted."""
    ran = await run("trigger", *arguments)
    assert ran.status == 2
    assert reported in ran.err
