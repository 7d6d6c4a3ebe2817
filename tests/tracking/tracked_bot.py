"""A middleware with a host of a few lines: it gets events, sends messages, and delivers nothing."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.kochava.records import Engagement, Record, decode
from kochava_bot_middleware.messenger.events import Channel, DeliveryEvent, Event, MessageEvent, PostbackEvent, Referral
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import OUTBOX, Committed, EntryState, Outcome, Queue, Settlement, Unit
from kochava_bot_middleware.tracking.links.provider import LinkProvider
from kochava_bot_middleware.tracking.privacy import Privacy
from kochava_bot_middleware.tracking.recorder import Recorder
from kochava_bot_middleware.tracking.settings import TrackingContext
from kochava_bot_middleware.tracking.timers import GreetingTimers
from tests.fakes import VirtualClock, settle

PAGE_ID = "1001"
USER_ID = "u1"
GREETING = {
    "impression_url": "https://imp.kochava.test/track/impression?campaign_id=kogreet&network_id=1",
    "click_url": "https://control.kochava.test/v1/cpi/click?campaign_id=kogreet&network_id=1",
}
SMARTLINKS = {"default": "https://acme.smart.link/ab12cd34e?url={url}"}


SENT_WITH = {
    Queue.TRACK: (Queue.TRACK, Queue.INSTALL, Queue.LINK, Queue.DELETION),
    Queue.PING: (Queue.PING, Queue.CLICK),
}


class SlowStore(MemoryStore):
    """A store that takes its time, so that whatever runs at the same time meets in it."""

    async def commit(self, unit: Unit) -> Committed:
        await settle(5)
        return await super().commit(unit)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        found = await super().recall(keys)
        await settle(5)
        return found


def state_keys(*kinds: str, user_id: str = USER_ID) -> list[tuple[str, str]]:
    """Lanes and keys of a person's state entries."""
    return [(f"koapp/{user_id}", f"{kind}:koapp:{user_id}") for kind in kinds]


Handler = Callable[[Event], Awaitable[Any]]


async def do_nothing(_event: Event) -> None:
    """A handler that does nothing."""


