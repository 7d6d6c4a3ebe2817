"""
Names of Kochava's standard events, the keys of their data, and the keys that must not be used.

An event with any other name is a custom event. Keys can be chosen freely, but Kochava's reports use the standard ones.
"""

from __future__ import annotations

import enum
import functools
import re
import unicodedata
from collections.abc import Mapping


class StandardEvent(enum.StrEnum):
    """Names of Kochava's standard events, as sent by its SDKs."""

    ACHIEVEMENT = "Achievement"
    ADD_TO_CART = "Add to Cart"
    ADD_TO_WISH_LIST = "Add to Wish List"
    AD_CLICK = "Ad Click"
    AD_VIEW = "Ad View"
    CHECKOUT_START = "Checkout Start"
    CONSENT_GRANTED = "Consent Granted"
    DEEPLINK = "_Deeplink"
    LEVEL_COMPLETE = "Level Complete"
    PURCHASE = "Purchase"
    PUSH_OPENED = "Push Opened"
    PUSH_RECEIVED = "Push Received"
    RATING = "Rating"
    REGISTRATION_COMPLETE = "Registration Complete"
    SEARCH = "Search"
    START_TRIAL = "Start Trial"
    SUBSCRIBE = "Subscribe"
    TUTORIAL_COMPLETE = "Tutorial Complete"
    VIEW = "View"


def standard_event_like(name: str) -> StandardEvent | None:
    """
    The standard event that *name* differs from only in capitals, blanks, hyphens or underscores; ``None`` if there is
    none, or if it is spelled like one.
    """
    meant = _like(name, _EVENTS)
    return None if meant == name else StandardEvent(meant) if meant else None


class StandardKey(enum.StrEnum):
    """
    The standard keys of ``event_data``. Each is allowed for any event; all are optional.

    `source` is missing although the SDKs send it, since Kochava's page on event data reserves it.
    """

    ACTION = "action"
    AD_CAMPAIGN_ID = "ad_campaign_id"
    AD_CAMPAIGN_NAME = "ad_campaign_name"
    AD_GROUP_ID = "ad_group_id"
    AD_GROUP_NAME = "ad_group_name"
    AD_MEDIATION_NAME = "ad_mediation_name"
    AD_NETWORK_NAME = "ad_network_name"
    AD_SIZE = "ad_size"
    AD_TYPE = "ad_type"
    BACKGROUND = "background"
    CHECKOUT_AS_GUEST = "checkout_as_guest"
    COMPLETED = "completed"
    CONTENT_ID = "content_id"
    CONTENT_TYPE = "content_type"
    CURRENCY = "currency"
    DATE = "date"
    DESCRIPTION = "description"
    DESTINATION = "destination"
    DEVICE_TYPE = "device_type"
    DURATION = "duration"
    END_DATE = "end_date"
    ITEM_ADDED_FROM = "item_added_from"
    LEVEL = "level"
    MAX_RATING_VALUE = "max_rating_value"
    NAME = "name"
    ORDER_ID = "order_id"
    ORIGIN = "origin"
    PAYLOAD = "payload"
    PLACEMENT = "placement"
    PRICE = "price"
    QUANTITY = "quantity"
    RATING_VALUE = "rating_value"
    RECEIPT_ID = "receipt_id"
    REFERRAL_FROM = "referral_from"
    REGISTRATION_METHOD = "registration_method"
    RESULTS = "results"
    SCORE = "score"
    SEARCH_TERM = "search_term"
    SPATIAL_X = "spatial_x"
    SPATIAL_Y = "spatial_y"
    SPATIAL_Z = "spatial_z"
    START_DATE = "start_date"
    SUCCESS = "success"
    SUM = "sum"
    URI = "uri"
    USER_ID = "user_id"
    USER_NAME = "user_name"
    VALIDATED = "validated"


def standard_key_like(key: str) -> StandardKey | None:
    """The same for a key of ``event_data``."""
    meant = _like(key, _KEYS)
    return None if meant == key else StandardKey(meant) if meant else None


_LONGEST = 60


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name)).casefold()


_EVENTS = {_letters(name): str(name) for name in StandardEvent}
_KEYS = {_letters(key): str(key) for key in StandardKey}


def _like(name: str, standard: Mapping[str, str]) -> str | None:
    return None if len(name) > _LONGEST else standard.get(_letters_of(name))


_letters_of = functools.lru_cache(maxsize=1024)(_letters)
"""Names and keys are few, and come again and again."""


RESERVED_KEYS = frozenset(
    {
        "attribution_type",
        "campaign",
        "cracked",
        "creative",
        "fb_campaign",
        "integration_type",
        "integration_version",
        "jailbroken",
        "network",
        "site",
        "source",
    }
)
"""Keys reserved by Kochava; not allowed in ``event_data``."""

REVENUE_KEYS = ("sum", "price")
"""Keys of an amount: of the bot page and of newer pages."""

MANY_KEYS = 16
"""According to third parties, Kochava does not store more keys than this."""

MAX_BYTES = 600_000
"""
Maximum bytes of one ``event_data`` as UTF-8 JSON.

According to third parties, a body may have 2 MB; escaping to ASCII for strict authentication can triple the length.
"""


_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
    CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL
    """
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217 codes of currencies, including those withdrawn since 2024, since events may be reported late."""


def is_currency(code: object) -> bool:
    """Whether *code* is an ISO 4217 code, in capitals."""
    return isinstance(code, str) and code in CURRENCIES
