"""Consent, opting out, being forgotten, and ids that leave as hashes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from kochava_bot_middleware import Consent
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.handling import Handling, handling_of
from kochava_bot_middleware.kochava.records import Deletion, Engagement, Install, Record
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import CommitVerdict, Entry, EntryState, Queue, Unit
from kochava_bot_middleware.tracking.privacy import Privacy
from tests.fakes import VirtualClock, settle
from tests.tracking.stage import GREETING, SMARTLINKS, USER_ID, Stage, nothing, referral, stage, to, url_of

DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}
CONSENT = Consent(ad_user_data=True, ad_personalization=False)


class BlindStore(MemoryStore):
    """A store that cannot be read."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.recalls = 0

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        self.recalls += 1
        msg = f"{len(keys)} keys cannot be read"
        raise StoreUnavailable(msg)


async def hanging(_user_id: str) -> bool:
    """A consent service that never answers."""
    await asyncio.Event().wait()
    return True


async def gate(on: Stage) -> list[str | None]:
    """What the worker is told of each record that waits."""
    privacy = Privacy(on.context())
    return [await privacy.gate(record) for record in await on.records()]


def answering(answer: Any) -> Callable[[str], Any]:
    return lambda _user_id: answer


# Consent


@pytest.mark.parametrize(
    ("answer", "unknown", "reason"),
    [
        (True, "withhold", None),
        (CONSENT, "withhold", None),
        (False, "send", "consent refused"),
        (None, "withhold", "consent unknown"),
        (None, "send", None),
        ("yes", "withhold", "consent unknown"),
    ],
)
async def test_consent_decides_whether_anything_is_recorded(answer: Any, unknown: str, reason: str | None) -> None:
    """What is withheld is counted by its reason."""
    on = stage(privacy={"consent": answering(answer), "consent_unknown": unknown}, install={"mode": "entry"})
    await on.handle(on.postback())
    assert ([] if reason else ["install", "Postback"]) == await on.names()
    assert ({reason: 1} if reason else {}) == on.kochava.counts.left_out


async def test_a_consent_travels_with_installs_and_events() -> None:
    """As `gdpr_privacy_consent`, its flags 0 and 1; an async callable is awaited."""

    async def consent(_user_id: str) -> Consent:
        await settle()
        return CONSENT

    on = stage(privacy={"consent": consent}, install={"mode": "entry"})
    await on.handle(on.postback())
    expected = {"gdpr_privacy_consent": {"gdpr_applies": 1, "ad_user_data": 1, "ad_personalization": 0}}
    assert [expected, expected] == [
        record.extra for record in await on.records() if isinstance(record, (Install, Engagement))
    ]


def test_a_consent_that_says_too_little_is_refused() -> None:
    """Google's rules want a TC string, or both flags."""
    with pytest.raises(ValueError, match="tc_string, or both"):
        Consent(ad_user_data=True)
    assert {"gdpr_applies": 0, "tc_string": "CP"} == Consent(gdpr_applies=False, tc_string="CP").as_body()


@pytest.mark.parametrize("fields", [{"ad_user_data": "yes"}, {"gdpr_applies": 2}, {"tc_string": 5}])
def test_a_consent_of_another_type_is_refused(fields: dict[str, Any]) -> None:
    """Kochava takes 0 and 1, and a text."""
    with pytest.raises(ValueError, match="of a Consent is"):
        Consent(**{"ad_user_data": True, "ad_personalization": False, **fields})


async def test_an_answer_about_consent_that_is_none_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Else a callable that gives Kochava's own object would keep everybody out in silence."""
    on = stage(privacy={"consent": lambda _user_id: CONSENT.as_body()})
    await on.kochava.track("Purchase", {"sum": 1}, user_id=USER_ID)
    assert ([], {"consent unknown": 1}) == (await on.names(), on.kochava.counts.left_out)
    assert "consent_not_understood got a dict of 3" in caplog.text


