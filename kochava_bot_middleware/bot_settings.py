"""
What can be set about a bot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .inbox_settings import InboxSettings
from .messenger.events import Channel
from .settings import Refusal, Secret, at_least, http_url

MEBIBYTE = 1024 * 1024


def _one_word(_instance: Any, _attribute: Any, value: Any) -> None:
    # A line's end that was read together with the token is the usual mistake.
    if value is not None and value.value.split() != [value.value]:
        wanted = "a token without white space"
        raise Refusal(wanted, value)


@attrs.frozen(kw_only=True)
class PageSettings:
    """
    One Page, or one Instagram account.

    Attributes:
        page_access_token: Lets the bot write in the Page's name.
        app_secret: Of the app that sends this Page's webhooks, if it is not the one at the top.
        channel: ``instagram`` for an Instagram account.
        graph_url: If this Page is reached elsewhere, such as ``https://graph.instagram.com``.
    """

    page_access_token: Secret = attrs.field(validator=_one_word)
    app_secret: Secret | None = None
    channel: Channel = Channel.MESSENGER
    graph_url: str | None = attrs.field(default=None, validator=http_url)


@attrs.frozen(kw_only=True)
class BotSettings:
    """
    The settings of a `MessengerBot`: the short form for one Page, or `pages` for several.

    Attributes:
        verify_token: Any text of yours; the same stands in the app's webhook settings.
        page_access_token: Of the only Page.
        app_secret: Of the app. Webhooks without a right signature are refused.
        former_app_secrets: Still accepted while a secret is being changed.
        pages: By Page id, or Instagram account id.
        api_version: Of the Graph API.
        graph_url: Where the Graph API is.
        max_body_bytes: A larger webhook is refused with 413.
        inbox: How events are kept and handled.
    """

    verify_token: Secret
    page_access_token: Secret | None = attrs.field(default=None, validator=_one_word)
    app_secret: Secret | None = None
    former_app_secrets: tuple[Secret, ...] = ()
    pages: Mapping[str, PageSettings] = attrs.field(factory=dict)
    api_version: str = "v26.0"
    graph_url: str = attrs.field(default="https://graph.facebook.com", validator=http_url)
    max_body_bytes: int = attrs.field(default=4 * MEBIBYTE, validator=at_least(1024))
    inbox: InboxSettings = attrs.field(factory=InboxSettings)

    def __attrs_post_init__(self) -> None:
        wanted = []
        if (self.page_access_token is None) == (not self.pages):
            given = "both" if self.pages else "neither"
            wanted.append(f"either `page_access_token` (one Page) or `pages` (several), not {given}")
        if self.app_secret is None and (not self.pages or not all(page.app_secret for page in self.pages.values())):
            wanted.append("an `app_secret`, at the top or in each of `pages`")
        if wanted:
            raise Refusal("; and ".join(wanted), None)

    @property
    def app_secrets(self) -> tuple[Secret, ...]:
        """
        Every secret whose signature is good.
        """
        of_pages = [page.app_secret for page in self.pages.values() if page.app_secret is not None]
        own = [] if self.app_secret is None else [self.app_secret]
        return (*own, *of_pages, *self.former_app_secrets)
