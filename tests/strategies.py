"""Webhooks for tests: one realistic item of each kind, and hypothesis strategies that bend them."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from hypothesis import strategies as st

from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook

E = TypeVar("E", bound=Event)

PAGE_ID = "104000000000001"
INSTAGRAM_ID = "17840000000000001"
PERSON_ID = "6200000000000001"
SENT_AT = 1_767_225_600_123
"""2026-01-01 00:00:00.123 UTC in milliseconds."""


def item(**members: Any) -> dict[str, Any]:
    """An item of ``messaging[]`` from the person to the Page."""
    return {"sender": {"id": PERSON_ID}, "recipient": {"id": PAGE_ID}, "timestamp": SENT_AT, **members}


def pageward(**members: Any) -> dict[str, Any]:
    """An item without a sender."""
    return {"recipient": {"id": PAGE_ID}, "timestamp": SENT_AT, **members}


def webhook(*items: Any, under: str = "messaging", about: str = "page", page_id: Any = PAGE_ID) -> dict[str, Any]:
    """A webhook of one entry that holds *items* in the array named *under*."""
    return {"object": about, "entry": [{"id": page_id, "time": SENT_AT, under: list(items)}]}


def only(kind: type[E], value: dict[str, Any], under: str = "messaging", about: str = "page") -> E:
    """The one event of a webhook with one item."""
    (event,) = parse_webhook(webhook(value, under=under, about=about))
    assert type(event) is kind
    return event


ITEMS: dict[str, dict[str, Any]] = {
    "message": item(message={"mid": "m_text", "text": "Do you have these in red?"}),
    "quick_reply": item(message={"mid": "m_tap", "text": "Red", "quick_reply": {"payload": "COLOR_RED"}}),
    "attachments": item(
        message={
            "mid": "m_files",
            "attachments": [
                {"type": "image", "payload": {"url": "https://cdn.example/cat.gif"}},
                {"type": "location", "payload": {"coordinates": {"lat": 48.137, "long": 11.575}}},
                {"type": "fallback", "title": "Shoes", "url": "https://shop.example/shoes", "payload": None},
            ],
        }
    ),
    "sticker": item(
        message={
            "mid": "m_sticker",
            "sticker_id": 369239263222822,
            "attachments": [
                {"type": "image", "payload": {"url": "https://cdn.example/thumb.png", "sticker_id": 369239263222822}},
                {"type": "sticker", "payload": {"url": "https://cdn.example/t.png", "sticker_id": "369239263222822"}},
            ],
        }
    ),
    "message_deleted": item(message={"mid": "m_gone", "is_deleted": True}),
    "message_unsupported": item(message={"mid": "m_odd", "is_unsupported": True}),
    "message_edit": item(message_edit={"mid": "m_text", "text": "Do you have them in blue?", "num_edit": "2"}),
    "echo": {
        "sender": {"id": PAGE_ID},
        "recipient": {"id": PERSON_ID},
        "timestamp": SENT_AT,
        "message": {
            "is_echo": True,
            "app_id": 1517776481860111,
            "metadata": "greet_b",
            "mid": "m_echo",
            "text": "Hello",
        },
    },
    "postback": item(
        postback={
            "mid": "m_button",
            "title": "Start",
            "payload": "GET_STARTED",
            "referral": {"ref": "flyer", "source": "SHORTLINK", "type": "OPEN_THREAD"},
        }
    ),
    "referral": item(
        referral={
            "ref": "summer",
            "source": "ADS",
            "type": "OPEN_THREAD",
            "ad_id": 6045246247433,
            "ads_context_data": {"ad_title": "Summer shoes", "post_id": "1_2"},
        }
    ),
    "lead": {
        **item(referral={"source": "ADS", "type": "LEAD_COMPLETE"}, timestamp=1_767_225_600),
        "lead": {"data": [{"question": "Your shoe size?", "answer": "43"}]},
    },
    "optin": item(optin={"ref": "newsletter"}, timestamp="1767225600"),
    "optin_checkbox": pageward(optin={"ref": "cart", "user_ref": "ref-4711"}),
    "optin_notification_messages": item(
        optin={
            "type": "notification_messages",
            "payload": "WEEKLY",
            "notification_messages_token": "71937219379821",
            "notification_messages_timezone": "Europe/Berlin",
            "token_expiry_timestamp": 1_780_000_000_000,
            "user_token_status": "NOT_REFRESHED",
            "title": "Weekly offers",
        }
    ),
    "optin_stop": item(
        optin={
            "type": "notification_messages",
            "notification_messages_status": "STOP NOTIFICATIONS",
            "payload": "WEEKLY",
        }
    ),
    "delivery": {
        "sender": {"id": PERSON_ID},
        "recipient": {"id": PAGE_ID},
        "delivery": {"mids": ["m_echo"], "watermark": SENT_AT},
    },
    "read": item(read={"watermark": SENT_AT}),
    "reaction": item(reaction={"reaction": "love", "emoji": "❤", "action": "react", "mid": "m_echo"}),
    "account_linking": item(account_linking={"status": "linked", "authorization_code": "secret-code"}),
    "policy_enforcement": pageward(policy_enforcement={"action": "warning", "reason": "Too many complaints."}),
    "app_roles": pageward(app_roles={"1517776481860111": ["primary_receiver"]}),
    "pass_thread_control": item(
        pass_thread_control={"previous_owner_app_id": None, "new_owner_app_id": 263902037430900, "metadata": "human"}
    ),
    "take_thread_control": item(
        take_thread_control={"previous_owner_app_id": "1517776481860111", "new_owner_app_id": "26", "metadata": "back"}
    ),
    "request_thread_control": item(request_thread_control={"requested_owner_app_id": 26, "metadata": "please"}),
    "game_play": item(
        game_play={"game_id": "77", "player_id": "88", "context_type": "SOLO", "score": 12, "payload": "LEVEL_3"}
    ),
    "response_feedback": item(response_feedback={"feedback": "Good response", "mid": "m_echo"}),
    "messaging_feedback": {
        "sender": {"id": PERSON_ID},
        "recipient": {"id": PAGE_ID},
        "messaging_feedback": {
            "feedback_screens": [
                {
                    "screen_id": 0,
                    "questions": {
                        "hotel": {
                            "type": "csat",
                            "payload": "5",
                            "follow_up": {"type": "free_form", "payload": "Quiet rooms"},
                        }
                    },
                }
            ]
        },
    },
    "customer_information": item(
        messaging_customer_information={
            "screens": [{"screen_id": "address", "responses": [{"key": "name", "value": "Ada Example"}]}]
        }
    ),
    "order": item(
        order={
            "products": [
                {"id": 5, "retailer_id": "SHOE-1", "name": "Shoe", "unit_price": 99.5, "currency": "EUR", "quantity": 1}
            ],
            "note": "By Friday",
        }
    ),
    "coupon": item(template={"type": "coupon", "payload": "SPRING", "coupon_code": "SAVE20"}),
    "form": item(form={"id": "5550001"}),
    "message_request": item(message_request="accept"),
    "payment": item(
        payment={
            "payload": "BUY",
            "requested_user_info": {"contact_name": "Ada Example"},
            "payment_credential": {"provider_type": "stripe", "charge_id": "ch_1"},
            "amount": {"currency": "USD", "amount": "29.62"},
            "shipping_option_id": 123,
        }
    ),
    "checkout_update": item(checkout_update={"payload": "BUY", "shipping_address": {"city": "Menlo Park"}}),
    "pre_checkout": item(
        pre_checkout={"payload": "BUY", "requested_user_info": {}, "amount": {"currency": "USD", "amount": "2.70"}}
    ),
    "branded_camera": item(branded_camera={"content_ids": [123], "event": "dismiss"}),
    "inbox_labels": {
        "field": "inbox_labels",
        "value": {"user": {"id": PERSON_ID}, "action": "add", "label": {"id": 9, "page_label_name": "VIP"}},
    },
    "test_button": {"field": "messages", "value": item(message={"mid": "m_test", "text": "TEST_MESSAGE"})},
    "change": {"field": "feed", "value": {"item": "comment", "message": "Nice!"}},
    "unknown": item(message_from_tomorrow={"mid": "m_new"}),
}
"""One item of every row of the platform's event table, by a name for it."""


