"""The local Messenger's marketing messages: the call of an ad account, and the end of a subscription."""

from __future__ import annotations

from typing import Any

from .fields import anything, identifier, members
from .graph import GraphRefusal, ReceivedCall, refuse_unless
from .page import SandboxPage
from .rules import check_message
from .users import SimulatedUser

CONVERSATION_GAP = 2300052
UNSUBSCRIBE = "messaging_customer_base/unsubscribe"

_PAID_MESSAGE = members(
    {"message_id": identifier, "messenger_delivery_data": members({"subscription_token": identifier})},
    {
        "message": anything,
        "min_conversation_gap_seconds": anything,
        "access_token": anything,
        "appsecret_proof": anything,
    },
)
_IDENTIFIERS = ({"phone"}, {"email"}, {"phone", "email"}, {"psid"}, {"subscriber_token"})


def paid_recipient(call: ReceivedCall, page: SandboxPage, now: float) -> SimulatedUser:
    """
    The subscriber of a call of ``/act_<id>/messages``.

    Raises:
        GraphRefusal: The body is wrong, nobody has that token, or the person wrote too recently.
    """
    refuse_unless(call.method == "POST" and call.edge == "messages", "Unsupported request.")
    _PAID_MESSAGE("body", call.body, page)
    check_message(call.body.get("message"), page, has_file=call.has_file)
    gap = call.body.get("min_conversation_gap_seconds", 0)
    is_number = isinstance(gap, (int, float)) and not isinstance(gap, bool)
    refuse_unless(is_number and gap >= 0, "param min_conversation_gap_seconds must be a positive number.")
    token = str(call.body["messenger_delivery_data"]["subscription_token"])
    person = page.joined.get(("subscription_token", token))
    if person is None:
        msg = "param messenger_delivery_data[subscription_token] is not a subscription of this Page."
        raise GraphRefusal(msg)
    is_quiet = person.last_action_at is None or now - person.last_action_at >= gap
    refuse_unless(is_quiet, "This person is not available right now.", code=CONVERSATION_GAP)
    return person


def unsubscribe(call: ReceivedCall, page: SandboxPage) -> dict[str, Any]:
    """End the subscription of each row that names somebody in an allowed way."""
    rows = call.body.get("data")
    refuse_unless(isinstance(rows, list) and rows, "param data must be a non-empty array.")
    invalid = 0
    for row in rows or ():
        if not isinstance(row, dict) or set(row) not in _IDENTIFIERS:
            invalid += 1
        elif "subscriber_token" in row:
            page.joined.pop(("subscription_token", str(row["subscriber_token"])), None)
        elif "psid" in row:
            person = page.people.get(str(row["psid"]))
            page.joined = {key: each for key, each in page.joined.items() if not (_is_token(key) and each is person)}
    return {"invalid_rows_count": invalid}


def _is_token(key: tuple[str, str]) -> bool:
    return key[0] == "subscription_token"
