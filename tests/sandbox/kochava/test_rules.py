"""The rules of Kochava."""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from kochava_bot_middleware.sandbox.kochava.rules import (
    KochavaCredentials,
    KochavaRefusal,
    Profile,
    check_authentication,
    check_headers,
    check_identity_link,
    check_ping,
    check_scrub,
    check_track,
)

NOW = 1_800_000_000.0
SEED: dict[str, Any] = {
    "data": {
        "device_ids": {"fb_user_id": "123456789"},
        "event_name": "Purchase",
        "event_data": {"id": "123", "name": "Shoes", "currency": "USD", "sum": 100},
    },
    "action": "event",
    "kochava_app_id": "koconversionsdemo174ea19bc63928c",
}
REMOVED = object()


def refused(check: Callable[[], None]) -> str | None:
    """Why *check* refuses; ``None`` if it does not."""
    try:
        check()
    except KochavaRefusal as refusal:
        return refusal.reason
    return None


def reason(body: Any, profile: Profile = "bot") -> str | None:
    """Why a body of ``/track/json`` is refused; ``None`` if it is not."""
    return refused(partial(check_track, body, app_ids={"koconversionsdemo174ea19bc63928c"}, now=NOW, profile=profile))


def changed(path: str, value: Any, base: dict[str, Any] = SEED) -> dict[str, Any]:
    """The sample with one member replaced, added or removed."""
    body = copy.deepcopy(base)
    *parents, name = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    if value is REMOVED:
        del place[name]
    else:
        place[name] = value
    return body


