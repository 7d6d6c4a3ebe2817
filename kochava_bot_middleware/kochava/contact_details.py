"""
E-mail addresses and telephone numbers in text that leaves by itself: Kochava wants neither.

An address is found in any spelling: percent-encoded, as an HTML entity, escaped in JSON, in full-width characters, in
Base64 or hexadecimal digits. A number is found by its country code or by a label (``tel:``, ``"phone":``), since other
digits may be an order or an article.
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

MOST_ROUNDS = 6
"""How often a text that was encoded again and again is decoded."""

_SEPARATORS = r"\s()./+\u00b7\u2010-\u2015\u2212-"
_PHONE = re.compile(rf"[+(]{{0,2}}\d[\d{_SEPARATORS}]{{5,}}")
_WITH_COUNTRY_CODE = re.compile(rf"(?<!\w)(?:\+[\s(]*|00(?=[1-9]\d{{0,2}}[{_SEPARATORS}]))(?:\d[{_SEPARATORS}]*){{8,}}")
_LABELLED = re.compile(
    r"(?:(?<![A-Za-z])(?i:tel|phone|mobile|msisdn|whatsapp|sms|wa\.me|telephone|telefon)|(?<=[a-hj-z])Phone|_phone)"
    rf"(?i:[_-]?(?:number|no|nr|num))?[^\w+(]{{0,8}}_?[+(]{{0,2}}(?:\d[{_SEPARATORS}]*){{6,}}"
)
_MAIL = re.compile(
    r"[^\s@]@[^\s@]+\.[^\s@]|\w\s*@\s*[\w-]+(?:\s*\.\s*[\w-]+)*\s*\.\s*[^\W\d_]{2,}"
    r"|\w\s*[(\[{<]\s*at\s*[)\]}>]\s*\w",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")


def is_phone_number(text: str) -> bool:
    """Whether the whole text is a telephone number."""
    return _PHONE.fullmatch(plain(text).strip()) is not None


def digits_of(text: str) -> str:
    """The digits of a text, in whatever script they are."""
    return "".join(str(unicodedata.digit(letter)) for letter in plain(text) if letter.isdecimal())


@functools.lru_cache(maxsize=1024)
def holds_contact_details(text: str) -> bool:
    """Whether an e-mail address, or what can only be a telephone number, is anywhere in the text."""
    return any(_MAIL.search(form) or _holds_number(form) for form in _forms(plain(text)))


def plain(text: str) -> str:
    """The text without percent-encoding, escapes, entities, full-width and invisible characters."""
    for _ in range(MOST_ROUNDS):
        before = text
        text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), html.unescape(unquote(text)))
        text = unicodedata.normalize("NFKC", text)
        if text == before:
            break
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cf")


def _holds_number(text: str) -> bool:
    whole = text.strip()
    if whole.startswith("+") and _PHONE.fullmatch(whole):
        return True
    return _WITH_COUNTRY_CODE.search(text) is not None or _LABELLED.search(text) is not None


def _forms(text: str) -> Iterator[str]:
    """The text, and what its parts may be the Base64 or hexadecimal form of."""
    yield text
    for match in _BASE64.finditer(text):
        try:
            decoded = base64.urlsafe_b64decode(match[0].rstrip("=").translate(_URL_SAFE) + "==")
            yield from _printable(decoded)
        except binascii.Error:
            continue
    for match in _HEX.finditer(text):
        yield from _printable(bytes.fromhex(match[0]))


_URL_SAFE = str.maketrans("+/", "-_")


def _printable(decoded: bytes) -> Iterator[str]:
    if decoded.isascii() and (text := decoded.decode("ascii")).isprintable():
        yield plain(text)
