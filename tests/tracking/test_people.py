"""A person's device, identities and install."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from kochava_bot_middleware import SettingsError, TrackingError
from kochava_bot_middleware.kochava.records import Engagement, IdentityLink, Install, Ping, Record
from kochava_bot_middleware.kochava.wire import build_request
from kochava_bot_middleware.messenger.events import AccountLinkingEvent, Event
from kochava_bot_middleware.store.records import Mark, Queue, Unit
from kochava_bot_middleware.tracking.settings import Apps
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import (
    GREETING,
    PAGE_ID,
    USER_ID,
    SlowStore,
    TrackedBot,
    referral,
    state_keys,
    tracked_bot,
)

DAY = 86400.0


async def tracks(bot: TrackedBot) -> list[Record]:
    return await bot.records(Queue.TRACK)


async def identities(bot: TrackedBot) -> list[dict[str, str]]:
    return [dict(record.identities) for record in await tracks(bot) if isinstance(record, IdentityLink)]


def linked(bot: TrackedBot, status: str = "linked") -> AccountLinkingEvent:
    return AccountLinkingEvent(
        user_id=USER_ID,
        page_id=PAGE_ID,
        status=status,
        authorization_code="code-7",
        timestamp=bot.at(),
        raw={"account_linking": {"status": status}, "at": bot.clock.now()},
    )


# Devices


async def test_device_facts_are_resolved_when_the_event_is_recorded() -> None:
    """Values and callables, plain and async; what gives nothing is left out."""

    async def version(user_id: str) -> str | None:
        await settle()
        return {"u1": "iPhone-iOS-13.6.0"}.get(user_id)

    bot = tracked_bot(
        wire={"profile": "s2s"},
        device={
            "origination_ip": {"u1": "192.0.2.7"}.get,
            "device_ver": version,
            "kochava_device_id": lambda user_id: f"bot-{user_id}",
            "nt_id": None,
            "app_version": "2.1",
        },
        events={"automatic": "off"},
    )
    for user_id in ("u1", "u2"):
        await bot.kochava.track("Purchase", user_id=user_id)
    first, second = await tracks(bot)
    assert isinstance(first, Engagement)
    assert isinstance(second, Engagement)
    assert {
        "origination_ip": "192.0.2.7",
        "device_ver": "iPhone-iOS-13.6.0",
        "kochava_device_id": "bot-u1",
        "app_version": "2.1",
    } == first.extra
    assert {"kochava_device_id": "bot-u2", "app_version": "2.1"} == second.extra

    (destination,) = Apps(bot.kochava.settings).destinations
    request = build_request(first, destination)
    assert b'"kochava_device_id":"bot-u1"' in (request.body or b"")
    assert "Unknown" == request.headers["User-Agent"]


async def test_device_callables_run_at_the_same_time() -> None:
    """Each waits here for the other, so one after the other they would give nothing."""
    both = asyncio.Barrier(2)

    async def fact(_user_id: str) -> str:
        async with both:
            return "known"

    bot = tracked_bot(device={"device_ua": fact, "device_ver": fact}, commit_timeout_seconds=30)
    await bot.handle(bot.message())
    (record,) = await tracks(bot)
    assert isinstance(record, Engagement)
    assert {"device_ua": "known", "device_ver": "known"} == record.extra


@pytest.mark.parametrize("name", ["kochava_device_id", "nt_id"])
def test_an_id_of_the_device_cannot_be_one_text_for_all_people(name: str) -> None:
    """Kochava would count one single person; an empty text identifies no person."""
    with pytest.raises(SettingsError, match=f"device.{name}.*callable"):
        tracked_bot(device={name: "bot"})
    tracked_bot(device={name: ""})


async def test_a_device_id_whose_callable_fails_is_empty() -> None:
    """The person's own id in its place would be another device to Kochava, now and for ever."""

    def device_id(_user_id: str) -> str:
        raise LookupError

    bot = tracked_bot(wire={"profile": "s2s"}, device={"kochava_device_id": device_id})
    await bot.kochava.track("Order", user_id=USER_ID)
    (order,) = await tracks(bot)
    (destination,) = Apps(bot.kochava.settings).destinations
    assert b'"kochava_device_id":""' in (build_request(order, destination).body or b"")


