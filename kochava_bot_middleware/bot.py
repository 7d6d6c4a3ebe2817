"""The async host: an aiohttp application around webhook, inbox, handlers and senders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Self

from aiohttp import web

from .chain import check_middleware, compose, layers_of
from .clock import Clock, SystemClock
from .exceptions import KochavaBotError, RegistrationError
from .handling import Handling, current_handling, trail_of
from .inbox.inbox import Inbox
from .inbox.router import Handlers
from .inbox.settings import BotSettings, InboxSettings, PageSettings
from .inbox.webhook import Webhook, WebhookAnswer
from .messenger.events import ChangeEvent, Event
from .messenger.outgoing import Outgoing
from .messenger.reply import Reply
from .messenger.send_api import AsyncBot
from .settings import from_mapping
from .store.contract import Store, StoreProvider
from .store.memory import MemoryStore
from .telemetry.counts import Counts

__all__ = ["BotSettings", "InboxSettings", "MessengerBot", "PageSettings"]

log = logging.getLogger(__name__)


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
        self._senders = Senders(settings, self._clock)
        self._inbox: Inbox | None = None
        self._running = False
        self._life = AsyncExitStack()
        self._changing = asyncio.Lock()
        self._chain = compose([], self._route)
        self._webhook = Webhook(
            self._accept,
            app_secrets=settings.app_secrets,
            verify_token=settings.verify_token,
            max_body_bytes=settings.max_body_bytes,
            clock=self._clock,
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
            RegistrationError: It could not work, was added before, or the bot has been started already.
        """
        check_middleware(middleware)
        if any(middleware is one for one in self._middlewares):
            msg = f"a middleware is added once, got {middleware!r} again: everything would pass it twice"
            raise RegistrationError(msg)
        if self._running or self._changing.locked():
            msg = "add middlewares before the bot is started"
            raise RegistrationError(msg)
        if hasattr(middleware, "added_to"):
            middleware.added_to(self)
        self._middlewares.append(middleware)
        for sender in self._senders.all:
            if hasattr(middleware, "send"):
                sender.add_middleware(middleware)

    def page(self, page_id: str | int | None = None) -> AsyncBot:
        """
        What sends in a Page's name, also outside of handlers. With one Page, its id may be left out.

        Raises:
            KochavaBotError: There is no such Page in the settings.
        """
        return self._senders.of(page_id)

    @property
    def counts(self) -> Counts:
        """
        As ``at_risk``, the events that were answered 200 but are only in memory, since the store does not work. The
        middleware counts all else.
        """
        return Counts(at_risk=0 if self._inbox is None else self._inbox.at_risk)

    async def start(self) -> None:
        """
        Open the store, start the middlewares, and take over what a former process left. Idempotent.

        What was started before something failed is stopped again.

        Raises:
            StoreUnavailable: The store cannot be opened; the message says how to mend it.
        """
        async with self._changing:
            if self._running:
                return
            async with AsyncExitStack() as life:
                self._inbox = await self._begin(life)
                self._life = life.pop_all()
                self._running = True

    async def stop(self) -> None:
        """
        Let the handlers finish, then stop the middlewares in reverse order. Idempotent.

        Webhooks that come meanwhile are refused with 503, so that Facebook delivers them again.
        """
        async with self._changing:
            try:
                await self._life.aclose()
            finally:
                # The inbox stays: what still comes is refused by it.
                self._running = False
                await self._senders.close()

    async def _begin(self, life: AsyncExitStack) -> Inbox:
        store = self._store()
        # Whoever lends the store closes it; this is for when it could not even be opened.
        life.push_async_callback(store.close)
        await store.open()
        self._chain = compose(layers_of(self._middlewares, "receive"), self._route)
        for middleware in self._middlewares:
            if hasattr(middleware, "stop"):
                life.push_async_callback(_stop, middleware)
            if hasattr(middleware, "start"):
                await middleware.start()
        if not store.durable:
            log.warning(
                "inbox_in_memory: events that wait are lost at a crash; set `store` of KochavaMiddleware to a file, "
                "such as sqlite:///kochava-bot.db, or add a middleware that lends a durable store"
            )
        inbox = Inbox(store=store, dispatch=self._dispatch, settings=self.settings.inbox, clock=self._clock)
        life.push_async_callback(inbox.stop)
        await inbox.start()
        return inbox

    def verify(self, query: Mapping[str, str]) -> WebhookAnswer:
        """Answer Facebook's verification GET, for hosts other than `app()`."""
        return self._webhook.verify(query)

    async def receive(self, raw_body: bytes, headers: Mapping[str, str]) -> WebhookAnswer:
        """Take one webhook POST, for hosts other than `app()`. The bot must have been started."""
        return await self._webhook.receive(raw_body, headers)

    def app(self, path: str = "/webhook") -> web.Application:
        """An aiohttp application that serves the webhook at *path*, starts the bot and drains it at shutdown."""
        app = web.Application()
        self.add_to(app, path)
        return app

    def add_to(self, app: web.Application, path: str = "/webhook") -> None:
        """Serve the webhook at *path* of an application of yours."""
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
        # Read here rather than by `request.read`, whose limit is that of the application around.
        most = self.settings.max_body_bytes
        if (request.content_length or 0) > most:
            return _response(self._webhook.too_large())
        raw_body = bytearray()
        try:
            async for part in request.content.iter_any():
                raw_body += part
                if len(raw_body) > most:
                    return _response(self._webhook.too_large())
        except web.RequestPayloadError:
            return _response(self._webhook.unreadable())
        return _response(await self.receive(bytes(raw_body), request.headers))

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
        wanted = [event for event in events if not isinstance(event, ChangeEvent) or self.router.wants(event)]
        await self._inbox.accept(wanted)

    async def _dispatch(self, handling: Handling) -> None:
        try:
            await self._chain(handling.event)
        except Exception as exc:  # noqa: BLE001
            handling.error = exc
        except BaseException as exc:
            if handling.is_ended_by(exc):
                raise
            # The handler, or what it waited for, was cancelled from within: that is an error like any other.
            error = RuntimeError(f"the handler ended with {type(exc).__name__}")
            error.__cause__ = exc
            handling.error = error.with_traceback(exc.__traceback__)
        await handling.go_on()
        if handling.error is not None:
            await self._report(handling, handling.error)

    async def _route(self, event: Event) -> Any:
        """The innermost of the receive chain: the handler itself."""
        handling = current_handling()
        route = self.router.find(event)
        if handling is None or route is None or not handling.rerun:
            return None
        handling.handler = route.name
        result = await route.function(event, Reply(self._senders.answering(event.page_id), event))
        handling.handled = True
        return result

    async def _report(self, handling: Handling, error: Exception) -> None:
        log.error("handler_failed: %s raised %s", handling.handler, trail_of(error))
        event = handling.event
        for error_handler in self.router.error_handlers:
            try:
                await error_handler(event, Reply(self._senders.answering(event.page_id), event), error)
            except BaseException as exc:
                if handling.is_ended_by(exc):
                    raise
                log.error("error_handler_failed: %s", trail_of(exc))
                await handling.go_on()


