"""JSON read strictly, without doubled keys and NaN, and written as PHP does."""

from __future__ import annotations

import json
from typing import Any


class NotStrictJson(ValueError):
    """The bytes are not JSON, or not JSON that all parsers read in the same way."""


def read_json(raw: bytes) -> Any:
    """
    Decode *raw*.

    Raises:
        NotStrictJson: It is not UTF-8 or not JSON, a key occurs twice in one object, or a number is not finite.
    """
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as exc:
        msg = f"not JSON: {exc}"
        raise NotStrictJson(msg) from exc


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        msg = f"key {doubled!r} occurs twice"
        raise NotStrictJson(msg)
    return members


def _no_constant(name: str) -> Any:
    msg = f"{name} is not a JSON number"
    raise NotStrictJson(msg)


def php_json(value: Any) -> str:
    r"""
    The text that PHP's ``json_encode`` would write for a decoded *value*.

    Compact, slashes as ``\/``, everything outside ASCII as ``\uXXXX``, an empty object as ``[]`` (an associative
    array that is empty is a list to PHP), a float without fraction as an integer.
    """
    if isinstance(value, dict):
        if not value:
            return "[]"
        return "{" + ",".join(f"{_php_text(name)}:{php_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(php_json, value)) + "]"
    if isinstance(value, str):
        return _php_text(value)
    if isinstance(value, float):
        return _php_float(value)
    return json.dumps(value)


def _php_text(text: str) -> str:
    parts = (json.dumps(part)[1:-1].replace("/", "\\/") for part in text.split("\x7f"))
    return '"' + "\x7f".join(parts) + '"'


def _php_float(value: float) -> str:
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    mantissa, mark, exponent = repr(value).partition("e")
    if not mark:
        return mantissa
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}e{int(exponent):+d}"
