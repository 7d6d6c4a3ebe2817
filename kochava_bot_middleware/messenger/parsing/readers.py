"""
Reads what is under the key that names the kind of an item, such as ``postback``.

Each reader takes the value of that key and the common fields of the event, and may change these. Most kinds need no
reader of their own: a table gives the class of the event and how to read each of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import events
from ..events import Event, UnknownEvent
from .json_values import identifier, identifiers, integer, members, moment, objects, person, reference, referral, text

CommonFields = dict[str, Any]
"""The fields that every event has, as arguments of its class."""

Reader = Callable[[dict[str, Any], CommonFields], Event]


def _by_table(cls: type[Event], readers: Mapping[str, Callable[[Any], Any]]) -> Reader:
    """A reader for a kind whose fields are named as in the webhook."""
    items = tuple(readers.items())

    def read(value: dict[str, Any], common: CommonFields) -> Event:
        for name, reader in items:
            common[name] = reader(value.get(name))
        return cls(**common)

    return read


def _postback(value: dict[str, Any], common: CommonFields) -> Event:
    """The referral of a first contact is inside."""
    common["referral"] = referral(value.get("referral")) or common["referral"]
    return events.PostbackEvent(
        **common,
        payload=text(value.get("payload")),
        title=text(value.get("title")),
        mid=identifier(value.get("mid")),
    )


def _optin(value: dict[str, Any], common: CommonFields) -> Event:
    """The checkbox plugin names no sender: its ``user_ref`` is the person."""
    common["user_ref"] = identifier(value.get("user_ref")) or common["user_ref"]
    common["user_id"] = common["user_id"] or common["user_ref"]
    status = identifier(value.get("notification_messages_status"))
    return events.OptinEvent(
        **common,
        type=identifier(value.get("type")),
        # The platform's page says ``STOP NOTIFICATIONS``, other sources have an underscore.
        opted_out=status is not None and status.upper().startswith("STOP"),
        ref=identifier(value.get("ref")),
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


def _policy_enforcement(value: dict[str, Any], common: CommonFields) -> Event:
    """A sender, which old data has, is the Page."""
    common["user_id"] = None if common["user_id"] == common["page_id"] else common["user_id"]
    action, reason = identifier(value.get("action")), text(value.get("reason"))
    return events.PolicyEnforcementEvent(**common, action=action, reason=reason)


def _app_roles(value: dict[str, Any], common: CommonFields) -> Event:
    return events.AppRolesEvent(**common, roles={app_id: identifiers(roles) for app_id, roles in value.items()})


def _template(value: dict[str, Any], common: CommonFields) -> Event:
    """A coupon is the only template known to be reported."""
    if value.get("type") != "coupon":
        return UnknownEvent(**common)
    payload, code = text(value.get("payload")), text(value.get("coupon_code"))
    return events.CouponEvent(**common, payload=payload, coupon_code=code)


def _feedback_screens(value: Any) -> tuple[events.FeedbackScreen, ...]:
    return tuple(
        events.FeedbackScreen(screen_id=identifier(screen.get("screen_id")), questions=_questions(screen))
        for screen in objects(value)
    )


def _questions(screen: dict[str, Any]) -> tuple[events.FeedbackQuestion, ...]:
    """``questions`` is an object with the ids of the questions as keys."""
    return tuple(
        events.FeedbackQuestion(
            id=name,
            type=identifier(question.get("type")),
            payload=text(question.get("payload")),
            follow_up=text(members(question.get("follow_up")).get("payload")),
        )
        for name, question in members(screen.get("questions")).items()
        if isinstance(question, dict)
    )


def _information_screens(value: Any) -> tuple[events.InformationScreen, ...]:
    return tuple(
        events.InformationScreen(screen_id=identifier(screen.get("screen_id")), responses=_responses(screen))
        for screen in objects(value)
    )


def _responses(screen: dict[str, Any]) -> dict[str, str | None]:
    """``responses`` is a list of ``key`` and ``value``."""
    found = {identifier(item.get("key")): text(item.get("value")) for item in objects(screen.get("responses"))}
    return {key: answer for key, answer in found.items() if key is not None}


_new_owner = {"metadata": text, "previous_owner_app_id": identifier, "new_owner_app_id": identifier}

READERS: dict[str, Reader] = {
    "postback": _postback,
    "delivery": _by_table(events.DeliveryEvent, {"mids": identifiers, "watermark": moment}),
    "read": _by_table(events.ReadEvent, {"watermark": moment, "mid": identifier}),
    "reaction": _by_table(
        events.ReactionEvent,
        {"mid": identifier, "action": identifier, "reaction": identifier, "emoji": identifier},
    ),
    "message_edit": _by_table(events.MessageEditEvent, {"mid": identifier, "text": text, "num_edit": integer}),
    "optin": _optin,
    "account_linking": _by_table(events.AccountLinkingEvent, {"status": identifier, "authorization_code": identifier}),
    "policy_enforcement": _policy_enforcement,
    "policy-enforcement": _policy_enforcement,
    "app_roles": _app_roles,
    "pass_thread_control": _by_table(events.PassThreadControlEvent, _new_owner),
    "take_thread_control": _by_table(events.TakeThreadControlEvent, _new_owner),
    "request_thread_control": _by_table(
        events.RequestThreadControlEvent, {"metadata": text, "requested_owner_app_id": identifier}
    ),
    "game_play": _by_table(
        events.GamePlayEvent,
        {
            "game_id": identifier,
            "player_id": identifier,
            "locale": identifier,
            "context_type": identifier,
            "context_id": identifier,
            "score": integer,
            "payload": text,
        },
    ),
    "response_feedback": _by_table(events.ResponseFeedbackEvent, {"feedback": text, "mid": identifier}),
    "messaging_feedback": _by_table(events.MessagingFeedbackEvent, {"feedback_screens": _feedback_screens}),
    "messaging_customer_information": _by_table(events.CustomerInformationEvent, {"screens": _information_screens}),
    # Products stay as received: their ids and prices are text or numbers.
    "order": _by_table(events.OrderEvent, {"products": lambda value: tuple(objects(value)), "note": text}),
    "template": _template,
    "form": _by_table(events.FormEvent, {"id": identifier}),
    "payment": _by_table(
        events.PaymentEvent,
        {
            "payload": text,
            "requested_user_info": members,
            "payment_credential": members,
            "amount": members,
            "shipping_option_id": identifier,
        },
    ),
    "checkout_update": _by_table(events.CheckoutUpdateEvent, {"payload": text, "shipping_address": members}),
    "pre_checkout": _by_table(
        events.PreCheckoutEvent, {"payload": text, "requested_user_info": members, "amount": members}
    ),
    "branded_camera": _by_table(events.BrandedCameraEvent, {"content_ids": identifiers, "event": identifier}),
}
"""By the key that names the kind, in the order in which an item is searched for them. ``message`` comes before all."""


def lead_referral(item: Mapping[str, Any], common: CommonFields) -> Event:
    """An item with no more than a referral, which is in the common fields already, and answers of a lead ad."""
    answers = objects(members(item.get("lead")).get("data"))
    lead = (
        events.LeadAnswer(question=text(answer.get("question")), answer=text(answer.get("answer")))
        for answer in answers
    )
    return events.ReferralEvent(**common, lead=tuple(lead))


def inbox_labels(value: dict[str, Any], common: CommonFields) -> Event:
    """The value of a change; the person is its ``user``."""
    label = members(value.get("label"))
    common["user_id"], common["user_ref"] = person(value.get("user")), reference(value.get("user"))
    return events.InboxLabelsEvent(
        **common,
        action=identifier(value.get("action")),
        label_id=identifier(label.get("id")),
        page_label_name=text(label.get("page_label_name")),
    )
