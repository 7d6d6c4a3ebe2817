"""When a first contact with a person is an install."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

import attrs

from ..exceptions import Violation
from ..messenger.events import Event, PostbackEvent
from ..settings import InvalidValue, Rule, check_rules, one_of
from .arguments import ask


def _moment(_instance: Any, _attribute: Any, value: str | None) -> None:
    if value is None:
        return
    wanted = "a moment with its time zone, such as 2026-09-01T00:00:00Z"
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidValue(wanted, value) from None
    if moment.tzinfo is None:
        raise InvalidValue(wanted, value)


def _old_users_are_known(mode: str, known_users: object, since: str | None) -> Iterator[Violation]:
    if mode == "first_seen" and known_users is None and since is None:
        wanted = "`known_users` or `since`, so that old users do not install once more"
        yield Violation(key="since", wanted=wanted, got="neither")


@attrs.frozen(kw_only=True)
class InstallSettings:
    """
    Whether and when an install is told. Kochava never says what the install of a bot is, so none is by default.

    Attributes:
        mode: ``off``; ``entry``: a new person taps "Get started", or comes by a postback with a referral;
            ``first_seen``: a new person is recorded for the first time, however they came.
        get_started_payloads: Payloads of the "Get started" button.
        known_users: A callable of the person's id, plain or async, that tells whether they were there before. For
            ``first_seen``, this or `since` is needed: else a live bot's whole public would install on the first day.
        since: Who is first recorded before this moment (ISO 8601 with time zone) is taken for an old user.
    """

    mode: str = attrs.field(default="off", validator=one_of("off", "entry", "first_seen"))
    get_started_payloads: tuple[str, ...] = ("GET_STARTED",)
    known_users: Callable[[str], Any] | None = None
    since: str | None = attrs.field(default=None, validator=_moment)

    RULES: ClassVar[tuple[Rule, ...]] = (Rule(("mode", "known_users", "since"), _old_users_are_known),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    def is_entry(self, event: Event | None) -> bool:
        """Whether *event* is the entry of a person, given that they are new."""
        if self.mode != "entry" or not isinstance(event, PostbackEvent) or event.standby:
            return False
        return event.referral is not None or event.payload in self.get_started_payloads

    async def installs(self, event: Event | None, user_id: str | None, now: float) -> bool:
        """
        Whether the first record of a person, made because of *event*, is preceded by an install.

        Args:
            event: ``None`` outside of handling.
            user_id: ``None`` when it is known only as a hash; then `known_users` is not asked.

        Raises:
            Exception: Whatever `known_users` raised.
        """
        if self.mode != "first_seen":
            return self.is_entry(event)
        if self.since is not None and now < datetime.fromisoformat(self.since).timestamp():
            return False
        if self.known_users is None:
            return True
        return user_id is not None and not await ask(self.known_users, user_id)
