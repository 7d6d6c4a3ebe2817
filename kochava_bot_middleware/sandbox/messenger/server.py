"""A local Messenger that checks what the bot sends as Facebook does, and delivers webhooks of simulated users."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
import attrs
import yarl
from aiohttp import web

from ..local_server import CONTENT, LocalServer
from .browser import Visit, visit
from .edges import EDGES, user_profile
from .graph import NO_MATCHING_USER, WINDOW_CLOSED, GraphRefusal, ReceivedCall, authorize, read_call, refuse_unless
from .marketing import paid_recipient
from .page import APP_ID, SandboxPage
from .rules import RECIPIENT_KEYS, check_send
from .users import SentMessage, SimulatedUser
from .webhooks import MessengerOptions, SentWebhook, WebhookArray, WebhookDelivery, WebhookOutcome, make_webhook

# messenger.md 2, window openers [SND]; 3, `tag` [SAPI].
WINDOW_SECONDS = 24 * 3600
TAGGED_SECONDS = 7 * 24 * 3600
COMMENT = "comment_id"


@attrs.frozen(kw_only=True)
class RefusedCall:
    """
    One call of the Graph API that was answered with an error.

    Attributes:
        path: Of the request.
        body: The decoded body; empty if it could not be read.
        error: The ``error`` object of the answer.
    """

    path: str
    body: Mapping[str, Any]
    error: Mapping[str, Any]


class LocalMessenger(LocalServer):
    """
    Stands in for ``graph.facebook.com`` (set the bot's ``graph_url`` to `url`) and for Facebook's webhooks.

    Attributes:
        sent: Every accepted send, in order, sender actions included.
        refused: Every call that was answered with an error.
        pages: What is kept of each Page, by id.
        hosts: Host names that another local server stands in for when a user opens a link, such as
            ``{"acme.smart.link": kochava.url}``; may be changed. Other hosts are never requested.

    Args:
        app_secret: Signs the webhooks and makes ``appsecret_proof``.
        verify_token: What `verify` sends.
        page_tokens: Page access tokens, and the id of the Page or Instagram account of each.
        instagram_ids: Which of these ids are Instagram accounts.
        echoes: Whether an echo follows each accepted message.
        options: Everything else.
    """

    def __init__(
        self,
        *,
        app_secret: str,
        verify_token: str,
        page_tokens: Mapping[str, str],
        instagram_ids: Collection[str] = (),
        echoes: bool = False,
        options: MessengerOptions | None = None,
    ) -> None:
        self._options = options or MessengerOptions()
        super().__init__(clock=self._options.clock, port=self._options.port)
        self._numbers = itertools.count(self._options.first_number)
        self.sent: list[SentMessage] = []
        self.refused: list[RefusedCall] = []
        self.pages = {
            page_id: SandboxPage(page_id=page_id, instagram=page_id in instagram_ids, numbers=self._numbers)
            for page_id in page_tokens.values()
        }
        self.hosts: dict[str, str] = {}
        self.webhooks = WebhookDelivery(app_secret, self._options)
        self._app_secret = app_secret
        self._verify_token = verify_token
        self._page_tokens = dict(page_tokens)
        self._echoes = echoes

    def settings(self) -> dict[str, Any]:
        """
        The settings with which a `MessengerBot` belongs to the first Page of this server:

        ```python
        MessengerBot.from_dict(messenger.settings())
        ```
        """
        return {
            "page_access_token": next(iter(self._page_tokens)),
            "app_secret": self._app_secret,
            "verify_token": self._verify_token,
            "graph_url": self.url,
        }

    @property
    def webhook_url(self) -> str | None:
        """Where the bot listens; ``None``: nothing is delivered."""
        return self.webhooks.url

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self.webhooks.url = url

    @property
    def acknowledged(self) -> list[WebhookOutcome]:
        """The webhooks that were answered 200, in the order of their acknowledgement."""
        return self.webhooks.acknowledged

    @property
    def abandoned(self) -> list[WebhookOutcome]:
        """The webhooks that were given up."""
        return self.webhooks.abandoned

    def person(self, user_id: str | None = None, *, page_id: str | None = None, **profile: Any) -> SimulatedUser:
        """
        A simulated user of a Page; the same one for the same id.

        Args:
            user_id: PSID or IGSID; ``None`` makes a new user.
            page_id: Which Page; ``None`` for the first.
            **profile: What the User Profile API answers, such as ``first_name``.
        """
        page = self.pages[page_id if page_id is not None else next(iter(self.pages))]
        key = user_id if user_id is not None else str(5_000_000_000_000_000 + next(self._numbers))
        if key not in page.people:
            shown = {"first_name": "Ada", "last_name": "Example", **profile}
            page.people[key] = SimulatedUser(self, key, page.page_id, instagram=page.instagram, profile=shown)
        return page.people[key]

    def join(self, kind: str, value: str, person: SimulatedUser) -> None:
        """Make *person* the recipient of sends to ``{kind: value}``, such as a ``user_ref`` or ``comment_id``."""
        page = self.pages[person.page_id]
        page.joined[kind, value] = person
        if kind == COMMENT:
            page.comments[value] = self.clock.now()

    def next_mid(self) -> str:
        """A new message id."""
        return f"m_{next(self._numbers):08d}"

    async def verify(self, *, verify_token: str | None = None) -> bool:
        """
        Verify the bot's address, as the dashboard does; true if it answers 200 with nothing but the challenge.

        Args:
            verify_token: Another token than the bot's.
        """
        challenge = str(1_158_201_444 + next(self._numbers))
        query = {
            "hub.mode": "subscribe",
            "hub.verify_token": self._verify_token if verify_token is None else verify_token,
            "hub.challenge": challenge,
        }
        url = yarl.URL(self.webhook_url or "").update_query(query)
        timeout = aiohttp.ClientTimeout(total=self._options.answer_within_seconds)
        async with self.webhooks.session().get(url, timeout=timeout, allow_redirects=False) as response:
            return response.status == 200 and await response.read() == challenge.encode()

    async def visit(self, url: str) -> Visit:
        """Open *url* in a browser, which follows redirects as long as they stay on local servers."""
        return await visit(self.webhooks.session(), url, self.hosts)

    async def emit(self, person: SimulatedUser, kind: str, content: Mapping[str, Any]) -> WebhookOutcome | None:
        """Deliver a webhook of *person*; returns when it is acknowledged or abandoned."""
        return await self.webhooks.deliver(self._webhook(person, kind, content))

    async def comment(self, person: SimulatedUser, value: Mapping[str, Any]) -> WebhookOutcome | None:
        """Deliver a comment of *person*, to whom a private reply can then be sent."""
        self.join("comment_id", value["id"], person)
        return await self.webhooks.deliver(self._webhook(person, "comments", {"value": value}, array="changes"))

    async def redeliver_everything(self) -> list[int | None]:
        """Deliver every acknowledged webhook once more, byte for byte, in order; returns the statuses."""
        return [await self.webhooks.post(outcome.webhook) for outcome in tuple(self.acknowledged)]

    async def settled(self) -> None:
        """Wait until no delivery or echo webhook is under way."""
        await self.webhooks.settled()

    async def stop(self) -> None:
        await super().stop()
        await self.webhooks.close()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=30 * 1024**2)
        for path in (r"/{version:v\d+\.\d+}/{node}", r"/{version:v\d+\.\d+}/{node}/{edge:.+}"):
            application.router.add_route("*", path, self._graph)
        return application

    async def _graph(self, request: web.Request) -> web.Response:
        body: Mapping[str, Any] = {}
        try:
            call = await read_call(request)
            body = call.body
            CONTENT.set(call.content)
            return web.json_response(self._serve(call))
        except GraphRefusal as refusal:
            answer = refusal.body(f"A{next(self._numbers):010x}")
            self.refused.append(RefusedCall(path=request.path, body=body, error=answer["error"]))
            return web.json_response(answer, status=400)

    def _serve(self, call: ReceivedCall) -> dict[str, Any]:
        require_proof = self._options.require_proof
        page = self.pages[authorize(call, self._page_tokens, self._app_secret, require_proof=require_proof)]
        own_nodes = (page.page_id,) if self._options.requires_ids else ("me", page.page_id)
        if call.node.startswith("act_"):
            return self._send_paid(call, page)
        if not call.edge and call.node not in own_nodes:
            return user_profile(call, page)
        if call.node not in own_nodes:
            msg = f"Unsupported {call.method.lower()} request. Object with ID '{call.node}' does not exist"
            raise GraphRefusal(msg, subcode=33, kind="GraphMethodException")
        if not call.edge:
            return {"id": page.page_id, "name": "Example Shop"}
        if (call.method, call.edge) == ("POST", "messages"):
            return self._send(call, page)
        if (call.method, call.edge) == ("GET", "thread_owner"):
            owner = page.thread_owners.get(str(call.field("recipient")), APP_ID)
            return {"data": [{"thread_owner": {"app_id": owner}}] if owner else []}
        edge = EDGES.get((call.method, call.edge))
        if edge is None:
            msg = f"Unknown path components: /{call.edge}"
            raise GraphRefusal(msg, code=2500)
        return edge(call, page)

    def _send(self, call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
        body = call.content
        check_send(body, page, has_file=call.has_file)
        name = next(name for name in RECIPIENT_KEYS if body["recipient"].get(name))
        person = self._reach(page, name, str(body["recipient"][name]), body)
        # messenger.md 3, response [SAPI, SACT].
        answer: dict[str, Any] = {} if name == "user_ref" else {"recipient_id": person.user_id}
        mid = None if "sender_action" in body else self.next_mid()
        sent = SentMessage(mid=mid, page_id=page.page_id, user_id=person.user_id, body=body, at=self.clock.now())
        self.sent.append(sent)
        if mid is None:
            return answer
        person.receive(sent)
        self._announce(person, sent, mid)
        return {**answer, "message_id": mid, **self._kept(sent, page)}

    def _send_paid(self, call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
        person = paid_recipient(call, page, self.clock.now())
        mid, tracking_id = self.next_mid(), str(uuid.uuid4())
        body = call.content
        sent = SentMessage(mid=mid, page_id=page.page_id, user_id=person.user_id, body=body, at=self.clock.now())
        self.sent.append(sent)
        person.receive(sent)
        if self._options.deliveries:
            receipt: dict[str, Any] = {"recipient_id": person.user_id, "page_id": page.page_id, "mid": mid}
            receipt |= {"timestamp": int(self.clock.now()), "marketing_message_tracking_id": tracking_id}
            change = self._webhook(person, "marketing_message_deliveries", receipt, array="changes")
            self.webhooks.deliver_later(change)
        return {"success": True, "marketing_message_tracking_id": tracking_id}

    def _kept(self, sent: SentMessage, page: SandboxPage) -> dict[str, str]:
        payload = sent.payload
        if "order_number" in payload:
            page.order_numbers.add(payload["order_number"])
        # messenger.md 3, response [SAV].
        if payload.get("is_reusable") is not True:
            return {}
        attachment_id = page.new_id()
        page.attachment_ids.add(attachment_id)
        return {"attachment_id": attachment_id}

    def _reach(self, page: SandboxPage, name: str, value: str, body: Mapping[str, Any]) -> SimulatedUser:
        person = page.people.get(value) if name == "id" else page.joined.get((name, value))
        if person is None:
            msg = "No matching user found"
            raise GraphRefusal(msg, subcode=NO_MATCHING_USER)
        if name == "id":
            # messenger.md 3, `messaging_type` and `tag` [SAPI]: a missing type is tolerated.
            is_tagged = body.get("tag") and body.get("messaging_type") in (None, "MESSAGE_TAG")
            limit = TAGGED_SECONDS if is_tagged else WINDOW_SECONDS
            last = person.last_action_at
            refuse_unless(
                body.get("messaging_type") == "UTILITY" or (last is not None and self.clock.now() - last <= limit),
                "This message is sent outside of allowed window.",
                code=10,
                subcode=WINDOW_CLOSED,
            )
        if name == COMMENT and "sender_action" not in body:
            # messenger.md 6, private reply [IGPR].
            at = page.comments.pop(value, None)
            is_open = at is not None and self.clock.now() - at <= TAGGED_SECONDS
            refuse_unless(is_open, "A comment can have one private reply, within 7 days.", code=10)
        return person

    def _announce(self, person: SimulatedUser, sent: SentMessage, mid: str) -> None:
        if self._echoes:
            self.webhooks.deliver_later(self._webhook(person, "echo", _echo(person, sent, mid)))
        # messenger.md 2, delivery [DLV]; 6, delivery [WH]: Instagram has none.
        if self._options.deliveries and not person.instagram:
            delivery: dict[str, Any] = {"watermark": int(self.clock.now() * 1000)}
            if self._options.delivery_mids:
                delivery["mids"] = [mid]
            self.webhooks.deliver_later(self._webhook(person, "delivery", {"delivery": delivery}))

    def _webhook(
        self, person: SimulatedUser, kind: str, content: Mapping[str, Any], *, array: WebhookArray = "messaging"
    ) -> SentWebhook:
        return make_webhook(
            kind,
            content,
            page_id=person.page_id,
            user_id=person.user_id,
            instagram=person.instagram,
            now=self.clock.now(),
            array=array,
        )


def _echo(person: SimulatedUser, sent: SentMessage, mid: str) -> dict[str, Any]:
    """The members of an echo: the message as it was sent. That of Instagram has no ``app_id``."""
    # messenger.md 2, echo [ECHO]; 6, echo [IGWH].
    echo: dict[str, Any] = {"mid": mid, "is_echo": True}
    if not person.instagram:
        echo["app_id"] = int(APP_ID)
    for name in ("text", "metadata"):
        if name in sent.message:
            echo[name] = sent.message[name]
    if "attachment" in sent.message:
        echo["attachments"] = [sent.message["attachment"]]
    return {"message": echo}
