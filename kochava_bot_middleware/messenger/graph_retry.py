"""
Which failed calls of the Graph API are made again, and after how long.

A call is repeated only when nothing can have been delivered: a second message cannot be taken back.
"""

from __future__ import annotations

import random
from typing import Final

from ..exceptions import RateLimitedError, SendError, TemporarySendError
from .graph_errors import GraphFault

FAULT_WAITS: Final = (0.5, 2.0)
"""Seconds before the second and third try after a connection that failed or a passing fault."""

RATE_WAITS: Final = (1.0, 4.0)
"""Seconds before the second and third try after "too many calls"; longer if Facebook asks for longer."""

JITTER: Final = 0.5
"""A wait is longer by up to this share, so that those who failed together do not come again together."""

LONGEST_WAIT_SECONDS: Final = 30.0
"""A caller is not held longer than this: if Facebook asks for more, the error is raised at once."""

_REPEATABLE_CODES: Final = frozenset({1200})
_REPEATABLE_RATE_CODES: Final = frozenset({4, 17, 32, 613, 80001, 80006, None})
# Limits for one person or one kind of message, which last for hours.
_LASTING_SUBCODES: Final = frozenset({2018022, 2018354})


def seconds_until_retry(error: SendError, tries: int, rng: random.Random) -> float | None:
    """
    How long to wait before the call is made again; ``None`` when it must not be.

    Args:
        error: What the last try ended with.
        tries: How many there were.
        rng: For the jitter.
    """
    waits = RATE_WAITS if isinstance(error, RateLimitedError) else FAULT_WAITS
    if tries > len(waits) or not _undelivered(error):
        return None
    asked = error.retry_after_seconds or 0.0 if isinstance(error, RateLimitedError) else 0.0
    if asked > LONGEST_WAIT_SECONDS:
        return None
    wait = waits[tries - 1]
    return max(wait, asked) + rng.random() * JITTER * wait


def _undelivered(error: SendError) -> bool:
    if isinstance(error, RateLimitedError):
        return error.code in _REPEATABLE_RATE_CODES and error.subcode not in _LASTING_SUBCODES
    if not isinstance(error, TemporarySendError):
        return False
    if error.status is None:
        return True
    return error.code in _REPEATABLE_CODES or GraphFault.of(error.body).transient
