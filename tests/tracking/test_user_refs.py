"""People known by a `user_ref` only: under a name of its own, and linked with the person's id once both are known."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import attrs
import orjson
import pytest

from kochava_bot_middleware.kochava.records import Deletion, Engagement, IdentityLink, Install
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from kochava_bot_middleware.store.records import Entry, Queue, Unit
from tests.fakes import settle
from tests.tracking.tracked_bot import GREETING, PAGE_ID, SMARTLINKS, USER_ID, TrackedBot, body_to, tracked_bot

REF = "7700112233"
BY_REF = {"sender": {"user_ref": REF}, "recipient": {"id": PAGE_ID}}
BY_ID = {"sender": {"id": USER_ID}, "recipient": {"id": PAGE_ID}}
PRIOR = {"prior_message": {"source": "checkbox_plugin", "identifier": REF}}
CHECKBOX = {"recipient": {"id": PAGE_ID}, "optin": {"ref": "box", "user_ref": REF}}
DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}

KINDS: dict[str, dict[str, Any]] = {
    "postback": {"postback": {"mid": "m1", "title": "Go", "payload": "GO"}},
    "message": {"message": {"mid": "m2", "text": "hello"}},
    "quick_reply": {"message": {"mid": "m3", "text": "Red", "quick_reply": {"payload": "RED"}}},
    "referral": {"referral": {"ref": "spring", "source": "SHORTLINK", "type": "OPEN_THREAD"}},
    "optin": {"optin": {"type": "notification_messages", "notification_messages_token": "secret-token"}},
    "reaction": {"reaction": {"mid": "m4", "action": "react", "emoji": "x", "reaction": "love"}},
    "account_linking": {"account_linking": {"status": "linked", "authorization_code": "c"}},
    "feedback": {"messaging_feedback": {"feedback_screens": []}},
    "order": {"order": {"products": []}},
    "pass_thread_control": {"pass_thread_control": {"new_owner_app_id": 1}},
}


def event_of(*parts: dict[str, Any], in_changes: bool = False, page_id: str = PAGE_ID, **more: Any) -> Event:
    """The event of one webhook item."""
    item: dict[str, Any] = {"timestamp": 1_800_000_000_000}
    for part in (*parts, more):
        item |= part
    entry = {"changes": [{"field": "messaging_postbacks", "value": item}]} if in_changes else {"messaging": [item]}
    (event,) = parse_webhook(orjson.dumps({"object": "page", "entry": [{"id": page_id, "time": 1, **entry}]}))
    return event


async def ids_of(bot: TrackedBot) -> list[dict[str, str]]:
    """The device ids of each event."""
    return [dict(record.device_ids) for record in await bot.records() if isinstance(record, Engagement)]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_event_of_a_reference_has_its_own_name(kind: str) -> None:
    """A `user_ref` is no PSID."""
    bot = tracked_bot()
    await bot.handle(event_of(BY_REF, KINDS[kind]))
    assert [{"fb_user_ref": REF}] == await ids_of(bot)


async def test_a_postback_of_the_platforms_own_sample_has_its_own_name() -> None:
    """It is in `changes`, as the dashboard sends it."""
    bot = tracked_bot(identity={"user_ref_device_id_key": "ref"})
    await bot.handle(event_of(BY_REF, KINDS["postback"], in_changes=True, page_id="0"))
    assert [{"ref": REF}] == await ids_of(bot)


async def test_the_checkbox_plugin_has_its_own_name() -> None:
    """Its opt-in names no sender."""
    bot = tracked_bot()
    await bot.handle(event_of(CHECKBOX))
    assert [{"fb_user_ref": REF}] == await ids_of(bot)


async def test_what_a_handler_tracks_and_identifies_of_a_reference_has_its_name() -> None:
    """Whether it names the person or not."""
    bot = tracked_bot(wire=DELETION)

    async def handler(event: Event) -> None:
        await bot.kochava.track("One")
        await bot.kochava.track("Two", user_id=event.user_id)
        await bot.kochava.identify({"customer_id": "C-17"}, user_id=event.user_id, page_id=event.page_id)

    await bot.handle(event_of(BY_REF, KINDS["postback"]), handler)
    assert [{"fb_user_ref": REF}] * 2 == await ids_of(bot)
    (link,) = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert ({"fb_user_ref": REF}, {"customer_id": "C-17"}) == (link.device_ids, link.identities)
    await bot.kochava.forget(REF)
    (request,) = await bot.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_ref": REF, "customer_id": "C-17"} == request.device_ids


WHERE: list[dict[str, Any]] = [{}, {"page_id": PAGE_ID}, {"channel": "messenger"}]
"""What a call outside of handling may say beside the id."""


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("automatic", ["always", "off"])
async def test_a_reference_is_still_one_where_no_event_is_handled(automatic: str, where: dict[str, Any]) -> None:
    """Its events said so, whether they were recorded or not; in every process, and whether the Page is known there."""
    bot = tracked_bot(events={"automatic": automatic})
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    for each in (bot.restarted(), bot):
        await each.kochava.track("Purchase", user_id=REF, **where)
        await each.kochava.identify({"customer_id": "C-17"}, user_id=REF, **where)
    assert [{"fb_user_ref": REF}] * (2 + (automatic == "always")) == await ids_of(bot)
    assert [{"fb_user_ref": REF}] == [
        record.device_ids for record in await bot.records() if isinstance(record, IdentityLink)
    ]


@pytest.mark.parametrize("where", WHERE)
async def test_a_joined_reference_is_still_one_where_no_event_is_handled(where: dict[str, Any]) -> None:
    """Also when nothing else than the event that joined it was about it."""
    bot = tracked_bot()
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    await bot.restarted().kochava.track("Purchase", user_id=REF, **where)
    assert [{"fb_user_id": USER_ID}, {"fb_user_ref": REF}] == await ids_of(bot)


async def test_a_handler_that_names_the_reference_of_its_event_means_the_reference() -> None:
    """Of an event that names both ids, before anything of the reference is known."""
    bot = tracked_bot()

    async def handler(event: Event) -> None:
        await bot.kochava.track("One", user_id=event.joined_user_ref, page_id=PAGE_ID, channel="messenger")

    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]), handler)
    assert [{"fb_user_ref": REF}, {"fb_user_id": USER_ID}] == await ids_of(bot)
    (link,) = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert {"fb_user_ref": REF} == link.device_ids


@pytest.mark.parametrize("where", WHERE)
async def test_a_call_outside_of_handling_installs_no_reference(where: dict[str, Any]) -> None:
    """Though it is the first record."""
    bot = tracked_bot(install={"mode": "first_seen", "since": "2020-01-01T00:00:00Z"}, events={"automatic": "off"})
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    await bot.kochava.track("Purchase", user_id=REF, **where)
    assert ["Purchase"] == await bot.names()


@pytest.mark.parametrize(
    "item",
    [
        {**BY_ID, **PRIOR, **KINDS["message"]},
        {**BY_ID, **PRIOR, **KINDS["postback"]},
        {**BY_ID, "optin": {"ref": "box", "user_ref": REF}},
        {"sender": {"id": USER_ID, "user_ref": REF}, "recipient": {"id": PAGE_ID}, **KINDS["message"]},
    ],
)
async def test_a_joined_person_is_linked_with_the_reference(item: dict[str, Any]) -> None:
    """The reference's device gets the person's id as an identity, once."""
    bot = tracked_bot()
    await bot.handle(event_of(CHECKBOX))
    await bot.handle(event_of(item))
    await bot.handle(event_of({**item, "timestamp": 1_800_000_001_000}))
    links = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert [({"fb_user_ref": REF}, {"fb_user_id": USER_ID})] == [(each.device_ids, each.identities) for each in links]
    assert [{"fb_user_ref": REF}, {"fb_user_id": USER_ID}] == (await ids_of(bot))[:2]


async def test_a_reference_that_kochava_never_saw_is_not_linked() -> None:
    """It would not join such a link to anything."""
    bot = tracked_bot()
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    assert ["Message"] == await bot.names()


async def test_a_reference_that_is_recorded_after_it_was_joined_is_linked_then() -> None:
    """The link waits for its first record."""
    bot = tracked_bot()
    both = event_of({"sender": {"id": USER_ID, "user_ref": REF}, "recipient": {"id": PAGE_ID}}, KINDS["message"])
    await bot.handle(both)
    await bot.restarted().handle(event_of(BY_REF, KINDS["postback"]))
    await bot.handle(both)
    links = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert [({"fb_user_ref": REF}, {"fb_user_id": USER_ID})] == [(each.device_ids, each.identities) for each in links]


async def test_with_hashed_ids_both_leave_as_hashes() -> None:
    """The reference, too."""
    bot = tracked_bot(privacy={"user_id_hash": True, "user_id_hash_key": "salt"})
    await bot.handle(event_of(CHECKBOX))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    ref, name = (hmac.new(b"salt", text.encode(), hashlib.sha256).hexdigest() for text in (REF, USER_ID))
    (link,) = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert ({"fb_user_ref": ref}, {"fb_user_id": name}) == (link.device_ids, link.identities)


async def test_a_joined_person_keeps_the_referral_of_the_reference() -> None:
    """What led them here came before their id was known."""
    bot = tracked_bot()
    await bot.handle(event_of(BY_REF, KINDS["referral"]))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    await bot.kochava.track("Purchase", user_id=USER_ID)
    assert ("Purchase", {"referral_from": "spring", "referral_source": "SHORTLINK"}) == (await bot.events())[-1]


@pytest.mark.parametrize("mode", ["entry", "first_seen"])
async def test_a_reference_does_not_install(mode: str) -> None:
    """Else a person who is joined later would install twice."""
    bot = tracked_bot(install={"mode": mode, "since": "2020-01-01T00:00:00Z", "get_started_payloads": ["GO"]})
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    assert ["Postback"] == await bot.names()
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["postback"], postback={"payload": "GO", "mid": "m9"}))
    installs = [record for record in await bot.records() if isinstance(record, Install)]
    assert [{"fb_user_id": USER_ID}] == [record.device_ids for record in installs]


async def test_a_reference_has_no_session() -> None:
    """Else a person who is joined later would have two a day."""
    bot = tracked_bot(events={"sessions": True})
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    assert ["Postback", "session", "Message", "identity_link"] == await bot.names()


async def test_an_entry_that_is_no_install_makes_nobody_known() -> None:
    """An identity waits for the reference's first record."""
    bot = tracked_bot(install={"mode": "entry", "get_started_payloads": ["GO"]}, events={"automatic": "off"})
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=REF)
    assert [] == await bot.names()


