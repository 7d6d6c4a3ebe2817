"""What is known of a person: referrals, devices, identities, installs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from kochava_bot_middleware import SettingsError, TrackingError
from kochava_bot_middleware.kochava.records import Engagement, IdentityLink, Install, Ping, Record
from kochava_bot_middleware.kochava.wire import build_request
from kochava_bot_middleware.messenger.events import AccountLinkingEvent, Event, Referral
from kochava_bot_middleware.store.records import Mark, Queue, Unit
from kochava_bot_middleware.tracking.settings import Apps
from tests.fakes import VirtualClock, settle
from tests.tracking.stage import GREETING, PAGE_ID, USER_ID, PatientStore, Stage, referral, stage

DAY = 86400.0


async def tracks(on: Stage) -> list[Record]:
    return await on.records(Queue.TRACK)


async def identities(on: Stage) -> list[dict[str, str]]:
    return [dict(record.identities) for record in await tracks(on) if isinstance(record, IdentityLink)]


def linked(on: Stage, status: str = "linked") -> AccountLinkingEvent:
    return AccountLinkingEvent(
        user_id=USER_ID,
        page_id=PAGE_ID,
        status=status,
        authorization_code="code-7",
        timestamp=on.at(),
        raw={"account_linking": {"status": status}, "at": on.clock.now()},
    )


# Referrals


async def test_the_last_referral_is_told_with_named_events() -> None:
    """Also in another process, and beside the author's own data, which wins."""
    on = stage()
    await on.handle(on.message(referral=referral("flyer")))
    await on.clock.advance(10)
    await on.handle(on.message(referral=referral("summer", ad_id="99")))
    await on.restarted().kochava.track("Purchase", {"sum": 1, "referral_from": "mine"}, user_id=USER_ID)
    (_, _, (_, data)) = await on.events()
    assert {"sum": 1, "referral_from": "mine", "referral_source": "SHORTLINK", "referral_ad_id": "99"} == data


@pytest.mark.parametrize(
    ("which", "expected"), [("first", {"referral_from": "flyer", "referral_source": "SHORTLINK"}), ("off", None)]
)
async def test_the_first_referral_or_none_may_be_told(which: str, expected: Any) -> None:
    """`attach_referral`."""
    on = stage(events={"attach_referral": which, "automatic": "off"})
    for ref in ("flyer", "summer"):
        await on.handle(on.message(referral=referral(ref)))
        await on.clock.advance(1)
    await on.kochava.track("Purchase", user_id=USER_ID)
    assert [("Purchase", expected)] == await on.events()


async def test_the_event_that_brings_a_referral_has_it_at_once() -> None:
    """The handler of the very postback names its event."""
    on = stage()

    async def handler(_event: Event) -> None:
        await on.kochava.track("Started")

    await on.handle(on.postback(referral=referral()), handler)
    assert [("Started", {"referral_from": "flyer", "referral_source": "SHORTLINK"})] == await on.events()


async def test_a_referral_explains_nothing_after_thirty_days() -> None:
    """It is forgotten then."""
    on = stage(events={"automatic": "off"})
    await on.handle(on.message(referral=referral()))
    await on.clock.advance(30 * DAY + 1)
    await on.kochava.track("Purchase", user_id=USER_ID)
    assert [("Purchase", None)] == await on.events()


async def test_a_referral_with_an_address_in_it_is_told_without_it() -> None:
    """Anybody can make a link with any text; no e-mail address leaves by it."""
    on = stage(greeting=GREETING)
    await on.send({"recipient": {"id": USER_ID}, "message": {"text": "Hello"}}, greeting=True)
    await on.handle(on.postback(referral=Referral(ref="mail-ada@example.com", source="ADS", ad_id="9")))
    await on.kochava.track("Order", user_id=USER_ID)
    assert ("Order", {"referral_source": "ADS", "referral_ad_id": "9"}) == (await on.events())[-1]
    assert "ada@" not in str(await on.records())


async def test_another_persons_referral_is_not_told() -> None:
    """The handled event speaks of its own person only."""
    on = stage(events={"automatic": "off"})

    async def handler(_event: Event) -> None:
        await on.kochava.track("Invited", user_id="friend")
        await on.kochava.track("Scalar", 7)

    await on.handle(on.postback(referral=referral()), handler)
    assert [("Invited", None), ("Scalar", 7)] == await on.events()


# Devices


