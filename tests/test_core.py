"""The framework-free core of the middleware, as a host of its own uses it: parse, handling, send."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from kochava_bot_middleware import (
    Event,
    KochavaMiddleware,
    MessengerBot,
    NotAWebhook,
    RegistrationError,
    SettingsError,
    SignatureError,
    TrackingError,
    current_handling,
)
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Queue
from tests.bot_fakes import says
from tests.fakes import settle
from tests.inbox.inbox_fakes import message_item
from tests.tracking.tracked_bot import (
    GREETING,
    PAGE_ID,
    SMARTLINKS,
    USER_ID,
    SlowStore,
    TrackedBot,
    body_to,
    tracked_bot,
)

SMARTLINK = "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes"


def webhook(*texts: str, user_id: str = USER_ID) -> bytes:
    items = [{**message_item(text, user_id), "recipient": {"id": PAGE_ID}} for text in texts]
    return json.dumps({"object": "page", "entry": [{"id": PAGE_ID, "messaging": items}]}).encode()


def signed(body: bytes, secret: str, name: str = "X-Hub-Signature-256") -> dict[str, str]:
    return {name: "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}


def url_in(body: Any) -> str:
    url: str = body["message"]["attachment"]["payload"]["buttons"][0]["url"]
    return url


class Graph:
    """A sender that notes bodies, and answers as Facebook does."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    async def __call__(self, body: Any) -> Any:
        self.bodies.append(body)
        return {"recipient_id": USER_ID, "message_id": f"mid-{len(self.bodies)}"}


class SlowlyOpenedStore(MemoryStore):
    """Others write to it before `open` returns."""

    async def open(self) -> None:
        await super().open()
        await settle()


