"""Events about messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kochava_bot_middleware.messenger import events
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import ITEMS, PAGE_ID, PERSON_ID, item, only, webhook

SENT = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)


def test_text_message() -> None:
    """A typed message has text, id, person and time."""
    event = only(events.MessageEvent, ITEMS["message"])
    assert ("m_text", "Do you have these in red?") == (event.mid, event.text)
    assert (PAGE_ID, PERSON_ID, SENT) == (event.page_id, event.user_id, event.timestamp)
    assert event.quick_reply_payload is None


def test_quick_reply() -> None:
    """A tapped quick reply is a message with a payload."""
    event = only(events.QuickReplyEvent, ITEMS["quick_reply"])
    assert isinstance(event, events.MessageEvent)
    assert ("Red", "COLOR_RED") == (event.text, event.quick_reply_payload)


def test_attachments() -> None:
    """Each attachment has type, address, title and coordinates."""
    image, location, fallback = only(events.MessageEvent, ITEMS["attachments"]).attachments
    assert ("image", "https://cdn.example/cat.gif") == (image.type, image.url)
    assert events.Coordinates(lat=48.137, long=11.575) == location.coordinates
    assert ("Shoes", "https://shop.example/shoes", None) == (fallback.title, fallback.url, fallback.payload)


@pytest.mark.parametrize(
    ("attachment", "url"),
    [
        ({"type": "fallback", "payload": "https://shop.example/old"}, "https://shop.example/old"),
        ({"type": "fallback", "payload": "a share"}, None),
        ({"type": "fallback"}, None),
        ({"type": "ephemeral"}, None),
        ({"type": "story_mention", "payload": {"url": "https://cdn.example/s"}}, "https://cdn.example/s"),
        ({"type": "ig_story", "payload": {"story_media_url": "https://cdn.example/t"}}, "https://cdn.example/t"),
        ({"type": "fallback", "payload": None, "URL": "https://shop.example/big"}, "https://shop.example/big"),
    ],
)
def test_attachment_with_odd_payload(attachment: dict[str, Any], url: str | None) -> None:
    """A payload may be text, null or missing, and the key of the address may differ."""
    (read,) = only(events.MessageEvent, item(message={"mid": "m", "attachments": [attachment]})).attachments
    assert (attachment["type"], url) == (read.type, read.url)


def test_sticker_is_counted_once() -> None:
    """The image that repeats a sticker is left out, for an id as number or text."""
    event = only(events.MessageEvent, ITEMS["sticker"])
    assert ["sticker"] == [attachment.type for attachment in event.attachments]
    assert (True, "369239263222822") == (event.is_sticker, event.sticker_id)


def test_sticker_of_old_data_is_an_image() -> None:
    """Before 2026 a sticker was an image with the id of the sticker."""
    image = {"type": "image", "payload": {"url": "https://cdn.example/t.png", "sticker_id": 7}}
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": [image]}))
    assert (["image"], "7") == ([attachment.type for attachment in event.attachments], event.sticker_id)


def test_picture_beside_a_sticker_is_kept() -> None:
    """Only the image of the sticker itself is left out."""
    found = [
        {"type": "image", "payload": {"url": "https://cdn.example/cat.png"}},
        {"type": "sticker", "payload": {"url": "https://cdn.example/t.png", "sticker_id": "7"}},
    ]
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": found}))
    assert ["image", "sticker"] == [attachment.type for attachment in event.attachments]


def test_shared_instagram_post_is_counted_once() -> None:
    """Instagram sends a shared post with its old and its new type."""
    url = "https://cdn.example/post"
    found = [{"type": kind, "payload": {"url": url}} for kind in ("share", "ig_post")]
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": found}), about="instagram")
    assert ["ig_post"] == [attachment.type for attachment in event.attachments]


@pytest.mark.parametrize("share", [{"title": "A post"}, {"url": "https://www.instagram.com/p/abc"}])
def test_shared_instagram_post_is_counted_once_whatever_its_address(share: dict[str, str]) -> None:
    """Both forms of a post may have different addresses."""
    post = {"url": "https://cdn.example/signed", "ig_post_media_id": "1"}
    found = [{"type": "share", "payload": share}, {"type": "ig_post", "payload": post}]
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": found}), about="instagram")
    assert ["ig_post"] == [attachment.type for attachment in event.attachments]


def test_many_attachments_are_read_each_once() -> None:
    """Compared with one another, so many would stop the event loop for hours."""
    pairs = [
        {"type": kind, "payload": {"sticker_id": str(number), "url": f"https://cdn.example/{number}.png"}}
        for number in range(50_000)
        for kind in ("image", "sticker")
    ]
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": pairs}))
    assert (50_000, {"sticker"}) == (len(event.attachments), {attachment.type for attachment in event.attachments})


@pytest.mark.parametrize("same", ["sticker_id", "url"])
def test_image_of_a_sticker_has_its_id_or_its_address(same: str) -> None:
    """One of both is enough."""
    found = [{"type": "image", "payload": {same: "7"}}, {"type": "sticker", "payload": {same: "7"}}]
    event = only(events.MessageEvent, item(message={"mid": "m", "attachments": found}))
    assert ["sticker"] == [attachment.type for attachment in event.attachments]


def test_empty_attachment_is_left_out() -> None:
    """It has no content."""
    event = only(events.MessageEvent, item(message={"mid": "m", "text": "Hi", "attachments": [{}]}))
    assert () == event.attachments


@pytest.mark.parametrize(
    ("lat", "wanted"),
    [
        ("52.5", 52.5),
        (0, 0.0),
        ("north", None),
        ("nan", None),
        (True, None),
        (None, None),
        ("1e400", None),
        (361, None),
    ],
)
def test_coordinates(lat: Any, wanted: float | None) -> None:
    """Degrees may be text; values out of range are ignored."""
    place = {"type": "location", "payload": {"coordinates": {"lat": lat, "long": 13.4}}}
    (read,) = only(events.MessageEvent, item(message={"mid": "m", "attachments": [place]})).attachments
    assert (None if wanted is None else events.Coordinates(lat=wanted, long=13.4)) == read.coordinates


def test_tag_outside_of_a_list() -> None:
    """Old data has a single tag as an object."""
    event = only(events.MessageEvent, item(message={"mid": "m", "tags": {"source": "customer_chat_plugin"}}))
    assert ("customer_chat_plugin",) == event.tags


def test_reply() -> None:
    """A reply names the message it replies to."""
    event = only(events.MessageEvent, item(message={"mid": "m", "reply_to": {"mid": "m_1", "is_self_reply": True}}))
    assert events.ReplyTo(mid="m_1", is_self_reply=True) == event.reply_to


def test_instagram_story_reply() -> None:
    """A reply to a story names the story."""
    story = {"url": "https://cdn.example/story", "id": 1234}
    event = only(events.MessageEvent, item(message={"mid": "m", "reply_to": {"story": story}}), about="instagram")
    assert events.ReplyTo(story=events.Story(id="1234", url="https://cdn.example/story")) == event.reply_to


def test_shop_message() -> None:
    """A message from a shop names the product."""
    event = only(events.MessageEvent, item(message={"mid": "m", "referral": {"product": {"id": 99}}}))
    assert events.Referral(product_id="99") == event.referral


def test_ad_message() -> None:
    """A message from an ad names the ad."""
    referral = {"ref": "r", "ad_id": "1", "source": "ADS", "type": "OPEN_THREAD", "ads_context_data": {"ad_title": "t"}}
    event = only(events.MessageEvent, item(message={"mid": "m", "referral": referral}))
    wanted = events.Referral(ref="r", ad_id="1", source="ADS", type="OPEN_THREAD", ads_context={"ad_title": "t"})
    assert wanted == event.referral


def test_commands_nlp_and_tags() -> None:
    """Results of the platform's language processing are kept."""
    nlp = {"entities": {"greetings": [{"value": "true", "confidence": 0.99}]}}
    message = {"mid": "m", "text": "/help", "commands": [{"name": "help"}], "nlp": nlp, "tags": [{"source": "plugin"}]}
    event = only(events.MessageEvent, item(message=message))
    assert (("help",), nlp, ("plugin",)) == (event.commands, event.nlp, event.tags)


