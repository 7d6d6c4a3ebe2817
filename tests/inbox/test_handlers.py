"""Which handler answers which event, and what cannot be registered."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import RegistrationError
from kochava_bot_middleware.handling import REGISTERED
from kochava_bot_middleware.inbox.handlers import Handlers
from kochava_bot_middleware.messenger.events import Event, Kind
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import ITEMS, PAGE_ID, PERSON_ID, item, webhook


def event(name: str, *, standby: bool = False) -> Event:
    under = "standby" if standby else "changes" if "field" in ITEMS[name] else "messaging"
    (only,) = parse_webhook(webhook(ITEMS[name], under=under))
    return only


def says(text: str | None) -> Event:
    (only,) = parse_webhook(webhook(item(message={"mid": "m", "text": text})))
    return only


def handler(name: str = "handler") -> Callable[..., Any]:
    async def handle(event: Any, reply: Any) -> None: ...

    handle.__name__ = name
    return handle


@pytest.fixture
def bot() -> Handlers:
    return Handlers()


def found(bot: Handlers, event: Event) -> str | None:
    route = bot.router.find(event)
    return None if route is None else route.name


def test_exact_text_matches_the_whole_text_only(bot: Handlers) -> None:
    """Neither a part, nor another case."""
    bot.on_message("hello")(handler())

    assert ["handler", None, None, None] == [found(bot, says(text)) for text in ("hello", "hello you", "Hello", None)]


def test_regular_expression_is_searched_for(bot: Handlers) -> None:
    """Anywhere in the text, with its own flags."""
    bot.on_message(re.compile(r"\bshoes?\b", re.IGNORECASE))(handler())

    assert ["handler", "handler", None, None] == [
        found(bot, says(text)) for text in ("Shoes, please", "a shoe", "snowshoed", None)
    ]


def test_predicate_is_asked(bot: Handlers) -> None:
    """It sees the event."""
    bot.on_message(lambda event: len(event.text) > 3)(handler())

    assert ["handler", None] == [found(bot, says("long")), found(bot, says("abc"))]


def test_first_match_runs(bot: Handlers) -> None:
    """In the order of registration, not the most special one."""
    bot.on_message("a")(handler("first"))
    bot.on_message()(handler("second"))
    bot.on_message("b")(handler("third"))

    assert ["first", "second"] == [found(bot, says("a")), found(bot, says("b"))]


def test_without_a_match_nobody_answers(bot: Handlers) -> None:
    """That is no error."""
    assert found(bot, says("a")) is None


@pytest.mark.parametrize(
    ("register", "name"),
    [
        (Handlers.on_message, "message"),
        (Handlers.on_quick_reply, "quick_reply"),
        (Handlers.on_postback, "postback"),
        (Handlers.on_referral, "referral"),
        (Handlers.on_optin, "optin"),
        (Handlers.on_change, "change"),
    ],
)
def test_decorators_answer_their_own_kind(register: Callable[..., Any], name: str, bot: Handlers) -> None:
    """And no other."""
    register(bot)(handler())
    answered = {other for other in ITEMS if found(bot, event(other)) is not None}
    same_kind = {other for other in ITEMS if event(other).kind is event(name).kind}
    quick_replies = {"quick_reply"} if name == "message" else set()

    assert same_kind | quick_replies == answered


@pytest.mark.parametrize(
    ("register", "pattern", "name"),
    [
        (Handlers.on_quick_reply, "COLOR_RED", "quick_reply"),
        (Handlers.on_postback, "GET_STARTED", "postback"),
        (Handlers.on_referral, "summer", "referral"),
        (Handlers.on_optin, "WEEKLY", "optin_notification_messages"),
        (Handlers.on_change, "feed", "change"),
    ],
)
def test_pattern_is_compared_with_what_the_decorator_says(
    register: Callable[..., Any], pattern: str, name: str, bot: Handlers
) -> None:
    """Payload, ref or field."""
    register(bot, "something else")(handler("wrong"))
    register(bot, pattern)(handler("right"))

    assert "right" == found(bot, event(name))


def test_quick_reply_handlers_come_before_message_handlers(bot: Handlers) -> None:
    """Though those were registered earlier."""
    bot.on_message()(handler("message"))
    bot.on_quick_reply("COLOR_RED")(handler("quick reply"))

    assert "quick reply" == found(bot, event("quick_reply"))


def test_quick_reply_falls_back_to_message_handlers(bot: Handlers) -> None:
    """With its title as text."""
    bot.on_quick_reply("OTHER")(handler("other"))
    bot.on_message("Blue")(handler("blue"))
    bot.on_message("Red")(handler("red"))

    assert "red" == found(bot, event("quick_reply"))


def test_quick_reply_falls_back_in_order_of_registration(bot: Handlers) -> None:
    """A handler for everything does not overtake an earlier one for messages."""
    bot.on_message()(handler("message"))
    bot.on_event()(handler("everything"))

    assert "message" == found(bot, event("quick_reply"))


def test_typed_message_never_reaches_quick_reply_handlers(bot: Handlers) -> None:
    """Only a tap does."""
    bot.on_quick_reply()(handler())

    assert found(bot, says("Red")) is None


@pytest.mark.parametrize("name", ["echo", "read", "delivery", "message_edit", "message_deleted", "message_unsupported"])
def test_what_is_no_message_never_reaches_on_message(name: str, bot: Handlers) -> None:
    """Else a bot would answer itself."""
    bot.on_message()(handler())

    assert found(bot, event(name)) is None


@pytest.mark.parametrize("name", ["echo", "read", "delivery", "change"])
def test_what_comes_of_own_messages_reaches_only_who_names_it(name: str, bot: Handlers) -> None:
    """A handler for everything that answers would never come to an end."""
    bot.on_event()(handler("everything"))
    assert found(bot, event(name)) is None
    bot.on_event(name)(handler("named"))

    assert "named" == found(bot, event(name))


@pytest.mark.parametrize("name", ["message", "postback", "reaction", "account_linking", "unknown", "optin_checkbox"])
def test_handler_for_everything_gets_what_is_left(name: str, bot: Handlers) -> None:
    """Kinds of tomorrow, too."""
    bot.on_event()(handler("everything"))

    assert "everything" == found(bot, event(name))


def test_kinds_are_named_by_member_or_word(bot: Handlers) -> None:
    """Several at once."""
    bot.on_event(Kind.REACTION, "read")(handler())

    assert ["handler", "handler", None] == [found(bot, event(name)) for name in ("reaction", "read", "echo")]


@pytest.mark.parametrize("name", ["reaction", "read", "delivery", "postback", "message_edit", "order", "optin"])
def test_act_of_the_page_reaches_no_handler_of_a_persons_acts(bot: Handlers, name: str) -> None:
    """A handler would answer a person who did nothing."""
    bot.on_postback()(handler())
    bot.on_optin()(handler())
    bot.on_event(name)(handler())
    bot.on_event()(handler())
    own = {**ITEMS[name], "sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}}
    (only,) = parse_webhook(webhook(own))

    assert ["handler", None] == [found(bot, event(name)), found(bot, only)]


def test_echoes_reach_who_names_them(bot: Handlers) -> None:
    """They are acts of the Page by their kind."""
    bot.on_event(Kind.ECHO)(handler())
    assert "handler" == found(bot, event("echo"))


def test_unknown_act_of_the_page_reaches_who_names_the_kind(bot: Handlers) -> None:
    """Who answers everything would answer itself."""
    (only,) = parse_webhook(webhook({**ITEMS["unknown"], "sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}}))
    bot.on_event()(handler("everything"))
    assert ["everything", None] == [found(bot, event("unknown")), found(bot, only)]

    bot.on_event(Kind.UNKNOWN)(handler("unknown"))
    assert "unknown" == found(bot, only)


def test_standby_reaches_only_who_asks_for_it(bot: Handlers) -> None:
    """And who asks gets nothing else."""
    bot.on_message()(handler("ours"))
    bot.on_event()(handler("everything"))
    assert found(bot, event("message", standby=True)) is None
    bot.on_message(standby=True)(handler("theirs"))

    assert ["theirs", "ours"] == [found(bot, event("message", standby=True)), found(bot, event("message"))]


def test_who_asks_for_standby_gets_nothing_else(bot: Handlers) -> None:
    """Else the listener would answer in a thread that is the bot's own."""
    bot.on_message(standby=True)(handler("theirs"))
    assert found(bot, event("message")) is None