async def _stop(middleware: Any) -> None:
    try:
        await middleware.stop()
    except Exception as exc:  # noqa: BLE001 - the others must be stopped, too
        log.error("middleware_stop_failed: %s", trail_of(exc))


def _response(answer: WebhookAnswer) -> web.Response:
    return web.Response(status=answer.status, text=answer.text)


class Senders:
    """One `AsyncBot` for each Page of the settings."""

    def __init__(self, settings: BotSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._only: AsyncBot | None = None
        self._by_page = {page_id: self._make(page_id, page) for page_id, page in settings.pages.items()}
        if settings.page_access_token is not None:
            self._only = self._make(None, PageSettings(page_access_token=settings.page_access_token))

    @property
    def all(self) -> list[AsyncBot]:
        """Every sender."""
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
        """As `of`, but ``None`` when there is none."""
        if self._only is not None:
            return self._only
        if page_id is None and len(self._by_page) == 1:
            return next(iter(self._by_page.values()))
        return None if page_id is None else self._by_page.get(str(page_id))

    async def close(self) -> None:
        """Close all sessions."""
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
    """Stands in for a Page that is not in the settings."""

    def __init__(self, page_id: str | None, why: str) -> None:
        super().__init__("no-token", page_id=page_id)
        self._why = why

    async def send(self, outgoing: Outgoing) -> NoReturn:
        raise KochavaBotError(self._why)

    async def call(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise KochavaBotError(self._why)
