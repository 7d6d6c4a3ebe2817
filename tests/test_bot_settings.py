"""The settings of a bot."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.bot import BotSettings, MessengerBot
from kochava_bot_middleware.exceptions import RegistrationError, SettingsError
from kochava_bot_middleware.settings import from_mapping
from tests.bot_fakes import SETTINGS, make_bot

PAGES: dict[str, Any] = {
    "verify_token": "verify-me",
    "app_secret": "app-secret",
    "pages": {"1001": {"page_access_token": "one"}, "1002": {"page_access_token": "two", "app_secret": "second"}},
}


def wrong(**settings: Any) -> dict[str, str]:
    """What is wanted, by key."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(BotSettings, settings)
    return {violation.key: violation.wanted for violation in caught.value.violations}


def test_short_form_is_for_one_page() -> None:
    """Three lines are enough."""
    settings = from_mapping(BotSettings, SETTINGS)

    assert ("page-token", {}) == (settings.page_access_token and settings.page_access_token.value, settings.pages)


def test_pages_form_is_for_several() -> None:
    """Each has its own token, and may have its own secret."""
    settings = from_mapping(BotSettings, PAGES)

    assert ["one", "two"] == [page.page_access_token.value for page in settings.pages.values()]
    assert ["app-secret", "second"] == [secret.value for secret in settings.app_secrets]


def test_former_secrets_are_still_accepted() -> None:
    """While a secret is being changed."""
    settings = from_mapping(BotSettings, {**SETTINGS, "former_app_secrets": ["old", "older"]})

    assert ["app-secret", "old", "older"] == [secret.value for secret in settings.app_secrets]


def test_all_violations_come_at_once() -> None:
    """Each with its key."""
    found = wrong(
        page_acess_token="x",
        graph_url="graph.facebook.com",
        max_body_bytes="4 MB",
        inbox={"concurrency": 0, "on_store_failure": "panic", "lease": 3},
        pages={"1001": {"page_access_token": "a b", "channel": "pigeon"}},
    )

    assert {
        "page_acess_token",
        "verify_token",
        "graph_url",
        "max_body_bytes",
        "inbox.concurrency",
        "inbox.on_store_failure",
        "inbox.lease",
        "pages.1001.page_access_token",
        "pages.1001.channel",
    } == set(found)
    assert "probably `page_access_token`" == found["page_acess_token"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"verify_token": "v", "app_secret": "s"}, "page_access_token: wanted either .*, got neither"),
        ({**PAGES, "page_access_token": "one"}, "page_access_token: wanted either .*, got both"),
        ({"verify_token": "v", "page_access_token": "t"}, "an `app_secret`, at the top or in each of `pages`"),
        ({**PAGES, "app_secret": None}, "an `app_secret`, at the top or in each of `pages`"),
        ({**PAGES, "app_secret": None}, "got none for 1001"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], message: str) -> None:
    """Without a secret no webhook could be trusted, without a token nothing sent."""
    with pytest.raises(SettingsError, match=message):
        from_mapping(BotSettings, settings)


def test_empty_settings_name_everything_that_is_required() -> None:
    """In one error."""
    assert ["verify_token", "page_access_token", "app_secret"] == list(wrong())


@pytest.mark.parametrize("version", ["", "latest", "26", "v26.0 "])
def test_invalid_api_version_is_refused(version: str) -> None:
    """It is a part of every address."""
    assert {"api_version": "a version such as v26.0"} == wrong(**SETTINGS, api_version=version)


@pytest.mark.parametrize("version", ["v26.0", "26.0"])
def test_api_version_may_be_given_without_its_letter(version: str) -> None:
    """As pymessenger accepts it."""
    assert version == from_mapping(BotSettings, {**SETTINGS, "api_version": version}).api_version


@pytest.mark.parametrize(
    "settings",
    [
        {"pages": {"1001": "EAAGtoken"}},
        {"pages": {"1001": {"page_access_token": ["EAAGtoken"]}}},
        {"former_app_secrets": "EAAGtoken"},
        {"app_secret": 1234567890},
        {"pages": "EAAGtoken"},
    ],
)
def test_a_secret_in_the_wrong_place_never_prints(settings: dict[str, Any]) -> None:
    """Only its type is shown."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(BotSettings, settings)
    text = str(caught.value)

    assert "EAAGtoken" not in text
    assert "1234567890" not in text


def test_page_may_be_named_by_a_number() -> None:
    """As databases may store ids."""
    bot = MessengerBot(from_mapping(BotSettings, PAGES))

    assert bot.page("1001") is bot.page(1001)


def test_secrets_never_print() -> None:
    """Neither in the settings, nor in what is wrong with them, nor in the bot."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(BotSettings, {**SETTINGS, "page_access_token": "page token\n"})
    shown = repr(from_mapping(BotSettings, PAGES)) + str(caught.value) + repr(make_bot()) + repr(make_bot().page())

    for secret in ("page-token", "page token", "app-secret", "verify-me", "'one'", "'second'"):
        assert secret not in shown


def test_a_mapping_in_place_of_settings_is_refused() -> None:
    """The error names the constructor that takes a mapping."""
    with pytest.raises(RegistrationError, match=r"wanted BotSettings, got dict: MessengerBot\.from_dict"):
        MessengerBot(SETTINGS)  # type: ignore[arg-type]


HEX = "0123456789abcdef0123456789abcdef"
TOKEN = "EAA" + "Gm0PX4ZCps" * 6


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"app_secret": "secret\n"}, "app_secret"),
        ({"app_secret": TOKEN}, "app_secret"),
        ({"former_app_secrets": ["good", "not good"]}, "former_app_secrets[1]"),
        ({"page_access_token": HEX}, "page_access_token"),
        ({"verify_token": "verify\n"}, "verify_token"),
        ({"verify_token": " "}, "verify_token"),
    ],
)
def test_secret_that_can_never_fit_is_refused(settings: dict[str, Any], key: str) -> None:
    """Read with a line's end, or put in the place of the other: every webhook or message would fail."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(BotSettings, {**SETTINGS, **settings})
    assert [key] == [violation.key for violation in caught.value.violations]
    assert not {HEX, TOKEN, "not good"} & set(str(caught.value).split("'"))


def test_verify_token_may_have_blanks_within() -> None:
    """It is any text of yours."""
    assert from_mapping(BotSettings, {**SETTINGS, "verify_token": "any text"}).verify_token.value == "any text"


@pytest.mark.parametrize("page_id", ["shop", "1001 ", "", "10.5", "١٠٠١"])
def test_page_is_named_by_its_id(page_id: str) -> None:
    """Webhooks name no other."""
    pages = {page_id: {"page_access_token": "t"}, "1002": {"page_access_token": "t"}}
    assert [f"pages.{page_id}" if page_id else "pages"] == list(wrong(verify_token="v", app_secret="s", pages=pages))
