"""Greetings: their settings, how a handler or a body is marked as one, and their pings."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

from ..handling import Handling, current_handlings
from ..kochava.destination import TrackerUrls, kochava_url
from ..kochava.records import GREETING, Click, Impression, whole_text
from ..kochava.smartlink_settings import AUTO
from ..messenger.outgoing import Outgoing
from ..settings import InvalidValue, at_least, not_empty, one_of
from .funnel import Greeting, PingStep
from .people import Person, record_id

PLACEHOLDERS = (
    "user_id",
    "page_id",
    "channel",
    "handler",
    "creative",
    "tracker",
    "greeting",
    "ref",
    "source",
    "ad_id",
)
"""What a ping's parameter may hold in braces."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def _params(_instance: Any, _attribute: Any, params: Mapping[str, str]) -> None:
    for template in params.values():
        for name in _PLACEHOLDER.findall(template):
            if name not in PLACEHOLDERS:
                wanted = "placeholders among " + ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
                raise InvalidValue(wanted, f"{{{name}}}")


def _trackers(_instance: Any, _attribute: Any, trackers: Mapping[str, TrackerUrls]) -> None:
    for name in trackers:
        if not name.strip() or not name.isprintable():
            wanted = "names of trackers, such as spring"
            raise InvalidValue(wanted, name)
        if name == GREETING:
            wanted = "another name: the addresses of the tracker `greeting` stand beside `trackers`, not in it"
            raise InvalidValue(wanted, name)


