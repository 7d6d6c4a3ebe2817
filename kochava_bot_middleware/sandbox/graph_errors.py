"""The Graph API's way to say no."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

WINDOW_CLOSED = 2018278
NO_MATCHING_USER = 2018001
NOT_A_FACEBOOK_URL = 2018185
ATTACHMENT_NOT_OWNED = 2018074


class GraphRefusal(Exception):
    """
    A call that Facebook would refuse; it becomes the answer's ``error``.

    Args:
        message: As Facebook words it, without the code in front.
        code: ``error.code``.
        subcode: ``error.error_subcode``; ``None`` leaves it out.
        kind: ``error.type``.
    """

    def __init__(
        self, message: str, *, code: int = 100, subcode: int | None = None, kind: str = "OAuthException"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.kind = kind

    def body(self, trace_id: str) -> dict[str, Any]:
        """The answer's JSON object."""
        error: dict[str, Any] = {"message": f"(#{self.code}) {self.message}", "type": self.kind, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": {**error, "fbtrace_id": trace_id}}


def refuse_unless(condition: object, message: str, *, code: int = 100, subcode: int | None = None) -> None:
    """
    Refuse the call with *message* if *condition* is false.

    Raises:
        GraphRefusal: It is.
    """
    if not condition:
        raise GraphRefusal(message, code=code, subcode=subcode)


def need_one_of(param: str, value: Any, known: Collection[str]) -> None:
    """Refuse what is not one of the words in *known*."""
    choice = ", ".join(sorted(known)).upper()
    refuse_unless(isinstance(value, str) and value in known, f"param {param} must be one of {{{choice}}}.")


def refuse_other_keys(param: str, value: Any, known: frozenset[str]) -> None:
    """
    Refuse an object with keys that Facebook does not know at this place.

    Args:
        param: Path of the object in Facebook's notation.
        value: What is there.
        known: The keys it may have.
    """
    refuse_unless(isinstance(value, dict), f"param {param} must be an object.")
    for name in value:
        refuse_unless(name in known, f'Invalid keys "{name}" were found in param "{param}".')


def need_text(param: str, value: Any, maximum: int) -> None:
    """Refuse what is not a string of 1 to *maximum* characters."""
    refuse_unless(isinstance(value, str), f"param {param} must be a string.")
    refuse_unless(value, f"param {param} must be non-empty.")
    refuse_unless(len(value) <= maximum, f"Length of param {param} must be less than or equal to {maximum}")


def need_list(param: str, value: Any, maximum: int) -> None:
    """Refuse what is not a list of 1 to *maximum* items; too many is error 105."""
    refuse_unless(isinstance(value, list), f"param {param} must be an array.")
    refuse_unless(value, f"param {param} must be non-empty.")
    refuse_unless(len(value) <= maximum, f"param {param} has too many elements.", code=105)


def need_web_url(param: str, value: Any) -> None:
    """Refuse what is not an http or https address."""
    refuse_unless(isinstance(value, str) and value, f"param {param} must be non-empty.")
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    fine = host is not None and parts.scheme in ("http", "https") and not any(map(str.isspace, value))
    refuse_unless(fine, f"param {param} must be a valid URI.")
