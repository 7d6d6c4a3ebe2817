"""Settings from files and from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.inbox.settings import BotSettings
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.settings import Secret, from_environment, from_mapping, from_toml
from kochava_bot_middleware.tracking.settings import KochavaSettings


@attrs.frozen(kw_only=True)
class Inner:
    seconds: float = 1.0
    other: int = 5


@attrs.frozen(kw_only=True)
class Example:
    secret: Secret | None = None
    text: str = ""
    number: float | None = None
    count: int = 0
    flag: bool = False
    channel: Channel = Channel.MESSENGER
    several: tuple[str, ...] = ()
    names: Mapping[str, str] = attrs.field(factory=dict)
    mixed: str | Mapping[str, str] | None = None
    inner: Inner = attrs.field(factory=Inner)


def example(over: Mapping[str, Any] | None = None, **variables: str) -> Example:
    environment = {f"KOCHAVA_BOT__TABLE__{name}": text for name, text in variables.items()}
    tables = from_environment(environment, over={"table": over or {}})
    return from_mapping(Example, tables["table"])


def test_environment_variables_override_a_mapping() -> None:
    """Two underscores stand for a dot; other variables are ignored."""
    tables = from_environment({"KOCHAVA_BOT__BOT__TEXT": "abc", "PATH": "x"}, over={"bot": {"kept": 1, "text": "b"}})

    assert {"bot": {"text": "abc", "kept": 1}} == tables


@pytest.mark.parametrize("digits", ["12345678901234567890", "1e5", "true", "1979-05-27", "[1]", "nan"])
def test_value_is_text_where_text_is_wanted(digits: str) -> None:
    """Whatever it looks like: a verify token may consist of digits."""
    found = example(SECRET=digits, TEXT=digits)

    assert (Secret(digits), digits) == (found.secret, found.text)
    assert type(found.text) is str


def test_toml_quotes_are_not_part_of_a_text() -> None:
    """So that values can be written as in a file."""
    assert ("30", Secret("40")) == (example(TEXT='"30"').text, example(SECRET="'40'").secret)


def test_numbers_booleans_and_lists_are_read_as_toml() -> None:
    """Where they are wanted."""
    found = example(NUMBER="2.5", COUNT="30", FLAG="true", SEVERAL='["1", "b"]', NAMES='{A = "b"}', CHANNEL="instagram")

    assert (2.5, 30, True, ("1", "b"), {"A": "b"}) == (
        found.number,
        found.count,
        found.flag,
        found.several,
        found.names,
    )
    assert Channel.INSTAGRAM is found.channel


def test_text_or_mapping_is_read_as_what_it_looks_like() -> None:
    """Where both are accepted."""
    assert ({"a": "b"}, "7") == (example(MIXED='{a = "b"}').mixed, example(MIXED="7").mixed)


@pytest.mark.parametrize("text", ["x", "1\nother = 2", "1" * 5000, "[" * 5000, "1979-05-27"])
def test_text_that_is_not_a_number_is_refused_where_one_is_wanted(text: str) -> None:
    """With the usual message."""
    with pytest.raises(SettingsError, match="count: wanted a whole number, got '"):
        example(COUNT=text)


def test_names_of_settings_have_no_case_at_any_depth() -> None:
    """A section of the file keeps what the environment does not set."""
    found = example({"inner": {"seconds": 7.0, "other": 8}}, INNER__SECONDS="2", inner__other="9")

    assert Inner(seconds=2.0, other=9) == found.inner
    assert 8 == example({"inner": {"seconds": 7.0, "other": 8}}, INNER__SECONDS="2").inner.other


def test_names_of_your_own_keep_their_case() -> None:
    """Such as the name of an event."""
    found = example({"names": {"purchase": "file", "Kept": "file"}}, NAMES__Purchase="env", names__PURCHASE="loud")

    assert {"purchase": "file", "Kept": "file", "Purchase": "env", "PURCHASE": "loud"} == found.names
    assert {str} == {type(name) for name in found.names}


def test_the_policy_of_one_event_can_be_set() -> None:
    """Three tables deep, with the event's own name."""
    tables = from_environment(
        {
            "KOCHAVA_BOT__KOCHAVA__KOCHAVA_APP_ID": "ko12345",
            "KOCHAVA_BOT__KOCHAVA__DELIVERY__ON_AMBIGUOUS__Purchase": "dead",
            "KOCHAVA_BOT__KOCHAVA__WIRE__API_KEY": "12345678901234567890",
            "KOCHAVA_BOT__KOCHAVA__WIRE__API_SECRET": "98765432109876543210",
        }
    )
    settings = from_mapping(KochavaSettings, tables["kochava"])

    assert ({"Purchase": "dead"}, "ko12345") == (settings.delivery.on_ambiguous, settings.kochava_app_id)
    assert Secret("12345678901234567890") == settings.wire.api_key


