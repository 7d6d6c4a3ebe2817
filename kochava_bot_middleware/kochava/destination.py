"""Where records go: the settings of Kochava's wire, and which of them apply to a record."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import attrs

from ..settings import InvalidValue, Rule, Secret, both_or_neither, check_rules, http_url, one_of
from .records import Click, Deletion, IdentityLink, Impression, Ping, Record

EVENT_PATH: Final = "/track/json"
IDENTITY_PATH: Final = "/v1/cpi/identityLink.php"


def _header(_instance: Any, _attribute: Any, value: str) -> None:
    if not value.strip() or not value.isascii() or not value.isprintable():
        wanted = "a header in plain ASCII, such as Unknown"
        raise InvalidValue(wanted, value)


@attrs.frozen(kw_only=True)
class Tracker:
    """
    The two addresses that Campaign Manager shows for one tracker ("Click & Impression URLs"), pasted as they are.

    Attributes:
        impression_url: Hit when it was shown; ``None``: impressions are not told.
        click_url: Hit when it was clicked; ``None``: clicks are not told.
    """

    impression_url: str | None = attrs.field(default=None, validator=http_url)
    click_url: str | None = attrs.field(default=None, validator=http_url)


@attrs.frozen(kw_only=True)
class WireSettings:
    """
    How requests to Kochava look, and how its answers are read.

    Attributes:
        base_url: Where Kochava is, without a slash at the end. Kochava's page prints http; its own SDKs use https.
        event_url: Takes events, installs, and identity links of the ``action`` form; by default ``/track/json`` below
            `base_url`.
        identity_url: Takes identity links of the ``php`` form; by default ``/v1/cpi/identityLink.php`` where events go:
            below `base_url`, or on the host of an `event_url` that is given.
        identity_form: ``php`` is the documented endpoint; ``action`` what Kochava's SDKs do, by `kochava_device_id`
            alone, which events then have in either profile; ``off``: identities are remembered, and linked once another
            form is set.
        profile: ``bot`` is the body of Kochava's bot page plus ``usertime``; ``s2s`` adds what its general
            server-to-server page requires.
        user_agent: The header of every request. A client library's own would be read as the person's device.
        device_ua_encoding: ``raw`` or ``percent``; Kochava's table and sample disagree.
        currency_place: Where a purchase's currency goes: ``event_data`` (bot page), ``data`` (general page), ``both``.
        revenue_key: Under which key a Purchase's amount goes, whichever of ``sum`` and ``price`` it was given under:
            ``as_given``, ``sum`` (bot page), ``price`` (newer pages), ``both``. One with both keys stays as it is.
        api_key: Of strict authentication, with `api_secret`; both or neither.
        api_secret: See `api_key`.
        sign_identity_links: Sign the ``php`` form as well; unknown whether Kochava checks it there.
        success: ``status_and_body``: a 2xx answer that says ``"success": false`` is a rejection. ``status``: every 2xx
            answer is a delivery.
        unknown_answer: What a status without a documented meaning (3xx, 404 …) says about a record: ``retry``, or
            ``dead`` at once.
        ping_success: Which answers count an impression or a click: ``2xx_and_3xx``, since a click is answered with a
            redirect, or ``2xx`` alone; then a 3xx is an `unknown_answer`.
        trackers: By name; ``greeting`` is the greeting's.
        deletion_url: The whole address of the Data Subject Request API for this app, such as
            ``https://nng.kochava.com/accounts/<account>/apps/<app>/privacy/scrub``; ``None``: not configured.
        deletion_key: Its ``Authentication-Key``.
        deletion_id_types: Other names for id types there, such as ``{"fb_user_id": "custom"}``.
    """

    base_url: str = attrs.field(default="https://control.kochava.com", validator=http_url)
    event_url: str | None = attrs.field(default=None, validator=http_url)
    identity_url: str | None = attrs.field(default=None, validator=http_url)
    identity_form: str = attrs.field(default="php", validator=one_of("php", "action", "off"))
    profile: str = attrs.field(default="bot", validator=one_of("bot", "s2s"))
    user_agent: str = attrs.field(default="Unknown", validator=_header)
    device_ua_encoding: str = attrs.field(default="raw", validator=one_of("raw", "percent"))
    currency_place: str = attrs.field(default="event_data", validator=one_of("event_data", "data", "both"))
    revenue_key: str = attrs.field(default="as_given", validator=one_of("as_given", "sum", "price", "both"))
    api_key: Secret | None = None
    api_secret: Secret | None = None
    sign_identity_links: bool = False
    success: str = attrs.field(default="status_and_body", validator=one_of("status_and_body", "status"))
    unknown_answer: str = attrs.field(default="retry", validator=one_of("retry", "dead"))
    ping_success: str = attrs.field(default="2xx_and_3xx", validator=one_of("2xx_and_3xx", "2xx"))
    trackers: Mapping[str, Tracker] = attrs.field(factory=dict)
    deletion_url: str | None = attrs.field(default=None, validator=http_url)
    deletion_key: Secret | None = None
    deletion_id_types: Mapping[str, str] = attrs.field(factory=dict)

    RULES: ClassVar[tuple[Rule, ...]] = (
        both_or_neither("api_key", "api_secret"),
        both_or_neither("deletion_url", "deletion_key"),
    )

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    @property
    def event_address(self) -> str:
        """Where events go."""
        return self.event_url or self.base_url.rstrip("/") + EVENT_PATH

    @property
    def identity_address(self) -> str:
        """Where identity links of the ``php`` form go: never to another host than events, unless that is set."""
        if self.identity_url is not None:
            return self.identity_url
        base_url = self.base_url if self.event_url is None else _base_of(self.event_url)
        return base_url.rstrip("/") + IDENTITY_PATH

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secrets, so that they can be masked in what is kept of an answer."""
        return tuple(secret for secret in (self.api_key, self.api_secret, self.deletion_key) if secret is not None)


