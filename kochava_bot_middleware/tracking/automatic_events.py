"""
What a Messenger event means by itself: an event of Kochava, with a few facts that are not personal, and a signal for
the greeting.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import attrs

from ..exceptions import Violation
from ..kochava.contact_details import digits_of, holds_contact_details, is_phone_number
from ..kochava.event_data import clean_event_data
from ..kochava.standard import is_currency, standard_event_like
from ..messenger.events import (
    AccountLinkingEvent,
    ChangeEvent,
    Channel,
    DeliveryEvent,
    Event,
    FeedbackQuestion,
    GamePlayEvent,
    Kind,
    MessageEvent,
    MessagingFeedbackEvent,
    OptinEvent,
    OrderEvent,
    PaymentEvent,
    PostbackEvent,
    PreCheckoutEvent,
    ReactionEvent,
    ReadEvent,
    Referral,
    ResponseFeedbackEvent,
)
from ..messenger.parsing.json_values import integer
from ..settings import InvalidValue, Rule, at_least, check_rules, each, not_empty, one_of
from .funnel import Acted, Delivered, Signal

PAYLOAD_LENGTH = 100
"""Characters of a postback's payload that go into its event."""

ATTACHMENT_TYPES = frozenset({
    "image", "video", "audio", "file", "sticker", "location", "fallback", "template", "share", "post", "product",
    "story_mention", "reel", "ig_reel", "ig_post", "ephemeral", "like_heart", "unsupported_type",
})  # fmt: skip
"""Types of attachments that are sent under their name; any other is ``other``, since a type is free text."""

OPT_OUT = "opt_out"
"""Key in `EngagementSettings.names` for an opt-in event that is a stop."""

ACCOUNT_UNLINKED = "account_unlinked"
"""Key in `EngagementSettings.names` for an account-linking event that ends a link."""

DEFAULT_NAMES: Mapping[str, str | None] = {
    Kind.MESSAGE: "Message",
    Kind.QUICK_REPLY: "Quick Reply",
    Kind.MESSAGE_UNSUPPORTED: "Message",
    Kind.POSTBACK: "Postback",
    Kind.REFERRAL: "Referral",
    Kind.OPTIN: "Opt In",
    OPT_OUT: "Opt Out",
    Kind.REACTION: "Reaction",
    Kind.ACCOUNT_LINKING: "Account Linked",
    ACCOUNT_UNLINKED: "Account Unlinked",
    Kind.ORDER: "Order",
    Kind.COUPON: "Coupon",
    Kind.FORM: "Form",
    Kind.GAME_PLAY: "Game Play",
    Kind.RESPONSE_FEEDBACK: "Feedback",
    Kind.MESSAGING_FEEDBACK: "Feedback",
    Kind.CUSTOMER_INFORMATION: "Customer Information",
    Kind.MESSAGE_REQUEST: "Message Request",
    Kind.PAYMENT: "Payment",
    Kind.CHECKOUT_UPDATE: "Checkout Update",
    Kind.PRE_CHECKOUT: "Checkout",
    Kind.BRANDED_CAMERA: "Camera",
    Kind.PASS_THREAD_CONTROL: "Handover",
    Kind.TAKE_THREAD_CONTROL: "Handover",
    Kind.REQUEST_THREAD_CONTROL: "Handover",
    Kind.ECHO: None,
    Kind.DELIVERY: None,
    Kind.READ: None,
    Kind.MESSAGE_EDIT: None,
    Kind.MESSAGE_DELETED: None,
    Kind.APP_ROLES: None,
    Kind.POLICY_ENFORCEMENT: None,
    Kind.INBOX_LABELS: None,
    Kind.CHANGE: None,
    Kind.UNKNOWN: None,
}
"""Event name by kind; ``None`` is off."""


def _known_kinds(_instance: Any, _attribute: Any, names: Mapping[str, str | None]) -> None:
    for kind in names:
        if kind not in DEFAULT_NAMES:
            wanted = f"kinds of events as keys ({', '.join(DEFAULT_NAMES)})"
            raise InvalidValue(wanted, kind)
    each(not_empty)(None, None, names)


def _strictly_named(
    strict: bool,  # noqa: FBT001 - as settings have it
    names: Mapping[str, str | None],
) -> Iterator[Violation]:
    for kind, name in names.items() if strict else ():
        meant = None if name is None else standard_event_like(name)
        if meant is not None:
            yield Violation(key=f"names.{kind}", wanted=f"{str(meant)!r}, or another name", got=repr(name))