async def test_device_facts_are_resolved_when_the_event_is_recorded() -> None:
    """Values and callables, plain and async; what gives nothing is left out."""

    async def version(user_id: str) -> str | None:
        await settle()
        return {"u1": "iPhone-iOS-13.6.0"}.get(user_id)

    on = stage(
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
        await on.kochava.track("Purchase", user_id=user_id)
    first, second = await tracks(on)
    assert isinstance(first, Engagement)
    assert isinstance(second, Engagement)
    assert {
        "origination_ip": "192.0.2.7",
        "device_ver": "iPhone-iOS-13.6.0",
        "kochava_device_id": "bot-u1",
        "app_version": "2.1",
    } == first.extra
    assert {"kochava_device_id": "bot-u2", "app_version": "2.1"} == second.extra

    (destination,) = Apps(on.kochava.settings).destinations
    request = build_request(first, destination)
    assert b'"kochava_device_id":"bot-u1"' in (request.body or b"")
    assert "Unknown" == request.headers["User-Agent"]


async def test_device_callables_are_asked_at_the_same_time() -> None:
    """Each waits here for the other, so one after the other they would give nothing."""
    both = asyncio.Barrier(2)

    async def fact(_user_id: str) -> str:
        async with both:
            return "known"

    on = stage(device={"device_ua": fact, "device_ver": fact}, commit_timeout_seconds=30)
    await on.handle(on.message())
    (record,) = await tracks(on)
    assert isinstance(record, Engagement)
    assert {"device_ua": "known", "device_ver": "known"} == record.extra


@pytest.mark.parametrize("name", ["kochava_device_id", "nt_id"])
def test_what_must_differ_by_person_is_no_text_for_everybody(name: str) -> None:
    """Kochava would count one single person; an empty text names nobody."""
    with pytest.raises(SettingsError, match=f"device.{name}.*callable"):
        stage(device={name: "bot"})
    stage(device={name: ""})


async def test_a_device_id_that_cannot_be_told_is_empty() -> None:
    """The person's own id in its place would be another device to Kochava, now and for ever."""

    def device_id(_user_id: str) -> str:
        raise LookupError

    on = stage(wire={"profile": "s2s"}, device={"kochava_device_id": device_id})
    await on.kochava.track("Order", user_id=USER_ID)
    (order,) = await tracks(on)
    (destination,) = Apps(on.kochava.settings).destinations
    assert b'"kochava_device_id":""' in (build_request(order, destination).body or b"")


async def test_a_pings_address_is_only_the_persons_own() -> None:
    """One text for everybody would be many clicks from one address; events may have it."""
    on = stage(greeting=GREETING, device={"origination_ip": "192.0.2.7", "device_ua": lambda _user_id: "Mozilla/5.0"})
    await on.send({"recipient": {"id": USER_ID}, "message": {"text": "Hello"}}, greeting=True)
    await on.handle(on.message())
    (event,) = await tracks(on)
    assert isinstance(event, Engagement)
    assert "192.0.2.7" == event.extra["origination_ip"]
    pings = [dict(ping.params) for ping in await on.records(Queue.PING) if isinstance(ping, Ping)]
    assert [(None, "Mozilla/5.0")] * 2 == [(ping.get("ip_address"), ping["device_ua"]) for ping in pings]


# Identities


async def test_an_identity_link_is_of_the_same_device_as_events() -> None:
    """Of the other facts it has none: they are not asked for there."""
    on = stage(device={"kochava_device_id": lambda user_id: f"bot-{user_id}", "origination_ip": "192.0.2.7"})
    await on.handle(on.message())
    await on.kochava.identify({"customer_id": "7"}, user_id=USER_ID)
    (link,) = (record for record in await tracks(on) if isinstance(record, IdentityLink))
    assert {"kochava_device_id": f"bot-{USER_ID}"} == link.extra


async def test_each_value_of_an_identity_is_linked_once() -> None:
    """In whatever process; a new value is linked again, and an old one that comes back is not."""
    on = stage()
    linked_now: list[Mapping[str, str]] = []
    for customer in ("C-1", "C-1", "C-2", "C-1"):
        on = on.restarted()

        async def handler(_event: Event, customer: str = customer, kochava: Any = on.kochava) -> None:
            await kochava.identify({"customer_id": customer})

        await on.handle(on.message(), handler)
        linked_now += [record.identities for record in await on.deliver() if isinstance(record, IdentityLink)]
    assert [{"customer_id": "C-1"}, {"customer_id": "C-2"}] == linked_now


async def test_an_identity_link_follows_the_persons_first_record() -> None:
    """Kochava would not tie it to somebody it never heard of, so it waits, also for another process."""
    on = stage()
    await on.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await on.kochava.identify({"loyalty": 7}, user_id=USER_ID)  # type: ignore[dict-item]
    assert [] == await tracks(on)
    other = on.restarted()
    await other.handle(other.message())
    assert ["Message", "identity_link"] == await on.names()
    assert [{"customer_id": "C-1", "loyalty": "7"}] == await identities(on)
    lanes = {row.entry.lane for row in await on.store.browse(Queue.TRACK)}
    assert {f"koapp/{USER_ID}"} == lanes


async def test_somebody_known_is_linked_at_once() -> None:
    """Outside of handling, the call is itself the commit."""
    on = stage()
    await on.handle(on.message())
    await on.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    assert ["Message", "identity_link"] == await on.names()


async def test_the_wait_for_the_first_record_can_be_turned_off() -> None:
    """`wait_for_first_record`, for those whose app knows the people already."""
    on = stage(identity={"wait_for_first_record": False})
    await on.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    assert ["identity_link"] == await on.names()


async def test_identity_links_can_be_off() -> None:
    """What was identified meanwhile goes into events all the same, and is linked once a form is set."""
    identity = {"identities_in_events": ["customer_id"]}
    off = stage(wire={"identity_form": "off"}, identity=identity)
    await off.kochava.track("Order", user_id=USER_ID)
    await off.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await off.kochava.track("Order", user_id=USER_ID)
    assert ["engagement", "engagement"] == [record.kind for record in await tracks(off)]
    assert {"fb_user_id": USER_ID, "customer_id": "C-1"} == (await tracks(off))[-1].device_ids  # type: ignore[attr-defined]

    on = stage(off.clock, store=off.store, identity=identity)
    await on.kochava.track("Order", user_id=USER_ID)
    assert [{"customer_id": "C-1"}] == await identities(on)


async def test_an_address_that_is_none_is_left_out_alone(caplog: pytest.LogCaptureFixture) -> None:
    """With a host name or a hash in its place, the whole event might be refused."""
    on = stage(device={"origination_ip": lambda _user_id: "host.example", "device_ver": "iPhone-iOS-13.6.0"})
    await on.kochava.track("Order", user_id=USER_ID)
    (order,) = await tracks(on)
    assert isinstance(order, Engagement)
    assert {"device_ver": "iPhone-iOS-13.6.0"} == order.extra
    assert "device_fact_failed origination_ip" in caplog.text


async def test_an_identity_link_may_name_the_person_by_another_key() -> None:
    """Kochava's pages write the key in two ways."""
    on = stage(identity={"messenger_link_key": "fb_userid", "wait_for_first_record": False})
    for channel in ("messenger", "instagram"):
        await on.kochava.identify({"customer_id": "C-1"}, user_id=channel, channel=channel)
    assert [{"fb_userid": "messenger"}, {"ig_user_id": "instagram"}] == [
        record.device_ids for record in await tracks(on) if isinstance(record, IdentityLink)
    ]


async def test_linked_ids_may_go_into_every_event() -> None:
    """`identities_in_events` names which; the others are kept as hashes only."""
    on = stage(identity={"identities_in_events": ["customer_id"]})
    await on.handle(on.message())
    await on.kochava.identify({"customer_id": "C-1", "card": "4711-0815"}, user_id=USER_ID)
    await on.restarted().kochava.track("Purchase", user_id=USER_ID)
    event = (await tracks(on))[-1]
    assert isinstance(event, Engagement)
    assert {"fb_user_id": USER_ID, "customer_id": "C-1"} == event.device_ids
    marks = await on.store.recall([f"identities:koapp:{USER_ID}"])
    assert b"4711-0815" not in b"".join(marks.values())


async def test_account_linking_identifies_by_itself() -> None:
    """A callable turns the webhook into identities; a failing one harms nothing, unlinking is none."""
    asked: list[str] = []

    async def customer_of(event: AccountLinkingEvent) -> dict[str, str] | None:
        asked.append(event.authorization_code or "")
        await settle()
        if len(asked) == 2:
            raise LookupError
        return {"customer_id": "C-7"}

    on = stage(identity={"identify_on_linking": customer_of})
    await on.handle(linked(on))
    await on.clock.advance(1)
    await on.handle(linked(on))
    await on.handle(linked(on, "unlinked"))
    assert ["code-7", "code-7"] == asked
    assert ["Account Linked", "identity_link", "Account Linked", "Account Unlinked"] == await on.names()
    assert [{"customer_id": "C-7"}] == await identities(on)


async def test_an_identity_that_is_none_is_left_out_alone() -> None:
    """The others are linked; in strict mode the call raises."""
    on = stage()
    await on.handle(on.message())
    bad: Any = {"customer_id": "C-1", "": "x", "empty": "", "blank": " ", "nothing": None, 7: "x"}
    await on.kochava.identify(bad, user_id=USER_ID)
    await on.kochava.identify("C-1", user_id=USER_ID)  # type: ignore[arg-type]
    assert [{"customer_id": "C-1"}] == await identities(on)
    assert {"bad key": 6} == on.kochava.counts.left_out
    with pytest.raises(TrackingError, match="identity 'empty' has no text"):
        await stage(events={"strict": True}).kochava.identify({"empty": ""}, user_id=USER_ID)


async def test_unreadable_state_of_a_person_is_a_fresh_one() -> None:
    """A corrupt mark must not stop the bot's events."""
    on = stage(greeting={"impression_url": "https://imp.test/i"}, identity={"identities_in_events": ["customer_id"]})
    keys = [f"{kind}:koapp:{USER_ID}" for kind in ("funnel", "referral", "identities")]
    for broken in (b"{", b"[]", b'{"first": 1, "odd": 2}'):
        await on.store.commit(Unit(marks=[Mark(key=key, value=broken) for key in keys]))
        await on.handle(on.message(referral=referral()))
    assert ["Message"] * 3 == await on.names()


# Installs


@pytest.mark.parametrize(
    ("entry", "installs"),
    [("get started", True), ("postback with referral", True), ("another postback", False), ("message", False)],
)
async def test_an_entry_is_an_install(entry: str, installs: bool) -> None:
    """Get-started, or a referral in a postback; it comes before the person's first event, in the same lane."""
    on = stage(install={"mode": "entry"})
    match entry:
        case "get started":
            event: Event = on.postback()
        case "postback with referral":
            event = on.postback("X", referral=referral())
        case "another postback":
            event = on.postback("X")
        case _:
            event = on.message(referral=referral())
    await on.handle(event)
    assert installs == (["install"] == (await on.names())[:1])
    assert 1 == len({row.entry.lane for row in await on.store.browse(Queue.TRACK)})


async def test_an_install_is_told_once_over_all_processes() -> None:
    """Two at the same moment, and again after the thread was deleted."""
    on = stage(install={"mode": "entry"})
    other = on.restarted()
    await asyncio.gather(on.handle(on.postback()), other.handle(other.postback()))
    await other.handle(other.postback())
    names = await on.names()
    assert (1, "install") == (names.count("install"), names[0])


@pytest.mark.parametrize("entry_first", [True, False])
async def test_an_install_never_follows_an_event(entry_first: bool) -> None:
    """Whichever of two processes is first: it comes before all events, or not at all."""
    clock = VirtualClock()
    on = stage(clock, store=PatientStore(clock=clock), install={"mode": "entry"})
    other = on.restarted()
    handlings = [on.handle(on.postback()), other.handle(other.message())]
    await asyncio.gather(*(handlings if entry_first else reversed(handlings)))
    expected = ["install", "Postback", "Message"] if entry_first else ["Message", "Postback"]
    assert expected == await on.names()


async def test_who_was_there_before_does_not_install_by_entering_again() -> None:
    """Their first record is older than the entry."""
    on = stage(install={"mode": "entry"})
    await on.handle(on.message())
    await on.handle(on.postback())
    assert ["Message", "Postback"] == await on.names()


async def test_an_ignored_entry_is_an_install_all_the_same() -> None:
    """`@kochava.ignore` keeps the event out, not the person."""
    on = stage(install={"mode": "entry"})

    @on.kochava.ignore
    async def greet(_event: Event) -> None: ...

    await on.handle(on.postback(), greet)
    assert ["install"] == await on.names()


async def test_first_seen_installs_whom_nobody_knew() -> None:
    """`known_users` tells who was there before the middleware was."""

    async def known(user_id: str) -> bool:
        await settle()
        return user_id == "old"

    on = stage(install={"mode": "first_seen", "known_users": known})
    for user_id in ("old", "new", "new"):
        await on.handle(on.message(user_id=user_id))
    assert ["old", "new"] == list(dict.fromkeys(record.user_id for record in await tracks(on)))
    assert ["Message", "install", "Message", "Message"] == await on.names()
    (install,) = (record for record in await tracks(on) if isinstance(record, Install))
    assert {"fb_user_id": "new"} == install.device_ids


async def test_who_is_seen_before_since_is_an_old_user() -> None:
    """Until that moment, people are learnt and not installed."""
    on = stage(install={"mode": "first_seen", "since": "2027-01-16T00:00:00+00:00"})
    await on.handle(on.message(user_id="old"))
    await on.clock.advance(2 * DAY)
    for user_id in ("old", "new"):
        await on.handle(on.message(user_id=user_id))
    assert ["Message", "Message", "install", "Message"] == await on.names()


async def test_nothing_installs_by_default() -> None:
    """Kochava never says what a bot's install is."""
    on = stage()
    await on.handle(on.postback(referral=referral()))
    assert ["Postback"] == await on.names()
