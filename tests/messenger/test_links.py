"""The platform's table 4: each place that can have an address, by its row."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.messenger.links.body import iter_links
from kochava_bot_middleware.messenger.links.link import KeepReason, Link, LinkKind

SHOP = "https://shop.example/shoes?a=1&b=2#top"


def message(attachment: dict[str, Any], **recipient: Any) -> dict[str, Any]:
    """A Send API body to one person."""
    return {"recipient": recipient or {"id": "42"}, "message": {"attachment": attachment}}


def template(template_type: str, **payload: Any) -> dict[str, Any]:
    """A Send API body with a template."""
    return message({"type": "template", "payload": {"template_type": template_type, **payload}})


def button(**members: Any) -> dict[str, Any]:
    """A URL button."""
    return {"type": "web_url", "title": "Show", "url": SHOP, **members}


def facts(body: Any, **options: Any) -> list[tuple[LinkKind, str, KeepReason | None]]:
    """Kind, address and reason of each link."""
    return [(site.kind, site.url, site.keep) for site in iter_links(body, **options)]


def only(body: Any, **options: Any) -> Link:
    """The only link of a body."""
    (site,) = iter_links(body, **options)
    return site


REWRITTEN = {
    "row_1_button_of_payload": (template("button", text="?", buttons=[button()]), LinkKind.BUTTON),
    "row_1_button_of_element": (template("generic", elements=[{"title": "A", "buttons": [button()]}]), LinkKind.BUTTON),
    "row_2_default_action": (
        template("generic", elements=[{"title": "A", "default_action": {"type": "web_url", "url": SHOP}}]),
        LinkKind.DEFAULT_ACTION,
    ),
    "row_2_default_action_of_list": (
        template("list", elements=[{"title": "A", "default_action": {"type": "web_url", "url": SHOP}}]),
        LinkKind.DEFAULT_ACTION,
    ),
    "row_3_image_grid_action": (
        template("image_grid", elements=[{"images": [{"action": {"type": "web_url", "url": SHOP}}]}]),
        LinkKind.IMAGE_ACTION,
    ),
    "row_3_image_grid_button": (template("image_grid", elements=[{"buttons": [button()]}]), LinkKind.BUTTON),
    "row_4_button_template": (template("button", text=f"See {SHOP}", buttons=[button()]), LinkKind.BUTTON),
    "row_5_item_url": (template("generic", elements=[{"title": "A", "item_url": SHOP}]), LinkKind.ITEM_URL),
    "row_6_list_buttons": (template("list", elements=[], buttons=[button()]), LinkKind.BUTTON),
    "row_7_open_graph_buttons": (template("open_graph", elements=[{"buttons": [button()]}]), LinkKind.BUTTON),
    "row_8b_media_buttons": (
        template("media", elements=[{"media_type": "image", "attachment_id": "1", "buttons": [button()]}]),
        LinkKind.BUTTON,
    ),
    "row_9_order_url": (template("receipt", order_number="1", order_url=SHOP), LinkKind.ORDER_URL),
    "row_10_coupon_url": (template("coupon", title="10 %", coupon_url=SHOP), LinkKind.COUPON_URL),
    "row_13_checkin_url": (template("airline_checkin", checkin_url=SHOP), LinkKind.CHECKIN_URL),
    "row_22_persistent_menu": (
        {"persistent_menu": [{"locale": "default", "call_to_actions": [button()]}]},
        LinkKind.MENU_ITEM,
    ),
    "row_22_nested_menu": (
        {
            "persistent_menu": [
                {"call_to_actions": [{"type": "nested", "title": "More", "call_to_actions": [button()]}]}
            ]
        },
        LinkKind.MENU_ITEM,
    ),
    "row_29_paid_marketing_message": (
        {"message_id": "m", "message": template("generic", elements=[{"buttons": [button()]}])["message"]},
        LinkKind.BUTTON,
    ),
    "row_31_instagram_attachments": (
        {
            "recipient": {"id": "42"},
            "message": {
                "attachments": [{"type": "template", "payload": {"template_type": "button", "buttons": [button()]}}]
            },
        },
        LinkKind.BUTTON,
    ),
    "unknown_template": (template("brand_new", buttons=[button()]), LinkKind.BUTTON),
}


@pytest.mark.parametrize(("body", "kind"), REWRITTEN.values(), ids=REWRITTEN)
def test_link_that_a_person_taps_may_be_rewritten(body: dict[str, Any], kind: LinkKind) -> None:
    """Each such row of table 4 is found without a reason to keep it."""
    assert [(kind, SHOP, None)] == facts(body)


KEPT = {
    "row_3_image_grid_picture": (
        template("image_grid", elements=[{"images": [{"url": SHOP}]}]),
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_5_image_url": (
        template("generic", elements=[{"title": "A", "image_url": SHOP}]),
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_7_open_graph": (template("open_graph", elements=[{"url": SHOP}]), LinkKind.CARD, KeepReason.OPEN_GRAPH),
    "row_8_media": (
        template("media", elements=[{"media_type": "video", "url": SHOP}]),
        LinkKind.MEDIA,
        KeepReason.MEDIA,
    ),
    "row_9_receipt_picture": (
        template("receipt", elements=[{"title": "A", "image_url": SHOP}]),
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_10_coupon_picture": (template("coupon", image_url=SHOP), LinkKind.PICTURE, KeepReason.PICTURE),
    "row_11_customer_feedback_privacy": (
        template("customer_feedback", business_privacy={"url": SHOP}),
        LinkKind.PRIVACY,
        KeepReason.PRIVACY,
    ),
    "row_12_structured_information_privacy": (
        template("structured_information", business_privacy={"url": SHOP}),
        LinkKind.PRIVACY,
        KeepReason.PRIVACY,
    ),
    "row_14_boarding_pass": (
        template("airline_boardingpass", boarding_pass=[{"header_image_url": SHOP}]),
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_15_payload_that_looks_like_an_address": (
        template("button", buttons=[{"type": "postback", "title": "A", "payload": SHOP}]),
        LinkKind.PAYLOAD,
        KeepReason.OPAQUE,
    ),
    "row_16_log_in": (
        template("button", buttons=[{"type": "account_link", "url": SHOP}]),
        LinkKind.ACCOUNT_LINK,
        KeepReason.ACCOUNT_LINK,
    ),
    "row_18_quick_reply_picture": (
        {"recipient": {"id": "42"}, "message": {"text": "?", "quick_replies": [{"title": "A", "image_url": SHOP}]}},
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_18_quick_reply_payload": (
        {"recipient": {"id": "42"}, "message": {"text": "?", "quick_replies": [{"title": "A", "payload": SHOP}]}},
        LinkKind.PAYLOAD,
        KeepReason.OPAQUE,
    ),
    "row_19_media_send": (message({"type": "image", "payload": {"url": SHOP}}), LinkKind.MEDIA, KeepReason.MEDIA),
    "row_23_home_url": ({"home_url": {"url": SHOP}}, LinkKind.HOME_URL, KeepReason.HOME_URL),
    "row_24_account_linking_url": ({"account_linking_url": SHOP}, LinkKind.ACCOUNT_LINK, KeepReason.ACCOUNT_LINK),
    "row_26_utility_suffix": (
        {
            "recipient": {"id": "42"},
            "message": {
                "template": {"components": [{"type": "buttons", "parameters": [{"type": "URL", "url": SHOP}]}]}
            },
        },
        LinkKind.UTILITY,
        KeepReason.UTILITY_TEMPLATE,
    ),
    "row_27_utility_creation": (
        {"name": "t", "components": [{"type": "BUTTONS", "buttons": [{"type": "URL", "url": SHOP}]}]},
        LinkKind.UTILITY,
        KeepReason.UTILITY_TEMPLATE,
    ),
    "row_27_utility_library": (
        {"library_template_button_inputs": [{"type": "URL", "url": {"base_url": SHOP}}]},
        LinkKind.UTILITY,
        KeepReason.UTILITY_TEMPLATE,
    ),
    "row_28_notification_messages": (
        template("notification_messages", image_url=SHOP),
        LinkKind.PICTURE,
        KeepReason.PICTURE,
    ),
    "row_30_persona": ({"name": "Ann", "profile_picture_url": SHOP}, LinkKind.PICTURE, KeepReason.PICTURE),
    "unknown_button_type": (
        template("button", buttons=[{"type": "hologram", "url": SHOP}]),
        LinkKind.BUTTON,
        KeepReason.UNKNOWN_PLACE,
    ),
}


@pytest.mark.parametrize(("body", "kind", "reason"), KEPT.values(), ids=KEPT)
def test_other_address_says_why_it_must_stay(body: dict[str, Any], kind: LinkKind, reason: KeepReason) -> None:
    """Each such row of table 4 is found with the reason to keep it."""
    assert [(kind, SHOP, reason)] == facts(body)


@pytest.mark.parametrize(
    "payload",
    [
        {"template_type": "generic", "coupon_url": SHOP, "order_url": SHOP, "checkin_url": SHOP, "url": SHOP},
        {"template_type": "product", "elements": [{"id": "1"}]},
        {"template_type": "airline_itinerary", "intro_message": SHOP},
        {
            "template_type": "button",
            "buttons": [{"type": "phone_number", "payload": "+49"}],
        },
    ],
)
def test_row_15_key_names_alone_make_no_link(payload: dict[str, Any]) -> None:
    """A key such as coupon_url is a link only in its own template."""
    assert [] == facts(message({"type": "template", "payload": payload}))


def test_row_1a_extensions_are_kept_and_row_1c_their_fallback_is_not() -> None:
    """Only the fallback of a button with messenger_extensions is an ordinary link."""
    body = template("button", buttons=[button(messenger_extensions=True, fallback_url="https://shop.example/plain")])

    found = facts(body)

    assert [
        (LinkKind.BUTTON, SHOP, KeepReason.MESSENGER_EXTENSIONS),
        (LinkKind.FALLBACK_URL, "https://shop.example/plain", None),
    ] == found


@pytest.mark.parametrize(
    ("share", "shared"), [("hide", False), ("show", True), ("HIDE_NOT", True), (None, False)], ids=str
)
def test_row_1d_share_button_makes_the_link_shared(share: str | None, shared: bool) -> None:
    """webview_share_button with any value but hide lets others get the link."""
    assert shared == only(template("button", buttons=[button(webview_share_button=share)])).shared


def test_row_17_element_share_is_shared() -> None:
    """The contents of a share button are found, and shared."""
    inner = template("generic", elements=[{"title": "A", "buttons": [button()]}])["message"]
    body = template("generic", elements=[{"buttons": [{"type": "element_share", "share_contents": inner}]}])

    site = only(body)

    assert (None, True, LinkKind.BUTTON) == (site.keep, site.shared, site.kind)


def test_row_17_share_button_without_contents_shares_its_element() -> None:
    """The element around the button is sent to others."""
    site = only(template("generic", elements=[{"item_url": SHOP, "buttons": [{"type": "element_share"}]}]))

    assert site.shared


def test_row_20_plain_text_only_on_request() -> None:
    """Addresses in text are found only if requested, without the full stop, with their position."""
    body = {"recipient": {"id": "42"}, "message": {"text": f"See ({SHOP})."}}

    assert [] == facts(body)
    assert ("message", "text", 5) == only(body, text_links=True).path
    assert SHOP == only(body, text_links=True).url


@pytest.mark.parametrize("url", ["https://m.me/shop?ref=a", "http://M.ME/shop", "https://www.ig.me/m/shop"])
def test_row_21_messenger_links_are_kept(url: str) -> None:
    """m.me and ig.me open inside Messenger."""
    assert KeepReason.MESSENGER_LINK == only(template("button", buttons=[button(url=url)])).keep


@pytest.mark.parametrize("url", ["https://m.me.evil.example/", "https://some.me/", "https://m.me@shop.example/"])
def test_row_21_hosts_similar_to_messenger_are_not_kept(url: str) -> None:
    """Only the exact hosts are Messenger's."""
    assert only(template("button", buttons=[button(url=url)])).keep is None


