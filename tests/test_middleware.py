"""The middleware among others: hosts, Pages, modes, and what happens when something of it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kochava_bot_middleware import Counts, KochavaMiddleware
from kochava_bot_middleware.exceptions import RegistrationError, SettingsError, StoreError, StoreUnavailable
from kochava_bot_middleware.handling import Handling, handling_of
from kochava_bot_middleware.messenger.events import Channel, Event
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, Queue, Unit
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import GREETING, PAGE_ID, SMARTLINKS, USER_ID, body_to, do_nothing, tracked_bot, url_of


class BrokenStore(MemoryStore):
    """A store whose engine is down until it is repaired."""

    broken = True

    async def commit(self, unit: Unit) -> Committed:
        self._check()
        return await super().commit(unit)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        self._check()
        return await super().recall(keys)

    def _check(self) -> None:
        if self.broken:
            msg = "the disk is full"
            raise StoreUnavailable(msg)


async def test_a_host_without_an_inbox_gets_its_records_committed() -> None:
    """`receive` called by hand commits when the handler has ended."""
    bot = tracked_bot()

    async def handler(_event: Event) -> str:
        return "done"

    assert "done" == await bot.handle(bot.message(), handler)
    assert ["Message"] == await bot.names()


async def test_records_are_committed_after_a_handler_raised() -> None:
    """Its error is the host's."""
    bot = tracked_bot()

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Tried")
        raise LookupError

    with pytest.raises(LookupError):
        await bot.handle(bot.message(), handler)
    assert ["Tried"] == await bot.names()


async def test_a_hosts_own_store_gets_only_what_its_middleware_contributes() -> None:
    """Of two middlewares, the second does not own the host's store, so it commits to its own."""
    bot, other = tracked_bot(), tracked_bot(events={"names": {"message": "Said"}})
    handling = Handling(event=bot.message(), store=bot.store)

    async def handler(_event: Event) -> None:
        await bot.kochava.track("First")
        await other.kochava.track("Second")

    with handling_of(handling):
        await bot.kochava.chain_layer.receive(
            handling.event, lambda event: other.kochava.chain_layer.receive(event, handler)
        )
    (contributor,) = handling.contributions
    contribution = await contributor.contribute()
    await bot.store.commit(Unit(appends=contribution.appends, marks=contribution.marks))

    assert (["First"], ["Second"]) == (await bot.names(), await other.names())


async def test_an_event_dispatched_twice_in_one_handling_is_recorded_once() -> None:
    """A middleware outside of this one may call the chain again; nothing recorded before is lost."""
    bot = tracked_bot()
    handling = Handling(event=bot.message(), store=bot.store)

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Tried")

    with handling_of(handling):
        await bot.kochava.chain_layer.receive(handling.event, handler)
        await bot.kochava.chain_layer.receive(handling.event, handler)
    contribution = await handling.contributions[0].contribute()

    assert 2 == len({entry.id for entry in contribution.appends})


async def test_a_store_that_fails_never_harms_the_handler() -> None:
    """The handler's result comes after the allowed time, and the events are written when the store works again."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    bot = tracked_bot(clock, store=store, smartlinks=SMARTLINKS, greeting=GREETING, commit_timeout_seconds=0.05)

    async def handler(_event: Event) -> str:
        await bot.send(body_to(), greeting=True)
        return "done"

    assert "done" == await bot.handle(bot.message(), handler)
    assert 1 == bot.kochava.counts.at_risk
    assert "fb_user_id" not in url_of(bot.sent[0])

    store.broken = False
    await clock.advance(60)
    assert (["Message"], 0) == (await bot.names(), bot.kochava.counts.at_risk)


@pytest.mark.parametrize("call", ["track", "identify"])
async def test_a_call_raises_when_the_store_does_not_take_it_in_time(call: str) -> None:
    """It says why and what to do, and what the caller was told is not recorded does not appear later."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    bot = tracked_bot(clock, store=store, commit_timeout_seconds=0.05)
    async with asyncio.timeout(5):
        with pytest.raises(
            StoreUnavailable, match=rf"`{call}`: .*within 0\.05 s \(the disk is full\); repeat the call"
        ):
            await getattr(bot.kochava, call)("Refund" if call == "track" else {"customer_id": "C"}, user_id=USER_ID)
    assert 0 == bot.kochava.counts.at_risk

    store.broken = False
    await clock.advance(60)
    assert [] == await bot.names()


