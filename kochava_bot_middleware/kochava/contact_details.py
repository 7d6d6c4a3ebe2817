"""
E-mail addresses and telephone numbers in text that leaves by itself: Kochava wants neither.

A text is examined in every form that `text_forms` decodes it to. In doubt it holds contact details: a payload missing
in a report is better than an address in it.

Digits alone may be an order or an article. They are a number after a ``+`` or ``00``, with an area code set apart, or
after a word such as ``phone``, ``mobil`` or ``call`` in the same JSON object or pair of a query. Three digits are one
as the value of ``tel``.
"""

from __future__ import annotations

import functools
import re

from .text_forms import forms_of, plain, plain_letters

MOST_CHARACTERS = 4096
"""A longer text is not examined but held back; Messenger allows 1000 in a payload and 2083 in a ``ref``."""

MOST_EXAMINED = 100_000
"""Characters in all forms of a text together; what can be decoded to more is held back."""

_AT = "(?:at|собака)"
_DOT = "(?:dot|точка)"
_AT_SIGN = re.compile(r"[^\s=&:/,;]@\S")
_MAIL = re.compile(
    r"\w[\"')\]]?\s{0,3}@\s{0,3}(?:[\w-]+\s{0,2}\.\s{0,2}){1,8}[^\W\d_]{2,}"
    rf"|[^\W_][\s_+-]{{1,5}}{_AT}[\s_+-]{{1,5}}(?:[\w-]+\.){{1,8}}[^\W\d_]{{2,}}"
    # In a `ref`, where neither `@` nor a dot can be written.
    r"|[^\W_]_(?:40|at_)[^\W_]{2,63}(?:[_-][^\W_]{1,63}){0,4}_(?:com|org|net|info|edu|gov)(?![^\W_])"
    r"|[^\W_]_40[^\W_]{4,63}_[a-z]{2}(?![^\W_])",
    re.IGNORECASE,
)
_SPELLED_AT = re.compile(rf"\s{{0,3}}[(\[{{<]\s{{0,3}}{_AT}\s{{0,3}}[)\]}}>]\s{{0,3}}", re.IGNORECASE)
_SPELLED_DOT = re.compile(
    rf"\s{{0,3}}[(\[{{<]\s{{0,3}}(?:{_DOT}|\.)\s{{0,3}}[)\]}}>]\s{{0,3}}|[\s_+-]{{1,5}}{_DOT}[\s_+-]{{1,5}}",
    re.IGNORECASE,
)

