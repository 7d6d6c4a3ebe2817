"""Counts of what was recorded, and of what was left out, by reason."""

from __future__ import annotations

import enum
from collections import Counter

import attrs


class LeftOut(enum.StrEnum):
    """Why a record, or a part of one, was never made."""

    IGNORED = "ignored"
    """Its handler is marked with ``@kochava.ignore``."""

    TEST_USER = "test user"
    DRY_RUN = "dry run"
    OPTED_OUT = "opted out"
    FORGOTTEN = "forgotten"
    CONSENT_REFUSED = "consent refused"
    CONSENT_UNKNOWN = "consent unknown"
    NO_PERSON = "no person"
    """A named event was recorded by code that handles no event, or one that names nobody."""

    CLICK_OF_ENTRY_LINK = "click of entry link"
    """The click of a greeting, where the person came by an entry SmartLink, which has one."""

    UNKNOWN_TRACKER = "unknown tracker"
    """A greeting whose tracker the settings of its Page do not have."""

    BAD_KEY = "bad key"
    """One key of an event's data, or one identity."""

    NOT_STORABLE = "not storable"
    """It holds something that has no stored form."""

    AT_RISK_LIMIT = "at risk limit"
    """The store did not work, and too much was in memory already."""


@attrs.define(kw_only=True)
class Counts:
    """
    What one process has counted since its start.

    Attributes:
        links_rewritten: Links that were sent as SmartLinks.
        links_left_alone: Links that were not, by reason.
        recorded: Records made durable, by kind.
        left_out: What was not recorded, by `LeftOut`.
        at_risk: Commits that are only in memory now: being written, or waiting for a store that does not work.
        provider_failures: Times that a `LinkProvider` failed or was slow.
    """

    links_rewritten: int = 0
    links_left_alone: Counter[str] = attrs.field(factory=Counter)
    recorded: Counter[str] = attrs.field(factory=Counter)
    left_out: Counter[str] = attrs.field(factory=Counter)
    at_risk: int = 0
    provider_failures: int = 0

    def snapshot(self, *, at_risk: int) -> Counts:
        """A copy of the counts as they are now."""
        copies = (
            Counter({str(name): n for name, n in counter.items()})
            for counter in (self.links_left_alone, self.recorded, self.left_out)
        )
        links_left_alone, recorded, left_out = copies
        return attrs.evolve(
            self, at_risk=at_risk, links_left_alone=links_left_alone, recorded=recorded, left_out=left_out
        )
