"""
JSON values of a webhook: decoding the body, and reading single values of any type.

Facebook's own samples disagree on types: ids are text or numbers, times are seconds, milliseconds or text. Each
reader accepts any JSON value and returns one type, or ``None``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ...exceptions import NotAWebhook
from ..events import HopContext, PriorMessage, Referral

_ALWAYS_SHALLOW = 200
"""A body with so few brackets cannot exceed the 254 levels that orjson can encode."""

_FIRST_MILLISECONDS = 10**12
"""Smaller numbers are seconds: as milliseconds they would be times before September 2001."""

_LAST_SECOND = 253_402_300_799
"""The last second that a `datetime` can hold."""

_DEEPEST = 200
"""What is nested deeper is kept as text."""

_LONGEST_WHOLE = 300
"""A longer whole number is kept as text: no number that is stored can hold it."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)
"""A text, or a bracket outside of texts."""

_MAX_DIGITS = 18
"""Digits of a number given as text; longer text is not a number that the platform sends."""

_MAX_NUMBER_LENGTH = 40
_MAX_DATE_LENGTH = 40
_TRUE_WORDS = frozenset({"true", "1", "1.0"})
_WHOLE = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}(?:\.0*)?", re.ASCII)
_MAX_ID_BITS = 64
_EMPTY: dict[str, Any] = {}


def decode_json(body: bytes | bytearray | memoryview | str | Mapping[str, Any]) -> Any:
    """
    Decode a request body, or copy what a framework decoded, to values that can be encoded as JSON again.

    JSON may hold what those values cannot: such a number, or part that is nested too deeply, becomes its text.

    Raises:
        NotAWebhook: It is not JSON.
    """
    try:
        if isinstance(body, (bytearray, memoryview)):
            body = bytes(body)
        if not isinstance(body, (bytes, str)):
            return _copy(body)
        try:
            decoded = orjson.loads(body)
            # Each opening bracket needs a closing one, so the brackets of a short body need not be counted.
            if len(body) > 2 * _ALWAYS_SHALLOW and _brackets(body) > _ALWAYS_SHALLOW:
                orjson.dumps(decoded)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            # A title that was cut within an emoji holds a lone surrogate, which only the lenient decoder reads.
            return _lenient(body.decode() if isinstance(body, bytes) else body, _refuse_constant)
    except (ValueError, TypeError, RecursionError):
        # The cause holds the body, which is personal and must not be logged with a traceback.
        msg = "the body is not JSON"
        raise NotAWebhook(msg) from None
    return decoded


def _brackets(body: bytes | str) -> int:
    return body.count(b"{") + body.count(b"[") if isinstance(body, bytes) else body.count("{") + body.count("[")


def _copy(decoded: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(decoded, default=_dict_of))
    except (orjson.JSONEncodeError, orjson.JSONDecodeError):
        return _lenient(json.dumps(decoded, ensure_ascii=False, default=_dict_of), str)


def _lenient(body: str, constant: Callable[[str], Any]) -> Any:
    """
    What only the lenient decoder can read: lone surrogates become ``?``, numbers beyond 64 bits are rounded.

    Args:
        constant: What ``NaN`` and ``Infinity`` become, which are no JSON.
    """
    read = json.loads(_shallow(body), parse_int=_whole, parse_float=_real, parse_constant=constant)
    return orjson.loads(json.dumps(read, ensure_ascii=False).encode("utf-8", "replace"))


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else digits


def _real(digits: str) -> float | str:
    value = float(digits)
    return digits if math.isinf(value) else value


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _shallow(body: str) -> str:
    """*body* with each part that is nested too deeply as a text."""
    if _brackets(body) <= _ALWAYS_SHALLOW:
        return body
    parts: list[str] = []
    depth = kept = start = 0
    for token in _TOKEN.finditer(body):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == _DEEPEST + 1:
                start = token.start()
        elif token[0] in ("]", "}"):
            if depth == _DEEPEST + 1:
                parts += body[kept:start], json.dumps(body[start : token.end()])
                kept = token.end()
            depth -= 1
    return "".join([*parts, body[kept:]])


