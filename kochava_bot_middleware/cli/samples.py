"""Records of a person who does not exist, for looking at requests and for trying them out."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

from ..kochava.records import Deletion, Engagement, IdentityLink, Install, Record
from ..messenger.events import Channel
from ..tracking.funnel import Greeting, PingStep
from ..tracking.greeting import ping_of
from ..tracking.people import Person, device_facts
from ..tracking.settings import App

TEST_USER = "kochava-bot-test"
"""The person's id."""

PREFIX = "Test "
"""How the names of all their events begin."""


class SampleKind(enum.StrEnum):
    """Kinds of requests, in the order in which Kochava wants them."""

    INSTALL = "install"
    EVENT = "event"
    IDENTITY = "identity"
    IMPRESSION = "impression"
    CLICK = "click"
    DELETION = "deletion"


async def samples(kind: SampleKind, app: App, *, now: float, new_id: Callable[[], str]) -> list[Record]:
    """
    One or more records of *kind*.

    Args:
        now: Seconds since the epoch.
        new_id: Makes a random id.
    """
    channel = Channel.MESSENGER
    person = Person(user_id=TEST_USER, page_id=app.destination.page_id, channel=channel)
    name = app.name_of(person)
    device, _ = await device_facts(app.device, TEST_USER)
    device_ids = app.identity.device_ids(channel, name)
    page_id, usertime = person.page_id, int(now)

    def event(event_name: str, data: object) -> Engagement:
        return Engagement(
            id=new_id(),
            app_id=app.app_id,
            user_id=name,
            page_id=page_id,
            usertime=usertime,
            event_name=PREFIX + event_name,
            event_data=data,
            device_ids=device_ids,
            extra=device,
        )

    def ping(step: PingStep) -> Record:
        greeting = Greeting(id=new_id(), sent_at=now, handler="greet")
        return ping_of(
            step,
            greeting,
            app.greeting,
            app_id=app.app_id,
            user_id=name,
            person=person,
            at=now,
            device=app.device.personal(device),
        )

    match kind:
        case SampleKind.EVENT:
            purchase = {"id": "test", "name": "Test", "currency": "USD", "sum": 0}
            return [event("Message", {"kind": "message", "channel": str(channel)}), event("Purchase", purchase)]
        case SampleKind.IMPRESSION:
            return [ping(PingStep.IMPRESSION)]
        case SampleKind.CLICK:
            return [ping(PingStep.CLICK)]
        case SampleKind.INSTALL:
            return [
                Install(
                    id=new_id(),
                    app_id=app.app_id,
                    user_id=name,
                    page_id=page_id,
                    usertime=usertime,
                    device_ids=device_ids,
                    extra=device,
                )
            ]
        case SampleKind.IDENTITY:
            return [
                IdentityLink(
                    id=new_id(),
                    app_id=app.app_id,
                    user_id=name,
                    page_id=page_id,
                    usertime=usertime,
                    device_ids=device_ids,
                    identities={"customer_id": TEST_USER},
                )
            ]
        case SampleKind.DELETION:
            return [
                Deletion(
                    id=new_id(),
                    app_id=app.app_id,
                    user_id=name,
                    page_id=page_id,
                    usertime=usertime,
                    device_ids=device_ids,
                )
            ]


def place_of(app: App) -> str:
    """An app and the Page it is for, as a person reads it."""
    page_id = app.destination.page_id
    return f"{app.app_id} (Page {page_id})" if page_id is not None else app.app_id


def distinct(apps: Iterable[App]) -> list[App]:
    """One of those that send alike."""
    kept: list[App] = []
    for app in apps:
        if not any(_sends_alike(app, other) for other in kept):
            kept.append(app)
    return kept


def _sends_alike(one: App, other: App) -> bool:
    same_wire = one.app_id == other.app_id and one.destination.wire == other.destination.wire
    return same_wire and (one.greeting, one.identity, one.device, one.install) == (
        other.greeting,
        other.identity,
        other.device,
        other.install,
    )
