"""One call that is about to leave for the Graph API, as the send chain sees it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Self

import attrs
import orjson

from ..exceptions import SendError
from .events import Channel
from .graph.errors import error_from_answer, is_refusal, no_answer
from .uploads import Upload


class Endpoint(enum.StrEnum):
    """The Graph API paths that carry something a person will see; the value is the last part of the path."""

    MESSAGES = "messages"
    MESSENGER_PROFILE = "messenger_profile"
    CUSTOM_USER_SETTINGS = "custom_user_settings"
    MESSAGE_ATTACHMENTS = "message_attachments"
    PERSONAS = "personas"
    BATCH = "batch"


@attrs.frozen(kw_only=True)
class Recipient:
    """
    Whom a body is for; at most one of the fields is set. All ``None``: a Page-level call.

    Attributes:
        user_id: PSID or IGSID.
        user_ref: From the checkbox or chat plugin; becomes a PSID only with the person's next event.
        comment_id: Private reply to a comment.
        post_id: Private reply to a visitor's post.
        token: ``notification_messages_token``.
        one_time_notif_token: For the one message that a person asked for (gone from the platform, still seen).
        phone_number: Customer matching (gone from the platform, still seen in old code).
    """

    user_id: str | None = None
    user_ref: str | None = None
    comment_id: str | None = None
    post_id: str | None = None
    token: str | None = None
    one_time_notif_token: str | None = None
    phone_number: str | None = attrs.field(default=None, repr=False)

    def as_body(self) -> dict[str, str]:
        """
        The ``recipient`` object of a Send API body.

        Raises:
            ValueError: It names nobody.
        """
        members = {
            "id": self.user_id,
            "user_ref": self.user_ref,
            "comment_id": self.comment_id,
            "post_id": self.post_id,
            "notification_messages_token": self.token,
            "one_time_notif_token": self.one_time_notif_token,
            "phone_number": self.phone_number,
        }
        named = {key: value for key, value in members.items() if value is not None}
        if not named:
            msg = f"a recipient needs one of {', '.join(field.name for field in attrs.fields(Recipient))}"
            raise ValueError(msg)
        return named

    @classmethod
    def of(cls, body: Any) -> Self:
        """
        Read the ``recipient`` of a Send API body (object or JSON text), or the ``psid`` of a user-level menu.

        Never raises: a body that Facebook would refuse gives an empty recipient.
        """
        if not isinstance(body, Mapping):
            return cls()
        recipient = body.get("recipient")
        if isinstance(recipient, (str, bytes)):
            try:
                recipient = orjson.loads(recipient)
            except orjson.JSONDecodeError:
                recipient = None
        if not isinstance(recipient, Mapping):
            return cls(user_id=_text(body.get("psid")))
        return cls(
            user_id=_text(recipient.get("id")),
            user_ref=_text(recipient.get("user_ref")),
            comment_id=_text(recipient.get("comment_id")),
            post_id=_text(recipient.get("post_id")),
            token=_text(recipient.get("notification_messages_token") or recipient.get("notification_message_token")),
            one_time_notif_token=_text(recipient.get("one_time_notif_token")),
            phone_number=_text(recipient.get("phone_number")),
        )


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


@attrs.frozen(kw_only=True)
class Outgoing:
    """
    What a send middleware is given. Change it with `attrs.evolve`; never write into `body`.

    Attributes:
        endpoint: Last part of the Graph path, usually an `Endpoint`.
        body: The JSON object as the caller gave it: dicts, lists, attrs instances, or JSON text in its members.
        page_id: The Page (or Instagram account) that sends; ``None`` when the bot was made without one
            and does not answer an event.
        channel: Which platform delivers it.
        method: HTTP method; ``DELETE`` takes something away, so nothing is shown.
        params: Query parameters, such as ``platform`` of a profile call.
        upload: The file of a multipart request, whose ``recipient`` and ``message`` are in `body`; else ``None``.
        creative: Name of the creative that this message shows, given by the caller; ``None`` if not.
        greeting: The caller marked this message as a greeting.
    """

    endpoint: str = Endpoint.MESSAGES
    body: Any
    page_id: str | None = None
    channel: Channel = Channel.MESSENGER
    method: str = "POST"
    params: Mapping[str, str] = attrs.field(factory=dict)
    upload: Upload | None = None
    creative: str | None = None
    greeting: bool = False

    @property
    def recipient(self) -> Recipient:
        """Whom it is for, read from the body."""
        return Recipient.of(self.body)


@attrs.frozen(kw_only=True)
class BatchItem:
    """
    What became of one request of a batch.

    Attributes:
        status: HTTP status of its own; ``None`` when the batch ended before it was answered.
        body: The decoded answer; ``None`` when there is none, or none that is JSON.
        error: What the request alone would have raised; ``None`` for a success.
    """

    status: int | None
    body: Any = attrs.field(default=None, repr=False)
    error: SendError | None = None

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Read one item. Facebook gives ``null`` for a request that it did not finish in time."""
        status = answer.get("code") if isinstance(answer, Mapping) else None
        if not isinstance(status, int):
            return cls(status=None, error=no_answer("the batch ended first"))
        body = _decoded(answer.get("body"))
        error = error_from_answer(status, body) if is_refusal(status, body) else None
        return cls(status=status, body=body, error=error)


def batch_items(answer: Any) -> list[BatchItem]:
    """What became of each request, in the order of the requests; empty when *answer* is not that of a batch."""
    return [BatchItem.of(item) for item in answer] if isinstance(answer, list) else []


def _decoded(body: Any) -> Any:
    if not isinstance(body, str):
        return body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