async def test_a_consent_service_that_is_down_for_a_moment_loses_nothing() -> None:
    """It is asked again before its answer counts as unknown."""
    answers = iter([LookupError(), LookupError(), True])

    async def consent(_user_id: str) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    on = stage(privacy={"consent": consent}, commit_timeout_seconds=0.01)
    await on.handle(on.message())
    await on.clock.advance(5)
    assert ["Message"] == await on.names()


async def test_a_consent_service_that_hangs_holds_up_nobody() -> None:
    """After one deadline, second tries included, consent is not known."""
    on = stage(privacy={"consent": hanging, "consent_timeout_seconds": 0.05}, commit_timeout_seconds=30)
    async with asyncio.timeout(1):
        await on.handle(on.message())
    assert ([], {"consent unknown": 1}) == (await on.names(), on.kochava.counts.left_out)


async def test_a_plain_consent_callable_does_not_stop_the_event_loop() -> None:
    """It may well ask a database; meanwhile everybody else is answered."""
    begun, go_on = threading.Event(), threading.Event()

    def consent(_user_id: str) -> bool:
        begun.set()
        return go_on.wait(5)

    on = stage(privacy={"consent": consent, "consent_timeout_seconds": 10}, commit_timeout_seconds=30)
    handling = asyncio.create_task(on.handle(on.message()))
    assert await asyncio.to_thread(begun.wait, 5)
    go_on.set()
    await handling
    assert ["Message"] == await on.names()


async def test_a_consent_withdrawn_while_a_record_waits_keeps_it_from_being_sent() -> None:
    """The worker asks again, when the last answer is a minute old."""
    answers = [True]
    on = stage(privacy={"consent": lambda _user_id: answers[-1]})
    await on.handle(on.message())
    assert [None] == await gate(on)
    answers.append(False)
    await on.clock.advance(61)
    assert ["consent refused"] == await gate(on)


# Opting out


async def test_of_who_opted_out_nothing_is_sent() -> None:
    """Neither what waits nor what comes; their links carry no id, and in every process."""
    on = stage(smartlinks=SMARTLINKS, greeting=GREETING)
    other = on.restarted()
    await on.handle(on.message())
    await on.kochava.opt_out(USER_ID)
    await other.handle(other.message())
    await other.kochava.track("Purchase", user_id=USER_ID)
    await other.kochava.identify({"customer_id": "7"}, user_id=USER_ID)
    mid = await other.send(to(), greeting=True)
    await other.handle(other.delivery(mid))

    assert ["opted out"] == await gate(other)
    assert {"opted out": 2} == other.kochava.counts.left_out
    assert "acme.smart.link" in url_of(other.sent[0])
    assert "fb_user_id" not in url_of(other.sent[0])


async def test_a_store_that_cannot_tell_who_opted_out_is_not_asked_again_at_once() -> None:
    """Until then no link names anybody, and no message waits for it."""
    store = BlindStore(VirtualClock())
    on = stage(store.clock, store=store, smartlinks=SMARTLINKS)
    for user_id in ("u1", "u2"):
        await on.send(to(user_id))
    assert (1, False) == (store.recalls, any("fb_user_id" in url_of(sent) for sent in on.sent))
    store.clock.stall(6)
    await on.send(to("u3"))
    assert 2 == store.recalls


async def test_who_opts_in_again_is_told_of_again() -> None:
    """Also what still waits."""
    on = stage(smartlinks=SMARTLINKS)
    await on.kochava.track("Before", user_id=USER_ID)
    await on.kochava.opt_out(USER_ID)
    await on.kochava.opt_in(USER_ID)
    await on.handle(on.message())
    await on.send(to())
    assert [None, None] == await gate(on)
    assert "fb_user_id=u1" in url_of(on.sent[0])


