"""
Readers of the keys of a thread and its owners: ``postback``, ``referral``, ``optin``, thread control, policy, labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import (
    AccountLinkingEvent,
    AppRolesEvent,
    Event,
    InboxLabelsEvent,
    LeadAnswer,
    MessageRequestEvent,
    OptinEvent,
    PassThreadControlEvent,
    PolicyEnforcementEvent,
    PostbackEvent,
    ReferralEvent,
    RequestThreadControlEvent,
    TakeThreadControlEvent,
)
from .fields import Frame, identifier, identifiers, members, moment, objects, person, text
from .fields import referral as read_referral

_STOP = "STOP"
"""How the status of an opt-out begins: ``STOP NOTIFICATIONS`` by the platform's page, with an underscore elsewhere."""


def postback(value: dict[str, Any], frame: Frame) -> Event:
    """The referral of a first contact stands inside."""
    frame["referral"] = read_referral(value.get("referral")) or frame["referral"]
    return PostbackEvent(
        **frame,
        payload=text(value.get("payload")),
        title=text(value.get("title")),
        mid=identifier(value.get("mid")),
    )


def referral(item: Mapping[str, Any], frame: Frame) -> Event:
    """The whole item: its referral is in the frame already, and answers of a lead ad stand beside it."""
    answers = objects(members(item.get("lead")).get("data"))
    lead = (LeadAnswer(question=text(answer.get("question")), answer=text(answer.get("answer"))) for answer in answers)
    return ReferralEvent(**frame, lead=tuple(lead))


def optin(value: dict[str, Any], frame: Frame) -> Event:
    """The checkbox plugin names no sender: then its ``user_ref`` is the person."""
    user_ref = identifier(value.get("user_ref"))
    frame["user_id"] = frame["user_id"] or user_ref
    status = identifier(value.get("notification_messages_status"))
    return OptinEvent(
        **frame,
        type=identifier(value.get("type")),
        opted_out=status is not None and status.upper().startswith(_STOP),
        ref=identifier(value.get("ref")),
        user_ref=user_ref,
        payload=text(value.get("payload")),
        title=text(value.get("title")),
        source=identifier(value.get("source")),
        token=identifier(value.get("notification_messages_token")) or identifier(value.get("one_time_notif_token")),
        frequency=identifier(value.get("notification_messages_frequency")),
        timezone=identifier(value.get("notification_messages_timezone")),
        topic=identifier(value.get("notification_messages_topic")),
        status=status,
        token_expiry=moment(value.get("token_expiry_timestamp")),
        user_token_status=identifier(value.get("user_token_status")),
    )


def account_linking(value: dict[str, Any], frame: Frame) -> Event:
    """The code comes with ``linked`` only."""
    return AccountLinkingEvent(
        **frame,
        status=identifier(value.get("status")),
        authorization_code=identifier(value.get("authorization_code")),
    )


def policy_enforcement(value: dict[str, Any], frame: Frame) -> Event:
    """``unblock`` has no reason. A sender, where old data has one, is the Page."""
    frame["user_id"] = None if frame["user_id"] == frame["page_id"] else frame["user_id"]
    return PolicyEnforcementEvent(**frame, action=identifier(value.get("action")), reason=text(value.get("reason")))


def app_roles(value: dict[str, Any], frame: Frame) -> Event:
    """An object from app id to role names."""
    return AppRolesEvent(**frame, roles={app_id: identifiers(roles) for app_id, roles in value.items()})


def pass_thread_control(value: dict[str, Any], frame: Frame) -> Event:
    """A previous owner of null means that the thread was idle."""
    return PassThreadControlEvent(
        **frame,
        metadata=text(value.get("metadata")),
        previous_owner_app_id=identifier(value.get("previous_owner_app_id")),
        new_owner_app_id=identifier(value.get("new_owner_app_id")),
    )


def take_thread_control(value: dict[str, Any], frame: Frame) -> Event:
    """The same members as when control is passed."""
    return TakeThreadControlEvent(
        **frame,
        metadata=text(value.get("metadata")),
        previous_owner_app_id=identifier(value.get("previous_owner_app_id")),
        new_owner_app_id=identifier(value.get("new_owner_app_id")),
    )


def request_thread_control(value: dict[str, Any], frame: Frame) -> Event:
    """Names the app that asks."""
    return RequestThreadControlEvent(
        **frame,
        metadata=text(value.get("metadata")),
        requested_owner_app_id=identifier(value.get("requested_owner_app_id")),
    )


def message_request(value: str, frame: Frame) -> Event:
    """The only key whose value is text."""
    return MessageRequestEvent(**frame, answer=value)


def inbox_labels(value: dict[str, Any], frame: Frame) -> Event:
    """The value of a change; the person is its ``user``."""
    label = members(value.get("label"))
    frame["user_id"] = person(value.get("user"))
    return InboxLabelsEvent(
        **frame,
        action=identifier(value.get("action")),
        label_id=identifier(label.get("id")),
        page_label_name=text(label.get("page_label_name")),
    )
