"""Events about a thread: referral, opt-in, account linking, thread control, policy enforcement, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True)
class LeadAnswer:
    """One answer in the form of a lead ad."""

    question: str | None = None
    answer: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class ReferralEvent(Event):
    """
    A person returned to an existing thread through the link or ad in `referral`.

    Attributes:
        lead: Answers in the form of a lead ad; empty for others.
    """

    kind: ClassVar[Kind] = Kind.REFERRAL

    lead: tuple[LeadAnswer, ...] = ()


@attrs.frozen(kw_only=True, slots=False)
class OptinEvent(Event):
    """
    A person opted in to messages, or opted out.

    Attributes:
        type: ``notification_messages``, ``one_time_notif_req``; ``None`` for the plugins.
        opted_out: The person opted out: ``notification_messages_status`` is ``STOP NOTIFICATIONS``.
        ref: The ``ref`` of the plugin or link.
        payload: Payload of the request.
        title: Title of the request.
        source: Where the request was shown.
        token: ``notification_messages_token`` or ``one_time_notif_token``, with which messages are sent; never shown.
        frequency: ``notification_messages_frequency``, removed in Graph v16.
        timezone: ``notification_messages_timezone``.
        topic: ``notification_messages_topic``.
        status: ``notification_messages_status``; ``None`` on the first opt-in.
        token_expiry: When the token expires (``token_expiry_timestamp``).
        user_token_status: ``REFRESHED`` or ``NOT_REFRESHED``.
    """

    kind: ClassVar[Kind] = Kind.OPTIN

    type: str | None = None
    opted_out: bool = False
    ref: str | None = None
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


@attrs.frozen(kw_only=True, slots=False)
class AccountLinkingEvent(Event):
    """
    A person logged in to an account of the business, or logged out.

    Attributes:
        status: ``linked`` or ``unlinked``.
        authorization_code: As given by the login page of the business; only for ``linked``.
    """

    kind: ClassVar[Kind] = Kind.ACCOUNT_LINKING

    status: str | None = None
    authorization_code: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class PolicyEnforcementEvent(Event):
    """
    The platform warned, blocked or unblocked the Page; there is no person.

    Attributes:
        action: ``warning``, ``block`` or ``unblock``.
        reason: The reason; missing for ``unblock``.
    """

    kind: ClassVar[Kind] = Kind.POLICY_ENFORCEMENT

    action: str | None = None
    reason: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class AppRolesEvent(Event):
    """
    The roles of apps in the former handover protocol changed; there is no person.

    Attributes:
        roles: By app id: ``primary_receiver``, ``secondary_receiver``.
    """

    kind: ClassVar[Kind] = Kind.APP_ROLES

    roles: Mapping[str, Sequence[str]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, slots=False)
class ThreadControlEvent(Event):
    """
    Base class of events about the app that controls a thread.

    Attributes:
        metadata: As given by the other app.
    """

    metadata: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True, slots=False)
class PassThreadControlEvent(ThreadControlEvent):
    """
    An app passed control to another.

    Attributes:
        previous_owner_app_id: The app that had control; ``None`` also when the thread was idle.
        new_owner_app_id: The app that has control now.
    """

    kind: ClassVar[Kind] = Kind.PASS_THREAD_CONTROL

    previous_owner_app_id: str | None = None
    new_owner_app_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class TakeThreadControlEvent(ThreadControlEvent):
    """
    An app took control.

    Attributes:
        previous_owner_app_id: The app that had control.
        new_owner_app_id: The app that has control now.
    """

    kind: ClassVar[Kind] = Kind.TAKE_THREAD_CONTROL

    previous_owner_app_id: str | None = None
    new_owner_app_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class RequestThreadControlEvent(ThreadControlEvent):
    """
    An app requests control.

    Attributes:
        requested_owner_app_id: The app that requests it.
    """

    kind: ClassVar[Kind] = Kind.REQUEST_THREAD_CONTROL

    requested_owner_app_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class MessageRequestEvent(Event):
    """
    A person found by customer matching accepted messages of the Page (removed from the platform).

    Attributes:
        answer: ``accept``.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_REQUEST

    answer: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class InboxLabelsEvent(Event):
    """
    A label was added to a person, or removed.

    Attributes:
        action: The platform's name of the action.
        label_id: Id of the label.
        page_label_name: Name of the label.
    """

    kind: ClassVar[Kind] = Kind.INBOX_LABELS

    action: str | None = None
    label_id: str | None = None
    page_label_name: str | None = None
