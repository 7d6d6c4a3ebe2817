"""The event of Kochava that a Messenger event becomes by itself."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.kochava.standard import RESERVED_KEYS
from kochava_bot_middleware.messenger.events import (
    AccountLinkingEvent,
    Attachment,
    Channel,
    DeliveryEvent,
    EchoEvent,
    Event,
    FeedbackQuestion,
    FeedbackScreen,
    GamePlayEvent,
    Kind,
    MessageDeletedEvent,
    MessageEditEvent,
    MessageEvent,
    MessagingFeedbackEvent,
    OptinEvent,
    OrderEvent,
    PassThreadControlEvent,
    PaymentEvent,
    PostbackEvent,
    PreCheckoutEvent,
    QuickReplyEvent,
    ReactionEvent,
    ReadEvent,
    Referral,
    ReferralEvent,
    ResponseFeedbackEvent,
)
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.tracking.automatic_events import (
    DEFAULT_NAMES,
    AutomaticEvent,
    EngagementSettings,
    automatic_event,
)
from kochava_bot_middleware.tracking.people import IdentitySettings, Person, record_id, usertime_of


def automatic(event: Event, **more: Any) -> AutomaticEvent | None:
    options = {"handler": "greet", "handled": True, "settings": EngagementSettings(), **more}
    return automatic_event(event, **options)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (MessageEvent(user_id="1", text="hi"), "Message"),
        (QuickReplyEvent(user_id="1", text="Yes", quick_reply_payload="YES"), "Quick Reply"),
        (PostbackEvent(user_id="1", payload="BUY"), "Postback"),
        (ReferralEvent(user_id="1"), "Referral"),
        (OptinEvent(user_id="1"), "Opt In"),
        (OptinEvent(user_id="1", opted_out=True), "Opt Out"),
        (ReactionEvent(user_id="1", action="react"), "Reaction"),
        (AccountLinkingEvent(user_id="1", status="linked"), "Account Linked"),
        (AccountLinkingEvent(user_id="1", status="unlinked"), "Account Unlinked"),
        (OrderEvent(user_id="1"), "Order"),
        (GamePlayEvent(user_id="1"), "Game Play"),
        (PassThreadControlEvent(user_id="1"), "Handover"),
    ],
)
def test_each_kind_has_its_name(event: Event, name: str) -> None:
    """As shown in Kochava without any setting."""
    made = automatic(event)

    assert made is not None
    assert name == made[0]


@pytest.mark.parametrize(
    "event",
    [
        EchoEvent(user_id="1"),
        DeliveryEvent(user_id="1"),
        ReadEvent(user_id="1"),
        MessageEditEvent(user_id="1"),
        MessageDeletedEvent(user_id="1"),
        ReactionEvent(user_id="1", action="unreact"),
        MessageEvent(user_id="1", standby=True),
        MessageEvent(user_id=None),
    ],
)
def test_an_event_that_is_no_engagement_gives_no_event(event: Event) -> None:
    """Machine traffic, other apps' threads, and events without a person."""
    assert automatic(event) is None


def test_every_kind_is_decided() -> None:
    """A new kind must be given a name or turned off on purpose."""
    assert set(Kind) <= set(DEFAULT_NAMES)


def test_the_facts_are_small_and_say_what_happened() -> None:
    """Kind, channel, payload, handler, and where the person came from."""
    event = PostbackEvent(
        user_id="1",
        payload="BUY",
        channel=Channel.INSTAGRAM,
        referral=Referral(ref="summer", source="ADS", ad_id="42"),
    )
    made = automatic(event)

    assert made is not None
    assert {
        "kind": "postback",
        "channel": "instagram",
        "postback_payload": "BUY",
        "handler": "greet",
        "handled": True,
        "referral_from": "summer",
        "referral_source": "ADS",
        "referral_ad_id": "42",
    } == made[1]


def test_a_long_payload_is_cut_at_100_characters() -> None:
    """Payloads may carry a whole state."""
    made = automatic(PostbackEvent(user_id="1", payload="x" * 1000))

    assert made is not None
    assert 100 == len(made[1]["postback_payload"])


