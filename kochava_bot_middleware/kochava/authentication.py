"""
Kochava's strict authentication: two headers that prove who wrote the body.

Its page asks for slashes to be escaped, so the server is believed to encode the body again with PHP's ``json_encode``
before it hashes it. A signed body is therefore written as PHP writes it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def authentication_headers(body: bytes, *, api_key: str, api_secret: str) -> dict[str, str]:
    """The headers for exactly these bytes."""
    return {"Kochava-Api-Key": api_key, "Kochava-Auth-Token": token(body, api_key=api_key, api_secret=api_secret)}


def token(body: bytes, *, api_key: str, api_secret: str) -> str:
    """HMAC-SHA256 with the API key over the secret followed by the SHA-1 of *body*, all in lower-case hex."""
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    return hmac.new(api_key.encode(), (api_secret + digest).encode(), hashlib.sha256).hexdigest()


def php_json(value: Any) -> bytes:
    """
    JSON as PHP's ``json_encode`` writes it: compact, ASCII, slashes escaped, whole floats without a fraction.

    Empty objects within objects are left out, since PHP would give them back as ``[]``; within lists they are ``[]``.
    """
    return _php(value).encode("ascii")


def _php(value: Any) -> str:
    match value:
        case str():
            return _php_text(value)
        case bool() | None:
            return json.dumps(value)
        case int():
            return str(value)
        case float():
            return _php_float(value)
        case Mapping():
            members = (f"{_php(key)}:{_php(member)}" for key, member in value.items() if not _empty(member))
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join("[]" if _empty(member) else _php(member) for member in value) + "]"
        case _:
            msg = f"{type(value).__name__} has no JSON form"
            raise TypeError(msg)


def _php_text(value: str) -> str:
    # Python escapes the delete character, PHP does not.
    parts = (json.dumps(part)[1:-1].replace("/", "\\/") for part in value.split("\x7f"))
    return '"' + "\x7f".join(parts) + '"'


def _empty(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_empty(member) for member in value.values())


def _php_float(value: float) -> str:
    # PHP reads digits alone as an integer as long as 64 bits hold it, and gives them back as they are.
    if value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    return f"{digits if '.' in digits else digits + '.0'}e{int(exponent):+d}"
