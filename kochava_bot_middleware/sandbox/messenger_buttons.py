"""The buttons of Messenger's templates and menus, checked as Facebook does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import attrs

from .graph_errors import GraphRefusal, need_list, need_text, need_web_url, refuse_other_keys, refuse_unless

MAXIMUM_BUTTONS = 3
MAXIMUM_TITLE = 20
MAXIMUM_PAYLOAD = 1000

_WEB_URL_KEYS = frozenset(
    {
        "type",
        "title",
        "url",
        "webview_height_ratio",
        "messenger_extensions",
        "fallback_url",
        "webview_share_button",
    }
)
_KEYS = {
    "web_url": _WEB_URL_KEYS,
    "postback": frozenset({"type", "title", "payload"}),
    "phone_number": frozenset({"type", "title", "payload"}),
    "account_link": frozenset({"type", "url"}),
    "account_unlink": frozenset({"type"}),
    "game_play": frozenset({"type", "title", "payload", "game_metadata"}),
}
_INSTAGRAM = frozenset({"web_url", "postback"})


@attrs.frozen(kw_only=True)
class PageFacts:
    """
    What Facebook knows of the sending Page when it checks a body.

    Attributes:
        whitelisted_domains: As set by the messenger profile, such as ``https://shop.example``.
        attachment_ids: The attachments this Page uploaded.
        instagram: Whether the message goes to Instagram, whose rules are narrower.
        has_file: Whether the call carries a file.
        order_numbers: Those of receipts sent before.
    """

    whitelisted_domains: Collection[str] = ()
    attachment_ids: Collection[str] = ()
    instagram: bool = False
    has_file: bool = False
    order_numbers: Collection[str] = ()


def check_buttons(param: str, buttons: Any, facts: PageFacts, *, maximum: int = MAXIMUM_BUTTONS) -> None:
    """
    Check a list of buttons.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
    need_list(param, buttons, maximum)
    for index, button in enumerate(buttons):
        check_button(f"{param}[{index}]", button, facts)


def check_button(param: str, button: Any, facts: PageFacts, *, maximum_title: int = MAXIMUM_TITLE) -> None:
    """
    Check one button of any type.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
    refuse_unless(isinstance(button, dict), f"param {param} must be an object.")
    kind = button.get("type")
    known = _KEYS.get(kind) if isinstance(kind, str) else None
    if known is None or (facts.instagram and kind not in _INSTAGRAM):
        msg = f"param {param}[type] must be one of {{{', '.join(sorted(_KEYS)).upper()}}}."
        raise GraphRefusal(msg)
    refuse_other_keys(param, button, known)
    if "title" in known:
        need_text(f"{param}[title]", button.get("title"), maximum_title)
    if kind == "web_url":
        check_web_url(param, button, facts)
    elif kind == "account_link":
        need_web_url(f"{param}[url]", button.get("url"))
        refuse_unless(button["url"].lower().startswith("https:"), f"param {param}[url] must be https.")
    elif kind == "phone_number":
        need_text(f"{param}[payload]", button.get("payload"), MAXIMUM_PAYLOAD)
        refuse_unless(button["payload"].startswith("+"), f"param {param}[payload] must be a phone number with +.")
    elif kind == "postback":
        need_text(f"{param}[payload]", button.get("payload"), MAXIMUM_PAYLOAD)


def check_default_action(param: str, action: Any, facts: PageFacts) -> None:
    """
    Check the ``default_action`` of an element: a URL button without a title.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
    refuse_other_keys(param, action, _WEB_URL_KEYS - {"title"})
    refuse_unless(action.get("type") == "web_url", f"param {param}[type] must be one of {{WEB_URL}}.")
    check_web_url(param, action, facts)


def check_web_url(param: str, button: dict[str, Any], facts: PageFacts) -> None:
    """
    Check what the URL button and the default action have in common.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
    need_web_url(f"{param}[url]", button.get("url"))
    ratio = button.get("webview_height_ratio", "full")
    refuse_unless(
        isinstance(ratio, str) and ratio.lower() in ("compact", "tall", "full"),
        f"param {param}[webview_height_ratio] must be one of {{COMPACT, TALL, FULL}}.",
    )
    extensions = button.get("messenger_extensions", False)
    refuse_unless(isinstance(extensions, bool), f"param {param}[messenger_extensions] must be a boolean.")
    if extensions:
        _need_whitelisted(button["url"], facts.whitelisted_domains)
    if "fallback_url" in button:
        refuse_unless(extensions, f"param {param}[fallback_url] needs messenger_extensions.")
        need_web_url(f"{param}[fallback_url]", button["fallback_url"])


def _need_whitelisted(url: str, domains: Collection[str]) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    listed = [urlsplit(domain).hostname or "" for domain in domains]
    fine = parts.scheme.lower() == "https" and any(host == one or host.endswith(f".{one}") for one in listed if one)
    refuse_unless(fine, "URL provided is not whitelisted for messenger extensions")