@pytest.mark.parametrize(
    "payload",
    [
        "jane@shop.example",
        "+1 (555) 010-9999",
        "(555) 123-4567",
        "+49 171 1234567",
        "+(49) 171/1234567",
        "+15550109999",
        "5550109999",
    ],
)
def test_an_address_or_number_never_leaves(payload: str) -> None:
    """Of an e-mail or phone quick reply, payload and text are the address or number itself."""
    made = automatic(QuickReplyEvent(user_id="1", text=payload, quick_reply_payload=payload))

    assert made is not None
    assert "postback_payload" not in made[1]


def test_an_address_within_a_payload_never_leaves() -> None:
    """Some authors keep state in payloads."""
    made = automatic(PostbackEvent(user_id="1", payload="send:jane@shop.example"))

    assert made is not None
    assert "postback_payload" not in made[1]


PERSONAL = [
    "jane%40shop.example",
    "jane%2540shop.example",
    '{"action":"send","to":"jane\\u0040shop.example"}',
    "mailto:jane@shop.example",
    "jane&#64;shop.example",
    "jane\uff20shop.example",
    "jane @ shop.example",
    "jane(at)shop.example",
    "amFuZUBzaG9wLmV4YW1wbGU=",
    "amFuZUBzaG9wLmV4YW1wbGU",
    "6a616e654073686f702e6578616d706c65",
    "tel:+491711234567",
    "tel:01711234567",
    "%2B491711234567",
    "%2B49+171+1234567",
    '{"phone":"5550109999"}',
    '{"userPhone": 5550109999}',
    "call:+1 (555) 010-9999",
    "\uff0b\uff14\uff19 171 1234567",
    "+49\u2011171\u20111234567",
    "0049 171 1234567",
    "phone_number=01711234567",
]


@pytest.mark.parametrize("text", PERSONAL)
def test_an_address_or_number_in_another_spelling_never_leaves(text: str) -> None:
    """Neither as a payload nor as the `ref` of a referral."""
    made = automatic(PostbackEvent(user_id="1", payload=text, referral=Referral(ref=text, source="SHORTLINK")))

    assert made is not None
    assert {"postback_payload", "referral_from"}.isdisjoint(made[1])
    assert "SHORTLINK" == made[1]["referral_source"]


@pytest.mark.parametrize("payload", ["5550109999", "555 010 9999", "CALL_5550109999", '{"number": "5550109999"}'])
def test_the_number_of_a_phone_quick_reply_never_leaves(payload: str) -> None:
    """Its text is the number, and the payload has the same digits in some form."""
    made = automatic(QuickReplyEvent(user_id="1", text="(555) 010-9999", quick_reply_payload=payload))

    assert made is not None
    assert "postback_payload" not in made[1]


@pytest.mark.parametrize(
    "payload",
    [
        "GET_STARTED",
        "BUY:hotel_1234567",
        "ORDER-20260901-000123",
        "00123456789",
        "sku=red+12345678",
        "HEADPHONE_1234567",
        "iPhone 15 256000",
        '{"state":{"step":2,"sku":"A-100000001"}}',
        "utm_source%3Dmail%26utm_id%3D20260901",
        "d41d8cd98f00b204e9800998ecf8427e",
        "120210000000000000",
    ],
)
def test_what_only_looks_a_little_like_a_number_leaves(payload: str) -> None:
    """Articles, orders, dates, digests."""
    made = automatic(PostbackEvent(user_id="1", payload=payload, referral=Referral(ref=payload)))

    assert made is not None
    assert [payload, payload] == [made[1]["postback_payload"], made[1]["referral_from"]]


def test_an_authors_own_payload_leaves() -> None:
    """Also when it is a number, or the same as the title."""
    replies = [
        QuickReplyEvent(user_id="1", text="Order 7", quick_reply_payload="5550109999"),
        QuickReplyEvent(user_id="1", text="Yes", quick_reply_payload="Yes"),
    ]

    assert ["5550109999", "Yes"] == [made[1]["postback_payload"] for reply in replies if (made := automatic(reply))]


