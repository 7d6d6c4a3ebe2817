"""Decorators of handlers and of functions that they call."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from kochava_bot_middleware import MessengerBot, RegistrationError, TrackingError, events
from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.messenger.events import Event
from tests.tracking.tracked_bot import USER_ID, TrackedBot, tracked_bot


async def only_event(bot: TrackedBot) -> Engagement:
    (record,) = await bot.records()
    assert isinstance(record, Engagement)
    return record


async def test_a_decorated_handler_records_its_event_when_it_ends() -> None:
    """The handler's result passes through, and the event takes the place of the automatic one."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase", data={"sum": 100, "currency": "USD"})
    async def buy(event: Event) -> str:
        assert [] == await bot.records()
        return "sold"

    assert "sold" == await bot.handle(bot.message(), buy)
    event = await only_event(bot)
    assert ("Purchase", {"sum": 100, "currency": "USD"}, {"fb_user_id": USER_ID}) == (
        event.event_name,
        event.event_data,
        event.device_ids,
    )


async def test_a_plain_function_called_while_handling_records_too() -> None:
    """The decorator works on functions that are not async, and their callers see their results."""
    bot = tracked_bot()

    @bot.kochava.event("Price Shown", data=lambda event, result: {"price": result, "text": event.text})
    def price(shoe: str) -> int:
        return len(shoe) * 10

    async def handler(_event: Event) -> int:
        return price("sneaker")

    assert 70 == await bot.handle(bot.message("how much"), handler)
    assert [("Price Shown", {"price": 70, "text": "how much"})] == await bot.events()


async def test_an_instance_with_an_async_call_records_when_it_has_ended() -> None:
    """A callable object is awaited like a function."""
    bot = tracked_bot()

    class Checkout:
        ended = False

        async def __call__(self, _event: Event) -> str:
            await asyncio.sleep(0)
            self.ended = True
            return "ok"

    checkout = Checkout()
    handler = bot.kochava.event("Checkout", data=lambda _event, result: {"result": result})(checkout)

    assert "ok" == await bot.handle(bot.message(), handler)
    assert [("Checkout", {"result": "ok"})] == await bot.events()


async def test_a_raising_handler_records_no_named_event() -> None:
    """The error passes through, and the automatic event says that it was not handled."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase")
    async def buy(_event: Event) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await bot.handle(bot.message(), buy)
    event = await only_event(bot)
    assert ("Message", False) == (event.event_name, event.event_data["handled"])


async def test_an_event_that_is_always_recorded_is_recorded_after_an_error_too() -> None:
    """`when="always"`, with no result."""
    bot = tracked_bot()

    @bot.kochava.event("Tried", data=lambda _event, result: {"result": str(result)}, when="always")
    async def buy(_event: Event) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await bot.handle(bot.message(), buy)
    assert [("Tried", {"result": "None"})] == await bot.events()


async def test_a_failing_data_callable_keeps_the_event_and_the_handler() -> None:
    """The purchase is recorded without its data; the handler does not notice."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase", data=lambda event, _result: {"sum": event.no_such_field})
    async def buy(_event: Event) -> str:
        return "sold"

    assert "sold" == await bot.handle(bot.message(), buy)
    assert [("Purchase", None)] == await bot.events()


async def test_a_built_standard_event_brings_its_data() -> None:
    """`events.purchase(…)` in place of name and data, in both ways of recording."""
    bot = tracked_bot()
    bought = events.purchase(price=Decimal("12.50"), currency="EUR")

    @bot.kochava.event(bought)
    async def buy(_event: Event) -> None:
        await bot.kochava.track(bought)

    await bot.handle(bot.message(), buy)
    assert [("Purchase", {"currency": "EUR", "sum": 12.5})] * 2 == await bot.events()


