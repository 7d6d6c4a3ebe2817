"""Parameters added to tracker URLs."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.wire import with_params


@pytest.mark.parametrize(
    ("url", "params", "expected"),
    [
        ("https://a.test/i", {"x": "1"}, "https://a.test/i?x=1"),
        ("https://a.test/i?", {"x": "1"}, "https://a.test/i?x=1"),
        ("https://a.test/i?a=1", {}, "https://a.test/i?a=1"),
        ("https://a.test/i?a=1", {"x": "ü &"}, "https://a.test/i?a=1&x=%C3%BC%20%26"),
        ("https://a.test/i?&a=%7e&&b", {"x": "1"}, "https://a.test/i?&a=%7e&&b&x=1"),
        ("https://a.test/i?a=1#top?x", {"x": "1"}, "https://a.test/i?a=1&x=1#top?x"),
        ("https://a.test/i#top", {"x": "1"}, "https://a.test/i?x=1#top"),
        ("https://a.test/i?device_id=device_id&a=1", {"device_id": "7"}, "https://a.test/i?a=1&device_id=7"),
        ("https://a.test/i?a=1&device_id=device_id", {}, "https://a.test/i?a=1"),
        ("https://a.test/i?click_id={click_id}&c=[c]", {"click_id": "9"}, "https://a.test/i?click_id=9"),
        ("https://a.test/i?click_id=%7Bclick_id%7D", {}, "https://a.test/i?"),
        ("https://a.test/i?device_id=DEVICE_ID&a=1", {"device_id": "7"}, "https://a.test/i?a=1&device_id=7"),
        ("https://a.test/i?click_id=$CLICK_ID$&c=%%C%%&d=__d__", {"click_id": "9"}, "https://a.test/i?click_id=9"),
        ("https://a.test/i?click_id=&site_id=", {"click_id": "9"}, "https://a.test/i?site_id=&click_id=9"),
        ("https://a.test/ü?site_id=my shop", {"x": "1"}, "https://a.test/%C3%BC?site_id=my%20shop&x=1"),
        ("https://a.test/i?a=1\r\nX: 1", {}, "https://a.test/i?a=1%0D%0AX:%201"),
        ("https://a.test/i?site_id=fixed", {"site_id": "messenger"}, "https://a.test/i?site_id=fixed"),
    ],
)
def test_params_are_added(url: str, params: dict[str, str], expected: str) -> None:
    """The rest stays byte for byte; placeholders are filled or removed."""
    assert expected == with_params(url, params)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_params_are_exact(params: dict[str, str]) -> None:
    """For any value."""
    safe = {
        name.encode("utf-8", "ignore").decode(): value.encode("utf-8", "ignore").decode()
        for name, value in params.items()
    }
    url = with_params("https://a.test/i?campaign_id=ko1#f", safe)
    read = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert {"campaign_id": "ko1", **{k: v for k, v in safe.items() if k != "campaign_id"}} == dict(read)
    assert "f" == urlsplit(url).fragment
