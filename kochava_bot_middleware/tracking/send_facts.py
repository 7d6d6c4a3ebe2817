"""What a send says about people, apart from greetings: the ids in its links, and whose comment it answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from ..handling import Handling
from ..kochava.smartlink_settings import AUTO
from ..messenger.events import ChangeEvent
from ..messenger.outgoing import Outgoing
from .automatic_events import referral_facts
from .people import Person
from .recorder import Recorder
from .settings import App

REMEMBERED_PEOPLE = 10_000
"""People whose ids in SmartLinks are stored already, as far as this process knows."""


class SendFacts:
    """Records what sends say about people."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._noted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def note_links(self, outgoing: Outgoing, app: App, named: Iterable[str]) -> None:
        """Record the ids in SmartLinks: a deletion request names them, too. The message does not wait for it."""
        if app.destination.wire.deletion_url is None:
            return
        param = app.links.settings.user_param
        for user_id in named:
            person = Person(user_id=user_id, page_id=outgoing.page_id, channel=outgoing.channel)
            key = app.identity.key_of(person) if param in (None, AUTO) else param or ""
            value = app.links.user_id(user_id)
            if self._is_noted((app.app_id, f"{key}={value}")):
                continue
            recording = self._recorder.current() or self._recorder.new()
            recording.add_link_id(person, key, value)
            if recording.handling is None:
                self._recorder.begin_commit(recording)

    def _is_noted(self, key: tuple[str, str]) -> bool:
        if key in self._noted:
            return True
        self._noted[key] = None
        while len(self._noted) > REMEMBERED_PEOPLE:
            self._noted.popitem(last=False)
        return False

    async def note_comment(self, outgoing: Outgoing, answer: Any, app: App, handling: Handling | None) -> None:
        """Record the ad on which a person commented, who is known now: Facebook's answer to a private reply says it."""
        comment_id = outgoing.recipient.comment_id
        answered = answer if isinstance(answer, Mapping) and "error" not in answer else {}
        user_id = answered.get("recipient_id")
        if app.events.attach_referral == "off" or comment_id is None or not user_id:
            return
        person = Person(user_id=str(user_id), page_id=outgoing.page_id, channel=outgoing.channel)
        # Written at once: a comment can be replied to only once, should this process die before the handling ends.
        recording = self._recorder.new()
        event = None if handling is None else handling.event
        if isinstance(event, ChangeEvent) and event.comment_id == comment_id:
            # The ad is not stored before this handling ends.
            facts = referral_facts(event.referral)
            if not facts:
                return
            recording.add_referral(person, facts, event.timestamp)
        else:
            recording.add_comment(person, comment_id)
        await self._recorder.commit(recording)
