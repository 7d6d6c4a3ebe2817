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

from ..messenger.links import iter_links
from ..messenger.outgoing import Endpoint, Outgoing
from ..receiving.handling import Handling, current_handling
from ..tracking.app_links import AppLinks
from ..tracking.funnel import Sent
from ..tracking.funnel_signals import offers_of
from ..tracking.greeting import mark_of
from ..tracking.identity import Person, record_id
from ..tracking.referral import facts_of
from ..tracking.rewriting import Rewritten, context_of, rewrite
from .apps import App
from .told import Unaddressed

_greeting: ContextVar[tuple[Handling, str] | None] = ContextVar("kochava_bot_greeting", default=None)


@contextmanager
def greeting_run() -> Iterator[None]:
    """
    Mark all that is sent within as one greeting. Outside of handling it marks nothing.
    """
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
    """
    The body of *outgoing* with SmartLinks.
    """
    referral = None if handling is None else handling.event.referral
    context = context_of(
        attrs.evolve(outgoing, creative=creative_of(outgoing)),
        handler=None if handling is None else handling.handler,
        ref=None if referral is None else referral.ref,
        ad_id=None if referral is None else referral.ad_id,
    )
    return rewrite(outgoing.body, links, context, endpoint=outgoing.endpoint)


def is_greeting(outgoing: Outgoing) -> bool:
    """
    Whether the caller, its handler, or a mark on the body says that the message is a greeting.
    """
    if outgoing.greeting or mark_of(outgoing.body) is not None:
        return True
    return _current_run() is not None


def people_named(outgoing: Outgoing) -> set[str]:
    """
    Ids of everybody whose id a link of *outgoing* might carry.
    """
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
    """
    Name of the creative: of the send, or of the mark on its body.
    """
    mark = mark_of(outgoing.body)
    return outgoing.creative or (None if mark is None else mark.creative)


def _current_run() -> str | None:
    """
    Id of the greeting that the current handling is; ``None`` also for a task that it left behind.
    """
    run = _greeting.get()
    return None if run is None or run[0] is not current_handling() else run[1]


def _greeting_id(outgoing: Outgoing, app: App, told: str) -> str:
    recipient = outgoing.recipient
    return _current_run() or record_id(app.app_id, "greeting", recipient.user_id or recipient.user_ref, told)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
