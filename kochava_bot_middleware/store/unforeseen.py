"""Errors of our own code, or of a driver's, that no engine has a name for."""

from __future__ import annotations

import traceback

from ..exceptions import StoreError, StoreUnavailable


def unforeseen(exc: Exception, shown: str) -> StoreError:
    """
    The error to raise for *exc*, which says nothing about what was to be written: it is repeated, and whoever repeats
    it finds out whether it is the unit that always fails.

    Args:
        shown: The address of the store.
    """
    if isinstance(exc, StoreError):
        return exc
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    # Not the text of the error, which may quote what was read.
    return StoreUnavailable(f"the store {shown} cannot be used: an unforeseen {type(exc).__name__}{place}")
