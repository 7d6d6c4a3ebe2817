"""Consent, opting out, being forgotten, and ids that leave as hashes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import Consent, KochavaMiddleware
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.handling import Handling, handling_of
from kochava_bot_middleware.kochava.records import Deletion, Engagement, Install, Record
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import CommitVerdict, Entry, EntryState, Queue, Unit
from kochava_bot_middleware.tracking.privacy import Privacy
from tests.bot_fakes import make_bot, says
from tests.fakes import VirtualClock, settle
from tests.tracking.tracked_bot import (
    GREETING,
    SMARTLINKS,
    USER_ID,
    TrackedBot,
    body_to,
    do_nothing,
    referral,
    state_keys,
    tracked_bot,
    url_of,
)

DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}
SAID_AT_ONCE = (("stop", "ann"), ("are you there?", "ann"), ("good morning", "ben"))
CONSENT = Consent(ad_user_data=True, ad_personalization=False)


class BlindStore(MemoryStore):
    """A store that cannot be read."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.recalls = 0

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        self.recalls += 1
        msg = f"{len(keys)} keys cannot be read"
        raise StoreUnavailable(msg)


async def hanging(_user_id: str) -> bool:
    """A consent service that never answers."""
    await asyncio.Event().wait()
    return True


async def gate(bot: TrackedBot) -> list[str | None]:
    """The gate's answer for each record that waits."""
    privacy = Privacy(bot.context())
    return [await privacy.gate(record) for record in await bot.records()]


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
    bot = tracked_bot(privacy={"consent": answering(answer), "consent_unknown": unknown}, install={"mode": "entry"})
    await bot.handle(bot.postback())
    assert ([] if reason else ["install", "Postback"]) == await bot.names()
    assert ({reason: 1} if reason else {}) == bot.kochava.counts.left_out


async def test_a_consent_is_sent_with_installs_and_events() -> None:
    """As `gdpr_privacy_consent`, its flags 0 and 1; an async callable is awaited."""

    async def consent(_user_id: str) -> Consent:
        await settle()
        return CONSENT

    bot = tracked_bot(privacy={"consent": consent}, install={"mode": "entry"})
    await bot.handle(bot.postback())
    expected = {"gdpr_privacy_consent": {"gdpr_applies": 1, "ad_user_data": 1, "ad_personalization": 0}}
    assert [expected, expected] == [
        record.extra for record in await bot.records() if isinstance(record, (Install, Engagement))
    ]


def test_an_incomplete_consent_is_refused() -> None:
    """Google's rules want a TC string, or both flags."""
    with pytest.raises(ValueError, match="tc_string, or both"):
        Consent(ad_user_data=True)
    assert {"gdpr_applies": 0, "tc_string": "CP"} == Consent(gdpr_applies=False, tc_string="CP").as_body()


@pytest.mark.parametrize("fields", [{"ad_user_data": "yes"}, {"gdpr_applies": 2}, {"tc_string": 5}])
def test_a_consent_of_another_type_is_refused(fields: dict[str, Any]) -> None:
    """Kochava takes 0 and 1, and a text."""
    with pytest.raises(ValueError, match="of a Consent is"):
        Consent(**{"ad_user_data": True, "ad_personalization": False, **fields})


async def test_an_invalid_answer_of_the_consent_callable_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Else a callable that gives Kochava's own object would keep everybody out in silence."""
    bot = tracked_bot(privacy={"consent": lambda _user_id: CONSENT.as_body()})
    await bot.kochava.track("Purchase", {"sum": 1}, user_id=USER_ID)
    assert ([], {"consent unknown": 1}) == (await bot.names(), bot.kochava.counts.left_out)
    assert "consent_not_understood got a dict of 3" in caplog.text


async def test_a_consent_service_that_is_down_for_a_moment_loses_nothing() -> None:
    """It is called again before its answer counts as unknown."""
    answers = iter([LookupError(), LookupError(), True])

    async def consent(_user_id: str) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    bot = tracked_bot(privacy={"consent": consent}, commit_timeout_seconds=0.01)
    await bot.handle(bot.message())
    await bot.clock.advance(5)
    assert ["Message"] == await bot.names()


