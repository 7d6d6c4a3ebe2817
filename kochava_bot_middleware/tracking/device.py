"""
What can be told of the person's device. Messenger tells a bot nothing of it, so all comes from the author.
"""

from __future__ import annotations

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
    facts: dict[str, str] = {}
    failed: list[str] = []
    for field in attrs.fields(DeviceSettings):
        value = getattr(settings, field.name)
        if callable(value):
            try:
                value = None if user_id is None else await ask(value, user_id)
            except Exception:  # noqa: BLE001 - the author's code may raise anything
                failed.append(field.name)
                continue
        if value is None:
            continue
        if isinstance(value, str):
            facts[field.name] = value
        else:
            failed.append(field.name)
    return facts, tuple(failed)
