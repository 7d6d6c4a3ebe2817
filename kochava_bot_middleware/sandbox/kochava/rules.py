"""The rules of Kochava's documentation for a request; each check raises `KochavaRefusal`."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import attrs

from ..strict_json import php_json
from . import fields
from .fields import check_fields

FUTURE_TOLERANCE_SECONDS = 5
"""How far a sender's clock may be ahead before its ``usertime`` counts as in the future."""

# kochava.md 1.1, body under 2 MB [AMP].
MAXIMUM_BODY_BYTES = 2_000_000
"""The largest body of ``/track/json``."""

Profile = Literal["bot", "s2s"]
"""
Which table of required fields is applied: that of the bot page, where device ids and an event name are enough, or that
of the general page, where device id, IP address, user agent and device version must be given too.
"""


class KochavaRefusal(Exception):
    """
    A request that Kochava would not accept.

    Attributes:
        reason: One sentence that names the field.
        status: HTTP status of the answer.
    """

    def __init__(self, reason: str, *, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def refuse_unless(condition: object, reason: str, *, status: int = 400) -> None:
    """Raise `KochavaRefusal` with *reason* if *condition* is false."""
    if not condition:
        raise KochavaRefusal(reason, status=status)


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


# kochava.md 1.6 [AND].
_SDK_ACTIONS = ("update", "session")


def check_track(body: Any, *, app_ids: Collection[str], now: float, profile: Profile) -> None:
    """Check a decoded body of ``/track/json``."""
    # kochava.md 1.2, fields of the top [BOT, EVT]; 1.6, actions [EVT, AUTH, AND, WEB].
    action = body.get("action") if isinstance(body, dict) else None
    required: dict[str, fields.Check] = {
        "action": fields.one_of(("event", "install", "identityLink", "update", "session")),
        "kochava_app_id": fields.one_of(app_ids),
        "data": fields.mapping,
    }
    # kochava.md 1.1, `nt_id` [WEB].
    optional: dict[str, fields.Check] = {"nt_id": fields.filled_text}
    if action == "install":
        # kochava.md 4, `app_ver` [NOUA, AUTH].
        optional["app_ver"] = fields.text
    by_id = profile == "s2s" or action in ("identityLink", *_SDK_ACTIONS)
    (required if by_id else optional)["kochava_device_id"] = fields.text
    _refuse_if(check_fields("", body, required, optional))
    data = body["data"]
    usertime = fields.seconds_until(now + FUTURE_TOLERANCE_SECONDS)
    if action in _SDK_ACTIONS:
        # kochava.md 1.6 [AND, SH]: the members of `data` are not documented.
        wrong = usertime(data["usertime"]) if "usertime" in data else None
        refuse_unless(wrong is None, f"data.usertime must be {wrong}")
        refuse_unless(data or action != "update", "data must have what is to be updated")
        return
    if action == "identityLink":
        # kochava.md 3, way B [WEB, AND].
        _refuse_if(check_fields("data", data, {"identity_link": fields.identifiers}, {"usertime": usertime}))
        return
    _check_device_data(action, data, usertime, profile)


def _check_device_data(action: Any, data: Mapping[str, Any], usertime: fields.Check, profile: Profile) -> None:
    # kochava.md 1.2, fields of `data` [BOT, EVT, NOUA]; 4, install [NOUA, AUTH].
    required: dict[str, fields.Check] = {"device_ids": fields.identifiers}
    optional: dict[str, fields.Check] = {
        "usertime": usertime,
        "app_version": fields.text,
        "gdpr_privacy_consent": fields.privacy_consent,
        "app_tracking_transparency": fields.tracking_transparency,
        "device_limit_tracking": fields.flag,
    }
    (required if profile == "s2s" else optional).update(
        origination_ip=fields.address_or_empty, device_ua=fields.text, device_ver=fields.device_version
    )
    if action == "event":
        required["event_name"] = fields.event_name
        optional.update(event_data=fields.event_data, currency=fields.currency)
    else:
        # kochava.md 4, also seen in `data` [WEB].
        optional.update(
            identity_link=fields.identifiers, install_referrer=fields.mapping, ad_services_token=fields.text
        )
    _refuse_if(check_fields("data", data, required, optional))
    # kochava.md 8, consent [DMA].
    consent = data.get("gdpr_privacy_consent")
    is_complete = consent is None or "gdpr_applies" in consent or data.get("origination_ip")
    refuse_unless(is_complete, "data.gdpr_privacy_consent must say 'gdpr_applies' when no IP address is sent")


def _refuse_if(wrong: str | None) -> None:
    refuse_unless(wrong is None, wrong or "")


def check_identity_link(body: Any, *, app_ids: Collection[str]) -> None:
    """Check a decoded body of ``/v1/cpi/identityLink.php``, whose key is ``device_id`` and which has no ``action``."""
    # kochava.md 3, way A [IDL].
    required = {
        "kochava_app_id": fields.one_of(app_ids),
        "device_id": fields.identifiers,
        "data": fields.identifiers,
    }
    _refuse_if(check_fields("", body, required, {"device_hash_method": fields.identifiers}))


def check_scrub(body: Any) -> None:
    """Check a decoded body of the privacy API: a list of typed ids."""
    # kochava.md 8, deletion API [DSR].
    _refuse_if(check_fields("", body, {"device_ids": fields.typed_ids}, {"email": fields.filled_text}))


def check_headers(headers: Mapping[str, str], data: Any) -> None:
    """
    Check the headers of ``/track/json``.

    A request without ``device_ua`` must have ``User-Agent: Unknown``; that of a library is read as the user's device.
    """
    # kochava.md 1.1, content type [WEB, SH]; 1.3, user agent [NOUA].
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_json = content_type == "application/json"
    refuse_unless(is_json, f"Content-Type must be application/json, not {content_type!r}", status=415)
    user_agent = headers.get("User-Agent")
    is_user = user_agent == "Unknown" or (isinstance(data, dict) and data.get("device_ua"))
    refuse_unless(is_user, f"User-Agent must be Unknown when device_ua is empty, not {user_agent!r}")


def check_authentication(headers: Mapping[str, str], raw: bytes, body: Any, credentials: KochavaCredentials) -> None:
    """
    Check strict authentication: the token must match the bytes sent and the same JSON as encoded by PHP.

    Kochava says that slashes must be escaped or the hashes differ, which suggests that it hashes after re-encoding.
    """
    # kochava.md 1.5 [AUTH].
    given = headers.get("Kochava-Auth-Token", "")
    for one, other, reason in (
        (headers.get("Kochava-Api-Key", ""), credentials.api_key, "Kochava-Api-Key is missing or wrong"),
        (given, _token(raw, credentials), "Kochava-Auth-Token does not fit the body"),
        (
            given,
            _token(php_json(body).encode(), credentials),
            "the body is not JSON as PHP writes it, so its hash differs",
        ),
    ):
        refuse_unless(hmac.compare_digest(one.encode(), other.encode()), reason, status=401)


def _token(body: bytes, credentials: KochavaCredentials) -> str:
    digest = hashlib.sha1(body).hexdigest()  # noqa: S324 - Kochava's scheme
    message = (credentials.app_secret + digest).encode()
    return hmac.new(credentials.api_key.encode(), message, hashlib.sha256).hexdigest()


def check_ping(kind: str, params: Sequence[tuple[str, str]], *, trackers: Collection[str] | None) -> None:
    """
    Check the query of an impression or click URL.

    Args:
        kind: ``impression`` or ``click``; each has its own name for the sender's unique id.
        params: The decoded query, in order.
        trackers: The known ``campaign_id``; ``None`` accepts any.
    """
    # kochava.md 5.1 [DDL]; 5.2, `campaign_id`, `network_id`, `click_id`, `impression_id` [DDL, SWA, YAN].
    names = [name for name, _ in params]
    query = dict(params)
    for name in ("campaign_id", "network_id"):
        refuse_unless(query.get(name), f"{name} is missing")
    doubled = sorted(name for name in query if names.count(name) > 1)
    refuse_unless(not doubled, f"{''.join(doubled[:1])} occurs twice")
    campaign = query["campaign_id"]
    is_known = trackers is None or campaign in trackers
    refuse_unless(is_known, f"campaign_id {campaign!r} is not a tracker of this account", status=404)
    refuse_unless(query["network_id"].isascii() and query["network_id"].isdigit(), "network_id must be a number")
    other = {"impression": "click_id", "click": "impression_id"}[kind]
    refuse_unless(other not in query, f"{other} is not a parameter of {kind} URLs")
    for name, value in params:
        is_filled = not re.search(r"\{\w+(:\w+)?\}", value)
        refuse_unless(is_filled, f"the placeholder of {name} was not filled")
    # kochava.md 5.2, `ip_address` [SWA].
    if "ip_address" in query:
        refuse_unless(not fields.address(query["ip_address"]), "ip_address must be the user's IP address")
