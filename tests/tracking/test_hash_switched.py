"""Opting out and being forgotten hold where `privacy.user_id_hash` is switched on or off afterwards."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from kochava_bot_middleware.kochava.records import Deletion
from kochava_bot_middleware.tracking.privacy import Privacy
from tests.tracking.tracked_bot import SMARTLINKS, USER_ID, TrackedBot, body_to, tracked_bot, url_of

DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}
NO_KEY: dict[str, Any] = {}
PLAIN = {"user_id_hash_key": "salt"}
HASHED = {"user_id_hash": True, "user_id_hash_key": "salt"}
SWITCHES = [(NO_KEY, HASHED), (PLAIN, HASHED), (HASHED, PLAIN)]
REF = "7700112233"


def hashed(user_id: str) -> str:
    return hmac.new(b"salt", user_id.encode(), hashlib.sha256).hexdigest()


def as_sent(privacy: dict[str, Any], user_id: str = USER_ID) -> str:
    return hashed(user_id) if privacy is HASHED else user_id


def bot_with(privacy: dict[str, Any], before: TrackedBot | None = None) -> TrackedBot:
    """A process with these settings, on the store of the process *before*."""
    clock, store = (None, None) if before is None else (before.clock, before.store)
    return tracked_bot(clock, store=store, privacy=privacy, wire=DELETION, smartlinks=SMARTLINKS)


@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_what_waits_is_dropped_and_what_was_sent_is_named(before: Any, after: Any) -> None:
    """The request names the id as it was sent then."""
    bot = bot_with(before)
    await bot.handle(bot.message())
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    other = bot_with(after, bot)
    assert 2 == await other.kochava.forget(USER_ID)
    (request,) = await other.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_id": as_sent(before), "customer_id": "C-17"} == request.device_ids


async def test_both_forms_of_the_id_are_named() -> None:
    """Of a person of whom something was sent before and after."""
    bot = bot_with(NO_KEY)
    await bot.handle(bot.message())
    other = bot_with(HASHED, bot)
    await other.handle(other.message(mid="after"))
    assert 2 == await other.kochava.forget(USER_ID)
    (request,) = await other.records()
    assert isinstance(request, Deletion)
    assert {USER_ID, hashed(USER_ID)} == {request.device_ids["fb_user_id"], *request.former_ids["fb_user_id"]}


@pytest.mark.parametrize("call", ["opt_out", "forget"])
@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_nothing_new_is_recorded_of_a_suppressed_person(before: Any, after: Any, call: str) -> None:
    """Neither their events, nor what is tracked of them."""
    bot = bot_with(before)
    await getattr(bot.kochava, call)(USER_ID)
    other = bot_with(after, bot)
    await other.handle(other.message())
    await other.kochava.track("Purchase", user_id=USER_ID)
    assert [] == await other.names()


@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_a_link_does_not_name_a_person_who_opted_out(before: Any, after: Any) -> None:
    """Under neither form of their id."""
    bot = bot_with(before)
    await bot.kochava.opt_out(USER_ID)
    other = bot_with(after, bot)
    await other.send(body_to())
    assert "fb_user_id" not in url_of(other.sent[0])


@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_what_waits_from_before_is_not_sent_after_an_opt_out(before: Any, after: Any) -> None:
    """The gate asks about the id in the record."""
    bot = bot_with(before)
    await bot.handle(bot.message())
    other = bot_with(after, bot)
    await other.kochava.opt_out(USER_ID)
    privacy = Privacy(other.context())
    assert ["opted out"] == [await privacy.gate(record) for record in await other.records()]


async def test_what_waits_is_not_sent_after_an_opt_out_that_knew_another_form() -> None:
    """A process without the key opts a person out; one with the key has a record with the id itself."""
    bot = bot_with(HASHED)
    await bot.kochava.opt_out(USER_ID)
    plain = bot_with(NO_KEY, bot)
    await plain.kochava.opt_in(USER_ID)
    await plain.handle(plain.message())
    privacy = Privacy(bot.context())
    assert ["opted out"] == [await privacy.gate(record) for record in await bot.records()]


@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_opting_in_takes_back_an_opt_out_from_before(before: Any, after: Any) -> None:
    """Under both forms."""
    bot = bot_with(before)
    await bot.kochava.opt_out(USER_ID)
    other = bot_with(after, bot)
    await other.kochava.opt_in(USER_ID)
    await other.handle(other.message())
    assert ["Message"] == await other.names()


@pytest.mark.parametrize(("before", "after"), SWITCHES)
async def test_a_reference_to_a_suppressed_person_is_suppressed(before: Any, after: Any) -> None:
    """It was joined to them before the switch."""
    bot = bot_with(before)
    await bot.handle(bot.message(user_id=REF, user_ref=REF))
    await bot.handle(bot.message(user_ref=REF))
    other = bot_with(after, bot)
    await other.kochava.forget(USER_ID)
    (request,) = await other.records()
    assert isinstance(request, Deletion)
    assert {"fb_user_id": as_sent(before), "fb_user_ref": as_sent(before, REF)} == request.device_ids
    await other.handle(other.message(user_id=REF, user_ref=REF))
    assert 1 == len(await other.records())