@attrs.frozen(kw_only=True)
class EngagementSettings:
    """
    Which events are recorded by themselves, and under which name.

    Attributes:
        automatic: ``unless_named``: a handling that records a named event gives only that one. ``always``: both.
            ``off``: only named ones.
        names: By kind of event, over `DEFAULT_NAMES`; ``None`` turns a kind off.
        strict: Raise at the call when an event has a name or key that Kochava refuses or takes for another. Otherwise
            it is sent and logged, without a value that cannot be sent, since a purchase must not be lost for a bad key.
            Meant for development.
        attach_referral: Which referral of a person is sent with their named events: ``last``, ``first`` or ``off``.
        referral_seconds: For how long.
        sessions: A person's first event after a day without one is preceded by a session, to which Kochava can
            attribute a re-engagement. No page of Kochava has the body of a session.
    """

    automatic: str = attrs.field(default="unless_named", validator=one_of("unless_named", "always", "off"))
    names: Mapping[str, str | None] = attrs.field(factory=dict, validator=_known_kinds)
    strict: bool = False
    attach_referral: str = attrs.field(default="last", validator=one_of("last", "first", "off"))
    referral_seconds: float = attrs.field(default=30 * 86400.0, validator=at_least(0))
    sessions: bool = False

    RULES: ClassVar[tuple[Rule, ...]] = (Rule(("strict", "names"), _strictly_named),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)


class AutomaticEvent(NamedTuple):
    """An event that is recorded by itself; `is_clean`: its data are as `clean_event_data` gives them."""

    name: str
    data: Mapping[str, Any]
    is_clean: bool


def automatic_event(
    event: Event, *, handler: str | None, handled: bool, settings: EngagementSettings, named: bool = False
) -> AutomaticEvent | None:
    """The event that *event* gives by itself, or ``None``; *named*: there is a named one beside it."""
    if settings.automatic == "off" or (named and settings.automatic == "unless_named"):
        return None
    if event.user_id is None or event.standby:
        return None
    name = _name(event, settings)
    if name is None:
        return None
    payload = _payload(event)
    if payload is not None:
        payload = payload[:PAYLOAD_LENGTH]
    facts, is_clean = _usual_facts(event.kind, event.channel, payload, handler, handled)
    further = _further_facts(event)
    return AutomaticEvent(name, {**facts, **further} if further else facts, is_clean and not further)


def _name(event: Event, settings: EngagementSettings) -> str | None:
    kind: str = event.kind
    if isinstance(event, OptinEvent) and event.opted_out:
        kind = OPT_OUT
    elif isinstance(event, AccountLinkingEvent) and event.status == "unlinked":
        kind = ACCOUNT_UNLINKED
    elif isinstance(event, ReactionEvent) and event.action == "unreact":
        return None
    return settings.names[kind] if kind in settings.names else DEFAULT_NAMES.get(kind)


@functools.lru_cache(maxsize=1024)
def _usual_facts(
    kind: Kind,
    channel: Channel,
    payload: str | None,
    handler: str | None,
    handled: bool,  # noqa: FBT001 - a part of the key
) -> tuple[Mapping[str, Any], bool]:
    """What each event says, clean if that was without a problem: few, which come again and again."""
    said = {"kind": str(kind), "channel": str(channel), "postback_payload": payload, "handler": handler}
    facts = {**{name: value for name, value in said.items() if value is not None}, "handled": handled}
    clean, problems = clean_event_data(facts, strict=False)
    return (facts, False) if problems else (clean, True)


def _further_facts(event: Event) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if not isinstance(event, MessageEvent):
        facts = _figures(event)
    elif event.attachments:
        types = (attachment.type for attachment in event.attachments)
        facts["attachment_types"] = ",".join(sorted({kind if kind in ATTACHMENT_TYPES else "other" for kind in types}))
    return facts if event.referral is None else {**facts, **referral_data(referral_facts(event.referral))}


def _figures(event: Event) -> dict[str, Any]:
    """The amounts and scores of an event, under Kochava's standard keys; never a text that somebody wrote."""
    match event:
        case OrderEvent():
            return _order(event.products)
        case PaymentEvent() | PreCheckoutEvent():
            amount = {"price": _amount(event.amount.get("amount")), "currency": _currency(event.amount.get("currency"))}
            return amount if None not in amount.values() else {}
        case GamePlayEvent() if event.score is not None:
            return {"score": str(event.score)}
        case ResponseFeedbackEvent() if event.feedback in _RESPONSE_FEEDBACK:
            return {"feedback": event.feedback}
        case MessagingFeedbackEvent():
            questions = (question for screen in event.feedback_screens for question in screen.questions)
            return next((found for question in questions if (found := _score(question))), {})
    return {}


_RESPONSE_FEEDBACK = ("Good response", "Bad response")
_SCORES = ("csat", "nps", "ces")
_MOST = 10**12
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


