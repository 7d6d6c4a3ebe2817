"""
Makes a Facebook Messenger or Instagram bot measurable in Kochava.
"""

from __future__ import annotations

from .apps import KochavaSettings, Mode
from .bot import BotSettings, MessengerBot
from .chain import compose
from .exceptions import KochavaBotError, RegistrationError, SendError, SettingsError, StoreError, TrackingError
from .handling import current_handling, detached
from .kochava.standard import StandardEvent
from .messenger.events import Channel, Event, Kind
from .messenger.outgoing import Outgoing
from .messenger.reply import Reply
from .messenger.send_api import AsyncBot
from .middleware import KochavaMiddleware

__all__ = [
    "AsyncBot",
    "BotSettings",
    "Channel",
    "Event",
    "Kind",
    "KochavaBotError",
    "KochavaMiddleware",
    "KochavaSettings",
    "MessengerBot",
    "Mode",
    "Outgoing",
    "RegistrationError",
    "Reply",
    "SendError",
    "SettingsError",
    "StandardEvent",
    "StoreError",
    "TrackingError",
    "compose",
    "current_handling",
    "detached",
]

__version__ = "0.1.0"
