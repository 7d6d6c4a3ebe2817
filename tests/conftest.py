"""What every test shares."""

from __future__ import annotations

import asyncio
import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Before its first async test pytest-asyncio asks for the thread's default loop, which Python 3.11 then makes and nobody
# closes; with a default set on purpose, even to none, it makes its own.
asyncio.set_event_loop(None)
