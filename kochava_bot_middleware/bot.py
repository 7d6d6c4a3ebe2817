"""
The async host: an aiohttp application around webhook, inbox, handlers and senders.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import attrs
from aiohttp import web

from .chain import check_middleware, compose, layers_of
from .clock import Clock, SystemClock
from .exceptions import KochavaBotError, RegistrationError
from .handling import Handling, current_handling
from .inbox import Inbox, InboxSettings
from .messenger.events import ChangeEvent, Channel, Event
from .messenger.reply import Reply
from .messenger.send_api import AsyncBot
from .router import Handlers
from .settings import Refusal, Secret, at_least, from_mapping, http_url
from .store.contract import Store, StoreProvider
from .store.memory import MemoryStore
from .webhook import Webhook, WebhookAnswer

log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024


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

    page_access_token: Secret
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
    page_access_token: Secret | None = None
    app_secret: Secret | None = None
    former_app_secrets: tuple[Secret, ...] = ()
    pages: Mapping[str, PageSettings] = attrs.field(factory=dict)
    api_version: str = "v26.0"
    graph_url: str = attrs.field(default="https://graph.facebook.com", validator=http_url)
    max_body_bytes: int = attrs.field(default=4 * MEBIBYTE, validator=at_least(1024))
    inbox: InboxSettings = attrs.field(factory=InboxSettings)

    def __attrs_post_init__(self) -> None:
        if (self.page_access_token is None) == (not self.pages):
            wanted = "either `page_access_token` (one Page) or `pages` (several)"
            raise Refusal(wanted, "both" if self.pages else "neither")
        if not self.app_secrets:
            wanted = "an `app_secret`, at the top or in each of `pages`"
            raise Refusal(wanted, None)

    @property
    def app_secrets(self) -> tuple[Secret, ...]:
        """
        Every secret whose signature is good.
        """
        of_pages = [page.app_secret for page in self.pages.values() if page.app_secret is not None]
        own = [] if self.app_secret is None else [self.app_secret]
        return (*own, *of_pages, *self.former_app_secrets)


class MessengerBot(Handlers):
    """
    A bot: register handlers, add middlewares, serve `app()`.

    Example::

        bot = MessengerBot.from_dict({"page_access_token": "…", "app_secret": "…", "verify_token": "…"})


        @bot.on_message("hello")
        async def hello(event, reply):
            await reply.text("Hello!")


        web.run_app(bot.app())
    """

    def __init__(self, settings: BotSettings, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.settings = settings
        self._clock = clock or SystemClock()
        self._middlewares: list[object] = []
        self._senders = self._make_senders()
        self._inbox: Inbox | None = None
        self._chain = compose([], self._route)
        self._webhook = Webhook(
            self._accept,
            app_secrets=settings.app_secrets,
            verify_token=settings.verify_token,
            max_body_bytes=settings.max_body_bytes,
        )

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], *, clock: Clock | None = None) -> Self:
        """
        Make a bot from a settings mapping; see `BotSettings` for the keys.

        Raises:
            SettingsError: With everything that is wrong.
        """
        return cls(from_mapping(BotSettings, mapping), clock=clock)

    def add_middleware(self, middleware: object) -> None:
        """
        Add a middleware with ``receive``, ``send`` or both; the first added is the outermost in both directions.

        Raises:
            RegistrationError: It could not work, or the bot has been started already.
        """
        check_middleware(middleware)
        if self._inbox is not None:
            msg = "add middlewares before the bot is started"
            raise RegistrationError(msg)
        self._middlewares.append(middleware)
        for sender in self._senders.values():
            if hasattr(middleware, "send"):
                sender.add_middleware(middleware)

    def page(self, page_id: str | None = None) -> AsyncBot:
        """
        What sends in a Page's name, also outside of handlers. With one Page, its id may be left out.

        Raises:
            KochavaBotError: There is no such Page in the settings.
        """
        sender = self._senders.get(page_id) or self._senders.get(None)
        if sender is None:
            known = ", ".join(map(str, self._senders))
            msg = f"no token for Page {page_id!r}: add it to `pages` (known: {known})"
            raise KochavaBotError(msg)
        return sender

    async def start(self) -> None:
        """
        Open the store, start the middlewares, and take over what a former process left.

        Raises:
            StoreUnavailable: The store cannot be opened; the message says how to mend it.
        """
        if self._inbox is not None:
            return
        store = self._store()
        await store.open()
        self._chain = compose(layers_of(self._middlewares, "receive"), self._route)
        self._inbox = Inbox(store=store, dispatch=self._dispatch, settings=self.settings.inbox, clock=self._clock)
        for middleware in self._middlewares:
            if hasattr(middleware, "start"):
                await middleware.start()
        if not store.durable:
            log.warning("inbox_in_memory: events that wait are lost at a crash; add a middleware with a durable store")
        await self._inbox.start()

    async def stop(self) -> None:
        """
        Let the handlers finish, then stop the middlewares in reverse order. Idempotent.
        """
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await inbox.stop()
            for middleware in reversed(self._middlewares):
                if hasattr(middleware, "stop"):
                    await middleware.stop()
        for sender in self._senders.values():
            await sender.close()

    def verify(self, query: Mapping[str, str]) -> WebhookAnswer:
        """
        Answer Facebook's verification GET, for hosts other than `app()`.
        """
        return self._webhook.verify(query)

    async def receive(self, raw_body: bytes, headers: Mapping[str, str]) -> WebhookAnswer:
        """
        Take one webhook POST, for hosts other than `app()`. The bot must have been started.
        """
        return await self._webhook.receive(raw_body, headers)

    def app(self, path: str = "/webhook") -> web.Application:
        """
        An aiohttp application that serves the webhook at *path*, starts the bot and drains it at shutdown.
        """
        app = web.Application(client_max_size=self.settings.max_body_bytes)
        self.add_to(app, path)
        return app

    def add_to(self, app: web.Application, path: str = "/webhook") -> None:
        """
        Serve the webhook at *path* of an application of yours.
        """
        app.router.add_get(path, self._get)
        app.router.add_post(path, self._post)
        app.cleanup_ctx.append(self._lifetime)

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        await self.start()
        yield
        await self.stop()

    async def _get(self, request: web.Request) -> web.Response:
        return _response(self.verify(request.query))

    async def _post(self, request: web.Request) -> web.Response:
        try:
            raw_body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _response(self._webhook.too_large())
        return _response(await self.receive(raw_body, request.headers))

    def _make_senders(self) -> dict[str | None, AsyncBot]:
        settings = self.settings
        if settings.page_access_token is not None:
            only = PageSettings(page_access_token=settings.page_access_token)
            return {None: self._make_sender(None, only)}
        return {page_id: self._make_sender(page_id, page) for page_id, page in settings.pages.items()}

    def _make_sender(self, page_id: str | None, page: PageSettings) -> AsyncBot:
        secret = page.app_secret or self.settings.app_secret
        return AsyncBot(
            page.page_access_token.value,
            app_secret=None if secret is None else secret.value,
            api_version=self.settings.api_version,
            graph_url=page.graph_url or self.settings.graph_url,
            page_id=page_id,
            channel=page.channel,
            clock=self._clock,
        )

    def _store(self) -> Store:
        for middleware in self._middlewares:
            if hasattr(middleware, "provide_store"):
                provider: StoreProvider = middleware
                return provider.provide_store()
        return MemoryStore(clock=self._clock)

    async def _accept(self, events: Sequence[Event]) -> None:
        if self._inbox is None:
            msg = "start the bot before it receives: `await bot.start()`, or serve `bot.app()`"
            raise KochavaBotError(msg)
        wanted = [event for event in events if not isinstance(event, ChangeEvent) or self.router.find(event)]
        await self._inbox.accept(wanted)

    async def _dispatch(self, handling: Handling) -> None:
        try:
            await self._chain(handling.event)
        except Exception as exc:  # noqa: BLE001
            handling.error = exc
            await self._report(handling, exc)

    async def _route(self, event: Event) -> Any:
        """
        The innermost of the receive chain: the handler itself.
        """
        handling = current_handling()
        route = self.router.find(event)
        if handling is None or route is None or not handling.rerun:
            return None
        handling.handler = route.name
        result = await route.function(event, Reply(self.page(event.page_id), event))
        handling.handled = True
        return result

    async def _report(self, handling: Handling, error: Exception) -> None:
        # The error's own text may quote the person, so only its type and place are logged.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("handler_failed: %s raised %s\n%s", handling.handler, type(error).__name__, frames)
        for error_handler in self.router.error_handlers:
            try:
                await error_handler(handling.event, Reply(self.page(handling.event.page_id), handling.event), error)
            except Exception as exc:  # noqa: BLE001
                log.error("error_handler_failed: %s", type(exc).__name__)


def _response(answer: WebhookAnswer) -> web.Response:
    return web.Response(status=answer.status, text=answer.text)
