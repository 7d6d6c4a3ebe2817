"""Composing middlewares, and checking them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.chain import Layer, Middleware, check_middleware, compose, is_async_callable, layers_of
from kochava_bot_middleware.exceptions import RegistrationError

Next = Callable[[list[str]], Awaitable[list[str]]]


class Named:
    """Notes when a subject passes inwards and when the answer passes outwards."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def receive(self, subject: list[str], call_next: Next) -> list[str]:
        subject.append(f">{self.name}")
        answer = await call_next(subject)
        return [*answer, f"<{self.name}"]


async def innermost(subject: list[str]) -> list[str]:
    return [*subject, "core"]


async def test_first_layer_is_outermost() -> None:
    """It gets the subject first and the answer last."""
    layers: list[Layer[list[str], list[str]]] = layers_of([Named("a"), Named("b")], "receive")

    assert [">a", ">b", "core", "<b", "<a"] == await compose(layers, innermost)([])


def test_without_layers_the_innermost_is_the_chain() -> None:
    """It is not wrapped."""
    assert innermost is compose([], innermost)


async def test_layer_may_leave_out_the_rest() -> None:
    """What it returns is the answer."""

    async def drop(subject: list[str], call_next: Next) -> list[str]:
        return ["dropped"]

    assert ["dropped"] == await compose([drop], innermost)([])


async def test_layer_may_call_the_rest_again() -> None:
    """Each call runs the whole rest."""

    async def twice(subject: list[str], call_next: Next) -> list[str]:
        return [*await call_next(subject), *await call_next(subject)]

    assert ["x", "core", "x", "core"] == await compose([twice], innermost)(["x"])


def test_middlewares_without_a_direction_are_left_out() -> None:
    """Each direction may be left out."""
    assert [] == layers_of([Named("a")], "send")


class Marking(Middleware):
    async def receive(self, event: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        return ["marked", *await call_next(event)]


@pytest.mark.parametrize(("direction", "expected"), [("receive", ["marked", "x", "core"]), ("send", ["x", "core"])])
async def test_a_subclass_of_middleware_overrides_what_it_needs(direction: str, expected: list[str]) -> None:
    """The other direction passes through."""
    layers: list[Layer[list[str], list[str]]] = layers_of([Marking()], direction)

    assert expected == await compose(layers, innermost)(["x"])


def test_kochavas_own_layer_is_a_middleware() -> None:
    """For a type checker, too; and the object that has it is taken in its place."""
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": "memory://"})
    middleware: Middleware = kochava.chain_layer
    check_middleware(middleware)
    check_middleware(kochava)
    assert [middleware.send] == layers_of([kochava], "send")


class OnlyStart:
    async def start(self) -> None: ...


class SyncReceive:
    def receive(self, event: Any, call_next: Any) -> None: ...


class WithoutNext:
    async def receive(self, event: Any) -> None: ...


class SyncStop:
    async def receive(self, event: Any, call_next: Any) -> None: ...

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("middleware", "text"),
    [
        (OnlyStart(), "needs `async def receive` or `async def send`"),
        (SyncReceive(), "`receive` of middleware"),
        (WithoutNext(), r"must be `async def receive\(self, subject, call_next\)`"),
        (SyncStop(), "`stop` of middleware"),
        (Named, "not the class"),
        (innermost, "needs `async def receive`"),
    ],
)
def test_what_cannot_be_a_middleware_is_refused(middleware: object, text: str) -> None:
    """The message says what is missing."""
    with pytest.raises(RegistrationError, match=text):
        check_middleware(middleware)


class AsyncCall:
    async def __call__(self, subject: list[str]) -> list[str]:
        return subject


class SyncCall:
    def __call__(self, subject: list[str]) -> list[str]:
        return subject


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (innermost, True),
        (functools.partial(innermost, []), True),
        (AsyncCall(), True),
        (Named("a").receive, True),
        (SyncCall(), False),
        (AsyncCall, False),
        (len, False),
        (None, False),
        ("innermost", False),
    ],
)
def test_async_callables_are_recognised(candidate: object, expected: bool) -> None:
    """In each form that they may have."""
    assert expected is is_async_callable(candidate)
