"""SmartLinks: created from templates, recognised, and with an exact address."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.kochava.smartlink import LinkContext, NoSmartLink, SmartLinks
from kochava_bot_middleware.kochava.smartlink_settings import SmartLinkSettings
from kochava_bot_middleware.kochava.smartlink_template import encoded
from kochava_bot_middleware.settings import Secret, from_mapping

DEFAULT = "https://acme.smart.link/ab12cd34e?url={url}"
SHOP = "https://shop.example/shoes"
GREET = LinkContext(user_id="42", page_id="7", channel="messenger", handler="greet")


def links(**settings: Any) -> SmartLinks:
    """SmartLinks from a mapping of settings."""
    return SmartLinks(from_mapping(SmartLinkSettings, {"default": DEFAULT} | settings))


def bare(**settings: Any) -> SmartLinks:
    """SmartLinks without parameters."""
    return links(**({"params": {}, "user_param": None} | settings))


def query(link: str | None) -> dict[str, list[str]]:
    """The query of a SmartLink, decoded."""
    assert link is not None
    return parse_qs(urlsplit(link).query, keep_blank_values=True)


@given(st.text(st.sampled_from("aZ09-._~%:/?=&+# ;,@é\n")) | st.text())
def test_all_but_the_unreserved_characters_is_percent_encoded(text: str) -> None:
    assert encoded(text) == quote(text, safe="")


def test_default_parameters_follow_the_address() -> None:
    """Page, channel, and the user's id are in every SmartLink."""
    expected = (
        "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes"
        "&site_id=7&sub_site_id=messenger&fb_user_id=42"
    )

    assert expected == links().make(SHOP, GREET)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/?a=1&b=2#top",
        "https://shop.example/a+b%20c%2Fd",
        "https://shop.example/?url=https%3A%2F%2Fother.example%2F%3Furl%3Dx",
        "https://shop.example/größe?farbe=weiß",
        "https://bücher.example/日本",
        "http://user:pass@shop.example:8080/~x",
        "https://notsmart.link/a",
    ],
)
def test_address_in_a_smartlink_is_exact(url: str) -> None:
    """Decoding the parameter url gives the original."""
    assert [url] == query(links().make(url, GREET))["url"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_address_in_a_smartlink_is_exact(rest: str) -> None:
    """Whatever is after the host."""
    url = f"https://shop.example/{rest}"

    assert [url] == query(links().make(url, GREET))["url"]


@given(st.text())
def test_smartlink_is_not_replaced_again(text: str) -> None:
    """For any address."""
    made = links().make(f"https://{text}", GREET)

    assert made is None or NoSmartLink.ALREADY_SMARTLINK == links().why_not(made)


@pytest.mark.parametrize(
    "url",
    [
        "https://smart.link/ab",
        "https://acme.smart.link/other?x=1",
        "HTTPS://ACME.SMART.LINK./x",
        "https://go.acme.example/ab12?url=x",
        "https://track.acme.example/anything",
        "https://control.kochava.com/v1/cpi/click?campaign_id=ko1",
        "https://imp.control.kochava.com/track/impression?campaign_id=ko1",
    ],
)
def test_smartlinks_and_kochava_addresses_are_recognised(url: str) -> None:
    """By Kochava's hosts, hosts of the settings and the templates."""
    known = links(
        hosts=["track.acme.example"], routes=[{"match": "*", "link": "https://go.acme.example/ab12?url={url}"}]
    )

    assert NoSmartLink.ALREADY_SMARTLINK == known.why_not(url)
    assert known.make(url, GREET) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil-smart.link.example/",
        "https://smart.link.evil.example/",
        "https://notsmart.link/",
        "https://smart.link@evil.example/",
        "https://evil.example/https://acme.smart.link/x",
        "https://evil.example\\@smart.link/",
        "https://go.acme.example/other",
        "https://control.kochava.com/docs",
        "https://[",
        "ftp://smart.link/x",
    ],
)
def test_similar_addresses_are_not_smartlinks(url: str) -> None:
    """The host must be exact and unambiguous."""
    known = links(routes=[{"match": "*", "link": "https://go.acme.example/ab12?u={url}"}])

    assert NoSmartLink.ALREADY_SMARTLINK != known.why_not(url)


