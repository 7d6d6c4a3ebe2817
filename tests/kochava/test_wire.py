"""From a record to its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.kochava.destination import Destination, Destinations, TrackerUrls, WireSettings
from kochava_bot_middleware.kochava.records import (
    Click,
    Deletion,
    Engagement,
    IdentityLink,
    Impression,
    Install,
    Ping,
    Record,
    Session,
    decode,
    encode,
)
from kochava_bot_middleware.kochava.wire import (
    AddressNotConfigured,
    WireRequest,
    authentication_headers,
    build_request,
)
from kochava_bot_middleware.settings import Secret, from_mapping
from tests.kochava.test_records import RECORDS

APP = "koconversionsdemo174ea19bc63928c"
COMMON: dict[str, Any] = {"id": "e1", "app_id": APP, "user_id": "123456789", "usertime": 1_521_574_016}
IDS = {"fb_user_id": "123456789"}
PURCHASE = Engagement(
    **COMMON,
    event_name="Purchase",
    event_data={"id": "123", "name": "Shoes", "currency": "USD", "sum": 100},
    device_ids=IDS,
)
SAMPLE = {
    "data": {
        "device_ids": {"fb_user_id": "123456789"},
        "event_name": "Purchase",
        "event_data": {"id": "123", "name": "Shoes", "currency": "USD", "sum": 100},
    },
    "action": "event",
    "kochava_app_id": APP,
}
KEYS: dict[str, Any] = {"api_key": Secret("test-api-key"), "api_secret": Secret("test-secret")}


def built(record: Record, *, trackers: Mapping[str, TrackerUrls] | None = None, **wire: Any) -> WireRequest:
    destination = Destination(app_id=record.app_id, wire=WireSettings(**wire), trackers=trackers or {})
    return build_request(record, destination)


def body(record: Record, **wire: Any) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(built(record, **wire).body or b"")
    return read


def test_event_is_the_published_bot_sample_plus_usertime() -> None:
    """Field by field, in the order of Kochava's page."""
    sent = body(PURCHASE)
    assert ["data", "action", "kochava_app_id"] == list(sent)
    assert ["device_ids", "usertime", "event_name", "event_data"] == list(sent["data"])
    assert 1_521_574_016 == sent["data"].pop("usertime")
    assert SAMPLE == sent


def test_request_is_an_https_post_that_names_no_client() -> None:
    """The User-Agent of a library would be read as the person's device."""
    request = built(PURCHASE)
    assert ("POST", "https://control.kochava.com/track/json") == (request.method, request.url)
    assert {"User-Agent": "Unknown", "Content-Type": "application/json"} == request.headers


@pytest.mark.parametrize("event_data", [None, {}])
def test_empty_event_data_is_left_out(event_data: Any) -> None:
    """The key is optional."""
    assert "event_data" not in body(attrs.evolve(PURCHASE, event_data=event_data))["data"]


@pytest.mark.parametrize("value", [20, "20", 0, False])
def test_event_data_may_be_one_value(value: Any) -> None:
    """As described on Kochava's bot page."""
    assert value == body(attrs.evolve(PURCHASE, event_data=value))["data"]["event_data"]


def test_extra_members_go_into_data_and_never_replace_the_record_s() -> None:
    """Such as consent, known when the event was recorded."""
    consent = {"gdpr_applies": 1, "ad_user_data": 1, "ad_personalization": 0}
    data = body(attrs.evolve(PURCHASE, extra={"gdpr_privacy_consent": consent, "event_name": "Other"}))["data"]
    assert (consent, "Purchase") == (data["gdpr_privacy_consent"], data["event_name"])


def test_s2s_profile_has_all_members_that_the_general_page_requires() -> None:
    """They are empty where unknown."""
    sent = body(PURCHASE, profile="s2s")
    assert {"data", "action", "kochava_app_id", "kochava_device_id", "nt_id"} == set(sent)
    assert ("123456789", "e1") == (sent["kochava_device_id"], sent["nt_id"])
    assert ("", "", "") == tuple(sent["data"][key] for key in ("origination_ip", "device_ua", "device_ver"))


def test_s2s_profile_uses_the_members_of_the_record() -> None:
    """They come from the callables of the settings."""
    extra = {"kochava_device_id": "stable-1", "origination_ip": "192.0.2.7", "device_ua": "A B", "device_ver": "x-y-1"}
    sent = body(attrs.evolve(PURCHASE, extra=extra), profile="s2s", device_ua_encoding="percent")
    assert "stable-1" == sent["kochava_device_id"]
    assert ("192.0.2.7", "A%20B", "x-y-1") == tuple(
        sent["data"][key] for key in ("origination_ip", "device_ua", "device_ver")
    )
    assert "kochava_device_id" not in sent["data"]


