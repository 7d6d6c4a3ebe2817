"""Settings mappings become frozen objects, or are refused with everything that is wrong."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from kochava_bot_middleware.exceptions import SettingsError, Violation
from kochava_bot_middleware.settings import (
    InvalidSettings,
    Rule,
    Secret,
    at_least,
    both_or_neither,
    check_rules,
    each,
    from_mapping,
    http_url,
    needed_by,
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


def test_all_violations_come_in_one_error() -> None:
    """One bad key does not hide another."""
    found = violations({"count": "5", "profile": "web", "inner": {"url": "ftp://x", "seconds": -1}, "names": {}})

    assert {"token", "count", "profile", "inner.url", "inner.seconds", "names"} == set(found)


def test_a_violation_names_wanted_and_got() -> None:
    """Enough to fix it without reading the code."""
    assert violations({"token": "t", "count": "5"})["count"] == ("a whole number", "'5' (str)")


@pytest.mark.parametrize("value", ["5", True, 5.5, None])
def test_scalars_are_not_coerced(value: Any) -> None:
    """A text that looks like a number is not one, and neither is a boolean."""
    assert "count" in violations({"token": "t", "count": value})


def test_an_unknown_key_says_what_was_probably_meant() -> None:
    """A misspelt key would otherwise have no effect."""
    assert violations({"token": "t", "profil": "bot"})["profil"] == ("probably `profile`", "an unknown key")


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    """Without a near match, all keys are offered."""
    assert "consent, count" in violations({"token": "t", "zzz": 1})["zzz"][0]


def test_settings_one_level_too_deep_are_not_a_misspelt_key() -> None:
    """Such as a whole file with its tables, although `inners` is close to `inner`."""
    wanted = ("what this holds, one level higher", "a mapping around it")
    assert wanted == violations({"inners": {"token": "t"}})["inners"]


def test_a_list_item_is_named_by_its_index() -> None:
    """Paths lead into lists."""
    assert {"several[1].url"} == set(violations({"token": "t", "several": [{"url": "https://a"}, {}]}))


def test_a_mapping_member_is_named_by_its_key() -> None:
    """Paths lead into free mappings."""
    assert {"names.a"} == set(violations({"token": "t", "names": {"a": 1}}))


def test_a_union_lists_every_form_it_accepts() -> None:
    """All of them are in the message."""
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
    """A list or text in place of the settings gets the same clear error, without the text: it may be a token."""
    wanted = "a mapping, such as a table of what `from_toml` reads from a file"
    assert {"settings": (wanted, "a text")} == violations("hunter2")


def test_a_callable_is_taken_as_it_is() -> None:
    """Functions pass through settings unchanged."""
    assert print is from_mapping(Example, {"token": "t", "consent": print}).consent


@attrs.frozen(kw_only=True)
class Safe:
    secret: Secret | None = None
    page: Example | None = None
    former: tuple[Secret, ...] = ()
    by_name: Mapping[str, Secret] = attrs.field(factory=dict)
    pages: Mapping[str, Example] = attrs.field(factory=dict)
    either: Secret | Mapping[str, Secret] | None = None


@pytest.mark.parametrize(
    ("settings", "key", "got"),
    [
        ({"secret": 12345678901234567890}, "secret", "a value of type int"),
        ({"secret": b"12345678901234567890"}, "secret", "a value of type bytes"),
        ({"page": "12345678901234567890"}, "page", "a text"),
        ({"former": "12345678901234567890"}, "former", "a text"),
        ({"former": [12345678901234567890]}, "former[0]", "a value of type int"),
        ({"by_name": "12345678901234567890"}, "by_name", "a text"),
        ({"by_name": {"one": 12345678901234567890}}, "by_name.one", "a value of type int"),
        ({"pages": {"1001": "12345678901234567890"}}, "pages.1001", "a text"),
        ({"pages": {"1001": {"token": True}}}, "pages.1001.token", "a value of type bool"),
        ({"either": 12345678901234567890}, "either", "a value of type int"),
        ("12345678901234567890", "settings", "a text"),
    ],
)
def test_nothing_is_shown_of_a_value_where_a_secret_may_be(settings: Any, key: str, got: str) -> None:
    """A token that was put one level too high is still a token."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(Safe, settings)

    assert [(key, got)] == [(violation.key, violation.got) for violation in caught.value.violations]
    assert "1234567890" not in str(caught.value)


