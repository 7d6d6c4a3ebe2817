"""Events of a thread and its owners: postback, referral, opt-in, account linking, control, policy, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True)
class PostbackEvent(Event):
    """
    A person tapped a postback button, get-started, a menu item or an ice breaker. `referral` tells of a first contact.

    Attributes:
        payload: Goes only to the app that sent the button; always missing in standby.
        title: What the button said.
        mid: Only from Graph v11.0 on.
    """

    kind: ClassVar[Kind] = Kind.POSTBACK

    payload: str | None = None
    title: str | None = None
    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True)
class LeadAnswer:
    """One answer of a lead ad's form."""

    question: str | None = None
    answer: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ReferralEvent(Event):
    """
    A person came back into an existing thread through a link or an ad; `referral` tells which.

    Attributes:
        lead: Answers of the lead ad's form; empty when it was not one.
    """

    kind: ClassVar[Kind] = Kind.REFERRAL

    lead: tuple[LeadAnswer, ...] = ()


@attrs.frozen(kw_only=True)
class OptinEvent(Event):
    """
    A person agreed to be written to, or stopped it.

    Attributes:
        type: ``notification_messages``, ``one_time_notif_req``; ``None`` for the plugins.
        opted_out: This is a stop: ``notification_messages_status`` is ``STOP NOTIFICATIONS``.
        ref: As the plugin or link had it.
        user_ref: Of the checkbox plugin, which names no sender.
        payload: As the request had it.
        title: Of the request.
        source: Where the request was shown.
        token: ``notification_messages_token`` or ``one_time_notif_token``: the address to send to, so never shown.
        frequency: ``notification_messages_frequency``, gone since Graph v16.
        timezone: ``notification_messages_timezone``.
        topic: ``notification_messages_topic``.
        status: ``notification_messages_status``; ``None`` on the first opt-in.
        token_expiry: When the token ends (``token_expiry_timestamp``).
        user_token_status: ``REFRESHED`` or ``NOT_REFRESHED``.
    """

    kind: ClassVar[Kind] = Kind.OPTIN

    type: str | None = None
    opted_out: bool = False
    ref: str | None = None
    user_ref: str | None = None
    payload: str | None = None
    title: str | None = None
    source: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    frequency: str | None = None
    timezone: str | None = None
    topic: str | None = None
    status: str | None = None
    token_expiry: datetime | None = None
    user_token_status: str | None = None


@attrs.frozen(kw_only=True)
class AccountLinkingEvent(Event):
    """
    A person logged in to the business's own account, or out of it.

    Attributes:
        status: ``linked`` or ``unlinked``.
        authorization_code: As the business's login page gave it.
    """

    kind: ClassVar[Kind] = Kind.ACCOUNT_LINKING

    status: str | None = None
    authorization_code: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class PolicyEnforcementEvent(Event):
    """
    The platform warned or blocked the Page; there is no person.

    Attributes:
        action: ``warning``, ``block`` or ``unblock``.
        reason: Why.
    """

    kind: ClassVar[Kind] = Kind.POLICY_ENFORCEMENT

    action: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True)
class AppRolesEvent(Event):
    """
    The roles of apps in the old handover protocol changed; there is no person.

    Attributes:
        roles: By app id: ``primary_receiver``, ``secondary_receiver``.
    """

    kind: ClassVar[Kind] = Kind.APP_ROLES

    roles: Mapping[str, Sequence[str]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ThreadControlEvent(Event):
    """
    Which app may answer this person changed, or shall change. Never made itself.

    Attributes:
        metadata: As the other app gave it.
    """

    metadata: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class PassThreadControlEvent(ThreadControlEvent):
    """
    Control was passed.

    Attributes:
        previous_owner_app_id: ``None`` also when the thread was idle.
        new_owner_app_id: Who may answer now.
    """

    kind: ClassVar[Kind] = Kind.PASS_THREAD_CONTROL

    previous_owner_app_id: str | None = None
    new_owner_app_id: str | None = None


@attrs.frozen(kw_only=True)
class TakeThreadControlEvent(ThreadControlEvent):
    """
    Control was taken away.

    Attributes:
        previous_owner_app_id: Who could answer before.
        new_owner_app_id: Who may answer now.
    """

    kind: ClassVar[Kind] = Kind.TAKE_THREAD_CONTROL

    previous_owner_app_id: str | None = None
    new_owner_app_id: str | None = None


@attrs.frozen(kw_only=True)
class RequestThreadControlEvent(ThreadControlEvent):
    """
    Another app asks for control.

    Attributes:
        requested_owner_app_id: Who asks.
    """

    kind: ClassVar[Kind] = Kind.REQUEST_THREAD_CONTROL

    requested_owner_app_id: str | None = None


@attrs.frozen(kw_only=True)
class MessageRequestEvent(Event):
    """
    A person found by customer matching let the Page write to them (gone from the platform).

    Attributes:
        answer: ``accept``.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_REQUEST

    answer: str | None = None


@attrs.frozen(kw_only=True)
class InboxLabelsEvent(Event):
    """
    A label was put on a person, or taken off.

    Attributes:
        action: What was done, in the platform's word.
        label_id: The label.
        page_label_name: Its name.
    """

    kind: ClassVar[Kind] = Kind.INBOX_LABELS

    action: str | None = None
    label_id: str | None = None
    page_label_name: str | None = None