async def test_forgetting_a_joined_person_covers_the_reference() -> None:
    """What waits, what is kept, and what Kochava is asked to delete."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(event_of(CHECKBOX))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    assert 3 == await bot.kochava.forget(USER_ID)
    (request,) = await bot.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_id": USER_ID, "fb_user_ref": REF} == request.device_ids
    await bot.handle(event_of(BY_REF, KINDS["postback"]))
    assert 1 == len(await bot.records())


async def test_forgetting_a_joined_person_drops_events_of_the_reference_in_the_inbox() -> None:
    """Which has a lane of its own."""
    bot = tracked_bot()
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    entry = Entry(id="i", queue=Queue.INBOX, lane=f"{PAGE_ID}/{REF}", created_at=bot.clock.now(), body=b"{}")
    await bot.store.commit(Unit(appends=[entry]))
    assert 2 == await bot.kochava.forget(USER_ID)


async def test_an_opt_out_covers_the_reference_whenever_it_is_joined() -> None:
    """Before the opt-out, or after it."""
    for joined_first in (True, False):
        bot = tracked_bot()
        await bot.handle(event_of(CHECKBOX))
        join = event_of(BY_ID, PRIOR, KINDS["message"])
        if joined_first:
            await bot.handle(join)
        await bot.kochava.opt_out(USER_ID)
        if not joined_first:
            await bot.handle(join)
        before = await bot.names()
        await bot.handle(event_of(BY_REF, KINDS["postback"]))
        assert before == await bot.names()
        assert ("identity_link" in before) is joined_first


async def test_a_refused_consent_of_the_person_keeps_them_from_being_linked() -> None:
    """Whatever is known of the reference."""
    bot = tracked_bot(privacy={"consent": lambda user_id: user_id == REF})
    await bot.handle(event_of(CHECKBOX))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    assert ["Opt In"] == await bot.names()


async def test_a_test_user_is_not_linked() -> None:
    """Nothing of them is sent."""
    bot = tracked_bot(test_users=[USER_ID])
    await bot.handle(event_of(CHECKBOX))
    await bot.handle(event_of(BY_ID, PRIOR, KINDS["message"]))
    assert ["Opt In"] == await bot.names()


async def test_pings_of_a_reference_have_its_name() -> None:
    """By a delivery receipt whose sender is the reference; the wait for one keeps the name, too."""
    bot = tracked_bot(greeting=GREETING)
    mid = await bot.send(body_to(user_ref=REF), greeting=True, answer={"message_id": "mid-a"})
    assert mid
    await bot.handle(event_of(BY_REF, {"delivery": {"mids": ["mid-a"], "watermark": 1_800_000_000_000}}))
    await bot.handle(event_of(BY_REF, KINDS["postback"], postback={"payload": "CHAT"}))
    pings = await bot.records("ping")
    assert ["impression", "click"] == [record.kind for record in pings]
    for ping in pings:
        params = attrs.asdict(ping)["params"]
        assert (REF, None) == (params["fb_user_ref"], params.get("fb_user_id"))


@pytest.mark.parametrize("party", ["sender", "recipient"])
@pytest.mark.parametrize("field", ["marketing_message_deliveries", "marketing_message_reads"])
async def test_the_receipt_of_a_marketing_message_to_a_reference_has_its_name(field: str, party: str) -> None:
    """It is a change, with the reference among its parties."""
    bot = tracked_bot(greeting=GREETING)
    answer = {"marketing_message_tracking_id": "paid-1"}
    await bot.send({"message": {"text": "hi"}}, greeting=True, answer=answer)
    value = {party: {"user_ref": REF}, "marketing_message_tracking_id": "paid-1"}
    entry = {"id": PAGE_ID, "time": 1, "changes": [{"field": field, "value": value}]}
    (event,) = parse_webhook(orjson.dumps({"object": "page", "entry": [entry]}))
    await bot.handle(event)
    (impression,) = await bot.records("ping")
    params = attrs.asdict(impression)["params"]
    assert (REF, None) == (params["fb_user_ref"], params.get("fb_user_id"))


async def test_a_greeting_to_a_reference_is_joined_by_what_the_reference_does() -> None:
    """Not only by the person's id."""
    bot = tracked_bot(greeting=GREETING)
    await bot.send(body_to(user_ref=REF), greeting=True, answer={"message_id": "mid-a"})
    await bot.handle(event_of(BY_REF, KINDS["postback"], postback={"payload": "CHAT"}))
    assert ["impression", "click"] == [record.kind for record in await bot.records("ping")]


