"""What every sending object has in common: credentials, the send chain, and the way to the Graph API."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from ..chain import Layer, Next, check_middleware, compose, layers_of
from ..clock import Clock, SystemClock
from ..exceptions import SendError
from ..settings import Secret
from .events import Channel
from .graph.client import Graph, GraphCall, PageCredentials
from .outgoing import Endpoint, Outgoing
from .send_options import Notification, SendKeywords, SendOptions

DEFAULT_API_VERSION: Final = "v26.0"
FACEBOOK_GRAPH_URL: Final = "https://graph.facebook.com"
INSTAGRAM_GRAPH_URL: Final = "https://graph.instagram.com"
"""For tokens of Instagram Login; a Page-linked Instagram account is reached through Facebook's."""


class MessageSender:
    """
    Everything a person will see passes `send`, and with it the send chain, exactly once; look-ups go through `call`.

    Attributes:
        access_token: May be replaced at any time; the next call uses it.
        app_secret: Likewise.
        api_version: Such as ``v26.0``.
        graph_url: Address with the version, as pymessenger has it.
        page_id: The Page or Instagram account that sends, if told. Without it, a `Reply` names the event's, and all
            else names none: settings by Page then apply as far as a middleware can tell the Page.
        channel: Which platform delivers.
        raise_errors: Methods that pymessenger has raise, too.
    """

    def __init__(
        self,
        access_token: str | Secret,
        app_secret: str | Secret | None = None,
        api_version: str | float = DEFAULT_API_VERSION,
        graph_url: str = FACEBOOK_GRAPH_URL,
        *,
        page_id: str | None = None,
        channel: Channel = Channel.MESSENGER,
        timeout_seconds: float = 20.0,
        raise_errors: bool = False,
        session: aiohttp.ClientSession | None = None,
        middlewares: Sequence[object] = (),
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.access_token = _plain_text("access_token", access_token)
        if self.access_token.split() != [self.access_token]:
            msg = "the access token is empty or holds white space"
            raise ValueError(msg)
        self.app_secret = None if app_secret is None else _plain_text("app_secret", app_secret)
        self.api_version = normal_version(api_version)
        if not graph_url.startswith(("https://", "http://")):
            msg = f"graph_url begins with https:// or http://, got {graph_url!r}"
            raise ValueError(msg)
        self.graph_url = f"{graph_url.rstrip('/')}/{self.api_version}"
        self.page_id = page_id
        self.channel = channel
        self.raise_errors = raise_errors
        self._graph = Graph(
            self.graph_url,
            timeout_seconds=timeout_seconds,
            clock=clock or SystemClock(),
            rng=rng or random.Random(),  # noqa: S311  it only spreads waits
            session=session,
        )
        self._middlewares: tuple[object, ...] = ()
        self._chain: Next[Outgoing, Any] = self._deliver
        for middleware in middlewares:
            self.add_middleware(middleware)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} page_id={self.page_id!r} channel={self.channel.value!r} at {self.graph_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the HTTP sessions made here; a session given from outside stays open. A later call opens a new one."""
        await self._graph.close()

    @property
    def middlewares(self) -> tuple[object, ...]:
        """The middlewares added, outermost first."""
        return self._middlewares

    def add_middleware(self, middleware: object) -> None:
        """
        Put *middleware* inside of those added before.

        Raises:
            RegistrationError: It could never work as a middleware.
        """
        check_middleware(middleware)
        self._middlewares = (*self._middlewares, middleware)
        layers: list[Layer[Outgoing, Any]] = layers_of(self._middlewares, "send")
        self._chain = compose(layers, self._deliver)

    async def send(self, outgoing: Outgoing) -> Any:
        """
        Hand *outgoing* through the send chain to the Graph API.

        Returns:
            Facebook's decoded answer, or what a middleware gave instead.

        Raises:
            SendError: One of its subclasses, by what the caller can do.
        """
        return await self._chain(outgoing)

    async def send_raw(self, payload: Mapping[str, Any], *, creative: str | None = None, greeting: bool = False) -> Any:
        """
        Send a whole Send API body as it is.

        Args:
            creative: Name of what is shown, for tracking; not part of the body.
            greeting: What is shown counts as a greeting; not part of the body.
        """
        marks = SendOptions(creative=creative, greeting=greeting).marks
        return await self._answer(self._outgoing(Endpoint.MESSAGES, payload, **marks))

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Call the Graph API directly, past the send chain: for what no person will see.

        Args:
            path: Below the version, such as ``me/thread_owner``.
            params: Query parameters; the token is added as a header.

        Raises:
            SendError: One of its subclasses, by what the caller can do.
        """
        call = GraphCall(method=method, path=path, params=params or {}, body=body)
        return await self._graph.call(call, self._credentials())

    async def _answer(self, outgoing: Outgoing) -> Any:
        """`send` with pymessenger's contract: an error that Facebook answered is returned, unless `raise_errors`."""
        try:
            return await self.send(outgoing)
        except SendError as error:
            if self.raise_errors or not error.body:
                raise
            return dict(error.body)

    async def _send_raw_with(
        self, payload: Mapping[str, Any], notification_type: Notification, keywords: SendKeywords
    ) -> Any:
        options = SendOptions.of(keywords, notification_type=notification_type)
        return await self.send_raw(options.applied_to(payload), **options.marks)

    def _outgoing(self, endpoint: Endpoint, body: Any, **fields: Any) -> Outgoing:
        return Outgoing(endpoint=endpoint, body=body, page_id=self.page_id, channel=self.channel, **fields)

    async def _deliver(self, outgoing: Outgoing) -> Any:
        # `me` is the Page or account that the token belongs to. A batch names a path for each of its requests.
        path = "" if outgoing.endpoint == Endpoint.BATCH else f"me/{outgoing.endpoint}"
        call = GraphCall(
            method=outgoing.method, path=path, params=outgoing.params, body=outgoing.body, upload=outgoing.upload
        )
        return await self._graph.call(call, self._credentials())

    def _credentials(self) -> PageCredentials:
        return PageCredentials(access_token=self.access_token, app_secret=self.app_secret)


def normal_version(api_version: str | float) -> str:
    """
    ``v26.0`` from ``26``, ``26.0``, ``"26.0"`` or ``"v26.0"``.

    Raises:
        ValueError: It is no version.
    """
    found = re.fullmatch(r"[vV]?([0-9]+)(\.[0-9]+)?", str(api_version))
    if found is None:
        msg = f"api_version is wanted as a version such as v26.0, got {api_version!r}"
        raise ValueError(msg)
    return f"v{found[1]}{found[2] or '.0'}"


def _plain_text(name: str, secret: object) -> str:
    if isinstance(secret, Secret):
        return secret.value
    if not isinstance(secret, str):
        # What was given is never told: bytes would be a secret, too.
        msg = f"{name} is wanted as a text, got {type(secret).__name__}"
        raise TypeError(msg)
    return secret
