"""Destinations of records: the settings of requests to Kochava, and which of them apply to a record."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import attrs

from ..settings import InvalidValue, Rule, Secret, both_or_neither, check_rules, http_url, one_of, one_word
from .records import Click, Deletion, IdentityLink, Impression, Ping, Record

EVENT_PATH: Final = "/track/json"
IDENTITY_PATH: Final = "/v1/cpi/identityLink.php"

_SETTING_OF_PATH = {
    EVENT_PATH: "event_url",
    IDENTITY_PATH: "identity_url",
    "/impression": "impression_url",
    "/click": "click_url",
    "/privacy/scrub": "deletion_url",
}
"""How Kochava's addresses end, and the setting that each is for."""

_APP_GUID = re.compile(r"ko[A-Za-z0-9._-]*")


def app_guid(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: the value has the form of an App GUID; ``None`` passes."""
    if value is not None and (not isinstance(value, str) or not _APP_GUID.fullmatch(value)):
        wanted = "an App GUID such as kobotdemo1234, not the app's name: ko, then letters and digits without blanks"
        raise InvalidValue(wanted, value)


def kochava_url(_instance: Any, attribute: Any, value: Any) -> None:
    """An attrs validator: an http(s) address, and not one that Kochava has for another setting; ``None`` passes."""
    http_url(_instance, attribute, value)
    path = "" if value is None else urlsplit(value).path.rstrip("/")
    for ending, name in _SETTING_OF_PATH.items():
        # Whatever is asked in place of Kochava may take all records at one address.
        is_for_all = ending == EVENT_PATH and attribute.name != "base_url"
        if path.endswith(ending) and name != attribute.name and not is_for_all:
            wanted = f"an address for `{attribute.name}`; one that ends with {ending} is for `{name}`"
            raise InvalidValue(wanted, value)


def _header(_instance: Any, _attribute: Any, value: str) -> None:
    if not value.strip() or not value.isascii() or not value.isprintable():
        wanted = "a header in plain ASCII, such as Unknown"
        raise InvalidValue(wanted, value)


@attrs.frozen(kw_only=True)
class TrackerUrls:
    """
    The two addresses of one tracker, as shown by Campaign Manager ("Click & Impression URLs").

    Attributes:
        impression_url: Requested for an impression; ``None``: impressions are not reported.
        click_url: Requested for a click; ``None``: clicks are not reported.
    """

    impression_url: str | None = attrs.field(default=None, validator=kochava_url)
    click_url: str | None = attrs.field(default=None, validator=kochava_url)

    @property
    def is_on(self) -> bool:
        """Whether there is anything to request."""
        return self.impression_url is not None or self.click_url is not None


_NO_TRACKER = TrackerUrls()


@attrs.frozen(kw_only=True)
class WireSettings:
    """
    The form of requests to Kochava, and how its answers are read.

    Attributes:
        base_url: Address of Kochava, without a slash at the end. Kochava's page has http; its own SDKs use https.
        event_url: For events, installs, and identity links of the ``action`` form; by default ``/track/json`` below
            `base_url`.
        identity_url: For identity links of the ``php`` form; by default ``/v1/cpi/identityLink.php`` on the host for
            events: below `base_url`, or on the host of `event_url` if that is given.
        identity_form: ``php`` is the documented endpoint; ``action`` is the form of Kochava's SDKs, with
            `kochava_device_id` alone, which events then have in either profile; ``off``: identities are stored, and
            linked when another form is set.
        profile: ``bot`` is the body of Kochava's bot page plus ``usertime``; ``s2s`` adds what its general
            server-to-server page requires.
        user_agent: The header of every request. Kochava would read that of a client library as the person's device.
        device_ua_encoding: ``raw`` or ``percent``; Kochava's table and sample disagree.
        currency_place: Place of a purchase's currency: ``event_data`` (bot page), ``data`` (general page), ``both``.
        revenue_key: Key of the amount of a Purchase that is given as ``sum`` or ``price``: ``as_given``, ``sum`` (bot
            page), ``price`` (newer pages), ``both``. An event with both keys is not changed.
        api_key: Key of strict authentication; only together with `api_secret`.
        api_secret: Secret of strict authentication.
        sign_identity_links: Also sign the ``php`` form; it is not known whether Kochava checks it.
        success: ``status_and_body``: a 2xx answer is a success unless it says ``"success": false``. ``status``: every
            2xx answer is one. ``explicit``, the rule of Kochava's SDKs: what is sent to `event_url` is taken only if
            the answer says ``"success"`` with ``"1"``, 1 or true, whatever its status; a page of HTML, an empty answer,
            ``{"error": …}`` or more than 64 KiB with a 2xx is an `unknown_answer`.
        unknown_answer: For an answer without a documented meaning (3xx, 404 …): ``retry``, or ``dead`` at once.
        ping_success: Successful answers to an impression or a click: ``2xx_and_3xx``, since a click is answered with a
            redirect, or only ``2xx``; then a 3xx is an `unknown_answer`.
        deletion_url: The whole address of the Data Subject Request API for this app, such as
            ``https://nng.kochava.com/accounts/<account>/apps/<app>/privacy/scrub``; ``None``: not configured.
        deletion_key: Its ``Authentication-Key``.
        deletion_id_types: Names of id types in that API, such as ``{"fb_user_id": "custom"}``.
    """

    base_url: str = attrs.field(default="https://control.kochava.com", validator=kochava_url)
    event_url: str | None = attrs.field(default=None, validator=kochava_url)
    identity_url: str | None = attrs.field(default=None, validator=kochava_url)
    identity_form: str = attrs.field(default="php", validator=one_of("php", "action", "off"))
    profile: str = attrs.field(default="bot", validator=one_of("bot", "s2s"))
    user_agent: str = attrs.field(default="Unknown", validator=_header)
    device_ua_encoding: str = attrs.field(default="raw", validator=one_of("raw", "percent"))
    currency_place: str = attrs.field(default="event_data", validator=one_of("event_data", "data", "both"))
    revenue_key: str = attrs.field(default="as_given", validator=one_of("as_given", "sum", "price", "both"))
    api_key: Secret | None = attrs.field(default=None, validator=one_word)
    api_secret: Secret | None = attrs.field(default=None, validator=one_word)
    sign_identity_links: bool = False
    success: str = attrs.field(default="status_and_body", validator=one_of("status_and_body", "status", "explicit"))
    unknown_answer: str = attrs.field(default="retry", validator=one_of("retry", "dead"))
    ping_success: str = attrs.field(default="2xx_and_3xx", validator=one_of("2xx_and_3xx", "2xx"))
    deletion_url: str | None = attrs.field(default=None, validator=kochava_url)
    deletion_key: Secret | None = attrs.field(default=None, validator=one_word)
    deletion_id_types: Mapping[str, str] = attrs.field(factory=dict)

    RULES: ClassVar[tuple[Rule, ...]] = (
        both_or_neither("api_key", "api_secret"),
        both_or_neither("deletion_url", "deletion_key"),
    )

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    @property
    def event_address(self) -> str:
        """The address for events."""
        return self.event_url or self.base_url.rstrip("/") + EVENT_PATH

    @property
    def identity_address(self) -> str:
        """The address for identity links of the ``php`` form: on the same host as events, unless it is set."""
        if self.identity_url is not None:
            return self.identity_url
        base_url = self.base_url if self.event_url is None else _base_of(self.event_url)
        return base_url.rstrip("/") + IDENTITY_PATH

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All secrets, to mask them in stored answers."""
        return tuple(secret for secret in (self.api_key, self.api_secret, self.deletion_key) if secret is not None)

    def masked(self, text: str, *, is_cut: bool = False) -> str:
        """*text* without the secrets, as they are, in JSON or in an address; nor half of one, if it *is_cut*."""
        for secret in self.secrets:
            for form in (secret.value, json.dumps(secret.value)[1:-1], quote(secret.value, safe="")):
                text = text.replace(form, "…")
                starts = (form[:length] for length in range(len(form) - 1, 0, -1))
                start = next((start for start in starts if is_cut and text.endswith(start)), "")
                text = text.removesuffix(start) + ("…" if start else "")
        return text


@attrs.frozen(kw_only=True)
class Destination:
    """
    One Kochava app, as one Page of the bot uses it.

    Attributes:
        app_id: Kochava's App GUID.
        page_id: The Page of its records; ``None``: every Page without a destination of its own.
        wire: Settings of requests.
        trackers: The addresses of pings, by name of the tracker.
    """

    app_id: str
    page_id: str | None = None
    wire: WireSettings = attrs.field(factory=WireSettings)
    trackers: Mapping[str, TrackerUrls] = attrs.field(factory=dict)

    def address(self, record: Record) -> str | None:
        """The URL for *record* (of a ping, without its parameters); ``None`` when the settings have none."""
        match record:
            case Ping():
                tracker = self.trackers.get(record.tracker, _NO_TRACKER)
                return tracker.click_url if isinstance(record, Click) else tracker.impression_url
            case Deletion():
                return self.wire.deletion_url
            case IdentityLink() if self.wire.identity_form != "action":
                return self.wire.identity_address
            case _:
                return self.wire.event_address

    def hosts(self, queue: str) -> frozenset[str]:
        """The hosts of its records of *queue*."""
        wire, urls = self.wire, list[str | None]()
        match queue:
            case Impression.queue:
                urls += [tracker.impression_url for tracker in self.trackers.values()]
            case Click.queue:
                urls += [tracker.click_url for tracker in self.trackers.values()]
            case Deletion.queue:
                urls.append(wire.deletion_url)
            case IdentityLink.queue if wire.identity_form != "action":
                urls.append(wire.identity_address)
            case _:
                urls.append(wire.event_address)
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
    """All destinations of a worker."""

    def __init__(self, destinations: Iterable[Destination]) -> None:
        self._known = {(each.app_id, each.page_id): each for each in destinations}

    def __iter__(self) -> Iterator[Destination]:
        return iter(self._known.values())

    def resolve(self, record: Record) -> Destination | None:
        """The destination of *record*; ``None`` when no settings apply to it, so that it is left to another worker."""
        found = self._known.get((record.app_id, record.page_id)) or self._known.get((record.app_id, None))
        return found if found is not None and found.address(record) is not None else None
