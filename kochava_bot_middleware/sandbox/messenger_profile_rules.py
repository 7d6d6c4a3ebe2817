"""The rules of the Messenger Profile API and of a person's own menu."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .graph_errors import GraphRefusal, need_list, need_text, need_web_url, refuse_unless
from .messenger_buttons import MAXIMUM_PAYLOAD, PageFacts, check_button

PROPERTIES = frozenset(
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
"""What can be set, read and deleted."""

MAXIMUM_MENU_ITEMS = 20
MAXIMUM_MENU_TITLE = 30
MAXIMUM_DOMAINS = 50


def check_profile(body: dict[str, Any], facts: PageFacts) -> None:
    """
    Check the properties that a call wants to set.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
    named = PROPERTIES & set(body)
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
        check_menu(body["persistent_menu"], facts)


def _check_domain(domain: Any) -> None:
    need_web_url("whitelisted_domains", domain)
    parts = urlsplit(domain)
    host = parts.hostname or ""
    named = "." in host and not re.fullmatch(r"[\d.]+", host)
    refuse_unless(parts.scheme == "https" and named, "whitelisted_domains must be https domains.")


def check_menu(menu: Any, facts: PageFacts) -> None:
    """
    Check a persistent menu, of the Page or of one person.

    Raises:
        GraphRefusal: Facebook would refuse it.
    """
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
            check_button(param, item, facts, maximum_title=MAXIMUM_MENU_TITLE)
