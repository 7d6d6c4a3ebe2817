"""
From a record to the request that is sent to Kochava: address, headers, body and signature.

Kochava's page on strict authentication asks for escaped slashes, so its server probably encodes the body again with
PHP's ``json_encode`` before it hashes it. A signed body is therefore encoded as by PHP.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

import attrs
import orjson

from ..exceptions import KochavaBotError
from .destination import Destination, WireSettings, host_of
from .records import TOP_LEVEL, Deletion, Engagement, IdentityLink, Install, Ping, Record, Session
from .standard import REVENUE_KEYS, StandardEvent

_NOT_ALLOWED = re.compile(r"[^\x21-\x7e]+")
_PLACEHOLDER = re.compile(r"\{.+\}|\[.+\]|<.+>|\$\w+\$|%%\w+%%|__\w+__", re.DOTALL)


class AddressNotConfigured(KochavaBotError):
    """The settings have no address for a record: its tracker or the deletion API is not configured."""


@attrs.define(kw_only=True)
class WireRequest:
    """
    One complete request. Its repr shows only method and host, since the rest may be private.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Sent as it is, not normalised.
        headers: All headers except those of HTTP itself.
        body: The exact bytes; ``None`` for a GET.
        host: Host and port of `url`.
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
    """The request for *record*. `AddressNotConfigured` is raised where `Destinations.resolve` returns ``None``."""
    wire = destination.wire
    url = destination.address(record)
    if url is None:
        msg = f"no address is configured for a {record.kind} of app {record.app_id}"
        raise AddressNotConfigured(msg)
    match record:
        case Ping():
            headers = {"User-Agent": wire.user_agent}
            return WireRequest(method="GET", url=with_params(url, record.params), headers=headers)
        case Engagement():
            return _post(url, _event(record, wire), wire)
        case Install():
            return _post(url, _install(record, wire), wire)
        case Session():
            return _post(url, _session(record, wire), wire)
        case IdentityLink():
            return _identity_link(url, record, wire)
        case Deletion():
            return _deletion(url, record, wire)
        case _:
            msg = f"there is no request for a {record.kind}"
            raise AddressNotConfigured(msg)


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
    """The event's data with its amount under the keys of the settings; `send-test` adds a prefix to the name."""
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
    # In Kochava's samples the version is here for installs, and in `data` for events.
    if "app_version" in record.extra:
        body["app_ver"] = record.extra["app_version"]
    return body


def _session(record: Session, wire: WireSettings) -> dict[str, Any]:
    """No page of Kochava has the body of a session, which its SDKs send on this path: this is that of an event."""
    data: dict[str, Any] = {"device_ids": dict(record.device_ids), "usertime": record.usertime}
    # Kochava's SDKs name the device by this alone.
    return {"kochava_device_id": record.user_id, **_envelope("session", record, data, record.extra, wire)}


def _envelope(
    action: str, record: Record, data: dict[str, Any], extra: Mapping[str, Any], wire: WireSettings
) -> dict[str, Any]:
    """The outer object. Members of *extra* never replace those of the record."""
    if not extra and wire.profile == "bot" and wire.identity_form != "action":
        return {"data": data, "action": action, "kochava_app_id": record.app_id}
    inner = {key: value for key, value in extra.items() if key not in TOP_LEVEL and key not in data}
    outer = {key: extra[key] for key in TOP_LEVEL if key in extra}
    if wire.profile == "s2s":
        inner = {"origination_ip": "", "device_ua": "", "device_ver": "", **inner}
        outer = {"kochava_device_id": record.user_id, "nt_id": record.id, **outer}
    elif wire.identity_form == "action":
        # Such a link identifies the person only by this.
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
    pairs = [*record.device_ids.items()]
    pairs += [(name, value) for name, values in record.former_ids.items() for value in values]
    ids = [{"id_type": wire.deletion_id_types.get(name, name), "id_value": value} for name, value in pairs]
    key = wire.deletion_key.value if wire.deletion_key is not None else ""
    headers = {**_json_headers(wire), "Authentication-Key": key}
    return WireRequest(method="POST", url=url, headers=headers, body=orjson.dumps({"device_ids": ids}))