def test_the_published_sample_is_accepted() -> None:
    """The body on Kochava's bot page breaks no rule."""
    assert reason(SEED) is None


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("action", REMOVED, "action is missing"),
        ("action", "purchase", "action must be one of event, identityLink, install, session, update"),
        ("kochava_app_id", REMOVED, "kochava_app_id is missing"),
        ("kochava_app_id", "koother", "kochava_app_id must be one of koconversionsdemo174ea19bc63928c"),
        ("data", REMOVED, "data is missing"),
        ("data", [], "data must be an object"),
        ("event_name", "Purchase", "event_name is not a key that Kochava knows here"),
        ("kochava_device_id", 7, "kochava_device_id must be a string"),
        ("data.device_ids", REMOVED, "data.device_ids is missing"),
        ("data.device_ids", {}, "data.device_ids must be an object with at least one id"),
        ("data.device_ids", "123456789", "data.device_ids must be an object with at least one id"),
        ("data.device_ids", ["1"], "data.device_ids must be an object with at least one id"),
        (
            "data.device_ids",
            {"fb_user_id": 123},
            "data.device_ids must be a string that is not empty under 'fb_user_id'",
        ),
        (
            "data.device_ids",
            {"fb_user_id": ""},
            "data.device_ids must be a string that is not empty under 'fb_user_id'",
        ),
        ("data.event_name", REMOVED, "data.event_name is missing"),
        ("data.event_name", "", "data.event_name must be a string that is not empty"),
        ("data.event_name", 5, "data.event_name must be a string that is not empty"),
        (
            "data.event_name",
            "_install",
            "data.event_name must be a name without a leading underscore, which marks Kochava's own events",
        ),
        ("data.event_data", [], "data.event_data must be an object, a string, a number or a flag"),
        ("data.event_data", None, "data.event_data must be an object, a string, a number or a flag"),
        ("data.event_data", {"source": "x"}, "data.event_data must be no key 'source', which Kochava reserves"),
        ("data.event_data", {"sum": "many"}, "data.event_data must be a number under 'sum'"),
        ("data.event_data", {"price": True}, "data.event_data must be a number under 'price'"),
        ("data.event_data", {"level": None}, "data.event_data must be no null under 'level'"),
        (
            "data.event_data",
            {"currency": "usd"},
            "data.event_data must be an ISO 4217 code such as USD under 'currency'",
        ),
        (
            "data.event_data",
            {"currency": "EUX"},
            "data.event_data must be an ISO 4217 code such as USD under 'currency'",
        ),
        ("data.event_data", {"currency": 978}, "data.event_data must be an ISO 4217 code such as USD under 'currency'"),
        ("data.currency", "ABC", "data.currency must be an ISO 4217 code such as USD"),
        ("data.event_data", {"order_id": 881}, "data.event_data must be a string under 'order_id'"),
        ("data.event_data", {"name": ["Shoes"]}, "data.event_data must be a string under 'name'"),
        ("data.event_data", {"checkout_as_guest": True}, "data.event_data must be a string under 'checkout_as_guest'"),
        ("data.event_data", {"completed": "true"}, "data.event_data must be true or false under 'completed'"),
        ("data.event_data", {"background": 1}, "data.event_data must be true or false under 'background'"),
        ("data.event_data", {"payload": "{}"}, "data.event_data must be an object under 'payload'"),
        ("data.event_data", {"spatial_x": "left"}, "data.event_data must be a number under 'spatial_x'"),
        ("data.event_data", {"quantity": {}}, "data.event_data must be a number under 'quantity'"),
        ("data.usertime", int(NOW * 1000), "data.usertime must be in seconds, not milliseconds"),
        ("data.usertime", int(NOW) + 60, "data.usertime must be in the past"),
        ("data.usertime", NOW, "data.usertime must be whole seconds since 1970"),
        ("data.usertime", str(NOW), "data.usertime must be whole seconds since 1970"),
        ("data.usertime", "soon", "data.usertime must be whole seconds since 1970"),
        ("data.usertime", str(int(NOW) + 60), "data.usertime must be in the past"),
        ("data.usertime", str(int(NOW * 1000)), "data.usertime must be in seconds, not milliseconds"),
        ("data.usertime", True, "data.usertime must be whole seconds since 1970"),
        ("data.usertime", 0, "data.usertime must be a time in this century"),
        ("data.origination_ip", "0.0.0.0", "data.origination_ip must be the user's IP address"),
        ("data.origination_ip", "localhost", "data.origination_ip must be the user's IP address"),
        (
            "data.device_ver",
            "13.6.0",
            "data.device_ver must be empty or model-OS-version, such as iPhone-iOS-13.6.0",
        ),
        ("data.currency", "Euro", "data.currency must be an ISO 4217 code such as USD"),
        ("data.text", "hi", "data.text is not a key that Kochava knows here"),
        (
            "data.gdpr_privacy_consent",
            {"gdpr_applies": True, "tc_string": "x"},
            "data.gdpr_privacy_consent must be 0 or 1 under 'gdpr_applies'",
        ),
        (
            "data.gdpr_privacy_consent",
            {"gdpr_applies": 1, "ad_user_data": 1},
            "data.gdpr_privacy_consent must be 'tc_string', or both 'ad_user_data' and 'ad_personalization'",
        ),
        (
            "data.gdpr_privacy_consent",
            {"tc_string": "x"},
            "data.gdpr_privacy_consent must say 'gdpr_applies' when no IP address is sent",
        ),
        (
            "data.app_tracking_transparency",
            {"att": True, "att_detail": "not_determined"},
            (
                "data.app_tracking_transparency must be one of authorized, denied, notDetermined, restricted "
                "under 'att_detail'"
            ),
        ),
        ("data.device_limit_tracking", "no", "data.device_limit_tracking must be true or false"),
    ],
)
def test_a_field_that_kochava_does_not_allow_is_refused(path: str, value: Any, expected: str) -> None:
    """The reason names the field."""
    assert expected == reason(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.usertime", int(NOW)),
        ("data.usertime", str(int(NOW))),
        ("data.event_data", {"currency": "XAU", "completed": True, "payload": {"a": 1}, "spatial_x": -1.5}),
        ("data.event_data", {"order_id": "881", "own_key": 881, "other": True}),
        ("data.event_data", REMOVED),
        ("data.event_data", "20"),
        ("data.event_data", 20.5),
        ("data.event_data", {"price": "12.50", "items": ["a"]}),
        ("kochava_device_id", ""),
        ("data.gdpr_privacy_consent", {"gdpr_applies": 0, "ad_user_data": 0, "ad_personalization": 0}),
        ("data.device_ver", "iPhone-iOS-13.6.0"),
        ("data.origination_ip", "203.0.113.9"),
    ],
)
def test_a_field_that_kochava_allows_is_accepted(path: str, value: Any) -> None:
    """The optional fields, in all forms."""
    assert reason(changed(path, value)) is None


@pytest.mark.parametrize("body", [None, [], "event", 1])
def test_a_body_that_is_not_an_object_is_refused(body: Any) -> None:
    """Any other JSON."""
    assert reason(body) == "the body must be an object"


