"""The rules of Messenger's templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .buttons import check_buttons, check_default_action
from .graph import (
    NOT_A_FACEBOOK_URL,
    GraphRefusal,
    need_list,
    need_one_of,
    need_text,
    need_web_url,
    refuse_other_keys,
    refuse_unless,
)
from .page import SandboxPage

MAXIMUM_ELEMENTS = 10
MAXIMUM_BUTTON_TEXT = 640
MAXIMUM_ELEMENT_TEXT = 80

_ELEMENTS = "name_placeholder[elements]"
_BUTTONS = "name_placeholder[buttons]"
_ELEMENT_KEYS = frozenset({"title", "subtitle", "image_url", "item_url", "default_action", "buttons"})
_COMMON = frozenset({"template_type", "sharable"})


def check_template(payload: Any, page: SandboxPage) -> None:
    """Check the ``payload`` of a template attachment."""
    refuse_unless(isinstance(payload, dict), "param message[attachment][payload] must be an object.")
    kind = payload.get("template_type")
    check = _TEMPLATES.get(kind) if isinstance(kind, str) else None
    if check is None or (page.instagram and kind not in ("generic", "button", "product")):
        msg = f"param name_placeholder[template_type] is not supported: {kind!r}"
        raise GraphRefusal(msg)
    check(payload, page)


def _button(payload: dict[str, Any], page: SandboxPage) -> None:
    refuse_other_keys("name_placeholder", payload, _COMMON | {"text", "buttons"})
    need_text("name_placeholder[text]", payload.get("text"), MAXIMUM_BUTTON_TEXT)
    check_buttons(_BUTTONS, payload.get("buttons"), page)


def _generic(payload: dict[str, Any], page: SandboxPage) -> None:
    refuse_other_keys("name_placeholder", payload, _COMMON | {"elements", "image_aspect_ratio"})
    need_list(_ELEMENTS, payload.get("elements"), MAXIMUM_ELEMENTS)
    ratio = payload.get("image_aspect_ratio", "horizontal")
    need_one_of("image_aspect_ratio", ratio, ("horizontal", "square"))
    for index, element in enumerate(payload["elements"]):
        param = f"{_ELEMENTS}[{index}]"
        refuse_other_keys(param, element, _ELEMENT_KEYS)
        need_text(f"{param}[title]", element.get("title"), MAXIMUM_ELEMENT_TEXT)
        if element.get("subtitle"):
            need_text(f"{param}[subtitle]", element["subtitle"], MAXIMUM_ELEMENT_TEXT)
        for name in ("image_url", "item_url"):
            if element.get(name):
                need_web_url(f"{param}[{name}]", element[name])
        if "default_action" in element:
            check_default_action(f"{param}[default_action]", element["default_action"], page)
        if "buttons" in element:
            check_buttons(f"{param}[buttons]", element["buttons"], page)


def _media(payload: dict[str, Any], page: SandboxPage) -> None:
    refuse_other_keys("name_placeholder", payload, _COMMON | {"elements"})
    need_list(_ELEMENTS, payload.get("elements"), 1)
    param, element = f"{_ELEMENTS}[0]", payload["elements"][0]
    refuse_other_keys(param, element, frozenset({"media_type", "url", "attachment_id", "buttons"}))
    need_one_of(f"{param}[media_type]", element.get("media_type"), ("image", "video"))
    refuse_unless(("url" in element) != ("attachment_id" in element), f"param {param} needs url or attachment_id.")
    if "url" in element:
        need_web_url(f"{param}[url]", element["url"])
        host = (urlsplit(element["url"]).hostname or "").lower()
        fine = host == "facebook.com" or host.endswith(".facebook.com")
        refuse_unless(fine, "Media URL must be a Facebook URL", subcode=NOT_A_FACEBOOK_URL)
    if "buttons" in element:
        check_buttons(f"{param}[buttons]", element["buttons"], page)


def _receipt(payload: dict[str, Any], page: SandboxPage) -> None:
    for name in ("recipient_name", "order_number", "currency", "payment_method"):
        need_text(f"name_placeholder[{name}]", payload.get(name), 1000)
    summary = payload.get("summary")
    refuse_unless(isinstance(summary, dict) and "total_cost" in summary, "param summary[total_cost] is required.")
    unused = payload["order_number"] not in page.order_numbers
    refuse_unless(unused, "param name_placeholder[order_number] must be unique.")
    if payload.get("order_url"):
        need_web_url("name_placeholder[order_url]", payload["order_url"])


def _coupon(payload: dict[str, Any], page: SandboxPage) -> None:
    need_text("name_placeholder[title]", payload.get("title"), MAXIMUM_ELEMENT_TEXT)
    refuse_unless(
        payload.get("coupon_code") or payload.get("coupon_url"),
        "param name_placeholder needs coupon_code or coupon_url.",
    )
    if payload.get("coupon_url"):
        need_web_url("name_placeholder[coupon_url]", payload["coupon_url"])


def _image_grid(payload: dict[str, Any], page: SandboxPage) -> None:
    need_list(_ELEMENTS, payload.get("elements"), MAXIMUM_ELEMENTS)
    for index, element in enumerate(payload["elements"]):
        param = f"{_ELEMENTS}[{index}]"
        refuse_unless(isinstance(element, dict), f"param {param} must be an object.")
        if "buttons" in element:
            check_buttons(f"{param}[buttons]", element["buttons"], page)
        if "images" in element:
            _check_images(f"{param}[images]", element["images"])


def _check_images(param: str, images: Any) -> None:
    need_list(param, images, MAXIMUM_ELEMENTS)
    for image in images:
        refuse_unless(isinstance(image, dict), f"param {param} must hold objects.")
        action = image.get("action", {})
        refuse_unless(isinstance(action, dict), f"param {param}[action] must be an object.")
        if action.get("type") == "web_url":
            need_web_url(f"{param}[action][url]", action.get("url"))
        refuse_unless(not (action.get("type") == "postback" and "url" in action), "url is illegal with postback.")


def _with_elements(payload: dict[str, Any], page: SandboxPage) -> None:
    need_list(_ELEMENTS, payload.get("elements"), MAXIMUM_ELEMENTS)


def _feedback(payload: dict[str, Any], page: SandboxPage) -> None:
    for name in ("title", "button_title"):
        need_text(f"name_placeholder[{name}]", payload.get(name), MAXIMUM_ELEMENT_TEXT)
    privacy = payload.get("business_privacy")
    if not isinstance(privacy, dict):
        msg = "param name_placeholder[business_privacy] must be an object."
        raise GraphRefusal(msg)
    need_web_url("name_placeholder[business_privacy][url]", privacy.get("url"))


def _titled(payload: dict[str, Any], page: SandboxPage) -> None:
    need_text("name_placeholder[title]", payload.get("title"), MAXIMUM_ELEMENT_TEXT)


def _unchecked(payload: dict[str, Any], page: SandboxPage) -> None:
    """Accepted unchecked: Facebook's documentation says too little about it."""


_TEMPLATES: dict[str, Callable[[dict[str, Any], SandboxPage], None]] = {
    "button": _button,
    "generic": _generic,
    "media": _media,
    "receipt": _receipt,
    "coupon": _coupon,
    "image_grid": _image_grid,
    "product": _with_elements,
    "customer_feedback": _feedback,
    "one_time_notif_req": _titled,
    "notification_messages": _unchecked,
    "customer_information": _unchecked,
    "instant_form": _unchecked,
}
