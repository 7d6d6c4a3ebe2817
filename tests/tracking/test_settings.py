"""The settings of the middleware as a whole."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.middleware import KochavaMiddleware
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.store.address import without_password
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.tracking.people import DeviceSettings
from kochava_bot_middleware.tracking.settings import KochavaSettings


def wrong(**settings: Any) -> dict[str, str]:
    """What was got, by key."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(KochavaSettings, settings)
    return {violation.key: violation.got for violation in caught.value.violations}


def test_all_violations_come_in_one_error() -> None:
    """The store's address and rules between keys included, each with the key to change."""
    assert {
        "kochava_app_id",
        "store",
        "wire.api_secret",
        "wire.deletion_key",
        "smartlinks.user_id_hash_key",
        "delivery.request_timeout_seconds",
        "delivery.on_ambiguous.Purchase",
        "install.since",
        "events.names.message",
        "at_risk_limit",
    } == set(
        wrong(
            kochava_app_id="  ",
            store="mysql://user:hunter2@host/db",
            wire={"api_key": "k", "deletion_url": "https://nng.kochava.com/x"},
            smartlinks={"user_id_hash": True},
            delivery={"lease_seconds": 3, "on_ambiguous": {"Purchase": "ded"}},
            install={"mode": "first_seen"},
            events={"names": {"message": ""}},
            at_risk_limit=0,
        )
    )


@pytest.mark.parametrize("store", ["mysql://user:hunter2@host/db", "hunter2", "sqlite:///", "memory://?x=1", "  "])
def test_a_store_that_cannot_be_opened_is_refused_with_the_settings(store: str) -> None:
    """Before anything starts, and without a password."""
    assert "hunter2" not in wrong(kochava_app_id="ko", store=store)["store"]


def test_trackers_of_the_greeting_are_refused_under_wire() -> None:
    """At the top as for a Page."""
    tracker = {"trackers": {"greeting": {"click_url": "https://a.example"}}}

    assert ["wire.trackers.greeting", "pages.7.wire.trackers.greeting"] == list(
        wrong(kochava_app_id="ko", wire=tracker, pages={"7": {"wire": tracker}})
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bot:hunter2@db.example/bot?schema=x", "postgresql://…@db.example/bot"),
        ("postgresql://bot:hun/ter@2@db.example/bot", "postgresql://…@db.example/bot"),
        ("redis://db.example:6379/0?prefix=a", "redis://db.example:6379/0"),
        ("sqlite:///bot.db?synchronous=NORMAL", "sqlite:///bot.db"),
        ("memory://", "memory://"),
    ],
)
def test_a_store_address_is_shown_without_its_password(url: str, shown: str) -> None:
    """Neither user and password, nor options."""
    assert shown == without_password(url)


async def test_a_password_is_neither_in_the_settings_print_nor_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It stands in the store's address."""
    caplog.set_level(logging.INFO)
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "ko", "store": "postgresql://bot:hunter2@127.0.0.1/bot"}, store=MemoryStore()
    )
    await kochava.start()
    await kochava.stop()

    assert "kochava_started" in caplog.text
    assert "hunter2" not in caplog.text + repr(kochava.settings)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("privacy", "consent"),
        ("identity", "identify_on_linking"),
        ("install", "known_users"),
        *(("device", field.name) for field in attrs.fields(DeviceSettings)),
    ],
)
def test_a_callable_with_the_wrong_number_of_parameters_is_refused(section: str, name: str) -> None:
    """Otherwise it would fail at each call, and nothing would be tracked."""
    with pytest.raises(SettingsError, match=rf"{section}\.{name}.*a callable of one argument"):
        KochavaMiddleware.from_dict({"kochava_app_id": "koapp", section: {name: lambda _one, _other: None}})