@pytest.mark.parametrize("decorator", ["event", "greeting", "ignore"])
def test_a_decorator_above_the_bots_names_the_right_order(decorator: str) -> None:
    """There it could have no effect, so it raises at import."""
    kochava = tracked_bot().kochava
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "v"})
    decorate: Any = kochava.event("Purchase") if decorator == "event" else getattr(kochava, decorator)

    @bot.on_message()
    async def handler(event: Event, reply: Any) -> None: ...

    with pytest.raises(RegistrationError, match=r"write `@bot.on_…` first, @kochava\.\w+.* below it"):
        decorate(handler)


@pytest.mark.parametrize("name", [None, "", 7, lambda: None])
def test_a_decorator_without_a_name_says_how_to_write_it(name: Any) -> None:
    """`@kochava.event` without parentheses takes the function for the name."""
    with pytest.raises(RegistrationError, match=r'write `@kochava.event\("Purchase"\)`'):
        tracked_bot().kochava.event(name)


def test_arguments_that_could_never_work_are_refused_at_decoration() -> None:
    """An unknown `when`, async data, and something that is no function."""
    kochava = tracked_bot().kochava

    async def data(_event: Event, _result: Any) -> None: ...

    with pytest.raises(RegistrationError, match="`when`"):
        kochava.event("Purchase", when="sometimes")
    with pytest.raises(RegistrationError, match="`data` is a plain callable"):
        kochava.event("Purchase", data=data)
    with pytest.raises(RegistrationError, match="decorates a function"):
        kochava.ignore("handler")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["greeting", "ignore"])
def test_decorator_with_empty_parentheses_says_how_to_write_it(name: str) -> None:
    """`@kochava.event` has them, so they come easily."""
    with pytest.raises(RegistrationError, match=f"@kochava.{name} is written without parentheses"):
        getattr(tracked_bot().kochava, name)()


async def test_an_ignored_handler_gives_no_automatic_event() -> None:
    """Events that it tracks itself are still recorded, and the omission is counted."""
    bot = tracked_bot()

    @bot.kochava.ignore
    async def quiet(_event: Event) -> None: ...

    @bot.kochava.ignore
    async def half_quiet(_event: Event) -> None:
        await bot.kochava.track("Only This")

    await bot.handle(bot.message(), quiet)
    await bot.handle(bot.message(), half_quiet)
    assert [("Only This", None)] == await bot.events()
    assert 2 == bot.kochava.counts.left_out["ignored"]


async def test_a_named_event_replaces_the_automatic_one_only_for_the_same_person() -> None:
    """An event tracked for a friend does not speak for the writer."""
    bot = tracked_bot()

    async def invite(_event: Event) -> None:
        await bot.kochava.track("Invited", user_id="friend")

    await bot.handle(bot.message(), invite)
    assert [("friend", "Invited"), (USER_ID, "Message")] == [
        (record.user_id, record.event_name) for record in await bot.records() if isinstance(record, Engagement)
    ]


async def test_a_decorated_function_outside_of_handling_is_counted() -> None:
    """It is not known which person it is about; the function works, and it is counted."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase")
    async def buy() -> str:
        return "sold"

    assert "sold" == await buy()
    assert {"no person": 1} == bot.kochava.counts.left_out


async def test_strict_mode_raises_out_of_a_decorated_handler() -> None:
    """Else its author would never see it."""
    bot = tracked_bot(events={"strict": True})

    @bot.kochava.event("Purchase", data={"source": "shop"})
    async def buy(_event: Event) -> None:
        pass

    with pytest.raises(TrackingError, match="key 'source': is reserved"):
        await bot.handle(bot.message(), buy)


def test_data_with_the_wrong_number_of_parameters_is_refused() -> None:
    """When decorated: at the purchase it would be too late."""
    wrong: Any = lambda _event: {"sum": 1}  # noqa: E731
    with pytest.raises(RegistrationError, match=r"`data` is a callable of \(event, result\)"):
        tracked_bot().kochava.event("Purchase", data=wrong)
