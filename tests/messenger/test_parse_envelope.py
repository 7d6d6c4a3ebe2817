"""Forms that the envelope of a webhook takes, and whom and which Page an item is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from kochava_bot_middleware.exceptions import NotAWebhook
from kochava_bot_middleware.messenger.events import ChangeEvent, Channel, Event, HopContext, Kind, MessageEvent
from kochava_bot_middleware.messenger.parsing.webhook import parse_item, parse_webhook
from tests.strategies import INSTAGRAM_ID, ITEMS, PAGE_ID, PERSON_ID, item, webhook


def again(event: Event) -> Event:
    """The event, read anew from what an inbox stores."""
    return parse_item(event.raw, channel=event.channel, page_id=event.page_id, standby=event.standby)


def test_page_is_messenger() -> None:
    """Webhooks of a Page come from Messenger."""
    (event,) = parse_webhook(webhook(ITEMS["message"]))
    assert (Channel.MESSENGER, PAGE_ID) == (event.channel, event.page_id)


def test_instagram_is_told_apart() -> None:
    """Webhooks of an Instagram account name that account."""
    (event,) = parse_webhook(webhook(ITEMS["message"], about="instagram", page_id=INSTAGRAM_ID))
    assert (Channel.INSTAGRAM, INSTAGRAM_ID) == (event.channel, event.page_id)


def test_webhooks_within_a_list_are_read() -> None:
    """The Instagram Platform's pages show a webhook as the one member of a list."""
    one, two = webhook(ITEMS["message"], about="instagram"), webhook(ITEMS["read"])
    assert parse_webhook(one) + parse_webhook(two) == parse_webhook(orjson.dumps([one, two]))


@pytest.mark.parametrize("odd", [None, {}, [], "page", {"object": "user", "entry": []}])
def test_list_with_anything_else_in_it_is_refused(odd: Any) -> None:
    """What is no webhook is none within a list either."""
    with pytest.raises(NotAWebhook):
        parse_webhook(orjson.dumps([webhook(ITEMS["message"]), odd]))


def test_change_may_stand_in_the_entry_itself() -> None:
    """Comments of apps with Instagram Login have no array around them."""
    value = {"id": "17", "text": "Nice!", "from": {"id": "5"}}
    entry = {"id": INSTAGRAM_ID, "time": 1, "field": "comments", "value": value}
    (event,) = parse_webhook({"object": "instagram", "entry": [entry]})
    raw = {"field": "comments", "value": value}
    wanted = ChangeEvent(channel=Channel.INSTAGRAM, page_id=INSTAGRAM_ID, raw=raw, field="comments", value=value)
    assert wanted == event


