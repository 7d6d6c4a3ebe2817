"""Webhooks of an ASGI application, called with ASGI messages."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import KochavaMiddleware, RegistrationError, SyncKochava
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware, Message, Receive, Scope, Send
from kochava_bot_middleware.store.memory import MemoryStore
from tests.integrations.webhooks import body_of, kochava_on, recorded, signature_of


class ClosedStore(MemoryStore):
    """A store that cannot be opened."""

    async def open(self) -> None:
        msg = "the disk is full"
        raise StoreUnavailable(msg)


@attrs.define
class App:
    """An ASGI application that reads the whole body, answers, and goes on."""

    status: int = 200
    kochava: KochavaMiddleware | None = None
    bodies: list[bytes] = attrs.field(factory=list)
    received: list[Receive] = attrs.field(factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = self.webhook
        self.received.append(receive)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.webhook(send)

    async def webhook(self, send: Send) -> None:
        if self.kochava is not None:
            await self.kochava.track("Before", user_id="ann")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"EVENT_", "more_body": True})
        await send({"type": "http.response.body", "body": b"RECEIVED"})
        if self.kochava is not None:
            await self.kochava.track("After", user_id="ann")


def scope_of(body: bytes, *, path: str = "/webhook", signature: str | None = None, **more: Any) -> Scope:
    headers = [(b"X-Hub-Signature-256", (signature or signature_of(body)).encode())]
    return {"type": "http", "method": "POST", "path": path, "root_path": "", "headers": headers, **more}


async def ask(app: Any, scope: Scope, *parts: bytes) -> list[Message]:
    """What is answered to a request whose body comes in *parts*."""
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent


def answer_of(sent: Sequence[Message]) -> tuple[int, bytes]:
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


async def test_the_messages_of_the_answer_pass_as_they_are() -> None:
    """Those that the application sends without the middleware."""
    body = body_of("ann")
    plain = await ask(App(), scope_of(body), body)
    assert plain == await ask(KochavaASGIMiddleware(App(), kochava=kochava_on()), scope_of(body), body)


async def test_all_is_stored_before_the_answer_leaves() -> None:
    """The event and what the endpoint tracked; what a task tracks after the answer is stored at its end."""
    store = MemoryStore()
    kochava = kochava_on(store)
    body = body_of("ann", "bob")
    stored_at_answer: list[set[str]] = []

    async def send(_message: Message) -> None:
        stored_at_answer.append({name for _, name, _ in await recorded(store)})

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    await KochavaASGIMiddleware(App(kochava=kochava), kochava=kochava)(scope_of(body), receive, send)
    assert {"Message", "Before"} == stored_at_answer[0]
    assert {"Message", "Before", "After"} == {name for _, name, _ in await recorded(store)}


async def test_the_endpoint_is_the_handler() -> None:
    """As the framework names it while it routes."""
    store = MemoryStore()
    body = body_of("ann")
    await ask(KochavaASGIMiddleware(App(), kochava=kochava_on(store)), scope_of(body), body)
    await ask(
        KochavaASGIMiddleware(App(), kochava=kochava_on(store), handler="bot"), scope_of(body_of("bob")), body_of("bob")
    )
    assert ["webhook", "bot"] == [data["handler"] for _, _, data in await recorded(store)]


@pytest.mark.parametrize("raised", [True, False])
async def test_an_endpoint_that_fails_fails_as_before(raised: bool) -> None:
    """Its event is recorded, as not handled."""
    store = MemoryStore()
    body = body_of("ann")

    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        if raised:
            raise ZeroDivisionError
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"oh"})

    app = KochavaASGIMiddleware(broken, kochava=kochava_on(store))
    if raised:
        with pytest.raises(ZeroDivisionError):
            await ask(app, scope_of(body), body)
    else:
        assert (500, b"oh") == answer_of(await ask(app, scope_of(body), body))
    ((_, _, data),) = await recorded(store)
    assert data["handled"] is False


@pytest.mark.parametrize(
    ("path", "root_path", "is_tracked"),
    [
        ("/webhook", "", True),
        ("/webhook/", "", True),
        ("/api/webhook", "/api", True),
        ("/webhook", "/api", True),
        ("//webhook", "", True),
        ("/webhooks", "", False),
        ("/api/webhook", "", False),
        ("/", "", False),
    ],
)
async def test_the_path_is_that_of_the_webhook(path: str, root_path: str, is_tracked: bool) -> None:
    """With or without the prefix at which a server mounts the application."""
    store = MemoryStore()
    body = body_of("ann")
    app = KochavaASGIMiddleware(App(), kochava=kochava_on(store))
    await ask(app, scope_of(body, path=path, root_path=root_path), body)
    assert is_tracked == bool(await recorded(store))


async def test_the_path_may_have_the_prefix_that_a_proxy_takes_away() -> None:
    """It is what Facebook requests; the framework tells the prefix apart from the rest."""
    store = MemoryStore()
    body = body_of("ann")
    app = KochavaASGIMiddleware(App(), kochava=kochava_on(store), path="/api/webhook")
    await ask(app, scope_of(body, path="/webhook", root_path="/api"), body)
    assert await recorded(store)


@pytest.mark.parametrize("path", ["webhook", "", None])
def test_a_path_that_no_request_has_is_refused(path: Any) -> None:
    """At once."""
    with pytest.raises(RegistrationError, match="`path` is the path of the webhook"):
        KochavaASGIMiddleware(App(), kochava=kochava_on(), path=path)


def test_the_synchronous_twin_is_refused() -> None:
    """The message says what is wanted."""
    with pytest.raises(RegistrationError, match="wanted KochavaMiddleware, got SyncKochava"):
        KochavaASGIMiddleware(App(), kochava=SyncKochava(kochava_on()))  # type: ignore[arg-type]


async def test_another_route_is_not_touched() -> None:
    """It has the server's own callables."""
    app = App()

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_message: Message) -> None:
        pass

    await KochavaASGIMiddleware(app, kochava=kochava_on())(scope_of(b"", path="/upload"), receive, send)
    assert [receive] == app.received