class Response:
    """The response of an HTTP client, as httpx and requests have it."""

    def __init__(self, status_code: int, answer: Any) -> None:
        self.status_code = status_code
        self._answer = answer

    def json(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class AsyncResponse(Response):
    """The same, as aiohttp has it."""

    async def json(self) -> Any:
        return super().json()


# Parse


def test_parse_says_what_it_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """As a bot does; nothing of it is in the line."""
    body = json.dumps([{"object": "permissions", "entry": [{"uid": "4711"}]}, json.loads(webhook("hi"))]).encode()
    assert 1 == len(tracked_bot().kochava.parse(body))
    assert ["webhook_part_skipped object permissions"] == caplog.messages


@pytest.mark.parametrize("secret", ["new", "old"])
def test_parse_takes_a_signature_of_any_secret(secret: str) -> None:
    """Several apps may share an address, and a secret may be being changed."""
    kochava = tracked_bot(app_secret=["new", "old"]).kochava
    body = webhook("hi")
    (event,) = kochava.parse(body, signed(body, secret))
    assert (USER_ID, PAGE_ID) == (event.user_id, event.page_id)


def test_parse_finds_the_signature_whatever_the_case_of_the_header() -> None:
    """Not every host's mapping knows that header names have none."""
    body = webhook("hi")
    assert 1 == len(tracked_bot(app_secret="s").kochava.parse(body, signed(body, "s", "x-hub-signature-256")))


@pytest.mark.parametrize("headers", [None, {}, signed(webhook("other"), "s"), signed(webhook("hi"), "guess")])
def test_parse_refuses_a_missing_or_wrong_signature(headers: Mapping[str, str] | None) -> None:
    """The error has the status to answer with."""
    with pytest.raises(SignatureError) as caught:
        tracked_bot(app_secret="s").kochava.parse(webhook("hi"), headers)
    assert 403 == caught.value.status


def test_parse_wants_the_received_bytes_when_it_checks_a_signature() -> None:
    """A body that a framework decoded has no signature any more."""
    kochava = tracked_bot(app_secret="s").kochava
    with pytest.raises(RegistrationError, match="wanted bytes, got dict: pass the body as it was received"):
        kochava.parse(json.loads(webhook("hi")), {})


@pytest.mark.parametrize("body", [webhook("hi"), webhook("hi").decode(), json.loads(webhook("hi"))])
def test_parse_without_a_secret_trusts_its_host(body: Any) -> None:
    """Then the host has checked the signature, and may have decoded the body."""
    assert 1 == len(tracked_bot().kochava.parse(body))


def test_parse_refuses_what_is_no_webhook() -> None:
    """With status 400."""
    with pytest.raises(NotAWebhook) as caught:
        tracked_bot().kochava.parse(b"{}", {})
    assert 400 == caught.value.status


@pytest.mark.parametrize("secret", ["", [], ["good", ""], 5])
def test_app_secret_is_one_secret_or_several(secret: Any) -> None:
    """Anything else would let every webhook pass, or none."""
    with pytest.raises(SettingsError, match="app_secret"):
        tracked_bot(app_secret=secret)


# Handling


async def test_everything_within_a_handling_belongs_to_its_event() -> None:
    """Person, Page and cause of what is tracked and sent, committed at the end."""
    bot, graph = tracked_bot(smartlinks=SMARTLINKS), Graph()
    (event,) = bot.kochava.parse(webhook("hi"))
    async with bot.kochava.handling(event, handler="greet") as handling:
        await bot.kochava.track("Greeted")
        await bot.kochava.send(body_to(), graph)
        assert handling is current_handling()
        assert [] == await bot.names()
    assert ["Greeted"] == await bot.names()
    assert url_in(graph.bodies[0]).startswith(SMARTLINK)
    assert current_handling() is None


async def test_an_event_that_is_delivered_again_is_recorded_once() -> None:
    """The ids of the records are made from the event."""
    bot = tracked_bot()
    for _ in range(2):
        for event in bot.kochava.parse(webhook("hi", "there")):
            async with bot.kochava.handling(event):
                await bot.kochava.track("Greeted")
    assert ["Greeted", "Greeted"] == await bot.names()


async def test_an_error_within_a_handling_passes_and_the_event_is_recorded() -> None:
    """It is recorded as one that was not handled."""
    bot = tracked_bot()
    with pytest.raises(LookupError):
        async with bot.kochava.handling(bot.message()):
            raise LookupError
    ((name, data),) = await bot.events()
    assert ("Message", False) == (name, data["handled"])


async def test_a_handling_within_one_of_the_same_event_is_that_one() -> None:
    """Two layers that know of the event record it once."""
    bot = tracked_bot()
    (event,), (again,) = bot.kochava.parse(webhook("hi")), bot.kochava.parse(webhook("hi"))
    async with bot.kochava.handling(event) as outer:
        async with bot.kochava.handling(again) as inner:
            await bot.kochava.track("Greeted")
        assert [] == await bot.names()
    assert inner is outer
    assert ["Greeted"] == await bot.names()


async def test_a_handling_within_one_of_another_event_is_its_own() -> None:
    """What is tracked afterwards belongs to the outer one again."""
    bot = tracked_bot()
    async with bot.kochava.handling(bot.message(user_id="ann")):
        async with bot.kochava.handling(bot.message(user_id="ben")):
            await bot.kochava.track("Inner")
        await bot.kochava.track("Outer")
    assert [("Inner", "ben"), ("Outer", "ann")] == [
        (getattr(record, "event_name", ""), record.user_id) for record in await bot.records(Queue.TRACK)
    ]


async def test_concurrent_handlings_do_not_mix() -> None:
    """Each task has its own event."""
    bot = tracked_bot()

    async def handle(user_id: str) -> None:
        async with bot.kochava.handling(bot.message(user_id=user_id)):
            await asyncio.sleep(0)
            await bot.kochava.track(f"By {user_id}")

    await asyncio.gather(*(handle(f"u{number}") for number in range(20)))
    assert {f"u{number}": f"By u{number}" for number in range(20)} == {
        record.user_id: getattr(record, "event_name", "") for record in await bot.records(Queue.TRACK)
    }


async def test_a_handling_within_a_handler_of_a_bot_is_that_of_the_bot() -> None:
    """Its host commits it, with "handled"."""
    bot, store = (
        MessengerBot.from_dict({"page_access_token": "t", "app_secret": "app-secret", "verify_token": "v"}),
        (MemoryStore()),
    )
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "worker": "separate"}, store=store)
    bot.add_middleware(kochava)

    @bot.on_message()
    async def handle(event: Event, _reply: Any) -> None:
        async with kochava.handling(event):
            await kochava.track("Greeted")
        assert [] == await store.browse(Queue.TRACK)

    await bot.start()
    await says(bot, "hi")
    await bot.stop()
    await store.open()
    assert ["Greeted"] == [row.entry.name for row in await store.browse(Queue.TRACK)]


