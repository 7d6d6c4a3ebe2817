"""
Settings mappings become frozen objects once, or are refused whole.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.settings import (
    Secret,
    at_least,
    from_environment,
    from_mapping,
    from_toml,
    http_url,
    not_empty,
    one_of,
)


class Mode(enum.StrEnum):
    LIVE = "live"
    OFF = "off"


@attrs.frozen(kw_only=True)
class Inner:
    url: str = attrs.field(validator=http_url)
    seconds: float = attrs.field(default=1.0, validator=at_least(0))


@attrs.frozen(kw_only=True)
class Example:
    token: Secret
    count: int = 3
    mode: Mode = Mode.LIVE
    profile: str = attrs.field(default="bot", validator=one_of("bot", "s2s"))
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    names: Mapping[str, str] | None = attrs.field(default=None, validator=not_empty)
    consent: Callable[..., Any] | None = None
    mixed: str | Mapping[str, str] | None = None


def violations(mapping: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        from_mapping(Example, mapping)
    return {violation.key: (violation.wanted, violation.got) for violation in caught.value.violations}


def test_a_good_mapping_becomes_a_frozen_object() -> None:
    """Nested mappings become nested objects, lists become tuples."""
    example = from_mapping(
        Example,
        {"token": "t", "several": [{"url": "https://a.example"}], "inner": {"url": "http://b.example", "seconds": 2}},
    )

    assert (Inner(url="https://a.example"),) == example.several
    assert Inner(url="http://b.example", seconds=2) == example.inner


def test_every_violation_is_told_at_once() -> None:
    """One bad key does not hide the next."""
    found = violations({"count": "5", "profile": "web", "inner": {"url": "ftp://x", "seconds": -1}, "names": {}})

    assert {"token", "count", "profile", "inner.url", "inner.seconds", "names"} == set(found)


def test_a_violation_names_wanted_and_got() -> None:
    """The reader can mend it without opening the code."""
    assert violations({"token": "t", "count": "5"})["count"] == ("a whole number", "'5' (str)")


@pytest.mark.parametrize("value", ["5", True, 5.5, None])
def test_scalars_are_not_coerced(value: Any) -> None:
    """A text that looks like a number is not one, and neither is a boolean."""
    assert "count" in violations({"token": "t", "count": value})


def test_an_unknown_key_says_what_was_probably_meant() -> None:
    """A misspelt key would otherwise be silently without effect."""
    assert violations({"token": "t", "profil": "bot"})["profil"] == ("probably `profile`", "an unknown key")


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    """Without a near match, all keys are offered."""
    assert "consent, count" in violations({"token": "t", "zzz": 1})["zzz"][0]


def test_a_list_item_is_named_by_its_index() -> None:
    """Paths lead into lists."""
    assert {"several[1].url"} == set(violations({"token": "t", "several": [{"url": "https://a"}, {}]}))


def test_a_mapping_member_is_named_by_its_key() -> None:
    """Paths lead into free mappings."""
    assert {"names.a"} == set(violations({"token": "t", "names": {"a": 1}}))


def test_a_union_tells_every_form_it_takes() -> None:
    """What could have been written is said."""
    assert violations({"token": "t", "mixed": 7})["mixed"] == ("a text or a mapping", "7 (int)")


def test_an_enum_lists_its_values() -> None:
    """The choices are part of the message."""
    assert violations({"token": "t", "mode": "on"})["mode"] == ("one of 'live', 'off'", "'on' (str)")


def test_a_secret_never_prints() -> None:
    """Neither the object nor the secret shows the value."""
    example = from_mapping(Example, {"token": "hunter2"})

    assert "hunter2" not in repr(example) + str(example.token) + f"{example.token}"


def test_a_secret_of_the_wrong_type_never_prints() -> None:
    """A refused secret is described by its type alone."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(Example, {"token": ["hunter2"]})

    assert "hunter2" not in str(caught.value)


def test_what_is_not_a_mapping_is_refused() -> None:
    """A list or text in place of the settings gets the same clear error."""
    assert violations("x") == {"settings": ("a mapping", "'x' (str)")}


def test_a_callable_is_taken_as_it_is() -> None:
    """Functions pass through settings unchanged."""
    assert print is from_mapping(Example, {"token": "t", "consent": print}).consent


def test_environment_variables_are_laid_over_a_mapping() -> None:
    """Two underscores stand for a dot; other variables are left alone."""
    environment = {"KOCHAVA_BOT__BOT__COUNT": "30", "KOCHAVA_BOT__BOT__TOKEN": "abc", "PATH": "x"}

    assert from_environment(environment, over={"bot": {"kept": 1, "count": 2}}) == {
        "bot": {"count": 30, "token": "abc", "kept": 1}
    }


def test_a_quoted_number_in_the_environment_is_text() -> None:
    """A token of digits can be written as text."""
    assert from_environment({"KOCHAVA_BOT__TOKEN": '"30"'}) == {"token": "30"}


def test_a_broken_toml_file_is_a_settings_error(tmp_path: Path) -> None:
    """The file is named."""
    path = tmp_path / "bot.toml"
    path.write_text("= 1")

    with pytest.raises(SettingsError, match=r"bot\.toml: wanted a TOML file"):
        from_toml(path)


def test_a_missing_toml_file_is_a_settings_error(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(SettingsError, match="wanted a readable TOML file, got No such file"):
        from_toml(tmp_path / "none.toml")
