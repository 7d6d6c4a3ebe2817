"""Makes a Facebook Messenger or Instagram bot measurable in Kochava."""

from __future__ import annotations

from .bot import BotSettings, MessengerBot
from .chain import Middleware, compose
from .exceptions import (
    KochavaBotError,
    NotAWebhook,
    RegistrationError,
    SendError,
    SettingsError,
    SignatureError,
    StoreError,
    TrackingError,
    WebhookError,
)
from .handling import Handling, current_handling, detached
from .kochava import event_builders as events
from .kochava.standard import StandardEvent, StandardKey
from .messenger.events import Channel, Event, Kind
from .messenger.outgoing import Outgoing
from .messenger.parsing.webhook import parse_webhook
from .messenger.reply import Reply
from .messenger.send_api import AsyncBot
from .middleware import KochavaMiddleware
from .sync import SyncKochava
from .telemetry.counts import Counts
from .tracking.consent import Consent, Drop
from .tracking.link_provider import LinkProvider
from .tracking.settings import KochavaSettings, Mode

__all__ = [
    "AsyncBot",
    "BotSettings",
    "Channel",
    "Consent",
    "Counts",
    "Drop",
    "Event",
    "Handling",
    "Kind",
    "KochavaBotError",
    "KochavaMiddleware",
    "KochavaSettings",
    "LinkProvider",
    "MessengerBot",
    "Middleware",
    "Mode",
    "NotAWebhook",
    "Outgoing",
    "RegistrationError",
    "Reply",
    "SendError",
    "SettingsError",
    "SignatureError",
    "StandardEvent",
    "StandardKey",
    "StoreError",
    "SyncKochava",
    "TrackingError",
    "WebhookError",
    "compose",
    "current_handling",
    "detached",
    "events",
    "parse_webhook",
]

__version__ = "0.1.0"
