"""Buttons, wherever they may be: in templates, in menus, and in the rest of the messenger profile."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .graph import GraphRefusal, need_list, need_text, need_web_url, refuse_other_keys, refuse_unless
from .page import SandboxPage

MAXIMUM_BUTTONS = 3
MAXIMUM_TITLE = 20
MAXIMUM_PAYLOAD = 1000
MAXIMUM_MENU_ITEMS = 20
MAXIMUM_MENU_TITLE = 30
MAXIMUM_DOMAINS = 50

PROFILE_PROPERTIES = frozenset(
    {
        "get_started",
        "greeting",
        "ice_breakers",
        "persistent_menu",
        "whitelisted_domains",
        "account_linking_url",
        "commands",
    }
)
"""The properties of the messenger profile."""

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


def check_buttons(param: str, buttons: Any, page: SandboxPage) -> None:
    """Check a list of buttons."""
    need_list(param, buttons, MAXIMUM_BUTTONS)
    for index, button in enumerate(buttons):
        check_button(f"{param}[{index}]", button, page)


def check_button(param: str, button: Any, page: SandboxPage, *, maximum_title: int = MAXIMUM_TITLE) -> None:
    """Check one button of any type."""
    refuse_unless(isinstance(button, dict), f"param {param} must be an object.")
    kind = button.get("type")
    known = _KEYS.get(kind) if isinstance(kind, str) else None
    if known is None or (page.instagram and kind not in _INSTAGRAM):
        msg = f"param {param}[type] must be one of {{{', '.join(sorted(_KEYS)).upper()}}}."
        raise GraphRefusal(msg)
    refuse_other_keys(param, button, known)
    if "title" in known:
        need_text(f"{param}[title]", button.get("title"), maximum_title)
    if kind == "web_url":
        _check_web_url(param, button, page)
    elif kind == "account_link":
        need_web_url(f"{param}[url]", button.get("url"))
        refuse_unless(button["url"].lower().startswith("https:"), f"param {param}[url] must be https.")
    elif kind == "phone_number":
        need_text(f"{param}[payload]", button.get("payload"), MAXIMUM_PAYLOAD)
        refuse_unless(button["payload"].startswith("+"), f"param {param}[payload] must be a phone number with +.")
    elif kind == "postback":
        need_text(f"{param}[payload]", button.get("payload"), MAXIMUM_PAYLOAD)


def check_default_action(param: str, action: Any, page: SandboxPage) -> None:
    """Check the ``default_action`` of an element: a URL button without a title."""
    refuse_other_keys(param, action, _WEB_URL_KEYS - {"title"})
    refuse_unless(action.get("type") == "web_url", f"param {param}[type] must be one of {{WEB_URL}}.")
    _check_web_url(param, action, page)


def _check_web_url(param: str, button: dict[str, Any], page: SandboxPage) -> None:
    """Check what the URL button and the default action have in common."""
    need_web_url(f"{param}[url]", button.get("url"))
    ratio = button.get("webview_height_ratio", "full")
    refuse_unless(
        isinstance(ratio, str) and ratio.lower() in ("compact", "tall", "full"),
        f"param {param}[webview_height_ratio] must be one of {{COMPACT, TALL, FULL}}.",
    )
    extensions = button.get("messenger_extensions", False)
    refuse_unless(isinstance(extensions, bool), f"param {param}[messenger_extensions] must be a boolean.")
    if extensions:
        _need_whitelisted(button["url"], page)
    if "fallback_url" in button:
        refuse_unless(extensions, f"param {param}[fallback_url] needs messenger_extensions.")
        need_web_url(f"{param}[fallback_url]", button["fallback_url"])


def _need_whitelisted(url: str, page: SandboxPage) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    listed = [urlsplit(domain).hostname or "" for domain in page.profile.get("whitelisted_domains", ())]
    is_listed = any(host == domain or host.endswith(f".{domain}") for domain in listed if domain)
    refuse_unless(
        parts.scheme.lower() == "https" and is_listed,
        "URL provided is not whitelisted for messenger extensions",
    )


def check_profile(body: dict[str, Any], page: SandboxPage) -> None:
    """Check the properties that a call wants to set."""
    named = PROFILE_PROPERTIES & set(body)
    refuse_unless(named, "You must set at least one property of the messenger profile.")
    if "get_started" in named:
        started = body["get_started"]
        need_text(
            "get_started[payload]", started.get("payload") if isinstance(started, dict) else None, MAXIMUM_PAYLOAD
        )
    if "greeting" in named:
        need_list("greeting", body["greeting"], 100)
        for greeting in body["greeting"]:
            text = greeting.get("text") if isinstance(greeting, dict) else None
            need_text("greeting[text]", text, 160)
    if "whitelisted_domains" in named:
        need_list("whitelisted_domains", body["whitelisted_domains"], MAXIMUM_DOMAINS)
        for domain in body["whitelisted_domains"]:
            _check_domain(domain)
    if "persistent_menu" in named:
        check_menu(body["persistent_menu"], page)


def _check_domain(domain: Any) -> None:
    need_web_url("whitelisted_domains", domain)
    parts = urlsplit(domain)
    host = parts.hostname or ""
    named = "." in host and not re.fullmatch(r"[\d.]+", host)
    refuse_unless(parts.scheme == "https" and named, "whitelisted_domains must be https domains.")


def check_menu(menu: Any, page: SandboxPage) -> None:
    """Check a persistent menu, of the Page or of one person."""
    need_list("persistent_menu", menu, 100)
    for level in menu:
        refuse_unless(isinstance(level, dict), "param persistent_menu must hold objects.")
    locales = [level.get("locale") for level in menu]
    if "default" not in locales:
        msg = "param persistent_menu must have one with locale default."
        raise GraphRefusal(msg)
    for level in menu:
        items = level.get("call_to_actions")
        if items is None and level.get("composer_input_disabled") is not None:
            continue
        need_list("persistent_menu[call_to_actions]", items, MAXIMUM_MENU_ITEMS)
        for index, item in enumerate(items):
            param = f"persistent_menu[call_to_actions][{index}]"
            check_button(param, item, page, maximum_title=MAXIMUM_MENU_TITLE)
