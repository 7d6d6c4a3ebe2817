"""
What an impression or click ping carries.
"""

from __future__ import annotations

from .funnel import GreetingSettings, Showing, Step
from .identity import Person, record_id


def ping_id(step: Step, showing: Showing, app_id: str, user_id: str) -> str:
    """
    The stable id of a showing's impression or click.
    """
    return record_id(app_id, user_id, step, showing.greeting)


def ping_params(greeting: GreetingSettings, person: Person, showing: Showing) -> dict[str, str]:
    """
    The query parameters of a showing's pings but for their own id.
    """
    facts = {
        "channel": person.channel.value,
        "page_id": person.page_id or "",
        "handler": showing.handler or "",
        "creative": showing.creative or showing.handler or "",
    }
    params = {"site_id": facts["channel"], "creative_id": facts["creative"]}
    for name, template in greeting.params.items():
        value = template
        for fact, text in facts.items():
            value = value.replace("{" + fact + "}", text)
        params[name] = value
    if greeting.user_param is not None:
        params[greeting.user_param] = person.user_id
    return {name: value for name, value in params.items() if value}
