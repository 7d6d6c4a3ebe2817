"""The settings of the middleware as a whole."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.kochava.destination import TrackerUrls
from kochava_bot_middleware.middleware import KochavaMiddleware
from kochava_bot_middleware.settings import from_environment, from_mapping, from_toml
from kochava_bot_middleware.store.address import without_password
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.tracking.people import DeviceSettings
from kochava_bot_middleware.tracking.settings import Apps, KochavaSettings


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


@pytest.mark.parametrize(
    ("greeting", "key", "says"),
    [
        ({"trackers": {"greeting": {"click_url": "https://a.example"}}}, "trackers", "stand beside `trackers`"),
        ({"trackers": {" ": {}}}, "trackers", "names of trackers"),
        ({"trackers": {"spring": {"click_url": "kospring"}}}, "trackers.spring.click_url", "an address"),
        ({"trackers": {"spring": {"clickurl": "https://a.example"}}}, "trackers.spring.clickurl", "click_url"),
        ({"trackers": {"spring": "https://a.example"}}, "trackers.spring", "a mapping"),
        ({"no_click_after_refs": [""]}, "no_click_after_refs", "patterns of refs"),
    ],
)
def test_trackers_that_cannot_work_are_refused(greeting: dict[str, Any], key: str, says: str) -> None:
    """At the top as for a Page, with the key."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(
            KochavaSettings, {"kochava_app_id": "ko", "greeting": greeting, "pages": {"7": {"greeting": greeting}}}
        )
    found = {violation.key: violation.wanted for violation in caught.value.violations}
    assert [f"greeting.{key}", f"pages.7.greeting.{key}"] == list(found)
    assert all(says in text for text in found.values())


def test_trackers_have_one_place() -> None:
    """Under `greeting`, where the windows and parameters are."""
    assert ["wire.trackers"] == list(wrong(kochava_app_id="ko", wire={"trackers": {}}))


def test_trackers_can_be_given_in_toml_and_in_the_environment(tmp_path: Path) -> None:
    """The name of a tracker stays as it is written."""
    file = tmp_path / "bot.toml"
    file.write_text(
        'kochava.kochava_app_id = "ko"\n'
        '[kochava.greeting.trackers.spring]\nimpression_url = "https://i.example/spring"\n'
    )
    environment = {
        "KOCHAVA_BOT__KOCHAVA__GREETING__TRACKERS__spring__CLICK_URL": "https://c.example/spring",
        "KOCHAVA_BOT__KOCHAVA__GREETING__TRACKERS__Autumn": '{click_url = "https://c.example/autumn"}',
    }
    tables = from_environment(environment, over=from_toml(file))
    settings = from_mapping(KochavaSettings, tables["kochava"], key="kochava")
    assert {
        "spring": TrackerUrls(impression_url="https://i.example/spring", click_url="https://c.example/spring"),
        "Autumn": TrackerUrls(click_url="https://c.example/autumn"),
    } == settings.greeting.trackers
    assert {"greeting", "spring", "Autumn"} == Apps(settings).trackers


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


@pytest.mark.parametrize(
    "app_id",
    ["My Shop", "shop", "", " ", " kobot", "kobot ", "ko bot", "kobot\n", '"kobot"', "'kobot'", "kobot\u00a0", "KOBOT"],
)
def test_app_guid_has_its_form(app_id: str) -> None:
    """Kochava would take the records of any other and show none of them."""
    found = wrong(kochava_app_id=app_id, pages={"7": {"kochava_app_id": app_id}})
    assert ["kochava_app_id", "pages.7.kochava_app_id"] == list(found)
    with pytest.raises(ValueError, match="an App GUID such as"):
        KochavaSettings(kochava_app_id=app_id)


@pytest.mark.parametrize("app_id", ["kobotdemo1234", "kokochava-bot-4f1c", "ko.bot_2", "koBot7"])
def test_app_guid_may_have_any_letters_and_digits(app_id: str) -> None:
    """Kochava does not say which."""
    assert app_id == KochavaSettings(kochava_app_id=app_id).kochava_app_id


CLICK = "https://control.kochava.com/v1/cpi/click?campaign_id=ko1"
IMPRESSION = "https://imp.control.kochava.com/track/impression?campaign_id=ko1"
SWAPPED = {"impression_url": CLICK, "click_url": IMPRESSION}


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"greeting": SWAPPED}, ["greeting.impression_url", "greeting.click_url"]),
        ({"greeting": {"click_url": IMPRESSION}}, ["greeting.click_url"]),
        ({"greeting": {"impression_url": CLICK.replace("?", "/?")}}, ["greeting.impression_url"]),
        ({"pages": {"7": {"greeting": SWAPPED}}}, ["pages.7.greeting.impression_url", "pages.7.greeting.click_url"]),
        (
            {"greeting": {"trackers": {"spring": SWAPPED}}},
            ["greeting.trackers.spring.impression_url", "greeting.trackers.spring.click_url"],
        ),
        ({"wire": {"base_url": "https://control.kochava.com/track/json"}}, ["wire.base_url"]),
        ({"wire": {"event_url": "https://control.kochava.com/v1/cpi/identityLink.php"}}, ["wire.event_url"]),
        ({"wire": {"identity_url": CLICK}}, ["wire.identity_url"]),
        ({"greeting": {"click_url": f"{CLICK}\n"}}, ["greeting.click_url"]),
        ({"greeting": {"click_url": CLICK.replace("?", "\n?")}}, ["greeting.click_url"]),
        ({"wire": {"api_key": "k\n", "api_secret": "s"}}, ["wire.api_key"]),
    ],
)
def test_what_belongs_to_another_setting_is_refused(settings: dict[str, Any], keys: list[str]) -> None:
    """Nothing would arrive, or as something else."""
    assert keys == list(wrong(kochava_app_id="ko", **settings))


def test_password_in_an_address_is_not_shown() -> None:
    """Whatever is wrong with the address."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(
            KochavaSettings,
            {
                "kochava_app_id": "ko",
                "wire": {"base_url": "ftp://me:hunter2@a.example/", "event_url": "https://me:hunter2@a.example/click"},
            },
        )
    assert (2, False) == (len(caught.value.violations), "hunter2" in str(caught.value))