_DIGITS = re.compile(r"\d(?:\D*\d){5}")
_GAP = r"[\W_]{0,3}"
_DASHES = r"-\u2010-\u2015\u2212"
_PHONE = re.compile(r"[+(]{0,2}\d[\d\s()./+\u00b7\u2010-\u2015\u2212-]{5,}")
_UNLABELLED = re.compile(
    # With a country code. A `+` right after a letter or digit is often a blank of a form: more digits are asked for.
    rf"(?<![^\W_])\+{_GAP}[1-9](?:{_GAP}\d){{7,}}"
    r"|(?<=[^\W_])\+[1-9](?:[^0-9A-Za-z+]{0,3}\d){8,}"
    rf"|(?<![^\W_])(?<![.,:])00[-\s]?[1-9](?:{_GAP}\d){{9,12}}(?![^\W_])"
    rf"|\A\s*\+(?:{_GAP}\d){{6,}}\s*\Z"
    # With an area code set apart.
    rf"|\(\d{{2,5}}\)[{_DASHES}./\s]{{0,2}}\d(?:[{_DASHES}./\s]?\d){{5,}}"
    rf"|(?<![^\W_])(?<![.,:-])(?:1[{_DASHES}.\s])?\d{{3}}([{_DASHES}.\s])\d{{3}}\1\d{{4}}(?![^\W_])(?![-.]\d)"
    rf"|\A\s*0[1-9]\d{{1,4}}[{_DASHES}./\s]{{1,3}}\d(?:[{_DASHES}./\s]?\d){{4,}}\s*\Z"
    rf"|\A\s*0[1-9](?:[{_DASHES}./\s]\d\d){{4}}\s*\Z"
)
_WORDS = (
    "tel|fon(?!t)|mobil|movil|handy|cell(?!ar)|celular|call|sms|gsm|sip|fax|facetime|imessage|viber"
    "|contact|kontakt|rufn"
)
_OTHER_SCRIPTS = plain_letters(
    r"(?<![^\W_])(?:(?:тел|моб|τηλ)(?![^\W_])|телеф|мобил|сотов|факс|звон|контакт|τηλεφ|κινητ)|смартфон|вайбер"
    "|ватсап|טלפון|נייד|هاتف|جوال|फोन|โทร|전화|휴대폰|携帯"
)
_LABEL = (
    rf"(?:(?<![A-Za-z])(?i:{_WORDS}|wa\.me)|(?<![A-Za-z_])(?i:nummer)"
    rf"|(?<=[a-z])(?:{'|'.join(word.capitalize() for word in _WORDS.split('|'))})"
    r"|(?<!(?i:head))(?<!(?i:ear))(?<!(?i:micro))(?<!\b(?i:i))(?<!_(?i:i))(?i:phone)"
    rf"|(?i:telefon|whatsapp|msisdn|{_OTHER_SCRIPTS})|[☎📞📱]|电话|電話|手机)"
)
_LABELLED = re.compile(
    # A value is given to the word, or the number only stands near it, as dates and ids of campaigns do.
    rf"{_LABEL}\w{{0,20}}?[\W_]{{0,6}}?[:=>][^&}}]{{0,120}}?(?<!\d)\d(?:{_GAP}\d){{5,14}}(?!\d)"
    rf"|{_LABEL}[^&}}]{{0,60}}?(?<!\d)\d(?:{_GAP}\d){{8,14}}(?!\d)"
    rf"|(?<!\d)\d(?:{_GAP}\d){{8,14}}(?!\d)[^&}}:=]{{0,40}}[:=][^&}}:=]{{0,20}}?{_LABEL}"
)
_DIGITS_IN_A_ROW = re.compile(rf"\d(?:{_GAP}\d){{5}}")
_SHORT = re.compile(rf"(?<![^\W_])(?i:tel|callto|fax|тел)[\"']?\s?[:=][\s\"'+]{{0,3}}\d(?:{_GAP}\d){{2,}}(?!\w)")
_DATE_OR_UUID = re.compile(
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
    r"|(?<!\d)(?:19|20)\d\d-(?:0\d|1[0-2])-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[+-]\d\d:?\d\d)?)?(?!\d)"
)
_COORDINATE = r"\d{1,3}\.\d{3,7}"
_COORDINATES = re.compile(rf"(?<![\w.])[+-]?{_COORDINATE}(?:[^\w.]{{1,4}}{_COORDINATE})*(?!{_GAP}\d|\w)")


def is_phone_number(text: str) -> bool:
    """Whether the whole text is a telephone number."""
    return len(text) <= MOST_CHARACTERS and _PHONE.fullmatch(plain(text).strip()) is not None


def digits_of(text: str) -> str:
    """The digits of a text, in whatever script they are."""
    return "".join(letter for letter in plain(text) if letter.isdecimal())


def holds_contact_details(text: str) -> bool:
    """Whether an e-mail address or a telephone number is anywhere in the text, or it is too long to tell."""
    return len(text) > MOST_CHARACTERS or _holds(text)


@functools.lru_cache(maxsize=1024)
def _holds(text: str) -> bool:
    if _AT_SIGN.search(_SPELLED_AT.sub("@", plain(text))):
        return True
    examined = 0
    for form in forms_of(text):
        examined += len(form)
        if examined > MOST_EXAMINED or _holds_address(form) or _holds_number(form):
            return True
    return False


def _holds_address(text: str) -> bool:
    if not any(sign in text.lower() for sign in ("@", "_40", "at", "собака")):
        return False
    return _MAIL.search(_SPELLED_DOT.sub(".", _SPELLED_AT.sub("@", text))) is not None


def _holds_number(text: str) -> bool:
    if _SHORT.search(text) is not None:
        return True
    if _DIGITS.search(text) is None:
        return False
    rest = _DATE_OR_UUID.sub("x", text)
    # Each number after a word has these, which are looked for twenty times as fast as the word.
    if _DIGITS_IN_A_ROW.search(rest) is not None and _LABELLED.search(rest) is not None:
        return True
    return _UNLABELLED.search(_COORDINATES.sub("x", rest)) is not None
