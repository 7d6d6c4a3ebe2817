"""
What Kochava shall be told, as frozen records, and their stored form.

A record holds everything but the credentials: the wire bytes and the signature are made by the worker from its own
settings, so no host, key or secret is ever stored. Release N reads what release N-1 wrote: `SCHEMA` grows by one with
each change of shape, and `decode` knows every older one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs
import orjson

from ..exceptions import KochavaBotError

SCHEMA = 2
"""Version of the stored form that this release writes. Of schema 1, an identity link had no ``extra``."""

TOP_LEVEL = ("kochava_device_id", "nt_id")
"""Members of ``extra`` that stand beside ``data`` on the wire, not within."""


class UnreadableRecord(KochavaBotError):
    """Stored bytes are not a record: they are corrupt."""


class UnknownRecord(KochavaBotError):
    """A well-formed record of a kind or schema that only a newer release knows; another worker can send it."""


@attrs.frozen(kw_only=True)
class Record:
    """
    What all records have in common.

    Attributes:
        id: The same happening has the same id, so it counts once.
        app_id: Kochava's App GUID (``ko…``).
        user_id: PSID, IGSID or `user_ref` of the person.
        page_id: The Page or Instagram account; ``None`` when unknown. Tells the worker which settings apply.
        usertime: When it happened, in seconds since the epoch.
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
        """Records of one app and user reach Kochava in the order they were made."""
        return f"{self.app_id}/{self.user_id}"


@attrs.frozen(kw_only=True)
class Engagement(Record):
    """
    A post-install event (``action: event``).

    Attributes:
        event_name: As Kochava shall show it.
        event_data: A flat object or one value; ``None`` leaves the key out.
        device_ids: What identifies the person to Kochava, such as ``{"fb_user_id": "…"}``.
        extra: Further members of ``data`` (consent, IP, user agent …), already resolved.
    """

    kind: ClassVar[str] = "engagement"

    event_name: str
    event_data: Any = None
    device_ids: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Install(Record):
    """
    The first contact with a person (``action: install``).

    Attributes:
        device_ids: As of `Engagement`.
        extra: As of `Engagement`.
    """

    kind: ClassVar[str] = "install"

    device_ids: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class IdentityLink(Record):
    """
    Joins the person's id in this bot to their ids elsewhere.

    Attributes:
        device_ids: As of `Engagement`.
        identities: Names and values to link, such as ``{"customer_id": "C-17"}``.
        extra: As of `Engagement`, but only `TOP_LEVEL`: what names the person must be the same in each record.
    """

    kind: ClassVar[str] = "identity_link"

    device_ids: Mapping[str, str]
    identities: Mapping[str, str]
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Ping(Record):
    """
    A hit on a tracking URL. Never made itself: see `Impression` and `Click`.

    Attributes:
        tracker: Name of the tracker in the worker's settings whose URL is hit; ``greeting`` for the greeting's.
        params: Query parameters to add, already resolved.
    """

    queue: ClassVar[str] = "ping"

    tracker: str = "greeting"
    params: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Impression(Ping):
    """The greeting was shown."""

    kind: ClassVar[str] = "impression"


@attrs.frozen(kw_only=True)
class Click(Ping):
    """The person stepped from the greeting into the bot."""

    kind: ClassVar[str] = "click"


@attrs.frozen(kw_only=True)
class Deletion(Record):
    """
    A request to Kochava's privacy API to delete what it has of a person.

    Attributes:
        device_ids: As of `Engagement`.
    """

    kind: ClassVar[str] = "deletion"

    device_ids: Mapping[str, str]


_KINDS: dict[str, type[Record]] = {
    cls.kind: cls for cls in (Engagement, Install, IdentityLink, Impression, Click, Deletion)
}

_NAMES = {cls: tuple(attrs.fields_dict(cls)) for cls in _KINDS.values()}


def encode(record: Record) -> bytes:
    """The stored form: one JSON object with ``kind`` and ``schema``."""
    stored: dict[str, Any] = {"kind": record.kind, "schema": SCHEMA}
    for name in _NAMES[type(record)]:
        stored[name] = getattr(record, name)
    return orjson.dumps(stored, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"{type(value).__name__} has no stored form"
    raise TypeError(msg)


def decode(body: bytes) -> Record:
    """
    Read a stored record.

    Raises:
        UnreadableRecord: The bytes are corrupt. The message names the member, never its value.
        UnknownRecord: A newer release wrote it.
    """
    try:
        stored = orjson.loads(body)
        kind, schema = stored.pop("kind"), stored.pop("schema")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as exc:
        msg = f"a stored record is corrupt: {type(exc).__name__}"
        raise UnreadableRecord(msg) from exc
    if not isinstance(kind, str) or type(schema) is not int or schema < 1:
        msg = "a stored record is corrupt: its kind or schema is not one"
        raise UnreadableRecord(msg)
    if schema > SCHEMA or kind not in _KINDS:
        msg = f"kind {kind[:40]!r} of schema {schema} is not known to this release; upgrade this worker"
        raise UnknownRecord(msg)
    for name, value in stored.items():
        if name not in _FITS or not _FITS[name](value):
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


_FITS: dict[str, Callable[[Any], bool]] = {
    "id": _text,
    "app_id": _text,
    "user_id": _text,
    "page_id": lambda value: value is None or isinstance(value, str),
    "usertime": lambda value: type(value) is int,
    "event_name": _text,
    "event_data": lambda _value: True,
    "device_ids": _texts,
    "extra": lambda value: isinstance(value, dict),
    "identities": _texts,
    "tracker": _text,
    "params": _texts,
}
