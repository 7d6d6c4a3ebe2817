"""The rules of Messenger's templates."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .buttons import BUTTONS, default_action
from .fields import Check, anything, filled, given, items, members, one_of, text, web_url
from .graph import ATTACHMENT_NOT_OWNED, NOT_A_FACEBOOK_URL, GraphRefusal, refuse_unless
from .page import SandboxPage

# messenger.md 4.5, generic [GEN].
MAXIMUM_ELEMENTS = 10

# messenger.md 6, templates [IGG, IGB, IGP].
_INSTAGRAM = ("generic", "button", "product", "notification_messages")

# messenger.md 4.5, generic [GEN].
_TEXT = text(80)
_COMMON = {"template_type": anything, "sharable": anything}


def check_template(payload: Any, page: SandboxPage) -> None:
    """Check the ``payload`` of a template attachment."""
    # messenger.md 4 and 6, templates [IGG, IGB, IGP].
    refuse_unless(isinstance(payload, dict), "param message[attachment][payload] must be an object.")
    kind = payload.get("template_type")
    check = _TEMPLATES.get(kind) if isinstance(kind, str) else None
    if check is None or (page.instagram and kind not in _INSTAGRAM):
        msg = f"param name_placeholder[template_type] is not supported: {kind!r}"
        raise GraphRefusal(msg)
    check("name_placeholder", payload, page)


def _facebook_url(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 4.8, media [MED]; 3, errors, 2018185 [MED].
    web_url(param, value, page)
    host = (urlsplit(value).hostname or "").lower()
    is_facebook = host == "facebook.com" or host.endswith(".facebook.com")
    refuse_unless(is_facebook, "Media URL must be a Facebook URL", subcode=NOT_A_FACEBOOK_URL)


_MEDIA = members(
    {"media_type": one_of("image", "video")}, {"url": _facebook_url, "attachment_id": anything, "buttons": BUTTONS}
)


def _media(param: str, element: Any, page: SandboxPage) -> None:
    # messenger.md 4.8, media [MED].
    _MEDIA(param, element, page)
    # messenger.md 3, errors, 2018074 [SAV].
    owned = "attachment_id" not in element or str(element["attachment_id"]) in page.attachment_ids
    refuse_unless(owned, "Attachment is not owned by this page", subcode=ATTACHMENT_NOT_OWNED)
    refuse_unless(("url" in element) != ("attachment_id" in element), f"param {param} needs url or attachment_id.")


def _summary(_param: str, value: Any, _page: SandboxPage) -> None:
    # messenger.md 4.9, receipt [RCP].
    refuse_unless(isinstance(value, dict) and "total_cost" in value, "param summary[total_cost] is required.")


def _order_number(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 4.9, receipt [RCP].
    text(1000)(param, value, page)
    refuse_unless(value not in page.order_numbers, f"param {param} must be unique.")


def _aspect_ratio(_param: str, value: Any, page: SandboxPage) -> None:
    one_of("horizontal", "square")("image_aspect_ratio", value, page)


# messenger.md 4.10, coupon [CPN].
_COUPON = members({"title": _TEXT, "coupon_url": filled(web_url)}, closed=False)


def _coupon(param: str, payload: Any, page: SandboxPage) -> None:
    # messenger.md 4.10, coupon [CPN].
    _COUPON(param, payload, page)
    has_coupon = payload.get("coupon_code") or payload.get("coupon_url")
    refuse_unless(has_coupon, f"param {param} needs coupon_code or coupon_url.")


def _images(param: str, images: Any, page: SandboxPage) -> None:
    # messenger.md 4.3, image grid [IMG].
    items(MAXIMUM_ELEMENTS)(param, images, page)
    for image in images:
        refuse_unless(isinstance(image, dict), f"param {param} must hold objects.")
        action = image.get("action", {})
        refuse_unless(isinstance(action, dict), f"param {param}[action] must be an object.")
        if action.get("type") == "web_url":
            web_url(f"{param}[action][url]", action.get("url"), page)
        refuse_unless(not (action.get("type") == "postback" and "url" in action), "url is illegal with postback.")


def _feedback_title(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 4.11, customer feedback [CFB]: titles forbid URLs.
    _TEXT(param, value, page)
    has_url = re.search(r"\w://|\bwww\.|\w\.[a-z]{2,}/", value, re.IGNORECASE)
    refuse_unless(not has_url, f"param {param} must not contain a URL.")


# messenger.md 4.1, 4.2 and 4.5, generic [GEN].
_CARD = members(
    {"title": _TEXT, "subtitle": filled(_TEXT), "image_url": filled(web_url), "item_url": filled(web_url)},
    {"default_action": default_action, "buttons": BUTTONS},
)
# messenger.md 4.3, image grid [IMG].
_GRID = members({}, {"buttons": BUTTONS, "images": _images}, closed=False)
# messenger.md 4.11, customer feedback [CFB].
_PRIVACY = members({"url": web_url}, closed=False)
_FOLLOW_UP = members({}, {"title": given(_feedback_title), "subtitle": given(_feedback_title)}, closed=False)
_QUESTION = members({}, {"title": given(_feedback_title), "follow_up": given(_FOLLOW_UP)}, closed=False)
_SCREEN = members({}, {"questions": items(MAXIMUM_ELEMENTS, _QUESTION)}, closed=False)

# messenger.md 4, rows 3 to 5, 8 to 12, 15 and 28 [BT, GEN, MED, RCP, CPN, IMG, CFB, PROD]. 6, 7 and 13 are gone.
_TEMPLATES: dict[str, Check] = {
    "button": members({"text": text(640), "buttons": BUTTONS}, _COMMON),
    "generic": members(
        {"elements": items(MAXIMUM_ELEMENTS, _CARD)},
        {**_COMMON, "image_aspect_ratio": _aspect_ratio},
    ),
    "media": members({"elements": items(1, _media)}, _COMMON),
    "receipt": members(
        {
            "recipient_name": text(1000),
            "order_number": _order_number,
            "currency": text(1000),
            "payment_method": text(1000),
            "summary": _summary,
            "order_url": filled(web_url),
        },
        closed=False,
    ),
    "coupon": _coupon,
    "image_grid": members({"elements": items(MAXIMUM_ELEMENTS, _GRID)}, closed=False),
    "product": members({"elements": items(MAXIMUM_ELEMENTS)}, closed=False),
    "customer_feedback": members(
        {"title": _feedback_title, "button_title": _feedback_title, "business_privacy": _PRIVACY},
        {"feedback_screens": items(MAXIMUM_ELEMENTS, _SCREEN)},
        closed=False,
    ),
    "one_time_notif_req": members({"title": _TEXT}, closed=False),
    # Facebook's documentation says too little about the last three.
    "notification_messages": anything,
    "customer_information": anything,
    "instant_form": anything,
}
