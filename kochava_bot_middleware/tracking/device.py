"""What can be told of the person's device. Messenger tells a bot nothing of it, so all comes from the author."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from ..settings import InvalidValue
from .arguments import ask

Fact = str | Callable[[str], Any] | None
"""A value for everybody, or a callable of the person's id, plain or async; ``None`` leaves it out."""


def _per_person(_instance: Any, _attribute: Any, value: Fact) -> None:
    if isinstance(value, str) and value:
        wanted = "a callable of the person's id, since one text for everybody would make all of them one"
        raise InvalidValue(wanted, value)


@attrs.frozen(kw_only=True)
class DeviceSettings:
    """
    Facts of the person's device, each a value or a callable of the person's id.

    Attributes:
        origination_ip: The person's IP address; must not be hashed. Never this server's. Pings carry it only if it
            comes from a callable, since many clicks from one address look like fraud.
        device_ua: Their browser's user agent. Without one, `device_ver` should be given. In pings as the address.
        device_ver: ``model-OS-version``, such as ``iPhone-iOS-13.6.0``.
        kochava_device_id: Stable and unique a person, so never one text for everybody; must never change later. The
            ``s2s`` profile takes the person's id by default; an empty text sends it empty.
        nt_id: Kochava's SDKs number their payloads with it; the ``s2s`` profile takes the record's id by default. Not
            one text for everybody either.
        app_version: Of the bot.
    """

    origination_ip: Fact = None
    device_ua: Fact = None
    device_ver: Fact = None
    kochava_device_id: Fact = attrs.field(default=None, validator=_per_person)
    nt_id: Fact = attrs.field(default=None, validator=_per_person)
    app_version: Fact = None

    @functools.cached_property
    def is_given(self) -> bool:
        """Whether anything is known, of anybody."""
        return self != DeviceSettings()

    def asked(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Those of *facts* that are of one person: a callable gave them."""
        return {name: value for name, value in facts.items() if callable(getattr(self, name))}


async def device_facts(settings: DeviceSettings, user_id: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    The facts that are known of a person.

    Args:
        user_id: ``None`` when it is known only as a hash; then callables are not asked.

    Returns:
        The facts, and the names of those whose callable failed or gave something that is not text or no IP address:
        with that, the whole event might be refused.
    """
    names = [field.name for field in attrs.fields(DeviceSettings)]
    # At the same time, so that several that hang take no longer than one.
    values = await asyncio.gather(*(_fact(getattr(settings, name), user_id) for name in names), return_exceptions=True)
    told = dict(zip(names, values, strict=True))
    facts = {name: value for name, value in told.items() if isinstance(value, str) and _fits(name, value)}
    failed = tuple(name for name, value in told.items() if value is not None and name not in facts)
    if "kochava_device_id" in failed:
        # Kochava takes an empty one beside other ids; the default in its place would be another person.
        facts["kochava_device_id"] = ""
    return facts, failed


def _fits(name: str, value: str) -> bool:
    if name != "origination_ip" or not value:
        return True
    try:
        return not ipaddress.ip_address(value).is_unspecified
    except ValueError:
        return False


async def _fact(value: Fact, user_id: str | None) -> Any:
    if not callable(value):
        return value
    return None if user_id is None else await ask(value, user_id)
