"""What authors of bots call: decorators, `track`, `rewrite`."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import MessengerBot, RegistrationError, TrackingError, events
from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.messenger.events import Channel, Event
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import PAGE_ID, SMARTLINKS, USER_ID, SlowStore, TrackedBot, body_to, tracked_bot


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


async def test_track_outside_of_handling_is_itself_the_commit() -> None:
    """When the call returns, the event is in the store."""
    bot = tracked_bot()
    await bot.kochava.track("Refund", {"sum": 5, "currency": "USD"}, user_id="u7", channel="instagram")
    event = await only_event(bot)
    assert ("u7", {"ig_user_id": "u7"}, int(bot.clock.now())) == (event.user_id, event.device_ids, event.usertime)


async def test_track_without_a_person_says_what_is_missing() -> None:
    """Outside of handling a person must be named, also in lenient mode: it is a mistake in the code."""
    with pytest.raises(TrackingError, match="`user_id` must say whom"):
        await tracked_bot().kochava.track("Refund")


async def test_track_about_an_event_without_a_person_says_what_is_missing() -> None:
    """A policy warning names no person."""
    bot = tracked_bot()
    raised: list[str] = []

    async def handler(_event: Event) -> None:
        try:
            await bot.kochava.track("Refund")
        except TrackingError as exc:
            raised.append(str(exc))

    await bot.handle(bot.message(user_id=None), handler)
    assert ["event 'Refund': no event of a person is being handled, so `user_id` must say whom it is about"] == raised


@pytest.mark.parametrize("outside", [False, True])
async def test_the_same_id_twice_is_a_no_op(outside: bool) -> None:
    """An order is recorded once, in one handling, in two, or outside."""
    bot = tracked_bot(events={"automatic": "off"})

    async def pay(_event: Event | None) -> None:
        await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD"}, id="order-881", user_id=USER_ID)

    for _ in range(2):
        await (pay(None) if outside else bot.handle(bot.message(), pay))
    assert 1 == len(await bot.records())
    await bot.kochava.track("Purchase", id="order-882", user_id=USER_ID)
    assert 2 == len(await bot.records())


async def test_the_same_name_twice_in_a_handling_is_two_events() -> None:
    """Each has an id of its own, since both happened."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        for price in (1, 2):
            await bot.kochava.track("Bid", {"price": price})

    await bot.handle(bot.message(), handler)
    assert [("Bid", {"price": 1}), ("Bid", {"price": 2})] == await bot.events()


async def test_ids_are_the_same_when_an_event_is_handled_again() -> None:
    """Redelivered or rerun after a crash, in another process: everything counts once."""
    bot = tracked_bot(greeting={"impression_url": "https://imp.test/i"})
    message = bot.message()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Bid")
        await bot.kochava.track("Bid")
        await bot.kochava.track("Bid", user_id="friend")

    await bot.handle(message, handler)
    first = [record.id for record in await bot.records()]
    again = bot.restarted()

    async def other_order(_event: Event) -> None:
        await again.kochava.track("Bid", user_id="friend")
        await again.kochava.track("Bid")
        await again.kochava.track("Bid")

    await again.handle(attrs.evolve(message, attempt=2), other_order)
    assert 3 == len(set(first))
    assert first == [record.id for record in await bot.records()]


async def test_a_task_that_outlives_the_handling_commits_by_itself() -> None:
    """It belongs to no event any more, so it names the person."""
    bot = tracked_bot()
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        await bot.kochava.track("Reminder Planned", user_id=USER_ID)

    tasks: list[asyncio.Task[None]] = []

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await bot.handle(bot.message(), handler)
    assert ["Message"] == await bot.names()
    go.set()
    await tasks[0]
    assert ["Message", "Reminder Planned"] == await bot.names()


async def test_an_event_tracked_while_the_handling_is_committed_is_not_lost() -> None:
    """Its unit is closed by then, so the call commits by itself."""
    clock = VirtualClock()
    bot = tracked_bot(clock, store=SlowStore(clock=clock))
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await settle(2)
        await bot.kochava.track("Late", user_id=USER_ID)

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await bot.handle(bot.message(), handler)
    await tasks[0]
    assert ["Late", "Message"] == sorted(await bot.names())


