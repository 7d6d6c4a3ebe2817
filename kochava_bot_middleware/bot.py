"""The async host: an aiohttp application around webhook, inbox, handlers and the `AsyncBot` of each Page."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Self

from aiohttp import web

from .chain import check_middleware, checked, compose, layer_of, layers_of
from .clock import Clock, SystemClock
from .exceptions import KochavaBotError, RegistrationError
from .handling import Handling, current_handling, trail_of
from .inbox.handlers import Handlers
from .inbox.inbox import Inbox, warn_if_in_memory
from .inbox.settings import BotSettings, InboxSettings, PageSettings
from .inbox.webhook import Webhook, WebhookAnswer
from .messenger.events import ChangeEvent, Event
from .messenger.outgoing import Outgoing
from .messenger.parsing.webhook import Headers
from .messenger.reply import Reply
from .messenger.send_api import AsyncBot
from .settings import from_mapping
from .store.contract import Store, StoreProvider
from .store.memory import MemoryStore
from .telemetry.counts import Counts

__all__ = ["BotSettings", "InboxSettings", "MessengerBot", "PageSettings"]

log = logging.getLogger(__name__)

GC_THRESHOLDS = 20_000, 50, 100
"""
Of `BotSettings.tune_gc`. A handled event leaves no cycle behind, so that collections find next to nothing. With 50,000
they take no less time altogether, but one of them is a pause of 15 ms.
"""


class MessengerBot(Handlers):
    """
    A bot: register handlers, add middlewares, serve `app()`.

    Example:
        ```python
        bot = MessengerBot.from_dict({"page_access_token": "…", "app_secret": "…", "verify_token": "…"})


        @bot.on_message("hello")
        async def hello(event, reply):
            await reply.text("Hello!")


        web.run_app(bot.app())
        ```
    """

    def __init__(self, settings: BotSettings, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.settings = checked(settings, BotSettings, "MessengerBot.from_dict takes a mapping")
        self._clock = clock or SystemClock()
        self._middlewares: list[object] = []
        self._pages = PageBots(settings, self._clock)
        self._inbox: Inbox | None = None
        self._running = False
        self._opened = AsyncExitStack()
        self._start_stop_lock = asyncio.Lock()
        self._chain = compose([], self._route)
        self._webhook = Webhook(
            self._accept,
            app_secrets=settings.app_secrets,
            verify_token=settings.verify_token,
            max_body_bytes=settings.max_body_bytes,
            body_timeout_seconds=settings.body_timeout_seconds,
            clock=self._clock,
        )

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], *, clock: Clock | None = None) -> Self:
        """
        Create a bot from a settings mapping; see `BotSettings` for the keys.

        Raises:
            SettingsError: With everything that is wrong.
        """
        return cls(from_mapping(BotSettings, mapping), clock=clock)

    def add_middleware(self, middleware: object) -> None:
        """
        Add a middleware with ``receive``, ``send`` or both; the first added is the outermost in both directions.

        Raises:
            RegistrationError: It cannot work, was added before, or the bot has been started already.
        """
        check_middleware(middleware)
        if any(middleware is one for one in self._middlewares):
            msg = f"a middleware is added once, got {middleware!r} again: everything would pass it twice"
            raise RegistrationError(msg)
        if self._running or self._start_stop_lock.locked():
            msg = "add middlewares before the bot is started"
            raise RegistrationError(msg)
        if hasattr(middleware, "added_to"):
            middleware.added_to(self)
        self._middlewares.append(middleware)
        if hasattr(layer_of(middleware), "send"):
            for page_bot in self._pages.all:
                page_bot.add_middleware(middleware)

    def page(self, page_id: str | int | None = None) -> AsyncBot:
        """
        The `AsyncBot` of a Page, to send outside of handlers, too. With one Page, its id may be left out.

        Raises:
            KochavaBotError: There is no such Page in the settings.
        """
        return self._pages.of(page_id)

    @property
    def counts(self) -> Counts:
        """
        Its ``at_risk``: events that were answered 200 but are only in memory, since the store does not work. The other
        counts are those of the middleware.
        """
        return Counts(at_risk=0 if self._inbox is None else self._inbox.at_risk)

    async def start(self) -> None:
        """
        Open the store, start the middlewares, and take over the events that a former process left. Idempotent.

        If one of them fails, those that were started before it are stopped again.

        Raises:
            StoreUnavailable: The store cannot be opened; the message says what to do.
        """
        async with self._start_stop_lock:
            if self._running:
                return
            async with AsyncExitStack() as stack:
                self._inbox = await self._open(stack)
                self._opened = stack.pop_all()
                self._running = True
            if self.settings.tune_gc:
                gc.collect()
                gc.freeze()
                gc.set_threshold(*GC_THRESHOLDS)

    async def stop(self) -> None:
        """
        Let the handlers finish, then stop the middlewares in reverse order. Idempotent.

        Webhooks that arrive meanwhile are refused with 503, so that Facebook delivers them again.
        """
        async with self._start_stop_lock:
            try:
                await self._opened.aclose()
            finally:
                # The inbox stays: it refuses webhooks that still arrive.
                self._running = False
                await self._pages.close()

    async def _open(self, stack: AsyncExitStack) -> Inbox:
        store = self._store()
        # The middleware that provides the store closes it when it stops; this is for a store that could not be opened.
        stack.push_async_callback(store.close)
        await store.open()
        self._chain = compose(layers_of(self._middlewares, "receive"), self._route)
        for middleware in self._middlewares:
            if hasattr(middleware, "stop"):
                stack.push_async_callback(_stop, middleware)
            if hasattr(middleware, "start"):
                await middleware.start()
        warn_if_in_memory(store)
        inbox = Inbox(store=store, dispatch=self._dispatch, settings=self.settings.inbox, clock=self._clock)
        stack.push_async_callback(inbox.stop)
        await inbox.start()
        return inbox

    def _store(self) -> Store:
        for middleware in self._middlewares:
            if hasattr(middleware, "provide_store"):
                provider: StoreProvider = middleware
                return provider.provide_store()
        return MemoryStore(clock=self._clock)

    def verify(self, query: Mapping[str, str]) -> WebhookAnswer:
        """Answer Facebook's verification GET, for servers other than `app()`."""
        return self._webhook.verify(query)

    async def receive(self, raw_body: bytes, headers: Headers) -> WebhookAnswer:
        """
        Answer one webhook POST, for servers other than `app()`. The bot must have been started.

        Raises:
            RegistrationError: *raw_body* is not the bytes that were received, or *headers* is no mapping.
        """
        if not isinstance(raw_body, (bytes, bytearray, memoryview)):
            checked(raw_body, bytes, "pass the body as it was received, since its signature is of these bytes")
        return await self._webhook.receive(raw_body, headers)

    async def receive_parts(self, parts: AsyncIterable[bytes], headers: Headers) -> WebhookAnswer:
        """As `receive`, for a body that is still arriving: no more of it is taken than the settings allow."""
        return await self._webhook.receive_parts(parts, headers)

    def app(self, path: str = "/webhook") -> web.Application:
        """An aiohttp application that serves the webhook at *path*, starts the bot and drains it at shutdown."""
        app = web.Application()
        self.add_to(app, path)
        return app

    def add_to(self, app: web.Application, path: str = "/webhook") -> None:
        """Serve the webhook at *path* of an application of yours."""
        app.router.add_get(path, self._get)
        app.router.add_post(path, self._post)
        app.cleanup_ctx.append(self._started)

    async def _started(self, _app: web.Application) -> AsyncIterator[None]:
        await self.start()
        yield
        await self.stop()

    async def _get(self, request: web.Request) -> web.Response:
        return _response(self.verify(request.query))

    async def _post(self, request: web.Request) -> web.Response:
        # Not `request.read`, whose limit is that of the whole application.
        if (request.content_length or 0) > self.settings.max_body_bytes:
            return _response(self._webhook.too_large())
        content = request.content
        try:
            if content.is_eof():
                # It came with its headers, as it usually does.
                answer = await self.receive(content.read_nowait(), request.headers)
            else:
                answer = await self.receive_parts(content.iter_any(), request.headers)
        except web.RequestPayloadError:
            answer = self._webhook.unreadable()
        response = _response(answer)
        if answer.status == 408:
            # Not even the rest of the body is waited for.
            response.force_close()
        return response

    async def _accept(self, events: Sequence[Event]) -> None:
        if self._inbox is None:
            msg = "start the bot before it receives webhooks: `await bot.start()`, or serve `bot.app()`"
            raise KochavaBotError(msg)
        wanted = [
            event
            for event in events
            if not isinstance(event, ChangeEvent) or event.is_about_advertising or self.router.wants(event)
        ]
        await self._inbox.accept(wanted)

    async def _dispatch(self, handling: Handling) -> None:
        try:
            await self._chain(handling.event)
        except Exception as exc:  # noqa: BLE001
            handling.error = exc
        except BaseException as exc:
            if handling.is_ended_by(exc):
                raise
            # The handler cancelled itself, or awaited something that was cancelled: an error like any other.
            error = RuntimeError(f"the handler ended with {type(exc).__name__}")
            error.__cause__ = exc
            handling.error = error.with_traceback(exc.__traceback__)
        if handling.error is not None:
            await handling.go_on()
            await self._report(handling, handling.error)

    async def _route(self, event: Event) -> Any:
        """The innermost call of the receive chain: run the handler."""
        handling = current_handling()
        route = self.router.find(event)
        if handling is None or route is None or not handling.rerun:
            return None
        handling.handler = route.name
        result = await route.function(event, Reply(self._pages.of_event(event), event))
        handling.handled = True
        return result

    async def _report(self, handling: Handling, error: Exception) -> None:
        log.error("handler_failed: %s raised %s", handling.handler, trail_of(error))
        event = handling.event
        for error_handler in self.router.error_handlers:
            try:
                await error_handler(event, Reply(self._pages.of_event(event), event), error)
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


