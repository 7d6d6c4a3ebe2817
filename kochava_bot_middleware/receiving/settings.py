"""
How events are kept and handled: what can be set.
"""

from __future__ import annotations

import attrs

from ..settings import at_least, one_of


@attrs.frozen(kw_only=True)
class InboxSettings:
    """
    How events are kept and handled.

    Attributes:
        concurrency: Handlers that run at the same time; further events wait, leased.
        lease_seconds: After this long without a sign of life, another process takes an event over.
        rerun_within_seconds: A handler is run again after its process died only if the event is younger than this;
            an older one is recorded, but not answered.
        commit_timeout_seconds: How long Facebook waits for the store before `on_store_failure` decides.
        on_store_failure: ``buffer``: answer 200 and hold the event in memory, at risk. ``refuse``: answer 503, so that
            Facebook delivers again, for at most `refuse_seconds`.
        at_risk_limit: Events held in memory at most; beyond it, webhooks are refused.
        refuse_seconds: After this long, ``refuse`` turns to ``buffer``, since Facebook unsubscribes a Page after an
            hour of failures.
        poll_seconds: How often to look for events whose process died.
        drain_seconds: How long a shutdown waits for handlers.
    """

    concurrency: int = attrs.field(default=256, validator=at_least(1))
    lease_seconds: float = attrs.field(default=30.0, validator=at_least(1))
    rerun_within_seconds: float = attrs.field(default=300.0, validator=at_least(0))
    commit_timeout_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    on_store_failure: str = attrs.field(default="buffer", validator=one_of("buffer", "refuse"))
    at_risk_limit: int = attrs.field(default=10_000, validator=at_least(0))
    refuse_seconds: float = attrs.field(default=600.0, validator=at_least(0))
    poll_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    drain_seconds: float = attrs.field(default=25.0, validator=at_least(0))
