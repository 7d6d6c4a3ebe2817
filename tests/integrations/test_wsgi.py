"""Webhooks of a WSGI application, called as a server calls it."""

from __future__ import annotations

import asyncio
import io
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import RegistrationError, SyncKochava
from kochava_bot_middleware.integrations.wsgi import Environ, KochavaWSGIMiddleware, StartResponse
from kochava_bot_middleware.store.memory import MemoryStore
from tests.integrations.webhooks import SETTINGS, body_of, recorded, signature_of

HEADERS = [("Content-Type", "text/plain"), ("X-Own", "1")]


@attrs.define
class App:
    """A WSGI application that reads the whole body, and answers."""

    status: str = "200 OK"
    on_call: Callable[[], object] = lambda: None
    bodies: list[bytes] = attrs.field(factory=list)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.bodies.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or -1)))
        self.on_call()
        start_response(self.status, HEADERS)
        return [b"EVENT_", b"RECEIVED"]


class NothingComes(io.RawIOBase):
    """The body of a client that sends no more."""

    def __init__(self, error: type[Exception] | None) -> None:
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        if self._error is not None:
            raise self._error
        return b""


def environ_of(body: bytes, *, path: str = "/webhook", **more: Any) -> Environ:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_HUB_SIGNATURE_256": signature_of(body),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        **more,
    }


def ask(app: Any, environ: Environ) -> tuple[str, Any, list[bytes]]:
    """Status, headers and chunks of the answer, as a server takes them."""
    started: list[tuple[str, Any]] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: Any, _exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return chunks.append

    answer = app(environ, start_response)
    try:
        chunks += answer
    finally:
        if hasattr(answer, "close"):
            answer.close()
    ((status, headers),) = started
    return status, headers, chunks


def in_store(store: MemoryStore) -> list[tuple[str, str, Any]]:
    return list(asyncio.run(recorded(store)))


@pytest.fixture
def store() -> MemoryStore:
    """Where the records are."""
    return MemoryStore()


@pytest.fixture
def kochava(store: MemoryStore) -> Iterator[SyncKochava]:
    """Not started yet."""
    made = SyncKochava.from_dict(SETTINGS, store=store)
    yield made
    made.stop()


def test_the_answer_is_that_of_the_application(kochava: SyncKochava) -> None:
    """Also its chunks are."""
    plain = ask(App(), environ_of(body_of("ann")))
    assert plain == ask(KochavaWSGIMiddleware(App(), kochava=kochava), environ_of(body_of("ann")))


def test_all_is_stored_before_the_answer_leaves(kochava: SyncKochava, store: MemoryStore) -> None:
    """The events, and what the endpoint tracked."""
    app = App(on_call=lambda: kochava.track("Question", user_id="ann"))
    stored: list[list[str]] = []

    def start_response(_status: str, _headers: Any) -> None:
        stored.append([name for _, name, _ in in_store(store)])

    KochavaWSGIMiddleware(app, kochava=kochava)(environ_of(body_of("ann", "bob")), start_response)
    assert [["Question", "Message"]] == stored


