"""Webhooks of ASGI and WSGI hosts that are stored first, and the endpoint that is called from the store."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given

from kochava_bot_middleware import KochavaMiddleware, MessengerBot, RegistrationError
from kochava_bot_middleware.bot import InboxSettings
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware, Message, Receive, Scope, Send
from kochava_bot_middleware.integrations.wsgi import Environ, KochavaWSGIMiddleware, StartResponse
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook, webhook_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, EntryState, Queue, Unit
from kochava_bot_middleware.testing import VirtualClock
from tests.integrations.webhooks import SETTINGS, body_of, recorded, signature_of
from tests.strategies import webhooks

QUERY = "hub=1&name=%C3%A9"


@attrs.frozen
class Seen:
    """A request as the endpoint sees it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def texts(self) -> list[str]:
        """Person and text of each message."""
        items = [item for entry in json.loads(self.body)["entry"] for item in entry["messaging"]]
        return [f"{item['sender']['id']} {item['message']['text']}" for item in items]


@attrs.define
class Endpoint:
    """
    Attributes:
        answers: Statuses, or errors to raise, of the next calls; 200 afterwards.
        on_call: Called, in a thread with WSGI, before it answers.
        after_call: Awaited, with ASGI, before it answers.
    """

    answers: list[int | type[BaseException]] = attrs.field(factory=list)
    requests: list[Seen] = attrs.field(factory=list)
    on_call: Callable[[], object] = lambda: None
    after_call: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    def take(self, seen: Seen) -> int:
        self.requests.append(seen)
        self.on_call()
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, int):
            return answer
        raise answer

    @property
    def texts(self) -> list[str]:
        return [text for seen in self.requests for text in seen.texts]


class NotingStore(MemoryStore):
    """Notes what is stored of each event."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.stored: list[bytes] = []

    async def commit(self, unit: Unit) -> Committed:
        self.stored += [entry.body for entry in unit.appends if entry.queue == Queue.INBOX]
        return await super().commit(unit)


@attrs.define
class Host:
    """One endpoint, behind one of the middlewares."""

    kind: str
    endpoint: Endpoint
    kochava: KochavaMiddleware
    store: NotingStore
    clock: VirtualClock
    app: Any = None

    def __attrs_post_init__(self) -> None:
        self.app = self.wrapped(self.kochava)

    def wrapped(self, kochava: KochavaMiddleware, store_first: bool | InboxSettings = True) -> Any:
        if self.kind == "asgi":
            return KochavaASGIMiddleware(self.asgi, kochava=kochava, store_first=store_first)
        return KochavaWSGIMiddleware(self.wsgi, kochava=kochava.sync, store_first=store_first)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        status = self.endpoint.take(Seen(scope["method"], scope["path"], query, headers, message["body"]))
        await self.endpoint.after_call()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"own answer"})
        assert "http.disconnect" == (await receive())["type"]

    def wsgi(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith(("HTTP_", "CONTENT_"))
        }
        path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        status = self.endpoint.take(Seen(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], headers, body))
        start_response(f"{status} Status", [])
        return [b"own ", b"answer"]

    async def post(self, body: bytes, *, method: str = "POST", signature: str | None = None) -> tuple[int, bytes]:
        """What is answered to a request."""
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-hub-signature-256": signature or signature_of(body),
        }
        if self.kind == "wsgi":
            return await asyncio.to_thread(self._post_wsgi, body, method, headers)
        sent: list[Message] = []
        messages: list[Message] = [{"type": "http.request", "body": body}]

        async def receive() -> Message:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Scope = {
            "type": "http", "method": method, "path": "/webhook", "raw_path": b"/webhook", "root_path": "",
            "query_string": QUERY.encode(), "scheme": "https", "http_version": "1.1", "client": ("1.2.3.4", 5),
            "server": ("bot.example", 443), "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        await self.app(scope, receive, send)
        return sent[0]["status"], b"".join(message["body"] for message in sent[1:])

    def _post_wsgi(self, body: bytes, method: str, headers: dict[str, str]) -> tuple[int, bytes]:
        environ: Environ = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": "/webhook", "QUERY_STRING": QUERY,
            "CONTENT_TYPE": headers["content-type"], "CONTENT_LENGTH": headers["content-length"],
            "HTTP_X_HUB_SIGNATURE_256": headers["x-hub-signature-256"], "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "OF_THE_PROCESS": "a secret",
        }  # fmt: skip
        started: list[str] = []

        def start_response(status: str, *_: Any) -> Callable[[bytes], object]:
            started.append(status)
            return lambda _data: None

        answer = b"".join(self.app(environ, start_response))
        return int(started[0].split()[0]), answer

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let time pass until then; threads need some real time, too."""
        async with asyncio.timeout(20):
            while not reached():
                await self.clock.advance(0.5)
                await asyncio.sleep(0.001)

    async def settled(self) -> None:
        """Let time pass until nothing waits for the endpoint."""
        async with asyncio.timeout(20):
            while await self.store.next_due_in(Queue.INBOX) is not None:
                await self.clock.advance(0.5)
                await asyncio.sleep(0.001)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> NotingStore:
    return NotingStore(clock)


