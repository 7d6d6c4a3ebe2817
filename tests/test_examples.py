"""Each example runs, as a process of its own, and does what it says."""

from __future__ import annotations

import asyncio
import hmac
import json
import runpy
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware import Outgoing
from kochava_bot_middleware.testing import LocalKochava, LocalMessenger

EXAMPLES = Path(__file__).parent.parent / "examples"

# The examples serve port 8080; a test must be able to run beside anything.
RUNNER = """
import functools, runpy, sys, wsgiref.simple_server
from aiohttp import web
port = int(sys.argv[1])
web.run_app = functools.partial(web.run_app, host="127.0.0.1", port=port)
make_server = wsgiref.simple_server.make_server
wsgiref.simple_server.make_server = lambda host, _, app: make_server(host, port, app)
text = open(sys.argv[2]).read()
if "flask" in text:
    from flask import Flask
    run = Flask.run
    Flask.run = lambda app, **_: run(app, port=port)
if "uvicorn" in text:
    import uvicorn
    run = uvicorn.run
    uvicorn.run = lambda app, port: run(app, host="127.0.0.1", port=int(sys.argv[1]))
runpy.run_path(sys.argv[2], run_name="__main__")
"""


@pytest.fixture
async def messenger() -> AsyncIterator[LocalMessenger]:
    """Facebook."""
    async with LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"}) as server:
        yield server


@pytest.fixture
async def kochava() -> AsyncIterator[LocalKochava]:
    """Kochava."""
    async with LocalKochava(app_ids=["kobotdemo1234"], smartlinks={"/ab12cd34e": "{url}"}) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, messenger: LocalMessenger, kochava: LocalKochava) -> Path:
    """A working directory with the examples' settings, pointed at this machine."""
    text = (EXAMPLES / "bot.toml").read_text(encoding="utf-8")
    for ours, theirs in {
        'page_access_token = "..."': 'page_access_token = "token"',
        'app_secret = "..."': 'app_secret = "secret"',
        'verify_token = "..."': 'verify_token = "verify"',
        "https://graph.facebook.com": messenger.url,
        "https://imp.control.kochava.com": kochava.url,
        "https://control.kochava.com": kochava.url,
    }.items():
        assert ours in text
        text = text.replace(ours, theirs)
    text += f'\n[kochava.wire]\nevent_url = "{kochava.url}/track/json"\n'
    (tmp_path / "bot.toml").write_text(text, encoding="utf-8")
    return tmp_path


@asynccontextmanager
async def running(name: str, folder: Path, messenger: LocalMessenger) -> AsyncIterator[str]:
    """Serve an example until the block ends; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, str(port), str(EXAMPLES / name), cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    messenger.webhook_url = f"{url}/webhook"
    try:
        await asyncio.wait_for(is_served(port), 30)
        yield url
        await messenger.settled()
        process.terminate()
        # uvicorn, Flask and wsgiref end with the signal that they were sent.
        assert await asyncio.wait_for(process.wait(), 30) in (0, -signal.SIGTERM)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def is_served(port: int) -> None:
    """Return once somebody listens there."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def arrived(kochava: LocalKochava, count: int) -> list[str]:
    """The names of Kochava's events, once there are *count* records."""
    await kochava.received(count, within_seconds=10)
    return [event.name for event in kochava.events]


async def test_shop_bot_greets_and_sells(folder: Path, messenger: LocalMessenger, kochava: LocalKochava) -> None:
    """From get-started to a purchase with the right price."""
    async with running("shop_bot.py", folder, messenger):
        person = messenger.person()
        await person.gets_started()
        await person.next_message()
        await person.taps("Start Chatting")
        await person.next_message()
        await person.taps_quick_reply("Socks")
        assert "Thank you!" == (await person.next_message()).text
        assert ["Postback", "Postback", "Purchase"] == await arrived(kochava, 5)
        assert 5 == kochava.events[2].event_data["sum"]