def _wholes() -> st.SearchStrategy[int]:
    return st.integers(min_value=-(2**63), max_value=2**64 - 1)


def scalars() -> st.SearchStrategy[Any]:
    """Any JSON value that holds no other."""
    text = st.text(st.characters(codec="utf-8"), max_size=12)
    return st.none() | st.booleans() | _wholes() | st.floats(allow_nan=False, allow_infinity=False) | text


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, with the platform's own words as likely keys."""
    words = st.sampled_from(sorted({key for sample in ITEMS.values() for key in sample} | {"id", "mid", "text", "url"}))
    keys = words | st.text(st.characters(codec="utf-8"), max_size=8)
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def bent(draw: st.DrawFn, value: Any) -> Any:
    """A copy of *value* with some of its members replaced by any JSON, or left out."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(min_value=0, max_value=3))):
        place = value
        while isinstance(place, (dict, list)) and place:
            key: Any = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], (dict, list)) and place[key] and draw(st.integers(0, 3)):
                place = place[key]
                continue
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(json_values())
            break
    return value


def items() -> st.SearchStrategy[dict[str, Any]]:
    """One realistic item."""
    return st.sampled_from(list(ITEMS.values())).map(copy.deepcopy)


def webhooks() -> st.SearchStrategy[dict[str, Any]]:
    """A realistic webhook with up to three items of any kinds in one array, and at times what stands beside it."""
    beside = {"hop_context": [{"app_id": 26, "metadata": "passed"}], "field": "comments", "value": {"id": "17"}}

    def with_siblings(found: Any, names: list[str], **about: Any) -> dict[str, Any]:
        body = webhook(*found, **about)
        body["entry"][0].update({name: beside[name] for name in names})
        return body

    return st.builds(
        with_siblings,
        st.lists(items(), max_size=3),
        st.lists(st.sampled_from(sorted(beside)), unique=True),
        under=st.sampled_from(["messaging", "standby", "changes"]),
        about=st.sampled_from(["page", "instagram"]),
        page_id=st.sampled_from([PAGE_ID, int(PAGE_ID), "0", None, PERSON_ID]),
    )


def bent_webhooks() -> st.SearchStrategy[Any]:
    """A realistic webhook with some of its members replaced by any JSON, or left out."""
    return webhooks().flatmap(bent)
