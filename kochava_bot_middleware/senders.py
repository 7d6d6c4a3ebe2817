"""
Who sends in the name of which Page.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .bot_settings import BotSettings, PageSettings
from .clock import Clock
from .exceptions import KochavaBotError
from .messenger.outgoing import Outgoing
from .messenger.send_api import AsyncBot


class Senders:
    """
    One `AsyncBot` for each Page of the settings.
    """

    def __init__(self, settings: BotSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._only: AsyncBot | None = None
        self._by_page = {page_id: self._make(page_id, page) for page_id, page in settings.pages.items()}
        if settings.page_access_token is not None:
            self._only = self._make(None, PageSettings(page_access_token=settings.page_access_token))

    @property
    def all(self) -> list[AsyncBot]:
        """
        Every sender.
        """
        return [*self._by_page.values(), *([] if self._only is None else [self._only])]

    def of(self, page_id: str | int | None) -> AsyncBot:
        """
        What sends in a Page's name. With one Page, its id may be left out.

        Raises:
            KochavaBotError: There is no such Page in the settings.
        """
        sender = self.find(page_id)
        if sender is None:
            raise KochavaBotError(self._why(page_id))
        return sender

    def answering(self, page_id: str | None) -> AsyncBot:
        """
        What a handler answers with. For an unknown Page, all that it sends raises `KochavaBotError`: a handler that
        sends nothing works all the same.
        """
        return self.find(page_id) or _UnknownPage(page_id, self._why(page_id))

    def find(self, page_id: str | int | None) -> AsyncBot | None:
        """
        As `of`, but ``None`` when there is none.
        """
        if self._only is not None:
            return self._only
        if page_id is None and len(self._by_page) == 1:
            return next(iter(self._by_page.values()))
        return None if page_id is None else self._by_page.get(str(page_id))

    async def close(self) -> None:
        """
        Close all sessions.
        """
        for sender in self.all:
            await sender.close()

    def _make(self, page_id: str | None, page: PageSettings) -> AsyncBot:
        secret = page.app_secret or self._settings.app_secret
        return AsyncBot(
            page.page_access_token.value,
            app_secret=None if secret is None else secret.value,
            api_version=self._settings.api_version,
            graph_url=page.graph_url or self._settings.graph_url,
            page_id=page_id,
            channel=page.channel,
            clock=self._clock,
        )

    def _why(self, page_id: str | int | None) -> str:
        known = ", ".join(self._by_page)
        if page_id is None:
            return f"several Pages are set up, so the Page must be named (known: {known})"
        return f"no token for Page {page_id!r}: add it to `pages` (known: {known})"


class _UnknownPage(AsyncBot):
    """
    Stands in for a Page that is not in the settings.
    """

    def __init__(self, page_id: str | None, why: str) -> None:
        super().__init__("no-token", page_id=page_id)
        self._why = why

    async def send(self, outgoing: Outgoing) -> NoReturn:
        raise KochavaBotError(self._why)

    async def call(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise KochavaBotError(self._why)
