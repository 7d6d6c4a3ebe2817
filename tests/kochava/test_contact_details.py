"""Which texts hold an e-mail address or a telephone number, in whatever spelling."""

from __future__ import annotations

import base64
import json
import quopri
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.contact_details import MOST_CHARACTERS, holds_contact_details

ADDRESS = "anna.berg@example.org"
NUMBER = "+491701234567"

ENCODINGS: dict[str, Callable[[str], str]] = {
    "percent": quote,
    "percent, every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "percent, of JavaScript": lambda text: "".join(f"%u{ord(letter):04X}" for letter in text),
    "JSON": lambda text: json.dumps({"a": text}),
    "JSON, every character": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "braces": lambda text: text.replace("@", "\\u{40}").replace("+", "\\u{2B}"),
    "octal": lambda text: "".join(f"\\{ord(letter):03o}" for letter in text),
    "entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "quoted-printable": lambda text: text.replace("=", "=3D").replace("@", "=40").replace("+", "=2B"),
    "quoted-printable, whole": lambda text: quopri.encodestring(text.encode()).decode(),
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64, in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "Base64, for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "Base64, UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "Base64 after a word": lambda text: f"USER-{base64.b64encode(text.encode()).decode()}",
    "Base64 with letters beyond ASCII": lambda text: base64.b64encode(f"J\u00f6rg\n{text}\n".encode()).decode(),
    "Base32": lambda text: base64.b32encode(text.encode()).decode(),
    "Base32, small, after a word": lambda text: "ref" + base64.b32encode(text.encode()).decode().lower(),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal after a digit": lambda text: f"a{text.encode().hex()}",
    "hexadecimal with letters beyond ASCII": lambda text: f"\u00e9{text}".encode().hex(),
}

local_part = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
label = st.text(string.ascii_lowercase, min_size=2, max_size=8)
addresses = st.builds("{}@{}.{}".format, local_part, label, st.sampled_from(["de", "org", "co.uk", "example"]))
numbers = st.integers(100_000_000, 999_999_999_999_999).map("+{}".format)


@given(addresses | numbers, st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=3))
@example(ADDRESS, ["Base64", "Base64", "Base64"])
@example(NUMBER, ["hexadecimal", "Base32", "percent"])
def test_a_detail_is_found_under_up_to_three_encodings(detail: str, encodings: list[str]) -> None:
    """In whatever order they were applied."""
    text = detail
    for encoding in encodings:
        text = ENCODINGS[encoding](text)

    assert holds_contact_details(text)


@pytest.mark.parametrize(
    "text",
    [
        "anna@localhost",
        "anna@example\u3002org",
        "anna@example\uff0eorg",
        "anna@example\uff61org",
        quote("anna@example\u3002org"),
        "anna%u0040example.org",
        "anna\uff20example.org",
        "anna\\u{40}example.org",
        "anna\\100example.org",
        "anna=40example.org",
        "anna&#64;example.org",
        "anna&commat;example.org",
        "anna&amp;amp;#64;example.org",
        "anna%25252525252525252540example.org",
        "anna_at_example.org",
        "anna at example dot org",
        "anna+at+example+dot+org",
        "anna[at]example[.]org",
        "anna (at) example (dot) org",
        "anna_40example_2Eorg",
        "anna_40example_org",
        "USER_anna_berg_40mail-server_example_com",
        "anna_40gmx24_de",
        "anna_at_example_org",
        "почта: anna собака example точка ru",
        "почта=anna(собака)example.org",
        "data_" + base64.b64encode(ADDRESS.encode()).decode(),
        "u/" + base64.b64encode(ADDRESS.encode()).decode(),
        base64.b64encode(b"tel:01701234567").decode(),
        '{"phone":"' + base64.b64encode(b"01701234567").decode() + '"}',
    ],
)
def test_an_address_is_found_in_any_spelling(text: str) -> None:
    """People write it in many ways to hide it from machines."""
    assert holds_contact_details(text)


