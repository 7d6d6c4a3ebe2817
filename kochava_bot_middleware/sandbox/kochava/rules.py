"""The rules of Kochava's documentation for a request; each check returns ``None`` or a `RuleViolation`."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import attrs

from ..strict_json import php_json
from . import fields

FUTURE_TOLERANCE_SECONDS = 5
"""How far a sender's clock may be ahead before its ``usertime`` counts as in the future."""

MAXIMUM_BODY_BYTES = 2_000_000
"""The largest body of ``/track/json``."""


Profile = Literal["bot", "s2s"]
"""
Which table of required fields is applied: that of the bot page, where device ids and an event name are enough, or that
of the general page, where device id, IP address, user agent and device version must be given too.
"""


@attrs.frozen(kw_only=True)
class RuleViolation:
    """
    Why a request was not accepted.

    Attributes:
        reason: One sentence that names the field.
        status: HTTP status of the answer.
    """

    reason: str
    status: int = 400


@attrs.frozen(kw_only=True)
class KochavaCredentials:
    """
    The key pair of strict authentication.

    Attributes:
        api_key: Sent with each request, and the key of the HMAC.
        app_secret: Never sent; the beginning of the HMAC's message.
    """

    api_key: str
    app_secret: str = attrs.field(repr=False)


def _seconds(now: float, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "whole seconds since 1970 as an integer"
    if value > 100_000_000_000:
        return "in seconds, not milliseconds"
    if value < 1_000_000_000:
        return "a time in this century"
    return "in the past" if value > now + FUTURE_TOLERANCE_SECONDS else None


def _one_of(names: Collection[str], value: Any) -> str | None:
    return None if value in names else f"one of {', '.join(sorted(names))}"


def check_track(body: Any, *, app_ids: Collection[str], now: float, profile: Profile) -> RuleViolation | None:
    """Check a decoded body of ``/track/json``."""
    if not isinstance(body, dict):
        return RuleViolation(reason="the body must be an object")
    action = body.get("action")
    required: dict[str, fields.Check] = {
        "action": partial(_one_of, ("event", "install", "identityLink")),
        "kochava_app_id": partial(_one_of, app_ids),
        "data": fields.mapping,
    }
    optional: dict[str, fields.Check] = {"kochava_device_id": fields.text, "nt_id": fields.filled_text}
    if action == "install":
        optional["app_ver"] = fields.text
    if profile == "s2s" or action == "identityLink":
        required["kochava_device_id"] = optional.pop("kochava_device_id")
    wrong = fields.check_fields("", body, required, optional) or _check_data(action, body["data"], now, profile)
    return None if wrong is None else RuleViolation(reason=wrong)


def _check_data(action: Any, data: dict[str, Any], now: float, profile: Profile) -> str | None:
    usertime = partial(_seconds, now)
    if action == "identityLink":
        return fields.check_fields("data", data, {"identity_link": fields.identifiers}, {"usertime": usertime})
    required: dict[str, fields.Check] = {"device_ids": fields.identifiers}
    optional: dict[str, fields.Check] = {
        "usertime": usertime,
        "app_version": fields.text,
        "gdpr_privacy_consent": fields.privacy_consent,
        "app_tracking_transparency": fields.tracking_transparency,
        "device_limit_tracking": fields.flag,
    }
    device: dict[str, fields.Check] = {
        "origination_ip": fields.address,
        "device_ua": fields.text,
        "device_ver": fields.device_version,
    }
    (required if profile == "s2s" else optional).update(device)
    if action == "event":
        required["event_name"] = fields.event_name
        optional |= {"event_data": fields.event_data, "currency": fields.currency}
    else:
        optional |= {"identity_link": fields.identifiers, "install_referrer": fields.mapping}
    wrong = fields.check_fields("data", data, required, optional)
    consent = data.get("gdpr_privacy_consent")
    if wrong is None and consent is not None and "gdpr_applies" not in consent and not data.get("origination_ip"):
        return "data.gdpr_privacy_consent must say 'gdpr_applies' when no IP address is sent"
    return wrong


def check_identity_link(body: Any, *, app_ids: Collection[str]) -> RuleViolation | None:
    """Check a decoded body of ``/v1/cpi/identityLink.php``, whose key is ``device_id`` and which has no ``action``."""
    required: dict[str, fields.Check] = {
        "kochava_app_id": partial(_one_of, app_ids),
        "device_id": fields.identifiers,
        "data": fields.identifiers,
    }
    wrong = fields.check_fields("", body, required, {"device_hash_method": fields.identifiers})
    return None if wrong is None else RuleViolation(reason=wrong)


def check_scrub(body: Any) -> RuleViolation | None:
    """Check a decoded body of the privacy API: a list of typed ids."""
    wrong = fields.check_fields("", body, {"device_ids": _typed_ids}, {"email": fields.filled_text})
    return None if wrong is None else RuleViolation(reason=wrong)


def _typed_ids(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "a list with at least one id"
    both: dict[str, fields.Check] = {"id_type": fields.filled_text, "id_value": fields.filled_text}
    wrong = [complaint for one in value if (complaint := fields.check_fields("its item", one, both, {}))]
    return f"a list of typed ids: {wrong[0]}" if wrong else None


def check_headers(headers: Mapping[str, str], data: Any) -> RuleViolation | None:
    """
    Check the headers of ``/track/json``.

    A request without ``device_ua`` must have ``User-Agent: Unknown``; that of a library is read as the user's device.
    """
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        return RuleViolation(reason=f"Content-Type must be application/json, not {content_type!r}", status=415)
    user_agent = headers.get("User-Agent")
    if user_agent != "Unknown" and not (isinstance(data, dict) and data.get("device_ua")):
        return RuleViolation(reason=f"User-Agent must be Unknown when device_ua is empty, not {user_agent!r}")
    return None


def check_authentication(
    headers: Mapping[str, str], raw: bytes, body: Any, credentials: KochavaCredentials
) -> RuleViolation | None:
    """
    Check strict authentication: the token must match the bytes sent and the same JSON as encoded by PHP.

    Kochava says that slashes must be escaped or the hashes differ, which suggests that it hashes after re-encoding.
    """
    if not hmac.compare_digest(headers.get("Kochava-Api-Key", "").encode(), credentials.api_key.encode()):
        return RuleViolation(reason="Kochava-Api-Key is missing or wrong", status=401)
    given = headers.get("Kochava-Auth-Token", "").encode()
    if not hmac.compare_digest(given, _token(raw, credentials).encode()):
        return RuleViolation(reason="Kochava-Auth-Token does not fit the body", status=401)
    if not hmac.compare_digest(given, _token(php_json(body).encode(), credentials).encode()):
        return RuleViolation(reason="the body is not JSON as PHP writes it, so its hash differs", status=401)
    return None


def _token(body: bytes, credentials: KochavaCredentials) -> str:
    digest = hashlib.sha1(body).hexdigest()  # noqa: S324 - Kochava's scheme
    message = (credentials.app_secret + digest).encode()
    return hmac.new(credentials.api_key.encode(), message, hashlib.sha256).hexdigest()


def check_ping(
    kind: str, params: Sequence[tuple[str, str]], *, trackers: Collection[str] | None
) -> RuleViolation | None:
    """
    Check the query of an impression or click URL.

    Args:
        kind: ``impression`` or ``click``; each has its own name for the sender's unique id.
        params: The decoded query, in order.
        trackers: The known ``campaign_id``; ``None`` accepts any.
    """
    names = [name for name, _ in params]
    query = dict(params)
    for name in ("campaign_id", "network_id"):
        if not query.get(name):
            return RuleViolation(reason=f"{name} is missing")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        return RuleViolation(reason=f"{doubled[0]} occurs twice")
    if trackers is not None and query["campaign_id"] not in trackers:
        return RuleViolation(
            reason=f"campaign_id {query['campaign_id']!r} is not a tracker of this account", status=404
        )
    if not query["network_id"].isdigit():
        return RuleViolation(reason="network_id must be a number")
    other = {"impression": "click_id", "click": "impression_id"}[kind]
    if other in query:
        return RuleViolation(reason=f"{other} is not a parameter of {kind} URLs")
    for name, value in params:
        if re.search(r"\{\w+(:\w+)?\}", value):
            return RuleViolation(reason=f"the placeholder of {name} was not filled")
    if "ip_address" in query and (not query["ip_address"] or fields.address(query["ip_address"])):
        return RuleViolation(reason="ip_address must be the user's IP address")
    return None
