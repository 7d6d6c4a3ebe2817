"""From a record to the bytes that leave: pure, and the only place where a request to Kochava is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
import orjson

from ..exceptions import KochavaBotError
from .authentication import authentication_headers, php_json
from .destination import Destination, WireSettings, host_of
from .records import TOP_LEVEL, Deletion, Engagement, IdentityLink, Install, Ping, Record
from .standard import REVENUE_KEYS, StandardEvent
from .urls import with_params


class NoAddress(KochavaBotError):
    """The settings have no address for this record: its tracker or the deletion API is not configured."""


@attrs.frozen(kw_only=True)
class WireRequest:
    """
    One request, complete. It prints no more than its method and host, since all else may be private.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Sent as it is, never normalised.
        headers: All that matter.
        body: The very bytes; ``None`` for a GET.
    """

    method: str
    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes | None = attrs.field(default=None, repr=False)
    host: str = attrs.field(init=False)

    @host.default
    def _host_of_url(self) -> str:
        return host_of(self.url)


def build_request(record: Record, destination: Destination) -> WireRequest:
    """
    The request that tells Kochava of *record*.

    Raises:
        NoAddress: `Destinations.resolve` would have answered ``None``.
    """
    wire = destination.wire
    url = destination.address(record)
    if url is None:
        msg = f"no address is configured for a {record.kind} of app {record.app_id}"
        raise NoAddress(msg)
    match record:
        case Ping():
            return WireRequest(method="GET", url=with_params(url, record.params), headers=_headers(wire))
        case Engagement():
            return _post(url, _event(record, wire), wire)
        case Install():
            return _post(url, _install(record, wire), wire)
        case IdentityLink():
            return _identity_link(url, record, wire)
        case Deletion():
            return _deletion(url, record, wire)
        case _:
            msg = f"no wire form for a {record.kind}"
            raise NoAddress(msg)


def _headers(wire: WireSettings) -> dict[str, str]:
    return {"User-Agent": wire.user_agent}


def _json_headers(wire: WireSettings) -> dict[str, str]:
    return {"User-Agent": wire.user_agent, "Content-Type": "application/json"}


def _post(url: str, body: Mapping[str, Any], wire: WireSettings, *, signed: bool = True) -> WireRequest:
    headers = _json_headers(wire)
    if not signed or wire.api_key is None or wire.api_secret is None:
        return WireRequest(method="POST", url=url, headers=headers, body=orjson.dumps(body))
    written = php_json(body)
    headers |= authentication_headers(written, api_key=wire.api_key.value, api_secret=wire.api_secret.value)
    return WireRequest(method="POST", url=url, headers=headers, body=written)


def _event(record: Engagement, wire: WireSettings) -> dict[str, Any]:
    data: dict[str, Any] = {
        "device_ids": dict(record.device_ids),
        "usertime": record.usertime,
        "event_name": record.event_name,
    }
    event_data = _with_revenue(record, wire)
    if wire.currency_place != "event_data" and isinstance(event_data, Mapping) and "currency" in event_data:
        data["currency"] = event_data["currency"]
        if wire.currency_place == "data":
            event_data = {key: value for key, value in event_data.items() if key != "currency"}
    if event_data is not None and event_data != {}:
        data["event_data"] = event_data
    return _envelope("event", record, data, record.extra, wire)


def _with_revenue(record: Engagement, wire: WireSettings) -> Any:
    """The event's data with its amount under the keys of the settings; `send-test` prefixes the name."""
    data = record.event_data
    if wire.revenue_key == "as_given" or record.event_name.removeprefix("Test ") != StandardEvent.PURCHASE:
        return data
    given = [key for key in REVENUE_KEYS if key in data] if isinstance(data, Mapping) else []
    if len(given) != 1:
        return data
    wanted = REVENUE_KEYS if wire.revenue_key == "both" else (wire.revenue_key,)
    rest = {key: value for key, value in data.items() if key not in given}
    return {**rest, **dict.fromkeys(wanted, data[given[0]])}


def _install(record: Install, wire: WireSettings) -> dict[str, Any]:
    data: dict[str, Any] = {"device_ids": dict(record.device_ids), "usertime": record.usertime}
    extra = {key: value for key, value in record.extra.items() if key != "app_version"}
    body = _envelope("install", record, data, extra, wire)
    # Kochava's samples have the version here for installs, and within `data` for events.
    if "app_version" in record.extra:
        body["app_ver"] = record.extra["app_version"]
    return body


def _envelope(
    action: str, record: Record, data: dict[str, Any], extra: Mapping[str, Any], wire: WireSettings
) -> dict[str, Any]:
    """The outer object. Members of *extra* never replace what the record itself says."""
    inner = {key: value for key, value in extra.items() if key not in TOP_LEVEL and key not in data}
    outer = {key: extra[key] for key in TOP_LEVEL if key in extra}
    if wire.profile == "s2s":
        inner = {"origination_ip": "", "device_ua": "", "device_ver": "", **inner}
        outer = {"kochava_device_id": record.user_id, "nt_id": record.id, **outer}
    elif wire.identity_form == "action":
        # Such a link names the person by this alone.
        outer = {"kochava_device_id": record.user_id, **outer}
    if wire.device_ua_encoding == "percent" and inner.get("device_ua"):
        inner["device_ua"] = quote(str(inner["device_ua"]), safe="")
    return {"data": {**data, **inner}, "action": action, "kochava_app_id": record.app_id, **outer}


def _identity_link(url: str, record: IdentityLink, wire: WireSettings) -> WireRequest:
    if wire.identity_form != "action":
        body: dict[str, Any] = {
            "kochava_app_id": record.app_id,
            "device_id": dict(record.device_ids),
            "data": dict(record.identities),
        }
        return _post(url, body, wire, signed=wire.sign_identity_links)
    body = {
        "data": {"usertime": record.usertime, "identity_link": dict(record.identities)},
        "action": "identityLink",
        "kochava_app_id": record.app_id,
        "kochava_device_id": record.user_id,
        **{key: record.extra[key] for key in TOP_LEVEL if key in record.extra},
    }
    return _post(url, body, wire)


def _deletion(url: str, record: Deletion, wire: WireSettings) -> WireRequest:
    ids = [
        {"id_type": wire.deletion_id_types.get(name, name), "id_value": value}
        for name, value in record.device_ids.items()
    ]
    key = wire.deletion_key.value if wire.deletion_key is not None else ""
    headers = {**_json_headers(wire), "Authentication-Key": key}
    return WireRequest(method="POST", url=url, headers=headers, body=orjson.dumps({"device_ids": ids}))