async def test_opting_out_while_being_handled_counts_for_that_very_event() -> None:
    """The person said stop: the stop itself is not told either."""
    on = stage()

    async def stop(_event: Event) -> None:
        await on.kochava.opt_out(USER_ID)

    await on.handle(on.message("stop"), stop)
    assert [] == await on.names()


async def test_a_batch_to_somebody_who_opted_out_names_nobody() -> None:
    """Its requests carry their own recipients."""
    on = stage(smartlinks=SMARTLINKS)
    await on.kochava.opt_out("u2")
    requests = [{"method": "POST", "relative_url": "me/messages", "body": to(user)} for user in ("u1", "u2")]
    await on.send({"batch": requests}, endpoint="batch")
    text = str(on.sent[0].body)
    assert ("acme.smart.link" in text, "fb_user_id" in text) == (True, False)


# Being forgotten


async def test_forgetting_leaves_nothing_but_a_hash() -> None:
    """Waiting records, timers and all small state go; Kochava is asked to delete what it has."""
    on = stage(wire=DELETION, greeting=GREETING, install={"mode": "entry"})
    await on.handle(on.postback(referral=referral()))
    await on.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await on.send(to(), greeting=True)
    await on.handle(on.message(user_id="u2"))
    assert 1 == (await on.store.stats())[Queue.TIMER].waiting

    assert 4 == await on.kochava.forget(USER_ID)

    left = await on.records()
    assert ["u2", USER_ID] == [record.user_id for record in left]
    assert isinstance(left[1], Deletion)
    assert {"fb_user_id": USER_ID, "ig_user_id": USER_ID} == left[1].device_ids
    assert [None, None] == await gate(on)
    marks = [f"{kind}:koapp:{USER_ID}" for kind in ("funnel", "referral", "identities", "known")]
    assert {} == await on.store.recall(marks)


@pytest.mark.parametrize("first", [True, False])
async def test_forgetting_asks_kochava_whichever_pages_settings_can(first: bool) -> None:
    """Two Pages with one app, of which only one has the deletion API's address; both Pages' names for ids are told."""
    top, page = (DELETION, {"profile": "s2s"}) if first else ({}, DELETION)
    on = stage(wire=top, pages={"1002": {"wire": page, "identity": {"messenger_device_id_key": "psid"}}})
    await on.kochava.forget(USER_ID)
    (request,) = await on.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_id": USER_ID, "psid": USER_ID, "ig_user_id": USER_ID} == request.device_ids


async def test_a_forgotten_person_is_not_told_of_until_they_opt_in() -> None:
    """The tombstone holds in every process; opting in makes them new."""
    on = stage(install={"mode": "entry"})
    await on.handle(on.postback())
    await on.kochava.forget(USER_ID)
    other = on.restarted()
    await other.handle(other.message())
    assert ([], {"forgotten": 1}) == (await other.names(), other.kochava.counts.left_out)
    await other.kochava.opt_in(USER_ID)
    await other.handle(other.message())
    assert ["Message"] == await other.names()


async def test_a_record_under_way_when_its_person_is_forgotten_is_fenced() -> None:
    """Its claim is worth nothing any more."""
    on = stage()
    await on.handle(on.message())
    (claim,) = await on.store.claim(Queue.TRACK, 1, 60)
    await on.kochava.forget(USER_ID)
    assert [] == await on.store.renew([claim], 60)


async def test_events_of_the_forgotten_in_the_inbox_go_too() -> None:
    """On whatever Page, though the settings name none."""
    on = stage()
    for page_id, user_id in (("1", USER_ID), ("2", USER_ID), ("1", "u2")):
        entry = Entry(
            id=f"inbox/{page_id}/{user_id}",
            queue=Queue.INBOX,
            lane=f"{page_id}/{user_id}",
            created_at=on.clock.now(),
            body=b"{}",
        )
        await on.store.commit(Unit(appends=[entry]))
    assert 2 == await on.kochava.forget(USER_ID)
    assert ["1/u2"] == [row.entry.lane for row in await on.store.browse(Queue.INBOX, state=EntryState.WAITING)]


