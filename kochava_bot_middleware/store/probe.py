"""
What a store writes and takes back when it is opened.

Rights alone do not say that rows can be written: a policy of the database may hide or refuse them, and a trigger may
drop them in silence.
"""

from __future__ import annotations

import secrets

from .records import Claim, Condition, Entry, Lease, Mark, Outcome, Queue, Settlement, Unit

TOKEN = "probe"  # noqa: S105 - the token of a lease
"""Of the lease. Those that others get stay in their order."""

REFUSED = "does not keep what is written into it; see the policies, triggers and constraints of its tables"
"""What is wrong when a row was refused or is not there."""


def beginning() -> Unit:
    """Appends and leases an entry and puts a state entry, unlike any others."""
    name = f"probe:{secrets.token_hex(12)}"
    entry = Entry(id=name, queue=Queue.TRACK, lane=name, schema=1, created_at=0.0, body=b"")
    mark = Mark(lane=name, key=name, value=b"")
    return Unit(appends=[entry], marks=[mark], lease=Lease(queue=Queue.TRACK, seconds=60.0))


def end_of(claim: Claim) -> Unit:
    """Settles the entry and deletes the state entry, if both are there."""
    name = claim.entry.id
    mark = Mark(lane=name, key=name, value=None, condition=Condition.IF_EQUAL, expected=b"")
    return Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)], marks=[mark])
