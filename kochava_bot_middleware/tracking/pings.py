"""
What an impression or click ping carries.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..kochava.records import Click, Impression
from .funnel import Showing, Step
from .greeting import GreetingSettings, filled
from .identity import Person, record_id


def ping_of(
    step: Step,
    showing: Showing,
    greeting: GreetingSettings,
    *,
    app_id: str,
    user_id: str,
    person: Person,
    at: float,
    device: Mapping[str, str],
) -> Impression | Click:
    """
    The ping of one step.

    Args:
        user_id: The person's id as it may leave.
        at: When it happened, in seconds since the epoch.
        device: What is known of the person's device.
    """
    made = Impression if step is Step.IMPRESSION else Click
    # The same greeting has the same ids, so that a second run of its handler counts once.
    ping_id = record_id(app_id, user_id, step, showing.greeting)
    own_id_param = greeting.impression_id_param if step is Step.IMPRESSION else greeting.click_id_param
    return made(
        id=ping_id,
        app_id=app_id,
        user_id=user_id,
        page_id=person.page_id,
        usertime=int(at),
        params=_params(greeting, _facts(showing, person, user_id), device, {own_id_param: ping_id}),
    )


def _facts(showing: Showing, person: Person, user_id: str) -> dict[str, str]:
    return {
        "user_id": user_id,
        "page_id": person.page_id or "",
        "channel": person.channel.value,
        "handler": showing.handler or "",
        "creative": showing.creative or showing.handler or "",
        "greeting": showing.greeting,
        **{name: showing.referral.get(name, "") for name in ("ref", "source", "ad_id")},
    }


def _params(
    greeting: GreetingSettings,
    facts: Mapping[str, str],
    device: Mapping[str, str],
    own_id: Mapping[str | None, str],
) -> dict[str, str]:
    named: dict[str | None, str] = {
        greeting.site_id_param: facts["channel"],
        greeting.creative_id_param: facts["creative"],
        greeting.ref_param: facts["ref"],
        greeting.source_param: facts["source"],
        greeting.ad_id_param: facts["ad_id"],
        greeting.ip_param: device.get("origination_ip", ""),
        greeting.device_ua_param: device.get("device_ua", ""),
        greeting.user_param: facts["user_id"],
        **own_id,
        **{name: filled(template, facts) for name, template in greeting.params.items()},
    }
    return {name: value for name, value in named.items() if name is not None and value}