@pytest.mark.parametrize("name", ["origination_ip", "device_ua", "device_ver"])
def test_the_general_page_requires_the_device(name: str) -> None:
    """The keys of the S2S profile must be present; they may be empty."""
    device = {"origination_ip": "203.0.113.9", "device_ua": "", "device_ver": ""}
    body = changed("kochava_device_id", "psid-1")
    body["data"] |= device
    assert reason(body, "s2s") is None
    assert reason(changed(f"data.{name}", REMOVED, body), "s2s") == f"data.{name} is missing"


def test_an_install_has_no_event_name() -> None:
    """The install sample is accepted; with an event name it is refused."""
    install = {
        "action": "install",
        "kochava_app_id": "koconversionsdemo174ea19bc63928c",
        "app_ver": "3.3.0",
        "data": {"device_ids": {"fb_user_id": "1"}, "usertime": int(NOW)},
    }
    assert reason(install) is None
    assert reason(changed("data.ad_services_token", "token", install)) is None
    expected = "data.event_name is not a key that Kochava knows here"
    assert expected == reason(changed("data.event_name", "Install", install))


def test_the_sdk_form_of_an_identity_link_is_accepted() -> None:
    """With the same path and another action."""
    link = {
        "action": "identityLink",
        "kochava_app_id": "koconversionsdemo174ea19bc63928c",
        "kochava_device_id": "1",
        "data": {"identity_link": {"customer_id": "C-17"}, "usertime": int(NOW)},
    }
    assert reason(link) is None
    assert reason(changed("kochava_device_id", REMOVED, link)) == "kochava_device_id is missing"


@pytest.mark.parametrize(
    ("action", "data", "expected"),
    [
        ("update", {"idfa": "AE-1"}, None),
        ("update", {}, "data must have what is to be updated"),
        ("session", {"state": "active", "usertime": str(int(NOW))}, None),
        ("session", {}, None),
        ("session", {"usertime": "now"}, "data.usertime must be whole seconds since 1970"),
        ("session", [], "data must be an object"),
    ],
)
def test_the_other_actions_of_the_sdks_are_accepted(action: str, data: Any, expected: str | None) -> None:
    """Kochava does not document what is in their data; the device is named by its id alone."""
    app_id = "koconversionsdemo174ea19bc63928c"
    body = {"action": action, "kochava_app_id": app_id, "kochava_device_id": "1", "data": data}
    assert expected == reason(body)
    assert reason(changed("kochava_device_id", REMOVED, body)) == "kochava_device_id is missing"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kochava_app_id": "koA", "device_id": {"fb_user_id": "1"}, "data": {"fb_userid": "1"}}, None),
        (
            {"kochava_app_id": "koA", "device_ids": {"fb_user_id": "1"}, "data": {"fb_userid": "1"}},
            "device_id is missing",
        ),
        (
            {"kochava_app_id": "koA", "device_id": {"a": "1"}, "data": {"b": "1"}, "action": "identityLink"},
            "action is not a key that Kochava knows here",
        ),
        (
            {"kochava_app_id": "koA", "device_id": {"a": "1"}, "data": {}},
            "data must be an object with at least one id",
        ),
    ],
)
def test_the_documented_identity_link_has_its_own_form(body: Any, expected: str | None) -> None:
    """``device_id`` in the singular, no action."""
    assert expected == refused(partial(check_identity_link, body, app_ids={"koA"}))


def test_a_deletion_needs_typed_ids() -> None:
    """A list of ``id_type`` and ``id_value``."""
    assert refused(partial(check_scrub, {"device_ids": [{"id_type": "fb_user_id", "id_value": "1"}]})) is None
    assert refused(partial(check_scrub, {"device_ids": []})) is not None
    assert refused(partial(check_scrub, {"device_ids": [{"fb_user_id": "1"}]})) is not None


@pytest.mark.parametrize(
    ("headers", "data", "accepted"),
    [
        ({"Content-Type": "application/json", "User-Agent": "Unknown"}, {}, True),
        ({"Content-Type": "application/json; charset=utf-8", "User-Agent": "Unknown"}, {}, True),
        ({"Content-Type": "text/plain", "User-Agent": "Unknown"}, {}, False),
        ({"User-Agent": "Unknown"}, {}, False),
        ({"Content-Type": "application/json", "User-Agent": "aiohttp/3"}, {}, False),
        ({"Content-Type": "application/json"}, {"device_ua": ""}, False),
        ({"Content-Type": "application/json", "User-Agent": "aiohttp/3"}, {"device_ua": "Mozilla/5.0"}, True),
    ],
)
def test_headers(headers: dict[str, str], data: dict[str, str], accepted: bool) -> None:
    """JSON, and not a library's user agent unless the user's is in the body."""
    assert accepted == (refused(partial(check_headers, headers, data)) is None)