@attrs.define(kw_only=True)
class TrackedBot:
    """One process with a middleware; `restarted` gives another process on the same store."""

    settings: Mapping[str, Any]
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    store: Store = attrs.field()
    link_provider: LinkProvider | None = None
    kochava: KochavaMiddleware = attrs.field(init=False)
    sent: list[Outgoing] = attrs.field(factory=list)
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)

    @store.default
    def _new_store(self) -> Store:
        return MemoryStore(clock=self.clock)

    @kochava.default
    def _new_middleware(self) -> KochavaMiddleware:
        return KochavaMiddleware.from_dict(
            {"kochava_app_id": "koapp", "store": "memory://", "worker": "separate", **self.settings},
            store=self.store,
            clock=self.clock,
            link_provider=self.link_provider,
        )

    def restarted(self) -> TrackedBot:
        """Another process on the same store."""
        return TrackedBot(settings=self.settings, clock=self.clock, store=self.store, numbers=self._numbers)

    def context(self) -> TrackingContext:
        """What the parts of another process share, for a test of one part by itself."""
        return TrackingContext(self.kochava.settings, store=self.store, clock=self.clock)

    async def end_waits(self) -> None:
        """Let another process end the waits for deliveries that are over."""
        context = self.context()
        recorder = Recorder(context, Privacy(context))
        timers = GreetingTimers(context, recorder)
        timers.start()
        await settle()
        await timers.stop()

    async def handle(self, event: Event, handler: Handler = do_nothing) -> Any:
        """Let *handler* handle *event* beneath the middleware."""
        return await self.kochava.chain_layer.receive(event, handler)

    async def send(
        self,
        body: Any,
        *,
        answer: Mapping[str, Any] | None = None,
        page_id: str | None = PAGE_ID,
        channel: Channel = Channel.MESSENGER,
        **fields: Any,
    ) -> str:
        """Send *body* through the middleware; returns the id Facebook gave the message."""
        mid = f"mid-{next(self._numbers)}"

        async def graph(outgoing: Outgoing) -> Any:
            self.sent.append(outgoing)
            return {"message_id": mid, "recipient_id": outgoing.recipient.user_id} if answer is None else answer

        await self.kochava.chain_layer.send(Outgoing(body=body, page_id=page_id, channel=channel, **fields), graph)
        return mid

    async def records(self, queue: str | None = None) -> list[Record]:
        """
        What waits to be sent, in order of its making: of *queue* and those that belong to it, or first events and what
        is sent with them, then pings.
        """
        # Of other stores it is known within each queue only.
        made = list(self.store._rows) if isinstance(self.store, MemoryStore) else []
        found = []
        for first, queues in SENT_WITH.items():
            if queue in (None, first):
                rows = [row for each in queues for row in await self.store.browse(each, limit=1000)]
                found += sorted(rows, key=lambda row: made.index(row.entry.id) if made else 0)
        return [decode(row.entry.body) for row in found if row.state is not EntryState.DROPPED]

    async def deliver(self) -> list[Record]:
        """Take what waits as delivered, and let two days pass, after which the store has forgotten the ids."""
        delivered = []
        for queue in OUTBOX:
            while claims := await self.store.claim(queue, 100, 60):
                delivered += [decode(claim.entry.body) for claim in claims]
                done = [Settlement(claim=claim, outcome=Outcome.DONE) for claim in claims]
                await self.store.commit(Unit(settlements=done))
        self.clock.stall(2 * 86400.0 + 1)
        await self.store.sweep()
        return delivered

    async def events(self) -> list[tuple[str, Any]]:
        """Name and data of each event."""
        found = await self.records(Queue.TRACK)
        return [(record.event_name, record.event_data) for record in found if isinstance(record, Engagement)]

    async def names(self) -> list[str]:
        """Event name or kind of each record."""
        return [getattr(record, "event_name", record.kind) for record in await self.records()]

    def at(self) -> datetime:
        """Now, as the time of a webhook."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def message(self, text: str = "hello", *, user_id: str | None = USER_ID, **fields: Any) -> MessageEvent:
        """A message of a person."""
        mid = fields.pop("mid", f"in-{next(self._numbers)}")
        page_id = fields.pop("page_id", PAGE_ID)
        return MessageEvent(user_id=user_id, page_id=page_id, mid=mid, text=text, timestamp=self.at(), **fields)

    def postback(self, payload: str = "GET_STARTED", *, user_id: str = USER_ID, **fields: Any) -> PostbackEvent:
        """A tap of a person on a button."""
        raw = {"postback": {"payload": payload}, "number": next(self._numbers)}
        page_id = fields.pop("page_id", PAGE_ID)
        return PostbackEvent(user_id=user_id, page_id=page_id, payload=payload, timestamp=self.at(), raw=raw, **fields)

    def delivery(self, *mids: str, user_id: str = USER_ID, **fields: Any) -> DeliveryEvent:
        """A delivery of messages to a person."""
        return DeliveryEvent(
            user_id=user_id, page_id=PAGE_ID, mids=mids, watermark=self.at(), timestamp=self.at(), **fields
        )


def tracked_bot(clock: VirtualClock | None = None, *, store: Store | None = None, **settings: Any) -> TrackedBot:
    """A process whose middleware has these settings."""
    clock = clock or VirtualClock()
    return TrackedBot(settings=settings, clock=clock, store=store or MemoryStore(clock=clock))


def body_to(user_id: str = USER_ID, text: str = "Welcome!", **recipient: Any) -> dict[str, Any]:
    """A body with one button of each sort."""
    return {
        "recipient": recipient or {"id": user_id},
        "message": {
            "attachment": {
                "type": "template",
                "payload": {
                    "template_type": "button",
                    "text": text,
                    "buttons": [
                        {"type": "web_url", "title": "Show", "url": "https://shop.example/shoes"},
                        {"type": "postback", "title": "Start", "payload": "CHAT"},
                    ],
                },
            }
        },
    }


def url_of(outgoing: Outgoing) -> str:
    """The address of the first button."""
    url: str = outgoing.body["message"]["attachment"]["payload"]["buttons"][0]["url"]
    return url


def referral(ref: str = "flyer", **fields: Any) -> Referral:
    """An m.me link."""
    return Referral(ref=ref, source="SHORTLINK", type="OPEN_THREAD", **fields)