async def test_a_ping_carries_only_an_ip_address_of_the_person() -> None:
    """One text for everybody would be many clicks from one address; events may have it."""
    bot = tracked_bot(
        greeting=GREETING, device={"origination_ip": "192.0.2.7", "device_ua": lambda _user_id: "Mozilla/5.0"}
    )
    await bot.send({"recipient": {"id": USER_ID}, "message": {"text": "Hello"}}, greeting=True)
    await bot.handle(bot.message())
    (event,) = await tracks(bot)
    assert isinstance(event, Engagement)
    assert "192.0.2.7" == event.extra["origination_ip"]
    pings = [dict(ping.params) for ping in await bot.records(Queue.PING) if isinstance(ping, Ping)]
    assert [(None, "Mozilla/5.0")] * 2 == [(ping.get("ip_address"), ping["device_ua"]) for ping in pings]


# Identities


async def test_an_identity_link_is_of_the_same_device_as_events() -> None:
    """It has none of the other facts: Kochava does not want them there."""
    bot = tracked_bot(device={"kochava_device_id": lambda user_id: f"bot-{user_id}", "origination_ip": "192.0.2.7"})
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "7"}, user_id=USER_ID)
    (link,) = (record for record in await tracks(bot) if isinstance(record, IdentityLink))
    assert {"kochava_device_id": f"bot-{USER_ID}"} == link.extra


async def test_each_value_of_an_identity_is_linked_once() -> None:
    """In whatever process; a new value is linked again, and an old one that comes back is not."""
    bot = tracked_bot()
    linked_now: list[Mapping[str, str]] = []
    for customer in ("C-1", "C-1", "C-2", "C-1"):
        bot = bot.restarted()

        async def handler(_event: Event, customer: str = customer, kochava: Any = bot.kochava) -> None:
            await kochava.identify({"customer_id": customer})

        await bot.handle(bot.message(), handler)
        linked_now += [record.identities for record in await bot.deliver() if isinstance(record, IdentityLink)]
    assert [{"customer_id": "C-1"}, {"customer_id": "C-2"}] == linked_now


async def test_an_identity_link_follows_the_persons_first_record() -> None:
    """Kochava would not join it to an unknown person, so it waits, also for another process."""
    bot = tracked_bot()
    await bot.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await bot.kochava.identify({"loyalty": 7}, user_id=USER_ID)  # type: ignore[dict-item]
    assert [] == await tracks(bot)
    other = bot.restarted()
    await other.handle(other.message())
    assert ["Message", "identity_link"] == await bot.names()
    assert [{"customer_id": "C-1", "loyalty": "7"}] == await identities(bot)
    lanes = {row.entry.lane for row in await bot.store.browse(Queue.TRACK)}
    assert {f"koapp/{USER_ID}"} == lanes


async def test_a_known_person_is_linked_at_once() -> None:
    """Outside of handling, the call is itself the commit."""
    bot = tracked_bot()
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    assert ["Message", "identity_link"] == await bot.names()


async def test_the_wait_for_the_first_record_can_be_turned_off() -> None:
    """`wait_for_first_record`, for those whose app knows the people already."""
    bot = tracked_bot(identity={"wait_for_first_record": False})
    await bot.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    assert ["identity_link"] == await bot.names()


async def test_identity_links_can_be_off() -> None:
    """What was identified meanwhile goes into events all the same, and is linked once a form is set."""
    identity = {"identities_in_events": ["customer_id"]}
    off = tracked_bot(wire={"identity_form": "off"}, identity=identity)
    await off.kochava.track("Order", user_id=USER_ID)
    await off.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await off.kochava.track("Order", user_id=USER_ID)
    assert ["engagement", "engagement"] == [record.kind for record in await tracks(off)]
    assert {"fb_user_id": USER_ID, "customer_id": "C-1"} == (await tracks(off))[-1].device_ids  # type: ignore[attr-defined]

    bot = tracked_bot(off.clock, store=off.store, identity=identity)
    await bot.kochava.track("Order", user_id=USER_ID)
    assert [{"customer_id": "C-1"}] == await identities(bot)


