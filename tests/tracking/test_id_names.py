"""One name for a person's id on each channel, in everything that leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.records import Engagement, IdentityLink, Install, Ping
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Unit
from kochava_bot_middleware.store.wrapper import StoreWrapper
from kochava_bot_middleware.tracking.state import write
from tests.tracking.tracked_bot import (
    GREETING,
    PAGE_ID,
    SMARTLINKS,
    USER_ID,
    TrackedBot,
    body_to,
    referral,
    tracked_bot,
    url_of,
)

NAMES = {Channel.MESSENGER: "fb_user_id", Channel.INSTAGRAM: "ig_user_id"}


class AwayStore(StoreWrapper):
    """Cannot be read."""

    asked: tuple[str, ...] = ()

    async def recall(self, keys: Collection[tuple[str, str]]) -> Mapping[str, bytes]:
        self.asked = (*self.asked, *(key for _, key in keys))
        msg = "it is away"
        raise StoreUnavailable(msg)


async def everything_of(bot: TrackedBot, channel: Channel) -> list[dict[str, str]]:
    """The names and values of the person's id in each record, and in a SmartLink."""
    await bot.handle(bot.postback(channel=channel, referral=referral()))
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID, page_id=PAGE_ID, channel=channel)
    await bot.send(body_to(), greeting=True, channel=channel)
    await bot.handle(bot.message(channel=channel))
    found: list[dict[str, str]] = [
        {name: values[0] for name, values in parse_qs(urlsplit(url_of(bot.sent[0])).query).items()}
    ]
    for record in await bot.records():
        assert isinstance(record, Engagement | Install | IdentityLink | Ping)
        found.append(dict(record.params if isinstance(record, Ping) else record.device_ids))
    return [{name: value for name, value in each.items() if value == USER_ID} for each in found]


@pytest.mark.parametrize("channel", Channel)
async def test_each_channel_has_one_name_everywhere(channel: Channel) -> None:
    """Install, events, identity link, impression, click and SmartLink."""
    bot = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING, install={"mode": "entry"})
    assert [{NAMES[channel]: USER_ID}] * 7 == await everything_of(bot, channel)


async def test_a_name_of_the_settings_is_used_everywhere() -> None:
    """Pings and SmartLinks follow the name in events, by Page, too."""
    settings = {"instagram_device_id_key": "igsid"}
    for place in ({"identity": settings}, {"pages": {PAGE_ID: {"identity": settings}}}):
        bot = tracked_bot(smartlinks=SMARTLINKS, greeting=GREETING, install={"mode": "entry"}, **place)
        assert [{"igsid": USER_ID}] * 7 == await everything_of(bot, Channel.INSTAGRAM)


async def test_an_explicit_parameter_wins() -> None:
    """For SmartLinks and pings each."""
    bot = tracked_bot(
        smartlinks={**SMARTLINKS, "user_param": "uid"},
        greeting={**GREETING, "user_param": "who"},
        install={"mode": "entry"},
    )
    found = await everything_of(bot, Channel.INSTAGRAM)
    assert [{"uid": USER_ID}, *[{"ig_user_id": USER_ID}] * 4, *[{"who": USER_ID}] * 2] == found


async def test_a_call_outside_of_handling_uses_the_channel_on_which_the_person_is_known() -> None:
    """In another process, too; an explicit channel wins."""
    bot = tracked_bot()
    await bot.handle(bot.message(channel=Channel.INSTAGRAM))
    other = bot.restarted()
    await other.kochava.track("Purchase", user_id=USER_ID)
    await other.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    await other.kochava.track("Odd", user_id=USER_ID, channel="messenger")
    await other.kochava.track("First", user_id="u9")
    found = [dict(record.device_ids) for record in await bot.records() if isinstance(record, Engagement | IdentityLink)]
    expected = [{"ig_user_id": USER_ID}] * 3 + [{"fb_user_id": USER_ID}, {"fb_user_id": "u9"}]
    assert expected == found


async def test_a_person_who_was_taken_for_one_of_messenger_is_known_by_their_webhook() -> None:
    """A call before their first webhook assumed the wrong channel; calls after it do not."""
    bot = tracked_bot()
    await bot.kochava.track("Early", user_id=USER_ID)
    await bot.handle(bot.message(channel=Channel.INSTAGRAM))
    await bot.restarted().kochava.track("Late", user_id=USER_ID)
    found = [record.device_ids for record in await bot.records() if isinstance(record, Engagement)]
    assert [{"fb_user_id": USER_ID}, {"ig_user_id": USER_ID}, {"ig_user_id": USER_ID}] == found