async def test_a_store_that_refuses_a_record_for_good_makes_track_raise() -> None:
    """The caller gets the store's error, at once."""

    class Refusing(MemoryStore):
        async def commit(self, unit: Unit) -> Committed:
            msg = "this can never be kept"
            raise StoreError(msg)

    bot = tracked_bot(store=Refusing())
    with pytest.raises(StoreError, match="this can never be kept"):
        await bot.kochava.track("Refund", user_id=USER_ID)


async def test_events_handled_beyond_the_limit_at_risk_are_counted_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded; the handlers notice nothing, and the log says what happens."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    bot = tracked_bot(clock, store=store, commit_timeout_seconds=0.05, at_risk_limit=1)
    await bot.handle(bot.message())
    await bot.handle(bot.message())
    assert (1, {"at risk limit": 1}) == (bot.kochava.counts.at_risk, bot.kochava.counts.left_out)
    assert "tracking_at_risk not stored yet, only in memory until the store works: the disk is full" in caplog.text

    store.broken = False
    await clock.advance(60)
    assert ["Message"] == await bot.names()


async def test_a_track_whose_caller_is_cancelled_is_written_all_the_same() -> None:
    """A request that is cut off does not take its event with it."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    bot = tracked_bot(clock, store=store)
    tracking = asyncio.create_task(bot.kochava.track("Refund", user_id=USER_ID))
    await settle()
    tracking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tracking
    assert 1 == bot.kochava.counts.at_risk

    store.broken = False
    await clock.advance(60)
    assert ["Refund"] == await bot.names()


async def test_commits_lost_at_shutdown_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The stop does not hang, and one line says how much was lost."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    bot = tracked_bot(clock, store=store, commit_timeout_seconds=0.01, drain_seconds=0.01)
    await bot.handle(bot.message())
    await bot.kochava.stop()
    assert "tracking_lost_at_risk: 1" in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"device": {"origination_ip": lambda _user: 1 / 0}},
        {"device": {"device_ua": lambda _user: 5}},
        {"install": {"mode": "first_seen", "known_users": lambda _user: 1 / 0}},
        {"privacy": {"consent": lambda _user: 1 / 0, "consent_unknown": "send"}},
    ],
)
async def test_callables_of_the_settings_that_fail_harm_nothing(settings: dict[str, Any]) -> None:
    """The handler's result passes, the event is recorded without what they would have given."""
    bot = tracked_bot(**settings)

    async def handler(_event: Event) -> str:
        return "done"

    async def advance() -> None:
        await settle()
        await bot.clock.advance(10)

    result, _ = await asyncio.gather(bot.handle(bot.message(), handler), advance())
    assert "done" == result
    assert ["Message"] == await bot.names()


async def test_a_dry_run_stores_no_record_and_no_state(caplog: pytest.LogCaptureFixture) -> None:
    """Records are logged without the person; links are rewritten; going live afterwards starts afresh."""
    bot = tracked_bot(mode="dry_run", smartlinks=SMARTLINKS, install={"mode": "entry"}, greeting=GREETING)
    with caplog.at_level(logging.INFO):
        await bot.handle(bot.postback())
        mid = await bot.send(body_to(), greeting=True)
        await bot.handle(bot.delivery(mid))

    assert [] == await bot.records()
    assert url_of(bot.sent[0]).startswith("https://acme.smart.link/")
    lines = [line for line in caplog.messages if line.startswith("dry_run")]
    assert ["dry_run: install ", "dry_run: engagement Postback", "dry_run: impression "] == lines
    assert USER_ID not in "".join(lines)

    live = tracked_bot(bot.clock, store=bot.store, install={"mode": "entry"})
    await live.handle(live.postback())
    assert ["install", "Postback"] == await live.names()


async def test_mode_off_records_and_rewrites_nothing() -> None:
    """No record, no rewriting, and the handler runs."""
    bot = tracked_bot(mode="off", smartlinks=SMARTLINKS)

    @bot.kochava.event("Purchase")
    async def handler(_event: Event) -> str:
        await bot.kochava.track("Tried")
        await bot.kochava.identify({"customer_id": "7"})
        return "done"

    assert "done" == await bot.handle(bot.message(), handler)
    await bot.send(body_to())
    assert ([], "https://shop.example/shoes") == (await bot.records(), url_of(bot.sent[0]))
    assert Counts() == bot.kochava.counts


async def test_nothing_is_recorded_of_test_users() -> None:
    """The bot works for them, and their links carry no id."""
    bot = tracked_bot(test_users=[USER_ID], smartlinks=SMARTLINKS)
    await bot.handle(bot.message())
    await bot.handle(bot.message(user_id="u2"))
    await bot.send(body_to())
    assert ["u2"] == [record.user_id for record in await bot.records()]
    assert {"test user": 1} == bot.kochava.counts.left_out
    assert "acme.smart.link" in url_of(bot.sent[0])
    assert "fb_user_id" not in url_of(bot.sent[0])


