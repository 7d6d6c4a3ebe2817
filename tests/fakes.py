"""
Stand-ins for what tests must own: time.
"""

from __future__ import annotations

from kochava_bot_middleware.testing import VirtualClock, settle

__all__ = ["VirtualClock", "settle"]