def test_a_validator_of_secrets_does_not_print_them_either() -> None:
    """Whatever it reports about the value."""

    @attrs.frozen(kw_only=True)
    class Picky:
        tokens: tuple[Secret, ...] = attrs.field(validator=each(one_of("x")))
        lone: Secret = attrs.field(validator=one_of("x"))

    with pytest.raises(SettingsError) as caught:
        from_mapping(Picky, {"tokens": ["hunter2"], "lone": "hunter3"})

    assert {"tokens[0]", "lone"} == {violation.key for violation in caught.value.violations}
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    """TOML has ``nan``, and every comparison with it is false."""
    assert {"inner.seconds"} == set(
        violations({"token": "t", "inner": {"url": "https://a.example", "seconds": number}})
    )
    with pytest.raises(ValueError, match="a number of at least 0"):
        Inner(url="https://a.example", seconds=number)


def test_a_whole_number_may_have_any_size() -> None:
    """Also one that is larger than any float."""
    assert 10**400 == from_mapping(Example, {"token": "t", "count": 10**400}).count


@pytest.mark.parametrize(
    "url", ["https://", "https:///path", "http://:8080", "https://a.example:port", "https://a b/c"]
)
def test_an_address_has_a_host(url: str) -> None:
    """Otherwise nothing could be reached there."""
    assert "inner.url" in violations({"token": "t", "inner": {"url": url}})


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_blank_text_is_empty(blank: str) -> None:
    """White space is not a name."""

    @attrs.frozen(kw_only=True)
    class Named:
        name: str = attrs.field(validator=not_empty)

    with pytest.raises(SettingsError, match="name: wanted something"):
        from_mapping(Named, {"name": blank})


def test_each_wrong_member_is_named_by_its_key() -> None:
    """Of a mapping by name, of a list by index."""

    @attrs.frozen(kw_only=True)
    class Choices:
        by_name: Mapping[str, str] = attrs.field(validator=each(one_of("a")))
        listed: tuple[float, ...] = attrs.field(validator=each(at_least(0)))

    with pytest.raises(SettingsError) as caught:
        from_mapping(Choices, {"by_name": {"x": "b", "y": "a", "z": "c"}, "listed": [1.0, -1.0]})

    assert ["by_name.x", "by_name.z", "listed[1]"] == [violation.key for violation in caught.value.violations]


def _ordered(low: int, high: int) -> Iterator[Violation]:
    if low > high:
        yield Violation(key="high", wanted=f"a number of at least {low}", got=str(high))


@attrs.frozen(kw_only=True)
class Ruled:
    low: int = 0
    high: int = 10
    name: str | None = None
    key: str | None = None
    switch: bool = False
    needed: str | None = None

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(("low", "high"), _ordered),
        both_or_neither("name", "key"),
        needed_by("switch", "needed"),
    )

    def __attrs_post_init__(self) -> None:
        check_rules(self)


def broken(mapping: Mapping[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        from_mapping(Ruled, mapping)
    return [violation.key for violation in caught.value.violations]


def test_broken_rules_come_with_the_other_violations() -> None:
    """Each names the key to change."""
    assert ["switch", "high", "name"] == broken({"low": 11, "key": "k", "switch": "on"})
    assert ["needed"] == broken({"switch": True})


def test_a_rule_is_checked_only_when_its_fields_are_valid() -> None:
    """A name that is misspelt is not reported as missing as well."""
    assert ["low"] == broken({"low": "11"})
    assert ["nam"] == broken({"nam": "n", "key": "k"})


def test_rules_hold_for_objects_made_in_code() -> None:
    """Without a mapping."""
    with pytest.raises(InvalidSettings, match="name: wanted both `name` and `key`, or neither, got nothing"):
        Ruled(key="k")


@pytest.mark.parametrize("path", ["bot.toml", Path("bot.toml")])
def test_the_path_of_a_file_is_no_mapping(path: Any) -> None:
    """The error names what reads one."""
    with pytest.raises(SettingsError, match="settings: wanted a mapping, such as a table of what `from_toml` reads"):
        from_mapping(Ruled, path)