def test_postback_without_payload_matches_no_text(bot: Handlers) -> None:
    """In standby it is always missing."""
    bot.on_postback("GET_STARTED")(handler("exact"))
    bot.on_postback(re.compile(""))(handler("any text"))
    (empty,) = parse_webhook(webhook(item(postback={"title": "Start"})))

    assert found(bot, empty) is None


def test_change_without_a_handler_is_not_wanted(bot: Handlers) -> None:
    """So it need not be stored."""
    bot.on_message()(handler())
    assert not bot.router.wants(event("change"))
    bot.on_change("feed")(handler())

    assert bot.router.wants(event("change"))


def test_pattern_that_raises_is_wanted(bot: Handlers) -> None:
    """Its error must come out where errors are handled."""
    bot.on_message(lambda event: event.nothing)(handler())

    assert bot.router.wants(says("a"))


class Shop:
    async def handle(self, event: Any, reply: Any) -> None: ...

    async def __call__(self, event: Any, reply: Any) -> None: ...


class Slotted:
    __slots__ = ()

    async def __call__(self, event: Any, reply: Any) -> None: ...


async def given_first(first: int, event: Any, reply: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (handler("plain"), "plain"),
        (Shop().handle, "handle"),
        (Shop(), "Shop"),
        (Slotted(), "Slotted"),
        (functools.partial(given_first, 1), "given_first"),
    ],
)
def test_decorators_return_the_same_object(function: Any, name: str, bot: Handlers) -> None:
    """Whatever async callable it is; its name is the one events carry."""
    assert function is bot.on_message()(function)
    assert name == found(bot, says("a"))