def _dict_of(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def text(value: Any) -> str | None:
    """Text as it is, a whole number as its digits, ``None`` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MAX_ID_BITS:
        return str(value)
    return None


def identifier(value: Any) -> str | None:
    """Like `text`, but empty text is ``None``."""
    return (value if type(value) is str else text(value)) or None


def integer(value: Any) -> int | None:
    """A whole number, also one given as text, with a decimal point, or both."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_LENGTH and _WHOLE.fullmatch(value.strip()):
        return int(value.partition(".")[0])
    return None


def flag(value: Any) -> bool:
    """Whether *value* is true, also one given as a number or as text; anything else is false."""
    if isinstance(value, str):
        return len(value) <= _MAX_NUMBER_LENGTH and value.strip().lower() in _TRUE_WORDS
    return isinstance(value, (int, float)) and value == 1


def moment(value: Any) -> datetime | None:
    """
    A time in seconds or milliseconds since the epoch, distinguished by size, or in ISO 8601 with its offset.

    ``None`` for zero and for what is not a time.
    """
    number = value if type(value) is int or type(value) is float else integer(value)
    if number is None:
        return _iso_time(value) if isinstance(value, str) else None
    if not 0 < number < _LAST_SECOND * 1000:
        return None
    if number >= _FIRST_MILLISECONDS:
        number /= 1000
    return datetime.fromtimestamp(number, UTC) if number < _LAST_SECOND else None


def _iso_time(value: str) -> datetime | None:
    """A time as written by the Graph API, such as ``2026-01-01T00:00:00+0000``."""
    if len(value) > _MAX_DATE_LENGTH:
        return None
    try:
        time = datetime.fromisoformat(value)
        return None if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def members(value: Any) -> dict[str, Any]:
    """The object itself; an empty one for anything else."""
    return value if isinstance(value, dict) else _EMPTY


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def identifiers(value: Any) -> tuple[str, ...]:
    """The ids of a list."""
    found = map(identifier, value) if isinstance(value, list) else ()
    return tuple(item for item in found if item is not None)


def person(party: Any) -> str | None:
    """The id of a ``sender`` or ``recipient``: ``id``, or the ``user_ref`` of a plugin."""
    if not isinstance(party, dict):
        return None
    user_id = party.get("id")
    if type(user_id) is str and user_id:
        return user_id
    return identifier(user_id) or identifier(party.get("user_ref"))


def reference(party: Any) -> str | None:
    """The ``user_ref`` of a ``sender`` or ``recipient``."""
    return identifier(party.get("user_ref")) if isinstance(party, dict) and "user_ref" in party else None


def referral(value: Any) -> Referral | None:
    """A ``referral``, which the platform puts in several places."""
    if not isinstance(value, dict):
        return None
    return Referral(
        ref=identifier(value.get("ref")),
        source=identifier(value.get("source")),
        type=identifier(value.get("type")),
        ad_id=identifier(value.get("ad_id")),
        referer_uri=identifier(value.get("referer_uri")),
        is_guest_user=flag(value.get("is_guest_user")),
        ads_context=members(value.get("ads_context_data")),
        product_id=identifier(members(value.get("product")).get("id")),
    )


def commented_ad(media: Any) -> Referral | None:
    """The ad that a comment was made on, by the comment's ``media``; ``None`` for other posts."""
    ad_id = identifier(members(media).get("ad_id"))
    if ad_id is None:
        return None
    title = text(members(media).get("ad_title"))
    return Referral(source="ADS", ad_id=ad_id, ads_context={} if title is None else {"ad_title": title})


def prior_message(value: Any) -> PriorMessage | None:
    """A ``prior_message``."""
    if not isinstance(value, dict):
        return None
    return PriorMessage(source=identifier(value.get("source")), identifier=identifier(value.get("identifier")))


def hop_context(value: Any) -> tuple[HopContext, ...]:
    """A ``hop_context``: one object, or a list of them."""
    hops = objects([value] if isinstance(value, dict) else value)
    return tuple(HopContext(app_id=identifier(hop.get("app_id")), metadata=text(hop.get("metadata"))) for hop in hops)