@pytest.mark.parametrize("url", ["https://", "https:///x", "ftp://a.example/", "https://a.example:port/", "x", ""])
def test_unusable_address_is_the_reason(url: str) -> None:
    """An address needs http(s) and an unambiguous host."""
    assert NoSmartLink.UNUSABLE_ADDRESS == links().why_not(url)


def test_address_with_a_lone_surrogate_gets_no_smartlink() -> None:
    """It cannot be percent-encoded."""
    assert NoSmartLink.UNUSABLE_ADDRESS == links().why_not("https://shop.example/\ud800")


def test_first_matching_route_is_used() -> None:
    """Routes come before the default, and may use parts of the address."""
    made = bare(
        routes=[
            {"match": "https://shop.example/sale", "link": "https://acme.smart.link/sale"},
            {
                "match": "https://shop.example/*",
                "link": "https://acme.smart.link/shop1?p={path}&h={host}&q={query:raw}",
            },
        ]
    )

    assert "https://acme.smart.link/sale" == made.make("https://shop.example/sale", GREET)
    assert "https://acme.smart.link/shop1?p=%2Fa%2520b&h=shop.example&q=c=d" == made.make(
        "https://shop.example/a%20b?c=d#e", GREET
    )
    assert "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fother.example" == made.make(
        "https://other.example", GREET
    )


@pytest.mark.parametrize(
    ("pattern", "url", "fits"),
    [
        ("https://shop.example/*", "https://shop.example", True),
        ("https://shop.example/*", "HTTPS://Shop.Example?a", True),
        ("https://shop.example/*", "http://shop.example/", False),
        ("https://shop.example/*", "https://shop.example.evil/", False),
        ("https://shop.example/*", "https://shop.example@evil.example/", False),
        ("shop.example/*", "http://shop.example/a", True),
        ("shop.example/*", "https://evil.example/?x=://shop.example/a", False),
        ("*/a?b=[1]", "https://shop.example/a?b=[1]", True),
        ("*/a?b", "https://shop.example/axb", False),
        ("https://*.shop.example/*", "https://de.shop.example/a", True),
    ],
)
def test_pattern_matches_addresses(pattern: str, url: str, fits: bool) -> None:
    """Only the star is special; scheme and host are compared in lower case."""
    skipping = links(skip=[pattern])

    assert (NoSmartLink.SKIPPED if fits else None) == skipping.why_not(url)


def test_without_templates_there_are_no_smartlinks() -> None:
    """The reason is given."""
    assert NoSmartLink.NO_TEMPLATE == SmartLinks(SmartLinkSettings()).why_not(SHOP)


def test_raw_address_is_not_encoded() -> None:
    """{url:raw} is the address as it is."""
    assert "https://acme.smart.link/x?url=https://shop.example/shoes" == bare(
        default="https://acme.smart.link/x?url={url:raw}"
    ).make(SHOP, GREET)


RAW = {
    "value": "https://s.smart.link/x?a=1&url={url:raw}&b=2",
    "last value": "https://s.smart.link/x?a=1&b=2&url={url:raw}",
    "path": "https://s.smart.link/x/{url:raw}?a=1&b=2",
    "fragment": "https://s.smart.link/x?a=1&b=2#{url:raw}",
}
"""Templates with the address in each place."""


@pytest.mark.parametrize(
    ("rest", "breaks"),
    [
        ("?c=3&a=4", {"value", "last value", "path"}),
        ("?c=3", {"path"}),
        ("#top", {"value", "last value", "path"}),
        (";v=1", {"value", "last value"}),
        ("/../../y", {"path"}),
        ("/%2E%2e", {"path"}),
        ("/.", {"path"}),
        ("/a+b=c@d:e!f", set()),
        ("/a%20b", set()),
        ("/...", set()),
    ],
)
@pytest.mark.parametrize("place", RAW)
def test_a_raw_address_that_would_change_the_template_gets_no_smartlink(
    place: str, rest: str, breaks: set[str]
) -> None:
    """Kochava would take its end for parameters of the SmartLink, or lose those that come after it."""
    raw, url = links(default=RAW[place]), "https://shop.example" + rest
    made = raw.make(url, GREET)

    assert (NoSmartLink.BREAKS_TEMPLATE if place in breaks else None) == raw.why_not(url)
    if made is not None:
        assert {"a": ["1"], "b": ["2"]}.items() <= parse_qs(urlsplit(made).query).items()
        assert url in made


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("/kü che", "/k%C3%BC%20che"),
        ("/100%", "/100%25"),
        ("/%2", "/%252"),
        ("/%zz%C3%BC", "/%25zz%C3%BC"),
        ("/a|b^c`{d}\\", "/a%7Cb%5Ec%60%7Bd%7D%5C"),
        ("/\u202e鞋", "/%E2%80%AE%E9%9E%8B"),
    ],
)
@pytest.mark.parametrize("place", RAW)
def test_a_raw_address_is_one_that_any_client_takes(place: str, rest: str, expected: str) -> None:
    """What no address may contain is encoded, as browsers do it."""
    assert f"https://shop.example{expected}" in str(
        links(default=RAW[place]).make("https://shop.example" + rest, GREET)
    )


