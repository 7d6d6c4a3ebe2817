"""Text with other links, everything else spelled as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.messenger.links.spelling import form_like, json_like, text_like

OLD, NEW = "https://shop.example/a?b=ü", "https://acme.smart.link/x?url=https%3A%2F%2Fshop.example"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | st.just(OLD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
WRITERS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False),
    lambda value: json.dumps(value, separators=(",", ":")),
    lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    lambda value: json.dumps(value, indent="\t").replace("/", "\\/"),
]


def with_link(value: Any) -> Any:
    """*value* with the new link."""
    if isinstance(value, list):
        return [with_link(each) for each in value]
    if isinstance(value, dict):
        return {key: with_link(each) for key, each in value.items()}
    return NEW if value == OLD else value


@given(value=VALUES, write=st.sampled_from(WRITERS))
def test_json_is_what_its_writer_would_have_written(value: Any, write: Callable[[Any], str]) -> None:
    """With the other link from the beginning."""
    assert write(with_link(value)) == json_like(write(value), with_link(value))


@given(value=VALUES, outer=st.sampled_from(WRITERS), inner=st.sampled_from(WRITERS))
def test_json_within_json_is_what_its_writers_would_have_written(
    value: Any, outer: Callable[[Any], str], inner: Callable[[Any], str]
) -> None:
    """The inner text may have been written anew by what changed it."""
    text = outer({"message": inner({"a": value})})
    changed = {"message": json.dumps({"a": with_link(value)})}

    assert outer({"message": inner({"a": with_link(value)})}) == json_like(text, changed)


@given(value=VALUES, other=VALUES)
def test_json_of_something_else_is_written_anew(value: Any, other: Any) -> None:
    """Whatever differs, the text says it."""
    assert other == json.loads(json_like(json.dumps(value), other))


ENCODERS: list[Callable[[str], str]] = [
    quote_plus,
    quote,
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="!~*'():/?"),
    lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text)),
]


@pytest.mark.parametrize("encode", ENCODERS)
@given(value=st.dictionaries(TEXTS, VALUES, min_size=1))
def test_a_form_is_what_its_writer_would_have_written(encode: Callable[[str], str], value: dict[str, Any]) -> None:
    """Fields without links are not touched at all."""

    def write(body: Any) -> str:
        return f"access_token=a%20+b&message={encode(json.dumps(body))}&recipient={{}}"

    changed = {"access_token": "a  b", "message": json.dumps(with_link(value)), "recipient": "{}"}

    assert write(with_link(value)) == form_like(write(value), changed)


def test_a_form_written_by_hand_still_says_the_same() -> None:
    """What would end the field is encoded in a link."""
    text = f'recipient={{"id":"1"}}&message={{"url": "{OLD}"}}'
    written = form_like(text, {"recipient": '{"id":"1"}', "message": json.dumps({"url": f"{NEW}&a=b+c"})})

    assert {"url": f"{NEW}&a=b+c"} == json.loads(dict(parse_qsl(written))["message"])
    assert written.startswith('recipient={"id":"1"}&message={"url": "https://acme')


def test_other_text_is_the_new_one() -> None:
    """A link itself, or a text with one."""
    assert NEW == text_like(OLD, NEW)
    assert f"See {NEW}" == text_like(f"See {OLD}", f"See {NEW}")
