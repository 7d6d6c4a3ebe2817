"""`MessageSender`: credentials, the send chain, and calls of the Graph API."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import attrs

from ..chain import Layer, Next, check_middleware, compose, layers_of
from ..clock import Clock, SystemClock
from ..exceptions import SendError
from ..proxies import ENVIRONMENT, proxy_setting
from ..settings import Secret
from .events import Channel
from .graph.client import Graph, GraphCall
from .outgoing import Endpoint, Notification, Outgoing, SendKeywords, SendOptions

DEFAULT_API_VERSION: Final = "v26.0"
FACEBOOK_GRAPH_URL: Final = "https://graph.facebook.com"


_ME: Final = re.compile(r"^(/?(?:v[0-9.]+/)?)me(?=[/?]|$)")


def normal_version(api_version: str | float) -> str:
    """``v26.0`` from ``26``, ``26.0``, ``"26.0"`` or ``"v26.0"``."""
    found = re.fullmatch(r"[vV]?([0-9]+)(\.[0-9]+)?", str(api_version))
    if found is None:
        msg = f"api_version must be a version such as v26.0, got {api_version!r}"
        raise ValueError(msg)
    return f"v{found[1]}{found[2] or '.0'}"


def _access_token(token: str | Secret) -> str:
    value = _plain_text("access_token", token)
    if value.split() != [value]:
        msg = "the access token is empty or contains white space"
        raise ValueError(msg)
    return value


def _app_secret(secret: str | Secret | None) -> str | None:
    return None if secret is None else _plain_text("app_secret", secret)


def _plain_text(name: str, secret: object) -> str:
    if isinstance(secret, Secret):
        return secret.value
    if not isinstance(secret, str):
        # The message does not contain the value, since bytes would be a secret, too.
        msg = f"{name} must be text, got {type(secret).__name__}"
        raise TypeError(msg)
    return secret


def _tuple(middlewares: Sequence[object]) -> tuple[object, ...]:
    return tuple(middlewares)


@attrs.define(slots=False, eq=False, repr=False, on_setattr=attrs.setters.NO_OP)
class MessageSender:
    """
    Sends through the Graph API. What a person will see passes `send`, and with it the send chain, exactly once.

    Attributes:
        access_token: May be replaced at any time; the next call uses the new one.
        app_secret: May be replaced at any time.
        api_version: Such as ``v26.0``.
        graph_url: Address including the version, as in pymessenger.
        page_id: The Page or Instagram account that sends. If ``None``, a `Reply` uses that of its event, and for other
            messages settings by Page apply only if a middleware can determine the Page.
        channel: The platform that delivers.
        addressed_by_id: Calls name `page_id` in their path in place of ``me``, as tokens of *Unified Login* need it.
        proxy: ``environment`` (``HTTPS_PROXY``, ``NO_PROXY`` and so on), ``none``, or an address. A `session` that is
            given has its own.
        raise_errors: Also raise errors in the methods that pymessenger has.
    """

    access_token: str = attrs.field(converter=_access_token)
    app_secret: str | None = attrs.field(default=None, converter=_app_secret)
    api_version: str = attrs.field(default=DEFAULT_API_VERSION, converter=normal_version)
    graph_url: str = FACEBOOK_GRAPH_URL
    page_id: str | None = attrs.field(default=None, kw_only=True)
    channel: Channel = attrs.field(default=Channel.MESSENGER, kw_only=True)
    addressed_by_id: bool = attrs.field(default=False, kw_only=True)
    raise_errors: bool = attrs.field(default=False, kw_only=True)
    _proxy: str = attrs.field(default=ENVIRONMENT, validator=proxy_setting, kw_only=True)
    _timeout_seconds: float = attrs.field(default=20.0, kw_only=True)
    _session: aiohttp.ClientSession | None = attrs.field(default=None, kw_only=True)
    _middlewares: tuple[object, ...] = attrs.field(default=(), converter=_tuple, kw_only=True)
    _clock: Clock | None = attrs.field(default=None, kw_only=True)
    _rng: random.Random | None = attrs.field(default=None, kw_only=True)
    _graph: Graph = attrs.field(init=False)
    _chain: Next[Outgoing, Any] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.graph_url.startswith(("https://", "http://")):
            msg = f"graph_url must begin with https:// or http://, got {self.graph_url!r}"
            raise ValueError(msg)
        if self.addressed_by_id and not self.page_id:
            msg = f"addressed_by_id needs page_id, the id of the Page or Instagram account, got {self.page_id!r}"
            raise ValueError(msg)
        self.graph_url = f"{self.graph_url.rstrip('/')}/{self.api_version}"
        self._graph = Graph(
            self.graph_url,
            timeout_seconds=self._timeout_seconds,
            clock=self._clock or SystemClock(),
            rng=self._rng or random.Random(),  # noqa: S311  only for the jitter of waits
            session=self._session,
            proxy=self._proxy,
        )
        self._chain = self._deliver
        given, self._middlewares = self._middlewares, ()
        for middleware in given:
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
        """Close the HTTP sessions that were opened here. A session given by the caller stays open."""
        await self._graph.close()

    @property
    def node(self) -> str:
        """The Page or account in the paths of calls; ``me`` is that of the token."""
        return quote(str(self.page_id), safe="") if self.addressed_by_id else "me"

    @property
    def middlewares(self) -> tuple[object, ...]:
        """The middlewares added, outermost first."""
        return self._middlewares

    def add_middleware(self, middleware: object) -> None:
        """
        Add *middleware* inside of those added before.

        Raises:
            RegistrationError: It cannot be used as a middleware.
        """
        check_middleware(middleware)
        self._middlewares = (*self._middlewares, middleware)
        layers: list[Layer[Outgoing, Any]] = layers_of(self._middlewares, "send")
        self._chain = compose(layers, self._deliver)

    async def send(self, outgoing: Outgoing) -> Any:
        """
        Pass *outgoing* through the send chain to the Graph API.

        Returns:
            Facebook's decoded answer, or the result of a middleware that did not call the Graph API.

        Raises:
            SendError: The subclass says what the caller can do.
        """
        return await self._chain(outgoing)

    async def send_raw(
        self,
        payload: Mapping[str, Any],
        *,
        creative: str | None = None,
        greeting: bool = False,
        tracker: str | None = None,
    ) -> Any:
        """
        Send a whole Send API body as it is.

        Args:
            creative: Name of the creative shown, for tracking; not part of the body.
            greeting: The message is a greeting; not part of the body.
            tracker: Name of the greeting's tracker, which makes the message a greeting; not part of the body.
        """
        return await self._answer(
            self._outgoing(Endpoint.MESSAGES, payload, creative=creative, greeting=greeting, tracker=tracker)
        )

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Call the Graph API directly, without the send chain: for what no person will see.

        Args:
            path: Below the version, such as ``me/thread_owner``; with `addressed_by_id`, ``me`` becomes the id.
            params: Query parameters; the token is added as a header.

        Raises:
            SendError: The subclass says what the caller can do.
        """
        return await self._call(GraphCall(method=method, path=self._own_path(path), params=params or {}, body=body))

    async def _answer(self, outgoing: Outgoing) -> Any:
        """`send` as in pymessenger: an error answered by Facebook is returned, unless `raise_errors`."""
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
        return await self.send_raw(options.applied_to(payload), **options.tracking)

    def _outgoing(self, endpoint: Endpoint, body: Any, **fields: Any) -> Outgoing:
        return Outgoing(endpoint=endpoint, body=body, page_id=self.page_id, channel=self.channel, **fields)

    async def _deliver(self, outgoing: Outgoing) -> Any:
        # Each request of a batch names its own path.
        path = "" if outgoing.endpoint == Endpoint.BATCH else f"{outgoing.node or self.node}/{outgoing.endpoint}"
        call = GraphCall(
            method=outgoing.method, path=path, params=outgoing.params, body=outgoing.body, upload=outgoing.upload
        )
        return await self._call(call)

    def _own_path(self, path: str) -> str:
        """*path* with the id in place of ``me`` at its beginning, where that is needed."""
        return _ME.sub(rf"\g<1>{self.node}", path) if self.addressed_by_id else path

    async def _call(self, call: GraphCall) -> Any:
        return await self._graph.call(call, access_token=self.access_token, proof=self._token_proof())

    def _token_proof(self) -> str | None:
        """The ``appsecret_proof``: HMAC-SHA256 of the token with the app secret as key, in hexadecimal."""
        if self.app_secret is None:
            return None
        return hmac.new(self.app_secret.encode(), self.access_token.encode(), hashlib.sha256).hexdigest()
