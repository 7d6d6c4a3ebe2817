"""
The fields of Kochava's bodies, each with its check.

A check takes the value and returns ``None`` if Kochava's documentation allows it, else a description of what it allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

Check = Callable[[Any], str | None]

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

AMOUNT_KEYS = frozenset({"sum", "price", "quantity", "duration", "rating_value", "max_rating_value"})
"""Keys of ``event_data`` that Kochava reads as numbers."""

_ATT_DETAILS = frozenset({"authorized", "denied", "notDetermined", "restricted"})


def text(value: Any) -> str | None:
    """Any string."""
    return None if isinstance(value, str) else "a string"


def filled_text(value: Any) -> str | None:
    """A string that is not blank."""
    return None if isinstance(value, str) and value.strip() else "a string that is not empty"


def event_name(value: Any) -> str | None:
    """A name, without the leading underscore that marks Kochava's own events."""
    if filled_text(value):
        return filled_text(value)
    if value.startswith("_") and value != "_Deeplink":
        return "a name without a leading underscore, which marks Kochava's own events"
    return None


def flag(value: Any) -> str | None:
    """True or false, or the same as text."""
    return None if value is True or value is False or value in ("true", "false") else "true or false"


def address(value: Any) -> str | None:
    """The user's IP address; empty when there is none."""
    if value == "":
        return None
    try:
        found = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    return None if found is not None and not found.is_unspecified else "the user's IP address"


def currency(value: Any) -> str | None:
    """A code of ISO 4217."""
    return None if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) else "an ISO 4217 code such as USD"


def device_version(value: Any) -> str | None:
    """``model-OS-version``, or empty."""
    if value == "" or (isinstance(value, str) and re.fullmatch(r".+-[A-Za-z ]+-[\d.]+", value)):
        return None
    return "empty or model-OS-version, such as iPhone-iOS-13.6.0"


def identifiers(value: Any) -> str | None:
    """An object with at least one id, each a string."""
    if not isinstance(value, dict) or not value:
        return "an object with at least one id"
    wrong = [name for name, one in value.items() if not name or filled_text(one)]
    return f"a string that is not empty under {wrong[0]!r}" if wrong else None


def event_data(value: Any) -> str | None:
    """An object, or one plain value."""
    if isinstance(value, (str, int, float)):
        return None
    if not isinstance(value, dict):
        return "an object, a string, a number or a flag"
    for key, member in value.items():
        if key in RESERVED_KEYS:
            return f"no key {key!r}, which Kochava reserves"
        if key == "currency" and currency(member):
            return f"{currency(member)} under 'currency'"
        if key in AMOUNT_KEYS and not _is_amount(member):
            return f"a number under {key!r}"
        if member is None:
            return f"no null under {key!r}"
    return None


def _is_amount(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def privacy_consent(value: Any) -> str | None:
    """Google's consent signals: flags are 0 or 1, and ``tc_string`` or both ad signals are present."""
    known = {"gdpr_applies", "tc_string", "ad_user_data", "ad_personalization"}
    if not isinstance(value, dict) or not value or not set(value) <= known:
        return f"an object of {', '.join(sorted(known))}"
    for name in known - {"tc_string"}:
        if name in value and (isinstance(value[name], bool) or value[name] not in (0, 1)):
            return f"0 or 1 under {name!r}"
    if "tc_string" in value and text(value["tc_string"]):
        return "a string under 'tc_string'"
    if "tc_string" not in value and not {"ad_user_data", "ad_personalization"} <= set(value):
        return "'tc_string', or both 'ad_user_data' and 'ad_personalization'"
    return None


def tracking_transparency(value: Any) -> str | None:
    """The status of Apple's App Tracking Transparency."""
    if not isinstance(value, dict) or not isinstance(value.get("att"), bool):
        return "an object with 'att' true or false"
    if "att_detail" in value and value["att_detail"] not in _ATT_DETAILS:
        return f"one of {', '.join(sorted(_ATT_DETAILS))} under 'att_detail'"
    return None


def mapping(value: Any) -> str | None:
    """Any object."""
    return None if isinstance(value, dict) else "an object"


def check_fields(where: str, value: Any, required: Mapping[str, Check], optional: Mapping[str, Check]) -> str | None:
    """
    Check the object *value* key by key.

    Args:
        where: Its path, for the description; empty for the whole body.
        value: The object.
        required: The keys that must be present, with their checks.
        optional: The keys that may be present, with their checks.

    Returns:
        The first thing that is wrong, as a sentence; ``None`` if nothing is.
    """
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
