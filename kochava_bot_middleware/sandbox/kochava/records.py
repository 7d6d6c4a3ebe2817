"""What the local Kochava accepted and what it rejected."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs


class RecordKind(enum.StrEnum):
    """What was recorded; the value is the word of Kochava's documentation."""

    EVENT = "event"
    INSTALL = "install"
    IDENTITY_LINK = "identityLink"
    UPDATE = "update"
    SESSION = "session"
    IMPRESSION = "impression"
    CLICK = "click"
    SMARTLINK_CLICK = "smartlink"
    SCRUB = "scrub"


@attrs.frozen(kw_only=True)
class KochavaRecord:
    """
    One accepted request.

    Attributes:
        kind: Which of the lists it is in.
        at: Wall-clock time of its arrival, in seconds since the epoch.
        app_id: Kochava's App GUID; ``None`` for impressions and clicks.
        device_ids: As sent; empty for impressions and clicks.
        name: Event name, SmartLink path, or ``campaign_id``.
        params: Query of an impression or click; identities of an identity link.
        event_data: Of an event; ``None`` if it had none.
        usertime: Of an event or install, as a number; ``None`` if it had none.
        body: The whole decoded body; empty for impressions and clicks.
        location: Where a SmartLink click was redirected to; ``None`` for all others.
    """

    kind: RecordKind
    at: float
    app_id: str | None = None
    device_ids: Mapping[str, str] = attrs.field(factory=dict)
    name: str = ""
    params: Mapping[str, str] = attrs.field(factory=dict)
    event_data: Any = None
    usertime: int | None = None
    body: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    location: str | None = None

    def user_id(self, *keys: str) -> str | None:
        """The first of *keys* that is in `device_ids` or `params`; by default each name of this package."""
        for key in keys or ("fb_user_id", "ig_user_id", "fb_user_ref"):
            value = self.device_ids.get(key) or self.params.get(key)
            if value:
                return value
        return None


@attrs.frozen(kw_only=True)
class Rejection:
    """
    One request that was not accepted.

    Attributes:
        at: Wall-clock time in seconds since the epoch.
        method: HTTP method.
        path: Path with query.
        status: HTTP status of the answer.
        reason: What was wrong.
        raw: The body as it was sent.
    """

    at: float
    method: str
    path: str
    status: int
    reason: str
    raw: bytes = attrs.field(default=b"", repr=False)
