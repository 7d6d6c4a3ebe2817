"""
What happened in the sandbox, as records for the page.

Each is sent to the page as one JSON object with the members of `PageEvent`. `EventKind` says what `detail` has.
"""

from __future__ import annotations

import asyncio
import enum
import json
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

import attrs

from ...clock import Clock

KEPT = 300
"""How many events are kept: of all people, and again of each person who is played on the page."""

BODY_LIMIT = 16_000
"""Characters of a body that the page gets whole; a longer one is cut, and its size is said."""

EXCERPT = 600
"""Characters that are left of a body that is cut."""


class EventKind(enum.StrEnum):
    """What happened, and the members of `PageEvent.detail`; those in brackets are not always there."""

    ACTION = "action"
    """A person did something: ``mid``, ``webhook`` (its kind), ``said`` or ``tapped`` or ``opened``."""

    WEBHOOK = "webhook"
    """
    A webhook was answered, failed for the first time or was given up: ``mid``, ``webhook``, ``attempts``, [``again``:
    delivered once more], [``failure``: what is wrong, and what Facebook does; ``retried``: whether it is tried again].
    """

    MESSAGE = "message"
    """A call of the Send API was accepted: ``mid``, ``message``, ``links``, ``lines``, [``action``], [``cut``]."""

    GRAPH = "graph"
    """Another call of the Graph API was accepted: ``path``, ``links``, ``lines``, [``cut``]."""

    REFUSED = "refused"
    """A call of the Graph API was refused: ``path``, ``reason``, ``text``, [``cut``]."""

    KOCHAVA = "kochava"
    """A request to Kochava: ``record``, ``name``, ``method``, ``path``, ``text``, ``answer``, ``seconds``, [``cut``].
    """

    VISIT = "visit"
    """A person opened an address: ``steps``, [``error``]."""

    NOTICE = "notice"
    """A switch of the page was used, or the comparison of what was promised with what arrived ended: [``lines``]."""


@attrs.frozen(kw_only=True)
class PageEvent:
    """
    One thing that happened.

    Attributes:
        number: Counted from 1 since the page's server was started.
        at: When, in seconds since the epoch.
        kind: What.
        user: The person's id; ``None`` where it concerns nobody, or is not known.
        title: One line for people.
        status: HTTP status of the answer; ``None`` where there was none.
        good: Whether it went as it should.
        detail: By kind; see `EventKind`. ``cut`` is the size in characters of a body that was cut.
    """

    number: int
    at: float
    kind: EventKind
    user: str | None
    title: str
    status: int | None
    good: bool
    detail: Mapping[str, Any]

    def json(self) -> str:
        """Its JSON text, all ASCII, so that no text in it can break the stream."""
        members = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        return json.dumps(members, separators=(",", ":"), default=str)


class EventLog:
    """
    The newest events, as JSON, for any number of readers, each of which may be slower than they come.

    Attributes:
        count: The number of the newest event; 0 before the first.
    """

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self._clock = clock
        self._newest: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._played: defaultdict[str, deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._changed = asyncio.Event()

    def play(self, user_id: str) -> None:
        """Keep the events of this person apart, so that those of others do not push them out."""
        self._played[user_id] = self._played[user_id]

    def add(
        self,
        kind: EventKind,
        title: str,
        *,
        user: str | None = None,
        status: int | None = None,
        good: bool = True,
        **detail: Any,
    ) -> None:
        """Add an event that happens now."""
        self.count += 1
        event = PageEvent(
            number=self.count,
            at=self._clock.now(),
            kind=kind,
            user=user,
            title=title,
            status=status,
            good=good,
            detail=detail,
        )
        text = event.json()
        self._newest.append((self.count, text))
        if user is not None and user in self._played:
            self._played[user].append((self.count, text))
        self.wake()

    def after(self, number: int) -> tuple[list[str], int]:
        """
        The events that are kept of those after *number*, oldest first, and how many are not kept any more.
        """
        found = {count: text for count, text in self._newest if count > number}
        if self._newest and self._newest[0][0] > number + 1:
            for kept in self._played.values():
                found.update((count, text) for count, text in kept if count > number)
        return [found[count] for count in sorted(found)], self.count - number - len(found)

    def wake(self) -> None:
        """Let every `wait` return."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next event, or the next `wake`."""
        await self._changed.wait()


def shown(value: Any) -> dict[str, Any]:
    """``text`` of a decoded body, indented; with ``cut`` when it is too long."""
    return cut(json.dumps(value, ensure_ascii=False, indent=2))


def cut(text: str) -> dict[str, Any]:
    """``text``, with ``cut`` when it is too long."""
    return {"text": text} if len(text) <= BODY_LIMIT else {"text": text[:EXCERPT], "cut": len(text)}
