"""The sample webhooks that `kochava-bot trigger` sends."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.messenger.events import Kind
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from kochava_bot_middleware.sandbox.messenger.samples import SAMPLES, SampleContent, sample_webhook

KINDS = {
    **{name: name for name in Kind},
    **dict.fromkeys(("image", "audio", "video", "file", "message_from_ad"), "message"),
    "get_started": "postback",
    "referral_from_ad": "referral",
    **dict.fromkeys(("notifications_on", "notifications_stop", "notifications_resume"), "optin"),
    "comments": "change",
}
"""How the parser names what each sample is."""


@pytest.mark.parametrize("instagram", [False, True])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_kind(name: str, instagram: bool) -> None:
    """It is of the person and the Page that were asked for."""
    content = SampleContent(mid="m_1", seconds=1_700_000_000.0)
    webhook = sample_webhook(name, content, page_id="1001", user_id="5", instagram=instagram)
    (event,) = parse_webhook(webhook.raw)
    assert KINDS[name] == event.kind.value
    assert ("1001", "instagram" if instagram else "messenger") == (event.page_id, event.channel.value)
    assert ("5" if name != "comments" else None) == event.user_id


def test_every_kind_has_a_sample() -> None:
    """Of changes, those of comments stand for all."""
    assert {kind.value for kind in Kind} == {KINDS[name] for name in SAMPLES}
