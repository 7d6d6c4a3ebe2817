"""The fields that all webhook events have, and the events of no particular kind."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Self, overload

import attrs
import orjson


class Channel(enum.StrEnum):
    """The platform that a person uses."""

    MESSENGER = "messenger"
    INSTAGRAM = "instagram"


class Kind(enum.StrEnum):
    """The kinds of webhook events, named as by the platform."""

    MESSAGE = "message"
    QUICK_REPLY = "quick_reply"
    """A message made by tapping a quick reply."""

    MESSAGE_DELETED = "message_deleted"
    MESSAGE_UNSUPPORTED = "message_unsupported"
    MESSAGE_EDIT = "message_edit"
    ECHO = "echo"
    """A message that the Page sent through this app, another app or its inbox."""

    POSTBACK = "postback"
    REFERRAL = "referral"
    OPTIN = "optin"
    """Also an opt-out: see `OptinEvent.opted_out`."""

    DELIVERY = "delivery"
    READ = "read"
    REACTION = "reaction"
    ACCOUNT_LINKING = "account_linking"
    POLICY_ENFORCEMENT = "policy_enforcement"
    APP_ROLES = "app_roles"
    PASS_THREAD_CONTROL = "pass_thread_control"  # noqa: S105
    TAKE_THREAD_CONTROL = "take_thread_control"
    REQUEST_THREAD_CONTROL = "request_thread_control"
    GAME_PLAY = "game_play"
    RESPONSE_FEEDBACK = "response_feedback"
    MESSAGING_FEEDBACK = "messaging_feedback"
    CUSTOMER_INFORMATION = "customer_information"
    ORDER = "order"
    COUPON = "coupon"
    FORM = "form"
    MESSAGE_REQUEST = "message_request"
    PAYMENT = "payment"
    CHECKOUT_UPDATE = "checkout_update"
    PRE_CHECKOUT = "pre_checkout"
    BRANDED_CAMERA = "branded_camera"
    INBOX_LABELS = "inbox_labels"
    CHANGE = "change"
    """A webhook that is not messaging, such as a comment on the Page's feed."""

    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class Referral:
    """
    The source of a conversation: an m.me link, an ad, a QR code, a shop.

    Attributes:
        ref: The ``ref`` of the link or ad.
        source: ``SHORTLINK`` (Instagram samples: ``SHORTLINKS``), ``ADS`` or an obsolete value; missing for accounts
            under the European and Japanese restrictions.
        type: ``OPEN_THREAD``, ``LEAD_COMPLETE`` or ``LEAD_INCOMPLETE``.
        ad_id: The ad, when `source` is ``ADS``.
        referer_uri: The page with the chat plugin (discontinued in 2024).
        is_guest_user: The person wrote through the chat plugin without being logged in.
        ads_context: The platform's ``ads_context_data``: ad title, pictures, post; empty when absent.
        product_id: The product whose "message" button was tapped in a shop.
    """

    ref: str | None = None
    source: str | None = None
    type: str | None = None
    ad_id: str | None = None
    referer_uri: str | None = None
    is_guest_user: bool = False
    ads_context: Mapping[str, Any] = attrs.field(factory=dict)
    product_id: str | None = None


@attrs.frozen(kw_only=True)
class PriorMessage:
    """
    Connects the `user_ref` of a plugin with the id of the person, in the person's first message.

    Attributes:
        source: Such as ``checkbox_plugin``.
        identifier: The `user_ref`.
    """

    source: str | None = None
    identifier: str | None = None


@attrs.frozen(kw_only=True)
class HopContext:
    """
    An app that controlled the thread before, for lead ads.

    Attributes:
        app_id: The app.
        metadata: The app's metadata when it passed the thread, such as ``messenger_lead_gen_complete``.
    """

    app_id: str | None = None
    metadata: str | None = None


class _MadeOnce:
    """A text that an event makes of itself. Unlike `functools.cached_property`, it takes no lock, and half the time."""

    def __init__(self, make: Callable[[Any], str]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, event: None, owner: type) -> Self: ...

    @overload
    def __get__(self, event: object, owner: type) -> str: ...

    def __get__(self, event: object, owner: type) -> Self | str:
        if event is None:
            return self
        # From now on, this is not called for the event.
        made = vars(event)[self._name] = self._make(event)
        return made


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


