"""What Facebook keeps of each Page that a local Messenger serves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import attrs

from .users import SimulatedUser

APP_ID = "1517776481860111"


@attrs.define(kw_only=True)
class SandboxPage:
    """
    One Page or Instagram account, with its users, uploads and personas by id.

    Attributes:
        joined: Users by another name that a recipient may use, such as ``("user_ref", "box-1")``.
        comments: When each comment that has had no private reply was written, by its id.
        numbers: From which new ids are made; common to all Pages of a server.
        thread_owners: App that owns a user's thread, where it is not this one; ``None`` for idle.
    """

    page_id: str = ""
    instagram: bool = False
    profile: dict[str, Any] = attrs.field(factory=dict)
    people: dict[str, SimulatedUser] = attrs.field(factory=dict)
    joined: dict[tuple[str, str], SimulatedUser] = attrs.field(factory=dict)
    comments: dict[str, float] = attrs.field(factory=dict)
    user_settings: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    attachment_ids: set[str] = attrs.field(factory=set)
    personas: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    numbers: Iterator[int] = attrs.field(factory=itertools.count)
    order_numbers: set[str] = attrs.field(factory=set)
    thread_owners: dict[str, str | None] = attrs.field(factory=dict)
    subscribed_fields: list[str] = attrs.field(factory=list)

    def new_id(self) -> str:
        """An id for something that the Page creates."""
        return str(1_000_000_000_000_000 + next(self.numbers))