def ids_sent(record: Record, wire: WireSettings) -> Mapping[str, str]:
    """The ids of the person, by name, that the request for *record* has; not the parameters of a ping."""
    match record:
        case Engagement() | Install() | Session():
            device_id = record.extra.get("kochava_device_id")
            has_device_id = wire.profile == "s2s" or wire.identity_form == "action" or isinstance(record, Session)
            if device_id is None and not has_device_id:
                return record.device_ids
            return {**record.device_ids, "kochava_device_id": str(record.user_id if device_id is None else device_id)}
        case IdentityLink() if wire.identity_form == "action":
            device_id = record.extra.get("kochava_device_id", record.user_id)
            return {"kochava_device_id": str(device_id), **record.identities}
        case IdentityLink():
            return {**record.device_ids, **record.identities}
        case _:
            return {}


def with_params(url: str, params: Mapping[str, str]) -> str:
    """
    *url* with *params* added to its query.

    Existing parameters stay byte for byte and take precedence over those of the same name. Only literal placeholders in
    the URLs of Campaign Manager (``device_id=device_id``, ``click_id={click_id}``) and of other tools (``$CLICK_ID$``,
    ``__CLICK_ID__``) are replaced by the parameter of that name, or removed when there is none. A name without a value
    gets the value of the parameter. Characters that are not allowed in a request, such as a space or an umlaut, are
    percent-encoded.
    """
    rest, hash_sign, fragment = _NOT_ALLOWED.sub(lambda match: quote(match[0], safe=""), url).partition("#")
    address, question_mark, query = rest.partition("?")
    pairs: list[str] = []
    names: set[str] = set()
    for pair in query.split("&") if question_mark else []:
        key, _, value = pair.partition("=")
        name = unquote_plus(key)
        if key and (_is_placeholder(name, unquote_plus(value)) or (not value and params.get(name))):
            continue
        pairs.append(pair)
        names.add(name)
    added = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items() if name not in names]
    if pairs == [""]:
        pairs = []
    merged = "&".join([*pairs, *added])
    return f"{address}{'?' if merged or question_mark else ''}{merged}{hash_sign}{fragment}"


def _is_placeholder(name: str, value: str) -> bool:
    return value.lower() == name.lower() or _PLACEHOLDER.fullmatch(value) is not None


def authentication_headers(body: bytes, *, api_key: str, api_secret: str) -> dict[str, str]:
    """
    The two headers of strict authentication for exactly these bytes.

    The token is the HMAC-SHA256 with the API key of the secret followed by the SHA-1 of *body*, in lower-case hex.
    """
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    token = hmac.new(api_key.encode(), (api_secret + digest).encode(), hashlib.sha256).hexdigest()
    return {"Kochava-Api-Key": api_key, "Kochava-Auth-Token": token}


def php_json(value: Any) -> bytes:
    """
    JSON as encoded by PHP's ``json_encode``: compact, ASCII, slashes escaped, whole floats without a fraction.

    Empty objects in objects are left out, since PHP would encode them as ``[]`` again; in lists they are ``[]``.
    """
    return _php(value).encode("ascii")


def _php(value: Any) -> str:
    match value:
        case str():
            return _php_text(value)
        case bool() | None:
            return json.dumps(value)
        case int():
            return str(value)
        case float():
            return _php_float(value)
        case Mapping():
            members = (f"{_php(key)}:{_php(member)}" for key, member in value.items() if not _empty(member))
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join("[]" if _empty(member) else _php(member) for member in value) + "]"
        case _:
            msg = f"{type(value).__name__} cannot be represented in JSON"
            raise TypeError(msg)


def _php_text(value: str) -> str:
    # Python escapes the delete character, PHP does not.
    parts = (json.dumps(part)[1:-1].replace("/", "\\/") for part in value.split("\x7f"))
    return '"' + "\x7f".join(parts) + '"'


def _empty(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_empty(member) for member in value.values())


def _php_float(value: float) -> str:
    # PHP decodes digits without a fraction as an integer if it fits in 64 bits, and encodes it unchanged.
    if value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    digits, _, exponent = repr(value).partition("e")
    if not exponent:
        return digits
    return f"{digits if '.' in digits else digits + '.0'}e{int(exponent):+d}"
