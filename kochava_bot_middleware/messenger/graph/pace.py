"""
Slows calls down before the Graph API refuses them.

Each answer tells in per cent how much of the app's and the Page's allowance is used. Up to 80 % calls leave at once.
Above, they leave one after another with a space between them that grows evenly, to one second at 100 %. No call waits
longer than ten seconds for its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from ...clock import Clock

CALM_PERCENT: Final = 80.0
LARGEST_SPACE_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 10.0
FORGET_AFTER_SECONDS: Final = 300.0
"""A figure this old says nothing: the allowance is a rolling one."""

_APP_USAGE: Final = "x-app-usage"
_BUSINESS_USAGE: Final = "x-business-use-case-usage"
_FIGURES: Final = ("call_count", "total_time", "total_cputime")


class UsagePace:
    """The common pace of all calls with one access token."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._percent = 0.0
        self._known_at = 0.0
        self._next_turn = 0.0

    @property
    def space_seconds(self) -> float:
        """The time between two calls now; 0 while there is no need to slow down."""
        if self._clock.monotonic() - self._known_at > FORGET_AFTER_SECONDS:
            return 0.0
        excess = (min(self._percent, 100.0) - CALM_PERCENT) / (100.0 - CALM_PERCENT)
        return max(0.0, excess) * LARGEST_SPACE_SECONDS

    async def turn(self) -> None:
        """Wait until the next call may leave."""
        space = self.space_seconds
        now = self._clock.monotonic()
        if space == 0.0:
            return
        turn = min(max(now, self._next_turn), now + LONGEST_WAIT_SECONDS)
        self._next_turn = turn + space
        if turn > now:
            await self._clock.sleep(turn - now)

    def observe(self, headers: Mapping[str, str]) -> float | None:
        """
        Learn from the headers of an answer; they need not be there, nor be well formed.

        Returns:
            Seconds until Facebook lets calls through again, if it says so; else ``None``.
        """
        usages = [*_app_usages(headers.get(_APP_USAGE)), *_business_usages(headers.get(_BUSINESS_USAGE))]
        if usages:
            self._percent = max(_numeric(usage.get(figure)) for usage in usages for figure in _FIGURES)
            self._known_at = self._clock.monotonic()
        regain_minutes = max((_numeric(usage.get("estimated_time_to_regain_access")) for usage in usages), default=0.0)
        waits = (_numeric(headers.get("Retry-After")), regain_minutes * 60)
        return max(waits) or None


def _app_usages(header: str | None) -> Iterator[Mapping[str, Any]]:
    usage = _decoded(header)
    if isinstance(usage, dict):
        yield usage


def _business_usages(header: str | None) -> Iterator[Mapping[str, Any]]:
    by_business = _decoded(header)
    if isinstance(by_business, dict):
        for usages in by_business.values():
            yield from (usage for usage in usages if isinstance(usage, dict)) if isinstance(usages, list) else ()


def _decoded(header: str | None) -> Any:
    try:
        return orjson.loads(header or "null")
    except orjson.JSONDecodeError:
        return None


def _numeric(value: object) -> float:
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return 0.0
