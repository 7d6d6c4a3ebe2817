"""Everything that a person will see passes the send chain exactly once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import RegistrationError, WindowClosedError
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.outgoing import Endpoint, Outgoing
from kochava_bot_middleware.messenger.send_api import AsyncBot
from tests.messenger.local_graph import LocalGraph, StillClock, Watcher

ARGUMENTS: dict[str, Any] = {
    "recipient_id": "77",
    "user_id": "77",
    "message": {"text": "hi"},
    "text": "hi",
    "action": "typing_on",
    "payload": {"recipient": {"id": "77"}, "message": {"text": "hi"}},
    "requests": [{"method": "POST", "relative_url": "me/messages", "body": "message={}"}],
    "attachment_type": "image",
    "attachment_id": "9",
    "message_id": "m_1",
    "ad_account_id": "7",
    "subscription_token": "sub-1",
    "source": b"data",
    "name": "Ann",
    "fields": ["get_started"],
    "gs_obj": {},
    "pm_obj": {},
    "profile": {},
    "receipt": {},
    "coupon": {},
}
"""What to call a method's required parameters with; by name, else by the end of the name."""

LOOK_UPS = {
    "call",
    "delete_persona",
    "extend_thread_control",
    "get_messenger_profile",
    "get_persona",
    "get_thread_owner",
    "get_user_info",
    "get_user_menu",
    "get_user_profile",
    "list_personas",
    "pass_thread_control",
    "release_thread_control",
    "request_thread_control",
    "take_thread_control",
    "unsubscribe_from_marketing_messages",
}
"""Nobody will see anything of these."""


def _public_methods() -> list[str]:
    members = inspect.getmembers(AsyncBot, inspect.iscoroutinefunction)
    return [name for name, _ in members if not name.startswith("_") and name not in LOOK_UPS | {"close", "send"}]


def _argument(name: str) -> Any:
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    if name.endswith("_path"):
        return b"data"
    return "https://a.example/x" if name.endswith("_url") else [{"title": "x"}]


async def _call(method: Callable[..., Awaitable[Any]]) -> Any:
    required = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    extra = {"comment_id": "c1"} if "comment_id" in inspect.signature(method).parameters else {}
    return await method(**{name: _argument(name) for name in required}, **extra)


def test_all_send_methods_are_enumerated() -> None:
    """The tests below include each send method of both pymessenger releases, and all are asynchronous."""
    named = {
        *("send_raw", "send_message", "send_recipient", "send_text_message", "send_generic_message"),
        *("send_button_message", "send_action", "send_attachment", "send_attachment_url", "upload_attachment"),
        *(f"send_{kind}{end}" for kind in ("image", "audio", "video", "file") for end in ("", "_url")),
        *("set_get_started", "set_persistent_menu", "remove_get_started", "remove_persistent_menu"),
        *("set_messenger_profile", "delete_messenger_profile", "set_user_menu", "delete_user_menu", "send_batch"),
    }
    synchronous = [
        name
        for name, _ in inspect.getmembers(AsyncBot, inspect.isfunction)
        if name.startswith(("send_", "_send_payload")) and not inspect.iscoroutinefunction(getattr(AsyncBot, name))
    ]

    assert set() == named - set(_public_methods())
    assert [] == synchronous


@pytest.mark.parametrize("name", _public_methods())
async def test_method_passes_the_chain_exactly_once(graph: LocalGraph, name: str) -> None:
    """A middleware sees each send once, and there is one request."""
    watcher = Watcher()
    bot = graph.bot(page_id="P1", middlewares=[watcher])

    await _call(getattr(bot, name))

    assert (1, 1) == (len(watcher.seen), len(graph.seen))
    assert "P1" == watcher.seen[0].page_id
    path = graph.seen[0].path.removeprefix(f"/v26.0/{watcher.seen[0].node or 'me'}/")
    assert path.rstrip("/") in {watcher.seen[0].endpoint, "/v26.0"}


@pytest.mark.parametrize("option", ["creative", "tracker"])
@pytest.mark.parametrize("name", _public_methods())
async def test_what_is_for_tracking_is_not_in_the_body(graph: LocalGraph, name: str, option: str) -> None:
    """The chain gets it and Facebook does not."""
    method = getattr(graph.bot(middlewares=[watcher := Watcher()]), name)
    parameters = inspect.signature(method).parameters
    if option not in parameters and "options" not in parameters:
        return

    async def marked(**arguments: Any) -> Any:
        return await method(**arguments, **{option: "greet_b"})

    marked.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    await _call(marked)

    assert "greet_b" == getattr(watcher.seen[0], option)
    assert "greet_b" not in str(graph.seen[0])


