"""
What happens to a message on its way out: its links become SmartLinks, and a greeting is watched.

User and Page come from the send itself; the handling tells only the cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

from ..handling import Handling, current_handling
from ..incidents import Incidents
from ..messenger.events import Channel, Event
from ..messenger.links.body import iter_links
from ..messenger.outgoing import Endpoint, Outgoing
from ..telemetry.counts import Tally
from .app_links import AppLinks
from .apps import App, Apps
from .funnel import Sent, offers_of
from .greeting import mark_of
from .people import Person, record_id
from .privacy import Privacy
from .recording import Recorder
from .referral import facts_of
from .rewriting import Rewritten, context_of, rewrite
from .told import Unaddressed

_greeting: ContextVar[tuple[Handling, str] | None] = ContextVar("kochava_bot_greeting", default=None)


@contextmanager
def greeting_run() -> Iterator[None]:
    """Mark all that is sent within as one greeting. Outside of handling it marks nothing."""
    handling = current_handling()
    # Made from the cause, so that a second run after a crash is the same greeting.
    greeting = (
        None if handling is None else (handling, record_id("greeting", handling.event.page_id, handling.event.key))
    )
    token = _greeting.set(greeting)
    try:
        yield
    finally:
        _greeting.reset(token)


def rewritten(outgoing: Outgoing, links: AppLinks, handling: Handling | None) -> Rewritten:
    """The body of *outgoing* with SmartLinks."""
    referral = None if handling is None else handling.event.referral
    context = context_of(
        attrs.evolve(outgoing, creative=creative_of(outgoing)),
        handler=None if handling is None else handling.handler,
        ref=None if referral is None else referral.ref,
        ad_id=None if referral is None else referral.ad_id,
    )
    return rewrite(outgoing.body, links, context, endpoint=outgoing.endpoint)


def is_greeting(outgoing: Outgoing) -> bool:
    """Whether the caller, its handler, or a mark on the body says that the message is a greeting."""
    if outgoing.greeting or mark_of(outgoing.body) is not None:
        return True
    return _current_run() is not None


def people_named(outgoing: Outgoing) -> set[str]:
    """Ids of everybody whose id a link of *outgoing* might carry."""
    user_id = outgoing.recipient.user_id
    named = set() if user_id is None else {user_id}
    if outgoing.endpoint == Endpoint.BATCH:
        named |= {site.user_id for site in iter_links(outgoing.body, endpoint=outgoing.endpoint) if site.user_id}
    return named


def greeting_sent(
    outgoing: Outgoing, answer: Any, began_at: float, app: App, handling: Handling | None
) -> tuple[Person, Sent] | Unaddressed | None:
    """
    What the funnel must know of a greeting that was sent, or ``None`` when nobody can have seen it.

    Args:
        answer: Facebook's.
        began_at: When the call began, in seconds since the epoch.
    """
    told = answer if isinstance(answer, Mapping) else {}
    has_message = isinstance(outgoing.body, Mapping) and outgoing.body.get("message") is not None
    if outgoing.endpoint != Endpoint.MESSAGES or not has_message or "error" in told:
        return None
    recipient = outgoing.recipient
    user_id = recipient.user_id or _text(told.get("recipient_id"))
    mid = _text(told.get("message_id"))
    # Of somebody else than the recipient, the handled event tells nothing.
    cause = handling.event if handling is not None and handling.event.user_id == user_id else None
    sent = Sent(
        at=began_at,
        mid=mid,
        greeting=_greeting_id(outgoing, app, mid or str(began_at)),
        offers=offers_of(outgoing.body),
        handler=None if handling is None else handling.handler,
        creative=creative_of(outgoing),
        referral={} if cause is None else facts_of(cause.referral),
    )
    if user_id is not None:
        return Person(user_id=user_id, page_id=outgoing.page_id, channel=outgoing.channel), sent
    names = [f"mid:{mid}" if mid else None, f"user_ref:{recipient.user_ref}" if recipient.user_ref else None]
    joined_by = tuple(name for name in names if name is not None)
    return Unaddressed(page_id=outgoing.page_id, names=joined_by, sent=sent) if joined_by else None


def creative_of(outgoing: Outgoing) -> str | None:
    """Name of the creative: of the send, or of the mark on its body."""
    mark = mark_of(outgoing.body)
    return outgoing.creative or (None if mark is None else mark.creative)


def _current_run() -> str | None:
    """Id of the greeting that the current handling is; ``None`` also for a task that it left behind."""
    run = _greeting.get()
    return None if run is None or run[0] is not current_handling() else run[1]


def _greeting_id(outgoing: Outgoing, app: App, told: str) -> str:
    recipient = outgoing.recipient
    return _current_run() or record_id(app.app_id, "greeting", recipient.user_id or recipient.user_ref, told)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


class SendTracker:
    """
    The send direction of one middleware.

    Args:
        test_users: Ids of people whose links carry no id.
        asks_provider: SmartLinks may come from a `LinkProvider`.
    """

    def __init__(
        self,
        *,
        apps: Apps,
        privacy: Privacy,
        recorder: Recorder,
        incidents: Incidents,
        tally: Tally,
        test_users: tuple[str, ...],
        asks_provider: bool,
    ) -> None:
        self._apps = apps
        self._privacy = privacy
        self._recorder = recorder
        self._incidents = incidents
        self._tally = tally
        self._test_users = frozenset(test_users)
        self._asks_provider = asks_provider
        self._pages: dict[Channel, set[str]] = {}

    def saw(self, event: Event) -> None:
        """Learn from *event* which Pages this bot has."""
        if event.page_id is not None:
            self._pages.setdefault(event.channel, set()).add(event.page_id)

    def of_page(self, outgoing: Outgoing) -> Outgoing:
        """
        *outgoing* with the Page that sends it. Of a bot that was made without a Page's id, that is the one whose
        webhooks came to this process on the same channel; ``None`` as long as there was none, or more than one.
        """
        pages = self._pages.get(outgoing.channel, set())
        if outgoing.page_id is not None or len(pages) != 1:
            return outgoing
        return attrs.evolve(outgoing, page_id=next(iter(pages)))

    async def rewritten(self, outgoing: Outgoing) -> Outgoing:
        """*outgoing* with SmartLinks, or as it is when something goes wrong."""
        app = self._apps.of(outgoing.page_id)
        if not app.links.is_active:
            return outgoing
        try:
            if self._asks_provider:
                await self._prepare(outgoing, app)
            result = rewritten(outgoing, app.links, current_handling())
            # Looked up only when there is a link that names somebody: it may cost a round trip to the store.
            if result.changed and app.links.names_people and await self._is_nameless(outgoing, app):
                result = rewritten(outgoing, app.nameless_links, current_handling())
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("links_not_rewritten", reason=type(exc).__name__)
            return outgoing
        self._tally.links_rewritten += result.changed
        self._tally.links_left_alone.update(result.left_alone)
        return attrs.evolve(outgoing, body=result.body) if result.changed else outgoing

    async def watch(self, outgoing: Outgoing, answer: Any, began_at: float, handling: Handling | None) -> None:
        """
        Let the funnel know when what was sent is a greeting.

        Args:
            answer: Facebook's.
            began_at: When the call began, in seconds since the epoch.
            handling: The cause, as it was then.
        """
        app = self._apps.of(outgoing.page_id)
        if not app.greeting.is_on or not is_greeting(outgoing):
            return
        try:
            await self._watch(outgoing, answer, began_at, app, handling)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("greeting_not_watched", reason=type(exc).__name__)

    async def _prepare(self, outgoing: Outgoing, app: App) -> None:
        sites = iter_links(outgoing.body, endpoint=outgoing.endpoint, text_links=app.links.text_links)
        await app.links.prepare({site.url for site in sites if site.keep is None})

    async def _is_nameless(self, outgoing: Outgoing, app: App) -> bool:
        for user_id in people_named(outgoing):
            if user_id in self._test_users or await self._privacy.is_barred(app, user_id):
                return True
        return False

    async def _watch(
        self, outgoing: Outgoing, answer: Any, began_at: float, app: App, handling: Handling | None
    ) -> None:
        told = greeting_sent(outgoing, answer, began_at, app, handling)
        if told is None:
            return
        if isinstance(told, Unaddressed):
            # Written at once: the delivery that joins it to the person may already be on its way.
            alone = self._recorder.alone()
            alone.unaddressed(told)
            await self._recorder.commit(alone)
            return
        recording = self._recorder.current() or self._recorder.alone()
        recording.signal(*told)
        if recording.handling is None:
            await self._recorder.commit(recording)
