"""Buttons, wherever they may be: in templates, in menus, and in the rest of the messenger profile."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .fields import Check, anything, boolean, items, members, text, web_url
from .graph import GraphRefusal, refuse_unless
from .page import SandboxPage

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

PAYLOAD = text(1000)
TITLE = text(20)

_INSTAGRAM = frozenset({"web_url", "postback"})


def _height_ratio(param: str, value: Any, _page: SandboxPage) -> None:
    is_known = isinstance(value, str) and value.lower() in ("compact", "tall", "full")
    refuse_unless(is_known, f"param {param} must be one of {{COMPACT, TALL, FULL}}.")


def _account_link(param: str, value: Any, page: SandboxPage) -> None:
    web_url(param, value, page)
    refuse_unless(value.lower().startswith("https:"), f"param {param} must be https.")


_OPENED: dict[str, Check] = {
    "webview_height_ratio": _height_ratio,
    "messenger_extensions": boolean,
    "fallback_url": web_url,
    "webview_share_button": anything,
}
"""How an address is opened."""

_DEFAULT_ACTION = members({"type": anything, "url": web_url}, _OPENED)


def _by_type(title: Check) -> dict[str, Check]:
    """The checks of a button by its type."""
    titled = {"type": anything, "title": title}
    return {
        "web_url": members({**titled, "url": web_url}, _OPENED),
        "postback": members({**titled, "payload": PAYLOAD}),
        "phone_number": members({**titled, "payload": text(1000, start="+", or_else="a phone number with +")}),
        "account_link": members({"type": anything, "url": _account_link}),
        "account_unlink": members({"type": anything}),
        "game_play": members({**titled, "payload": anything, "game_metadata": anything}),
    }


def _button(title: Check) -> Check:
    by_type = _by_type(title)

    def check(param: str, button: Any, page: SandboxPage) -> None:
        refuse_unless(isinstance(button, dict), f"param {param} must be an object.")
        kind = button.get("type")
        of_type = by_type.get(kind) if isinstance(kind, str) else None
        if of_type is None or (page.instagram and kind not in _INSTAGRAM):
            msg = f"param {param}[type] must be one of {{{', '.join(sorted(by_type)).upper()}}}."
            raise GraphRefusal(msg)
        of_type(param, button, page)
        if kind == "web_url":
            _check_extensions(param, button, page)

    return check


BUTTONS = items(3, _button(TITLE))
"""A list of buttons."""

_MENU_ITEMS = items(20, _button(text(30)))


def default_action(param: str, action: Any, page: SandboxPage) -> None:
    """The ``default_action`` of an element: a URL button without a title."""
    _DEFAULT_ACTION(param, action, page)
    refuse_unless(action.get("type") == "web_url", f"param {param}[type] must be one of {{WEB_URL}}.")
    _check_extensions(param, action, page)


def _check_extensions(param: str, button: dict[str, Any], page: SandboxPage) -> None:
    extensions = button.get("messenger_extensions", False)
    refuse_unless(
        extensions or "fallback_url" not in button, f"param {param}[fallback_url] needs messenger_extensions."
    )
    if extensions:
        parts = urlsplit(button["url"])
        host = parts.hostname or ""
        listed = [urlsplit(domain).hostname or "" for domain in page.profile.get("whitelisted_domains", ())]
        is_listed = any(host == domain or host.endswith(f".{domain}") for domain in listed if domain)
        is_allowed = parts.scheme.lower() == "https" and is_listed
        refuse_unless(is_allowed, "URL provided is not whitelisted for messenger extensions")


def check_profile(body: dict[str, Any], page: SandboxPage) -> None:
    """Check the properties that a call wants to set."""
    named = PROFILE_PROPERTIES & set(body)
    refuse_unless(named, "You must set at least one property of the messenger profile.")
    if "get_started" in named:
        PAYLOAD("get_started[payload]", _member(body["get_started"], "payload"), page)
    if "greeting" in named:
        items(100)("greeting", body["greeting"], page)
        for greeting in body["greeting"]:
            text(160)("greeting[text]", _member(greeting, "text"), page)
    if "whitelisted_domains" in named:
        items(50)("whitelisted_domains", body["whitelisted_domains"], page)
        for domain in body["whitelisted_domains"]:
            web_url("whitelisted_domains", domain, page)
            parts = urlsplit(domain)
            host = parts.hostname or ""
            is_domain = parts.scheme == "https" and "." in host and not re.fullmatch(r"[\d.]+", host)
            refuse_unless(is_domain, "whitelisted_domains must be https domains.")
    if "persistent_menu" in named:
        check_menu(body["persistent_menu"], page)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def check_menu(menu: Any, page: SandboxPage) -> None:
    """Check a persistent menu, of the Page or of one person."""
    items(100)("persistent_menu", menu, page)
    for level in menu:
        refuse_unless(isinstance(level, dict), "param persistent_menu must hold objects.")
    has_default = "default" in [level.get("locale") for level in menu]
    refuse_unless(has_default, "param persistent_menu must have one with locale default.")
    for level in menu:
        actions = level.get("call_to_actions")
        if actions is not None or level.get("composer_input_disabled") is None:
            _MENU_ITEMS("persistent_menu[call_to_actions]", actions, page)