class PageBots:
    """The `AsyncBot` of each Page of the settings."""

    def __init__(self, settings: BotSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._by_page = {page_id: self._make(page_id, page) for page_id, page in settings.pages.items()}
        token = settings.page_access_token
        self._only = None if token is None else self._make(None, PageSettings(page_access_token=token))

    @property
    def all(self) -> list[AsyncBot]:
        """All of them."""
        return list(self._by_page.values()) if self._only is None else [self._only]

    def of(self, page_id: str | int | None) -> AsyncBot:
        """
        The one of a Page. With one Page, its id may be left out.

        Raises:
            KochavaBotError: There is no such Page in the settings.
        """
        if self._only is not None:
            return self._only
        if page_id is None and len(self._by_page) == 1:
            return next(iter(self._by_page.values()))
        if str(page_id) in self._by_page:
            return self._by_page[str(page_id)]
        wanted = f"no token for Page {page_id!r}: add it to `pages`"
        if page_id is None:
            wanted = "several Pages are set up, so the Page must be named"
        msg = f"{wanted} (known: {', '.join(self._by_page)})"
        raise KochavaBotError(msg)

    def of_event(self, event: Event) -> AsyncBot:
        """
        The one that answers *event*. For an unknown Page, everything it sends raises `KochavaBotError`, so that a
        handler that sends nothing still works.
        """
        try:
            return self.of(event.page_id)
        except KochavaBotError as exc:
            return _UnknownPage(event.page_id, str(exc))

    async def close(self) -> None:
        """Close all sessions."""
        for page_bot in self.all:
            await page_bot.close()

    def _make(self, page_id: str | None, page: PageSettings) -> AsyncBot:
        secret = page.app_secret or self._settings.app_secret
        return AsyncBot(
            page.page_access_token.value,
            app_secret=None if secret is None else secret.value,
            api_version=self._settings.api_version,
            graph_url=page.graph_url or self._settings.graph_url,
            proxy=self._settings.proxy,
            page_id=page_id,
            channel=page.channel,
            addressed_by_id=page.addressed_by_id,
            clock=self._clock,
        )


class _UnknownPage(AsyncBot):
    """Raises for everything that is sent by a Page that is not in the settings."""

    def __init__(self, page_id: str | None, message: str) -> None:
        super().__init__("no-token", page_id=page_id)
        self._message = message

    async def send(self, outgoing: Outgoing) -> NoReturn:
        raise KochavaBotError(self._message)

    async def call(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise KochavaBotError(self._message)
