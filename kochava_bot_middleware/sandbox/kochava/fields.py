"""
The fields of Kochava's bodies, each with its check.

A check takes the value and returns ``None`` if Kochava's documentation allows it, else a description of what it allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Any

Check = Callable[[Any], str | None]

# kochava.md 2.2, reserved [EX].
RESERVED_KEYS = frozenset(
    {
        "network",
        "source",
        "fb_campaign",
        "campaign",
        "site",
        "creative",
        "attribution_type",
        "integration_type",
        "integration_version",
        "cracked",
        "jailbroken",
    }
)
"""Keys that Kochava reserves and that must never be used in ``event_data``."""

# kochava.md 2.2, number [FLU, EX]; `sum` is the revenue key of the bot's sample [BOT].
AMOUNT_KEYS = frozenset(
    {"sum", "price", "quantity", "duration", "rating_value", "max_rating_value", "spatial_x", "spatial_y", "spatial_z"}
)
"""Keys of ``event_data`` that Kochava reads as numbers."""

# kochava.md 2.2, string [FLU, EX].
_TEXTS = """
    action checkout_as_guest content_id content_type currency date description destination end_date item_added_from
    level name order_id origin receipt_id referral_from registration_method results score search_term start_date success
    uri user_id user_name validated
    """
TEXT_KEYS = frozenset(_TEXTS.split())
"""Keys of ``event_data`` that Kochava reads as text."""

# kochava.md 2.2, bool [FLU].
FLAG_KEYS = frozenset({"background", "completed"})
"""Keys of ``event_data`` that Kochava reads as true or false."""

# kochava.md 1.2, `currency` [EVT]: ISO 4217, with its funds, metals and codes for tests.
_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD
    HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD
    MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR
    RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS
    XUA XXX YER ZAR ZMW ZWG ZWL
    """
CURRENCIES = frozenset(_CODES.split())

# kochava.md 1.2, `app_tracking_transparency` [EVT, PIX].
_ATT_DETAILS = frozenset({"authorized", "denied", "notDetermined", "restricted"})


def must(is_allowed: Callable[[Any], object], wanted: str) -> Check:
    """A check that wants what *is_allowed* holds for."""
    return lambda value: None if is_allowed(value) else wanted


def _is_address(value: Any) -> bool:
    try:
        return isinstance(value, str) and not ip_address(value).is_unspecified
    except ValueError:
        return False


def _is_amount(value: Any) -> bool:
    """A number; also as text, which an amount is that no float represents."""
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


text = must(lambda value: isinstance(value, str), "a string")
filled_text = must(lambda value: isinstance(value, str) and value.strip(), "a string that is not empty")
# kochava.md 1.2, `device_limit_tracking` [SEG, SH].
flag = must(lambda value: value is True or value is False or value in ("true", "false"), "true or false")
mapping = must(lambda value: isinstance(value, dict), "an object")
# kochava.md 5.2, `ip_address` [SWA].
address = must(_is_address, "the user's IP address")
# kochava.md 1.2, `origination_ip` [EVT]; the fallback 0.0.0.0 of 1.3 is no user's.
address_or_empty = must(lambda value: value == "" or _is_address(value), "the user's IP address")
# kochava.md 1.2, `currency` [EVT, BOT].
currency = must(lambda value: isinstance(value, str) and value in CURRENCIES, "an ISO 4217 code such as USD")
# kochava.md 1.2, `device_ver` [EVT, NOUA].
device_version = must(
    lambda value: isinstance(value, str) and (not value or re.fullmatch(r".+-[A-Za-z ]+-[\d.]+", value)),
    "empty or model-OS-version, such as iPhone-iOS-13.6.0",
)


def one_of(names: Collection[str]) -> Check:
    """One of these names."""
    return must(lambda value: value in names, f"one of {', '.join(sorted(names))}")


def event_name(value: Any) -> str | None:
    """A name, without the leading underscore that marks Kochava's own events."""
    # kochava.md 1.2, `event_name` [BOT, EVT]; 2.1, names [EX].
    if wanted := filled_text(value):
        return wanted
    if value.startswith("_") and value != "_Deeplink":
        return "a name without a leading underscore, which marks Kochava's own events"
    return None