def test_pages_and_their_secrets_can_be_set() -> None:
    """By Page id, which is a key and not a number."""
    tables = from_environment(
        {
            "KOCHAVA_BOT__BOT__VERIFY_TOKEN": "4711",
            "KOCHAVA_BOT__BOT__APP_SECRET": "12345678901234567890",
            "KOCHAVA_BOT__BOT__PAGES__1001__PAGE_ACCESS_TOKEN": "1001",
            "KOCHAVA_BOT__BOT__FORMER_APP_SECRETS": '["1"]',
        }
    )
    settings = from_mapping(BotSettings, tables["bot"])

    assert ["12345678901234567890", "1"] == [secret.value for secret in settings.app_secrets]
    assert Secret("1001") == settings.pages["1001"].page_access_token


def test_a_misspelt_variable_is_named_by_its_key() -> None:
    """With what was probably meant."""
    with pytest.raises(SettingsError, match=r"inner\.SECOND: wanted probably `seconds`"):
        example(INNER__SECOND="2")


def test_a_member_of_a_single_value_is_refused() -> None:
    """The error has the variable, not the value."""
    with pytest.raises(SettingsError, match="KOCHAVA_BOT__TABLE__TEXT__X: wanted a table") as caught:
        example({"text": "hunter2"}, TEXT__X="y")
    assert "hunter2" not in str(caught.value)


def test_a_broken_toml_file_is_a_settings_error(tmp_path: Path) -> None:
    """With the name of the file."""
    path = tmp_path / "bot.toml"
    path.write_text("= 1")

    with pytest.raises(SettingsError, match=r"bot\.toml: wanted a TOML file"):
        from_toml(path)


def test_a_missing_toml_file_is_a_settings_error(tmp_path: Path) -> None:
    """With the reason of the operating system."""
    with pytest.raises(SettingsError, match="wanted a readable TOML file, got No such file"):
        from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "name",
    [
        "KOCHAVA__STORE",
        "KOCHAVA__KOCHAVA__STORE",
        "KOCHAVABOT__KOCHAVA__STORE",
        "KOCHAVA_BOTS__KOCHAVA__STORE",
        "KOCHVA_BOT__KOCHAVA__STORE",
        "KOCHAVA_BOT_KOCHAVA__STORE",
        "kochava_bot__kochava__store",
        "KOCHAVA_BOT__STORE",
        "KOCHAVA_BOT__",
        "KOCHAVA_BOT__KOCHAVA____STORE",
    ],
)
def test_variable_that_was_meant_for_this_is_refused(name: str) -> None:
    """It would be left out without a word; the error has the form of a right name, and not the value."""
    with pytest.raises(
        SettingsError, match=rf"^1 setting is wrong:\n  {name}: wanted KOCHAVA_BOT__<table>__<key>"
    ) as caught:
        from_environment({name: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_all_wrong_variables_are_named() -> None:
    """In one error."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"KOCHAVA__STORE": "a", "KOCHAVA_BOT__B__C__D": "x", "KOCHAVA_BOT__B__C": "y", "PATH": "x"})
    assert ["KOCHAVA_BOT__B__C__D", "KOCHAVA__STORE"] == [violation.key for violation in caught.value.violations]


@pytest.mark.parametrize("name", ["KOCHAVA_API_KEY", "KOCHAVA_BOT_IMAGE", "MY_KOCHAVA__STORE", "DJANGO__STORE"])
def test_variables_of_other_programs_are_left_alone(name: str) -> None:
    """Though they may name Kochava."""
    assert {} == from_environment({name: "x"})


def test_a_whole_table_may_be_one_variable() -> None:
    """In braces, as in a file."""
    tables = from_environment({"KOCHAVA_BOT__KOCHAVA": '{kochava_app_id = "ko"}'})
    assert "ko" == from_mapping(KochavaSettings, tables["kochava"]).kochava_app_id


def test_a_byte_order_mark_is_not_part_of_a_file(tmp_path: Path) -> None:
    """As some editors write it."""
    path = tmp_path / "bot.toml"
    path.write_bytes(b"\xef\xbb\xbf[kochava]\n")
    assert {"kochava": {}} == from_toml(path)
