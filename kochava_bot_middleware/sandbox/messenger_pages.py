"""What Facebook keeps of each Page that a local Messenger serves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import attrs

from .graph_calls import ReceivedCall
from .graph_errors import GraphRefusal
from .messenger_buttons import PageFacts
from .people import SimulatedUser


@attrs.define(kw_only=True)
class SandboxPage:
    """
    One Page or Instagram account.

    Attributes:
        page_id: Its id.
        instagram: Whether it is an Instagram account.
        profile: Its messenger profile.
        people: Those who know it, by id.
        joined: People by another name that a recipient may use, such as ``("user_ref", "box-1")``.
        user_settings: Menus of single people.
        attachment_ids: Its uploads.
        personas: Its personas, by id.
        order_numbers: Those of the receipts it sent.
        thread_owners: App that owns a person's thread, where it is not this one; ``None`` for idle.
    """

    page_id: str
    instagram: bool = False
    profile: dict[str, Any] = attrs.field(factory=dict)
    people: dict[str, SimulatedUser] = attrs.field(factory=dict)
    joined: dict[tuple[str, str], SimulatedUser] = attrs.field(factory=dict)
    user_settings: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    attachment_ids: set[str] = attrs.field(factory=set)
    personas: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    order_numbers: set[str] = attrs.field(factory=set)
    thread_owners: dict[str, str | None] = attrs.field(factory=dict)

    def facts(self, *, has_file: bool = False) -> PageFacts:
        """What the rules need to know."""
        return PageFacts(
            whitelisted_domains=tuple(self.profile.get("whitelisted_domains", ())),
            attachment_ids=frozenset(self.attachment_ids),
            instagram=self.instagram,
            has_file=has_file,
            order_numbers=frozenset(self.order_numbers),
        )


@attrs.frozen(kw_only=True)
class Gate:
    """
    Decides which Page a call is for, and whether it may.

    Attributes:
        tokens: Page access tokens, and the Page of each.
        app_secret: Of the app.
        require_proof: Whether every call needs an ``appsecret_proof``; one that is given must be right in any case.
    """

    tokens: Mapping[str, str] = attrs.field(repr=False)
    app_secret: str = attrs.field(repr=False)
    require_proof: bool = False

    def admit(self, call: ReceivedCall) -> str:
        """
        The id of the Page whose token the call brings.

        Raises:
            GraphRefusal: The token or the proof is missing or wrong.
        """
        if not call.access_token:
            msg = "An access token is required to request this resource."
            raise GraphRefusal(msg, code=104)
        page_id = self.tokens.get(call.access_token)
        if page_id is None:
            msg = "Invalid OAuth access token."
            raise GraphRefusal(msg, code=190)
        proof = call.field("appsecret_proof")
        if proof is None and self.require_proof:
            msg = "API calls from the server require an appsecret_proof argument"
            raise GraphRefusal(msg, kind="GraphMethodException")
        right = hmac.new(self.app_secret.encode(), call.access_token.encode(), hashlib.sha256).hexdigest()
        if proof is not None and not hmac.compare_digest(str(proof).encode(), right.encode()):
            msg = "Invalid appsecret_proof provided in the API argument"
            raise GraphRefusal(msg, kind="GraphMethodException")
        return page_id
