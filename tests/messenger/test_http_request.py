"""Which requests of an HTTP client carry what people will see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kochava_bot_middleware import RegistrationError
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.messenger.http_request import GRAPH_HOSTS, GraphRequests

REQUESTS = GraphRequests.of(GRAPH_HOSTS)


@pytest.mark.parametrize(
    "path",
    [
        "/v26.0/me/messages",
        "/v2.6/1001/messages/",
        "/me/messages",
        "//v26.0/me/messages",
        "/act_1/messages",
        "/v26.0/me/messenger_profile",
        "/me/custom_user_settings",
        "/me/message_attachments",
        "/1001/personas",
        "/",
        "",
        "/v26.0",
        "/v26.0/",
    ],
)
def test_a_path_of_what_people_see_is_read(path: str) -> None:
    """With and without a version."""
    assert REQUESTS.may_read("POST", "graph.facebook.com", 443, path)


@pytest.mark.parametrize(
    ("method", "host", "path"),
    [
        ("GET", "graph.facebook.com", "/v26.0/me/messages"),
        ("DELETE", "graph.facebook.com", "/v26.0/me/messenger_profile"),
        ("POST", "graph.facebook.com", "/v26.0/me/feed"),
        ("POST", "graph.facebook.com", "/v26.0/me/messages/extra"),
        ("POST", "graph.facebook.com", "/messages"),
        ("POST", "graph.facebook.com", "/v26.0/a/b/messages"),
        ("POST", "graph.facebook.com.evil.example", "/v26.0/me/messages"),
        ("POST", "shop.example", "/v26.0/me/messages"),
        ("POST", None, "/v26.0/me/messages"),
    ],
)
def test_anything_else_is_not_read(method: str, host: str | None, path: str) -> None:
    """Nor is its body."""
    assert not REQUESTS.may_read(method, host, 443, path)


def test_a_host_may_have_a_port_and_any_case() -> None:
    """A port that is not named may be any."""
    requests = GraphRequests.of(["LOCALHOST:8080", "graph.example"])

    assert requests.may_read("POST", "localhost", 8080, "/me/messages")
    assert not requests.may_read("POST", "localhost", 80, "/me/messages")
    assert requests.may_read("POST", "Graph.Example", 8443, "/me/messages")


@pytest.mark.parametrize("hosts", ["graph.facebook.com", ["https://graph.facebook.com"], [5]])
def test_hosts_that_are_no_names_are_refused(hosts: Any) -> None:
    """They would match nothing."""
    with pytest.raises(RegistrationError, match="list of host names"):
        GraphRequests.of(hosts)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("graph.facebook.com", "/v26.0/me/messages", ("messages", None, None)),
        ("graph.facebook.com", "/v26.0/1001/messages", ("messages", "1001", None)),
        ("graph.facebook.com", "/v26.0/act_9/messages", ("messages", None, None)),
        ("graph.instagram.com", "/v26.0/me/messages", ("messages", None, Channel.INSTAGRAM)),
        ("graph.facebook.com", "/v26.0/1001/messenger_profile", ("messenger_profile", "1001", None)),
    ],
)
def test_the_address_says_page_and_channel(host: str, path: str, expected: Any) -> None:
    """As far as it does."""
    request = REQUESTS.read(host, path, "application/json", b"{}")

    assert request is not None
    assert expected == (request.endpoint, request.page_id, request.channel)


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", b"[]"),
        ("application/json", b'{"a": '),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b"\xff"),
        ("application/json", b""),
        ("text/plain", b"message=hi"),
        ("multipart/form-data; boundary=x", b'{"message": {}}'),
    ],
)
def test_a_body_that_is_not_understood_is_not_read(content_type: str, content: bytes) -> None:
    """It passes as it is."""
    assert REQUESTS.read("graph.facebook.com", "/me/messages", content_type, content) is None


def test_a_post_to_the_root_is_read_only_if_it_is_a_batch() -> None:
    """Anything may be posted there."""
    for body, endpoint in (({"batch": []}, "batch"), ({"ids": "1"}, None)):
        request = REQUESTS.read("graph.facebook.com", "/v26.0/", "application/json", json.dumps(body).encode())
        assert endpoint == (None if request is None else request.endpoint)


def test_its_text_is_in_no_representation() -> None:
    """A log must not show what people write, nor a token."""
    request = REQUESTS.read("graph.facebook.com", "/me/messages", None, b"access_token=SECRET&message={}")

    assert "SECRET" not in repr(request)
