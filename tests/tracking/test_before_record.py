"""`KochavaSettings.before_record`: a callable that sees each record before it is stored."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import Drop, SettingsError, SyncKochava
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.records import Engagement, IdentityLink, Record
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.settings import from_environment, from_mapping
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, CommitVerdict, Queue, Unit
from kochava_bot_middleware.tracking.settings import KochavaSettings
from tests.tracking.tracked_bot import GREETING, USER_ID, TrackedBot, body_to, tracked_bot

HOOK = f"{__name__}:raising"


class Seen(list[Record]):
    """A hook that notes what it sees, and answers the same each time."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.answer = answer

    def __call__(self, record: Record) -> Any:
        self.append(record)
        return self.answer


class HangingStore(MemoryStore):
    """A store that takes nothing."""

    async def commit(self, unit: Unit) -> Committed:
        await asyncio.Event().wait()
        return await super().commit(unit)


def bot_with(before_record: Callable[[Record], Any], **settings: Any) -> TrackedBot:
    return tracked_bot(before_record=before_record, **settings)


async def test_it_sees_records_of_every_kind() -> None:
    """Automatic and named events, installs, identity links and pings."""
    seen = Seen()
    bot = bot_with(seen, greeting={**GREETING, "delivery_events": "absent"}, install={"mode": "entry"})

    async def handler(_event: Event) -> None:
        await bot.kochava.track("Purchase")
        await bot.kochava.identify({"customer_id": "C-17"})
        await bot.send(body_to(), greeting=True)

    await bot.handle(bot.postback())
    await bot.handle(bot.postback("CHAT"), handler)
    await bot.handle(bot.postback("CHAT"))
    expected = await bot.records()
    assert {"install", "engagement", "identity_link", "impression", "click"} <= {record.kind for record in expected}
    assert sorted(seen, key=lambda record: record.id) == sorted(expected, key=lambda record: record.id)


def test_it_sees_records_of_synchronous_programs() -> None:
    """In whatever process."""
    seen = Seen()
    settings: dict[str, Any] = {"kochava_app_id": "koapp", "worker": "separate", "before_record": seen}
    with SyncKochava.from_dict(settings, store=MemoryStore()) as kochava:
        kochava.track("Renewal", user_id=USER_ID)
    assert ["Renewal"] == [getattr(record, "event_name", "") for record in seen]


async def test_it_changes_the_data_of_an_event() -> None:
    """What it gives is cleaned as any data."""

    async def before_record(record: Record) -> Any:
        return {**record.event_data, "plan": "gold", "source": "reserved"} if isinstance(record, Engagement) else None

    bot = bot_with(before_record)
    await bot.kochava.track("Purchase", {"sum": 1}, user_id=USER_ID)
    assert [("Purchase", {"sum": 1, "plan": "gold"})] == await bot.events()


async def test_it_drops_an_event_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Which is counted and logged; the person has no record then, so that no identity link comes first."""
    bot = bot_with(Seen(Drop("internal")))
    with caplog.at_level(logging.INFO):
        await bot.kochava.track("Purchase", user_id=USER_ID)
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    assert ([], 1) == (await bot.names(), bot.kochava.counts.left_out["before_record: internal"])
    assert "record_dropped Purchase internal" in caplog.text


async def test_what_is_dropped_is_no_id_that_was_sent() -> None:
    """A deletion request names only those that were."""
    deletion = {"deletion_url": "https://kochava.test/scrub", "deletion_key": "key"}
    bot = bot_with(lambda record: Drop("internal") if isinstance(record, Engagement) else None, wire=deletion)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    await bot.kochava.forget(USER_ID)
    assert [] == await bot.records()


async def test_it_drops_a_record_that_is_no_event() -> None:
    """The others are stored."""
    bot = bot_with(lambda record: Drop("no links") if isinstance(record, IdentityLink) else None)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    assert (["Purchase"], 1) == (await bot.names(), bot.kochava.counts.left_out["before_record: no links"])


def raising(_record: Record) -> Any:
    """A hook with a mistake."""
    raise ZeroDivisionError


@pytest.mark.parametrize("before_record", [raising, Seen(True), Seen([1]), Seen("keep"), lambda _record: Drop("")])
async def test_one_that_fails_costs_the_data_and_not_the_event(
    before_record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it would have left out might be in them. The handler notices nothing."""
    bot = bot_with(before_record)

    async def handler(_event: Event) -> str:
        await bot.kochava.track("Purchase", {"note": "private"})
        return "result"

    assert "result" == await bot.handle(bot.message(), handler)
    assert [("Purchase", None)] == await bot.events()
    assert "before_record_failed Purchase" in caplog.text
    assert "private" not in caplog.text