def test_message_may_stand_in_the_entry_itself() -> None:
    """A messaging field is read as its item, also there."""
    entry = {"id": PAGE_ID, "field": "messages", "value": ITEMS["message"]}
    (event,) = parse_webhook({"object": "page", "entry": [entry]})
    assert (Kind.MESSAGE, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("under", ["messaging", "standby"])
def test_hop_context_of_the_entry_is_each_items(under: str, many: bool) -> None:
    """The app before stands beside the items when control was passed, and outlives storing."""
    hop = {"app_id": 2262, "metadata": "messenger_lead_gen_complete"}
    body = webhook(ITEMS["pass_thread_control"], ITEMS["message"], under=under)
    body["entry"][0]["hop_context"] = [hop] if many else hop
    for event in parse_webhook(body):
        assert (HopContext(app_id="2262", metadata="messenger_lead_gen_complete"),) == event.hop_context
        assert event == again(event)


def test_hop_context_of_the_item_comes_first() -> None:
    """What an item tells of itself is not overwritten."""
    body = webhook({**ITEMS["message"], "hop_context": {"app_id": "1"}})
    body["entry"][0]["hop_context"] = {"app_id": "2"}
    (event,) = parse_webhook(body)
    assert (HopContext(app_id="1"),) == event.hop_context


def test_dashboard_test_button() -> None:
    """The test button wraps an item in a change, with seconds as text and no Page."""
    value = {
        "sender": {"id": "12334"},
        "recipient": {"id": "23245"},
        "timestamp": "1527459824",
        "message": {"mid": "random_mid", "text": "random_text"},
    }
    change = {"field": "messages", "value": value}
    (event,) = parse_webhook(webhook(change, under="changes", page_id="0"))
    wanted = MessageEvent(
        page_id="23245",
        user_id="12334",
        timestamp=datetime(2018, 5, 27, 22, 23, 44, tzinfo=UTC),
        raw=change,
        mid="random_mid",
        text="random_text",
    )
    assert wanted == event


def test_dashboard_test_of_an_app_names_the_page_inside() -> None:
    """Of a change without a Page, the value's own counts."""
    change = {"field": "feed", "value": {"page_id": 42, "item": "post"}}
    (event,) = parse_webhook(webhook(change, under="changes", page_id="0"))
    assert ChangeEvent(page_id="42", raw=change, field="feed", value=change["value"]) == event


def test_change_of_standby_is_standby() -> None:
    """The field tells that another app owns the thread."""
    (event,) = parse_webhook(webhook({"field": "standby", "value": ITEMS["message"]}, under="changes"))
    assert (Kind.MESSAGE, True) == (event.kind, event.standby)


@pytest.mark.parametrize("value", [None, 5, "hello", [], {}, {"page_id": "42"}])
def test_messaging_change_without_an_item_is_a_change(value: Any) -> None:
    """There is nothing to read, so field and value are passed on."""
    (event,) = parse_webhook(webhook({"field": "messages", "value": value}, under="changes"))
    assert ChangeEvent(page_id=PAGE_ID, raw=event.raw, field="messages", value=value) == event


def test_unknown_messaging_change_of_a_person_is_unknown() -> None:
    """With parties in it, it is an item of tomorrow."""
    (event,) = parse_webhook(webhook({"field": "messaging_tomorrow", "value": ITEMS["unknown"]}, under="changes"))
    assert (Kind.UNKNOWN, PERSON_ID) == (event.kind, event.user_id)


def test_feed_change_that_looks_like_a_message_is_a_change() -> None:
    """Only messaging fields hold messaging items."""
    change = {"field": "feed", "value": ITEMS["message"]}
    (event,) = parse_webhook(webhook(change, under="changes"))
    assert event.kind is Kind.CHANGE


def test_template_status_is_a_change() -> None:
    """The field begins like a messaging one, yet its value is not an item."""
    change = {"field": "message_template_status_update", "value": {"message_template_id": 1, "event": "APPROVED"}}
    (event,) = parse_webhook(webhook(change, under="changes"))
    assert event.kind is Kind.CHANGE


def test_item_of_the_page_itself_is_about_the_other_party() -> None:
    """The person is never the Page, echo or not."""
    value = {"sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}, "message_edit": {"mid": "m", "num_edit": 1}}
    (event,) = parse_webhook(webhook(value))
    assert (PERSON_ID, PAGE_ID) == (event.user_id, event.page_id)


def test_message_of_the_page_is_an_echo_though_not_marked() -> None:
    """A bot that took it for a person's would answer itself."""
    value = {"sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}, "message": {"mid": "m", "text": "Hi"}}
    (event,) = parse_webhook(webhook(value, about="instagram"))
    assert (Kind.ECHO, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)


def test_echo_towards_the_page_is_about_its_sender() -> None:
    """What is marked as an echo is one, yet the person is not the Page."""
    value = {"sender": {"id": PERSON_ID}, "recipient": {"id": PAGE_ID}, "message": {"mid": "m", "is_echo": True}}
    (event,) = parse_webhook(webhook(value))
    assert (Kind.ECHO, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)


@pytest.mark.parametrize("page_id", ["3", 3, "0", None])
@pytest.mark.parametrize("is_echo", [False, True])
def test_parties_with_one_id_keep_it(page_id: Any, is_echo: bool) -> None:
    """Made-up data often has one id for all; the mark of an echo is all that tells then."""
    value = {"sender": {"id": "3"}, "recipient": {"id": "3"}, "message": {"mid": "m", "is_echo": is_echo}}
    (event,) = parse_webhook(webhook(value, page_id=page_id))
    assert (Kind.ECHO if is_echo else Kind.MESSAGE, "3", "3") == (event.kind, event.user_id, event.page_id)
    assert event == again(event)


@pytest.mark.parametrize("page_id", ["3", "0"])
def test_policy_warning_is_about_nobody(page_id: str) -> None:
    """Old data names the Page as its sender."""
    value = {"sender": {"id": "3"}, "recipient": {"id": "3"}, "policy-enforcement": {"action": "block"}}
    (event,) = parse_webhook(webhook(value, page_id=page_id))
    assert (Kind.POLICY_ENFORCEMENT, None, "3") == (event.kind, event.user_id, event.page_id)


def test_instagram_edit_within_a_change() -> None:
    """Instagram names the field in the singular."""
    change = {"field": "message_edit", "value": item(message_edit={"mid": "m", "num_edit": 0})}
    (event,) = parse_webhook(webhook(change, under="changes", about="instagram"))
    assert (Kind.MESSAGE_EDIT, PERSON_ID) == (event.kind, event.user_id)
