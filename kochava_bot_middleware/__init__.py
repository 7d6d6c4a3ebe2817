"""
Makes a Facebook Messenger or Instagram bot measurable in Kochava.

Each name is loaded when it is first used (PEP 562), so that a program loads no more than it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from .tracking.links.provider import LinkProvider
    from .tracking.settings import KochavaSettings, Mode

__all__ = [
    "AsyncBot", "BotSettings", "Channel", "Consent", "Counts", "Drop", "Event", "Handling", "Kind", "KochavaBotError",
    "KochavaMiddleware", "KochavaSettings", "LinkProvider", "MessengerBot", "Middleware", "Mode", "NotAWebhook",
    "Outgoing", "RegistrationError", "Reply", "SendError", "SettingsError", "SignatureError", "StandardEvent",
    "StandardKey", "StoreError", "SyncKochava", "TrackingError", "WebhookError", "compose", "current_handling",
    "detached", "events", "parse_webhook",
]  # fmt: skip

__version__ = "0.1.0"

_MODULES = {
    "bot": "BotSettings MessengerBot",
    "chain": "Middleware compose",
    "exceptions": "KochavaBotError NotAWebhook RegistrationError SendError SettingsError SignatureError StoreError "
    "TrackingError WebhookError",
    "handling": "Handling current_handling detached",
    "kochava.standard": "StandardEvent StandardKey",
    "messenger.events": "Channel Event Kind",
    "messenger.outgoing": "Outgoing",
    "messenger.parsing.webhook": "parse_webhook",
    "messenger.reply": "Reply",
    "messenger.send_api": "AsyncBot",
    "middleware": "KochavaMiddleware",
    "sync": "SyncKochava",
    "telemetry.counts": "Counts",
    "tracking.consent": "Consent Drop",
    "tracking.links.provider": "LinkProvider",
    "tracking.settings": "KochavaSettings Mode",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


if not TYPE_CHECKING:  # else every name would be one

    def __getattr__(name: str) -> object:
        if name == "events":
            value: object = import_module(".kochava.event_builders", __name__)
        elif name in _MODULE_OF:
            value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        else:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
