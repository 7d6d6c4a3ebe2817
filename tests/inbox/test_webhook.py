"""Raw bytes and headers in, a status and a text out; what is refused leaves nothing but its reason."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import NotStorable, StoreUnavailable
from kochava_bot_middleware.inbox.webhook import Webhook
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.settings import Secret
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import message_item
from tests.strategies import webhook

SAID = "my number is 4711"
BODY = json.dumps(webhook(message_item(SAID))).encode()
LIMIT = 2000


class Taker:
    """Takes events, or raises."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None

    async def __call__(self, events: Sequence[Event]) -> None:
        if self.error is not None:
            raise self.error
        self.events += events


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hook(taker: Taker, clock: VirtualClock) -> Webhook:
    return Webhook(
        taker,
        app_secrets=[Secret("app-secret"), Secret("former-secret")],
        verify_token=Secret("verify-me"),
        max_body_bytes=LIMIT,
        body_timeout_seconds=60,
        clock=clock,
    )


def signed(body: bytes, secret: str = "app-secret", name: str = "X-Hub-Signature-256") -> dict[str, str]:
    return {name: "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}


async def test_signed_webhook_is_taken(hook: Webhook, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered 200, and nothing is logged."""
    caplog.set_level(logging.DEBUG)
    answer = await hook.receive(BODY, signed(BODY))

    assert (200, "EVENT_RECEIVED") == (answer.status, answer.text)
    assert 1 == len(taker.events)
    assert [] == caplog.records


async def test_signed_webhook_of_another_object_is_answered_200(hook: Webhook, taker: Taker) -> None:
    """Facebook would repeat it after a refusal, and end the subscription in the end."""
    body = b'{"object":"permissions","entry":[{"id":"1","changed_fields":["email"]}]}'
    answer = await hook.receive(body, signed(body))

    assert (200, "EVENT_RECEIVED") == (answer.status, answer.text)
    assert [] == taker.events


SKIPPED: dict[str, Any] = {
    "object permissions": {"object": "permissions", "entry": [{"uid": SAID}]},
    "object whatsapp_business_account": [{"object": "whatsapp_business_account"}, webhook(message_item("hello"))],
    "object": {"object": SAID, "entry": []},
    "entry that is no object": {"object": "page", "entry": [SAID]},
    "empty item": webhook({}, message_item("hello"), None),
    "member that is no object": {"object": "page", "entry": [{"id": "1", "said": SAID}]},
}


@pytest.mark.parametrize("part", SKIPPED)
async def test_parts_without_an_event_are_one_line_a_minute(
    part: str, hook: Webhook, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With how many there were, and nothing of what is in them."""
    body = json.dumps(SKIPPED[part]).encode()
    for _ in range(61):
        assert 200 == (await hook.receive(body, signed(body))).status
        clock.stall(1)
    more = 120 if part == "empty item" else 60
    line = f"webhook_part_skipped {part}"
    assert [line, f"{line} ({more} more)"] == caplog.messages
    assert "4711" not in caplog.text


@pytest.mark.parametrize("secret", ["app-secret", "former-secret"])
async def test_each_app_secret_is_good(secret: str, hook: Webhook, taker: Taker) -> None:
    """Several apps, or one whose secret is being changed."""
    assert 200 == (await hook.receive(BODY, signed(BODY, secret))).status


@pytest.mark.parametrize("name", ["x-hub-signature-256", "X-HUB-SIGNATURE-256"])
async def test_header_names_have_no_case(name: str, hook: Webhook) -> None:
    """Though the host's mapping may have."""
    assert 200 == (await hook.receive(BODY, signed(BODY, name=name))).status


REFUSED: dict[str, tuple[bytes, dict[str, str], int]] = {
    "wrong signature": (BODY, signed(BODY, "guess"), 403),
    "signature of another body": (BODY, signed(BODY + b" "), 403),
    "no signature": (BODY, {}, 403),
    "old signature": (BODY, {"X-Hub-Signature": "sha1=" + "0" * 40}, 403),
    "empty signature": (BODY, {"X-Hub-Signature-256": ""}, 403),
    "broken JSON": (BODY[:-5], signed(BODY[:-5]), 400),
    "no webhook": (b'{"said": "my number is 4711"}', signed(b'{"said": "my number is 4711"}'), 400),
    "empty body": (b"", signed(b""), 400),
    "too large": (BODY + b" " * LIMIT, signed(BODY + b" " * LIMIT), 413),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_bad_input_is_refused(name: str, hook: Webhook, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is taken, and one line tells the reason: no body, no secret, no signature."""
    caplog.set_level(logging.DEBUG)
    body, headers, status = REFUSED[name]
    answer = await hook.receive(body, headers)

    assert (status, []) == (answer.status, taker.events)
    (record,) = caplog.records
    assert f"webhook_refused {status} {answer.text}" == record.getMessage()
    logged = caplog.text + answer.text
    for private in ("4711", "app-secret", "former-secret", *[v.removeprefix("sha256=") for v in headers.values() if v]):
        assert private not in logged


async def test_flood_of_forged_webhooks_is_one_line_a_minute(
    hook: Webhook, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Good ones in between change nothing about it."""
    for _ in range(70):
        await hook.receive(BODY, signed(BODY, "guess"))
        await hook.receive(BODY, signed(BODY))
        clock.stall(1)
    line = "webhook_refused 403 the signature was made with another app secret, or for another body"
    assert [line, f"{line} (60 more)"] == caplog.messages


async def test_forged_body_is_not_even_parsed(hook: Webhook) -> None:
    """A stranger learns nothing about it but that the signature is wrong."""
    assert 403 == (await hook.receive(b"{", signed(b"{", "guess"))).status


async def test_store_that_takes_nothing_is_told_to_facebook(hook: Webhook, taker: Taker) -> None:
    """It delivers again."""
    taker.error = StoreUnavailable("the bot is shutting down")
    answer = await hook.receive(BODY, signed(BODY))

    assert (503, "the bot is shutting down") == (answer.status, answer.text)


async def test_store_that_cannot_keep_it_says_nothing_of_it(
    hook: Webhook, taker: Taker, caplog: pytest.LogCaptureFixture
) -> None:
    """The store's own words may quote the event."""
    taker.error = NotStorable(f"cannot keep {SAID}")
    answer = await hook.receive(BODY, signed(BODY))

    assert 503 == answer.status
    assert "4711" not in caplog.text + answer.text


def query(**changes: Any) -> dict[str, str]:
    given = {"mode": "subscribe", "verify_token": "verify-me", "challenge": "1158201444", **changes}
    return {f"hub.{key}": value for key, value in given.items() if value is not None}


def test_verification_answers_the_bare_challenge(hook: Webhook) -> None:
    """Nothing around it."""
    answer = hook.verify(query())

    assert (200, "1158201444") == (answer.status, answer.text)


@pytest.mark.parametrize(
    "asked",
    [
        query(verify_token="guess"),
        query(verify_token=None),
        query(verify_token=""),
        query(verify_token="verify-m\xe9"),
        query(verify_token="\udcff"),
        query(mode="unsubscribe"),
        query(mode=None),
        {},
    ],
)
def test_wrong_verification_is_refused(asked: dict[str, str], hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    """With 403; neither the right token nor the one given is shown."""
    answer = hook.verify(asked)

    assert 403 == answer.status
    assert "1158201444" not in answer.text
    for private in ("verify-me", "guess"):
        assert private not in caplog.text + answer.text