def test_the_text_never_leaves() -> None:
    """What a person wrote stays with the bot."""
    made = automatic(MessageEvent(user_id="1", text="my secret", attachments=(Attachment(type="image"),)))

    assert made is not None
    assert "my secret" not in str(made)
    assert "image" == made[1]["attachment_types"]


def test_an_unknown_type_of_attachment_is_other() -> None:
    """A type is free text of a webhook."""
    kinds = ("jane@shop.example", None, "ig_reel")
    made = automatic(MessageEvent(user_id="1", attachments=tuple(Attachment(type=kind) for kind in kinds)))

    assert made is not None
    assert "ig_reel,other" == made[1]["attachment_types"]


def test_no_fact_uses_a_key_that_kochava_reserves() -> None:
    """Kochava's reserved keys would be misread."""
    made = automatic(PostbackEvent(user_id="1", payload="P", referral=Referral(ref="r", source="s", ad_id="a")))

    assert made is not None
    assert set() == set(made[1]) & set(RESERVED_KEYS)


def figures(event: Event) -> dict[str, Any]:
    """What an event has beyond the facts of every event."""
    made = automatic(event)
    assert made is not None
    return {name: value for name, value in made[1].items() if name not in ("kind", "channel", "handler", "handled")}


def product(**members: Any) -> dict[str, Any]:
    personal = {"id": 5, "retailer_id": "SHOE-1", "name": "Shoe for Ada"}
    return {**personal, "unit_price": 99.5, "currency": "EUR", "quantity": 1, **members}


ODD_PRICES: list[Any] = [None, True, -1, "free", "1,5", math.nan, 1e308, [], ""]
ODD_QUANTITIES: list[Any] = [0, -1, "many", 1.5, True, 10**30]
ORDERS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([product()], {"price": 99.5, "currency": "EUR", "quantity": 1}),
    ([product(quantity=3)], {"price": 298.5, "currency": "EUR", "quantity": 3}),
    ([product(unit_price="99.50", quantity="2.0")], {"price": 199, "currency": "EUR", "quantity": 2}),
    ([product(unit_price="99.50", quantity="2")], {"price": 199, "currency": "EUR", "quantity": 2}),
    ([product(unit_price=0.1, quantity=3)], {"price": Decimal("0.3"), "currency": "EUR", "quantity": 3}),
    ([product(), product(unit_price=1, quantity=2)], {"price": 101.5, "currency": "EUR", "quantity": 3}),
    ([product(currency="eur")], {"price": 99.5, "currency": "EUR", "quantity": 1}),
    ([product(quantity=None)], {"price": 99.5, "currency": "EUR", "quantity": 1}),
    ([product(unit_price=0)], {"price": 0, "currency": "EUR", "quantity": 1}),
    ([product(), product(currency="USD")], {"quantity": 2}),
    ([product(currency="Euro")], {"quantity": 1}),
    ([product(currency=None)], {"quantity": 1}),
    *(([product(unit_price=odd)], {"quantity": 1}) for odd in ODD_PRICES),
    *(([product(quantity=odd)], {}) for odd in ODD_QUANTITIES),
    ([], {}),
]


