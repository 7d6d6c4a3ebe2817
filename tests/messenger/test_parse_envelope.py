"""Forms of a webhook, and the person and Page of an item."""

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
    """The event, read again from what an inbox stores."""
    return parse_item(event.raw, channel=event.channel, page_id=event.page_id, standby=event.standby)


def test_page_is_messenger() -> None:
    """The object ``page`` is Messenger."""
    (event,) = parse_webhook(webhook(ITEMS["message"]))
    assert (Channel.MESSENGER, PAGE_ID) == (event.channel, event.page_id)


def test_instagram_is_a_channel() -> None:
    """The object ``instagram`` names the account."""
    (event,) = parse_webhook(webhook(ITEMS["message"], about="instagram", page_id=INSTAGRAM_ID))
    assert (Channel.INSTAGRAM, INSTAGRAM_ID) == (event.channel, event.page_id)


def test_webhooks_in_a_list_are_read() -> None:
    """The documentation of the Instagram Platform shows one in a list."""
    one, two = webhook(ITEMS["message"], about="instagram"), webhook(ITEMS["read"])
    assert parse_webhook(one) + parse_webhook(two) == parse_webhook(orjson.dumps([one, two]))


def test_list_may_hold_webhooks_of_other_objects() -> None:
    """Those of the Page are read."""
    ours = webhook(ITEMS["message"])
    assert parse_webhook(ours) == parse_webhook(orjson.dumps([{"object": "user", "entry": []}, ours]))


@pytest.mark.parametrize("odd", [None, {}, [], "page", {"object": 5, "entry": []}])
def test_list_with_anything_else_in_it_is_refused(odd: Any) -> None:
    """Each member of the list must be a webhook."""
    with pytest.raises(NotAWebhook):
        parse_webhook(orjson.dumps([webhook(ITEMS["message"]), odd]))


def test_change_may_be_in_the_entry_itself() -> None:
    """Comments for apps with Instagram Login have no array around them."""
    value = {"id": "17", "text": "Nice!", "from": {"id": "5"}}
    entry = {"id": INSTAGRAM_ID, "time": 1, "field": "comments", "value": value}
    (event,) = parse_webhook({"object": "instagram", "entry": [entry]})
    raw = {"field": "comments", "value": value}
    wanted = ChangeEvent(
        channel=Channel.INSTAGRAM, page_id=INSTAGRAM_ID, raw=raw, field="comments", value=value, comment_id="17"
    )
    assert wanted == event