@pytest.mark.parametrize(
    ("place", "outer", "inner"), [("event_data", None, "USD"), ("data", "USD", None), ("both", "USD", "USD")]
)
def test_place_of_the_currency_is_a_setting(place: str, outer: str | None, inner: str | None) -> None:
    """Kochava's two pages disagree."""
    data = body(PURCHASE, currency_place=place)["data"]
    assert (outer, inner) == (data.get("currency"), data["event_data"].get("currency"))


@pytest.mark.parametrize("given", ["sum", "price"])
@pytest.mark.parametrize(
    ("revenue_key", "keys"), [("as_given", None), ("sum", ["sum"]), ("price", ["price"]), ("both", ["sum", "price"])]
)
@pytest.mark.parametrize("name", ["Purchase", "Test Purchase"])
def test_key_of_the_revenue_is_a_setting(given: str, revenue_key: str, keys: list[str] | None, name: str) -> None:
    """For either key that was given, and for events of `send-test`."""
    purchase = attrs.evolve(PURCHASE, event_name=name, event_data={"name": "Shoes", given: 100, "currency": "USD"})
    sent = body(purchase, revenue_key=revenue_key)["data"]["event_data"]
    amounts = dict.fromkeys(keys or [given], 100)
    assert {"name": "Shoes", "currency": "USD", **amounts} == sent


@pytest.mark.parametrize("data", [{"sum": 1, "price": 2}, {"name": "Shoes"}, 5, None])
def test_purchase_without_exactly_one_amount_is_not_changed(data: Any) -> None:
    """With two of them, the keys were chosen by the caller."""
    purchase = attrs.evolve(PURCHASE, event_data=data)
    assert body(purchase) == body(purchase, revenue_key="price")


def test_price_of_another_event_is_not_changed() -> None:
    """An item in the cart is not revenue."""
    cart = attrs.evolve(PURCHASE, event_name="Add to Cart", event_data={"price": 5})
    assert {"price": 5} == body(cart, revenue_key="sum")["data"]["event_data"]


@pytest.mark.parametrize(
    "record",
    [
        PURCHASE,
        Install(**COMMON, device_ids=IDS),
        IdentityLink(**COMMON, device_ids=IDS, identities={"customer_id": "C-17"}),
        Impression(**COMMON),
        Deletion(**COMMON, device_ids=IDS),
    ],
)
def test_user_agent_of_every_request_is_a_setting(record: Record) -> None:
    """Kochava's page names only `Unknown`."""
    wire: dict[str, Any] = {"deletion_url": "https://nng.test/x", "deletion_key": Secret("k")}
    wire["trackers"] = {"greeting": TrackerUrls(impression_url="https://imp.test/i")}
    assert "Unknown" == built(record, **wire).headers["User-Agent"]
    assert "Bot" == built(record, **wire, user_agent="Bot").headers["User-Agent"]


@pytest.mark.parametrize("value", ["", " ", "Bot\r\nX: 1", "Böt"])
def test_invalid_user_agent_is_refused(value: str) -> None:
    """It cannot add another header."""
    with pytest.raises(SettingsError, match="user_agent"):
        from_mapping(WireSettings, {"user_agent": value})


def test_install_has_its_version_at_the_top() -> None:
    """As in Kochava's samples for installs."""
    sent = body(Install(**COMMON, device_ids=IDS, extra={"app_version": "2.1"}))
    assert ("install", "2.1") == (sent["action"], sent["app_ver"])
    assert {"device_ids": IDS, "usertime": 1_521_574_016} == sent["data"]


def test_session_has_the_form_of_an_event() -> None:
    """Without a name, since no page of Kochava has the body of a session; it is signed as an event is."""
    session = Session(**COMMON, device_ids=IDS, extra={"device_ver": "iPhone-iOS-13.6.0", "nt_id": "7"})
    sent = body(session)
    assert ("session", "7") == (sent["action"], sent["nt_id"])
    assert {"device_ids": IDS, "usertime": 1_521_574_016, "device_ver": "iPhone-iOS-13.6.0"} == sent["data"]
    assert sent["kochava_app_id"] == APP
    assert session.user_id == body(session, profile="s2s")["kochava_device_id"]
    request = built(session, api_key=Secret("k"), api_secret=Secret("s"))
    assert "Kochava-Auth-Token" in request.headers
    assert built(PURCHASE).url == request.url