async def test_each_page_has_its_own_app() -> None:
    """What is not overridden for a Page is that of the top."""
    bot = tracked_bot(
        smartlinks=SMARTLINKS,
        pages={
            "2002": {"kochava_app_id": "koother", "smartlinks": {"default": "https://two.smart.link/x?url={url}"}},
            "3003": {"events": {"automatic": "off"}},
        },
    )
    for page_id in (PAGE_ID, "2002", "3003"):
        await bot.handle(bot.message(page_id=page_id))
        await bot.send(body_to(), page_id=page_id)

    assert [("koapp", PAGE_ID), ("koother", "2002")] == [(r.app_id, r.page_id) for r in await bot.records()]
    assert ["acme", "two", "acme"] == [url_of(sent)[8:].partition(".")[0] for sent in bot.sent]


async def test_a_send_without_a_page_uses_the_only_page_seen() -> None:
    """A bot with one token need not name its Page. With two Pages it would be a guess."""
    own = {"smartlinks": {"default": "https://two.smart.link/x?url={url}"}}
    bot = tracked_bot(smartlinks=SMARTLINKS, pages={PAGE_ID: own, "ig": own})

    async def host() -> str:
        await bot.send(body_to(), page_id=None)
        return url_of(bot.sent[-1])[8:].partition(".")[0]

    hosts = [await host()]
    for event in (
        bot.message(page_id="ig", channel=Channel.INSTAGRAM),
        bot.message(page_id=None),
        bot.message(),
        bot.message(page_id="3003"),
    ):
        await bot.handle(event)
        hosts.append(await host())
    assert ["acme", "acme", "acme", "two", "acme"] == hosts


async def test_a_greeting_without_a_page_is_joined_with_its_delivery_and_tap() -> None:
    """All three are of one app, also for a greeting that no event caused."""
    bot = tracked_bot(greeting=GREETING, pages={PAGE_ID: {"kochava_app_id": "koother"}})
    await bot.handle(bot.message())
    mid = await bot.send(body_to(), greeting=True, page_id=None)
    await bot.handle(bot.delivery(mid))
    await bot.handle(bot.postback("CHAT"))
    assert [("impression", "koother", PAGE_ID), ("click", "koother", PAGE_ID)] == [
        (record.kind, record.app_id, record.page_id) for record in await bot.records(Queue.PING)
    ]


async def test_a_send_to_another_person_names_that_person() -> None:
    """User and Page of a SmartLink and of a greeting come from the send, never from the event being handled."""
    bot = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING)

    async def invite(_event: Event) -> None:
        await bot.send(body_to("friend"), greeting=True)

    await bot.handle(bot.message(), invite)
    assert "fb_user_id=friend" in url_of(bot.sent[0])
    await bot.handle(bot.message())
    assert [] == await bot.records(Queue.PING)
    await bot.handle(bot.message(user_id="friend"))
    assert [("impression", "friend"), ("click", "friend")] == [
        (record.kind, record.user_id) for record in await bot.records(Queue.PING)
    ]


async def test_a_send_of_a_background_task_passes_the_chain() -> None:
    """Long after the handling ended, its links are rewritten all the same, without the handler's name."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    tasks: list[asyncio.Task[str]] = []

    async def later() -> str:
        await settle()
        return await bot.send(body_to())

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await bot.handle(bot.message(), handler)
    await tasks[0]
    assert "fb_user_id=u1" in url_of(bot.sent[0])


async def test_links_rewritten_and_left_alone_are_counted() -> None:
    """By reason, which explains why a link is as it was."""
    bot = tracked_bot(smartlinks={**SMARTLINKS, "skip": ["https://shop.example/imprint"]})
    body = body_to()
    buttons = body["message"]["attachment"]["payload"]["buttons"]
    buttons += [
        {"type": "web_url", "title": "Us", "url": "https://shop.example/imprint"},
        {"type": "web_url", "title": "Chat", "url": "https://m.me/shop"},
    ]
    await bot.send(body)
    counts = bot.kochava.counts
    assert (1, {"skipped": 1, "messenger_link": 1}) == (counts.links_rewritten, counts.links_left_alone)


async def test_records_are_counted_by_kind_once_they_are_durable() -> None:
    """The counts are frozen, and say what happened since the start."""
    bot = tracked_bot(install={"mode": "entry"})
    before = bot.kochava.counts
    await bot.handle(bot.postback())
    assert {} == before.recorded
    assert {"install": 1, "engagement": 1} == bot.kochava.counts.recorded


async def test_a_body_that_cannot_be_read_is_sent_unchanged() -> None:
    """Whatever a caller sends, it is Facebook that judges it."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    endless: dict[str, Any] = {"recipient": {"id": USER_ID}}
    endless["message"] = endless
    await bot.send(endless)
    await bot.send("not json")
    await bot.send(None)
    assert [endless, "not json", None] == [sent.body for sent in bot.sent]


