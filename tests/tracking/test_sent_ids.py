"""A deletion request names what was sent to Kochava of a person, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import pytest

from kochava_bot_middleware.kochava.records import Deletion
from kochava_bot_middleware.messenger.events import AccountLinkingEvent, Channel, DeliveryEvent, Event
from kochava_bot_middleware.store.records import Unit
from kochava_bot_middleware.tracking.state import MOST_SENT_NAMES, MOST_SENT_VALUES, Keys, KnownState, write
from tests.fakes import settle
from tests.tracking.tracked_bot import (
    GREETING,
    PAGE_ID,
    SMARTLINKS,
    USER_ID,
    TrackedBot,
    body_to,
    state_keys,
    tracked_bot,
)

DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}


async def deletions(bot: TrackedBot, user_id: str = USER_ID) -> list[Deletion]:
    """What Kochava is asked when the person is forgotten."""
    await bot.kochava.forget(user_id)
    return [record for record in await bot.records() if isinstance(record, Deletion)]


async def named(bot: TrackedBot, user_id: str = USER_ID) -> Mapping[str, str]:
    """The ids in the one request that is made when the person is forgotten."""
    (request,) = await deletions(bot, user_id)
    assert {} == request.former_ids
    return request.device_ids


async def test_an_id_of_the_other_channel_is_not_named() -> None:
    """It was never sent, and would be told to Kochava by the request alone."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(bot.message())
    await bot.handle(bot.message(user_id="7", channel=Channel.INSTAGRAM))
    assert {"fb_user_id": USER_ID} == await named(bot)
    assert [{"ig_user_id": "7"}] == [each.device_ids for each in await deletions(bot, "7")][1:]


async def test_linked_identities_are_named() -> None:
    """Those of `identify`, in a handler and elsewhere, each with each of its values."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-17", "member": "M-1"}, user_id=USER_ID)
    await bot.kochava.identify({"customer_id": "C-18"}, user_id=USER_ID)
    (request,) = await deletions(bot)
    assert {"fb_user_id": USER_ID, "customer_id": "C-18", "member": "M-1"} == request.device_ids
    assert {"customer_id": ["C-17"]} == request.former_ids


async def test_an_identity_of_account_linking_is_named() -> None:
    """It is linked as one of `identify` is."""
    bot = tracked_bot(wire=DELETION, identity={"identify_on_linking": lambda _event: {"customer_id": "C-17"}})
    await bot.handle(AccountLinkingEvent(user_id=USER_ID, page_id=PAGE_ID, status="linked"))
    assert {"fb_user_id": USER_ID, "customer_id": "C-17"} == await named(bot)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"identity_form": "off"}, {"fb_user_id": USER_ID}),
        ({"identity_form": "action"}, {"fb_user_id": USER_ID, "kochava_device_id": USER_ID, "customer_id": "C-17"}),
        ({"profile": "s2s"}, {"fb_user_id": USER_ID, "kochava_device_id": USER_ID, "customer_id": "C-17"}),
    ],
)
async def test_what_is_named_depends_on_the_form_of_the_requests(wire: Any, expected: Any) -> None:
    """An identity that was only stored is not named; the device id of a request is."""
    bot = tracked_bot(wire={**DELETION, **wire})
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    assert expected == await named(bot)


async def test_other_names_of_the_id_in_links_and_events_are_named() -> None:
    """By the settings of each Page."""
    bot = tracked_bot(
        wire=DELETION,
        identity={"messenger_link_key": "fb_userid"},
        pages={"1002": {"identity": {"messenger_device_id_key": "psid"}}},
    )
    await bot.handle(bot.message())
    await bot.handle(bot.message(page_id="1002"))
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID, page_id=PAGE_ID)
    expected = {"fb_user_id": USER_ID, "psid": USER_ID, "fb_userid": USER_ID, "customer_id": "C-17"}
    assert expected == await named(bot)


async def test_each_app_is_asked_for_what_it_was_sent() -> None:
    """Two Pages with apps of their own."""
    bot = tracked_bot(wire=DELETION, pages={"1002": {"kochava_app_id": "koother"}, "1003": {"kochava_app_id": "kono"}})
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID, page_id=PAGE_ID)
    await bot.handle(bot.message(page_id="1002"))
    requests = {each.app_id: each.device_ids for each in await deletions(bot)}
    assert {"koapp": {"fb_user_id": USER_ID, "customer_id": "C-17"}, "koother": {"fb_user_id": USER_ID}} == requests


async def test_a_former_app_that_stays_in_the_settings_is_asked() -> None:
    """Under a Page that does not exist, after the App GUID was changed; what waits for it is dropped."""
    bot = tracked_bot(kochava_app_id="koformer", wire=DELETION)
    await bot.handle(bot.message())
    kept = {"pages": {"0": {"kochava_app_id": "koformer", "wire": DELETION}}}
    changed = tracked_bot(bot.clock, store=bot.store, wire=DELETION, **kept)
    assert {"koformer": {"fb_user_id": USER_ID}} == {each.app_id: each.device_ids for each in await deletions(changed)}
    assert ["deletion"] == await changed.names()


async def test_a_device_id_of_a_callable_is_named() -> None:
    """It may be an id of the person's phone."""
    bot = tracked_bot(wire=DELETION, device={"kochava_device_id": lambda _user_id: "KD-1"})
    await bot.handle(bot.message())
    assert {"fb_user_id": USER_ID, "kochava_device_id": "KD-1"} == await named(bot)