def test_deletion_names_each_value_that_was_sent() -> None:
    """The newest of each name first."""
    deletion = Deletion(**COMMON, device_ids={"customer_id": "C-18"}, former_ids={"customer_id": ["C-16", "C-17"]})
    request = built(deletion, deletion_url="https://nng.test/x", deletion_key=Secret("k"))
    values = [each["id_value"] for each in orjson.loads(request.body or b"")["device_ids"]]
    assert ["C-18", "C-16", "C-17"] == values


LINK = IdentityLink(**COMMON, device_ids=IDS, identities={"customer_id": "C-17"})


def test_identity_link_goes_to_the_documented_endpoint() -> None:
    """Its member is called `device_id`, in the singular, and it has no action."""
    request = built(LINK)
    assert "https://control.kochava.com/v1/cpi/identityLink.php" == request.url
    assert {"kochava_app_id": APP, "device_id": IDS, "data": {"customer_id": "C-17"}} == orjson.loads(
        request.body or b""
    )


def test_stored_identity_link_has_the_documented_form_when_links_are_off() -> None:
    """New ones are not created then, and stored ones must not wait forever."""
    link = IdentityLink(**COMMON, device_ids=IDS, identities={"customer_id": "C-17"})
    assert built(link) == built(link, identity_form="off")


def test_identity_link_may_have_the_form_of_the_sdks() -> None:
    """An action on the path of events."""
    request = built(LINK, identity_form="action")
    sent = orjson.loads(request.body or b"")
    assert "https://control.kochava.com/track/json" == request.url
    assert {
        "data": {"usertime": LINK.usertime, "identity_link": {"customer_id": "C-17"}},
        "action": "identityLink",
        "kochava_app_id": APP,
        "kochava_device_id": "123456789",
    } == sent


@pytest.mark.parametrize("profile", ["bot", "s2s"])
def test_event_has_the_id_of_an_identity_link_of_the_sdks(profile: str) -> None:
    """Otherwise Kochava could not connect the link; by default the body is that of the bot page."""
    assert "123456789" == body(PURCHASE, identity_form="action", profile=profile)["kochava_device_id"]
    assert "kochava_device_id" not in body(PURCHASE)


def test_identity_link_has_the_device_ids_of_events() -> None:
    """Otherwise Kochava would connect another person."""
    link = attrs.evolve(LINK, extra={"kochava_device_id": "bot-1", "nt_id": "n1"})
    for profile in ("bot", "s2s"):
        sent = body(link, identity_form="action", profile=profile)
        assert ("bot-1", "n1", body(LINK, identity_form="action")["data"]) == (
            sent["kochava_device_id"],
            sent["nt_id"],
            sent["data"],
        )


KOCHAVA = "https://control.kochava.com"


@pytest.mark.parametrize(
    ("wire", "event_url", "identity_url"),
    [
        ({}, f"{KOCHAVA}/track/json", f"{KOCHAVA}/v1/cpi/identityLink.php"),
        ({"base_url": "http://a:1/"}, "http://a:1/track/json", "http://a:1/v1/cpi/identityLink.php"),
        ({"event_url": "http://a/b/track/json"}, "http://a/b/track/json", "http://a/b/v1/cpi/identityLink.php"),
        ({"event_url": "http://a/events?x=1"}, "http://a/events?x=1", "http://a/v1/cpi/identityLink.php"),
        ({"base_url": "http://a", "identity_url": "http://b/i"}, "http://a/track/json", "http://b/i"),
    ],
)
def test_identity_links_are_sent_to_the_host_of_events(wire: dict[str, Any], event_url: str, identity_url: str) -> None:
    """Unless their address is set."""
    assert (event_url, identity_url) == (built(PURCHASE, **wire).url, built(LINK, **wire).url)


def test_bytes_signed_are_the_bytes_sent() -> None:
    """Slashes escaped, ASCII only."""
    request = built(attrs.evolve(PURCHASE, event_data={"uri": "https://a.example/é"}), **KEYS)
    assert request.body is not None
    assert rb"https:\/\/a.example\/\u00e9" in request.body
    signature = authentication_headers(request.body, api_key="test-api-key", api_secret="test-secret")
    assert signature.items() <= request.headers.items()


@pytest.mark.parametrize(
    ("record", "wire", "signed"),
    [
        (PURCHASE, {}, True),
        (Install(**COMMON, device_ids=IDS), {}, True),
        (LINK, {}, False),
        (LINK, {"sign_identity_links": True}, True),
        (LINK, {"identity_form": "action"}, True),
    ],
)
def test_what_is_signed(record: Record, wire: dict[str, Any], signed: bool) -> None:
    """Everything on the documented path; the identity endpoint if requested."""
    assert signed == ("Kochava-Auth-Token" in built(record, **wire, **KEYS).headers)


