"""The ``smartlinks`` part of the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from ..settings import InvalidValue, Rule, Secret, check_rules, needed_by
from .smartlink_template import CONTEXT_PLACEHOLDERS, LinkTemplate, parts_of


def glob(pattern: str) -> re.Pattern[str]:
    """
    A pattern for addresses in which ``*`` matches anything; ``?`` matches itself, since addresses contain it.

    A pattern without a scheme matches http and https. Scheme and host are compared in lower case.
    """
    scheme, mark, rest = pattern.rpartition("://")
    if mark:
        head = re.escape(scheme.lower()).replace(r"\*", ".*") + "://"
    elif pattern.startswith("*"):
        head = ""
    else:
        head = "https?://"
    host, slash, path = rest.partition("/")
    return re.compile(head + re.escape(host.lower() + slash + path).replace(r"\*", ".*"), re.DOTALL)


def named_host(pattern: str) -> str | None:
    """The host that a pattern names, perhaps without a part of it; ``None`` when it could be any."""
    host = pattern.rpartition("://")[2].partition("/")[0].partition(":")[0].strip("*.").lower()
    return host if "." in host and "*" not in host else None


def _template(_instance: Any, _attribute: Any, value: Any) -> None:
    LinkTemplate.parse(value)


def _default_template(_instance: Any, _attribute: Any, value: Any) -> None:
    if value is not None and not LinkTemplate.parse(value).carries_url:
        accepted = (
            "a SmartLink template with {url} in it (without, every link would lead to one place; use `routes` for that)"
        )
        raise InvalidValue(accepted, value)


def _pattern(_instance: Any, _attribute: Any, value: Any) -> None:
    if not isinstance(value, str) or not value:
        accepted = "a pattern such as https://shop.example/*"
        raise InvalidValue(accepted, value)


def _patterns(_instance: Any, _attribute: Any, value: tuple[object, ...]) -> None:
    for pattern in value:
        _pattern(None, None, pattern)


def _hosts(_instance: Any, _attribute: Any, value: tuple[object, ...]) -> None:
    for host in value:
        if not isinstance(host, str) or not host or "/" in host:
            accepted = "a host such as go.acme.example"
            raise InvalidValue(accepted, host)


def _params(_instance: Any, _attribute: Any, value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not name or not isinstance(text, str):
            accepted = "names with a text each"
            raise InvalidValue(accepted, {name: text})
        parts_of(text, CONTEXT_PLACEHOLDERS, wanted="a parameter")


def _user_param(_instance: Any, _attribute: Any, value: Any) -> None:
    if value == "":
        accepted = "a name, or no value at all to leave the user's id out"
        raise InvalidValue(accepted, value)


@attrs.frozen(kw_only=True)
class LinkRoute:
    """
    A SmartLink for some addresses.

    Attributes:
        match: Pattern of the addresses, in which ``*`` matches anything. Links into Messenger and Instagram are only
            replaced by a route that names their host, such as ``https://m.me/*``.
        link: Template of the SmartLink. Without a placeholder all addresses get the same link.
    """

    match: str = attrs.field(validator=_pattern)
    link: str = attrs.field(validator=_template)


AUTO = "auto"
"""As the name of the parameter with the person's id: that under which it is sent with events."""

DEFAULT_PARAMS = {"site_id": "{page_id}", "sub_site_id": "{channel}", "creative_id": "{creative}"}
"""Only names that stay the same when the code changes: a report goes on for years."""


@attrs.frozen(kw_only=True)
class SmartLinkSettings:
    """
    Which links become SmartLinks, and their parameters.

    Attributes:
        default: Template for every link that no route matches; must contain ``{url}``. ``None``: such links stay.
        routes: The first that matches is used.
        params: Parameters of every SmartLink, with placeholders of the message. One whose placeholders are all
            empty, or that the template sets itself, is left out.
        user_param: Name of the parameter with the recipient's id. ``auto``: that of the id in events, which differs by
            channel; ``None`` leaves the id out.
        user_id_hash: Send a keyed hash (hex HMAC-SHA256) instead of the id.
        user_id_hash_key: The key of the hash.
        skip: Patterns of addresses that are not replaced.
        extensions_whitelisted: The SmartLink's host is in the Page's ``whitelisted_domains``, so buttons with
            ``messenger_extensions`` may be replaced.
        text_links: Also replace addresses in plain text.
        hosts: Additional hosts whose addresses already are SmartLinks.
    """

    default: str | None = attrs.field(default=None, validator=_default_template)
    routes: tuple[LinkRoute, ...] = ()
    params: Mapping[str, str] = attrs.field(factory=lambda: dict(DEFAULT_PARAMS), validator=_params)
    user_param: str | None = attrs.field(default=AUTO, validator=_user_param)
    user_id_hash: bool = False
    user_id_hash_key: Secret | None = None
    skip: tuple[str, ...] = attrs.field(default=(), validator=_patterns)
    extensions_whitelisted: bool = False
    text_links: bool = False
    hosts: tuple[str, ...] = attrs.field(default=(), validator=_hosts)

    RULES: ClassVar[tuple[Rule, ...]] = (needed_by("user_id_hash", "user_id_hash_key"),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)
