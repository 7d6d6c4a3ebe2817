"""All forms of ids and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.messenger import events
from kochava_bot_middleware.messenger.events import Kind
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import PERSON_ID, item, webhook

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("party", "user_id"),
    [
        ({"id": 6200000000000001}, PERSON_ID),
        ({"user_ref": "ref-1"}, "ref-1"),
        ({}, None),
        ({"id": True}, None),
        ({"id": 1.5}, None),
        ({"id": ""}, None),
        (None, None),
        (True, None),
    ],
)
def test_person(party: Any, user_id: str | None) -> None:
    """An id may be a number, the reference of a plugin, or missing."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, sender=party)))
    assert user_id == event.user_id


@pytest.mark.parametrize(
    ("timestamp", "wanted"),
    [
        (1_767_225_600_000, MOMENT),
        (1_767_225_600, MOMENT),
        ("1767225600000", MOMENT),
        ("1767225600", MOMENT),
        (1_767_225_600.0, MOMENT),
        (999_999_999_999, None),
        (1_000_000_000_000, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (4_102_444_799_999, datetime(2099, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (253_402_300_799_000, None),
        (253_402_300_798.5, datetime(9999, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)),
        (2**64 - 1, None),
        (1e308, None),
        (0, None),
        ("0", None),
        (-1, None),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("²", None),
        ("2026-01-01T00:00:00+0000", MOMENT),
        ("2026-01-01T00:00:00Z", MOMENT),
        ("2026-01-01T02:00:00.000+02:00", MOMENT),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("2026-13-01T00:00:00Z", None),
        ("9" * 5000, None),
        (True, None),
        ([], None),
        (None, None),
    ],
)
def test_timestamp(timestamp: Any, wanted: datetime | None) -> None:
    """Seconds and milliseconds as numbers or text, and ISO 8601; ``None`` for anything else."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, timestamp=timestamp)))
    assert wanted == event.timestamp


NUMBERS = [(3, 3), ("3", 3), (3.0, 3), ("-3", -3), (-3, -3), (0, 0), ("0", 0)]
NOT_NUMBERS = [3.5, "3.5", "-", True, "", "three", "²", [3], None, "9" * 5000]


@pytest.mark.parametrize(("number", "wanted"), [*NUMBERS, *((value, None) for value in NOT_NUMBERS)])
def test_whole_number(number: Any, wanted: int | None) -> None:
    """As a number or as text; ``None`` for anything else."""
    game, edit = parse_webhook(
        webhook(item(game_play={"score": number}), item(message_edit={"mid": "m", "num_edit": number}))
    )

    assert isinstance(game, events.GamePlayEvent)
    assert isinstance(edit, events.MessageEditEvent)
    assert (wanted, wanted) == (game.score, edit.num_edit)


TRUE = [True, 1, 1.0, "1", "1.0", "true", "True", "TRUE", " true "]
FALSE = [False, 0, "0", "false", "", "yes", 2, None, [], {}, [True], "9" * 5000]
FLAGS = [(value, True) for value in TRUE] + [(value, False) for value in FALSE]


@pytest.mark.parametrize(("value", "wanted"), FLAGS)
def test_flag(value: Any, wanted: bool) -> None:
    """A truth value, also as a number or as text, as ids and times are; anything else is false."""
    message = {"mid": "m", "reply_to": {"mid": "m_0", "is_self_reply": value}}
    reply, deleted, unsupported, echo, referral = parse_webhook(
        webhook(
            item(message=message),
            item(message={"mid": "m", "is_deleted": value}),
            item(message={"mid": "m", "is_unsupported": value}),
            {"sender": {"id": "3"}, "recipient": {"id": "3"}, "message": {"mid": "m", "is_echo": value}},
            item(referral={"ref": "a", "is_guest_user": value}),
        )
    )

    assert isinstance(reply, events.MessageEvent)
    assert reply.reply_to is not None
    assert referral.referral is not None
    assert [wanted] * 5 == [
        reply.reply_to.is_self_reply,
        deleted.kind == Kind.MESSAGE_DELETED,
        unsupported.kind == Kind.MESSAGE_UNSUPPORTED,
        echo.kind == Kind.ECHO,
        referral.referral.is_guest_user,
    ]


@pytest.mark.parametrize(("value", "wanted"), FLAGS)
def test_flags_of_an_echo(value: Any, wanted: bool) -> None:
    """Deleted and unsupported messages of the Page."""
    message = {"mid": "m", "is_echo": True, "is_deleted": value, "is_unsupported": value}
    (echo,) = parse_webhook(webhook(item(message=message)))

    assert isinstance(echo, events.EchoEvent)
    assert (wanted, wanted) == (echo.is_deleted, echo.is_unsupported)


@given(st.integers(min_value=10**12, max_value=4_102_444_799_999))
def test_milliseconds_are_exact(timestamp: int) -> None:
    """Milliseconds are not rounded."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, timestamp=timestamp)))
    assert event.timestamp is not None
    assert timestamp == round(event.timestamp.timestamp() * 1000)