async def test_a_send_that_fails_raises_its_own_error_and_is_no_greeting() -> None:
    """It was not shown."""
    bot = tracked_bot(greeting=GREETING)

    async def graph(_outgoing: Outgoing) -> Any:
        raise LookupError

    with pytest.raises(LookupError):
        await bot.kochava.chain_layer.send(Outgoing(body=body_to(), page_id=PAGE_ID, greeting=True), graph)
    await bot.send(body_to(), greeting=True, answer={"error": {"code": 100}})
    await bot.handle(bot.message())
    assert [] == await bot.records(Queue.PING)


async def test_start_and_stop_are_idempotent() -> None:
    """Hosts call them more than once."""
    bot = tracked_bot(worker="inside", greeting=GREETING)
    await bot.kochava.start()
    await bot.kochava.start()
    await bot.kochava.stop()
    await bot.kochava.stop()


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    """All of them, each with its key."""
    with pytest.raises(SettingsError) as caught:
        KochavaMiddleware.from_dict(
            {
                "kochava_app_id": "koapp",
                "greeting": {"params": {"a": "{user}"}, "delivery_events": "often"},
                "install": {"mode": "first_seen"},
                "privacy": {"user_id_hash": True},
                "events": {"attach_referral": "all"},
            }
        )
    assert [
        "greeting.delivery_events",
        "greeting.params",
        "events.attach_referral",
        "install.since",
        "privacy.user_id_hash_key",
    ] == [violation.key for violation in caught.value.violations]


async def test_an_event_without_a_matching_action_is_still_recorded() -> None:
    """An event that no handler answered is an engagement all the same."""
    bot = tracked_bot()
    await bot.handle(bot.message(), do_nothing)
    ((_, data),) = await bot.events()
    assert ("message", "messenger") == (data["kind"], data["channel"])


def test_a_mapping_in_place_of_settings_is_refused() -> None:
    """The error names the constructor that takes a mapping."""
    with pytest.raises(RegistrationError, match=r"wanted KochavaSettings, got dict: KochavaMiddleware\.from_dict"):
        KochavaMiddleware({"kochava_app_id": "kobotdemo1234"})  # type: ignore[arg-type]


async def test_receive_refuses_what_is_no_event() -> None:
    """The error names the function that makes events, and the handler is not called."""
    bot = tracked_bot()
    with pytest.raises(RegistrationError, match=r"wanted Event, got dict: `kochava\.parse\(raw_body, headers\)`"):
        await bot.kochava.chain_layer.receive({"object": "page"}, do_nothing)  # type: ignore[arg-type]


async def test_receive_refuses_a_synchronous_handler() -> None:
    """The error says what a handler must be."""
    bot = tracked_bot()
    with pytest.raises(RegistrationError, match=r"wanted a `call_next` that is `async def`.* it returned str"):
        await bot.kochava.chain_layer.receive(bot.message(), lambda _event: "done")  # type: ignore[arg-type,return-value]


async def test_receive_takes_a_synchronous_function_that_returns_an_awaitable() -> None:
    """A lambda around an async handler is one."""
    bot = tracked_bot()
    assert await bot.kochava.chain_layer.receive(bot.message(), lambda event: do_nothing(event)) is None
    assert ["Message"] == await bot.names()


async def test_send_refuses_an_outgoing_in_place_of_a_body() -> None:
    """The error says what to pass."""
    bot = tracked_bot()
    with pytest.raises(RegistrationError, match="takes a Send API body, got an Outgoing"):
        await bot.kochava.send(Outgoing(body=body_to(USER_ID)), do_nothing)


async def test_send_refuses_a_synchronous_sender() -> None:
    """The error says what a sender must be."""
    bot = tracked_bot()
    with pytest.raises(RegistrationError, match=r"wanted a `call` that is `async def`.* it returned dict"):
        await bot.kochava.send(body_to(USER_ID), lambda _body: {})  # type: ignore[arg-type,return-value]
