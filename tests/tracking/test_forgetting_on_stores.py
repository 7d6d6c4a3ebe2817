"""Being joined and forgotten on each durable store, whose units then concern several lanes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kochava_bot_middleware.kochava.records import Deletion
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.parsing.webhook import parse_item
from kochava_bot_middleware.store.address import StorePlace
from tests.fakes import VirtualClock
from tests.faults.engines import ENGINES, fresh_address
from tests.tracking.tracked_bot import PAGE_ID, USER_ID, tracked_bot

DELETION = {"deletion_url": "https://nng.kochava.test/accounts/1/apps/2/privacy/scrub", "deletion_key": "key"}
REF = "7700112233"


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_was_sent_of_a_joined_person_is_named_and_gone(engine: str, tmp_path: Path) -> None:
    """Once, also where they are forgotten again."""
    clock = VirtualClock()
    store = StorePlace(address=await fresh_address(engine, tmp_path)).make(clock)
    bot = tracked_bot(clock, store=store, wire=DELETION)
    await store.open()
    try:
        prior = {"prior_message": {"source": "checkbox_plugin", "identifier": REF}}
        for item in (
            {"recipient": {"id": PAGE_ID}, "optin": {"ref": "box", "user_ref": REF}},
            {"sender": {"id": USER_ID}, "recipient": {"id": PAGE_ID}, "message": {"mid": "m1", "text": "hi"}, **prior},
        ):
            await bot.handle(parse_item(item, channel=Channel.MESSENGER, page_id=PAGE_ID))
        await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
        assert ["Opt In", "Message", "identity_link", "identity_link"] == await bot.names()
        await bot.kochava.opt_out(USER_ID)
        await bot.kochava.opt_in(USER_ID)
        assert 4 == await bot.kochava.forget(USER_ID)
        assert 0 == await bot.kochava.forget(USER_ID)
        (request,) = await bot.records()
        assert isinstance(request, Deletion)
        assert {"fb_user_id": USER_ID, "customer_id": "C-17", "fb_user_ref": REF} == request.device_ids
    finally:
        await store.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_was_sent_before_ids_were_hashed_is_named_and_gone(engine: str, tmp_path: Path) -> None:
    """The two forms of an id are in different lanes."""
    clock = VirtualClock()
    store = StorePlace(address=await fresh_address(engine, tmp_path)).make(clock)
    bot = tracked_bot(clock, store=store, wire=DELETION)
    hashing = {"user_id_hash": True, "user_id_hash_key": "salt"}
    other = tracked_bot(clock, store=store, wire=DELETION, privacy=hashing)
    await store.open()
    try:
        await bot.handle(bot.message(mid="before"))
        await other.handle(other.message(mid="after"))
        assert 2 == await other.kochava.forget(USER_ID)
        (request,) = await bot.records()
        assert isinstance(request, Deletion)
        assert USER_ID in (request.device_ids["fb_user_id"], *request.former_ids["fb_user_id"])
        for each in (bot, other):
            await each.handle(each.message(mid="later"))
            assert {"forgotten": 1} == each.kochava.counts.left_out
    finally:
        await store.close()