async def test_a_consent_service_that_hangs_delays_no_other_person() -> None:
    """After one deadline, second tries included, consent is not known."""
    bot = tracked_bot(privacy={"consent": hanging, "consent_timeout_seconds": 0.05}, commit_timeout_seconds=30)
    async with asyncio.timeout(1):
        await bot.handle(bot.message())
    assert ([], {"consent unknown": 1}) == (await bot.names(), bot.kochava.counts.left_out)


async def test_a_plain_consent_callable_does_not_stop_the_event_loop() -> None:
    """It may well ask a database; meanwhile everybody else is answered."""
    begun, go_on = threading.Event(), threading.Event()

    def consent(_user_id: str) -> bool:
        begun.set()
        return go_on.wait(5)

    bot = tracked_bot(privacy={"consent": consent, "consent_timeout_seconds": 10}, commit_timeout_seconds=30)
    handling = asyncio.create_task(bot.handle(bot.message()))
    assert await asyncio.to_thread(begun.wait, 5)
    go_on.set()
    await handling
    assert ["Message"] == await bot.names()


async def test_a_consent_withdrawn_while_a_record_waits_keeps_it_from_being_sent() -> None:
    """The worker asks again, when the last answer is a minute old."""
    answers = [True]
    bot = tracked_bot(privacy={"consent": lambda _user_id: answers[-1]})
    await bot.handle(bot.message())
    assert [None] == await gate(bot)
    answers.append(False)
    await bot.clock.advance(61)
    assert ["consent refused"] == await gate(bot)


# Opting out


async def test_nothing_is_sent_of_a_person_who_opted_out() -> None:
    """Neither what waits nor what comes; their links carry no id, and in every process."""
    bot = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING)
    other = bot.restarted()
    await bot.handle(bot.message())
    await bot.kochava.opt_out(USER_ID)
    await other.handle(other.message())
    await other.kochava.track("Purchase", user_id=USER_ID)
    await other.kochava.identify({"customer_id": "7"}, user_id=USER_ID)
    mid = await other.send(body_to(), greeting=True)
    await other.handle(other.delivery(mid))

    assert ["opted out"] == await gate(other)
    assert {"opted out": 2} == other.kochava.counts.left_out
    assert "acme.smart.link" in url_of(other.sent[0])
    assert "fb_user_id" not in url_of(other.sent[0])


async def test_a_store_that_cannot_be_read_is_not_read_again_at_once() -> None:
    """Until then no link names anybody, and no message waits for it."""
    store = BlindStore(VirtualClock())
    bot = tracked_bot(store.clock, store=store, smartlinks=SMARTLINKS)
    for user_id in ("u1", "u2"):
        await bot.send(body_to(user_id))
    assert (1, False) == (store.recalls, any("fb_user_id" in url_of(sent) for sent in bot.sent))
    store.clock.stall(6)
    await bot.send(body_to("u3"))
    assert 2 == store.recalls


async def test_records_are_sent_again_after_opting_in() -> None:
    """Also what still waits."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    await bot.kochava.track("Before", user_id=USER_ID)
    await bot.kochava.opt_out(USER_ID)
    await bot.kochava.opt_in(USER_ID)
    await bot.handle(bot.message())
    await bot.send(body_to())
    assert [None, None] == await gate(bot)
    assert "fb_user_id=u1" in url_of(bot.sent[0])


@pytest.mark.parametrize("address", ["memory://", "sqlite:///{folder}/bot.db"])
async def test_opting_out_in_a_handler_of_a_bot_applies_to_the_event_being_handled(
    address: str, tmp_path: Path
) -> None:
    """Their state is read when their handler has ended, not with the webhook; so what came with it is not recorded."""
    store = address.format(folder=tmp_path)
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": store, "worker": "separate"})
    bot = make_bot()
    bot.add_middleware(kochava)

    @bot.on_message("stop")
    async def stop(event: Any, _reply: Any) -> None:
        await kochava.opt_out(event.user_id)

    async def until_handled(count: int) -> None:
        while (await kochava.provide_store().stats())[Queue.INBOX].done < count:
            await asyncio.sleep(0)

    await bot.start()
    await says(bot, "hello", user="ann")
    await until_handled(1)
    await asyncio.gather(*(says(bot, text, user=user) for text, user in SAID_AT_ONCE))
    await until_handled(1 + len(SAID_AT_ONCE))
    lanes = [listed.entry.lane for listed in await kochava.provide_store().browse(Queue.TRACK)]
    await bot.stop()

    assert ["koapp/ann", "koapp/ben"] == sorted(lanes)


async def test_opting_out_in_a_handler_applies_to_the_event_being_handled() -> None:
    """The person said stop: the stop itself is not recorded either."""
    bot = tracked_bot()

    async def stop(_event: Event) -> None:
        await bot.kochava.opt_out(USER_ID)

    await bot.handle(bot.message("stop"), stop)
    assert [] == await bot.names()


async def test_a_batch_does_not_name_people_who_opted_out() -> None:
    """Its requests carry their own recipients."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    await bot.kochava.opt_out("u2")
    requests = [{"method": "POST", "relative_url": "me/messages", "body": body_to(user)} for user in ("u1", "u2")]
    await bot.send({"batch": requests}, endpoint="batch")
    text = str(bot.sent[0].body)
    assert ("acme.smart.link" in text, "fb_user_id" in text) == (True, False)


