"""
What can be told of the person's device. Messenger tells a bot nothing of it, so all comes from the author.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs

from .asking import ask

Fact = str | Callable[[str], Any] | None
"""A value for everybody, or a callable of the person's id, plain or async; ``None`` leaves it out."""


@attrs.frozen(kw_only=True)
class DeviceSettings:
    """
    Facts of the person's device, each a value or a callable of the person's id.

    Attributes:
        origination_ip: The person's IP address; must not be hashed. Never this server's.
        device_ua: Their browser's user agent. Without one, `device_ver` should be given.
        device_ver: ``model-OS-version``, such as ``iPhone-iOS-13.6.0``.
        kochava_device_id: Stable and unique a person; must never change later. The ``s2s`` profile takes the person's
            id by default.
        nt_id: Kochava's SDKs number their payloads with it; the ``s2s`` profile takes the record's id by default.
        app_version: Of the bot.
    """

    origination_ip: Fact = None
    device_ua: Fact = None
    device_ver: Fact = None
    kochava_device_id: Fact = None
    nt_id: Fact = None
    app_version: Fact = None


async def device_facts(settings: DeviceSettings, user_id: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    The facts that are known of a person.

    Args:
        user_id: ``None`` when it is known only as a hash; then callables are not asked.

    Returns:
        The facts, and the names of those whose callable failed or gave something that is not text.
    """
    names = [field.name for field in attrs.fields(DeviceSettings)]
    # At the same time, so that several that hang take no longer than one.
    values = await asyncio.gather(*(_fact(getattr(settings, name), user_id) for name in names), return_exceptions=True)
    told = dict(zip(names, values, strict=True))
    facts = {name: value for name, value in told.items() if isinstance(value, str)}
    return facts, tuple(name for name, value in told.items() if value is not None and name not in facts)


async def _fact(value: Fact, user_id: str | None) -> Any:
    if not callable(value):
        return value
    return None if user_id is None else await ask(value, user_id)
