"""JSON read strictly, and written as PHP does."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.sandbox.strict_json import NotStrictJson, php_json, read_json


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"NaN", b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_json_that_parsers_read_differently_is_refused(raw: bytes) -> None:
    """Invalid JSON, numbers that are not JSON, doubled keys, deep nesting."""
    with pytest.raises(NotStrictJson):
        read_json(raw)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": "b/c"}, r'{"a":"b\/c"}'),
        ("ü\u2028\U0001f600", r'"\u00fc\u2028\ud83d\ude00"'),
        ({}, "[]"),
        ([1, True, None], "[1,true,null]"),
        (59.9, "59.9"),
        (100.0, "100"),
        (1e25, "1.0e+25"),
        (1.5e-7, "1.5e-7"),
        ("\x7f<>&'", '"\x7f<>&\'"'),
    ],
)
def test_json_as_php_writes_it(value: Any, expected: str) -> None:
    """Escapes, empty objects and floats."""
    assert expected == php_json(value)
