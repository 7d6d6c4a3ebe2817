"""The local Kochava over HTTP: what it records, and how it answers."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.sandbox.kochava.records import RecordKind
from kochava_bot_middleware.sandbox.kochava.rules import KochavaCredentials
from kochava_bot_middleware.sandbox.kochava.server import KochavaOptions, LocalKochava, fill_destination, query_params
from tests.fakes import VirtualClock

HEADERS = {"Content-Type": "application/json", "User-Agent": "Unknown"}
ADDRESS = "https://shop.example/a b?x=1&y=a%2Fb+c&url=https://n.example/?q=%26#frag-ü"


def event(user_id: str = "7", name: str = "Purchase") -> dict[str, Any]:
    """An event of a user."""
    data = {"device_ids": {"fb_user_id": user_id}, "event_name": name, "event_data": {"sum": 100}}
    return {"action": "event", "kochava_app_id": "kodemo1", "data": data}


def install(user_id: str = "7") -> dict[str, Any]:
    """An install of a user."""
    return {"action": "install", "kochava_app_id": "kodemo1", "data": {"device_ids": {"fb_user_id": user_id}}}


async def post(
    client: aiohttp.ClientSession, url: str, body: Any, headers: Mapping[str, str] = HEADERS
) -> tuple[int, Any]:
    """Post JSON and return status and decoded answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(url, data=io.BytesIO(raw), headers=headers) as response:
        return response.status, await response.json()


