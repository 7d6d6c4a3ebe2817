"""Buttons, wherever they may be: in templates, in menus, and in the rest of the messenger profile."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .fields import Check, anything, boolean, items, members, text, web_url
from .graph import GraphRefusal, refuse_unless
from .page import SandboxPage

# messenger.md 5, `messenger_profile` [PROF].
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

# messenger.md 3, `message` [QR].
PAYLOAD = text(1000)
# messenger.md 4.1, URL button [URL, BTN].
TITLE = text(20)

# messenger.md 6, templates [IGG, IGB].
_INSTAGRAM = frozenset({"web_url", "postback"})


def _height_ratio(param: str, value: Any, _page: SandboxPage) -> None:
    # messenger.md 4.1d, `webview_height_ratio` [URL].
    is_known = isinstance(value, str) and value.lower() in ("compact", "tall", "full")
    refuse_unless(is_known, f"param {param} must be one of {{COMPACT, TALL, FULL}}.")


def _account_link(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 4.16, log in button [BTN].
    web_url(param, value, page)
    refuse_unless(value.lower().startswith("https:"), f"param {param} must be https.")


# messenger.md 4.1a, 4.1c and 4.1d [URL].
_OPENED: dict[str, Check] = {
    "webview_height_ratio": _height_ratio,
    "messenger_extensions": boolean,
    "fallback_url": web_url,
    "webview_share_button": anything,
}
"""How an address is opened."""

# messenger.md 4.2, `default_action` [GEN].
_DEFAULT_ACTION = members({"type": anything, "url": web_url}, _OPENED)


def _by_type(title: Check) -> dict[str, Check]:
    """The checks of a button by its type."""
    # messenger.md 4.1, 4.15 and 4.16 [URL, BTN].
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


# messenger.md 4.1, at most 3 buttons [BTN]; 3, errors, 105 [BM694].
BUTTONS = items(3, _button(TITLE))
"""A list of buttons."""

# messenger.md 4.22, persistent menu [MENU].
_MENU_ITEMS = items(20, _button(text(30)))


def default_action(param: str, action: Any, page: SandboxPage) -> None:
    """The ``default_action`` of an element: a URL button without a title."""
    # messenger.md 4.2, `default_action` [GEN].
    _DEFAULT_ACTION(param, action, page)
    refuse_unless(action.get("type") == "web_url", f"param {param}[type] must be one of {{WEB_URL}}.")
    _check_extensions(param, action, page)


def _check_extensions(param: str, button: dict[str, Any], page: SandboxPage) -> None:
    # messenger.md 4.1a and 4.1c [URL, WL, BP22].
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


_QUESTION = members({"question": text(1000), "payload": PAYLOAD})
_QUESTIONS = members({"call_to_actions": items(100, _QUESTION)}, {"locale": text(20)})
_COMMAND = members({"name": text(1000), "description": text(1000)})


def _ice_breaker(param: str, value: Any, page: SandboxPage) -> None:
    """A question, or the questions of one locale."""
    (_QUESTIONS if isinstance(value, dict) and "call_to_actions" in value else _QUESTION)(param, value, page)


_PROFILE: dict[str, Check] = {
    "get_started": members({"payload": PAYLOAD}),
    "greeting": items(100, members({"text": text(160)}, {"locale": text(20)})),
    "ice_breakers": items(100, _ice_breaker),
    "commands": items(100, members({"commands": items(100, _COMMAND)}, {"locale": text(20)})),
    "account_linking_url": web_url,
}


def check_profile(body: dict[str, Any], page: SandboxPage) -> None:
    """Check the properties that a call wants to set."""
    # messenger.md 5, `messenger_profile` [PROF, ICE]; 4.22 [MENU]; 4.24 [WL, PROF]; 4.25 [PROF, ICE].
    named = PROFILE_PROPERTIES & set(body)
    refuse_unless(named, "You must set at least one property of the messenger profile.")
    for name in named & set(_PROFILE):
        _PROFILE[name](name, body[name], page)
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


_LEVEL = members(
    {}, {"locale": text(20), "composer_input_disabled": boolean, "call_to_actions": anything}, closed=False
)


def check_menu(menu: Any, page: SandboxPage) -> None:
    """Check a persistent menu, of the Page or of one person."""
    # messenger.md 4.22, persistent menu [MENU].
    items(100, _LEVEL)("persistent_menu", menu, page)
    has_default = "default" in [level.get("locale") for level in menu]
    refuse_unless(has_default, "param persistent_menu must have one with locale default.")
    for level in menu:
        actions = level.get("call_to_actions")
        if actions is not None or level.get("composer_input_disabled") is None:
            _MENU_ITEMS("persistent_menu[call_to_actions]", actions, page)