async def test_own_middleware_changes_what_is_sent(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """It thanks in every text, and the event is tracked all the same."""
    async with running("own_middleware.py", folder, messenger):
        person = messenger.person()
        await person.says("hi")
        assert "Got it. Thank you!" == (await person.next_message()).text
        assert ["Message"] == await arrived(kochava, 1)


async def test_own_server_tells_the_person_and_counts_an_order_once(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """The order system may call twice."""
    async with running("own_server.py", folder, messenger) as url:
        person = messenger.person()
        await person.says("where is it?")
        await person.next_message()
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                order = {"user_id": person.user_id, "id": "order-881"}
                async with session.post(f"{url}/parcel-left", json=order) as answer:
                    assert "recorded" == await answer.text()
        assert "Your parcel left." == (await person.next_message()).text
        await person.says("thanks")
        assert ["Message", "Parcel Left", "Message"] == await arrived(kochava, 3)


async def test_other_host_is_measured_without_our_bot(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """The link is a SmartLink and the message an event."""
    async with running("other_host.py", folder, messenger):
        person = messenger.person()
        await person.says("hi")
        message = await person.next_message()
        assert message.buttons[0]["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
        assert ["Message"] == await arrived(kochava, 1)


async def test_fastapi_bot_greets_and_sells(folder: Path, messenger: LocalMessenger, kochava: LocalKochava) -> None:
    """One impression, one click and a purchase."""
    async with running("fastapi_bot.py", folder, messenger):
        person = messenger.person()
        await person.says("hi")
        message = await person.next_message()
        assert message.buttons[0]["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
        await kochava.wait_until(lambda: bool(kochava.impressions), within_seconds=10)
        await person.taps("Socks")
        assert ["Message", "Purchase"] == await arrived(kochava, 4)
        assert (1, 1) == (len(kochava.impressions), len(kochava.clicks))


async def test_own_middleware_leaves_the_rest_of_a_message_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quick replies stay, and a message that is written as JSON is thanked in, too."""
    monkeypatch.chdir(folder)
    polite = runpy.run_path(str(EXAMPLES / "own_middleware.py"))["Polite"]()
    goods = [{"content_type": "text", "title": "Socks", "payload": "SOCKS"}]
    message = {"text": "What?", "quick_replies": goods}

    async def sent(outgoing: Outgoing) -> Any:
        return outgoing.body

    thanked = {"message": {"text": "What? Thank you!", "quick_replies": goods}}
    assert thanked == await polite.send(Outgoing(body={"message": message}), sent)
    assert thanked == await polite.send(Outgoing(body={"message": json.dumps(message)}), sent)
    others: list[dict[str, Any]] = [{"sender_action": "typing_on"}, {"message": {"attachment": {}}}]
    for body in others:
        assert body == await polite.send(Outgoing(body=body), sent)


async def test_other_host_refuses_what_is_no_webhook(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """A wrong signature, broken JSON and a wrong verify token are no server errors."""
    async with running("other_host.py", folder, messenger), aiohttp.ClientSession() as session:
        url = messenger.webhook_url
        assert url is not None

        async def status(body: bytes, signature: str | None = None) -> int:
            right = hmac.digest(b"secret", body, "sha256").hex()
            headers = {"X-Hub-Signature-256": f"sha256={signature or right}"}
            async with session.post(url, data=body, headers=headers) as answer:
                return answer.status

        assert [403, 400] == [await status(b"{}", "0" * 64), await status(b"{")]
        asked = {"hub.mode": "subscribe", "hub.challenge": "4711"}
        async with session.get(url, params={**asked, "hub.verify_token": "verify"}) as answer:
            assert (200, "4711") == (answer.status, await answer.text())
        async with session.get(url, params={**asked, "hub.verify_token": "wrong"}) as answer:
            assert 403 == answer.status


async def test_other_host_handles_the_events_after_one_that_failed(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """In one webhook: the answer to somebody unknown is refused by Facebook, the next person gets theirs."""
    async with running("other_host.py", folder, messenger), aiohttp.ClientSession() as session:
        url = messenger.webhook_url
        assert url is not None
        person = messenger.person()
        await person.says("hi")
        await person.next_message()
        items = [
            {
                "sender": {"id": user_id},
                "recipient": {"id": "1001"},
                "timestamp": int(time.time() * 1000),
                "message": {"mid": f"m-{user_id}", "text": "hi"},
            }
            for user_id in ("999999", person.user_id)
        ]
        body = json.dumps({"object": "page", "entry": [{"id": "1001", "time": 1, "messaging": items}]}).encode()
        signature = hmac.digest(b"secret", body, "sha256").hex()
        async with session.post(url, data=body, headers={"X-Hub-Signature-256": f"sha256={signature}"}) as answer:
            assert 200 == answer.status
        assert "Have a look:" in str((await person.next_message()).body)


async def test_the_testing_example_passes(folder: Path) -> None:
    """What it shows to others must hold."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "test_your_bot.py"), cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)

    assert (0, b"the bot answered, and Kochava knows\n") == (process.returncode, output)


async def test_flask_and_pymessenger_are_measured(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """From the greeting to a purchase, and a wrong signature."""
    print(f"Flask {version('flask')}, pymessenger {version('pymessenger')}")
    async with running("flask_pymessenger.py", folder, messenger) as url:
        assert await messenger.verify()
        person = messenger.person()
        await person.gets_started()
        greeting = await person.next_message()
        assert greeting.buttons[0]["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
        await person.taps("Buy socks")
        assert "Thank you!" == (await person.next_message()).text
        assert ["Postback", "Purchase"] == sorted(await arrived(kochava, 4))
        assert (1, 1) == (len(kochava.impressions), len(kochava.clicks))
        (purchase,) = [event for event in kochava.events if event.name == "Purchase"]
        assert (100, "USD") == (purchase.event_data["sum"], purchase.event_data["currency"])
        async with aiohttp.ClientSession() as session, session.post(f"{url}/webhook", data=b"{}") as answer:
            assert 403 == answer.status


async def test_the_django_shop_counts_an_order_once(
    folder: Path, messenger: LocalMessenger, kochava: LocalKochava
) -> None:
    """The payment provider may call twice."""
    print(f"Django {version('django')}")
    order = {"user_id": "5551", "id": "order-881", "sum": 100, "currency": "USD"}
    async with running("django_shop.py", folder, messenger) as url, aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(f"{url}/order-paid", json=order) as answer:
                assert {"recorded": True} == await answer.json()
        async with session.post(f"{url}/order-paid", json={**order, "user_id": ""}) as answer:
            assert 400 == answer.status
        assert ["Purchase"] == await arrived(kochava, 1)
    assert 100 == kochava.events[0].event_data["sum"]


CELERY = """
import sys
sys.path.insert(0, sys.argv[1])
from celery_feed import app, parcel_left
folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.update(broker_url="filesystem://", broker_transport_options=folders)
if sys.argv[2:]:
    for number in range(6):
        parcel_left.delay(user_id=f"555{number}", order_id=f"order-{number % 3}", left_at=1767225600.5)
else:
    app.worker_main(["worker", "--concurrency=2", "--loglevel=ERROR", "--without-gossip", "--without-mingle"])
"""


async def test_the_celery_feed_counts_what_its_forks_track(folder: Path, kochava: LocalKochava) -> None:
    """Two processes; an order that is tracked twice counts once, at the time at which it left."""
    print(f"Celery {version('celery')}")
    for name in ("queue", "control"):
        (folder / name).mkdir()
    arguments = [sys.executable, "-c", CELERY, str(EXAMPLES)]
    shop = await asyncio.create_subprocess_exec(*arguments, "shop", cwd=folder)
    assert 0 == await asyncio.wait_for(shop.wait(), 30)
    worker = await asyncio.create_subprocess_exec(*arguments, cwd=folder)
    try:
        assert ["Parcel Left"] * 3 == await arrived(kochava, 3)
    finally:
        worker.terminate()
        await asyncio.wait_for(worker.wait(), 30)
    assert {f"order-{number}" for number in range(3)} == {event.event_data["order_id"] for event in kochava.events}
    assert {1767225600} == {event.usertime for event in kochava.events}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    """One idea each, under 60 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