async def test_an_accepted_event_is_recorded_with_its_time(
    kochava: LocalKochava, client: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    """The answer is the one that Kochava's SDKs accept as success."""
    assert await post(client, kochava.url + "/track/json", event()) == (200, {"success": "1"})
    (record,) = kochava.events
    assert (clock.now(), "kodemo1", "7") == (record.at, record.app_id, record.user_id())
    assert ("Purchase", {"sum": 100}) == (record.name, record.event_data)


async def test_a_refused_event_is_a_rejection_with_the_reason(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """Status 400, ``success`` 0."""
    status, answer = await post(client, kochava.url + "/track/json", event(name=""))
    reason = "data.event_name must be a string that is not empty"
    assert (400, {"success": "0", "error": reason}) == (status, answer)
    assert [] == kochava.records
    assert [(400, reason)] == [(one.status, one.reason) for one in kochava.rejections]


async def test_broken_json_is_refused(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """The bytes are kept."""
    status, _ = await post(client, kochava.url + "/track/json", b'{"a":')
    assert status == 400
    assert kochava.rejections[0].raw == b'{"a":'


async def test_a_body_over_two_megabytes_is_too_large(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Status 413."""
    body = event()
    body["data"]["event_data"] = "x" * 2_000_000
    assert (await post(client, kochava.url + "/track/json", body))[0] == 413


async def test_the_user_agent_of_a_library_is_refused(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Kochava would read it as the user's device."""
    headers = {"Content-Type": "application/json"}
    assert (await post(client, kochava.url + "/track/json", event(), headers))[0] == 400


async def test_an_unknown_path_is_a_rejection(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """So that a wrong endpoint is noticed."""
    assert (await post(client, kochava.url + "/track/jsn", event()))[0] == 404
    assert len(kochava.rejections) == 1


async def test_an_app_with_credentials_needs_authentication(clock: VirtualClock, client: aiohttp.ClientSession) -> None:
    """Without the headers, the status is 401."""
    credentials = KochavaCredentials(api_key="key", app_secret="secret")
    options = KochavaOptions(credentials={"kodemo1": credentials})
    async with LocalKochava(app_ids={"kodemo1", "kodemo2"}, options=options, clock=clock) as kochava:
        assert (await post(client, kochava.url + "/track/json", event()))[0] == 401
        other = event() | {"kochava_app_id": "kodemo2"}
        assert (await post(client, kochava.url + "/track/json", other))[0] == 200


async def test_a_device_is_installed_once(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """A second install is answered with success, but not recorded."""
    for _ in range(2):
        assert (await post(client, kochava.url + "/track/json", install()))[0] == 200
    assert (1, 1) == (len(kochava.installs), len(kochava.ignored_installs))


async def test_an_install_after_the_first_event_is_refused(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """It must be sent at the first launch."""
    await post(client, kochava.url + "/track/json", event())
    assert (await post(client, kochava.url + "/track/json", install()))[0] == 400


async def test_an_event_before_the_install_can_be_refused(clock: VirtualClock, client: aiohttp.ClientSession) -> None:
    """With `install_first`."""
    async with LocalKochava(app_ids={"kodemo1"}, options=KochavaOptions(install_first=True), clock=clock) as kochava:
        assert (await post(client, kochava.url + "/track/json", event()))[0] == 400
        await post(client, kochava.url + "/track/json", install())
        assert (await post(client, kochava.url + "/track/json", event()))[0] == 200


async def test_an_identity_link_comes_after_the_first_record(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """A device that Kochava has never seen cannot be linked."""
    link = {"kochava_app_id": "kodemo1", "device_id": {"fb_user_id": "7"}, "data": {"customer_id": "C-17"}}
    address = kochava.url + "/v1/cpi/identityLink.php"
    assert (await post(client, address, link))[0] == 400
    await post(client, kochava.url + "/track/json", event())
    assert (await post(client, address, link))[0] == 200
    assert [{"customer_id": "C-17"}] == [record.params for record in kochava.identity_links]


async def test_the_identity_link_of_the_sdks_comes_after_the_first_record(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """In the other form."""
    link = {
        "action": "identityLink",
        "kochava_app_id": "kodemo1",
        "kochava_device_id": "7",
        "data": {"identity_link": {"customer_id": "C-17"}},
    }
    assert (await post(client, kochava.url + "/track/json", link))[0] == 400
    await post(client, kochava.url + "/track/json", event())
    assert (await post(client, kochava.url + "/track/json", link))[0] == 200
    assert [{"customer_id": "C-17"}] == [record.params for record in kochava.identity_links]


async def test_an_impression_is_answered_with_a_pixel(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """It is recorded with its parameters."""
    url = kochava.url + "/track/impression?campaign_id=kog&network_id=1&fb_user_id=7&site_id=a+b"
    async with client.get(url) as response:
        assert (200, "image/gif") == (response.status, response.content_type)
    (record,) = kochava.impressions
    assert ("7", "a b") == (record.user_id(), record.params["site_id"])


async def test_a_click_is_answered_with_a_redirect(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """The click counts even if it is not followed."""
    url = kochava.url + "/v1/cpi/click?campaign_id=kog&network_id=1&fb_user_id=7"
    async with client.get(url, allow_redirects=False) as response:
        assert response.status == 302
    assert ["7"] == [record.user_id() for record in kochava.clicks]


async def test_a_ping_without_its_tracker_is_refused(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Nothing is counted."""
    async with client.get(kochava.url + "/track/impression?network_id=1") as response:
        assert response.status == 400
    assert [] == kochava.impressions


async def test_a_smartlink_leads_to_the_exact_original_address(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """With any characters; the click is recorded with its parameters."""
    link = f"{kochava.url}/ab12cd34e?url={quote(ADDRESS, safe='')}&fb_user_id=7"
    async with client.get(link, allow_redirects=False) as response:
        assert (302, ADDRESS) == (response.status, response.headers["Location"])
    (tap,) = kochava.smartlink_clicks
    assert ("/ab12cd34e", "7", ADDRESS) == (tap.name, tap.user_id(), tap.location)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_every_address_is_unchanged_by_a_smartlink(tail: str) -> None:
    """Percent-encoded once by the sender, decoded once by Kochava."""
    address = f"https://shop.example/{tail}"
    assert address == fill_destination("{url}", query_params(f"/ab12cd34e?url={quote(address, safe='')}"))


@pytest.mark.parametrize(
    ("template", "query", "expected"),
    [
        ("https://a.example{path}", "path=/x", "https://a.example/x"),
        ("https://a.example/{city}", "City=paris", "https://a.example/"),
        ("https://a.example/fixed", "city=paris", "https://a.example/fixed"),
        ("myapp://{city}", "city=paris", "myapp://paris"),
        ("{url}", "", None),
        ("{url}", "url=shop.example", None),
        ("{url}", "url=https://a.example/%0d%0aSet-Cookie:x", None),
        ("{url}", "url=https://[", None),
    ],
)
def test_a_destination_is_filled_from_the_query(template: str, query: str, expected: str | None) -> None:
    """Keys are case-sensitive; there is no redirect to anything but an address."""
    assert expected == fill_destination(template, query_params(f"/x?{query}"))


async def test_a_smartlink_without_a_destination_is_refused(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """An unknown path, or no address for the destination."""
    for path in ("/unknown", "/ab12cd34e"):
        async with client.get(kochava.url + path, allow_redirects=False) as response:
            assert response.status == 404
    assert [] == kochava.smartlink_clicks
    assert len(kochava.rejections) == 2


async def test_a_deletion_needs_its_key(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """With it, a job is queued."""
    address = kochava.url + "/accounts/1/apps/2/privacy/scrub"
    body = {"device_ids": [{"id_type": "fb_user_id", "id_value": "7"}]}
    assert (await post(client, address, body))[0] == 401
    status, answer = await post(client, address, body, HEADERS | {"Authentication-Key": "k"})
    assert (200, "queued") == (status, answer["job_status"])
    assert ["7"] == [record.user_id() for record in kochava.scrubs]


async def test_records_keep_the_order_of_their_arrival(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """For all kinds together."""
    await client.get(kochava.url + "/track/impression?campaign_id=kog&network_id=1")
    await post(client, kochava.url + "/track/json", event())
    await client.get(kochava.url + "/v1/cpi/click?campaign_id=kog&network_id=1", allow_redirects=False)
    expected = [RecordKind.IMPRESSION, RecordKind.EVENT, RecordKind.CLICK]
    assert expected == [record.kind for record in kochava.records]
