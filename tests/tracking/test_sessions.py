"""Sessions: off by default, and one a day and person."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.kochava.records import Session
from tests.tracking.tracked_bot import USER_ID, tracked_bot

DAY = 86400.0


async def test_no_session_is_sent_by_default() -> None:
    """No page of Kochava says what a session of a bot is."""
    bot = tracked_bot()
    await bot.handle(bot.message())
    assert ["Message"] == await bot.names()


async def test_a_persons_first_event_after_a_day_is_preceded_by_a_session() -> None:
    """In every process, and for each person."""
    bot = tracked_bot(events={"sessions": True}, device={"app_version": "1.2"})
    await bot.handle(bot.message())
    bot.clock.stall(DAY - 1)
    await bot.handle(bot.message())
    bot.clock.stall(2)
    await bot.restarted().handle(bot.message())
    await bot.handle(bot.message(user_id="u2"))
    assert ["session", "Message", "Message", "session", "Message", "session", "Message"] == await bot.names()
    session = (await bot.records())[0]
    assert isinstance(session, Session)
    assert ({"fb_user_id": USER_ID}, {"app_version": "1.2"}) == (session.device_ids, session.extra)


async def test_an_install_counts_as_a_session() -> None:
    """Kochava attributes sessions from a day after the install on."""
    bot = tracked_bot(events={"sessions": True}, install={"mode": "entry"})
    await bot.handle(bot.postback())
    bot.clock.stall(DAY)
    await bot.handle(bot.message())
    assert ["install", "Postback", "session", "Message"] == await bot.names()


@pytest.mark.parametrize("what", ["track", "delivery", "nothing"])
async def test_what_a_person_did_not_do_begins_no_session(what: str) -> None:
    """An event that a shop reports, a delivery receipt, or an event that is not recorded."""
    bot = tracked_bot(events={"sessions": True, "names": {"message": None}})
    match what:
        case "track":
            await bot.kochava.track("Parcel Left", user_id=USER_ID)
        case "delivery":
            await bot.handle(bot.delivery("m1"))
        case _:
            await bot.handle(bot.message())
    assert "session" not in await bot.names()


async def test_another_person_who_is_tracked_in_a_handler_has_no_session() -> None:
    """They did nothing."""
    bot = tracked_bot(events={"sessions": True})

    async def handler(_event: Any) -> None:
        await bot.kochava.track("Invited", user_id="u2")

    await bot.handle(bot.message(), handler)
    assert [USER_ID] == [record.user_id for record in await bot.records() if isinstance(record, Session)]