@pytest.mark.parametrize("url", ["tel:+49", "myapp://shop", "mailto:a@b.example", "", "shop.example"])
def test_other_schemes_are_kept(url: str) -> None:
    """Only http and https can be redirected."""
    assert KeepReason.NOT_HTTP == only(template("button", buttons=[button(url=url)])).keep


def test_row_22_page_level_menu_is_shared_and_user_level_is_not() -> None:
    """The Page's menu is for everyone; custom_user_settings is for one person."""
    menu = [{"locale": "default", "call_to_actions": [button()]}]

    assert only({"persistent_menu": menu}, endpoint="messenger_profile").shared
    assert not only({"psid": "42", "persistent_menu": menu}, endpoint="custom_user_settings").shared
    assert "42" == only({"psid": "42", "persistent_menu": menu}, endpoint="custom_user_settings").user_id


def test_row_25_get_started_and_ice_breakers_have_no_links() -> None:
    """Payloads and greetings of the profile are not addresses."""
    body = {
        "get_started": {"payload": SHOP},
        "greeting": [{"locale": "default", "text": SHOP}],
        "ice_breakers": [{"call_to_actions": [{"question": "?", "payload": "P"}]}],
        "whitelisted_domains": ["https://shop.example"],
    }

    assert [] == facts(body, endpoint="messenger_profile")


@pytest.mark.parametrize("recipient", [{"user_ref": "u"}, {"comment_id": "c"}, {"notification_messages_token": "t"}])
def test_link_for_a_recipient_without_an_id_is_shared(recipient: dict[str, str]) -> None:
    """Without a PSID the recipient is unknown."""
    body = message({"type": "template", "payload": {"template_type": "button", "buttons": [button()]}}, **recipient)

    assert only(body).shared


def test_link_has_template_title_and_number() -> None:
    """Pictures have no number."""
    element = {"title": "Shoes", "image_url": SHOP, "default_action": {"type": "web_url", "url": SHOP}}
    body = template("generic", elements=[element | {"buttons": [button()]}])

    sites = [(site.template, site.title, site.index) for site in iter_links(body)]

    assert [("generic", "Shoes", 0), ("generic", "Shoes", 1), ("generic", "Show", 2)] == sites
