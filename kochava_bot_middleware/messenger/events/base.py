"""What every webhook event has in common."""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs
import orjson


class Channel(enum.StrEnum):
    """The platform a person writes on."""

    MESSENGER = "messenger"
    INSTAGRAM = "instagram"


class Kind(enum.StrEnum):
    """What happened, in the platform's own words."""

    MESSAGE = "message"
    QUICK_REPLY = "quick_reply"
    """A message that taps a quick reply; not a postback."""

    MESSAGE_DELETED = "message_deleted"
    MESSAGE_UNSUPPORTED = "message_unsupported"
    MESSAGE_EDIT = "message_edit"
    ECHO = "echo"
    """A message the Page itself sent, through this app, another one, or a human."""

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
    Where a person came from: an m.me link, an ad, a QR code, a shop.

    Attributes:
        ref: The ``ref`` of the link or ad.
        source: ``SHORTLINK`` (Instagram samples: ``SHORTLINKS``), ``ADS``, or a word of the past; missing for
            accounts under the European and Japanese restrictions.
        type: ``OPEN_THREAD``, ``LEAD_COMPLETE`` or ``LEAD_INCOMPLETE``.
        ad_id: The ad, of ``source`` ``ADS``.
        referer_uri: The page that held the chat plugin (gone since 2024).
        is_guest_user: The person wrote through the chat plugin without being logged in.
        ads_context: The platform's ``ads_context_data``: ad title, pictures, post; empty when absent.
        product_id: The product asked about, of a shop's "message" button.
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
    Joins a `user_ref` of a plugin to the id of the person who now wrote for the first time.

    Attributes:
        source: Such as ``checkbox_plugin``.
        identifier: The `user_ref`.
    """

    source: str | None = None
    identifier: str | None = None


@attrs.frozen(kw_only=True)
class HopContext:
    """
    An app that had the thread before, of lead ads.

    Attributes:
        app_id: The app.
        metadata: What it said when it passed the thread on, such as ``messenger_lead_gen_complete``.
    """

    app_id: str | None = None
    metadata: str | None = None


@attrs.frozen(kw_only=True)
class Event:
    """
    One happening that a webhook tells of. Each kind has its own subclass.

    Every field may be missing on the wire: a missing text is ``None``, a missing list is empty. Ids are text, though
    some come as numbers.

    Attributes:
        kind: What happened; fixed by the class.
        channel: Messenger or Instagram.
        page_id: The Page, or the Instagram account; ``None`` when the webhook does not tell.
        user_id: The person: PSID, IGSID, or the `user_ref` of a plugin. Also of an echo, whose sender is the Page.
            ``None`` for what concerns the Page alone, such as a policy warning.
        timestamp: When it happened, aware, in UTC; ``None`` when missing or zero.
        standby: Another app owns the thread; this one only listens.
        raw: The item as it came; of a change its ``{"field", "value"}``. An item that is no object stands under
            ``item``; a ``hop_context`` that the entry has for all of its items is put in.
        attempt: How often handling began; above 1 only when a process died while handling.
        referral: Where the person came from, if this event tells.
        prior_message: See `PriorMessage`.
        hop_context: See `HopContext`; nearly always empty.
    """

    kind: ClassVar[Kind] = Kind.UNKNOWN

    channel: Channel = Channel.MESSENGER
    page_id: str | None = None
    user_id: str | None = None
    timestamp: datetime | None = None
    standby: bool = False
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    attempt: int = 1
    referral: Referral | None = None
    prior_message: PriorMessage | None = None
    hop_context: tuple[HopContext, ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """
        The same for each delivery of this event, different for every other: the kind and 32 hexadecimal digits.

        Facebook leaves deduplication to the receiver and redelivers byte for byte. Where the platform gives an
        identity it is used, since links inside of a message may be signed anew; else the whole item is.
        """
        identity = self._identity()
        material = orjson.dumps(
            (self.kind, self.channel, self.page_id, self.standby, self.raw if identity is None else identity),
            default=_plain,
            option=orjson.OPT_SORT_KEYS,
        )
        return f"{self.kind}:{hashlib.blake2b(material, digest_size=16).hexdigest()}"

    def _identity(self) -> tuple[Any, ...] | None:
        """What the platform promises to be unique within kind and Page; ``None`` if it promises nothing."""
        return None


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


@attrs.frozen(kw_only=True)
class UnknownEvent(Event):
    """An item of a kind this release does not know, or of a shape it cannot read. Everything is in `raw`."""


@attrs.frozen(kw_only=True)
class ChangeEvent(Event):
    """
    An item of ``changes[]`` that is not messaging, such as a post on the Page's feed.

    Attributes:
        field: The webhook field, such as ``feed``.
        value: Whatever came with it.
    """

    kind: ClassVar[Kind] = Kind.CHANGE

    field: str | None = None
    value: Any = attrs.field(default=None, repr=False)