async def test_handling_refuses_what_is_no_event() -> None:
    """The error names the call that gives events."""
    with pytest.raises(RegistrationError, match=r"wanted Event, got dict: `kochava\.parse"):
        async with tracked_bot().kochava.handling({"object": "page"}):  # type: ignore[arg-type]
            pass


async def test_nothing_is_recorded_while_the_middleware_is_off() -> None:
    """The code of the host does not change, and links stay as they are."""
    bot, graph = tracked_bot(smartlinks=SMARTLINKS, mode="off"), Graph()
    async with bot.kochava.handling(bot.message()):
        await bot.kochava.track("Greeted")
        await bot.kochava.send(body_to(), graph)
    assert ([], [body_to()]) == (await bot.names(), graph.bodies)


# Send


async def test_send_gives_the_answer_and_leaves_the_body_alone() -> None:
    """Only the sender sees the SmartLinks, and its answer is the very object that it returned."""
    bot, body = tracked_bot(smartlinks=SMARTLINKS), body_to()
    answer = Response(200, {"message_id": "m"})
    seen: list[Any] = []

    async def call(sent: Any) -> Response:
        seen.append(sent)
        return answer

    assert answer is await bot.kochava.send(body, call)
    assert body_to() == body
    assert url_in(seen[0]).startswith(SMARTLINK)


async def test_send_lets_the_error_of_the_sender_pass() -> None:
    """It is the host's."""

    async def call(_body: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await tracked_bot(greeting=GREETING).kochava.send(body_to(), call, greeting=True)


async def greeted(bot: TrackedBot, answer: Any) -> list[str]:
    """The pings after a greeting that was answered so, its delivery, and the person's next step."""

    async def call(_body: Any) -> Any:
        return answer

    async with bot.kochava.handling(bot.message()):
        await bot.kochava.send(body_to(), call, greeting=True)
    await bot.handle(bot.delivery("m_1"))
    await bot.handle(bot.postback("CHAT"))
    return [record.kind for record in await bot.records(Queue.PING)]


@pytest.mark.parametrize(
    "answer",
    [
        {"recipient_id": USER_ID, "message_id": "m_1"},
        Response(200, {"recipient_id": USER_ID, "message_id": "m_1"}),
        AsyncResponse(200, {"recipient_id": USER_ID, "message_id": "m_1"}),
        Response(200, ValueError("the body was not read")),
        None,
    ],
)
async def test_a_greeting_is_watched_whatever_its_sender_answers(answer: Any) -> None:
    """Decoded JSON, the response of an HTTP client, or nothing."""
    assert ["impression", "click"] == await greeted(tracked_bot(greeting=GREETING), answer)


@pytest.mark.parametrize("answer", [{"error": {"code": 100}}, Response(400, {}), AsyncResponse(500, {})])
async def test_a_greeting_that_was_refused_is_none(answer: Any) -> None:
    """It was not shown."""
    assert [] == await greeted(tracked_bot(greeting=GREETING), answer)


async def test_a_send_that_two_layers_see_is_tracked_once() -> None:
    """Such as an `AsyncBot` and the HTTP client beneath it, which sees JSON with members added."""
    bot, graph = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING), Graph()

    async def inner(body: Any) -> Any:
        wire = {**body, "message": json.dumps(body["message"]), "access_token": "t"}
        return await bot.kochava.send(wire, graph)

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        await bot.kochava.send(body_to(), inner)

    async with bot.kochava.handling(bot.message()):
        await greet(bot.message())
    assert 1 == bot.kochava.counts.links_rewritten
    await bot.handle(bot.delivery("mid-1"))
    assert ["impression"] == [record.kind for record in await bot.records(Queue.PING)]
    assert 1 == len(graph.bodies)


