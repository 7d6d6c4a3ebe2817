"""Records of a user who does not exist, to show requests and to try them out."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

from ..kochava.records import GREETING, Deletion, Engagement, IdentityLink, Install, Record, Session
from ..messenger.events import Channel
from ..tracking.funnel import Greeting, PingStep
from ..tracking.greeting import ping_of
from ..tracking.people import Person, device_facts
from ..tracking.settings import App

TEST_USER = "kochava-bot-test"
"""The user's id."""

PREFIX = "Test "
"""The beginning of the names of all their events."""


class SampleKind(enum.StrEnum):
    """Kinds of requests, in the order in which Kochava wants them."""

    INSTALL = "install"
    SESSION = "session"
    EVENT = "event"
    IDENTITY = "identity"
    IMPRESSION = "impression"
    CLICK = "click"
    DELETION = "deletion"


async def samples(kind: SampleKind, app: App, *, now: float, new_id: Callable[[], str]) -> list[Record]:
    """One or more records of *kind*."""
    channel = Channel.MESSENGER
    person = Person(user_id=TEST_USER, page_id=app.destination.page_id, channel=channel)
    name = app.name_of(person)
    device, _ = await device_facts(app.device, TEST_USER)
    common: dict[str, Any] = {
        "app_id": app.app_id,
        "user_id": name,
        "page_id": person.page_id,
        "usertime": int(now),
        "device_ids": {app.identity.key_of(person): name},
    }

    def event(event_name: str, data: object) -> Record:
        name = PREFIX + event_name
        return Engagement(id=new_id(), event_name=name, event_data=data, extra=device, **common)

    def pings(step: PingStep) -> list[Record]:
        """One of each tracker that has anything to request, else one of the default tracker."""
        trackers = [tracker for tracker, urls in app.destination.trackers.items() if urls.is_on] or [GREETING]
        return [
            ping_of(
                step,
                Greeting(id=new_id(), sent_at=now, last_sent_at=now, tracker=tracker, handler="greet"),
                app.greeting,
                app_id=app.app_id,
                user_id=name,
                user_key=app.identity.key_of(person),
                person=person,
                at=now,
                device=app.device.personal(device),
            )
            for tracker in trackers
        ]

    match kind:
        case SampleKind.EVENT:
            purchase = {"id": "test", "name": "Test", "currency": "USD", "sum": 0}
            return [event("Message", {"kind": "message", "channel": str(channel)}), event("Purchase", purchase)]
        case SampleKind.IMPRESSION:
            return pings(PingStep.IMPRESSION)
        case SampleKind.CLICK:
            return pings(PingStep.CLICK)
        case SampleKind.INSTALL:
            return [Install(id=new_id(), extra=device, **common)]
        case SampleKind.SESSION:
            return [Session(id=new_id(), extra=device, **common)]
        case SampleKind.IDENTITY:
            return [IdentityLink(id=new_id(), identities={"customer_id": TEST_USER}, **common)]
        case SampleKind.DELETION:
            return [Deletion(id=new_id(), **common)]


def app_label(app: App) -> str:
    """An app and the Page it is for, as printed."""
    page_id = app.destination.page_id
    return f"{app.app_id} (Page {page_id})" if page_id is not None else app.app_id


def sent_settings(app: App) -> tuple[object, ...]:
    """The settings that decide what is sent of a user."""
    return app.app_id, app.destination.wire, app.greeting, app.identity, app.device, app.install


def distinct(apps: Iterable[App], part: Callable[[App], object] = sent_settings) -> list[App]:
    """The first app of those for which *part* is equal."""
    kept: list[App] = []
    for app in apps:
        if all(part(app) != part(other) for other in kept):
            kept.append(app)
    return kept
