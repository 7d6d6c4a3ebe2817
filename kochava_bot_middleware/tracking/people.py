"""The person a record is about: their id, their identities, their device, and whether they are new."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs

from ..chain import takes
from ..exceptions import Violation
from ..hooks import call_hook
from ..messenger.events import Channel, Event, PostbackEvent
from ..settings import InvalidValue, Rule, check_rules, not_empty, one_of

REMEMBERED_HASHES = 10_000
"""Each event of a person needs the same hash."""


@attrs.define(kw_only=True)
class Person:
    """
    The person a record is about.

    Attributes:
        user_id: PSID, IGSID or `user_ref`.
        page_id: The Page they wrote to; ``None`` when unknown.
        channel: Where.
        is_hashed: `user_id` is the keyed hash under which Kochava knows the person.
        is_by_reference: It is a `user_ref`, and no PSID.
        is_assumed: Nobody said where they are: what was recorded of them before decides.
        is_by_device_id: No id of Messenger or Instagram is known: `user_id` is as of `name_of_device_id`.
    """

    user_id: str
    page_id: str | None = None
    channel: Channel = Channel.MESSENGER
    is_hashed: bool = False
    is_by_reference: bool = False
    is_assumed: bool = False
    is_by_device_id: bool = False


def person_of(event: Event) -> Person | None:
    """The person *event* is about; ``None`` when it names nobody."""
    if not event.user_id:
        return None
    return Person(
        user_id=event.user_id,
        page_id=event.page_id,
        channel=event.channel,
        is_by_reference=event.is_by_reference,
    )


def record_id(*parts: str | int | None) -> str:
    """A stable id: the same parts give the same id, in every process and after every restart."""
    material = "\x1f".join(["" if part is None else str(part) for part in parts])
    return hashlib.blake2b(material.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@functools.lru_cache(maxsize=REMEMBERED_HASHES)
def keyed_hash(key: str, text: str) -> str:
    """Hex HMAC-SHA256."""
    # Unlike `hmac.digest`, this does not release the GIL, which a busy event loop would wait to get back.
    return hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def usertime_of(timestamp: datetime | None, now: float) -> int:
    """When it happened, in whole seconds: the webhook's time, or *now* when that is missing or in the future."""
    if timestamp is None:
        return int(now)
    return int(min(timestamp.timestamp(), now))