@pytest.fixture(params=["asgi", "wsgi"])
async def host(request: pytest.FixtureRequest, store: NotingStore, clock: VirtualClock) -> AsyncIterator[Host]:
    """A host with a started middleware."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store, clock=clock)
    await kochava.start()
    yield Host(request.param, Endpoint(), kochava, store, clock)
    await kochava.stop()


async def test_the_endpoint_gets_the_request_as_it_came(host: Host) -> None:
    """Method, path, query, headers and body; Facebook has its answer from the middleware."""
    body = body_of("ann", text="hé \ud83d")
    assert (200, b"EVENT_RECEIVED") == await host.post(body)
    await host.settled()
    (seen,) = host.endpoint.requests
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-hub-signature-256": signature_of(body),
    }
    assert Seen("POST", "/webhook", QUERY, headers, body) == seen


async def test_of_several_events_each_comes_by_itself_and_signed(host: Host) -> None:
    """So that each person's order is kept."""
    body = body_of("ann", "bob")
    await host.post(body)
    await host.settled()
    assert [["ann hi"], ["bob hi"]] == sorted(seen.texts for seen in host.endpoint.requests)
    for seen in host.endpoint.requests:
        assert signature_of(seen.body) == seen.headers["x-hub-signature-256"]
        assert str(len(seen.body)) == seen.headers["content-length"]


async def test_a_webhook_that_is_delivered_again_does_not_run_the_endpoint_twice(host: Host) -> None:
    """Nor does an event that comes in another webhook."""
    await host.post(body_of("ann"))
    await host.post(body_of("ann"))
    await host.settled()
    await host.post(body_of("ann"))
    await host.post(body_of("bob", "ann"))
    await host.settled()
    assert ["ann hi", "bob hi"] == sorted(host.endpoint.texts)


@pytest.mark.parametrize("failure", [500, 404, 302, ZeroDivisionError, asyncio.CancelledError])
async def test_what_the_endpoint_does_not_take_is_given_to_it_again(host: Host, failure: Any) -> None:
    """And what the person did then waits; another person's does not."""
    host.endpoint.answers = [failure]
    await host.post(body_of("ann", text="1", mid="m1"))
    await host.post(body_of("ann", text="2", mid="m2"))
    await host.until(lambda: len(host.endpoint.requests) == 1)
    await host.post(body_of("bob"))
    await host.settled()
    assert ["ann 1", "ann 1", "ann 2"] == [text for text in host.endpoint.texts if text.startswith("ann")]
    assert host.endpoint.texts.index("bob hi") <= 2


async def test_what_the_endpoint_has_taken_at_last_is_recorded_once_as_handled(host: Host) -> None:
    """With what it tracked in each attempt."""
    host.endpoint.answers = [500, 503]
    await host.post(body_of("ann"))
    await host.settled()
    assert 3 == len(host.endpoint.requests)
    ((_, name, data),) = await recorded(host.store)
    assert ("Message", True) == (name, data["handled"])


async def test_what_it_does_not_take_for_five_minutes_is_dead(host: Host) -> None:
    """It can be listed, and put back when the endpoint works; that it came is recorded."""
    host.endpoint.answers = [500] * 100
    await host.post(body_of("ann"))
    await host.settled()
    (row,) = await host.store.browse(Queue.INBOX, state=EntryState.DEAD)
    ((_, _, data),) = await recorded(host.store)
    assert ("the endpoint did not take it in time", False) == (row.reason, data["handled"])
    assert 10 < len(host.endpoint.requests) < 20

    host.endpoint.answers.clear()
    host.endpoint.requests.clear()
    await host.store.retry_dead([row.entry.id])
    await host.settled()
    assert ["ann hi"] == host.endpoint.texts


async def test_what_it_tracks_belongs_to_the_event_and_is_committed_with_it(host: Host) -> None:
    """Without being told whom it is about."""
    if host.kind == "wsgi":
        host.endpoint.on_call = lambda: host.kochava.sync.track("Question")
    else:
        host.endpoint.after_call = lambda: host.kochava.track("Question")
    await host.post(body_of("ann", "bob"))
    await host.settled()
    assert {("ann", "Question"), ("bob", "Question")} == {(who, name) for who, name, _ in await recorded(host.store)}


async def test_a_signature_is_checked_before_anything_is_stored(host: Host) -> None:
    """The endpoint never sees it."""
    status, _ = await host.post(body_of("ann"), signature=signature_of(body_of("bob")))
    await host.settled()
    assert (403, []) == (status, host.endpoint.requests)


@pytest.mark.parametrize("body", [b"no JSON", b'{"object": "permissions", "entry": []}'])
async def test_what_has_no_event_goes_to_the_endpoint_at_once(host: Host, body: bytes) -> None:
    """It says what to answer."""
    assert (200, b"own answer") == await host.post(body)
    assert [body] == [seen.body for seen in host.endpoint.requests]


async def test_verification_goes_to_the_endpoint(host: Host) -> None:
    """It answers the challenge."""
    assert (200, b"own answer") == await host.post(b"", method="GET")


