"""A message that the local Messenger took from the bot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class SentMessage:
    """
    One accepted call of the Send API.

    Attributes:
        mid: The message id that was answered; ``None`` for a sender action.
        page_id: The Page or Instagram account that sent it.
        user_id: The person it reached.
        body: The whole decoded body.
        at: When, in seconds since the epoch.
    """

    mid: str | None
    page_id: str
    user_id: str
    body: Mapping[str, Any]
    at: float

    @property
    def message(self) -> Mapping[str, Any]:
        """Its ``message``; empty for a sender action."""
        message: Mapping[str, Any] = self.body.get("message") or {}
        return message

    @property
    def payload(self) -> Mapping[str, Any]:
        """The ``payload`` of its attachment; empty if there is none."""
        attachment = self.message.get("attachment")
        payload = attachment.get("payload") if isinstance(attachment, Mapping) else None
        return payload if isinstance(payload, Mapping) else {}

    @property
    def text(self) -> str | None:
        """What a person reads first: the text, or that of a button template."""
        text = self.message.get("text") or self.payload.get("text")
        return None if text is None else str(text)

    @property
    def buttons(self) -> list[Mapping[str, Any]]:
        """Every button, those of elements included, in reading order."""
        found = list(self.payload.get("buttons") or ())
        for element in self.payload.get("elements") or ():
            found.extend(element.get("buttons") or ())
        return found

    @property
    def quick_replies(self) -> list[Mapping[str, Any]]:
        """Its quick replies."""
        return list(self.message.get("quick_replies") or ())


@attrs.frozen(kw_only=True)
class RefusedCall:
    """
    One call of the Graph API that was answered with an error.

    Attributes:
        path: Of the request.
        body: The decoded body; empty if it could not be read.
        error: The ``error`` object of the answer.
    """

    path: str
    body: Mapping[str, Any]
    error: Mapping[str, Any]
