"""The middleware among others: hosts, Pages, modes, and what happens when something of it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kochava_bot_middleware import Counts, KochavaMiddleware
from kochava_bot_middleware.exceptions import SettingsError, StoreUnavailable
from kochava_bot_middleware.handling import Handling, handling_of
from kochava_bot_middleware.messenger.events import Channel, Event
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, Queue, Unit
from tests.fakes import VirtualClock, settle
from tests.tracking.stage import GREETING, PAGE_ID, SMARTLINKS, USER_ID, nothing, stage, to, url_of


class BrokenStore(MemoryStore):
    """A store whose engine is down until it is mended."""

    broken = True

    async def commit(self, unit: Unit) -> Committed:
        self._check()
        return await super().commit(unit)

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        self._check()
        return await super().recall(keys)

    def _check(self) -> None:
        if self.broken:
            msg = "the disk is full"
            raise StoreUnavailable(msg)


async def test_a_host_without_an_inbox_gets_its_records_committed() -> None:
    """`receive` called by hand commits when the handler has ended."""
    on = stage()

    async def handler(_event: Event) -> str:
        return "done"

    assert "done" == await on.handle(on.message(), handler)
    assert ["Message"] == await on.names()


async def test_records_are_committed_after_a_handler_raised() -> None:
    """Its error is the host's."""
    on = stage()

    async def handler(_event: Event) -> None:
        await on.kochava.track("Tried")
        raise LookupError

    with pytest.raises(LookupError):
        await on.handle(on.message(), handler)
    assert ["Tried"] == await on.names()


async def test_a_hosts_own_store_gets_only_what_its_middleware_contributes() -> None:
    """Of two middlewares, the second does not own the host's store, so it commits to its own."""
    on, other = stage(), stage(events={"names": {"message": "Said"}})
    handling = Handling(event=on.message(), store=on.store)

    async def handler(_event: Event) -> None:
        await on.kochava.track("First")
        await other.kochava.track("Second")

    with handling_of(handling):
        await on.kochava.receive(handling.event, lambda event: other.kochava.receive(event, handler))
    (contributor,) = handling.contributions
    contribution = await contributor.contribute()
    await on.store.commit(Unit(appends=contribution.appends, marks=contribution.marks))

    assert (["First"], ["Second"]) == (await on.names(), await other.names())


async def test_an_event_dispatched_twice_in_one_handling_is_recorded_once() -> None:
    """A middleware outside of this one may call on again; nothing told before is lost."""
    on = stage()
    handling = Handling(event=on.message(), store=on.store)

    async def handler(_event: Event) -> None:
        await on.kochava.track("Tried")

    with handling_of(handling):
        await on.kochava.receive(handling.event, handler)
        await on.kochava.receive(handling.event, handler)
    contribution = await handling.contributions[0].contribute()

    assert 2 == len({entry.id for entry in contribution.appends})


async def test_a_store_that_fails_never_harms_the_handler() -> None:
    """The handler's result comes after the allowed time, and the events are written when the store works again."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    on = stage(clock, store=store, smartlinks=SMARTLINKS, greeting=GREETING, commit_timeout_seconds=0.05)

    async def handler(_event: Event) -> str:
        await on.send(to(), greeting=True)
        return "done"

    assert "done" == await on.handle(on.message(), handler)
    assert 1 == on.kochava.counts.at_risk
    assert "fb_user_id" not in url_of(on.sent[0])

    store.broken = False
    await clock.advance(60)
    assert (["Message"], 0) == (await on.names(), on.kochava.counts.at_risk)


async def test_track_waits_for_the_store_no_longer_than_allowed() -> None:
    """It returns, and the event is at risk until the store works."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    on = stage(clock, store=store, commit_timeout_seconds=0.05, at_risk_limit=1)
    async with asyncio.timeout(5):
        await on.kochava.track("Refund", user_id=USER_ID)
        await on.kochava.track("Too Much", user_id=USER_ID)
    assert (1, {"at risk limit": 1}) == (on.kochava.counts.at_risk, on.kochava.counts.left_out)

    store.broken = False
    await clock.advance(60)
    assert ["Refund"] == await on.names()