async def test_a_mapping_is_no_answer_for_what_has_no_data() -> None:
    """The record is stored as it is."""
    bot = bot_with(Seen({"customer_id": "other"}))
    await bot.kochava.track("Purchase", user_id=USER_ID)
    await bot.kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    (link,) = [record for record in await bot.records() if isinstance(record, IdentityLink)]
    assert {"customer_id": "C-17"} == link.identities


async def test_what_it_writes_into_a_record_changes_nothing() -> None:
    """Only its answer counts."""

    def before_record(record: Record) -> None:
        if isinstance(record, Engagement):
            record.event_data["items"].append("more")

    bot = bot_with(before_record)
    await bot.kochava.track("Purchase", {"items": ["one"]}, user_id=USER_ID)
    assert [("Purchase", {"items": ["one"]})] == await bot.events()


async def test_a_redelivered_webhook_is_recorded_once_whatever_it_answers() -> None:
    """The ids of records do not depend on it."""
    answers = iter([{"sum": 1}, {"sum": 2}])
    bot = bot_with(lambda _record: next(answers))
    event = bot.message()
    await bot.handle(event)
    await bot.handle(event)
    assert [("Message", {"sum": 1})] == await bot.events()


class ConflictingStore(MemoryStore):
    """Another process changes the person's state before the first commit."""

    def __init__(self) -> None:
        super().__init__()
        self.conflicts = 1

    async def commit(self, unit: Unit) -> Committed:
        if self.conflicts:
            self.conflicts -= 1
            return Committed(verdict=CommitVerdict.CONDITION_FAILED, failed_key="known:")
        return await super().commit(unit)


async def test_it_is_called_once_for_each_record_however_often_is_planned() -> None:
    """A hook may count."""
    seen = Seen()
    bot = tracked_bot(store=ConflictingStore(), before_record=seen)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    assert (1, ["Purchase"]) == (len(seen), await bot.names())
    assert 1 == len(await bot.store.browse(Queue.TRACK))


def test_a_settings_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By module and name."""
    (tmp_path / "shop_hooks.py").write_text("def before_record(record):\n    return None\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = from_mapping(KochavaSettings, {"kochava_app_id": "koapp", "before_record": "shop_hooks:before_record"})
    assert "shop_hooks" == getattr(settings.before_record, "__module__", None)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("no_such_module:hook", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:no_such_name", "no_such_name"),
        ("json:__name__", "wanted a callable"),
        ("json.loads", "wanted a callable, or where it is, such as 'shop.tracking:before_record'"),
        (5, "wanted a callable"),
        (lambda: None, "wanted a callable of one argument"),
    ],
)
def test_what_names_no_callable_is_refused(given: Any, why: str) -> None:
    """With what was tried."""
    with pytest.raises(SettingsError, match=why) as caught:
        from_mapping(KochavaSettings, {"kochava_app_id": "koapp", "before_record": given})
    assert "before_record" == caught.value.violations[0].key


def test_a_text_that_is_a_value_for_everybody_is_not_imported() -> None:
    """Where a text is wanted as well."""
    table: dict[str, Any] = {"kochava_app_id": "koapp", "device": {"device_ver": "json:loads"}}
    variables = {"KOCHAVA_BOT__KOCHAVA__DEVICE__APP_VERSION": "no_such:1", "KOCHAVA_BOT__KOCHAVA__BEFORE_RECORD": HOOK}
    read = from_environment(variables, over={"kochava": table})["kochava"]
    settings = from_mapping(KochavaSettings, read)
    assert ("json:loads", "no_such:1") == (settings.device.device_ver, settings.device.app_version)
    assert raising.__name__ == getattr(settings.before_record, "__name__", "")


@pytest.mark.parametrize("is_plain", [True, False])
async def test_its_time_is_not_that_of_the_store(is_plain: bool) -> None:
    """A call waits for it, however little the store may take."""
    released = threading.Event()

    def before_record(_record: Record) -> None:
        released.wait()

    async def async_before_record(_record: Record) -> None:
        await asyncio.to_thread(released.wait)

    bot = bot_with(before_record if is_plain else async_before_record, commit_timeout_seconds=0.01)
    asyncio.get_running_loop().call_later(0.05, released.set)
    await bot.kochava.track("Purchase", user_id=USER_ID)
    assert ["Purchase"] == await bot.names()


async def test_the_time_of_the_store_ends_after_it_was_asked() -> None:
    """What it took is not given to the store."""
    bot = tracked_bot(store=HangingStore(), before_record=Seen(), commit_timeout_seconds=0.01)
    with pytest.raises(StoreUnavailable, match=r"within 0\.01 s"):
        await bot.kochava.track("Purchase", user_id=USER_ID)