async def test_another_message_within_a_send_is_tracked_for_itself() -> None:
    """A sender may send something of its own first."""
    bot, graph = tracked_bot(smartlinks=SMARTLINKS), Graph()

    async def inner(body: Any) -> Any:
        await bot.kochava.send(body_to(text="First!"), graph)
        return await graph(body)

    await bot.kochava.send(body_to(), inner)
    assert [True, True] == [url_in(body).startswith(SMARTLINK) for body in graph.bodies]


async def test_a_send_of_the_same_body_after_a_send_is_tracked() -> None:
    """Also of a task that began within the first, and outlives it."""
    bot, graph, ended = tracked_bot(greeting=GREETING), Graph(), asyncio.Event()
    later: list[asyncio.Task[Any]] = []

    async def again() -> None:
        await ended.wait()
        await bot.kochava.send(body_to(), graph, greeting=True)

    async def call(body: Any) -> Any:
        later.append(asyncio.create_task(again()))
        return await graph(body)

    await bot.kochava.send(body_to(), call)
    ended.set()
    await later[0]
    await bot.handle(bot.delivery("mid-2"))
    assert ["impression"] == [record.kind for record in await bot.records(Queue.PING)]


async def test_a_send_of_two_middlewares_passes_both() -> None:
    """Each has an app of its own."""
    bot, other, graph = tracked_bot(smartlinks=SMARTLINKS), tracked_bot(greeting=GREETING), Graph()

    async def inner(body: Any) -> Any:
        return await other.kochava.send(body, graph, greeting=True)

    await bot.kochava.send(body_to(), inner)
    await other.handle(other.delivery("mid-1"))
    assert ["impression"] == [record.kind for record in await other.records(Queue.PING)]
    assert url_in(graph.bodies[0]).startswith(SMARTLINK)


async def test_send_refuses_arguments_that_are_no_id_or_channel() -> None:
    """Before anything is sent."""
    graph = Graph()
    with pytest.raises(TrackingError, match="`channel` is one of"):
        await tracked_bot().kochava.send(body_to(), graph, channel="telegram")
    assert [] == graph.bodies


# Greetings that never pass `send`


def unsent(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("greeting_not_counted")]


async def test_a_greeting_that_never_passes_send_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """A handler whose messages are only rewritten gives neither impression nor click."""
    bot = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING)

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        bot.kochava.rewrite(body_to())

    for _ in range(3):
        async with bot.kochava.handling(bot.message()):
            await greet(bot.message())
    (line,) = unsent(caplog)
    assert "greet: nothing that it sent passed `kochava.send`" in line
    assert "`await kochava.send(body, call)`" in line


async def test_a_greeting_that_passes_send_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Nor one that raised before it could send, nor one without trackers to ping."""
    bot, off = tracked_bot(greeting=GREETING), tracked_bot()

    @bot.kochava.greeting
    async def greet(_event: Event) -> None:
        await bot.kochava.send(body_to(), Graph())

    @bot.kochava.greeting
    async def fail(_event: Event) -> None:
        raise LookupError

    @off.kochava.greeting
    async def silent(_event: Event) -> None:
        pass

    await bot.handle(bot.message(), greet)
    await off.handle(off.message(), silent)
    with pytest.raises(LookupError):
        await bot.handle(bot.message(), fail)
    assert [] == unsent(caplog)


async def test_a_greeting_of_no_event_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A host that never uses `handling` calls the handler by itself."""
    bot = tracked_bot(greeting=GREETING)

    @bot.kochava.greeting
    async def greet() -> None:
        await bot.kochava.send(body_to(), Graph())

    await greet()
    (line,) = unsent(caplog)
    assert "greet: it was called while no event was handled" in line


