"""Addresses in plain text, and the sentence around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.messenger.links.text import addresses

SHOP = "https://shop.example/shoes?a=1"

ADDRESSES = st.sampled_from(
    [
        "https://shop.example",
        "https://shop.example:8443",
        SHOP,
        "HTTP://shop.example/a_(b)",
        "https://例え.テスト/靴/鞋?色=赤#上",
        "https://ja.example/wiki/ジョン・レノン",
        "https://कंपनी.भारत/जूते",
        "https://fa.example/می\u200cخواهم",
        "https://ar.example/حذاء",
        "https://xn--r8jz45g.example/%E9%9E%8B",
        "https://shop.example/50€-gutschein",
        "https://de.example/1914–1918",
    ]
)

ENDS = [
    *"、。，！？：；．「」『』【】《》〈〉（）〔〕［］｛｝～〜—…‥※•",
    *"؟،؛۔।॥჻።",
    *"“”„«»‹›‘",
    *"🎉👉→✓★❤",
    *"\u200b\u200c\u200d\u2060\ufeff\u00ad",
    *"\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c",
    *" \n\t\u00a0\u3000\u2028",
    *"\u034f\ufe0f\U000e0100\u3164\u180e\ufffc\ufffd",
    *"\x00\x1b\x7f\x85",
    *'<>"`',
]
"""Characters that are in no address."""


def found(text: str) -> list[str]:
    return [address for _, address in addresses(text)]


@pytest.mark.parametrize("end", ENDS, ids=ascii)
@pytest.mark.parametrize("host", ["https://shop.example", SHOP, "https://例え.テスト/靴"])
@pytest.mark.parametrize("rest", ["", "続き", "and so on", "ادامه", "。"])
def test_a_character_that_is_in_no_address_ends_one(host: str, end: str, rest: str) -> None:
    assert [host] == found(f"见{host}{end}{rest}")


@pytest.mark.parametrize(
    "separator", [",", ";", "|", ", ", ".", ")(", "](", "、", "，", "・", "\u200b", "!", "*", "——"]
)
@pytest.mark.parametrize("first", ["https://a.example", SHOP, "https://例え.テスト/靴"])
def test_a_separator_before_another_address_ends_one(first: str, separator: str) -> None:
    assert [first, "https://b.example/x", "http://c.example"] == found(
        f"{first}{separator}https://b.example/x{separator}http://c.example"
    )


@pytest.mark.parametrize(
    "address",
    [
        "https://archive.example/2026/https://shop.example/shoes",
        "https://r.example/?to=https://shop.example",
        "https://shop.example/a,b;c(d)e!f'g*h",
        "https://user:pa,ss@shop.example/x",
        "https://i❤.example/x",
        "https://i❤\ufe0f.example/x",
        "https://📙.example",
        "https://paral·lel.example/x",
        "https://fr.example/l’été",
    ],
)
def test_an_address_goes_on_where_it_may(address: str) -> None:
    assert [address] == found(f"See {address} now")


@pytest.mark.parametrize("rest", [",dann", "(neu)", "'s shoes", ";x", "!jetzt", "*", "|x", "&co"])
def test_punctuation_ends_a_host(rest: str) -> None:
    assert ["https://shop.example"] == found("https://shop.example" + rest)


@pytest.mark.parametrize(
    "rest", [".", "...", "!?", ")", ").", "]", "}", "'", "*", "**", ",", ";", ":", "|", "(", "’", "–", "\\"]
)
def test_punctuation_at_the_end_is_the_sentence_s(rest: str) -> None:
    assert [SHOP] == found(f"({SHOP}{rest}")


@pytest.mark.parametrize(
    "text", ["https://", "http://。", "https://,b", "xhttps://a.example", "https://\u200b", "ftp://a"]
)
def test_what_has_no_host_is_no_address(text: str) -> None:
    assert [] == found(text)


@given(st.lists(st.tuples(ADDRESSES, st.sampled_from(ENDS), st.sampled_from(["", "続き", "and", "да", "。"]))))
def test_every_address_of_a_text_is_found_whole(pieces: list[tuple[str, str, str]]) -> None:
    """Whatever ends it and follows."""
    text = "".join(f"{address}{end}{rest} " for address, end, rest in pieces)
    assert [address for address, _, _ in pieces] == found(text)


@given(st.text(st.sampled_from("htps:/.,;()[]{}'!*|aé靴क्\u200c\u200d\u200b・·’–🎉€。 ،@?#&=\\\ud83d")) | st.text())
def test_addresses_are_parts_of_the_text_in_order(text: str) -> None:
    """They do not overlap, and each alone is found again as it is."""
    position = 0
    for start, address in addresses(text):
        assert start >= position
        position = start + len(address)
        assert text[start:position] == address
        assert [(0, address)] == list(addresses(address))