async def test_after_the_stop_facebook_is_asked_to_come_again(host: Host) -> None:
    """What is answered 200 is stored."""
    await host.post(body_of("ann"))
    await host.kochava.stop()
    status, _ = await host.post(body_of("bob"))
    assert (503, ["ann hi"]) == (status, host.endpoint.texts)


async def test_a_stop_waits_for_the_endpoint(host: Host) -> None:
    """What it was doing is committed."""
    await host.post(body_of("ann"))
    await host.kochava.stop()
    await host.store.open()
    assert ["Message"] == [name for _, name, _ in await recorded(host.store)]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
async def test_webhooks_that_come_while_the_first_one_starts_it_are_stored(kind: str, store: NotingStore) -> None:
    """On a server that does not start it."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store)
    host = Host(kind, Endpoint(), kochava, store, VirtualClock())
    answers = await asyncio.gather(*(host.post(body_of(f"user{number}")) for number in range(15)))
    await (kochava.stop() if kind == "asgi" else asyncio.to_thread(kochava.sync.stop))
    assert [(200, b"EVENT_RECEIVED")] * 15 == answers


async def test_endpoint_calls_that_hang_leave_threads_for_others(store: NotingStore, clock: VirtualClock) -> None:
    """More of them are started when they are needed."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store, clock=clock)
    await kochava.start()
    goes_on = threading.Event()
    host = Host("wsgi", Endpoint(on_call=goes_on.wait), kochava, store, clock)
    await host.post(body_of(*(f"user{number}" for number in range(30))))
    async with asyncio.timeout(20):
        while len(host.endpoint.requests) < 30:
            await asyncio.sleep(0.001)
    goes_on.set()
    await kochava.stop()


class FullStore(MemoryStore):
    """A store that takes nothing."""

    async def commit(self, unit: Unit) -> Committed:
        msg = "the disk is full"
        raise StoreUnavailable(msg)


async def test_what_the_store_does_not_take_is_not_answered_200(host: Host, clock: VirtualClock) -> None:
    """If the inbox is told so; by default it holds some in memory."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=FullStore(clock=clock), clock=clock)
    await kochava.start()
    host.app = host.wrapped(kochava, InboxSettings(on_store_failure="refuse", commit_timeout_seconds=0.01))
    assert 503 == (await host.post(body_of("ann")))[0]
    await kochava.runtime.close_inbox(0)
    await kochava.stop()


async def test_nothing_else_of_the_process_is_stored(host: Host) -> None:
    """Some servers have its environment, and so its secrets, in each request."""
    await host.post(body_of("ann"))
    (stored,) = host.store.stored
    assert (True, False) == (b"/webhook" in stored, b"a secret" in stored)


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_without_a_secret_nothing_is_stored_first(kind: str, clock: VirtualClock) -> None:
    """Whoever knows the address could fill the store."""
    store = NotingStore(clock)
    kochava = KochavaMiddleware.from_dict({**SETTINGS, "app_secret": None}, store=store, clock=clock)
    with pytest.raises(RegistrationError, match="`store_first` needs the setting `app_secret`"):
        Host(kind, Endpoint(), kochava, store, clock)


async def test_a_middleware_has_one_inbox(host: Host) -> None:
    """That of a bot would be another one."""
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "v"})
    with pytest.raises(RegistrationError, match="one KochavaMiddleware serves one bot"):
        bot.add_middleware(host.kochava)


@given(webhooks())
def test_an_event_is_the_same_in_a_webhook_of_its_own(body: dict[str, Any]) -> None:
    """Whatever its kind."""
    for event in parse_webhook(body):
        (again,) = parse_webhook(webhook_of(event))
        assert (event, event.key) == (again, again.key)


async def lifespan(app: Any, served: Callable[[], Any]) -> Sequence[str]:
    """Runs the lifespan of a server that serves something in between."""
    answers: list[str] = []
    asked = ["lifespan.shutdown", "lifespan.startup"]

    async def receive() -> Message:
        kind = asked.pop()
        if kind == "lifespan.shutdown":
            await served()
        return {"type": kind}

    async def send(message: Message) -> None:
        answers.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return answers


async def test_the_endpoint_is_called_only_while_its_application_is_up(store: NotingStore, clock: VirtualClock) -> None:
    """It finds what the lifespan of the application has put into its state."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store, clock=clock)
    seen: list[Any] = []
    is_up = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal is_up
        if scope["type"] == "http":
            seen.append((is_up, scope["state"]))
            await asyncio.sleep(0)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await receive()
        assert kochava.runtime.inbox is None
        is_up, scope["state"]["pool"] = True, "open"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        is_up = False
        await send({"type": "lifespan.shutdown.complete"})

    host = Host("asgi", Endpoint(), KochavaMiddleware.from_dict(SETTINGS, store=store), store, clock)
    host.app = KochavaASGIMiddleware(app, kochava=kochava, store_first=True)
    await lifespan(host.app, lambda: host.post(body_of("ann", "bob")))
    assert [(True, {"pool": "open"})] * 2 == seen