@pytest.mark.parametrize(
    ("link", "query", "expected"),
    [
        ("https://s.smart.link/x?{query:raw}", "c=3&d=4", "https://s.smart.link/x?c=3&d=4"),
        ("https://s.smart.link/x?a=1&{query:raw}&b=2", "c=3&d=4", "https://s.smart.link/x?a=1&c=3&d=4&b=2"),
        ("https://s.smart.link/x?a=1&{query:raw}#f", "", "https://s.smart.link/x?a=1&#f"),
        ("https://s.smart.link/x?a=1&{query:raw}", "a=2", None),
        ("https://s.smart.link/x?a=1&{query:raw}", "c=3&%61=2", None),
        ("https://s.smart.link/x?q={query:raw}", "c=3&d=4", None),
        ("https://s.smart.link/x?q={query:raw}", "c=3", "https://s.smart.link/x?q=c=3"),
    ],
)
def test_a_raw_query_between_separators_gives_parameters(link: str, query: str, expected: str | None) -> None:
    """Unless one of them has the name of a parameter of the template."""
    routed = bare(routes=[{"match": "https://shop.example*", "link": link}])
    assert expected == routed.make(f"https://shop.example/?{query}", GREET)


def test_a_raw_query_gives_no_parameter_that_is_appended() -> None:
    """Whoever made the address would say who taps."""
    routed = links(routes=[{"match": "https://shop.example*", "link": "https://s.smart.link/x?{query:raw}"}])
    assert NoSmartLink.BREAKS_TEMPLATE == routed.why_not("https://shop.example/?fb_user_id=43")


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("https://s.smart.link/x?url={url}#top", "https://s.smart.link/x?url=U&a=b#top"),
        ("https://s.smart.link/x/{url}", "https://s.smart.link/x/U?a=b"),
        ("https://s.smart.link/x?#{url}", "https://s.smart.link/x?a=b#U"),
        ("https://s.smart.link/x?u={url}&", "https://s.smart.link/x?u=U&a=b"),
        ("https://s.smart.link/x?a=c&u={url}", "https://s.smart.link/x?a=c&u=U"),
    ],
)
def test_parameters_are_before_the_fragment(default: str, expected: str) -> None:
    """After those of the address, and never twice."""
    made = bare(default=default, params={"a": "b"}).make(SHOP, GREET)

    assert expected.replace("U", "https%3A%2F%2Fshop.example%2Fshoes") == made


def test_parameter_without_any_value_is_left_out() -> None:
    """Only when all of its placeholders are empty."""
    made = bare(params={"a": "{ref}", "b": "{ref}-{channel}", "c": "fixed", "d&": "{handler}"}).make(SHOP, GREET)

    assert {"url": [SHOP], "b": ["-messenger"], "c": ["fixed"], "d&": ["greet"]} == query(made)


def test_every_placeholder_is_filled() -> None:
    """In parameters and in the template itself."""
    context = LinkContext(
        user_id="42", page_id="7", channel="instagram", handler="h", creative="c",
        template="generic", title="Größe & Co", index=3, ref="r", ad_id="a",
    )  # fmt: skip
    names = ["user_id", "page_id", "channel", "handler", "creative", "template", "title", "index", "ref", "ad_id"]
    expected = {"user_id": ["42"], "page_id": ["7"], "channel": ["instagram"], "handler": ["h"], "creative": ["c"]}
    expected |= {"template": ["generic"], "title": ["Größe & Co"], "index": ["3"], "ref": ["r"], "ad_id": ["a"]}

    in_params = bare(params={name: f"{{{name}}}" for name in names}).make(SHOP, context)
    in_template = bare(default=DEFAULT + "".join(f"&{name}={{{name}}}" for name in names)).make(SHOP, context)

    assert expected | {"url": [SHOP]} == query(in_params)
    assert in_params == in_template


