"""
From a record to the bytes that leave: pure, and the only place where a request to Kochava is written.
"""

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
from .tracker_url import with_params

# A client library's own User-Agent would be read as the person's device.
_HEADERS = {"User-Agent": "Unknown"}
_JSON_HEADERS = {**_HEADERS, "Content-Type": "application/json"}


class NoAddress(KochavaBotError):
    """
    The settings have no address for this record: its tracker or the deletion API is not configured.
    """


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
            return WireRequest(method="GET", url=with_params(url, record.params), headers=_HEADERS)
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


def _post(url: str, body: Mapping[str, Any], wire: WireSettings, *, signed: bool = True) -> WireRequest:
    if not signed or wire.api_key is None or wire.api_secret is None:
        return WireRequest(method="POST", url=url, headers=_JSON_HEADERS, body=orjson.dumps(body))
    written = php_json(body)
    proof = authentication_headers(written, api_key=wire.api_key.value, api_secret=wire.api_secret.value)
    return WireRequest(method="POST", url=url, headers={**_JSON_HEADERS, **proof}, body=written)


def _event(record: Engagement, wire: WireSettings) -> dict[str, Any]:
    data: dict[str, Any] = {
        "device_ids": dict(record.device_ids),
        "usertime": record.usertime,
        "event_name": record.event_name,
    }
    event_data = record.event_data
    if wire.currency_place != "event_data" and isinstance(event_data, Mapping) and "currency" in event_data:
        data["currency"] = event_data["currency"]
        if wire.currency_place == "data":
            event_data = {key: value for key, value in event_data.items() if key != "currency"}
    if event_data is not None and event_data != {}:
        data["event_data"] = event_data
    return _envelope("event", record, data, record.extra, wire)


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
    """
    The outer object. Members of *extra* never replace what the record itself says.
    """
    inner = {key: value for key, value in extra.items() if key not in TOP_LEVEL and key not in data}
    outer = {key: extra[key] for key in TOP_LEVEL if key in extra}
    if wire.profile == "s2s":
        inner = {"origination_ip": "", "device_ua": "", "device_ver": "", **inner}
        outer = {"kochava_device_id": record.user_id, "nt_id": record.id, **outer}
    if wire.device_ua_encoding == "percent" and inner.get("device_ua"):
        inner["device_ua"] = quote(str(inner["device_ua"]), safe="")
    return {"data": {**data, **inner}, "action": action, "kochava_app_id": record.app_id, **outer}


def _identity_link(url: str, record: IdentityLink, wire: WireSettings) -> WireRequest:
    if wire.identity_form == "php":
        body: dict[str, Any] = {
            "kochava_app_id": record.app_id,
            "device_id": dict(record.device_ids),
            "data": dict(record.identities),
        }
        return _post(url, body, wire, signed=wire.sign_identity_links)
    body = {
        "data": {
            "device_ids": dict(record.device_ids),
            "usertime": record.usertime,
            "identity_link": dict(record.identities),
        },
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
    headers = {**_JSON_HEADERS, "Authentication-Key": key}
    return WireRequest(method="POST", url=url, headers=headers, body=orjson.dumps({"device_ids": ids}))