async def test_hashed_ids_are_named_as_they_were_sent() -> None:
    """The id itself was never sent."""
    bot = tracked_bot(wire=DELETION, privacy={"user_id_hash": True, "user_id_hash_key": "salt"})
    await bot.handle(bot.message())
    assert {"fb_user_id": hmac.new(b"salt", USER_ID.encode(), hashlib.sha256).hexdigest()} == await named(bot)


async def test_an_id_that_was_only_in_a_ping_is_named() -> None:
    """A person who was greeted and never did anything."""
    bot = tracked_bot(wire=DELETION, greeting=GREETING)
    mid = await bot.send(body_to(), greeting=True)
    await bot.handle(DeliveryEvent(user_id=USER_ID, page_id=PAGE_ID, mids=(mid,)))
    assert ["impression"] == await bot.names()
    assert {"fb_user_id": USER_ID} == await named(bot)


async def test_an_id_in_a_ping_is_named_as_it_is_there() -> None:
    """By the parameter of the settings, and by each other one that has it."""
    greeting = {**GREETING, "user_param": "who", "params": {"cp_1": "{user_id}", "cp_2": "{page_id}"}}
    bot = tracked_bot(wire=DELETION, greeting=greeting)
    await bot.handle(DeliveryEvent(user_id=USER_ID, page_id=PAGE_ID, mids=(await bot.send(body_to(), greeting=True),)))
    assert {"who": USER_ID, "cp_1": USER_ID} == await named(bot)


@pytest.mark.parametrize(
    ("smartlinks", "expected"),
    [
        ({}, {"fb_user_id": USER_ID}),
        (
            {"user_id_hash": True, "user_id_hash_key": "salt", "user_param": "uid"},
            {"uid": hmac.new(b"salt", USER_ID.encode(), hashlib.sha256).hexdigest()},
        ),
    ],
)
async def test_an_id_that_was_only_in_a_smartlink_is_named(smartlinks: Any, expected: Any) -> None:
    """Of a program that only sends; the message does not wait for the store."""
    bot = tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, **smartlinks})
    await bot.send(body_to())
    await bot.send(body_to())
    await settle()
    assert expected == await named(bot)
    assert [] == await deletions(tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, "user_param": None}))


@pytest.mark.parametrize(
    ("smartlinks", "key", "value"),
    [
        ({}, "fb_user_id", USER_ID),
        ({"user_param": "uid"}, "uid", USER_ID),
        (
            {"user_id_hash": True, "user_id_hash_key": "salt"},
            "fb_user_id",
            hmac.new(b"salt", USER_ID.encode(), hashlib.sha256).hexdigest(),
        ),
    ],
)
async def test_an_id_in_a_link_that_a_handler_rewrote_is_named(smartlinks: Any, key: str, value: str) -> None:
    """Of a body, and of a message alone."""
    for body in (body_to(), body_to()["message"]):
        bot = tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, **smartlinks}, events={"automatic": "off"})
        rewritten: list[Any] = []

        async def handler(_event: Event, bot: TrackedBot = bot, body: Any = body, to: list[Any] = rewritten) -> None:
            to.append(bot.kochava.rewrite(body, user_id=USER_ID, page_id=PAGE_ID))

        await bot.handle(bot.message(), handler)
        assert f"{key}={value}" in str(rewritten)
        assert {key: value} == await named(bot)