def test_user_id_is_hashed_with_the_key() -> None:
    """The hex HMAC-SHA256 replaces the id everywhere."""
    hashed = hmac.new(b"key", b"42", hashlib.sha256).hexdigest()

    made = links(user_id_hash=True, user_id_hash_key="key", params={"u": "{user_id}"}).make(SHOP, GREET)

    assert [hashed] == query(made)["fb_user_id"] == query(made)["u"]


def test_shared_link_has_no_user_id() -> None:
    """Neither in the parameter nor in the placeholder."""
    made = links(default=DEFAULT + "&u={user_id}").builder(GREET).make(SHOP, shared=True)

    assert "42" not in str(made)
    assert "fb_user_id" not in str(made)


def test_user_param_none_leaves_the_id_out() -> None:
    """The name of the parameter is a setting."""
    assert "42" not in str(links(user_param=None).make(SHOP, GREET))


def test_entry_link_leads_into_the_bot() -> None:
    """An m.me link gets the ref and becomes a SmartLink without a user."""
    made = links().entry_link("https://m.me/shop?ref=old&x=1", ref="spring", creative="poster")

    assert {"url": ["https://m.me/shop?x=1&ref=spring"], "creative_id": ["poster"]} == query(made)
    assert ["7"] == query(links().entry_link("https://m.me/shop", page_id="7"))["site_id"]


@pytest.mark.parametrize("ref", ["", "a b", "ä", "a\n"])
def test_entry_link_refuses_a_ref_that_facebook_would_drop(ref: str) -> None:
    """Only letters, digits, underscore, equals sign and hyphen are allowed."""
    with pytest.raises(ValueError, match="ref must consist of"):
        links().entry_link("https://m.me/shop", ref=ref)


def test_entry_link_without_a_template_is_refused() -> None:
    """A link that is not a SmartLink would not be counted."""
    with pytest.raises(ValueError, match=r"smartlinks\.default"):
        SmartLinks(SmartLinkSettings()).entry_link("https://m.me/shop")


@pytest.mark.parametrize(
    ("settings", "key", "reported"),
    [
        ({"default": "https://acme.smart.link/x"}, "default", "routes"),
        ({"default": "acme.smart.link/x?url={url}"}, "default", "https://"),
        ({"default": "https://acme.smart.link/x?url={link}"}, "default", "{url}"),
        ({"default": "https://acme.smart.link/x?url={url"}, "default", "pairs"),
        ({"default": "https://acme.smart.link/x y?url={url}"}, "default", "ASCII"),
        ({"default": "https://{host}/x?url={url}"}, "default", "host"),
        ({"default": "https://acme.smart.link{path}?url={url}"}, "default", "host"),
        ({"default": "https://acme.smart.link/x?url={url}&a={ref:raw}"}, "default", "placeholders"),
        ({"routes": [{"match": "", "link": "https://acme.smart.link/x"}]}, "routes[0].match", "pattern"),
        ({"routes": [{"match": "*", "link": "x"}]}, "routes[0].link", "https://"),
        ({"params": {"a": "{url}"}}, "params", "placeholders"),
        ({"user_param": ""}, "user_param", "name"),
        ({"hosts": ["https://a.example"]}, "hosts", "host"),
        ({"skip": [""]}, "skip", "pattern"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, Any], key: str, reported: str) -> None:
    """The message has the key and what is accepted."""
    with pytest.raises(SettingsError) as refused:
        from_mapping(SmartLinkSettings, settings, key="smartlinks")

    (violation,) = refused.value.violations
    assert f"smartlinks.{key}" == violation.key
    assert reported in violation.wanted


def test_hash_needs_a_key() -> None:
    """A hash without a key could be reversed by trying all ids."""
    with pytest.raises(SettingsError, match="`user_id_hash_key` to be set"):
        links(user_id_hash=True)


def test_settings_may_be_created_directly() -> None:
    """Without a mapping; the repr does not show the key."""
    settings = SmartLinkSettings(default=DEFAULT, user_id_hash=True, user_id_hash_key=Secret("hush"))

    assert "hush" not in repr(settings)