@pytest.mark.parametrize(("products", "expected"), ORDERS)
def test_an_order_carries_its_total(products: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """Its currency and the number of things, and nothing that is written in it."""
    assert expected == figures(OrderEvent(user_id="1", products=tuple(products), note="By Friday"))


@pytest.mark.parametrize("kind", [PaymentEvent, PreCheckoutEvent])
def test_a_payment_carries_its_amount(kind: type[PaymentEvent | PreCheckoutEvent]) -> None:
    """If it has one."""
    person = {"contact_name": "Ada Example"}
    paid = kind(user_id="1", payload="BUY", requested_user_info=person, amount={"currency": "USD", "amount": "29.62"})
    assert {"price": Decimal("29.62"), "currency": "USD"} == figures(paid)
    assert {} == figures(kind(user_id="1", amount={"currency": "USD", "amount": "Ada"}))
    assert {} == figures(kind(user_id="1", amount={"amount": "29.62"}))


def rated(*questions: tuple[str | None, str | None]) -> MessagingFeedbackEvent:
    found = tuple(FeedbackQuestion(id="q", type=kind, payload=answer, follow_up="Ada's") for kind, answer in questions)
    return MessagingFeedbackEvent(user_id="1", feedback_screens=(FeedbackScreen(screen_id="0", questions=found),))


@pytest.mark.parametrize(
    ("questions", "expected"),
    [
        ([("csat", "5")], {"score": "5", "feedback_type": "csat"}),
        ([("CSAT", "4.0")], {"score": "4", "feedback_type": "csat"}),
        ([("nps", "10")], {"score": "10", "feedback_type": "nps"}),
        ([("free_form", "7"), ("ces", "3")], {"score": "3", "feedback_type": "ces"}),
        ([("nps", "9"), ("csat", "1")], {"score": "9", "feedback_type": "nps"}),
        ([("free_form", "5550109999")], {}),
        ([("csat", "5550109999")], {}),
        ([("csat", "very good")], {}),
        ([(None, "5")], {}),
        ([("csat", None)], {}),
        ([], {}),
    ],
)
def test_feedback_carries_its_score(questions: list[tuple[str | None, str | None]], expected: dict[str, str]) -> None:
    """Never what a person wrote."""
    assert expected == figures(rated(*questions))


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [("Good response", {"feedback": "Good response"}), ("call 5550109999", {}), (None, {})],
)
def test_feedback_on_a_message_carries_one_of_its_two_words(feedback: str | None, expected: dict[str, str]) -> None:
    """And nothing else that could be there."""
    assert expected == figures(ResponseFeedbackEvent(user_id="1", feedback=feedback))


def test_a_game_carries_its_score() -> None:
    """As text, which is how Kochava has it."""
    assert {"score": "12"} == figures(GamePlayEvent(user_id="1", score=12, payload="Ada"))
    assert {} == figures(GamePlayEvent(user_id="1"))


def test_a_named_event_replaces_the_automatic_one() -> None:
    """A purchase is not also counted as a postback."""
    assert automatic(PostbackEvent(user_id="1"), named=True) is None


def test_always_gives_both() -> None:
    """For who wants to see every message."""
    assert automatic(PostbackEvent(user_id="1"), named=True, settings=EngagementSettings(automatic="always"))


def test_off_gives_none() -> None:
    """For who names everything."""
    assert automatic(MessageEvent(user_id="1"), settings=EngagementSettings(automatic="off")) is None


def test_a_name_can_be_changed_or_turned_off() -> None:
    """By kind of event."""
    settings = from_mapping(EngagementSettings, {"names": {"message": "Chat", "postback": None, "read": "Read"}})
    events = (MessageEvent(user_id="1"), PostbackEvent(user_id="1"), ReadEvent(user_id="1"))
    made = [automatic(event, settings=settings) for event in events]

    assert ["Chat", None, "Read"] == [each and each[0] for each in made]


def test_a_name_for_no_known_kind_is_refused() -> None:
    """A misspelt kind would be silently without effect."""
    with pytest.raises(SettingsError, match=r"names: wanted kinds of events as keys .* got 'mesage'"):
        from_mapping(EngagementSettings, {"names": {"mesage": "Chat"}})


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 1_767_225_600),
        (None, 2_000_000_000),
        (datetime(2040, 1, 1, tzinfo=UTC), 2_000_000_000),
    ],
)
def test_usertime_is_the_webhooks_time_unless_missing_or_in_the_future(
    timestamp: datetime | None, expected: int
) -> None:
    """Kochava would refuse the future; receipt is the next best."""
    assert expected == usertime_of(timestamp, 2_000_000_000.9)


def test_a_record_id_tells_its_parts_apart() -> None:
    """Joined parts must not run into each other."""
    assert record_id("a", "bc") != record_id("ab", "c")


@pytest.mark.parametrize(("channel", "key"), [(Channel.MESSENGER, "fb_user_id"), (Channel.INSTAGRAM, "ig_user_id")])
def test_each_channel_has_its_own_device_id_key(channel: Channel, key: str) -> None:
    """A page-scoped and an Instagram-scoped id are different spaces of ids."""
    assert key == IdentitySettings().key_of(Person(user_id="7", channel=channel))