def test_registered_function_is_marked(bot: Handlers) -> None:
    """So that a decorator above, which would have no effect, can tell."""
    assert True is getattr(bot.on_message()(handler()), REGISTERED)


def sync_handler(event: Any, reply: Any) -> None: ...


def sync_error_handler(event: Any, reply: Any, error: Exception) -> None: ...


@pytest.mark.parametrize(
    "register",
    [
        Handlers.on_message,
        Handlers.on_quick_reply,
        Handlers.on_postback,
        Handlers.on_referral,
        Handlers.on_optin,
        Handlers.on_event,
        Handlers.on_change,
        Handlers.on_error,
    ],
)
def test_sync_handler_is_refused(register: Callable[..., Any], bot: Handlers) -> None:
    """It could not be awaited."""
    with pytest.raises(RegistrationError, match="`async def` function"):
        register(bot)(sync_handler)


async def takes_one(_subject: Any) -> None: ...


async def takes_any(*_subjects: Any) -> None: ...


def test_handler_of_other_arguments_is_refused(bot: Handlers) -> None:
    """It would fail on every event."""
    with pytest.raises(RegistrationError, match=r"\(event, reply\)"):
        bot.on_message()(takes_one)
    with pytest.raises(RegistrationError, match=r"\(event, reply, error\)"):
        bot.on_error(takes_one)
    bot.on_message()(takes_any)


@pytest.mark.parametrize("function", [handler(), sync_handler], ids=["async", "sync"])
@pytest.mark.parametrize(
    "decorator",
    ["on_message", "on_quick_reply", "on_postback", "on_referral", "on_optin", "on_event", "on_change"],
)
def test_missing_parentheses_are_told(decorator: str, function: Any, bot: Handlers) -> None:
    """Else the handler would silently be a pattern."""
    with pytest.raises(RegistrationError, match=rf"write `@bot\.{decorator}\(\)`, with parentheses"):
        getattr(bot, decorator)(function)


@pytest.mark.parametrize("pattern", [5, re.compile(b"bytes"), ["a", "b"]])
def test_pattern_of_unknown_form_is_refused(pattern: Any, bot: Handlers) -> None:
    """When it is registered, not when the first message comes."""
    with pytest.raises(RegistrationError):
        bot.on_message(pattern)


def test_unknown_kind_is_refused_with_all_that_exist(bot: Handlers) -> None:
    """A typing error is found at import."""
    with pytest.raises(RegistrationError, match="'postbak' is not a valid Kind; the kinds are message, quick_reply"):
        bot.on_event("postbak")


def test_error_handlers_are_kept_in_order(bot: Handlers) -> None:
    """With and without parentheses; each is returned unchanged."""

    async def first(event: Any, reply: Any, error: Exception) -> None: ...

    async def second(event: Any, reply: Any, error: Exception) -> None: ...

    assert (first, second) == (bot.on_error(first), bot.on_error()(second))
    assert (first, second) == bot.router.error_handlers