async def test_a_call_for_a_page_of_which_events_came_uses_its_channel() -> None:
    """Though the person is new."""
    bot = tracked_bot()
    await bot.handle(bot.message(channel=Channel.INSTAGRAM))
    await bot.kochava.track("Purchase", user_id="u9", page_id=PAGE_ID)
    (record,) = [record for record in await bot.records() if record.user_id == "u9"]
    assert isinstance(record, Engagement)
    assert {"ig_user_id": "u9"} == record.device_ids


async def test_another_person_of_a_handled_events_page_is_on_its_channel() -> None:
    """Ids are those of the Page; what is known of the person wins."""
    bot = tracked_bot()
    await bot.handle(bot.message(user_id="u2"))

    async def handler(_event: Any) -> None:
        await bot.kochava.track("Invited", user_id="u2")
        await bot.kochava.track("Invited", user_id="u3")

    await bot.handle(bot.message(channel=Channel.INSTAGRAM), handler)
    found = [dict(record.device_ids) for record in await bot.records() if isinstance(record, Engagement)]
    assert {"fb_user_id": "u2"} in found[1:]
    assert {"ig_user_id": "u3"} in found


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "fb_user_id"),
        ({"channel": "instagram"}, "ig_user_id"),
        ({"page_id": PAGE_ID}, "ig_user_id"),
        ({"page_id": PAGE_ID, "channel": "messenger"}, "fb_user_id"),
    ],
)
async def test_a_body_that_is_rewritten_by_hand_names_the_id_by_channel(arguments: Any, name: str) -> None:
    """As it is given, or as of the Page's events."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    await bot.handle(bot.message(channel=Channel.INSTAGRAM))
    body = bot.kochava.rewrite(body_to(), **arguments)
    assert f"{name}={USER_ID}" in body["message"]["attachment"]["payload"]["buttons"][0]["url"]


@pytest.mark.parametrize(("channel", "name"), [(None, "ig_user_id"), ("messenger", "fb_user_id")])
async def test_a_body_that_a_client_of_ones_own_sends_names_the_id_by_channel(channel: str | None, name: str) -> None:
    """As it is given, or as of the Page's events."""
    bot = tracked_bot(smartlinks=SMARTLINKS)
    await bot.handle(bot.message(channel=Channel.INSTAGRAM))

    async def post(body: Any) -> Any:
        assert f"{name}={USER_ID}" in str(body)
        return {}

    await bot.kochava.send(body_to(), post, page_id=PAGE_ID, channel=channel)


async def test_a_body_that_is_rewritten_in_a_handler_has_the_channel_of_its_person() -> None:
    """Nothing need be given."""
    bot, rewritten = tracked_bot(smartlinks=SMARTLINKS), []

    async def handler(_event: Any) -> None:
        rewritten.append(bot.kochava.rewrite(body_to()))

    await bot.handle(bot.message(channel=Channel.INSTAGRAM), handler)
    assert f"ig_user_id={USER_ID}" in str(rewritten)


async def test_the_channel_of_a_page_is_written_once() -> None:
    """By each process; Messenger, which is assumed, is not written."""
    bot = tracked_bot()
    for mid, channel in (("m1", Channel.INSTAGRAM), ("m2", Channel.INSTAGRAM), ("m3", Channel.MESSENGER)):
        await bot.handle(bot.message(mid=mid, channel=channel))
    page = (PAGE_ID, f"channel:{PAGE_ID}")
    assert {page[1]: b"instagram"} == dict(await bot.store.recall([page]))
    await bot.store.commit(Unit(marks=[write(page, None)]))
    await bot.handle(bot.message(mid="m4", channel=Channel.INSTAGRAM))
    assert {} == dict(await bot.store.recall([page]))


async def test_a_message_whose_pages_channel_cannot_be_looked_up_is_sent() -> None:
    """As one of Messenger; the store is not asked again for each."""
    bot = tracked_bot(store=(store := AwayStore(MemoryStore())), smartlinks=SMARTLINKS)
    sent: list[Any] = []

    async def post(body: Any) -> Any:
        sent.append(body)
        return {}

    for _ in range(2):
        await bot.kochava.send(body_to(), post, page_id=PAGE_ID)
    assert 2 == len(sent)
    assert 1 == sum(f"channel:{PAGE_ID}" in asked for asked in store.asked)
