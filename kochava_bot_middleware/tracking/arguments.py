"""
What callers say of whom and where, checked the same way in every call.

Ids may be given as whole numbers, since databases keep them so. No message repeats an id: it may be in a log.
"""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import TrackingError
from ..messenger.events import Channel
from ..settings import describe, kind_of


class Named(NamedTuple):
    """
    Whom a call names; ``None`` for what it leaves to the event being handled.
    """

    user_id: str | None = None
    page_id: str | None = None
    channel: Channel | None = None

    @classmethod
    def checked(cls, user_id: object, page_id: object, channel: object) -> Named:
        """
        From a call's arguments.

        Raises:
            TrackingError: One cannot be what it should be.
        """
        return cls(optional_id("user_id", user_id), optional_id("page_id", page_id), optional_channel(channel))


def person_id(value: object) -> str:
    """
    A ``user_id`` as text.

    Raises:
        TrackingError: It is no id.
    """
    return _id("user_id", value)


def optional_id(name: str, value: object) -> str | None:
    """
    The argument *name* as text; ``None`` stays.

    Raises:
        TrackingError: It is no id.
    """
    return None if value is None else _id(name, value)


def optional_channel(value: object) -> Channel | None:
    """
    A ``channel``; ``None`` stays.

    Raises:
        TrackingError: There is no such channel.
    """
    if value is None:
        return None
    channel = next((one for one in Channel if one == value), None)
    if channel is None:
        msg = f"`channel` is one of {', '.join(repr(one.value) for one in Channel)}, got {describe(value)}"
        raise TrackingError(msg)
    return channel


def _id(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        got = "an empty text" if isinstance(value, str) else kind_of(value)
        msg = f"`{name}` is one id, as a text that is not empty or a whole number, got {got}"
        raise TrackingError(msg)
    return value
