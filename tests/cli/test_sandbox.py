"""`kochava-bot sandbox`, as a process that is ended by Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kochava_bot_middleware.messenger.parsing.webhook import SIGNATURE_HEADER, verify_signature
from tests.cli.conftest import Run

SECRET = "app-secret"

LINE = {
    "time": "2026-11-01T12:00:00+00:00",
    "kind": "message",
    "user": "77",
    "page": "1001",
    "body": json.dumps(
        {
            "object": "page",
            "entry": [
                {
                    "id": "1001",
                    "time": 1,
                    "messaging": [
                        {"sender": {"id": "77"}, "recipient": {"id": "1001"}, "message": {"mid": "m", "text": "hi"}}
                    ],
                }
            ],
        }
    ),
}


class ListeningBot:
    """A bot on one port, which starts and ends as a test says."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.bodies: list[bytes] = []
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/webhook", self._verify)
        app.router.add_post("/webhook", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        yield
        await runner.cleanup()

    async def _verify(self, request: web.Request) -> web.Response:
        return web.Response(text=request.query["hub.challenge"])

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        verify_signature(body, request.headers.get(SIGNATURE_HEADER), [SECRET])
        self.bodies.append(body)
        self.arrived.put_nowait(body)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


class RunningSandbox:
    """The command, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""

    async def line_with(self, text: str, *, of_errors: bool = False) -> str:
        """The next line with *text*."""
        stream = self.process.stderr if of_errors else self.process.stdout
        assert stream is not None
        while line := await stream.readline():
            if text in line.decode():
                return line.decode()
        pytest.fail(f"it ended without a line with {text!r}")

    async def command(self, name: str, **arguments: str) -> dict[str, Any]:
        """Carry out a command of the page."""
        headers = {"Origin": self.url.rstrip("/")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}api/{name}", json=arguments, headers=headers) as answer,
        ):
            return dict(await answer.json())

    async def end(self) -> tuple[int, str, str]:
        """Press Ctrl-C; returns the exit status and what was left to print."""
        self.process.send_signal(signal.SIGINT)
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


Start = Callable[..., AbstractAsyncContextManager[RunningSandbox]]


@pytest.fixture
def bot(unused_tcp_port: int) -> ListeningBot:
    return ListeningBot(unused_tcp_port)


@pytest.fixture
def start(bot: ListeningBot) -> Start:
    """Starts the command for *bot*."""

    @asynccontextmanager
    async def started(*more: object) -> AsyncIterator[RunningSandbox]:
        ports = ("--graph-port=0", "--kochava-port=0")
        own = ("--bot", bot.url, "--app-secret", SECRET, "--no-browser")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kochava_bot_middleware", "sandbox", *own, *ports, *map(str, more)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        running = RunningSandbox(process)
        try:
            running.url = (await running.line_with("The sandbox is at ")).split()[4]
            yield running
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return started


async def test_sandbox_waits_for_the_bot_and_serves_the_page(start: Start, bot: ListeningBot) -> None:
    """The problem is printed, and that it is solved; Ctrl-C ends it, with nothing left to say."""
    async with start() as sandbox:
        assert f"{bot.url} does not answer" in await sandbox.line_with("start the bot", of_errors=True)
        async with bot.running():
            assert bot.url in await sandbox.line_with("answers the subscription check")
            async with aiohttp.ClientSession() as session, session.get(sandbox.url) as answer:
                assert "Kochava bot sandbox" in await answer.text()
        assert (128 + signal.SIGINT, "", "") == await sandbox.end()


async def test_recorded_webhooks_are_replayed_byte_for_byte(start: Start, bot: ListeningBot, tmp_path: Path) -> None:
    """In order, without any secret in the file; and how each was answered is printed."""
    file = tmp_path / "webhooks.jsonl"
    async with bot.running():
        async with start("--record", file) as sandbox:
            await sandbox.line_with("answers the subscription check")
            person = await sandbox.command("person")
            for text in ("one", "two\n\u00fc"):
                await sandbox.command("say", user=person["user"], text=text)
                assert json.dumps(text).encode() in await bot.arrived.get()
            await sandbox.end()
        first, bot.bodies, bot.statuses = bot.bodies, [], [200, 500]
        async with start("--replay", file) as sandbox:
            assert "1 of 2 webhooks answered 200" in await sandbox.line_with("webhooks answered")
            assert ["message", person["user"], "200"] == (await sandbox.line_with("message")).split()
            assert ["message", person["user"], "500"] == (await sandbox.line_with("message")).split()
            await sandbox.end()
    assert first == bot.bodies
    text = file.read_text()
    assert SECRET not in text
    assert ["kind", "user", "page", "body"] == list(json.loads(text.splitlines()[0]))[1:]
    assert 0o600 == file.stat().st_mode & 0o777


async def test_recording_goes_on_in_a_file_that_there_is(start: Start, bot: ListeningBot, tmp_path: Path) -> None:
    """What was recorded before stays."""
    file = tmp_path / "webhooks.jsonl"
    file.write_text(json.dumps(LINE) + "\n")
    async with bot.running(), start("--record", file) as sandbox:
        await sandbox.line_with("answers the subscription check")
        await sandbox.command("start", user=(await sandbox.command("person"))["user"])
        await bot.arrived.get()
        await sandbox.end()
    assert ["message", "postback"] == [json.loads(line)["kind"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        ("{", "wanted a JSON object with the texts kind, user, page, body, got something else"),
        (json.dumps({**LINE, "user": 77}), "wanted a JSON object with the texts kind, user, page, body"),
        (json.dumps({**LINE, "page": "7"}), "page: wanted '1001', got '7': give `--page 7`"),
        (json.dumps({**LINE, "body": '{"entry": []}'}), "body: wanted one item of `messaging` or `changes`"),
        (json.dumps({**LINE, "body": "\ud800"}), "body: wanted one item of `messaging` or `changes`"),
    ],
)
async def test_bad_line_is_named_and_nothing_is_sent(
    run: Run, bot: ListeningBot, tmp_path: Path, line: str, reported: str
) -> None:
    """One error, also when the lines before it are right."""
    file = tmp_path / "webhooks.jsonl"
    file.write_text(f"{json.dumps(LINE)}\n\n{line}\n{{\n")
    async with bot.running():
        ran = await run("sandbox", "--replay", file, "--bot", bot.url, "--app-secret", SECRET, "--no-browser")
    assert (2, "", []) == (ran.status, ran.out, bot.bodies)
    assert ran.err.startswith(f"kochava-bot: --replay {file}: line 3: {reported}")
    assert 1 == len(ran.err.splitlines())


@pytest.mark.parametrize(
    ("option", "name", "reported"),
    [
        ("--replay", "none.jsonl", "No such file or directory"),
        ("--replay", "empty.jsonl", "wanted webhooks, one a line, as --record writes them, got none"),
        ("--record", "nowhere/new.jsonl", "No such file or directory"),
    ],
)
async def test_file_that_cannot_be_used_is_named(
    run: Run, tmp_path: Path, option: str, name: str, reported: str
) -> None:
    """Nothing is started."""
    (tmp_path / "empty.jsonl").touch()
    ran = await run("sandbox", option, tmp_path / name, "--app-secret", SECRET, "--no-browser")
    assert (2, "", f"kochava-bot: {option} {tmp_path / name}: {reported}\n") == (ran.status, ran.out, ran.err)


@pytest.mark.parametrize("option", ["--port", "--graph-port", "--kochava-port"])
async def test_taken_port_is_named_with_its_option_and_a_free_one(
    run: Run, bot: ListeningBot, option: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """The argument that is named works."""
    ports = {name: unused_tcp_port_factory() for name in ("--port", "--graph-port", "--kochava-port")}
    arguments = [f"{name}={port}" for name, port in ports.items()]
    with socket.create_server(("127.0.0.1", ports[option])):
        ran = await run("sandbox", "--bot", bot.url, "--app-secret", SECRET, "--no-browser", *arguments)
    assert (2, "") == (ran.status, ran.out)
    assert f"port {ports[option]} of 127.0.0.1 is taken; " in ran.err
    free = int(ran.err.split(f"kochava-bot sandbox {option} ")[1])
    with socket.create_server(("127.0.0.1", free)):
        pass


async def test_recording_and_replaying_at_once_is_refused(run: Run, tmp_path: Path) -> None:
    """They may be the same file."""
    ran = await run("sandbox", "--record", tmp_path / "a", "--replay", tmp_path / "a", "--app-secret", SECRET)
    assert (2, "") == (ran.status, ran.out)
    assert "not allowed with argument --record" in ran.err
