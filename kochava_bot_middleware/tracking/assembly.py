"""The parts of one middleware, made from its settings and joined."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from ..clock import Clock
from ..incidents import Incidents
from ..queues.settling import HandlingCommitter
from ..store.contract import Store
from ..telemetry.counts import Tally
from .apps import Apps, KochavaSettings, Mode
from .link_provider import Catalogue, LinkProvider
from .planning import Planner
from .privacy import Privacy
from .recording import Recorder
from .sends import SendTracker
from .timers import Timers

log = logging.getLogger("kochava_bot_middleware.tracking")

DRY_PREFIX = "dry_run:"
"""Put before the keys of marks in a dry run, so that it leaves no traces in what counts later."""


@attrs.frozen(kw_only=True)
class Parts:
    """
    What a middleware consists of.

    Attributes:
        apps: Which app applies to which Page.
        catalogue: The link provider's answers; ``None`` without a provider.
        privacy: Who is not told of.
        recorder: Makes and writes recordings.
        departures: The send direction.
        timers: The waits for deliveries.
        incidents: What goes wrong now.
        tally: What was counted so far.
    """

    apps: Apps
    catalogue: Catalogue | None
    privacy: Privacy
    recorder: Recorder
    departures: SendTracker
    timers: Timers
    incidents: Incidents
    tally: Tally


def assembled(
    settings: KochavaSettings,
    *,
    store: Store,
    clock: Clock,
    link_provider: LinkProvider | None,
    on_committed: Callable[[int], None],
) -> Parts:
    """
    The parts for *settings*.

    Args:
        on_committed: Called with the number of new records of each commit.
    """
    incidents, tally = Incidents(clock, log), Tally()
    catalogue = None if link_provider is None else _catalogue(link_provider, settings, clock, incidents, tally)
    apps = Apps(settings, catalogue)
    is_dry = settings.mode is Mode.DRY_RUN
    prefix = DRY_PREFIX if is_dry else ""
    privacy = Privacy(settings.privacy, apps=apps, store=store, clock=clock, incidents=incidents, prefix=prefix)
    planner = Planner(
        apps=apps,
        recall=store.recall,
        now=clock.now,
        privacy=privacy,
        incidents=incidents,
        test_users=settings.test_users,
        is_dry=is_dry,
        prefix=prefix,
    )
    recorder = Recorder(
        apps=apps,
        planner=planner,
        settler=HandlingCommitter(store, clock),
        clock=clock,
        incidents=incidents,
        tally=tally,
        commit_timeout_seconds=settings.commit_timeout_seconds,
        at_risk_limit=settings.at_risk_limit,
        on_committed=on_committed,
    )
    departures = SendTracker(
        apps=apps,
        privacy=privacy,
        recorder=recorder,
        incidents=incidents,
        tally=tally,
        test_users=settings.test_users,
        asks_provider=catalogue is not None,
    )
    timers = Timers(
        store=store,
        recorder=recorder,
        apps=apps,
        clock=clock,
        incidents=incidents,
        worthless_after_seconds=settings.delivery.ping_max_age_seconds,
    )
    return Parts(
        apps=apps,
        catalogue=catalogue,
        privacy=privacy,
        recorder=recorder,
        departures=departures,
        timers=timers,
        incidents=incidents,
        tally=tally,
    )


def _catalogue(
    provider: LinkProvider, settings: KochavaSettings, clock: Clock, incidents: Incidents, tally: Tally
) -> Catalogue:
    def failed(reason: str) -> None:
        tally.provider_failures += 1
        incidents.report("link_provider_failed", reason=reason)

    return Catalogue(provider, settings.link_provider, monotonic=clock.monotonic, on_failure=failed)
