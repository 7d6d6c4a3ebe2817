"""
The forms that a text can be decoded to: percent-encoding, escapes, entities, quoted-printable, Base64, Base32 and
hexadecimal digits, in any order and any number of times.
"""

from __future__ import annotations

import binascii
import html
import quopri
import re
import string
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

import attrs

MOST_ROUNDS = 20
"""How often the escapes of a text are decoded again."""


_REPEATED = re.compile(r"%(?:25)+|&(?:amp;|#38;)+")
_ESCAPE = re.compile(
    r"(?:\\+|%)(?:[ux]\{0*([0-9a-f]{1,5})\}|u([0-9a-f]{4})|U000([0-9a-f]{5})|x([0-9a-f]{2}))|\\+([0-3][0-7]{2})|\\+[nr]",
    re.IGNORECASE,
)
_SOFT_BREAK = re.compile(r"=\r?\n")
_DROPPED = frozenset({"Cf", "Mn"})


def plain(text: str) -> str:
    """
    The text without percent-encoding, escapes and entities, its letters without accents and variants of width, its
    digits in ASCII, and without characters that are not seen.
    """
    for _ in range(MOST_ROUNDS):
        before = text
        text = _SOFT_BREAK.sub("", text)
        if "%" in text or "&" in text:
            text = html.unescape(unquote(_REPEATED.sub(lambda match: match[0][0], text)))
        if "\\" in text or "%" in text:
            text = _ESCAPE.sub(_character, text)
        text = plain_letters(text)
        if text == before:
            break
    return plain_letters(text).replace("\0", "")


def plain_letters(text: str) -> str:
    """The text with its letters as `plain` writes them."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKD", text).replace("\u3002", ".")
    seen = [letter for letter in text if unicodedata.category(letter) not in _DROPPED]
    return "".join([str(unicodedata.digit(letter)) if letter.isdecimal() else letter for letter in seen])


def _character(match: re.Match[str]) -> str:
    if match.lastindex is None:
        return "\n"
    return chr(int(match[match.lastindex], 8 if match[5] else 16))


def forms_of(text: str) -> Iterator[str]:
    """The text without escapes, and everything that it, or parts of it, may be an encoding of; there may be many."""
    waiting = [plain(text)]
    seen = set[str]()
    while waiting:
        form = waiting.pop()
        if form in seen:
            continue
        seen.add(form)
        yield form
        waiting += _decoded(form)


def _decoded(form: str) -> Iterator[str]:
    # `=` and `_` are the signs before hexadecimal digits that a `ref` may have.
    for text in {form, _UNDERSCORE.sub("=", form)}:
        if _QUOTED_PRINTABLE.search(text):
            quoted = _EQUALS_DIGITS.sub("=3D", text).encode("utf-8", "replace")
            yield plain(quopri.decodestring(quoted).decode("utf-8", "replace"))
    unbroken = form.replace("\n", "").replace("\r", "")
    for encoding in _ENCODINGS:
        runs = [run for run in encoding.run.findall(unbroken) if not _ID.fullmatch(run)]
        if not runs:
            continue
        # A word may stand right before the encoded part, so any character may be its first one.
        for start in range(encoding.group):
            readable = [part for run in runs for part in _readable(encoding.decoded(run[start:]))]
            if readable:
                yield plain(" | ".join(readable))
        in_place = encoding.run.sub(encoding.text_or_same, unbroken)
        if in_place != unbroken:
            yield plain(in_place)


@attrs.frozen(kw_only=True)
class _Encoding:
    """Bytes as characters: which ones, how many belong together, and how they are decoded."""

    run: re.Pattern[str]
    group: int
    decoded: Callable[[str], bytes]

    def text_or_same(self, match: re.Match[str]) -> str:
        """The text that the whole run encodes, or the run where that is no text."""
        if _ID.fullmatch(match[0]):
            return match[0]
        try:
            text = self.decoded(match[0]).replace(b"\0", b"").decode()
        except UnicodeDecodeError:
            return match[0]
        return text if text and _READABLE.fullmatch(text) else match[0]


def _readable(decoded: bytes) -> list[str]:
    """The parts of *decoded* that are long enough for an address and are text, also in UTF-16."""
    return _READABLE.findall(decoded.replace(b"\0", b"").decode("utf-8", "replace"))


_READABLE = re.compile(r"[^\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]{6,}")


def _from_base64(run: str) -> bytes:
    whole = run[: len(run) - (len(run) % 4 == 1)].replace("-", "+").replace("_", "/")
    return binascii.a2b_base64(whole + "=" * (-len(whole) % 4))


def _from_base32(run: str) -> bytes:
    whole = run[: len(run) - (len(run) % 8 in (1, 3, 6))]
    bits = 5 * len(whole)
    # As `base64.b32decode`, which takes three times as long.
    return (int(whole.translate(_DIGITS_OF_32), 32) >> bits % 8).to_bytes(bits // 8, "big")


def _from_hexadecimal(run: str) -> bytes:
    return bytes.fromhex(run[: len(run) // 2 * 2])


_DIGITS_OF_32 = str.maketrans(
    string.ascii_uppercase + string.ascii_lowercase + "234567",
    2 * (string.digits + string.ascii_uppercase)[:26] + "QRSTUV",
)
_UNDERSCORE = re.compile(r"_(?=40|2[BE])", re.IGNORECASE)
_EQUALS_DIGITS = re.compile(r"=(?=(?!40)\d{4})")
_QUOTED_PRINTABLE = re.compile(r"=[0-9A-Fa-f]{2}")
_ID = re.compile(r"\d{1,20}")
# Each at least as long as the shortest address, such as a@b.de, is in it.
_ENCODINGS = (
    _Encoding(run=re.compile(r"[A-Za-z0-9+/_-]{8,}"), group=4, decoded=_from_base64),
    _Encoding(run=re.compile(r"(?:[A-Z2-7]{10,}|[a-z2-7]{10,})"), group=8, decoded=_from_base32),
    _Encoding(run=re.compile(r"[0-9A-Fa-f]{12,}"), group=2, decoded=_from_hexadecimal),
)