def tap_at(bot: TrackedBot, ahead_seconds: float) -> Event:
    """A tap of the reference, by a clock that is ahead."""
    tap = {"mid": "m1", "payload": "CHAT"}
    return event_of(BY_REF, postback=tap, timestamp=int((bot.clock.now() + ahead_seconds) * 1000))


@pytest.mark.parametrize("ahead_seconds", [-3, 0, 2, 300])
async def test_what_a_greeting_to_a_reference_answers_does_not_show_it(ahead_seconds: float) -> None:
    """However much Facebook's clock differs; what comes after it does."""
    bot = tracked_bot(greeting=GREETING)

    async def greet(_event: Event) -> None:
        await bot.send(body_to(user_ref=REF), greeting=True, answer={"message_id": "mid-a"})

    await bot.handle(tap_at(bot, ahead_seconds), greet)
    assert [] == await bot.records("ping")
    await bot.handle(event_of(BY_REF, KINDS["postback"], timestamp=int((bot.clock.now() + 301) * 1000)))
    assert ["impression"] == [record.kind for record in await bot.records("ping")]


async def test_what_a_greeting_to_a_reference_answers_does_not_show_it_when_it_is_handled_again() -> None:
    """The process died after the greeting was sent."""
    bot = tracked_bot(greeting=GREETING)
    dies = asyncio.Event()

    async def greet(_event: Event) -> None:
        await bot.send(body_to(user_ref=REF), greeting=True, answer={"message_id": "mid-a"})
        await dies.wait()

    handling = asyncio.create_task(bot.handle(tap_at(bot, 2), greet))
    await settle()
    await bot.restarted().handle(tap_at(bot, 2))
    assert [] == await bot.records("ping")
    dies.set()
    await handling


async def test_the_wait_for_a_receipt_keeps_the_name_of_a_reference() -> None:
    """What they did before the greeting proves nothing; the greeting counts as shown after the wait."""
    bot = tracked_bot(greeting=GREETING)
    await bot.send(body_to(user_ref=REF), greeting=True, answer={"message_id": "mid-a"})
    await bot.handle(event_of(BY_REF, KINDS["postback"], timestamp=1_700_000_000_000))
    bot.clock.stall(61)
    await bot.end_waits()
    (impression,) = await bot.records("ping")
    assert REF == attrs.asdict(impression)["params"]["fb_user_ref"]


async def test_smartlinks_never_name_a_reference_as_a_person() -> None:
    """Also where a handler writes to it as if it were an id."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    rewritten: list[Any] = []

    async def handler(event: Event) -> None:
        await bot.send(body_to(user_ref=REF))
        await bot.send(body_to(REF))
        rewritten.append(bot.kochava.rewrite(body_to("")["message"], user_id=event.user_id))

    await bot.handle(event_of(BY_REF, KINDS["postback"]), handler)
    written = orjson.dumps([[each.body["message"] for each in bot.sent], rewritten]).decode()
    assert 3 == written.count("acme.smart.link")
    assert REF not in written