@attrs.frozen(kw_only=True)
class Destination:
    """
    One Kochava app, as one Page of the bot uses it.

    Attributes:
        app_id: Kochava's App GUID.
        page_id: The Page whose records it takes; ``None``: those of every Page that has no destination of its own.
        wire: How to talk to it.
    """

    app_id: str
    page_id: str | None = None
    wire: WireSettings = attrs.field(factory=WireSettings)

    def address(self, record: Record) -> str | None:
        """The URL that takes *record* (of a ping: before its parameters); ``None`` when the settings have none."""
        match record:
            case Ping():
                return self._tracker_url(record)
            case Deletion():
                return self.wire.deletion_url
            case IdentityLink() if self.wire.identity_form != "action":
                return self.wire.identity_address
            case _:
                return self.wire.event_address

    def _tracker_url(self, record: Ping) -> str | None:
        tracker = self.wire.trackers.get(record.tracker, Tracker())
        match record:
            case Impression():
                return tracker.impression_url
            case Click():
                return tracker.click_url
            case _:
                return None

    def hosts(self, queue: str) -> frozenset[str]:
        """The hosts that its records of *queue* go to, those of the rare identity links and deletions left out."""
        if queue != Ping.queue:
            return frozenset({host_of(self.wire.event_address)})
        urls = [url for each in self.wire.trackers.values() for url in (each.impression_url, each.click_url)]
        return frozenset(host_of(url) for url in urls if url is not None)


@functools.lru_cache(maxsize=256)
def _base_of(event_url: str) -> str:
    if event_url.endswith(EVENT_PATH):
        return event_url.removesuffix(EVENT_PATH)
    parts = urlsplit(event_url)
    return f"{parts.scheme}://{parts.netloc}"


@functools.lru_cache(maxsize=256)
def host_of(url: str) -> str:
    """Host and port of a URL, without credentials."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


class Destinations:
    """All destinations that a worker knows."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._known = {(each.app_id, each.page_id): each for each in destinations}

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._known.values())

    def resolve(self, record: Record) -> Destination | None:
        """Where *record* goes; ``None`` when no settings here apply to it, so that it is left for another worker."""
        found = self._known.get((record.app_id, record.page_id)) or self._known.get((record.app_id, None))
        return found if found is not None and found.address(record) is not None else None