async def test_tombstones_are_keyed_hashes() -> None:
    """With a key of one's own, who has the store alone cannot try ids."""
    on = stage(privacy={"tombstone_key": "pepper"})
    await on.kochava.opt_out(USER_ID)
    key = "barred:" + hmac.new(b"pepper", USER_ID.encode(), hashlib.sha256).hexdigest()
    assert {key: b"opted out"} == await on.store.recall([key])


# Hashed ids


async def test_with_hashed_ids_no_id_leaves() -> None:
    """Events, installs, links, pings and SmartLinks carry the same HMAC; callables still get the id."""
    seen: set[str] = set()

    def consent(user_id: str) -> bool:
        seen.add(user_id)
        return True

    on = stage(
        privacy={"user_id_hash": True, "user_id_hash_key": "salt", "consent": consent},
        smartlinks=SMARTLINKS,
        greeting=GREETING,
        install={"mode": "entry"},
        wire={"profile": "s2s"},
    )
    person = "6200000000000001"
    name = hmac.new(b"salt", person.encode(), hashlib.sha256).hexdigest()
    await on.handle(on.postback(user_id=person))
    await on.kochava.identify({"customer_id": "C-1"}, user_id=person)
    await on.send(to(person), greeting=True)
    await on.kochava.start()
    await on.clock.advance(61)
    await on.handle(on.message(user_id=person))

    records = await on.records()
    assert ["install", "engagement", "identity_link", "engagement", "impression", "click"] == [r.kind for r in records]
    rows = [row for queue in (Queue.TRACK, Queue.PING, Queue.TIMER) for row in await on.store.browse(queue)]
    assert person not in "".join(f"{row.entry.lane} {row.entry.id} {row.entry.body!r}" for row in rows)
    assert {name} == {record.user_id for record in records}
    assert f"fb_user_id={name}" in url_of(on.sent[0])
    assert {person} == seen
    await on.kochava.forget(person)
    assert [] == await on.records()
    await on.kochava.stop()


async def test_a_handling_that_forgets_its_own_person_writes_nothing_of_them() -> None:
    """Whatever the handler tracked before."""
    on = stage(wire=DELETION)
    handling = Handling(event=on.message(), store=on.store)

    async def handler(_event: Event) -> None:
        await on.kochava.track("Asked")
        await on.kochava.forget(USER_ID)

    with handling_of(handling):
        await on.kochava.receive(handling.event, handler)
    contribution = await handling.contributions[0].contribute()
    assert [] == list(contribution.appends)
    kinds: list[type[Record]] = [type(record) for record in await on.records()]
    assert [Deletion] == kinds


async def test_who_is_forgotten_between_plan_and_commit_does_not_come_back() -> None:
    """What was planned before is planned anew, and then nothing is left of it."""
    on = stage(install={"mode": "entry"}, greeting=GREETING)
    handling = Handling(event=on.postback(referral=referral()), store=on.store)
    with handling_of(handling):
        await on.kochava.receive(handling.event, nothing)
    contribution = await handling.contributions[0].contribute()
    await on.kochava.forget(USER_ID)
    committed = await on.store.commit(Unit(appends=contribution.appends, marks=contribution.marks))
    assert committed.verdict is CommitVerdict.CONDITION_FAILED
    again = await handling.contributions[0].contribute()
    assert ([], []) == (list(again.appends), list(again.marks))


async def test_a_message_without_links_asks_the_store_nothing() -> None:
    """Only a link can name somebody."""
    asked: list[str] = []

    def consent(user_id: str) -> bool:
        asked.append(user_id)
        return True

    on = stage(smartlinks=SMARTLINKS, privacy={"consent": consent})
    await on.send({"recipient": {"id": USER_ID}, "message": {"text": "hello"}})
    assert [] == asked
    await on.send(to())
    await on.send(to())
    assert [USER_ID] == asked