VECTOR = (
    rb'{"action":"event","kochava_app_id":"koexample","kochava_device_id":"psid-1","data":{"device_ids":'
    rb'{"fb_user_id":"1"},"event_name":"Purchase","event_data":{"uri":"https:\/\/a.example\/x"}}}'
)
VECTOR_BODY = {
    "action": "event",
    "kochava_app_id": "koexample",
    "kochava_device_id": "psid-1",
    "data": {
        "device_ids": {"fb_user_id": "1"},
        "event_name": "Purchase",
        "event_data": {"uri": "https://a.example/x"},
    },
}
CREDENTIALS = KochavaCredentials(api_key="test-api-key", app_secret="test-secret")


def refused_headers(raw: bytes, headers: dict[str, str]) -> str | None:
    """Why the authentication of the vector's body is refused."""
    return refused(partial(check_authentication, headers, raw, VECTOR_BODY, CREDENTIALS))


def signed(raw: bytes) -> dict[str, str]:
    """Headers with the token of *raw*."""
    message = b"test-secret" + hashlib.sha1(raw).hexdigest().encode()
    token = hmac.new(b"test-api-key", message, hashlib.sha256).hexdigest()
    return {"Kochava-Api-Key": "test-api-key", "Kochava-Auth-Token": token}


def test_the_known_vector_is_authentic() -> None:
    """Key, secret and body of the reference have its token."""
    token = "6a8a2e86d6bc8d77ee7a48600945d8a50becaa53826efc2eaab78cfceffbd637"
    assert refused_headers(VECTOR, {"Kochava-Api-Key": "test-api-key", "Kochava-Auth-Token": token}) is None


def test_a_wrong_key_or_token_is_refused() -> None:
    """Also a token in upper case, and one for other bytes."""
    right = signed(VECTOR)
    missing_key = {"Kochava-Auth-Token": right["Kochava-Auth-Token"]}
    assert refused_headers(VECTOR, missing_key) == "Kochava-Api-Key is missing or wrong"
    upper = right | {"Kochava-Auth-Token": right["Kochava-Auth-Token"].upper()}
    assert refused_headers(VECTOR, upper) == "Kochava-Auth-Token does not fit the body"
    assert refused_headers(VECTOR + b" ", right) == "Kochava-Auth-Token does not fit the body"


def test_unescaped_slashes_break_the_authentication() -> None:
    """The token matches the bytes, but not the JSON as PHP writes it."""
    raw = VECTOR.replace(b"\\/", b"/")
    expected = "the body is not JSON as PHP writes it, so its hash differs"
    assert expected == refused_headers(raw, signed(raw))


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [
        ("impression", "campaign_id=kog&network_id=1&fb_user_id=7&impression_id=i1", None),
        ("click", "campaign_id=kog&network_id=1&click_id=c1&ip_address=203.0.113.9", None),
        ("click", "network_id=1", "campaign_id is missing"),
        ("click", "campaign_id=kog&network_id=", "network_id is missing"),
        ("click", "campaign_id=kog&network_id=one", "network_id must be a number"),
        ("click", "campaign_id=kog&network_id=\u00b2", "network_id must be a number"),
        ("click", "campaign_id=other&network_id=1", "campaign_id 'other' is not a tracker of this account"),
        ("click", "campaign_id=kog&network_id=1&impression_id=i", "impression_id is not a parameter of click URLs"),
        ("impression", "campaign_id=kog&network_id=1&click_id=c", "click_id is not a parameter of impression URLs"),
        ("click", "campaign_id=kog&network_id=1&site_id=a&site_id=b", "site_id occurs twice"),
        ("click", "campaign_id=kog&network_id=1&site_id={channel}", "the placeholder of site_id was not filled"),
        ("click", "campaign_id=kog&network_id=1&ip_address=", "ip_address must be the user's IP address"),
    ],
)
def test_pings(kind: str, query: str, expected: str | None) -> None:
    """The query of an impression or click URL."""
    params = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&"))]
    assert expected == refused(partial(check_ping, kind, params, trackers={"kog"}))
