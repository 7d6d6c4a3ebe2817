"""Settings of a bot whose leases and waits are short."""

from __future__ import annotations

from typing import Any

from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from tests.faults.fault_server import FaultServer

INBOX_LEASE_SECONDS = 1.0
DELIVERY_LEASE_SECONDS = 1.2


def settings_of(messenger: LocalMessenger, kochava: FaultServer) -> dict[str, Any]:
    """Waits short enough for a fault of a second; everything else is as in a real bot."""
    return {
        "bot": {
            "verify_token": "verify",
            "page_access_token": "page-token",
            "app_secret": "app-secret",
            "graph_url": messenger.url,
            "inbox": {
                "lease_seconds": INBOX_LEASE_SECONDS,
                "poll_seconds": 0.1,
                "on_store_failure": "refuse",
                "commit_timeout_seconds": 4,
            },
        },
        "kochava": {
            "kochava_app_id": "kobotdemo1234",
            "greeting": {
                "impression_url": f"{kochava.url}/track/impression?campaign_id=kogreet&network_id=1",
                "click_url": f"{kochava.url}/v1/cpi/click?campaign_id=kogreet&network_id=1",
            },
            "wire": {"event_url": f"{kochava.url}/track/json"},
            "delivery": {
                "concurrency": 8,
                "lease_seconds": DELIVERY_LEASE_SECONDS,
                "request_timeout_seconds": DELIVERY_LEASE_SECONDS / 3.1,
                "retry_waits_seconds": [0.05, 0.1],
                "probe_waits_seconds": [0.1],
                "refused_waits_seconds": [0.1],
                "unknown_wait_seconds": 1,
                "ramp_seconds": 0,
                "poll_seconds": 0.05,
            },
        },
    }