def test_a_generator_is_run_before_the_answer_leaves(kochava: SyncKochava, store: MemoryStore) -> None:
    """Though it begins to answer only then; and the server closes it."""
    closed: list[bool] = []

    def lazy(_environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        try:
            kochava.track("Question", user_id="ann")
            start_response("200 OK", HEADERS)
            yield b"done"
            kochava.track("Later", user_id="ann")
        finally:
            closed.append(True)

    assert ("200 OK", HEADERS, [b"done"]) == ask(
        KochavaWSGIMiddleware(lazy, kochava=kochava), environ_of(body_of("ann"))
    )
    assert ["Question", "Later"] == [name for _, name, _ in in_store(store)]
    assert [True] == closed


def test_an_application_may_write_its_answer(kochava: SyncKochava) -> None:
    """With the callable that ``start_response`` returns."""

    def writing(_environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", HEADERS)(b"EVENT_")
        return [b"RECEIVED"]

    _, _, chunks = ask(KochavaWSGIMiddleware(writing, kochava=kochava), environ_of(body_of("ann")))
    assert [b"EVENT_", b"RECEIVED"] == chunks


def test_the_answer_is_closed_when_making_it_fails(kochava: SyncKochava, store: MemoryStore) -> None:
    """The error passes, and the event is recorded as not handled."""

    class Broken:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            raise ZeroDivisionError

        def close(self) -> None:
            self.closed = True

    broken = Broken()
    app = KochavaWSGIMiddleware(lambda _environ, _start: broken, kochava=kochava)
    with pytest.raises(ZeroDivisionError):
        ask(app, environ_of(body_of("ann")))
    ((_, _, data),) = in_store(store)
    assert (True, False) == (broken.closed, data["handled"])


@pytest.mark.parametrize(("status", "handled"), [("200 OK", True), ("500 Oh", False), ("403 No", None)])
def test_the_status_says_whether_the_events_were_handled(
    kochava: SyncKochava, store: MemoryStore, status: str, handled: bool | None
) -> None:
    """Those that the endpoint refused are not recorded."""
    ask(KochavaWSGIMiddleware(App(status=status), kochava=kochava), environ_of(body_of("ann")))
    assert [handled] * (handled is not None) == [data["handled"] for _, _, data in in_store(store)]


@pytest.mark.parametrize(
    ("more", "is_tracked"),
    [
        ({"PATH_INFO": "/webhook/"}, True),
        ({"SCRIPT_NAME": "/api", "PATH_INFO": "/webhook"}, True),
        ({"SCRIPT_NAME": "/webhook", "PATH_INFO": ""}, True),
        ({"PATH_INFO": "//webhook"}, True),
        ({"PATH_INFO": "/webhooks"}, False),
        ({"REQUEST_METHOD": "PUT"}, False),
    ],
)
def test_the_path_is_that_of_the_webhook(kochava: SyncKochava, store: MemoryStore, more: Any, is_tracked: bool) -> None:
    """With or without the prefix at which a server mounts the application."""
    ask(KochavaWSGIMiddleware(App(), kochava=kochava), {**environ_of(body_of("ann")), **more})
    assert is_tracked == bool(in_store(store))


def test_the_handler_may_be_named(kochava: SyncKochava, store: MemoryStore) -> None:
    """Not every framework says it."""
    ask(KochavaWSGIMiddleware(App(), kochava=kochava, handler="bot"), environ_of(body_of("ann")))
    ((_, _, data),) = in_store(store)
    assert "bot" == data["handler"]


def test_an_upload_of_20_mb_on_another_route_is_not_touched(kochava: SyncKochava) -> None:
    """Its stream is that of the server, and nothing of it is kept."""

    class Upload:
        left = 20_000_000

        def read(self, size: int) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    upload = Upload()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["wsgi.input"] is upload
        while environ["wsgi.input"].read(65536):
            pass
        start_response("200 OK", [])
        return []

    environ = {**environ_of(b"", path="/upload"), "wsgi.input": upload, "CONTENT_LENGTH": "20000000"}
    tracemalloc.start()
    try:
        ask(KochavaWSGIMiddleware(app, kochava=kochava), environ)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 == upload.left
    assert peak < 2_000_000


@pytest.mark.parametrize("body", [b"", b"no JSON \xff\x00", b"[]", b'{"object": "page"}'])
def test_a_body_that_is_no_webhook_passes_byte_for_byte(kochava: SyncKochava, body: bytes) -> None:
    """The endpoint says what to answer."""
    app = App()
    ask(KochavaWSGIMiddleware(app, kochava=kochava), environ_of(body))
    assert [body] == app.bodies


def test_a_wrong_signature_never_reaches_the_endpoint(kochava: SyncKochava, store: MemoryStore) -> None:
    """Nor is anything recorded."""
    app = App()
    environ = {**environ_of(body_of("ann")), "HTTP_X_HUB_SIGNATURE_256": signature_of(b"other")}
    status, _, _ = ask(KochavaWSGIMiddleware(app, kochava=kochava), environ)
    assert ("403 Forbidden", [], []) == (status, app.bodies, in_store(store))


def test_a_webhook_without_a_signature_never_reaches_the_endpoint(kochava: SyncKochava) -> None:
    """The text says what is missing."""
    environ = environ_of(body_of("ann"))
    del environ["HTTP_X_HUB_SIGNATURE_256"]
    status, _, chunks = ask(KochavaWSGIMiddleware(App(), kochava=kochava), environ)
    assert ("403 Forbidden", [b"the request has no X-Hub-Signature-256 header"]) == (status, chunks)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"wsgi.input": NothingComes(None)}, "400 Bad Request"),
        ({"wsgi.input": NothingComes(ConnectionResetError)}, "400 Bad Request"),
        ({"wsgi.input": NothingComes(TimeoutError)}, "408 Request Timeout"),
        ({"CONTENT_LENGTH": "many"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "4194305"}, "413 Request Entity Too Large"),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(bytes(4194305))}, "413 "),
    ],
)
def test_a_webhook_that_does_not_arrive_whole_is_dropped(kochava: SyncKochava, more: Any, status: str) -> None:
    """The endpoint does not see a part of it."""
    app = App()
    answered, _, _ = ask(KochavaWSGIMiddleware(app, kochava=kochava), {**environ_of(body_of("ann")), **more})
    assert answered.startswith(status[:4])
    assert [] == app.bodies


def test_a_half_sent_webhook_is_dropped_after_a_time_out(kochava: SyncKochava) -> None:
    """Where the server gives the connection, whose own time-out is put back."""
    app, (ours, theirs) = App(), socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b"{")
        # Without a time-out, the body is cut off then.
        end = threading.Timer(20, theirs.shutdown, [socket.SHUT_RDWR])
        end.start()
        environ = {**environ_of(body_of("ann")), "wsgi.input": stream, "gunicorn.socket": ours}
        wrapped = KochavaWSGIMiddleware(app, kochava=kochava, body_timeout_seconds=0.01)
        status, _, _ = ask(wrapped, environ)
        end.cancel()
        assert ("408 Request Timeout", [], None) == (status, app.bodies, ours.gettimeout())


def test_a_body_without_a_length_is_read_to_its_end(kochava: SyncKochava, store: MemoryStore) -> None:
    """Where the server says that it has one."""
    more = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    app = App()
    ask(KochavaWSGIMiddleware(app, kochava=kochava), {**environ_of(body_of("ann")), **more})
    assert ([body_of("ann")], 1) == (app.bodies, len(in_store(store)))


def test_the_asynchronous_twin_is_refused(kochava: SyncKochava) -> None:
    """The message says what is wanted."""
    del kochava
    with pytest.raises(RegistrationError, match=r"pass `SyncKochava.from_dict\(…\)`"):
        KochavaWSGIMiddleware(App(), kochava=object())  # type: ignore[arg-type]


async def test_in_an_event_loop_the_webhook_passes_untracked(
    kochava: SyncKochava, caplog: pytest.LogCaptureFixture
) -> None:
    """It would block; the log says so."""
    app = App()
    ask(KochavaWSGIMiddleware(app, kochava=kochava), environ_of(body_of("ann")))
    assert [body_of("ann")] == app.bodies
    assert "would block the event loop" in caplog.text
    await asyncio.to_thread(kochava.stop)
