"""Events about threads, taps and the apps that control a thread."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kochava_bot_middleware.messenger import events
from tests.strategies import ITEMS, PAGE_ID, PERSON_ID, item, only

SENT = datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)


def test_postback() -> None:
    """A tapped button has title and payload, and the referral of a first contact."""
    event = only(events.PostbackEvent, ITEMS["postback"])
    assert ("GET_STARTED", "Start", "m_button") == (event.payload, event.title, event.mid)
    assert events.Referral(ref="flyer", source="SHORTLINK", type="OPEN_THREAD") == event.referral


def test_postback_in_standby() -> None:
    """Only the app that sent the button gets its payload."""
    event = only(events.PostbackEvent, item(postback={"title": "", "referral": {"ref": None}}), under="standby")
    assert (True, None, "", events.Referral()) == (event.standby, event.payload, event.title, event.referral)


def test_referral() -> None:
    """Returning through an ad names the ad and its content."""
    event = only(events.ReferralEvent, ITEMS["referral"])
    assert event.referral is not None
    assert ("summer", "6045246247433") == (event.referral.ref, event.referral.ad_id)
    assert event.referral.ads_context["ad_title"] == "Summer shoes"
    assert () == event.lead


def test_referral_of_the_chat_plugin() -> None:
    """The plugin names the page that contained it."""
    referral = {"source": "CUSTOMER_CHAT_PLUGIN", "referer_uri": "https://shop.example/", "is_guest_user": True}
    event = only(events.ReferralEvent, {"sender": {"user_ref": "ref-1"}, "referral": referral})
    assert event.referral is not None
    assert ("ref-1", "https://shop.example/", True) == (
        event.user_id,
        event.referral.referer_uri,
        event.referral.is_guest_user,
    )


def test_lead() -> None:
    """The answers of a lead ad are beside the referral, and the time is in seconds."""
    event = only(events.ReferralEvent, ITEMS["lead"])
    assert (events.LeadAnswer(question="Your shoe size?", answer="43"),) == event.lead
    assert datetime(2026, 1, 1, tzinfo=UTC) == event.timestamp


def test_lead_in_a_change() -> None:
    """The dashboard's test button sends the same item in a change."""
    event = only(events.ReferralEvent, {"field": "messaging_referrals", "value": ITEMS["lead"]}, under="changes")
    assert ("43",) == tuple(answer.answer for answer in event.lead)


def test_optin_of_send_to_messenger() -> None:
    """The time of an opt-in may be text in seconds."""
    event = only(events.OptinEvent, ITEMS["optin"])
    assert ("newsletter", datetime(2026, 1, 1, tzinfo=UTC), False) == (event.ref, event.timestamp, event.opted_out)


def test_optin_of_the_checkbox_plugin() -> None:
    """Without a sender the reference of the plugin is the person."""
    event = only(events.OptinEvent, ITEMS["optin_checkbox"])
    assert ("ref-4711", "ref-4711") == (event.user_id, event.user_ref)


def test_optin_of_one_time_notification() -> None:
    """The token of the former notifications is read, too."""
    optin = {"type": "one_time_notif_req", "payload": "P", "one_time_notif_token": "tok"}
    event = only(events.OptinEvent, item(optin=optin))
    assert ("one_time_notif_req", "P", "tok") == (event.type, event.payload, event.token)


def test_optin_of_notification_messages() -> None:
    """An opt-in to notification messages has a token that expires."""
    event = only(events.OptinEvent, ITEMS["optin_notification_messages"])
    assert ("71937219379821", "Europe/Berlin", "NOT_REFRESHED") == (
        event.token,
        event.timezone,
        event.user_token_status,
    )
    assert datetime.fromtimestamp(1_780_000_000, UTC) == event.token_expiry
    assert not event.opted_out


def test_stop_is_an_optin_that_opted_out() -> None:
    """The platform reports an opt-out as an opt-in."""
    assert only(events.OptinEvent, ITEMS["optin_stop"]).opted_out


@pytest.mark.parametrize(
    ("status", "opted_out"),
    [
        ("STOP NOTIFICATIONS", True),
        ("STOP_NOTIFICATIONS", True),
        ("stop notifications", True),
        ("STOP", True),
        ("RESUME NOTIFICATIONS", False),
        ("RESUME_NOTIFICATIONS", False),
    ],
)
def test_opt_out_is_recognised_in_any_spelling(status: str, opted_out: bool) -> None:
    """Otherwise a person who opted out would get messages."""
    optin = {"type": "notification_messages", "notification_messages_status": status}
    assert opted_out is only(events.OptinEvent, item(optin=optin)).opted_out


def test_account_linking() -> None:
    """A login has a code."""
    event = only(events.AccountLinkingEvent, ITEMS["account_linking"])
    assert ("linked", "secret-code") == (event.status, event.authorization_code)


@pytest.mark.parametrize("key", ["policy_enforcement", "policy-enforcement"])
def test_policy_enforcement(key: str) -> None:
    """A policy warning has no person; very old data has a dash in the key."""
    value = {"recipient": {"id": PAGE_ID}, key: {"action": "block", "reason": "Spam"}}
    event = only(events.PolicyEnforcementEvent, value)
    assert ("block", "Spam", None) == (event.action, event.reason, event.user_id)


def test_app_roles() -> None:
    """Roles are keyed by app."""
    assert {"1517776481860111": ("primary_receiver",)} == only(events.AppRolesEvent, ITEMS["app_roles"]).roles


def test_pass_thread_control() -> None:
    """An idle thread had no owner."""
    event = only(events.PassThreadControlEvent, ITEMS["pass_thread_control"])
    wanted = (None, "263902037430900", "human")
    assert wanted == (event.previous_owner_app_id, event.new_owner_app_id, event.metadata)


def test_take_thread_control() -> None:
    """Both owners are named."""
    event = only(events.TakeThreadControlEvent, ITEMS["take_thread_control"])
    wanted = ("1517776481860111", "26", "back")
    assert wanted == (event.previous_owner_app_id, event.new_owner_app_id, event.metadata)


def test_request_thread_control() -> None:
    """The app that requests control is named."""
    event = only(events.RequestThreadControlEvent, ITEMS["request_thread_control"])
    assert ("26", "please") == (event.requested_owner_app_id, event.metadata)


def test_inbox_labels() -> None:
    """A label was added to a person."""
    event = only(events.InboxLabelsEvent, ITEMS["inbox_labels"], under="changes")
    wanted = (PERSON_ID, "add", "9", "VIP")
    assert wanted == (event.user_id, event.action, event.label_id, event.page_label_name)


def test_feed_change() -> None:
    """What is not messaging has field and value."""
    event = only(events.ChangeEvent, ITEMS["change"], under="changes")
    assert ("feed", ITEMS["change"]["value"], None) == (event.field, event.value, event.user_id)


@pytest.mark.parametrize("reported", [{"created_time": 1_767_225_600}, {"timestamp": "2026-01-01T00:00:00+0000"}])
def test_change_has_the_time_of_its_value(reported: dict[str, Any]) -> None:
    """A change has no time of its own."""
    event = only(events.ChangeEvent, {"field": "feed", "value": reported}, under="changes")
    assert datetime(2026, 1, 1, tzinfo=UTC) == event.timestamp


def test_message_request_accepted() -> None:
    """The only key with text as its value."""
    assert only(events.MessageRequestEvent, ITEMS["message_request"]).answer == "accept"