async def test_what_is_at_risk_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The stop does not hang, and one line says how much was lost."""
    clock = VirtualClock()
    store = BrokenStore(clock=clock)
    on = stage(clock, store=store, commit_timeout_seconds=0.01, drain_seconds=0.01)
    await on.kochava.track("Refund", user_id=USER_ID)
    await on.kochava.stop()
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
    """The handler's result passes, the event is told without what they would have given."""
    on = stage(**settings)

    async def handler(_event: Event) -> str:
        return "done"

    async def advance() -> None:
        await settle()
        await on.clock.advance(10)

    result, _ = await asyncio.gather(on.handle(on.message(), handler), advance())
    assert "done" == result
    assert ["Message"] == await on.names()


async def test_a_dry_run_stores_no_record_and_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Records are logged without the person; links are rewritten; going live afterwards starts afresh."""
    on = stage(mode="dry_run", smartlinks=SMARTLINKS, install={"mode": "entry"}, greeting=GREETING)
    with caplog.at_level(logging.INFO):
        await on.handle(on.postback())
        mid = await on.send(to(), greeting=True)
        await on.handle(on.delivery(mid))

    assert [] == await on.records()
    assert url_of(on.sent[0]).startswith("https://acme.smart.link/")
    lines = [line for line in caplog.messages if line.startswith("dry_run")]
    assert ["dry_run: install ", "dry_run: engagement Postback", "dry_run: impression "] == lines
    assert USER_ID not in "".join(lines)

    live = stage(on.clock, store=on.store, install={"mode": "entry"})
    await live.handle(live.postback())
    assert ["install", "Postback"] == await live.names()


async def test_off_means_off() -> None:
    """No record, no rewriting, and the handler runs."""
    on = stage(mode="off", smartlinks=SMARTLINKS)

    @on.kochava.event("Purchase")
    async def handler(_event: Event) -> str:
        await on.kochava.track("Tried")
        await on.kochava.identify({"customer_id": "7"})
        return "done"

    assert "done" == await on.handle(on.message(), handler)
    await on.send(to())
    assert ([], "https://shop.example/shoes") == (await on.records(), url_of(on.sent[0]))
    assert Counts() == on.kochava.counts


async def test_of_test_users_nothing_is_recorded() -> None:
    """The bot works for them, and their links carry no id."""
    on = stage(test_users=[USER_ID], smartlinks=SMARTLINKS)
    await on.handle(on.message())
    await on.handle(on.message(user_id="u2"))
    await on.send(to())
    assert ["u2"] == [record.user_id for record in await on.records()]
    assert {"test user": 1} == on.kochava.counts.left_out
    assert "acme.smart.link" in url_of(on.sent[0])
    assert "fb_user_id" not in url_of(on.sent[0])


async def test_each_page_has_its_own_app() -> None:
    """What is not overridden for a Page is that of the top."""
    on = stage(
        smartlinks=SMARTLINKS,
        pages={
            "2002": {"kochava_app_id": "koother", "smartlinks": {"default": "https://two.smart.link/x?url={url}"}},
            "3003": {"events": {"automatic": "off"}},
        },
    )
    for page_id in (PAGE_ID, "2002", "3003"):
        await on.handle(on.message(page_id=page_id))
        await on.send(to(), page_id=page_id)

    assert [("koapp", PAGE_ID), ("koother", "2002")] == [(r.app_id, r.page_id) for r in await on.records()]
    assert ["acme", "two", "acme"] == [url_of(sent)[8:].partition(".")[0] for sent in on.sent]


async def test_a_send_without_a_page_is_of_the_one_page_that_was_seen() -> None:
    """A bot with one token need not name its Page. With two Pages it would be a guess."""
    own = {"smartlinks": {"default": "https://two.smart.link/x?url={url}"}}
    on = stage(smartlinks=SMARTLINKS, pages={PAGE_ID: own, "ig": own})

    async def host() -> str:
        await on.send(to(), page_id=None)
        return url_of(on.sent[-1])[8:].partition(".")[0]

    hosts = [await host()]
    for event in (
        on.message(page_id="ig", channel=Channel.INSTAGRAM),
        on.message(page_id=None),
        on.message(),
        on.message(page_id="3003"),
    ):
        await on.handle(event)
        hosts.append(await host())
    assert ["acme", "acme", "acme", "two", "acme"] == hosts


async def test_a_greeting_without_a_page_meets_its_delivery_and_its_tap() -> None:
    """All three tell of one app, also for a greeting that no event caused."""
    on = stage(greeting=GREETING, pages={PAGE_ID: {"kochava_app_id": "koother"}})
    await on.handle(on.message())
    mid = await on.send(to(), greeting=True, page_id=None)
    await on.handle(on.delivery(mid))
    await on.handle(on.postback("CHAT"))
    assert [("impression", "koother", PAGE_ID), ("click", "koother", PAGE_ID)] == [
        (record.kind, record.app_id, record.page_id) for record in await on.records(Queue.PING)
    ]


async def test_a_send_to_somebody_else_names_that_person() -> None:
    """User and Page of a SmartLink and of a greeting come from the send, never from the event being handled."""
    on = stage(smartlinks=SMARTLINKS, greeting=GREETING)

    async def invite(_event: Event) -> None:
        await on.send(to("friend"), greeting=True)

    await on.handle(on.message(), invite)
    assert "fb_user_id=friend" in url_of(on.sent[0])
    await on.handle(on.message())
    assert [] == await on.records(Queue.PING)
    await on.handle(on.message(user_id="friend"))
    assert [("impression", "friend"), ("click", "friend")] == [
        (record.kind, record.user_id) for record in await on.records(Queue.PING)
    ]


async def test_a_send_of_a_background_task_passes_the_chain() -> None:
    """Long after the handling ended, its links are rewritten all the same, without the handler's name."""
    on = stage(smartlinks=SMARTLINKS)
    tasks: list[asyncio.Task[str]] = []

    async def later() -> str:
        await settle()
        return await on.send(to())

    async def handler(_event: Event) -> None:
        tasks.append(asyncio.create_task(later()))

    await on.handle(on.message(), handler)
    await tasks[0]
    assert "fb_user_id=u1" in url_of(on.sent[0])