@pytest.mark.parametrize("name", _public_methods())
def test_greeting_and_tracker_are_options_of_the_same_methods(name: str) -> None:
    """Of all that send one message to one person, and of no other."""
    parameters = inspect.signature(getattr(AsyncBot, name)).parameters
    assert ("greeting" in parameters) == ("tracker" in parameters)
    if "greeting" not in parameters and "options" not in parameters:
        assert not name.startswith("send_") or name == "send_batch"


async def test_first_middleware_is_outermost(graph: LocalGraph) -> None:
    """Layers run in the order in which they were added, which is also that of the list."""
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        async def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            order.append(self.name)
            return await call_next(outgoing)

    first, second = Named("first"), Named("second")
    bot = graph.bot(middlewares=[first])
    bot.add_middleware(second)
    await bot.send_text_message("77", "hi")

    assert ["first", "second"] == order
    assert (first, second) == bot.middlewares


async def test_body_changed_by_a_middleware_is_sent(graph: LocalGraph) -> None:
    """The original is not changed."""

    class Shouting:
        async def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            return await call_next(attrs.evolve(outgoing, body={**outgoing.body, "message": {"text": "HI"}}))

    message = {"text": "hi"}
    await graph.bot(middlewares=[Shouting()]).send_message("77", message)

    assert {"text": "HI"} == graph.seen[0].body["message"]
    assert {"text": "hi"} == message


async def test_middleware_may_answer_itself(graph: LocalGraph) -> None:
    """Without call_next nothing is sent, and the caller gets the middleware's answer."""

    class Silent:
        async def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            return {"kept": True}

    answer = await graph.bot(middlewares=[Silent()]).send_text_message("77", "hi")

    assert ({"kept": True}, []) == (answer, graph.seen)


async def test_chain_sees_the_typed_error(graph: LocalGraph) -> None:
    """A middleware gets the exception, although the pymessenger method returns the error body."""
    caught: list[Exception] = []

    class Curious:
        async def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            try:
                return await call_next(outgoing)
            except WindowClosedError as error:
                caught.append(error)
                raise

    graph.will_refuse(10, 2018278)
    answer = await graph.bot(middlewares=[Curious()]).send_text_message("77", "hi")

    assert 1 == len(caught)
    assert 10 == answer["error"]["code"]


async def test_middleware_may_send_an_upload_twice(graph: LocalGraph) -> None:
    """A second call of call_next sends the whole file again."""

    class Twice:
        async def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            await call_next(outgoing)
            return await call_next(outgoing)

    await graph.bot(middlewares=[Twice()]).send_image("77", b"pixels")

    assert [b"pixels", b"pixels"] == [request.fields["filedata"].content for request in graph.seen]


async def test_outgoing_has_endpoint_and_recipient(graph: LocalGraph) -> None:
    """The recipient is read from the body, the channel is the bot's."""
    watcher = Watcher()
    bot = graph.bot(channel=Channel.INSTAGRAM, middlewares=[watcher])

    await bot.send_image_url("77", "https://a.example/i.png")
    await bot.set_user_menu("78", [])

    assert [("77", Endpoint.MESSAGES), ("78", Endpoint.CUSTOM_USER_SETTINGS)] == [
        (outgoing.recipient.user_id, outgoing.endpoint) for outgoing in watcher.seen
    ]
    assert Channel.INSTAGRAM is watcher.seen[0].channel


def test_middleware_that_cannot_work_is_refused() -> None:
    """A synchronous send method is refused when it is added."""

    class Sync:
        def send(self, outgoing: Outgoing, call_next: Any) -> Any:
            return call_next(outgoing)

    with pytest.raises(RegistrationError):
        AsyncBot("token", middlewares=[Sync()])


async def test_concurrent_sends_pass_the_chain_once_each(graph: LocalGraph) -> None:
    """Fifty concurrent sends pass the chain fifty times, each with its own recipient."""
    watcher = Watcher()
    bot = graph.bot(middlewares=[watcher], clock=StillClock())

    await asyncio.gather(*(bot.send_text_message(str(number), "hi") for number in range(50)))

    sent = {request.body["recipient"]["id"] for request in graph.seen}
    assert {str(number) for number in range(50)} == {outgoing.recipient.user_id for outgoing in watcher.seen} == sent
    assert 50 == len(watcher.seen)


async def test_send_from_a_thread_passes_the_chain(graph: LocalGraph) -> None:
    """A worker thread can send through the bot's loop."""
    watcher = Watcher()
    bot = graph.bot(middlewares=[watcher])
    loop = asyncio.get_running_loop()

    def work() -> Any:
        return asyncio.run_coroutine_threadsafe(bot.send_text_message("77", "hi"), loop).result(timeout=10)

    answer = await asyncio.to_thread(work)

    assert ("m_1", 1) == (answer["message_id"], len(watcher.seen))
