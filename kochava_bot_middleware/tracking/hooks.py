"""What the callables of the settings answer about a person, before something is recorded of them."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Any

import attrs

from ..messenger.events import Event
from .consent import Consent, Suppression
from .people import DeviceSettings, Fact, Person, call_hook
from .privacy import Privacy
from .settings import App, TrackingContext


@attrs.frozen(kw_only=True)
class HookAnswers:
    """
    What the callables of the settings answered about a person.

    Attributes:
        suppression: Why nothing may be sent; ``None`` when it may.
        installs: Whether their first record is preceded by an install; ``None`` when that is not known now.
    """

    suppression: Suppression | None = None
    consent: Consent | None = None
    device: Mapping[str, str] = attrs.field(factory=dict)
    installs: bool | None = False

    @property
    def extra(self) -> dict[str, Any]:
        """Further members of a record's ``data``."""
        consent = {} if self.consent is None else {"gdpr_privacy_consent": self.consent.as_body()}
        return {**self.device, **consent}


NOT_ASKED = HookAnswers()
"""The answers before the callables were called, or where there are none."""


async def ask_hooks(
    context: TrackingContext, privacy: Privacy, app: App, person: Person, event: Event | None, *, is_known: bool
) -> HookAnswers:
    """
    Call the callables of the settings, as far as there are any.

    Args:
        event: The event being handled, if it is theirs.
        is_known: There is a record of them already.
    """
    user_id = None if person.is_hashed else person.user_id
    decision = await privacy.decide(user_id)
    if isinstance(decision, Suppression):
        return HookAnswers(suppression=decision)
    device: Mapping[str, str] = {}
    if app.device.is_given:
        device, failed = await device_facts(app.device, user_id)
        for name in failed:
            context.incidents.report("device_fact_failed", name)
    installs: bool | None = False
    if app.install.mode != "off" and not is_known:
        try:
            installs = await app.install.installs(event, user_id, context.clock.now())
        except Exception as exc:  # noqa: BLE001 - the author's code may raise anything
            context.incidents.report("known_users_failed", reason=type(exc).__name__)
            installs = None
    return HookAnswers(consent=decision, device=device, installs=installs)


async def device_facts(settings: DeviceSettings, user_id: str | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    The facts that are known of a person, by callables only if *user_id* is known.

    Returns:
        The facts, and the names of those whose callable failed or gave something that is not text or no IP address:
        with that, the whole event might be refused.
    """
    names = [field.name for field in attrs.fields(DeviceSettings)]
    # At the same time, so that several that hang take no longer than one.
    values = await asyncio.gather(*(_fact(getattr(settings, name), user_id) for name in names), return_exceptions=True)
    given = dict(zip(names, values, strict=True))
    facts = {name: value for name, value in given.items() if isinstance(value, str) and _fits(name, value)}
    failed = tuple(name for name, value in given.items() if value is not None and name not in facts)
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
    return None if user_id is None else await call_hook(value, user_id)
