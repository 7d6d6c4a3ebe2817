"""Strict authentication."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.wire import authentication_headers, php_json

VECTOR = (
    rb'{"action":"event","kochava_app_id":"koexample","kochava_device_id":"psid-1","data":{"device_ids":'
    rb'{"fb_user_id":"1"},"event_name":"Purchase","event_data":{"uri":"https:\/\/a.example\/x"}}}'
)


def test_token_is_computed_as_documented() -> None:
    """The vector is computed from Kochava's page."""
    expected = "6a8a2e86d6bc8d77ee7a48600945d8a50becaa53826efc2eaab78cfceffbd637"
    assert {"Kochava-Api-Key": "test-api-key", "Kochava-Auth-Token": expected} == authentication_headers(
        VECTOR, api_key="test-api-key", api_secret="test-secret"
    )


def test_signed_body_is_encoded_as_by_php() -> None:
    """The exact bytes of the vector."""
    body = {
        "action": "event",
        "kochava_app_id": "koexample",
        "kochava_device_id": "psid-1",
        "data": {
            "device_ids": {"fb_user_id": "1"},
            "event_name": "Purchase",
            "event_data": {"uri": "https://a.example/x"},
        },
    }
    assert VECTOR == php_json(body)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("é/€", rb'"\u00e9\/\u20ac"'),
        ("😀", rb'"\ud83d\ude00"'),
        ('"\\\n\t\x01', rb'"\"\\\n\t\u0001"'),
        (10.0, b"10"),
        (0.1, b"0.1"),
        (1e-7, b"1.0e-7"),
        (2.5e22, b"2.5e+22"),
        (-3, b"-3"),
        (True, b"true"),
        (None, b"null"),
        ([1, "a"], b'[1,"a"]'),
        ([], b"[]"),
        ({"a": {}, "b": {"c": {}}, "d": 1}, b'{"d":1}'),
        ([{}, {"a": {}}, 1], b"[[],[],1]"),
        ("\x7f\\u007f", b'"\x7f\\\\u007f"'),
        (1e15, b"1000000000000000"),
        (1.5e16, b"15000000000000000"),
        (1e19, b"1.0e+19"),
    ],
)
def test_php_json(value: Any, written: bytes) -> None:
    """Compact, ASCII, slashes escaped, whole floats without a fraction, no empty objects."""
    assert written == php_json(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner, min_size=1),
)


@given(JSON)
def test_php_json_decodes_to_the_same_value(value: Any) -> None:
    """Only the encoding differs."""
    assert value == json.loads(php_json(value))