async def test_only_the_invalid_ip_address_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """With a host name or a hash in its place, the whole event might be refused."""
    bot = tracked_bot(device={"origination_ip": lambda _user_id: "host.example", "device_ver": "iPhone-iOS-13.6.0"})
    await bot.kochava.track("Order", user_id=USER_ID)
    (order,) = await tracks(bot)
    assert isinstance(order, Engagement)
    assert {"device_ver": "iPhone-iOS-13.6.0"} == order.extra
    assert "device_fact_failed origination_ip" in caplog.text


async def test_an_identity_link_may_name_the_person_by_another_key() -> None:
    """Kochava's pages write the key in two ways."""
    bot = tracked_bot(identity={"messenger_link_key": "fb_userid", "wait_for_first_record": False})
    for channel in ("messenger", "instagram"):
        await bot.kochava.identify({"customer_id": "C-1"}, user_id=channel, channel=channel)
    assert [{"fb_userid": "messenger"}, {"ig_user_id": "instagram"}] == [
        record.device_ids for record in await tracks(bot) if isinstance(record, IdentityLink)
    ]


async def test_linked_ids_may_go_into_every_event() -> None:
    """`identities_in_events` names which; the others are kept as hashes only."""
    bot = tracked_bot(identity={"identities_in_events": ["customer_id"]})
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-1", "card": "4711-0815"}, user_id=USER_ID)
    await bot.restarted().kochava.track("Purchase", user_id=USER_ID)
    event = (await tracks(bot))[-1]
    assert isinstance(event, Engagement)
    assert {"fb_user_id": USER_ID, "customer_id": "C-1"} == event.device_ids
    marks = await bot.store.recall(state_keys("identities"))
    assert b"4711-0815" not in b"".join(marks.values())


async def test_account_linking_identifies_the_person() -> None:
    """A callable turns the webhook into identities; a failing one harms nothing, unlinking is none."""
    asked: list[str] = []

    async def customer_of(event: AccountLinkingEvent) -> dict[str, str] | None:
        asked.append(event.authorization_code or "")
        await settle()
        if len(asked) == 2:
            raise LookupError
        return {"customer_id": "C-7"}

    bot = tracked_bot(identity={"identify_on_linking": customer_of})
    await bot.handle(linked(bot))
    await bot.clock.advance(1)
    await bot.handle(linked(bot))
    await bot.handle(linked(bot, "unlinked"))
    assert ["code-7", "code-7"] == asked
    assert ["Account Linked", "identity_link", "Account Linked", "Account Unlinked"] == await bot.names()
    assert [{"customer_id": "C-7"}] == await identities(bot)


async def test_only_the_invalid_identity_is_left_out() -> None:
    """The others are linked; in strict mode the call raises."""
    bot = tracked_bot()
    await bot.handle(bot.message())
    bad: Any = {"customer_id": "C-1", "": "x", "empty": "", "blank": " ", "nothing": None, 7: "x"}
    await bot.kochava.identify(bad, user_id=USER_ID)
    await bot.kochava.identify("C-1", user_id=USER_ID)  # type: ignore[arg-type]
    assert [{"customer_id": "C-1"}] == await identities(bot)
    assert {"bad key": 6} == bot.kochava.counts.left_out
    with pytest.raises(TrackingError, match="identity 'empty' has no text"):
        await tracked_bot(events={"strict": True}).kochava.identify({"empty": ""}, user_id=USER_ID)


async def test_unreadable_state_of_a_person_is_a_fresh_one() -> None:
    """A corrupt state entry must not stop the bot's events."""
    bot = tracked_bot(
        greeting={"impression_url": "https://imp.test/i"}, identity={"identities_in_events": ["customer_id"]}
    )
    keys = state_keys("funnel", "referral", "identities")
    for broken in (b"{", b"[]", b'{"first": 1, "odd": 2}'):
        await bot.store.commit(Unit(marks=[Mark(lane=lane, key=key, value=broken) for lane, key in keys]))
        await bot.handle(bot.message(referral=referral()))
    assert ["Message"] * 3 == await bot.names()


# Installs