@attrs.frozen(kw_only=True, slots=False)
class Event:
    """
    One event of a webhook. Each kind has its own subclass.

    Every field may be missing from the webhook: a missing text is ``None``, a missing list is empty. Ids are text,
    although the platform sends some as numbers.

    Attributes:
        kind: The kind; fixed by the class.
        channel: Messenger or Instagram.
        page_id: The Page, or the Instagram account; ``None`` when the webhook does not name it.
        user_id: The person: PSID, IGSID, or the `user_ref` of a plugin. For an echo, the recipient. ``None`` for an
            event about the Page alone, such as a policy warning.
        timestamp: Time of the event, aware, in UTC; ``None`` when missing or zero.
        from_page: The Page did this, not the person: an echo, or a reaction, read or other act of the Page's own.
        standby: Another app controls the thread; this one only listens.
        raw: The item as received; for a change its ``{"field", "value"}``. An item that is not an object is under
            ``item``. A ``hop_context`` of the entry is added to each of its items.
        attempt: How many times handling has started; above 1 only after a process died while handling.
        referral: The source of the conversation, if this event names it.
        user_ref: The reference of a plugin or of a marketing message; the same as `user_id` where no id is known yet.
        prior_message: The `user_ref` of a plugin that this person had before.
        hop_context: Apps that controlled the thread before; nearly always empty.
    """

    kind: ClassVar[Kind] = Kind.UNKNOWN

    channel: Channel = Channel.MESSENGER
    page_id: str | None = None
    user_id: str | None = None
    timestamp: datetime | None = None
    from_page: bool = False
    standby: bool = False
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    attempt: int = 1
    referral: Referral | None = None
    user_ref: str | None = None
    prior_message: PriorMessage | None = None
    hop_context: tuple[HopContext, ...] = ()

    @property
    def is_by_reference(self) -> bool:
        """Whether `user_id` is a `user_ref`, and no PSID or IGSID."""
        return self.user_id is not None and self.user_id == self.user_ref

    @property
    def joined_user_ref(self) -> str | None:
        """The `user_ref` that this event says to be of the person in `user_id`; ``None`` for nearly all events."""
        prior = None if self.prior_message is None else self.prior_message.identifier
        joined = self.user_ref or prior
        return None if self.user_id is None or joined == self.user_id else joined

    def _make_key(self) -> str:
        identity = self._identity()
        material = orjson.dumps(
            (self.kind, self.channel, self.page_id, self.standby, self.raw if identity is None else identity),
            default=_plain,
            option=orjson.OPT_SORT_KEYS,
        )
        return f"{self.kind}:{hashlib.blake2b(material, digest_size=16).hexdigest()}"

    key = _MadeOnce(_make_key)
    """
    The same for each delivery of this event, different for every other: the kind and 32 hexadecimal digits.

    Facebook redelivers webhooks and leaves deduplication to the receiver. The key is made from the platform's id where
    there is one, since links within a message may be signed again, and otherwise from the whole item.
    """

    @property
    def _sender(self) -> str | None:
        return self.page_id if self.from_page else self.user_id

    def _identity(self) -> tuple[Any, ...] | None:
        """What is unique within kind and Page by the platform's documentation; ``None`` if nothing is."""
        return None


@attrs.frozen(kw_only=True, slots=False)
class UnknownEvent(Event):
    """An item of an unknown kind, or with an unexpected structure. Everything is in `raw`."""


@attrs.frozen(kw_only=True, slots=False)
class ChangeEvent(Event):
    """
    An item of ``changes[]`` that is not about messaging, such as a post on the Page's feed.

    Attributes:
        field: The webhook field, such as ``feed``.
        value: The value of the change, as received.
        comment_id: Id of a comment, for a private reply. A comment on an ad has it in `referral`.
        paid_message_ids: Of a marketing message that was delivered, read or tapped: the id that the answer to its send
            gave, and its mid.
    """

    kind: ClassVar[Kind] = Kind.CHANGE

    field: str | None = None
    value: Any = attrs.field(default=None, repr=False)
    comment_id: str | None = None
    paid_message_ids: tuple[str, ...] = ()

    @property
    def is_about_advertising(self) -> bool:
        """Whether it says which ad led somebody here, or what became of a paid message."""
        return self.referral is not None or (self.field or "").startswith("marketing_message")