def test_deletion_request_has_typed_ids_and_its_own_key() -> None:
    """As in Kochava's Data Subject Request API."""
    url = "https://nng.kochava.com/accounts/1/apps/2/privacy/scrub"
    request = built(
        Deletion(**COMMON, device_ids=IDS),
        deletion_url=url,
        deletion_key=Secret("del-key"),
        deletion_id_types={"fb_user_id": "custom"},
    )
    assert (url, "del-key") == (request.url, request.headers["Authentication-Key"])
    assert {"device_ids": [{"id_type": "custom", "id_value": "123456789"}]} == orjson.loads(request.body or b"")


TRACKER = TrackerUrls(
    impression_url="https://imp.control.kochava.com/track/impression?campaign_id=kogreet&network_id=1",
    click_url="https://control.kochava.com/v1/cpi/click?campaign_id=kogreet&network_id=1&device_id=device_id",
)


def test_pings_are_gets_on_the_tracker_s_urls() -> None:
    """Impression and click have their own."""
    params = {"device_id": "123456789", "click_id": "a/b"}
    impression = built(Impression(**COMMON, params={"fb_user_id": "1"}), trackers={"greeting": TRACKER})
    clicked = built(Click(**COMMON, params=params), trackers={"greeting": TRACKER})
    assert ("GET", f"{TRACKER.impression_url}&fb_user_id=1", None) == (
        impression.method,
        impression.url,
        impression.body,
    )
    assert (
        "https://control.kochava.com/v1/cpi/click?campaign_id=kogreet&network_id=1&device_id=123456789&click_id=a%2Fb"
        == clicked.url
    )
    assert {"User-Agent": "Unknown"} == clicked.headers


@pytest.mark.parametrize(
    ("record", "trackers"),
    [
        (Impression(**COMMON), {}),
        (Impression(**COMMON, tracker="summer"), {"greeting": TRACKER}),
        (Click(**COMMON), {"greeting": TrackerUrls(impression_url="https://a.test/")}),
        (Deletion(**COMMON, device_ids=IDS), {}),
    ],
)
def test_record_without_a_configured_address_has_no_destination(
    record: Record, trackers: dict[str, TrackerUrls]
) -> None:
    """It is left for a worker with one."""
    destination = Destination(app_id=APP, trackers=trackers)
    assert Destinations([destination]).resolve(record) is None
    with pytest.raises(AddressNotConfigured):
        build_request(record, destination)


def test_destination_of_the_page_takes_precedence_over_that_of_the_app() -> None:
    """Several Pages may share one Kochava app with different trackers."""
    of_app, of_page = Destination(app_id=APP), Destination(app_id=APP, page_id="p1")
    destinations = Destinations([of_page, of_app])
    assert of_page is destinations.resolve(attrs.evolve(PURCHASE, page_id="p1"))
    assert of_app is destinations.resolve(attrs.evolve(PURCHASE, page_id="p2"))
    assert of_app is destinations.resolve(PURCHASE)
    assert destinations.resolve(attrs.evolve(PURCHASE, app_id="koother")) is None


@pytest.mark.parametrize(
    "mapping",
    [
        {"api_key": "k"},
        {"api_secret": "s"},
        {"deletion_url": "https://a.test/"},
        {"profile": "robot"},
        {"event_url": "control.kochava.com"},
        {"success": "maybe"},
        {"trackers": {"greeting": {"impression_url": "https://imp.test/i"}}},
    ],
)
def test_invalid_settings_are_refused(mapping: dict[str, Any]) -> None:
    """At start, with the key."""
    with pytest.raises(SettingsError) as caught:
        from_mapping(WireSettings, mapping, key="kochava")
    assert "kochava" in str(caught.value)


def test_settings_never_show_their_secrets() -> None:
    """The repr masks them."""
    assert "test-secret" not in repr(WireSettings(**KEYS))


@given(RECORDS)
def test_every_stored_record_has_a_request(record: Record) -> None:
    """Signed or not."""
    trackers = {getattr(record, "tracker", "greeting"): TRACKER}
    wire: dict[str, Any] = {"trackers": trackers, "deletion_url": "https://a.test/", "deletion_key": Secret("d")}
    for keys in ({}, KEYS):
        request = built(decode(encode(record)), **wire, **keys)
        assert (request.body is None) == isinstance(record, Ping)