async def test_a_decorated_function_outside_of_handling_is_counted() -> None:
    """It is not known which person it is about; the function works, and it is counted."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase")
    async def buy() -> str:
        return "sold"

    assert "sold" == await buy()
    assert {"no person": 1} == bot.kochava.counts.left_out


async def test_strict_mode_raises_at_the_call() -> None:
    """In development, a bad key is an error that names event, key and reason."""
    bot = tracked_bot(events={"strict": True})
    with pytest.raises(TrackingError, match="event 'Purchase', key 'source': is reserved by Kochava"):
        await bot.kochava.track("Purchase", {"source": "shop"}, user_id=USER_ID)


async def test_strict_mode_raises_out_of_a_decorated_handler() -> None:
    """Else its author would never see it."""
    bot = tracked_bot(events={"strict": True})

    @bot.kochava.event("Purchase", data={"source": "shop"})
    async def buy(_event: Event) -> None:
        pass

    with pytest.raises(TrackingError, match="key 'source': is reserved"):
        await bot.handle(bot.message(), buy)


async def test_a_purchase_is_not_lost_because_of_one_bad_key() -> None:
    """That key alone is left out, and counted."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", {"sum": 1, "currency": "USD", "source": "x", "when": object()}, user_id=USER_ID)
    assert [("Purchase", {"sum": 1, "currency": "USD"})] == await bot.events()
    assert {"bad key": 2} == bot.kochava.counts.left_out


class Hostile(dict[str, Any]):
    """Data that cannot be read."""

    def keys(self) -> Any:
        raise LookupError

    def items(self) -> Any:
        raise LookupError


@pytest.mark.parametrize("data", [Hostile(a=1), {"deep": Hostile(a=1)}])
async def test_data_that_cannot_be_read_loses_no_event(data: Any) -> None:
    """Whatever an author's object raises, the handler never learns of it."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase", data, user_id=USER_ID)
    ((name, _),) = await bot.events()
    assert "Purchase" == name


async def test_data_changed_after_the_call_is_recorded_as_it_was() -> None:
    """The caller may go on to use the object."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        basket = {"quantity": 1}
        await bot.kochava.track("Add to Cart", basket)
        basket["quantity"] = 2
        await bot.kochava.track("Add to Cart", basket)

    await bot.handle(bot.message(), handler)
    assert [1, 2] == [data["quantity"] for _, data in await bot.events()]


async def test_text_without_a_stored_form_loses_that_record_only() -> None:
    """Half a surrogate pair in an id cannot be written; all else of the handling is."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("bad", user_id="\ud800")
        await bot.kochava.track("good")

    await bot.handle(bot.message(), handler)
    assert [("good", None)] == await bot.events()
    assert {"not storable": 1} == bot.kochava.counts.left_out


async def test_half_a_character_in_a_name_does_not_lose_the_event() -> None:
    """It is replaced and said."""
    bot = tracked_bot()
    await bot.kochava.track("Purchase \ud800", {"sum": 1}, user_id=USER_ID)
    assert [("Purchase ?", {"sum": 1})] == await bot.events()


@pytest.mark.parametrize("name", ["", " ", "\n"])
async def test_an_event_without_a_name_is_refused_at_the_call(name: str) -> None:
    """Kochava could show nothing for it."""
    bot = tracked_bot()
    with pytest.raises(TrackingError, match="has a name"):
        await bot.kochava.track(name, user_id=USER_ID)


async def test_a_built_purchase_with_a_wrong_currency_is_not_lost() -> None:
    """Neither the handler nor the event ends by it; strict mode would raise."""
    bot = tracked_bot()

    @bot.kochava.event("Purchase", data=lambda _event, _result: events.purchase(price=5, currency="usd"))
    async def sell(_event: Event) -> None:
        await bot.kochava.track(events.purchase(price=6, currency="eur", source="ad"))

    await bot.handle(bot.message(), sell)
    assert [{"currency": "eur", "sum": 6}, {"currency": "usd", "sum": 5}] == [data for _, data in await bot.events()]


async def test_rewrite_is_pure_and_takes_the_bodys_recipient() -> None:
    """For senders that do not pass the middleware."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    body = body_to("u9")
    rewritten = bot.kochava.rewrite(body, page_id=PAGE_ID, creative="greet_b")
    url = rewritten["message"]["attachment"]["payload"]["buttons"][0]["url"]
    assert body_to("u9") == body
    assert (
        "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes&site_id=messenger"
        "&creative_id=greet_b&fb_user_id=u9"
    ) == url
    assert rewritten == bot.kochava.rewrite(rewritten, creative="greet_b")
    assert "fb_user_id=u7" in str(bot.kochava.rewrite({"message": body["message"]}, user_id="u7"))