@pytest.mark.parametrize(
    "text",
    [
        "USER_+491701234567",
        "id+491701234567",
        "+49_170_1234567",
        "+49,170,1234567",
        "+49/170/1234567",
        "+49.170.1234567",
        "+49.1701234567",
        "+1.555.123.4567",
        "00-49-170-1234567",
        "00491701234567",
        "\u0660\u0660\u0664\u0669\u0661\u0667\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "USER_0049_170_1234567",
        "(555) 123-4567",
        "(0170) 1234567",
        "555.123.4567",
        "0170 1234567",
        "030-1234567",
        "0170.123.4567",
        "090\u20101234\u20135678",
        "06.12.34.56.78",
        "06 12 34 56 78",
        "1.555.123.4567",
        "555\u2011123\u20114567",
        "555\u2013123\u20134567",
    ],
)
def test_a_number_is_found_by_how_it_is_written(text: str) -> None:
    """With a country code or an area code, next to a word, and with any separators."""
    assert holds_contact_details(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"phone":{"number":"01701234567"}}',
        '{"phone":"home","value":"01701234567"}',
        '{"type":"phone","value":"01701234567"}',
        '{"value":"01701234567","type":"mobile"}',
        '{"smartphone":"01701234567"}',
        "callto:01701234567",
        "sip:01701234567",
        "facetime:01701234567",
        "cellphone:01701234567",
        "cell:01701234567",
        "mobil=01701234567",
        "handy=01701234567",
        "fon=01701234567",
        "rufnummer=01701234567",
        "contact=01701234567",
        "CALL:01701234567",
        "CALL_01701234567",
        "call 0170 1234567",
        "tel\u00e9fono=612345678",
        "tel_0170_1234567",
        "customerTel=123456",
        "<phone>01701234567</phone>",
        "phone%5B%5D=01701234567",
        "📞 01701234567",
        "тел:01701234567",
        "тел. 8 701 123 45 67",
        "ТЕЛ_0170_1234567",
        "телефон=01701234567",
        "мобильный: 0170-1234",
        "τηλ=2101234567",
        "전화=01012345678",
        "फ़ोन: 9812345678",
        "هاتف=0501234567",
        "tel:7042",
        "tel:%2B7042",
        '{"tel":7042}',
        '{"tel": "70 42"}',
        "тел=7042",
        "https://wa.me/491701234567",
    ],
)
def test_a_number_is_found_by_a_word_near_it(text: str) -> None:
    """In the same object or pair, before it or after it."""
    assert holds_contact_details(text)


@pytest.mark.parametrize(
    "text",
    [
        "BUY_12345",
        "ORDER_2024-11-27",
        "CALL_2026-11-27T10:00",
        "call=2026-11-27T10:00:00+01:00",
        "2026-11-27T10:00:00+10:00/2026-11-28T10:00:00+10:00",
        "spring_2026_de",
        "mobile_20261127",
        "HOTEL=1234567",
        "302-1234567-1234567",
        "price=1999.99",
        "sum=+4099.50",
        "size=40.5",
        "52.520008,13.404954",
        "+52.5200,+13.4050",
        "lat=+52.520008&lng=+13.404954",
        "+40.7128-074.0060/",
        "01-12-2026",
        "00123456789",
        "shoes+42+2026+1127",
        "https://shop.example/@brand/summer",
        "LOOK_AT_MENU",
        "open_at_9.30",
        "source=mobile&id=1234567890",
        '{"source":"mobile","order":1234567}',
        "af65fa0f-0039-0009-4714-55967861bdd6",
        "phone_24012345678901234",
        "SIZE_40cm_de",
        "SHOES_40EU_RED",
        "BUY_40_org",
        "LOOK_at_menu_de",
        "LOOK_at_com",
        "HOTEL:7042",
        "tel:12",
        "tel=2026x",
        "тело=1234567",
        "автомобиль=1234567",
        "ТЕЛЕВИЗОР_1234567890",
        "корм для собак",
    ],
)
def test_an_ordinary_payload_holds_none(text: str) -> None:
    """Reports need orders, dates, prices, places, campaigns and ids."""
    assert not holds_contact_details(text)


@given(st.uuids())
def test_a_uuid_holds_none(value: object) -> None:
    """With or without a word before it."""
    assert not holds_contact_details(str(value))
    assert not holds_contact_details(f"ORDER_{value}")


@given(st.integers(1, 10**20 - 1), st.sampled_from(["", "ORDER_", "id=", "psid:", '{"ad_id":"']))
def test_digits_hold_none(value: int, before: str) -> None:
    """An id of a person, an ad or an order, of up to 20 digits."""
    assert not holds_contact_details(f"{before}{value}")


@given(st.text(max_size=200))
def test_any_text_can_be_examined(text: str) -> None:
    """It comes from outside."""
    assert holds_contact_details(text) in (True, False)


def test_a_very_long_text_is_held_back_unread() -> None:
    """Messenger allows no payload of this length, and examining it would take long."""
    assert holds_contact_details("x" * (MOST_CHARACTERS + 1))
    assert not holds_contact_details("x" * MOST_CHARACTERS)


@pytest.mark.parametrize(
    "text", ["1", "A", "00 ", "tel:1 ", "+1-", "a at ", "%25", "_", "a_40", "_at_a", "tel=", "61", "QUFB", "call "]
)
def test_no_text_takes_for_ever(text: str) -> None:
    """It is examined before the answer to a webhook, and a stranger chooses it: there is no exponential case."""
    holds_contact_details((text * MOST_CHARACTERS)[:MOST_CHARACTERS])