async def test_a_body_marked_as_greeting_that_is_only_rewritten_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Its mark has no effect there."""
    bot = tracked_bot(greeting=GREETING)
    bot.kochava.rewrite(bot.kochava.greeting(body_to(), creative="spring"))
    (line,) = unsent(caplog)
    assert "spring: it was only given to `kochava.rewrite`" in line


# Start and stop


async def test_records_that_nothing_delivers_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A host that forgets `start` is told at the first record, and then once a minute with a count."""
    bot = tracked_bot(worker="inside")
    for _ in range(3):
        await bot.handle(bot.message())
    bot.clock.stall(61)
    await bot.handle(bot.message())
    lines = [message for message in caplog.messages if message.startswith("records_wait")]
    assert 2 == len(lines)
    assert "`start` was not called; call `await kochava.start()`" in lines[0]
    assert lines[1].endswith("(3 more)")


async def test_a_started_middleware_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It delivers."""
    bot = tracked_bot(worker="inside")
    async with bot.kochava:
        await bot.handle(bot.message())
    assert "records_wait" not in caplog.text


async def test_a_handling_that_outlives_the_middleware_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """It does not raise: the handler can do nothing about it."""
    bot = tracked_bot()
    async with bot.kochava.handling(bot.message()):
        await bot.kochava.stop()
    (record,) = [record for record in caplog.records if record.getMessage().startswith("tracking_lost")]
    assert logging.ERROR == record.levelno
    assert "`stop` was called before it was recorded; stop the server first" in record.getMessage()


async def test_a_greeting_sent_after_stop_is_lost_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """As what is handled then. It is sent, and nothing is kept in memory for a store that is closed."""
    bot = tracked_bot(greeting=GREETING)
    async with bot.kochava:
        pass
    await bot.kochava.send(bot.kochava.greeting(body_to()), Graph())
    assert 0 == bot.kochava.counts.at_risk
    (line,) = caplog.messages
    assert line.startswith("tracking_lost `stop` was called before it was recorded")


async def test_what_is_recorded_while_it_stops_is_no_sign_of_a_missing_start(caplog: pytest.LogCaptureFixture) -> None:
    """It was started; the next start delivers."""
    bot = tracked_bot(store=SlowStore())
    await bot.kochava.start()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.kochava.track("Last", user_id=USER_ID))
        await settle(1)
        tasks.create_task(bot.kochava.stop())
    assert [] == caplog.messages


async def test_what_is_recorded_while_it_starts_is_no_sign_of_a_missing_start(caplog: pytest.LogCaptureFixture) -> None:
    """It will be delivered."""
    bot = tracked_bot(store=SlowlyOpenedStore())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bot.kochava.track("First", user_id=USER_ID))
        tasks.create_task(bot.kochava.start())
    await bot.kochava.stop()
    assert [] == caplog.messages


async def test_a_greeting_that_waits_for_its_delivery_without_start_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing ends its wait."""
    bot = tracked_bot(worker="inside", greeting=GREETING)
    await bot.kochava.send(bot.kochava.greeting(body_to()), Graph())
    (line,) = caplog.messages
    assert line.startswith("records_wait nothing delivers them from here: `start` was not called")


@pytest.mark.parametrize(
    ("mode", "cause"),
    [("live", "`start` was not called"), ("dry_run", '`mode` is "dry_run"'), ("off", '`mode` is "off"')],
)
async def test_flush_without_start_says_why_records_wait(
    caplog: pytest.LogCaptureFixture, mode: str, cause: str
) -> None:
    """Those of a former run, too."""
    bot = tracked_bot()
    async with bot.kochava:
        await bot.kochava.track("First", user_id=USER_ID)
    await bot.store.open()
    later = tracked_bot(worker="inside", mode=mode, store=bot.store)
    assert 1 == await later.kochava.flush(timeout_seconds=0)
    (line,) = caplog.messages
    assert line.startswith("records_wait 1 records wait: ")
    assert cause in line


async def test_flush_of_nothing_without_start_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing waits."""
    assert 0 == await tracked_bot(worker="inside").kochava.flush(timeout_seconds=0)
    assert [] == caplog.messages