def test_message_may_be_in_the_entry_itself() -> None:
    """A messaging field is read as an item there, too."""
    entry = {"id": PAGE_ID, "field": "messages", "value": ITEMS["message"]}
    (event,) = parse_webhook({"object": "page", "entry": [entry]})
    assert (Kind.MESSAGE, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("under", ["messaging", "standby"])
def test_hop_context_of_the_entry_applies_to_each_item(under: str, many: bool) -> None:
    """It is part of what an inbox stores."""
    hop = {"app_id": 2262, "metadata": "messenger_lead_gen_complete"}
    body = webhook(ITEMS["pass_thread_control"], ITEMS["message"], under=under)
    body["entry"][0]["hop_context"] = [hop] if many else hop
    for event in parse_webhook(body):
        assert (HopContext(app_id="2262", metadata="messenger_lead_gen_complete"),) == event.hop_context
        assert event == again(event)


def test_items_carry_few_hops_of_their_entry() -> None:
    """Each item is stored with them, so many items with many hops would fill memory and store."""
    body = webhook(*[ITEMS["message"]] * 3)
    body["entry"][0]["hop_context"] = [{"app_id": number} for number in range(10_000)]
    assert [[str(number) for number in range(20)]] * 3 == [
        [hop.app_id for hop in event.hop_context] for event in parse_webhook(body)
    ]


def test_hop_context_of_the_item_takes_precedence() -> None:
    """That of the entry does not replace it."""
    body = webhook({**ITEMS["message"], "hop_context": {"app_id": "1"}})
    body["entry"][0]["hop_context"] = {"app_id": "2"}
    (event,) = parse_webhook(body)
    assert (HopContext(app_id="1"),) == event.hop_context


def test_dashboard_test_button() -> None:
    """The test button sends an item in a change, with seconds as text and without a Page."""
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


def test_page_of_a_change_may_be_in_its_value() -> None:
    """A test event of an app has no other Page."""
    change = {"field": "feed", "value": {"page_id": 42, "item": "post"}}
    (event,) = parse_webhook(webhook(change, under="changes", page_id="0"))
    assert ChangeEvent(page_id="42", raw=change, field="feed", value=change["value"]) == event


def test_change_of_standby_is_standby() -> None:
    """The field means that another app controls the thread."""
    (event,) = parse_webhook(webhook({"field": "standby", "value": ITEMS["message"]}, under="changes"))
    assert (Kind.MESSAGE, True) == (event.kind, event.standby)


@pytest.mark.parametrize("value", [None, 5, "hello", [], {}, {"page_id": "42"}])
def test_messaging_change_without_an_item_is_a_change(value: Any) -> None:
    """Field and value are kept."""
    (event,) = parse_webhook(webhook({"field": "messages", "value": value}, under="changes"))
    assert ChangeEvent(page_id=PAGE_ID, raw=event.raw, field="messages", value=value) == event


def test_unknown_messaging_change_of_a_person_is_unknown() -> None:
    """With sender or recipient it is an item of an unknown kind."""
    (event,) = parse_webhook(webhook({"field": "messaging_tomorrow", "value": ITEMS["unknown"]}, under="changes"))
    assert (Kind.UNKNOWN, PERSON_ID) == (event.kind, event.user_id)


def test_feed_change_that_looks_like_a_message_is_a_change() -> None:
    """Only messaging fields have messaging items."""
    change = {"field": "feed", "value": ITEMS["message"]}
    (event,) = parse_webhook(webhook(change, under="changes"))
    assert event.kind is Kind.CHANGE


def test_template_status_is_a_change() -> None:
    """Its field begins like a messaging field, but its value is not an item."""
    change = {"field": "message_template_status_update", "value": {"message_template_id": 1, "event": "APPROVED"}}
    (event,) = parse_webhook(webhook(change, under="changes"))
    assert event.kind is Kind.CHANGE


def test_person_is_the_party_that_is_not_the_page() -> None:
    """For messages and echoes."""
    value = {"sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}, "message_edit": {"mid": "m", "num_edit": 1}}
    (event,) = parse_webhook(webhook(value))
    assert (PERSON_ID, PAGE_ID) == (event.user_id, event.page_id)


@pytest.mark.parametrize("about", ["page", "instagram"])
@pytest.mark.parametrize("name", [name for name in ITEMS if "sender" in ITEMS[name] and "message" not in ITEMS[name]])
def test_sender_decides_who_did_it(name: str, about: str) -> None:
    """Of every kind; the person stays the one who is not the Page."""
    own = {**ITEMS[name], "sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}}
    theirs, pages = parse_webhook(webhook(ITEMS[name], own, about=about))

    assert (PERSON_ID, False) == (theirs.user_id, theirs.from_page)
    assert (PERSON_ID, True) == (pages.user_id, pages.from_page)
    assert pages == again(pages)


@pytest.mark.parametrize("name", ["reaction", "read", "delivery"])
def test_same_act_of_page_and_person_is_not_a_redelivery(name: str) -> None:
    """Even at the same time."""
    own = {**ITEMS[name], "sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}}
    theirs, pages = parse_webhook(webhook(ITEMS[name], own))

    assert theirs.key != pages.key


def test_message_from_the_page_is_an_echo_without_a_mark() -> None:
    """Otherwise a bot would reply to itself."""
    value = {"sender": {"id": PAGE_ID}, "recipient": {"id": PERSON_ID}, "message": {"mid": "m", "text": "Hi"}}
    (event,) = parse_webhook(webhook(value, about="instagram"))
    assert (Kind.ECHO, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)
    assert event.from_page


def test_person_of_an_echo_to_the_page_is_its_sender() -> None:
    """The mark makes it an echo, but the person is not the Page."""
    value = {"sender": {"id": PERSON_ID}, "recipient": {"id": PAGE_ID}, "message": {"mid": "m", "is_echo": True}}
    (event,) = parse_webhook(webhook(value))
    assert (Kind.ECHO, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)
    assert event.from_page


@pytest.mark.parametrize("page_id", ["3", 3, "0", None])
@pytest.mark.parametrize("is_echo", [False, True])
def test_sender_and_recipient_may_have_one_id(page_id: Any, is_echo: bool) -> None:
    """In test data only the mark of an echo shows the direction."""
    value = {"sender": {"id": "3"}, "recipient": {"id": "3"}, "message": {"mid": "m", "is_echo": is_echo}}
    (event,) = parse_webhook(webhook(value, page_id=page_id))
    assert (Kind.ECHO if is_echo else Kind.MESSAGE, "3", "3") == (event.kind, event.user_id, event.page_id)
    assert event == again(event)


@pytest.mark.parametrize("page_id", ["3", "0"])
def test_policy_warning_has_no_person(page_id: str) -> None:
    """Old data has the Page as sender."""
    value = {"sender": {"id": "3"}, "recipient": {"id": "3"}, "policy-enforcement": {"action": "block"}}
    (event,) = parse_webhook(webhook(value, page_id=page_id))
    assert (Kind.POLICY_ENFORCEMENT, None, "3") == (event.kind, event.user_id, event.page_id)


def test_instagram_edit_in_a_change() -> None:
    """The field is in the singular."""
    change = {"field": "message_edit", "value": item(message_edit={"mid": "m", "num_edit": 0})}
    (event,) = parse_webhook(webhook(change, under="changes", about="instagram"))
    assert (Kind.MESSAGE_EDIT, PERSON_ID) == (event.kind, event.user_id)