def _order(products: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole of a cart. Without an amount where its products are in several currencies, or one has no price."""
    facts: dict[str, Any] = {}
    quantities = [1 if product.get("quantity") is None else integer(product["quantity"]) for product in products]
    counts = [quantity for quantity in quantities if quantity is not None and 0 < quantity < _MOST]
    if not products or len(counts) < len(products):
        return facts
    facts["quantity"] = sum(counts)
    prices = [_amount(product.get("unit_price")) for product in products]
    amounts = [price * count for price, count in zip(prices, counts, strict=True) if price is not None]
    currencies = {_currency(product.get("currency")) for product in products}
    if len(amounts) == len(products) and len(currencies) == 1 and None not in currencies:
        facts |= {"price": sum(amounts, Decimal()), "currency": currencies.pop()}
    return facts


def _amount(value: Any) -> Decimal | None:
    """An amount that is not negative, given as a number or as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST:
        return Decimal(str(value))
    return Decimal(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def _currency(value: Any) -> str | None:
    code = value.strip().upper() if isinstance(value, str) else None
    return code if is_currency(code) else None


def _score(question: FeedbackQuestion) -> dict[str, str]:
    """The score given in answer to a question, as text, as Kochava has it; not what was written beside it."""
    kind, score = (question.type or "").lower(), integer(question.payload)
    return {"score": str(score), "feedback_type": kind} if kind in _SCORES and score in _SCORE_RANGE else {}


_SCORE_RANGE = range(100)


def _payload(event: Event) -> str | None:
    """
    The payload that was tapped, unless it is personal: with an e-mail address or telephone number in it, in any
    spelling. Mere digits may be an order or an article, but not where a phone quick reply has the number as its text.
    """
    if isinstance(event, PostbackEvent):
        payload, text = event.payload, None
    elif isinstance(event, MessageEvent):
        payload, text = event.quick_reply_payload, event.text
    else:
        return None
    if payload is None or holds_contact_details(payload):
        return None
    is_own_number = text is not None and is_phone_number(text) and digits_of(text) in digits_of(payload)
    return None if is_own_number else payload


def referral_facts(referral: Referral | None) -> dict[str, str]:
    """
    The members of a referral that are sent to Kochava: ``ref``, ``source``, ``ad_id``, as far as it has them. A ``ref``
    is free text of whoever made the link; one with an e-mail address or telephone number in it is not sent.
    """
    if referral is None:
        return {}
    facts = {"ref": referral.ref, "source": referral.source, "ad_id": referral.ad_id}
    return {name: value for name, value in facts.items() if value and not holds_contact_details(value)}


def referral_data(facts: Mapping[str, str]) -> dict[str, str]:
    """Referral facts under their keys in ``event_data``."""
    keys = {"ref": "referral_from", "source": "referral_source", "ad_id": "referral_ad_id"}
    return {keys[name]: value for name, value in facts.items() if name in keys}


def with_referral(data: Any, facts: Mapping[str, str]) -> Any:
    """Event data with the referral in it. The author's own keys stay; data that is no object cannot carry it."""
    if not facts or not (data is None or isinstance(data, Mapping)):
        return data
    return {**(data or {}), **{key: value for key, value in referral_data(facts).items() if key not in (data or {})}}


_NOT_AN_ACTION = frozenset({
    Kind.ECHO, Kind.APP_ROLES, Kind.POLICY_ENFORCEMENT, Kind.INBOX_LABELS, Kind.CHANGE, Kind.UNKNOWN,
    Kind.PASS_THREAD_CONTROL, Kind.TAKE_THREAD_CONTROL, Kind.REQUEST_THREAD_CONTROL,
})  # fmt: skip


def signal_of(event: Event, now: float) -> Signal | None:
    """The signal of *event*, or ``None`` when it means nothing for a greeting; *now* stands in for a missing time."""
    at = now if event.timestamp is None else event.timestamp.timestamp()
    match event:
        case DeliveryEvent():
            watermark = None if event.watermark is None else event.watermark.timestamp()
            return Delivered(at=now, mids=event.mids, watermark=watermark)
        case ReadEvent():
            watermark = None if event.watermark is None else event.watermark.timestamp()
            return Delivered(at=now, mids=() if event.mid is None else (event.mid,), watermark=watermark)
        case PostbackEvent():
            return Acted(at=at, payload=event.payload, title=event.title)
        case MessageEvent():
            # A person who writes first after a link or an ad comes from there, not from the greeting.
            return Acted(
                at=at,
                payload=event.quick_reply_payload,
                title=event.text,
                replies_to=None if event.reply_to is None else event.reply_to.mid,
                is_message=event.referral is None,
            )
        case ReactionEvent():
            return Acted(at=at)
        case ChangeEvent() if event.paid_message_ids:
            return Delivered(at=now, mids=event.paid_message_ids)
        case _ if event.kind in _NOT_AN_ACTION or event.standby:
            return None
        case _:
            return Acted(at=at)