# Being forgotten


async def test_forgetting_leaves_nothing_but_a_hash() -> None:
    """Waiting records, timers and all small state go; Kochava is asked to delete what it has."""
    bot = tracked_bot(wire=DELETION, greeting=GREETING, install={"mode": "entry"})
    await bot.handle(bot.postback(referral=referral()))
    await bot.kochava.identify({"customer_id": "C-1"}, user_id=USER_ID)
    await bot.send(body_to(), greeting=True)
    await bot.handle(bot.message(user_id="u2"))
    assert 1 == (await bot.store.stats())[Queue.TIMER].waiting

    assert 4 == await bot.kochava.forget(USER_ID)

    left = await bot.records()
    assert ["u2", USER_ID] == [record.user_id for record in left]
    assert isinstance(left[1], Deletion)
    assert {"fb_user_id": USER_ID, "customer_id": "C-1"} == left[1].device_ids
    assert [None, None] == await gate(bot)
    assert {} == await bot.store.recall(state_keys("funnel", "referral", "identities", "known"))


@pytest.mark.parametrize("first", [True, False])
async def test_forgetting_uses_the_page_settings_that_can_ask_kochava(first: bool) -> None:
    """Two Pages with one app, of which only one has the deletion API's address; both Pages' names for ids were sent."""
    top, page = (DELETION, {}) if first else ({}, DELETION)
    bot = tracked_bot(wire=top, pages={"1002": {"wire": page, "identity": {"messenger_device_id_key": "psid"}}})
    await bot.handle(bot.message())
    await bot.handle(bot.message(page_id="1002"))
    await bot.kochava.forget(USER_ID)
    (request,) = await bot.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_id": USER_ID, "psid": USER_ID} == request.device_ids


async def test_nothing_is_sent_of_a_forgotten_person_until_they_opt_in() -> None:
    """The tombstone holds in every process; opting in makes them new."""
    bot = tracked_bot(install={"mode": "entry"})
    await bot.handle(bot.postback())
    await bot.kochava.forget(USER_ID)
    other = bot.restarted()
    await other.handle(other.message())
    assert ([], {"forgotten": 1}) == (await other.names(), other.kochava.counts.left_out)
    await other.kochava.opt_in(USER_ID)
    await other.handle(other.message())
    assert ["Message"] == await other.names()


async def test_a_record_in_flight_when_its_person_is_forgotten_is_fenced() -> None:
    """Its claim is worth nothing any more."""
    bot = tracked_bot()
    await bot.handle(bot.message())
    (claim,) = await bot.store.claim(Queue.TRACK, 1, 60)
    await bot.kochava.forget(USER_ID)
    assert [] == await bot.store.renew([claim], 60)


async def test_forgetting_drops_events_in_the_inbox() -> None:
    """On whatever Page, though the settings name none."""
    bot = tracked_bot()
    for page_id, user_id in (("1", USER_ID), ("2", USER_ID), ("1", "u2")):
        entry = Entry(
            id=f"inbox/{page_id}/{user_id}",
            queue=Queue.INBOX,
            lane=f"{page_id}/{user_id}",
            created_at=bot.clock.now(),
            body=b"{}",
        )
        await bot.store.commit(Unit(appends=[entry]))
    assert 2 == await bot.kochava.forget(USER_ID)
    assert ["1/u2"] == [row.entry.lane for row in await bot.store.browse(Queue.INBOX, state=EntryState.WAITING)]