async def test_links_rewritten_and_left_alone_are_counted() -> None:
    """By reason, so that nobody wonders why a link is as it was."""
    on = stage(smartlinks={**SMARTLINKS, "skip": ["https://shop.example/imprint"]})
    body = to()
    buttons = body["message"]["attachment"]["payload"]["buttons"]
    buttons += [
        {"type": "web_url", "title": "Us", "url": "https://shop.example/imprint"},
        {"type": "web_url", "title": "Chat", "url": "https://m.me/shop"},
    ]
    await on.send(body)
    counts = on.kochava.counts
    assert (1, {"skipped": 1, "messenger_link": 1}) == (counts.links_rewritten, counts.links_left_alone)


async def test_records_are_counted_by_kind_once_they_are_durable() -> None:
    """The counts are frozen, and say what happened since the start."""
    on = stage(install={"mode": "entry"})
    before = on.kochava.counts
    await on.handle(on.postback())
    assert {} == before.recorded
    assert {"install": 1, "engagement": 1} == on.kochava.counts.recorded


async def test_a_body_that_cannot_be_walked_leaves_as_it_is() -> None:
    """Whatever a caller sends, it is Facebook that judges it."""
    on = stage(smartlinks=SMARTLINKS)
    endless: dict[str, Any] = {"recipient": {"id": USER_ID}}
    endless["message"] = endless
    await on.send(endless)
    await on.send("not json")
    await on.send(None)
    assert [endless, "not json", None] == [sent.body for sent in on.sent]


async def test_a_send_that_fails_raises_its_own_error_and_is_no_greeting() -> None:
    """Nobody saw it."""
    on = stage(greeting=GREETING)

    async def graph(_outgoing: Outgoing) -> Any:
        raise LookupError

    with pytest.raises(LookupError):
        await on.kochava.send(Outgoing(body=to(), page_id=PAGE_ID, greeting=True), graph)
    await on.send(to(), greeting=True, answer={"error": {"code": 100}})
    await on.handle(on.message())
    assert [] == await on.records(Queue.PING)


async def test_start_and_stop_are_idempotent() -> None:
    """Hosts call them more than once."""
    on = stage(worker="inside", greeting=GREETING)
    await on.kochava.start()
    await on.kochava.start()
    await on.kochava.stop()
    await on.kochava.stop()


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


async def test_the_handler_that_did_nothing_is_still_told() -> None:
    """An event that no handler answered is an engagement all the same."""
    on = stage()
    await on.handle(on.message(), nothing)
    ((_, data),) = await on.events()
    assert ("message", "messenger") == (data["kind"], data["channel"])