def _refs(_instance: Any, _attribute: Any, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not pattern.strip():
            wanted = "patterns of refs, such as poster-*"
            raise InvalidValue(wanted, pattern)


def filled(template: str, facts: Mapping[str, str]) -> str:
    """*template* with its placeholders replaced; empty when all of them are."""
    names = _PLACEHOLDER.findall(template)
    if names and not any(facts.get(name) for name in names):
        return ""
    return _PLACEHOLDER.sub(lambda match: facts.get(match[1], ""), template)


@attrs.frozen(kw_only=True)
class GreetingSettings:
    """
    When a greeting counts, and its trackers. A parameter whose name is ``None`` is left out.

    Kochava documents no parameter for a bot's user, and its partners' names for the others differ, so all are settable.
    What the pasted address has already wins over a parameter of the same name.

    Attributes:
        impression_url: From Kochava's Campaign Manager, for greetings that name no tracker; ``None``: their impressions
            are not pinged.
        click_url: Likewise, for their clicks.
        trackers: Further trackers by name, for ``@kochava.greeting(tracker="spring")``.
        window_seconds: One impression and one click a person and tracker within this time.
        no_click_after_refs: Patterns of the ``ref`` of entry SmartLinks, in which ``*`` matches anything: a person who
            came by one of them within `window_seconds` before gives no click, since Kochava has that of the SmartLink,
            and the last click wins.
        delivery_wait_seconds: Where no delivery event can be expected, a greeting that Facebook took counts as shown
            after this time; ``None``: it never does.
        delivery_events: Whether to expect delivery events: ``auto`` expects them of a Messenger Page that has sent one
            within a week, ``expected`` of every Messenger Page, ``absent`` of none. Instagram has none.
        user_param: Parameter for the person's id. ``auto``: named as in events, which differs by channel.
        impression_id_param: Parameter for an impression's own stable id.
        click_id_param: Parameter for a click's own stable id.
        site_id_param: Parameter for the Page.
        sub_site_id_param: Parameter for the channel.
        creative_id_param: Parameter for the creative's name, where one is given.
        ref_param: Parameter for the ``ref`` that led the person here.
        source_param: Parameter for that referral's source.
        ad_id_param: Parameter for that referral's ad.
        ip_param: Parameter for the person's IP address, where `DeviceSettings` knows it. Never this server's own: many
            clicks from one address look like fraud.
        device_ua_param: Parameter for the person's user agent, where `DeviceSettings` knows it.
        params: Further parameters, with placeholders: ``{user_id}``, ``{page_id}``, ``{channel}``, ``{handler}``,
            ``{creative}``, ``{tracker}``, ``{greeting}``, ``{ref}``, ``{source}``, ``{ad_id}``.
    """

    impression_url: str | None = attrs.field(default=None, validator=kochava_url)
    click_url: str | None = attrs.field(default=None, validator=kochava_url)
    trackers: Mapping[str, TrackerUrls] = attrs.field(factory=dict, validator=_trackers)
    window_seconds: float = attrs.field(default=86400.0, validator=at_least(0, exclusive=True))
    no_click_after_refs: tuple[str, ...] = attrs.field(default=(), validator=_refs)
    delivery_wait_seconds: float | None = attrs.field(default=60.0, validator=at_least(0))
    delivery_events: str = attrs.field(default="auto", validator=one_of("auto", "expected", "absent"))
    user_param: str | None = attrs.field(default=AUTO, validator=not_empty)
    impression_id_param: str | None = attrs.field(default="impression_id", validator=not_empty)
    click_id_param: str | None = attrs.field(default="click_id", validator=not_empty)
    site_id_param: str | None = attrs.field(default="site_id", validator=not_empty)
    sub_site_id_param: str | None = attrs.field(default="sub_site_id", validator=not_empty)
    creative_id_param: str | None = attrs.field(default="creative_id", validator=not_empty)
    ref_param: str | None = attrs.field(default="referral_from", validator=not_empty)
    source_param: str | None = attrs.field(default="referral_source", validator=not_empty)
    ad_id_param: str | None = attrs.field(default="referral_ad_id", validator=not_empty)
    ip_param: str | None = attrs.field(default="ip_address", validator=not_empty)
    device_ua_param: str | None = attrs.field(default="device_ua", validator=not_empty)
    params: Mapping[str, str] = attrs.field(factory=dict, validator=_params)

    @functools.cached_property
    def all_trackers(self) -> Mapping[str, TrackerUrls]:
        """Each tracker by name."""
        return {GREETING: TrackerUrls(impression_url=self.impression_url, click_url=self.click_url), **self.trackers}

    @property
    def is_on(self) -> bool:
        """Whether there is anything to ping."""
        return any(tracker.is_on for tracker in self.all_trackers.values())

    def is_entry(self, ref: str) -> bool:
        """Whether *ref* is that of an entry SmartLink whose click is enough."""
        return any(fnmatch.fnmatchcase(ref, pattern) for pattern in self.no_click_after_refs)


class GreetingBody(dict[str, Any]):
    """A Send API body, or its ``message``, that is a greeting. On the wire it is the object it was made from."""

    creative: str | None = None
    tracker: str | None = None


def marked(body: Mapping[str, Any], creative: str | None = None, tracker: str | None = None) -> GreetingBody:
    """A copy of *body* that counts as a greeting when it is sent."""
    greeting = GreetingBody(body)
    greeting.creative, greeting.tracker = creative, tracker
    message = body.get("message")
    if isinstance(message, Mapping):
        # Some senders put their own object around the message.
        greeting["message"] = marked(message, creative, tracker)
    return greeting


def mark_of(body: Any) -> GreetingBody | None:
    """The mark on a body or on its message, if there is one."""
    if isinstance(body, GreetingBody):
        return body
    message = body.get("message") if isinstance(body, Mapping) else None
    return message if isinstance(message, GreetingBody) else None


@attrs.define(kw_only=True, eq=False)
class HandlerGreeting:
    """
    The greeting that a handler is.

    Attributes:
        handlings: Its cause, or what may be its cause.
        creative: Of those sends that name none.
        tracker: Likewise.
        is_sent: A message of it has passed the middleware.
    """

    handlings: Sequence[Handling]
    creative: str | None = None
    tracker: str | None = None
    is_sent: bool = False

    @staticmethod
    def id_in(handling: Handling) -> str:
        """Made from the cause, so that a second run after a crash is the same greeting."""
        return record_id("greeting", handling.event.page_id, handling.event.key)


_current: ContextVar[HandlerGreeting | None] = ContextVar("kochava_bot_greeting", default=None)


@contextmanager
def as_greeting(creative: str | None = None, tracker: str | None = None) -> Iterator[HandlerGreeting | None]:
    """Mark all that is sent within as one greeting. Outside of handling it marks nothing, and gives ``None``."""
    handlings = current_handlings()
    greeting = HandlerGreeting(handlings=handlings, creative=creative, tracker=tracker) if handlings else None
    token = _current.set(greeting)
    try:
        yield greeting
    finally:
        _current.reset(token)


def current_greeting() -> HandlerGreeting | None:
    """The greeting that the current handling is; ``None`` also for a task that outlives it."""
    greeting = _current.get()
    handlings = current_handlings()
    is_current = greeting is not None and bool(handlings) and all(each in greeting.handlings for each in handlings)
    return greeting if is_current else None


def creative_of(outgoing: Outgoing) -> str | None:
    """Name of the creative: of the send, of the mark on its body, or of the greeting handler."""
    creative = outgoing.creative or next((each.creative for each in _marks_of(outgoing) if each.creative), None)
    return creative and whole_text(creative)


def tracker_of(outgoing: Outgoing) -> str:
    """Name of the tracker, as for the creative."""
    return outgoing.tracker or next((each.tracker for each in _marks_of(outgoing) if each.tracker), GREETING)


def _marks_of(outgoing: Outgoing) -> Iterator[GreetingBody | HandlerGreeting]:
    """What else says of *outgoing* that it is a greeting, the nearest first."""
    for mark in (mark_of(outgoing.body), current_greeting()):
        if mark is not None:
            yield mark


def ping_of(
    step: PingStep,
    greeting: Greeting,
    settings: GreetingSettings,
    *,
    app_id: str,
    user_id: str,
    user_key: str,
    person: Person,
    at: float,
    device: Mapping[str, str],
) -> Impression | Click:
    """The ping of one step; *user_id* is the person's id as it may leave, and *user_key* its name in events."""
    made, id_param = (
        (Impression, settings.impression_id_param) if step is PingStep.IMPRESSION else (Click, settings.click_id_param)
    )
    # The same greeting has the same ids, so that a second run of its handler is recorded once.
    ping_id = record_id(app_id, user_id, step, greeting.id)
    facts = {
        "user_id": user_id,
        "page_id": person.page_id or "",
        "channel": person.channel.value,
        "handler": greeting.handler or "",
        "creative": greeting.creative or "",
        "tracker": "" if greeting.tracker == GREETING else greeting.tracker,
        "greeting": greeting.id,
        **{name: greeting.referral.get(name, "") for name in ("ref", "source", "ad_id")},
    }
    params: dict[str | None, str] = {
        settings.site_id_param: facts["page_id"],
        settings.sub_site_id_param: facts["channel"],
        settings.creative_id_param: facts["creative"],
        settings.ref_param: facts["ref"],
        settings.source_param: facts["source"],
        settings.ad_id_param: facts["ad_id"],
        settings.ip_param: device.get("origination_ip", ""),
        settings.device_ua_param: device.get("device_ua", ""),
        user_key if settings.user_param == AUTO else settings.user_param: facts["user_id"],
        id_param: ping_id,
        **{name: filled(template, facts) for name, template in settings.params.items()},
    }
    return made(
        id=ping_id,
        app_id=app_id,
        user_id=user_id,
        page_id=person.page_id,
        usertime=int(at),
        tracker=greeting.tracker,
        params={name: value for name, value in params.items() if name is not None and value},
    )