async def test_an_integer_is_an_id_as_well() -> None:
    """Ids come as numbers out of many databases."""
    bot = tracked_bot()
    await bot.kochava.track("Refund", user_id=4711, channel=Channel.MESSENGER)
    assert {"fb_user_id": "4711"} == (await only_event(bot)).device_ids


@pytest.mark.parametrize("call", ["track", "identify", "rewrite", "opt_out", "opt_in", "forget"])
@pytest.mark.parametrize("user_id", ["", "  ", ["1", "2"], 7.5, True, b"77"])
async def test_every_call_refuses_an_invalid_user_id(call: str, user_id: Any) -> None:
    """With an error that names the argument and its type, but not the id."""
    bot = tracked_bot()
    arguments = {"track": ("Purchase",), "identify": ({"customer_id": "C-17"},), "rewrite": ({"message": {}},)}
    with pytest.raises(TrackingError, match="`user_id` is one id") as caught:
        await getattr(bot.kochava, call)(*arguments.get(call, ()), user_id=user_id)
    assert "77" not in str(caught.value)
    assert [] == await bot.records()


@pytest.mark.parametrize("call", ["opt_out", "opt_in", "forget"])
async def test_opting_out_needs_a_user_id(call: str) -> None:
    """Nor be forgotten."""
    with pytest.raises(TrackingError, match=r"`user_id` is one id, .*, got nothing"):
        await getattr(tracked_bot().kochava, call)(None)


async def test_ids_may_be_whole_numbers() -> None:
    """The same person, event and Page as with the text."""
    bot = tracked_bot(pages={"7": {"kochava_app_id": "koseven"}})
    await bot.kochava.track("Order", user_id=77, id=881, page_id=7)
    await bot.kochava.track("Order", user_id="77", id="881", page_id="7")

    (record,) = await bot.records()
    assert ("77", "koseven") == (record.user_id, record.app_id)
    assert await bot.kochava.forget(77) == 1


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"channel": "whatsapp"}, "`channel` is one of 'messenger', 'instagram', got 'whatsapp'"),
        ({"channel": []}, "`channel` is one of 'messenger', 'instagram', got a list of 0"),
        ({"page_id": ""}, "`page_id` is one id, .*, got an empty text"),
        ({"page_id": ["7"]}, "`page_id` is one id, .*, got a list of 1"),
    ],
)
@pytest.mark.parametrize("mode", ["live", "off"])
async def test_an_invalid_page_or_channel_is_refused(named: dict[str, Any], told: str, mode: str) -> None:
    """Also while the middleware is off, so that switching it on is no surprise."""
    kochava = tracked_bot(mode=mode).kochava
    with pytest.raises(TrackingError, match=told):
        await kochava.track("Order", user_id="1", **named)
    with pytest.raises(TrackingError, match=told):
        await kochava.identify({"customer_id": "C"}, user_id="1", **named)


@pytest.mark.parametrize("track_id", ["", " ", 1.5, ["a"], False])
async def test_an_invalid_event_id_is_refused(track_id: Any) -> None:
    """An empty one would make all orders one."""
    with pytest.raises(TrackingError, match="`id` is one id"):
        await tracked_bot().kochava.track("Order", user_id="1", id=track_id)


def test_a_message_alone_is_rewritten_as_in_its_body() -> None:
    """Some senders are given no more than that."""
    kochava = tracked_bot(smartlinks=SMARTLINKS).kochava
    button = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}
    message = {
        "attachment": {"type": "template", "payload": {"template_type": "button", "text": "x", "buttons": [button]}}
    }

    alone = kochava.rewrite(message, user_id=77)
    assert kochava.rewrite({"recipient": {"id": "77"}, "message": message})["message"] == alone
    assert "fb_user_id=77" in str(alone)
    assert "https://shop.example" == button["url"]