@pytest.mark.parametrize(
    ("entry", "installs"),
    [("get started", True), ("postback with referral", True), ("another postback", False), ("message", False)],
)
async def test_an_entry_is_an_install(entry: str, installs: bool) -> None:
    """Get-started, or a referral in a postback; it comes before the person's first event, in the same lane."""
    bot = tracked_bot(install={"mode": "entry"})
    match entry:
        case "get started":
            event: Event = bot.postback()
        case "postback with referral":
            event = bot.postback("X", referral=referral())
        case "another postback":
            event = bot.postback("X")
        case _:
            event = bot.message(referral=referral())
    await bot.handle(event)
    assert installs == (["install"] == (await bot.names())[:1])
    assert 1 == len({row.entry.lane for row in await bot.store.browse(Queue.TRACK)})


async def test_an_install_is_sent_once_over_all_processes() -> None:
    """Two at the same moment, and again after the thread was deleted."""
    bot = tracked_bot(install={"mode": "entry"})
    other = bot.restarted()
    await asyncio.gather(bot.handle(bot.postback()), other.handle(other.postback()))
    await other.handle(other.postback())
    names = await bot.names()
    assert (1, "install") == (names.count("install"), names[0])


@pytest.mark.parametrize("entry_first", [True, False])
async def test_an_install_never_follows_an_event(entry_first: bool) -> None:
    """Whichever of two processes is first: it comes before all events, or not at all."""
    clock = VirtualClock()
    bot = tracked_bot(clock, store=SlowStore(clock=clock), install={"mode": "entry"})
    other = bot.restarted()
    handlings = [bot.handle(bot.postback()), other.handle(other.message())]
    await asyncio.gather(*(handlings if entry_first else reversed(handlings)))
    expected = ["install", "Postback", "Message"] if entry_first else ["Message", "Postback"]
    assert expected == await bot.names()


async def test_a_known_person_does_not_install_by_entering_again() -> None:
    """Their first record is older than the entry."""
    bot = tracked_bot(install={"mode": "entry"})
    await bot.handle(bot.message())
    await bot.handle(bot.postback())
    assert ["Message", "Postback"] == await bot.names()


async def test_an_ignored_entry_is_an_install_all_the_same() -> None:
    """`@kochava.ignore` keeps the event out, not the person."""
    bot = tracked_bot(install={"mode": "entry"})

    @bot.kochava.ignore
    async def greet(_event: Event) -> None: ...

    await bot.handle(bot.postback(), greet)
    assert ["install"] == await bot.names()


async def test_first_seen_installs_people_who_are_not_known() -> None:
    """`known_users` names the people who were there before the middleware was."""

    async def known(user_id: str) -> bool:
        await settle()
        return user_id == "old"

    bot = tracked_bot(install={"mode": "first_seen", "known_users": known})
    for user_id in ("old", "new", "new"):
        await bot.handle(bot.message(user_id=user_id))
    assert ["old", "new"] == list(dict.fromkeys(record.user_id for record in await tracks(bot)))
    assert ["Message", "install", "Message", "Message"] == await bot.names()
    (install,) = (record for record in await tracks(bot) if isinstance(record, Install))
    assert {"fb_user_id": "new"} == install.device_ids


async def test_a_person_seen_before_since_is_an_old_user() -> None:
    """Until that moment, people are learnt and not installed."""
    bot = tracked_bot(install={"mode": "first_seen", "since": "2027-01-16T00:00:00+00:00"})
    await bot.handle(bot.message(user_id="old"))
    await bot.clock.advance(2 * DAY)
    for user_id in ("old", "new"):
        await bot.handle(bot.message(user_id=user_id))
    assert ["Message", "Message", "install", "Message"] == await bot.names()


async def test_nothing_installs_by_default() -> None:
    """Kochava never says what a bot's install is."""
    bot = tracked_bot()
    await bot.handle(bot.postback(referral=referral()))
    assert ["Postback"] == await bot.names()


async def test_device_fact_with_half_a_character_is_left_out() -> None:
    """The event is not, nor are the other facts."""
    bot = tracked_bot(device={"device_ua": lambda _user_id: "Mozilla\ud83d", "device_ver": "iPhone-iOS-13.6.0"})
    await bot.kochava.track("Purchase", user_id=USER_ID, page_id=PAGE_ID)
    (event,) = [record for record in await bot.records() if isinstance(record, Engagement)]
    assert {"device_ver": "iPhone-iOS-13.6.0"} == event.extra