async def test_tombstones_are_keyed_hashes() -> None:
    """With a key of one's own, who has the store alone cannot try ids."""
    bot = tracked_bot(privacy={"tombstone_key": "pepper"})
    await bot.kochava.opt_out(USER_ID)
    key = "barred:" + hmac.new(b"pepper", USER_ID.encode(), hashlib.sha256).hexdigest()
    assert {key: b"opted out"} == await bot.store.recall([(f"koapp/{USER_ID}", key)])


# Hashed ids


async def test_with_hashed_ids_no_id_leaves() -> None:
    """Events, installs, links, pings and SmartLinks carry the same HMAC; callables still get the id."""
    seen: set[str] = set()

    def consent(user_id: str) -> bool:
        seen.add(user_id)
        return True

    bot = tracked_bot(
        privacy={"user_id_hash": True, "user_id_hash_key": "salt", "consent": consent},
        smartlinks=SMARTLINKS,
        greeting=GREETING,
        install={"mode": "entry"},
        wire={"profile": "s2s"},
    )
    person = "6200000000000001"
    name = hmac.new(b"salt", person.encode(), hashlib.sha256).hexdigest()
    await bot.handle(bot.postback(user_id=person))
    await bot.kochava.identify({"customer_id": "C-1"}, user_id=person)
    await bot.send(body_to(person), greeting=True)
    await bot.kochava.start()
    await bot.clock.advance(61)
    await bot.handle(bot.message(user_id=person))

    records = await bot.records()
    assert ["install", "engagement", "identity_link", "engagement", "impression", "click"] == [r.kind for r in records]
    rows = [row for queue in Queue for row in await bot.store.browse(queue)]
    assert person not in "".join(f"{row.entry.lane} {row.entry.id} {row.entry.body!r}" for row in rows)
    assert {name} == {record.user_id for record in records}
    assert f"fb_user_id={name}" in url_of(bot.sent[0])
    assert {person} == seen
    await bot.kochava.forget(person)
    assert [] == await bot.records()
    await bot.kochava.stop()


async def test_a_handling_that_forgets_its_own_person_writes_nothing_of_them() -> None:
    """Whatever the handler tracked before."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(bot.message())
    handling = Handling(event=bot.message(), store=bot.store)

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Asked")
        await bot.kochava.forget(USER_ID)

    with handling_of(handling):
        await bot.kochava.chain_layer.receive(handling.event, handler)
    contribution = await handling.contributions[0].contribute()
    assert [] == list(contribution.appends)
    kinds: list[type[Record]] = [type(record) for record in await bot.records()]
    assert [Deletion] == kinds


async def test_a_person_forgotten_between_plan_and_commit_leaves_no_state() -> None:
    """What was planned before is planned anew, and then nothing is left of it."""
    bot = tracked_bot(install={"mode": "entry"}, greeting=GREETING)
    handling = Handling(event=bot.postback(referral=referral()), store=bot.store)
    with handling_of(handling):
        await bot.kochava.chain_layer.receive(handling.event, do_nothing)
    contribution = await handling.contributions[0].contribute()
    await bot.kochava.forget(USER_ID)
    committed = await bot.store.commit(Unit(appends=contribution.appends, marks=contribution.marks))
    assert committed.verdict is CommitVerdict.CONDITION_FAILED
    again = await handling.contributions[0].contribute()
    assert ([], []) == (list(again.appends), list(again.marks))


async def test_a_message_without_links_does_not_read_the_store() -> None:
    """Only a link can name a person."""
    asked: list[str] = []

    def consent(user_id: str) -> bool:
        asked.append(user_id)
        return True

    bot = tracked_bot(smartlinks=SMARTLINKS, privacy={"consent": consent})
    await bot.send({"recipient": {"id": USER_ID}, "message": {"text": "hello"}})
    assert [] == asked
    await bot.send(body_to())
    await bot.send(body_to())
    assert [USER_ID] == asked