async def test_an_upload_of_20_mb_on_another_route_costs_no_memory() -> None:
    """Its parts pass one by one."""
    left = 320
    seen = 0

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": bytes(65536), "more_body": left > 0}

    async def upload(_scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal seen
        more = True
        while more:
            message = await receive()
            seen, more = seen + len(message["body"]), message["more_body"]

    async def send(_message: Message) -> None:
        pass

    app = KochavaASGIMiddleware(upload, kochava=kochava_on())
    tracemalloc.start()
    try:
        await app(scope_of(b"", path="/upload"), receive, send)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 320 * 65536 == seen
    assert peak < 2_000_000


async def test_verification_passes() -> None:
    """The endpoint answers the challenge."""
    app = App()
    scope = {**scope_of(b""), "method": "GET"}
    assert (200, b"EVENT_RECEIVED") == answer_of(
        await ask(KochavaASGIMiddleware(app, kochava=kochava_on()), scope, b"")
    )


@pytest.mark.parametrize("body", [b"", b"no JSON \xff\x00", b"[]", b'{"a": 1}', b'{"object": "page"}'])
@pytest.mark.parametrize("secret", ["s", None])
async def test_a_body_that_is_no_webhook_passes_byte_for_byte(body: bytes, secret: str | None) -> None:
    """The endpoint says what to answer."""
    app = App()
    await ask(KochavaASGIMiddleware(app, kochava=kochava_on(app_secret=secret)), scope_of(body), body)
    assert [body] == app.bodies


@pytest.mark.parametrize("body", [body_of("ann"), b"no JSON"])
async def test_a_wrong_signature_never_reaches_the_endpoint(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is anything recorded."""
    store, app = MemoryStore(), App()
    wrapped = KochavaASGIMiddleware(app, kochava=kochava_on(store))
    status, _ = answer_of(await ask(wrapped, scope_of(body, signature=signature_of(body, "guess")), body))
    assert (403, [], []) == (status, app.bodies, list(await recorded(store)))
    assert caplog.messages[0].startswith("webhook_refused 403 the signature was made with another app secret")


async def test_without_a_secret_the_endpoint_has_checked_it() -> None:
    """What it refuses is not recorded."""
    store, body = MemoryStore(), body_of("ann")
    wrapped = KochavaASGIMiddleware(App(status=403), kochava=kochava_on(store, app_secret=None))
    await ask(wrapped, scope_of(body, signature="sha256=0"), body)
    assert [] == await recorded(store)


async def test_a_webhook_that_does_not_arrive_is_dropped_after_a_time_out() -> None:
    """The endpoint does not see a part of it."""
    app = App()
    wrapped = KochavaASGIMiddleware(app, kochava=kochava_on(), body_timeout_seconds=0.01)
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await asyncio.get_running_loop().create_future()
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(wrapped(scope_of(b""), receive, send), 20)
    assert (408, b"the body did not arrive in time") == answer_of(sent)
    assert [] == app.bodies


async def test_a_client_that_goes_away_is_forgotten() -> None:
    """Nobody waits for an answer."""
    app, store = App(), MemoryStore()
    messages: list[Message] = [
        {"type": "http.request", "body": body_of("ann"), "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await KochavaASGIMiddleware(app, kochava=kochava_on(store))(scope_of(body_of("ann")), receive, send)
    assert ([], [], []) == (sent, app.bodies, list(await recorded(store)))


@pytest.mark.parametrize("more", [{}, {"headers": [(b"content-length", b"101")]}])
async def test_a_body_over_the_limit_is_refused(more: Any) -> None:
    """As it says, or as it comes."""
    app = App()
    wrapped = KochavaASGIMiddleware(app, kochava=kochava_on(), max_body_bytes=100)
    status, text = answer_of(await ask(wrapped, {**scope_of(b""), **more}, bytes(60), bytes(41), b"never read"))
    assert (413, b"the body is larger than 100 bytes", []) == (status, text, app.bodies)


async def test_after_the_body_the_endpoint_learns_that_the_client_went_away() -> None:
    """As without the middleware."""
    seen: list[str] = []

    async def patient(_scope: Scope, receive: Receive, _send: Send) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    await ask(KochavaASGIMiddleware(patient, kochava=kochava_on()), scope_of(body_of("ann")), body_of("ann"))
    assert ["http.request", "http.disconnect"] == seen


# The lifespan


async def lifespan(app: Any) -> list[str]:
    """What is answered to startup and shutdown."""
    asked = ["lifespan.startup", "lifespan.shutdown"]
    answers: list[str] = []

    async def receive() -> Message:
        return {"type": asked.pop(0)}

    async def send(message: Message) -> None:
        answers.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    return answers


BOTH = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_lifespan_starts_before_the_application_and_stops_after_it() -> None:
    """So that what the application does at its own start and end is recorded."""
    kochava = kochava_on()
    states: list[bool] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        for name in ("startup", "shutdown"):
            assert f"lifespan.{name}" == (await receive())["type"]
            states.append(kochava.runtime.is_started)
            await send({"type": f"lifespan.{name}.complete"})

    assert BOTH == await lifespan(KochavaASGIMiddleware(app, kochava=kochava))
    assert ([True, True], False) == (states, kochava.runtime.is_started)


@pytest.mark.parametrize("raises", [True, False])
async def test_an_application_without_lifespan_gets_one(raises: bool) -> None:
    """As that of Django, which raises."""
    kochava = kochava_on()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        if raises:
            msg = "only HTTP"
            raise ValueError(msg)

    assert BOTH == await lifespan(KochavaASGIMiddleware(app, kochava=kochava))
    assert kochava.runtime.is_stopped


async def test_a_store_that_cannot_be_opened_fails_the_startup() -> None:
    """The server says why."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await KochavaASGIMiddleware(App(), kochava=kochava_on(ClosedStore()))({"type": "lifespan"}, receive, send)
    assert [{"type": "lifespan.startup.failed", "message": "the disk is full"}] == sent


async def test_an_application_that_fails_to_start_fails_as_before() -> None:
    """And leaves nothing running."""
    kochava = kochava_on()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await lifespan(KochavaASGIMiddleware(app, kochava=kochava))
    assert kochava.runtime.is_stopped


async def test_without_a_lifespan_the_first_webhook_starts_it() -> None:
    """Some servers have none."""
    kochava, body = kochava_on(), body_of("ann")
    await ask(KochavaASGIMiddleware(App(), kochava=kochava), scope_of(body), body)
    assert kochava.runtime.is_started
    await kochava.stop()


async def test_what_the_first_webhook_starts_does_not_belong_to_it() -> None:
    """Its context is that of no request."""
    request: ContextVar[str] = ContextVar("request", default="none")
    seen: list[str] = []

    class Noting(MemoryStore):
        async def open(self) -> None:
            seen.append(request.get())

    kochava, body = kochava_on(Noting()), body_of("ann")
    request.set("ann's")
    await ask(KochavaASGIMiddleware(App(), kochava=kochava), scope_of(body), body)
    assert ["none"] == seen
    await kochava.stop()


async def test_a_store_that_cannot_be_opened_does_not_keep_the_webhook_from_its_endpoint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says why nothing is delivered."""
    app, body = App(), body_of("ann")
    await ask(KochavaASGIMiddleware(app, kochava=kochava_on(ClosedStore())), scope_of(body), body)
    assert [body] == app.bodies
    assert "tracking_failed webhook the disk is full" in caplog.messages


async def test_in_a_second_event_loop_the_webhook_passes_untracked(caplog: pytest.LogCaptureFixture) -> None:
    """As with test clients that begin a loop for each request."""
    app, body = App(), body_of("ann")
    kochava = kochava_on()
    await kochava.start()
    wrapped = KochavaASGIMiddleware(app, kochava=kochava)
    answer = await asyncio.to_thread(asyncio.run, ask(wrapped, scope_of(body), body))
    assert (200, b"EVENT_RECEIVED") == answer_of(answer)
    assert "from other threads and loops call `kochava.sync`" in caplog.text
    await kochava.stop()