async def test_an_id_in_a_link_is_named_where_events_of_several_people_are_handled() -> None:
    """By one call, which rewrites a body for one of them."""
    bot = tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, "user_param": "uid"}, events={"automatic": "off"})
    async with bot.kochava.handling_together([bot.message(), bot.message(user_id="other")]):
        bot.kochava.rewrite(body_to())
    assert {"uid": USER_ID} == await named(bot)


async def test_a_handler_that_rewrites_a_link_without_an_id_tells_nothing() -> None:
    """Nothing of the person left, and nothing is kept."""
    bot = tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, "user_param": None}, events={"automatic": "off"})

    async def handler(_event: Event) -> None:
        bot.kochava.rewrite(body_to())

    await bot.handle(bot.message(), handler)
    assert [] == await deletions(bot)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_id_in_a_smartlink_is_named_again_after_opting_in(elsewhere: bool) -> None:
    """The person was forgotten in between, perhaps in another process."""
    bot = tracked_bot(wire=DELETION, smartlinks={**SMARTLINKS, "user_param": "uid"})
    await bot.send(body_to())
    await settle()
    other = bot.restarted() if elsewhere else bot
    assert 1 == len(await deletions(other))
    await other.kochava.opt_in(USER_ID)
    if elsewhere:
        bot.clock.stall(61)
    await bot.send(body_to())
    await settle()
    assert [{"uid": USER_ID}] * 2 == [each.device_ids for each in await deletions(bot)]


async def test_kochava_is_not_asked_about_a_person_of_whom_nothing_was_sent() -> None:
    """The request would be the first to tell it of them."""
    bot = tracked_bot(wire=DELETION, privacy={"consent": lambda _user_id: False}, smartlinks=SMARTLINKS)
    await bot.handle(bot.message())
    await bot.send(body_to())
    await settle()
    assert [] == await deletions(bot)


async def test_what_a_dry_run_made_was_not_sent() -> None:
    """Its traces are deleted all the same."""
    bot = tracked_bot(wire=DELETION, mode="dry_run")
    await bot.handle(bot.message())
    live = tracked_bot(wire=DELETION, store=bot.store, clock=bot.clock)
    assert [] == await deletions(live)
    keys = [(lane, f"dry_run:{key}") for lane, key in state_keys("known")]
    assert {} == await bot.store.recall(keys)


async def test_ids_that_another_process_sends_meanwhile_are_in_the_request() -> None:
    """The state is read again when it changed after it was read."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(bot.message())
    recall, other = bot.store.recall, bot.restarted()
    asked = 0

    async def recall_late(keys: Any) -> Any:
        nonlocal asked
        found = await recall(keys)
        asked += 1
        if asked == 2:
            await other.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
        return found

    bot.store.recall = recall_late  # type: ignore[method-assign]
    assert {"fb_user_id": USER_ID, "customer_id": "C-17"} == await named(bot)


async def test_a_request_is_made_once() -> None:
    """Being forgotten twice tells Kochava nothing new."""
    bot = tracked_bot(wire=DELETION)
    await bot.handle(bot.message())
    assert 1 == len(await deletions(bot))
    assert 1 == len(await deletions(bot))


def test_the_memory_of_ids_is_bounded() -> None:
    """So many names, and the newest values of each."""
    state = KnownState()
    for number in range(100):
        state = state.with_ids({f"key{number}": "v", "customer_id": str(number)})
    assert MOST_SENT_NAMES == len(state.ids)
    assert tuple(str(number) for number in range(100 - MOST_SENT_VALUES, 100)) == state.ids["customer_id"]
    assert state == KnownState.from_bytes(state.to_bytes())


async def test_a_state_entry_that_cannot_be_read_still_says_that_there_is_a_record() -> None:
    """Nobody installs a second time."""
    bot = tracked_bot(wire=DELETION, install={"mode": "entry"})
    keys = Keys("koapp", USER_ID)
    await bot.store.commit(Unit(marks=[write(keys.known, b"?")]))
    await bot.handle(bot.postback())
    assert ["Postback"] == await bot.names()
    assert {"fb_user_id": USER_ID} == await named(bot)
