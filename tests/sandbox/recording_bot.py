"""A bot that records its webhooks, and settings of a local Messenger for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from kochava_bot_middleware.sandbox.local_server import LocalServer
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from tests.fakes import VirtualClock

APP_SECRET = "app-secret"
TOKEN = "page-token"
PAGE = "1111"


class RecordingBot(LocalServer):
    """Records every webhook and answers with `statuses`, then with 200."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock())
        self.raw: list[bytes] = []
        self.signatures: list[str] = []
        self.statuses: list[int] = []
        self.challenge_answer: str | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of all webhooks, in order of arrival."""
        return [item for raw in self.raw for entry in json.loads(raw)["entry"] for item in entry["messaging"]]

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/webhook", self._webhook)
        application.router.add_get("/webhook", self._verify)
        return application

    async def _webhook(self, request: web.Request) -> web.Response:
        self.raw.append(await request.read())
        self.signatures.append(request.headers["X-Hub-Signature-256"])
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def _verify(self, request: web.Request) -> web.Response:
        if request.query["hub.verify_token"] != "verify-token":
            return web.Response(status=403)
        return web.Response(text=self.challenge_answer or request.query["hub.challenge"])


MakeMessenger = Callable[..., LocalMessenger]
