"""
Slows down calls before the Graph API refuses them.

Each answer says in per cent how much of the allowance of the app and the Page is used. Up to 80 % calls are made at
once. Above, there is an interval between them, which grows linearly to one second at 100 %. No call waits longer than
ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from ...clock import Clock

UNLIMITED_PERCENT: Final = 80.0
ALL_PERCENT: Final = 100.0
MAX_INTERVAL_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 10.0
EXPIRY_SECONDS: Final = 300.0
"""A usage as old as this no longer counts: the allowance is for a rolling period."""

_FIGURES: Final = ("call_count", "total_time", "total_cputime")
_REGAIN: Final = "estimated_time_to_regain_access"
_RESET: Final = "reset_time_duration"


class UsagePace:
    """The pace of all calls with one access token."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._percent = 0.0
        self._known_at = 0.0
        self._next_call = 0.0

    @property
    def interval_seconds(self) -> float:
        """The current time between two calls; 0 while there is no need to slow down."""
        if self._clock.monotonic() - self._known_at > EXPIRY_SECONDS:
            return 0.0
        excess = (min(self._percent, ALL_PERCENT) - UNLIMITED_PERCENT) / (ALL_PERCENT - UNLIMITED_PERCENT)
        return max(0.0, excess) * MAX_INTERVAL_SECONDS

    async def wait(self) -> None:
        """Wait until the next call may be made."""
        interval = self.interval_seconds
        now = self._clock.monotonic()
        if interval == 0.0:
            return
        call_at = min(max(now, self._next_call), now + MAX_WAIT_SECONDS)
        self._next_call = call_at + interval
        if call_at > now:
            await self._clock.sleep(call_at - now)

    def observe(self, headers: Mapping[str, str]) -> float | None:
        """Read the usage from the headers of an answer; the seconds until Facebook accepts calls, if it says so."""
        usages = _usages(headers)
        if usages:
            self._percent = max(_number(usage.get(figure)) for usage in usages for figure in _FIGURES)
            self._known_at = self._clock.monotonic()
        return seconds_asked(headers, now=self._clock.now())


def seconds_asked(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """
    How long to wait by the headers of an answer: ``Retry-After`` in seconds, or a date, which needs *now*; the
    ``estimated_time_to_regain_access`` of a usage in minutes; the ``reset_time_duration`` in seconds of an ad account
    that has used up its calls. ``None`` when there is none of these.
    """
    regain_minutes = max((_number(usage.get(_REGAIN)) for usage in _usages(headers)), default=0.0)
    account = _decoded(headers.get("x-ad-account-usage"))
    reset = 0.0
    if isinstance(account, dict) and _number(account.get("acc_id_util_pct")) >= ALL_PERCENT:
        reset = _number(account.get(_RESET))
    asked = headers.get("retry-after")
    return max(_number(asked), _until(asked, now), regain_minutes * 60, reset) or None


def _until(date: str | None, now: float | None) -> float:
    if date is None or now is None:
        return 0.0
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _usages(headers: Mapping[str, str]) -> list[Mapping[str, Any]]:
    by_business = _decoded(headers.get("x-business-use-case-usage"))
    return [*_objects(_decoded(headers.get("x-app-usage"))), *_business_usages(by_business)]


def _business_usages(by_business: Any) -> Iterator[Mapping[str, Any]]:
    for usages in by_business.values() if isinstance(by_business, dict) else ():
        yield from _objects(*usages) if isinstance(usages, list) else ()


def _objects(*values: Any) -> Iterator[Mapping[str, Any]]:
    return (value for value in values if isinstance(value, dict))


def _decoded(header: str | None) -> Any:
    try:
        return orjson.loads(header or "null")
    except orjson.JSONDecodeError:
        return None


def _number(value: object) -> float:
    try:
        return max(0.0, float(str(value)))
    except ValueError:
        return 0.0