def test_prior_message() -> None:
    """The reference of the plugin is connected with the person."""
    event = only(
        events.MessageEvent,
        item(message={"mid": "m"}, prior_message={"source": "checkbox_plugin", "identifier": "ref-4711"}),
    )
    assert events.PriorMessage(source="checkbox_plugin", identifier="ref-4711") == event.prior_message


@pytest.mark.parametrize("many", [False, True])
def test_hop_context(many: bool) -> None:
    """The app before is named, as an object or in a list."""
    hop = {"app_id": 498721317747541, "metadata": "messenger_lead_gen_complete"}
    event = only(events.MessageEvent, item(message={"mid": "m"}, hop_context=[hop] if many else hop))
    wanted = events.HopContext(app_id="498721317747541", metadata="messenger_lead_gen_complete")
    assert (wanted,) == event.hop_context


def test_message_deleted() -> None:
    """The deleted message is named."""
    assert only(events.MessageDeletedEvent, ITEMS["message_deleted"]).mid == "m_gone"


def test_message_unsupported() -> None:
    """A message that is not shown to apps is named."""
    assert only(events.MessageUnsupportedEvent, ITEMS["message_unsupported"]).mid == "m_odd"


def test_message_edit() -> None:
    """The number of the edit is a number, although it is sent as text."""
    event = only(events.MessageEditEvent, ITEMS["message_edit"])
    assert ("m_text", 2, "Do you have them in blue?") == (event.mid, event.num_edit, event.text)


