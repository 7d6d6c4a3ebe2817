"""
Records for Kochava, and their stored form.

A record has everything except addresses and credentials: the worker creates request and signature from its own
settings, so no host, key or secret is stored. Release N reads the records of release N-1: `SCHEMA` grows by one with
each change of the stored form, and `decode` reads every older one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import attrs
import orjson

from ..exceptions import KochavaBotError

SCHEMA = 3
"""
Version of the stored form that this release writes. In schema 1, an identity link had no ``extra``; in schema 2, a
deletion had no ``former_ids``, and there were no sessions.
"""

TOP_LEVEL = ("kochava_device_id", "nt_id")
"""Members of ``extra`` that are sent beside ``data``, not in it."""


class UnreadableRecord(KochavaBotError):
    """Stored bytes are not a valid record."""


class UnknownRecord(KochavaBotError):
    """A valid record of a kind or schema of a newer release; another worker can send it."""


@attrs.define(kw_only=True)
class Record:
    """
    Base class of all records.

    Attributes:
        id: Equal for records of the same event, so that it is recorded once.
        app_id: Kochava's App GUID (``ko…``).
        user_id: PSID, IGSID or `user_ref` of the person.
        page_id: The Page or Instagram account, which determines the settings; ``None`` when unknown.
        usertime: Time of the event, in seconds since the epoch.
    """

    kind: ClassVar[str]
    queue: ClassVar[str] = "track"

    id: str
    app_id: str
    user_id: str
    page_id: str | None = None
    usertime: int

    @property
    def lane(self) -> str:
        """The lane of app and user, within which records are delivered in order."""
        return f"{self.app_id}/{self.user_id}"


@attrs.define(kw_only=True)
class Engagement(Record):
    """
    A post-install event (``action: event``).

    Attributes:
        event_name: Name of the event, as shown by Kochava.
        event_data: A flat object or one value; ``None`` leaves the key out.
        device_ids: Ids of the person at Kochava, such as ``{"fb_user_id": "…"}``.
        extra: Further members of ``data`` (consent, IP, user agent …).
    """

    kind: ClassVar[str] = "engagement"

    event_name: str
    event_data: Any = None
    device_ids: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Install(Record):
    """
    The first contact with a person (``action: install``).

    Attributes:
        device_ids: As in `Engagement`.
        extra: As in `Engagement`.
    """

    kind: ClassVar[str] = "install"
    queue: ClassVar[str] = "install"

    device_ids: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Session(Record):
    """
    The person is active again (``action: session``).

    Attributes:
        device_ids: As in `Engagement`.
        extra: As in `Engagement`.
    """

    kind: ClassVar[str] = "session"

    device_ids: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class IdentityLink(Record):
    """
    Links the person's id in this bot with ids from elsewhere.

    Attributes:
        device_ids: As in `Engagement`.
        identities: Names and values to link, such as ``{"customer_id": "C-17"}``.
        extra: As in `Engagement`, but only `TOP_LEVEL`: the ids of a person must be the same in each record.
    """

    kind: ClassVar[str] = "identity_link"
    queue: ClassVar[str] = "link"

    device_ids: Mapping[str, str]
    identities: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


GREETING: Final = "greeting"
"""Name of the tracker of greetings for which none is named."""


@attrs.define(kw_only=True)
class Ping(Record):
    """
    A request to a tracking URL; base class of `Impression` and `Click`.

    Attributes:
        tracker: Name of the tracker in the worker's settings.
        params: Query parameters to add.
    """

    queue: ClassVar[str] = "ping"

    tracker: str = GREETING
    params: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Impression(Ping):
    """The greeting was shown."""

    kind: ClassVar[str] = "impression"


@attrs.define(kw_only=True)
class Click(Ping):
    """The person continued from the greeting into the bot."""

    kind: ClassVar[str] = "click"
    queue: ClassVar[str] = "click"


@attrs.define(kw_only=True)
class Deletion(Record):
    """
    A request to Kochava's privacy API to delete the data of a person.

    Attributes:
        device_ids: By name, what was sent of the person: ids of their device, and identities; the newest value of each.
        former_ids: By name, the values that were sent before.
    """

    kind: ClassVar[str] = "deletion"
    queue: ClassVar[str] = "deletion"

    device_ids: Mapping[str, str]
    former_ids: Mapping[str, Sequence[str]] = attrs.field(factory=dict)


_KINDS: dict[str, type[Record]] = {
    cls.kind: cls for cls in (Engagement, Install, Session, IdentityLink, Impression, Click, Deletion)
}

PING_QUEUES = frozenset({Impression.queue, Click.queue})
"""The queues of `Ping`."""

_NAMES = {cls: tuple(attrs.fields_dict(cls)) for cls in _KINDS.values()}


def encode(record: Record) -> bytes:
    """The stored form: one JSON object with ``kind`` and ``schema``."""
    stored: dict[str, Any] = {"kind": record.kind, "schema": SCHEMA}
    for name in _NAMES[type(record)]:
        stored[name] = getattr(record, name)
    return stored_form(stored)


def stored_form(value: Any) -> bytes:
    """
    *value* as JSON. Half characters (lone surrogates), which no encoder takes, become ``?``.

    Raises:
        TypeError: Something in it has no JSON form.
    """
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:
        return orjson.dumps(_with_whole_texts(value), default=_plain)


def whole_text(text: str) -> str:
    """*text* with ``?`` for each half of a character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _with_whole_texts(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, Mapping):
        return {_with_whole_texts(key): _with_whole_texts(member) for key, member in value.items()}
    return list(map(_with_whole_texts, value)) if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} cannot be stored"
    raise TypeError(msg)


def decode(body: bytes) -> Record:
    """
    Read a stored record.

    Raises:
        UnreadableRecord: The bytes are not a valid record. The message names the member, never its value.
        UnknownRecord: The record is from a newer release.
    """
    try:
        stored = orjson.loads(body)
        kind, schema = stored.pop("kind"), stored.pop("schema")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as exc:
        msg = f"a stored record is corrupt: {type(exc).__name__}"
        raise UnreadableRecord(msg) from exc
    if not isinstance(kind, str) or type(schema) is not int or schema < 1:
        msg = "a stored record is corrupt: its kind or schema is invalid"
        raise UnreadableRecord(msg)
    if schema > SCHEMA or kind not in _KINDS:
        msg = f"kind {kind[:40]!r} of schema {schema} is not known to this release; upgrade this worker"
        raise UnknownRecord(msg)
    for name, value in stored.items():
        is_valid = _VALIDATORS.get(name)
        if is_valid is None or not is_valid(value):
            msg = f"a stored {kind} record is corrupt: {name[:40]!r}"
            raise UnreadableRecord(msg)
    try:
        return _KINDS[kind](**stored)
    except TypeError as exc:
        msg = f"a stored {kind} record is corrupt: {exc}"
        raise UnreadableRecord(msg) from exc


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(member, str) for member in value.values())


def _lists_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(member, list) and all(isinstance(item, str) for item in member) for member in value.values()
    )


_VALIDATORS: dict[str, Callable[[Any], bool]] = {
    "id": _text,
    "app_id": _text,
    "user_id": _text,
    "page_id": lambda value: value is None or isinstance(value, str),
    "usertime": lambda value: type(value) is int,
    "event_name": _text,
    "event_data": lambda _value: True,
    "device_ids": _texts,
    "former_ids": _lists_of_texts,
    "extra": lambda value: isinstance(value, dict),
    "identities": _texts,
    "tracker": _text,
    "params": _texts,
}