def seconds_until(latest: float) -> Check:
    """Whole seconds since the epoch, as a number or as text, not after *latest*."""
    # kochava.md 1.2, `usertime` [EVT, NOUA]: the samples have both.

    def check(value: Any) -> str | None:
        if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return "whole seconds since 1970"
        if value > 100_000_000_000:
            return "in seconds, not milliseconds"
        if value < 1_000_000_000:
            return "a time in this century"
        return "in the past" if value > latest else None

    return check


def identifiers(value: Any) -> str | None:
    """An object with at least one id, each a string."""
    # kochava.md 1.2, `device_ids` [BOT, EVT]; 3, IdentityLink [IDL, WEB].
    if not isinstance(value, dict) or not value:
        return "an object with at least one id"
    wrong = [name for name, one in value.items() if not name or filled_text(one)]
    return f"a string that is not empty under {wrong[0]!r}" if wrong else None


def typed_ids(value: Any) -> str | None:
    """A list of objects of a type and an id."""
    # kochava.md 8, deletion API [DSR].
    if not isinstance(value, list) or not value:
        return "a list with at least one id"
    both = {"id_type": filled_text, "id_value": filled_text}
    wrong = [complaint for one in value if (complaint := check_fields("its item", one, both, {}))]
    return f"a list of typed ids: {wrong[0]}" if wrong else None


def event_data(value: Any) -> str | None:
    """An object, or one plain value."""
    # kochava.md 1.2, `event_data` [BOT].
    if isinstance(value, (str, int, float)):
        return None
    if not isinstance(value, dict):
        return "an object, a string, a number or a flag"
    for key, member in value.items():
        if key in RESERVED_KEYS:
            return f"no key {key!r}, which Kochava reserves"
        if member is None:
            return f"no null under {key!r}"
        if wanted := _standard_value(key, member):
            return f"{wanted} under {key!r}"
    return None


def _standard_value(key: str, value: Any) -> str | None:
    # kochava.md 2.2 [FLU, EX].
    if key == "currency":
        return currency(value)
    if key in AMOUNT_KEYS:
        return None if _is_amount(value) else "a number"
    if key in TEXT_KEYS:
        return text(value)
    if key in FLAG_KEYS:
        return None if isinstance(value, bool) else "true or false"
    return mapping(value) if key == "payload" else None


def privacy_consent(value: Any) -> str | None:
    """Google's consent signals: flags are 0 or 1, and ``tc_string`` or both ad signals are present."""
    # kochava.md 8, consent [EVT, DMA].
    known = {"gdpr_applies", "tc_string", "ad_user_data", "ad_personalization"}
    if not isinstance(value, dict) or not value or not set(value) <= known:
        return f"an object of {', '.join(sorted(known))}"
    for name in known - {"tc_string"}:
        if name in value and (isinstance(value[name], bool) or value[name] not in (0, 1)):
            return f"0 or 1 under {name!r}"
    if "tc_string" in value and not isinstance(value["tc_string"], str):
        return "a string under 'tc_string'"
    if "tc_string" not in value and not {"ad_user_data", "ad_personalization"} <= set(value):
        return "'tc_string', or both 'ad_user_data' and 'ad_personalization'"
    return None


def tracking_transparency(value: Any) -> str | None:
    """The status of Apple's App Tracking Transparency."""
    # kochava.md 1.2, `app_tracking_transparency` [EVT].
    if not isinstance(value, dict) or not isinstance(value.get("att"), bool):
        return "an object with 'att' true or false"
    if "att_detail" in value and value["att_detail"] not in _ATT_DETAILS:
        return f"one of {', '.join(sorted(_ATT_DETAILS))} under 'att_detail'"
    return None


def check_fields(where: str, value: Any, required: Mapping[str, Check], optional: Mapping[str, Check]) -> str | None:
    """The first thing that is wrong with the object *value* at the path *where*, as a sentence."""
    if not isinstance(value, dict):
        return f"{where or 'the body'} must be an object"
    prefix = f"{where}." if where else ""
    for name in required:
        if name not in value:
            return f"{prefix}{name} is missing"
    for name, member in value.items():
        check = required.get(name) or optional.get(name)
        if check is None:
            return f"{prefix}{name} is not a key that Kochava knows here"
        wanted = check(member)
        if wanted is not None:
            return f"{prefix}{name} must be {wanted}"
    return None