def one_parameter(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: a callable can be called with one argument; what is not callable passes."""
    if callable(value) and not takes(value, 1):
        raise InvalidValue(wanted="a callable of one argument", got=value)


# Identities


@attrs.frozen(kw_only=True)
class IdentitySettings:
    """
    The names under which a person's ids are sent to Kochava.

    A page-scoped id (PSID) is not the app-scoped id of Facebook Login: the same person has another id for each Page,
    each app, and on Instagram.

    Attributes:
        messenger_device_id_key: Member of ``device_ids`` for a PSID.
        instagram_device_id_key: Member of ``device_ids`` for an Instagram-scoped id.
        user_ref_device_id_key: Member of ``device_ids`` for the `user_ref` of a plugin or of a marketing message, which
            is no PSID. Once Facebook names both of a person, they are linked.
        messenger_link_key: The same of an identity link; ``None``: as in events. Kochava's page on identity links
            writes ``fb_userid`` where its bot page writes ``fb_user_id``.
        instagram_link_key: Likewise.
        identities_in_events: Names of identities that, once linked, are also members of every event's ``device_ids``.
        identify_on_linking: A callable of an account-linking event, plain or async, that gives the identities to link,
            or ``None``.
        wait_for_first_record: An identity link of a person without a record at Kochava waits for their first one, since
            Kochava would not join it.
    """

    messenger_device_id_key: str = attrs.field(default="fb_user_id", validator=not_empty)
    instagram_device_id_key: str = attrs.field(default="ig_user_id", validator=not_empty)
    user_ref_device_id_key: str = attrs.field(default="fb_user_ref", validator=not_empty)
    messenger_link_key: str | None = attrs.field(default=None, validator=not_empty)
    instagram_link_key: str | None = attrs.field(default=None, validator=not_empty)
    identities_in_events: tuple[str, ...] = ()
    identify_on_linking: Callable[[Any], Any] | None = attrs.field(default=None, validator=one_parameter)
    wait_for_first_record: bool = True

    def key_of(self, person: Person) -> str:
        """The name of the person's own id, wherever it is sent."""
        if person.is_by_reference:
            return self.user_ref_device_id_key
        return self.messenger_device_id_key if person.channel is Channel.MESSENGER else self.instagram_device_id_key

    @property
    def keys_by_channel(self) -> Mapping[str, str]:
        """The names of PSIDs and Instagram-scoped ids."""
        return {Channel.MESSENGER: self.messenger_device_id_key, Channel.INSTAGRAM: self.instagram_device_id_key}

    @property
    def own_keys(self) -> frozenset[str]:
        """The names of ids of Messenger and Instagram."""
        return frozenset({*self.keys_by_channel.values(), self.user_ref_device_id_key})

    def link_key_of(self, person: Person) -> str:
        """The name of the person's own id in identity links."""
        key = self.messenger_link_key if person.channel is Channel.MESSENGER else self.instagram_link_key
        return self.key_of(person) if key is None or person.is_by_reference else key


def clean_identities(identities: Any) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """The members that can be linked, and (key, reason) of the others."""
    if not isinstance(identities, Mapping):
        return {}, (("", "is not a mapping"),)
    clean: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for key, value in identities.items():
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(key, str) or not key.strip() or not key.isprintable():
            problems.append((f"(a key of type {type(key).__name__})", "is not a name"))
        elif not isinstance(text, str) or not text.strip():
            problems.append((key[:100], "has no text as value"))
        elif not encodable(key + text):
            problems.append((key[:100], "holds half a character (a lone surrogate)"))
        else:
            clean[key] = text
    return clean, tuple(problems)


def encodable(text: str) -> bool:
    """Whether *text* can be written at all: half a character, a lone surrogate, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Device

Fact = str | Callable[[str], Any] | None
"""A value for everybody, or a callable of the person's id, plain or async; ``None`` leaves it out."""


def _per_person(_instance: Any, _attribute: Any, value: Fact) -> None:
    if isinstance(value, str) and value:
        wanted = "a callable of the person's id, since one text for everybody would make all of them one"
        raise InvalidValue(wanted, value)


@attrs.frozen(kw_only=True)
class DeviceSettings:
    """
    Facts of the person's device, each a value or a callable of the person's id. Messenger gives a bot none of them.

    Attributes:
        origination_ip: The person's IP address; must not be hashed. Never this server's. Pings carry it only if it
            comes from a callable, since many clicks from one address look like fraud.
        device_ua: Their browser's user agent. Without one, `device_ver` should be given. In pings as the address.
        device_ver: ``model-OS-version``, such as ``iPhone-iOS-13.6.0``.
        kochava_device_id: Stable and unique a person, so never one text for everybody; must never change later. The
            ``s2s`` profile takes the person's id by default; an empty text sends it empty.
        nt_id: Kochava's SDKs number their payloads with it; the ``s2s`` profile takes the record's id by default. Not
            one text for everybody either.
        app_version: Of the bot.
    """

    origination_ip: Fact = attrs.field(default=None, validator=one_parameter)
    device_ua: Fact = attrs.field(default=None, validator=one_parameter)
    device_ver: Fact = attrs.field(default=None, validator=one_parameter)
    kochava_device_id: Fact = attrs.field(default=None, validator=[_per_person, one_parameter])
    nt_id: Fact = attrs.field(default=None, validator=[_per_person, one_parameter])
    app_version: Fact = attrs.field(default=None, validator=one_parameter)

    @functools.cached_property
    def is_given(self) -> bool:
        """Whether any fact is set, for anybody."""
        return self != DeviceSettings()

    def personal(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Those of *facts* that are of one person: a callable gave them."""
        return {name: value for name, value in facts.items() if callable(getattr(self, name))}


async def device_facts(settings: DeviceSettings, user_id: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    The facts that are known of a person, by callables only if *user_id* is known.

    Returns:
        The facts, and the names of those whose callable failed or gave something that is not whole text or no IP
        address: with that, the whole event might be refused.
    """
    names = [field.name for field in attrs.fields(DeviceSettings)]
    # At the same time, so that several that hang take no longer than one.
    values = await asyncio.gather(*(_fact(getattr(settings, name), user_id) for name in names), return_exceptions=True)
    given = dict(zip(names, values, strict=True))
    facts = {name: value for name, value in given.items() if isinstance(value, str) and _fits(name, value)}
    failed = tuple(name for name, value in given.items() if value is not None and name not in facts)
    if "kochava_device_id" in failed:
        # Kochava takes an empty one beside other ids; the default in its place would be another person.
        facts["kochava_device_id"] = ""
    return facts, failed


def _fits(name: str, value: str) -> bool:
    if name != "origination_ip" or not value:
        return encodable(value)
    try:
        return not ipaddress.ip_address(value).is_unspecified
    except ValueError:
        return False


async def _fact(value: Fact, user_id: str | None) -> Any:
    if not callable(value):
        return value
    return None if user_id is None else await call_hook(value, user_id)


# Install


def _moment(_instance: Any, _attribute: Any, value: str | None) -> None:
    if value is None:
        return
    wanted = "a moment with its time zone, such as 2026-09-01T00:00:00Z"
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidValue(wanted, value) from None
    if moment.tzinfo is None:
        raise InvalidValue(wanted, value)


def _old_users_are_known(mode: str, known_users: object, since: str | None) -> Iterator[Violation]:
    if mode == "first_seen" and known_users is None and since is None:
        wanted = "`known_users` or `since`, so that old users do not install once more"
        yield Violation(key="since", wanted=wanted, got="neither")


@attrs.frozen(kw_only=True)
class InstallSettings:
    """
    Whether and when an install is sent. Kochava never says what the install of a bot is, so none is by default.

    Attributes:
        mode: ``off``; ``entry``: a new person taps "Get started", or comes by a postback with a referral;
            ``first_seen``: a new person is recorded for the first time, however they came.
        get_started_payloads: Payloads of the "Get started" button.
        known_users: A callable of the person's id, plain or async, that says whether they were there before. For
            ``first_seen``, this or `since` is needed: else all users of a live bot would install on the first day.
        since: A person who is first recorded before this moment (ISO 8601 with time zone) counts as an old user.
    """

    mode: str = attrs.field(default="off", validator=one_of("off", "entry", "first_seen"))
    get_started_payloads: tuple[str, ...] = ("GET_STARTED",)
    known_users: Callable[[str], Any] | None = attrs.field(default=None, validator=one_parameter)
    since: str | None = attrs.field(default=None, validator=_moment)

    RULES: ClassVar[tuple[Rule, ...]] = (Rule(("mode", "known_users", "since"), _old_users_are_known),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    def is_entry(self, event: Event | None) -> bool:
        """Whether *event* is the entry of a person, given that they are new."""
        if self.mode != "entry" or not isinstance(event, PostbackEvent):
            return False
        if event.standby or event.from_page or event.is_by_reference:
            return False
        return event.referral is not None or event.payload in self.get_started_payloads

    async def installs(self, event: Event | None, user_id: str | None, now: float) -> bool:
        """
        Whether the first record of a person, made because of *event*, is preceded by an install. When *user_id* is
        known only as a hash, it is ``None``, and `known_users` is not called. Raises a `HookFailed` if that fails.
        """
        if self.mode != "first_seen":
            return self.is_entry(event)
        if self.since is not None and now < datetime.fromisoformat(self.since).timestamp():
            return False
        if self.known_users is None:
            return True
        return user_id is not None and not await call_hook(self.known_users, user_id, read=bool)