def test_echo() -> None:
    """The person of an echo is its recipient."""
    event = only(events.EchoEvent, ITEMS["echo"])
    assert (PERSON_ID, PAGE_ID) == (event.user_id, event.page_id)
    assert ("1517776481860111", "greet_b", "m_echo", "Hello") == (event.app_id, event.metadata, event.mid, event.text)


def test_page_of_an_echo_may_be_its_sender() -> None:
    """When the entry names no Page."""
    (event,) = parse_webhook(webhook(ITEMS["echo"], page_id="0"))
    assert (PERSON_ID, PAGE_ID) == (event.user_id, event.page_id)


def test_echo_of_a_template() -> None:
    """A template is received as it was sent."""
    payload = {"template_type": "button", "buttons": [{"type": "web_url", "url": "https://a.smart.link/x"}]}
    sent = {**ITEMS["echo"]["message"], "attachments": [{"type": "template", "title": "t", "payload": payload}]}
    (attachment,) = only(events.EchoEvent, {**ITEMS["echo"], "message": sent}).attachments
    assert ("template", "t", payload) == (attachment.type, attachment.title, attachment.payload)


def test_deleted_echo_is_an_echo() -> None:
    """It is not a message deleted by the person."""
    event = only(events.EchoEvent, {**ITEMS["echo"], "message": {"mid": "m", "is_echo": True, "is_deleted": True}})
    assert event.is_deleted


def test_delivery() -> None:
    """A delivery receipt has a watermark."""
    event = only(events.DeliveryEvent, ITEMS["delivery"])
    assert (("m_echo",), SENT, None) == (event.mids, event.watermark, event.timestamp)


def test_delivery_without_mids() -> None:
    """The list of messages is often missing."""
    event = only(events.DeliveryEvent, item(delivery={"watermark": 1458668856253, "seq": 37}, timestamp=0))
    assert ((), None) == (event.mids, event.timestamp)


def test_read() -> None:
    """A read event has a watermark."""
    event = only(events.ReadEvent, ITEMS["read"])
    assert (SENT, None) == (event.watermark, event.mid)


def test_instagram_read() -> None:
    """On Instagram a read event names one message and has no watermark."""
    event = only(events.ReadEvent, item(read={"mid": "m_1"}), about="instagram")
    assert (None, "m_1") == (event.watermark, event.mid)


def test_reaction() -> None:
    """A reaction has message, name and emoji."""
    event = only(events.ReactionEvent, ITEMS["reaction"])
    assert ("m_echo", "react", "love", "❤") == (event.mid, event.action, event.reaction, event.emoji)


def test_reaction_removed() -> None:
    """The name may be missing."""
    event = only(events.ReactionEvent, item(reaction={"action": "unreact", "mid": "m_echo"}))
    assert ("unreact", None, None) == (event.action, event.reaction, event.emoji)
