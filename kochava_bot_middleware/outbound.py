"""
What happens to a message on its way out: its links become SmartLinks, and a greeting is watched.

User and Page come from the send itself; the handling tells only the cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .apps import App
from .handling import Handling, current_handling
from .messenger.outgoing import Endpoint, Outgoing
from .tracking.funnel import Sent
from .tracking.funnel_signals import offers_of
from .tracking.identity import Person, record_id
from .tracking.rewriting import Rewritten, context_of, rewrite

_greeting: ContextVar[str | None] = ContextVar("kochava_bot_greeting", default=None)


@contextmanager
def greeting_run() -> Iterator[None]:
    """
    Mark all that is sent within as one greeting. Outside of handling it marks nothing.
    """
    handling = current_handling()
    # Made from the cause, so that a second run after a crash is the same greeting.
    greeting = None if handling is None else record_id("greeting", handling.event.page_id, handling.event.key)
    token = _greeting.set(greeting)
    try:
        yield
    finally:
        _greeting.reset(token)


def rewritten(outgoing: Outgoing, app: App, handling: Handling | None) -> Rewritten:
    """
    The body of *outgoing* with SmartLinks.
    """
    referral = None if handling is None else handling.event.referral
    context = context_of(
        outgoing,
        handler=None if handling is None else handling.handler,
        ref=None if referral is None else referral.ref,
        ad_id=None if referral is None else referral.ad_id,
    )
    return rewrite(outgoing.body, app.links, context, endpoint=outgoing.endpoint)


def is_greeting(outgoing: Outgoing) -> bool:
    """
    Whether the caller or its handler marked the message as a greeting.
    """
    return outgoing.greeting or (_greeting.get() is not None and current_handling() is not None)


def greeting_sent(
    outgoing: Outgoing, answer: Any, began_at: float, app: App, handling: Handling | None
) -> tuple[Person, Sent] | None:
    """
    What the funnel must know of a greeting that was sent, or ``None`` when nobody can have seen it.

    Args:
        answer: Facebook's.
        began_at: When the call began, in seconds since the epoch.
    """
    told = answer if isinstance(answer, Mapping) else {}
    user_id = outgoing.recipient.user_id or told.get("recipient_id")
    has_message = isinstance(outgoing.body, Mapping) and outgoing.body.get("message") is not None
    if outgoing.endpoint != Endpoint.MESSAGES or not has_message or user_id is None or "error" in told:
        return None
    mid = told.get("message_id")
    person = Person(user_id=str(user_id), page_id=outgoing.page_id, channel=outgoing.channel)
    run = None if handling is None else _greeting.get()
    sent = Sent(
        at=began_at,
        mid=mid,
        greeting=run or record_id(app.app_id, "greeting", user_id, mid or str(began_at)),
        offers=offers_of(outgoing.body),
        handler=None if handling is None else handling.handler,
        creative=outgoing.creative,
    )
    return person, sent
