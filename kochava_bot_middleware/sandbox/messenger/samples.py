"""One webhook of each kind that Facebook sends, as a sample to try a bot with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .page import APP_ID
from .webhooks import SentWebhook, make_webhook

OTHER_APP_ID = "26390203743090"
PHOTO = "https://images.example/shoe.png"

CHANGES = ("comments", "inbox_labels")
"""Those that are changes, not messaging items."""


@attrs.frozen(kw_only=True)
class SampleContent:
    """
    What a sample webhook says. What its kind has no place for is left out.

    Attributes:
        text: Of a message, a title or an answer.
        payload: Of a postback, a quick reply or a form.
        url: Of an attachment.
        ref: Of a referral or an opt-in; ``None``: that of the sample.
        mid: Of the message or postback, or of the message that the webhook is about.
        seconds: The time, since the epoch.
    """

    text: str = "Hello"
    payload: str = "GET_STARTED"
    url: str = PHOTO
    ref: str | None = None
    mid: str
    seconds: float


def sample_webhook(
    kind: str, content: SampleContent, *, page_id: str, user_id: str, instagram: bool = False
) -> SentWebhook:
    """
    A webhook of *kind*, one of `SAMPLES`.

    Raises:
        KeyError: There is no sample of this kind.
    """
    members = SAMPLES[kind](content)
    about: dict[str, Any] = {"page_id": page_id, "user_id": user_id, "instagram": instagram, "now": content.seconds}
    if kind not in CHANGES:
        return make_webhook(kind, members, **about)
    person = "user" if kind == "inbox_labels" else "from"
    return make_webhook(kind, {"value": {person: {"id": user_id}, **members}}, array="changes", **about)


def _message(**more: Any) -> Callable[[SampleContent], dict[str, Any]]:
    return lambda content: {"message": {"mid": content.mid, "text": content.text, **more}}


def _attachment(kind: str) -> Callable[[SampleContent], dict[str, Any]]:
    return lambda content: {
        "message": {"mid": content.mid, "attachments": [{"type": kind, "payload": {"url": content.url}}]}
    }


def _referral(content: SampleContent) -> dict[str, Any]:
    return {"ref": content.ref or "spring", "source": "SHORTLINK", "type": "OPEN_THREAD"}


def _ad(content: SampleContent) -> dict[str, Any]:
    context = {"ad_title": "Shoes", "photo_url": PHOTO, "post_id": "17"}
    source = {"source": "ADS", "type": "OPEN_THREAD", "ad_id": "6045246247433", "ads_context_data": context}
    return {"ref": content.ref or "spring", **source}


def _notifications(**more: Any) -> Callable[[SampleContent], dict[str, Any]]:
    return lambda content: {
        "optin": {
            "type": "notification_messages",
            "payload": content.payload,
            "notification_messages_token": "sample-token",
            "notification_messages_timezone": "UTC",
            "token_expiry_timestamp": int((content.seconds + 180 * 86400) * 1000),
            "user_token_status": "NOT_REFRESHED",
            "title": content.text,
            **more,
        }
    }


def _amount(_content: SampleContent) -> dict[str, Any]:
    return {"currency": "USD", "amount": "29.62"}


# messenger.md 2 has the shape of each, in this order; the comment is of section 6, [IGWH].
SAMPLES: Mapping[str, Callable[[SampleContent], Mapping[str, Any]]] = {
    "message": _message(),
    "quick_reply": lambda content: _message(quick_reply={"payload": content.payload})(content),
    "image": _attachment("image"),
    "audio": _attachment("audio"),
    "video": _attachment("video"),
    "file": _attachment("file"),
    "message_from_ad": lambda content: _message(referral=_ad(content))(content),
    "message_deleted": lambda content: {"message": {"mid": content.mid, "is_deleted": True}},
    "message_unsupported": lambda content: {"message": {"mid": content.mid, "is_unsupported": True}},
    "message_edit": lambda content: {"message_edit": {"mid": content.mid, "text": content.text, "num_edit": 1}},
    "echo": _message(is_echo=True, app_id=int(APP_ID)),
    "delivery": lambda content: {"delivery": {"watermark": int(content.seconds * 1000), "mids": [content.mid]}},
    "read": lambda content: {"read": {"watermark": int(content.seconds * 1000)}},
    "get_started": lambda content: {
        "postback": {
            "mid": content.mid,
            "title": "Get Started",
            "payload": content.payload,
            **({} if content.ref is None else {"referral": _referral(content)}),
        }
    },
    "postback": lambda content: {
        "postback": {"mid": content.mid, "title": content.text, "payload": content.payload},
    },
    "referral": lambda content: {"referral": _referral(content)},
    "referral_from_ad": lambda content: {"referral": _ad(content)},
    "optin": lambda content: {"optin": {"ref": content.ref or "spring"}},
    "notifications_on": _notifications(),
    "notifications_stop": _notifications(notification_messages_status="STOP NOTIFICATIONS"),
    "notifications_resume": _notifications(notification_messages_status="RESUME NOTIFICATIONS"),
    "account_linking": lambda _content: {
        "account_linking": {"status": "linked", "authorization_code": "sample-code"},
    },
    "policy_enforcement": lambda content: {"policy_enforcement": {"action": "warning", "reason": content.text}},
    "app_roles": lambda _content: {"app_roles": {APP_ID: ["primary_receiver"]}},
    "pass_thread_control": lambda _content: {
        "pass_thread_control": {
            "previous_owner_app_id": OTHER_APP_ID,
            "new_owner_app_id": APP_ID,
            "metadata": "sample",
        }
    },
    "take_thread_control": lambda _content: {
        "take_thread_control": {
            "previous_owner_app_id": APP_ID,
            "new_owner_app_id": OTHER_APP_ID,
            "metadata": "sample",
        }
    },
    "request_thread_control": lambda _content: {
        "request_thread_control": {"requested_owner_app_id": OTHER_APP_ID, "metadata": "sample"}
    },
    "reaction": lambda content: {
        "reaction": {"reaction": "love", "emoji": "\u2764", "action": "react", "mid": content.mid}
    },
    "game_play": lambda content: {
        "game_play": {
            "game_id": "1",
            "player_id": "2",
            "locale": "en_US",
            "context_type": "SOLO",
            "score": 7,
            "payload": content.payload,
        }
    },
    "response_feedback": lambda content: {"response_feedback": {"feedback": "Good response", "mid": content.mid}},
    "messaging_feedback": lambda _content: {
        "messaging_feedback": {
            "feedback_screens": [{"screen_id": 0, "questions": {"stars": {"type": "csat", "payload": "5"}}}]
        }
    },
    "customer_information": lambda content: {
        "messaging_customer_information": {
            "screens": [{"screen_id": "name", "responses": [{"key": "name", "value": content.text}]}]
        }
    },
    "order": lambda content: {
        "order": {
            "products": [
                {
                    "id": "1",
                    "retailer_id": "shoe",
                    "name": "Shoe",
                    "unit_price": 100,
                    "currency": "USD",
                    "quantity": 1,
                }
            ],
            "note": content.text,
        }
    },
    "coupon": lambda content: {
        "template": {"type": "coupon", "payload": content.payload, "coupon_code": "10OFF"},
    },
    "form": lambda _content: {"form": {"id": "17"}},
    "message_request": lambda _content: {"message_request": "accept"},
    "payment": lambda content: {
        "payment": {
            "payload": content.payload,
            "requested_user_info": {},
            "payment_credential": {"provider_type": "stripe", "charge_id": "ch_sample"},
            "amount": _amount(content),
        }
    },
    "checkout_update": lambda content: {
        "checkout_update": {"payload": content.payload, "shipping_address": {"id": 1, "country": "US"}}
    },
    "pre_checkout": lambda content: {
        "pre_checkout": {"payload": content.payload, "requested_user_info": {}, "amount": _amount(content)}
    },
    "branded_camera": lambda _content: {"branded_camera": {"content_ids": ["1"], "event": "share"}},
    "inbox_labels": lambda _content: {"action": "add", "label": {"id": "1", "page_label_name": "sample"}},
    "comments": lambda content: {
        "id": content.mid,
        "text": content.text,
        "media": {"id": "17900000000000001", "media_product_type": "FEED"},
    },
    "unknown": lambda _content: {"something_new": {"sample": True}},
}
