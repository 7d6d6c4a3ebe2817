"""
What is odd about settings that are valid: pure, one remark a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import attrs

from ..kochava.destination import Tracker, WireSettings
from ..kochava.smartlink_settings import SmartLinkSettings, glob
from ..kochava.smartlink_template import URL_PLACEHOLDERS, LinkTemplate, Placeholder
from ..measuring.apps import Apps, KochavaSettings, Mode
from ..tracking.greeting import GreetingSettings

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Remark:
    """
    One finding.

    Attributes:
        key: The setting it is about.
        text: What is odd, and what to do.
    """

    key: str
    text: str


def remarks_on(settings: KochavaSettings, apps: Apps, page_ids: Iterable[str] = ()) -> list[Remark]:
    """
    All findings, those about everything last.

    Args:
        page_ids: Pages of the bot, beside those with settings of their own.
    """
    remarks: list[Remark] = []
    for prefix, links in _each(settings, "smartlinks", settings.smartlinks):
        is_hashed = links.user_id_hash or settings.privacy.user_id_hash
        remarks += _on_links(links, prefix, is_hashed=is_hashed)
    for prefix, greeting in _each(settings, "greeting", settings.greeting):
        remarks += _on_greeting(greeting, prefix)
    for prefix, wire in _each(settings, "wire", settings.wire):
        remarks += _on_wire(wire, prefix)
    remarks += _on_funnel(apps)
    remarks += _on_apps(apps, dict.fromkeys([*page_ids, *settings.pages]))
    if settings.privacy.consent is None:
        text = "not set here, so everybody counts as willing; it is a callable, to be given in code"
        remarks.append(Remark(key="privacy.consent", text=text))
    if settings.mode is not Mode.LIVE:
        remarks.append(Remark(key="mode", text=f"is {str(settings.mode)!r}: the bot sends nothing"))
    text = "Kochava takes a bot's events, pings and SmartLinks for paid accounts only"
    remarks.append(Remark(key="kochava_app_id", text=text))
    return remarks


def _each(settings: KochavaSettings, name: str, top: T) -> Iterator[tuple[str, T]]:
    """
    A section at the top and of each Page, with its key.
    """
    yield name, top
    for page_id, page in settings.pages.items():
        section = getattr(page, name)
        if section is not None:
            yield f"pages.{page_id}.{name}", section


def _on_links(links: SmartLinkSettings, key: str, *, is_hashed: bool) -> Iterator[Remark]:
    for index, route in enumerate(links.routes):
        where = f"{key}.routes[{index}]"
        template = LinkTemplate.parse(route.link)
        yield from _insecure({f"{where}.link": route.link})
        names = {part.name for part in template.parts if isinstance(part, Placeholder)}
        if not names & set(URL_PLACEHOLDERS):
            text = "without {url}, every address that it matches leads to one place"
            yield Remark(key=f"{where}.link", text=text)
        for earlier, other in enumerate(links.routes[:index]):
            if other.match == route.match or glob(other.match).fullmatch(_plain(route.match)):
                text = f"never reached: routes[{earlier}] takes what it matches"
                yield Remark(key=f"{where}.match", text=text)
                break
    yield from _insecure({f"{key}.default": links.default})
    if (links.default or links.routes) and links.user_param is not None and not is_hashed:
        text = (
            "links carry the person's id, and whoever shares one shares it too; "
            "turn user_id_hash on, or leave user_param out"
        )
        yield Remark(key=f"{key}.user_param", text=text)


def _plain(match: str) -> str:
    return match if "://" in match else f"https://{match}"


def _on_greeting(greeting: GreetingSettings, key: str) -> Iterator[Remark]:
    tracker = Tracker(impression_url=greeting.impression_url, click_url=greeting.click_url)
    yield from _on_tracker(tracker, key)


def _on_tracker(tracker: Tracker, key: str) -> Iterator[Remark]:
    urls = {f"{key}.impression_url": tracker.impression_url, f"{key}.click_url": tracker.click_url}
    for where, url in urls.items():
        if url is not None and not _query(url).get("campaign_id"):
            text = "has no campaign_id; paste the address from Campaign Manager whole"
            yield Remark(key=where, text=text)
    yield from _insecure(urls)


def _query(url: str) -> Mapping[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def _on_wire(wire: WireSettings, key: str) -> Iterator[Remark]:
    urls = {f"{key}.{name}": getattr(wire, name) for name in ("base_url", "event_url", "identity_url", "deletion_url")}
    yield from _insecure(urls)
    for name, tracker in wire.trackers.items():
        yield from _on_tracker(tracker, f"{key}.trackers.{name}")


def _insecure(urls: Mapping[str, str | None]) -> Iterator[Remark]:
    for key, url in urls.items():
        if url is not None and url.lower().startswith("http://"):
            yield Remark(key=key, text="is http: ids travel readable by anybody on the way; use https")


def _on_funnel(apps: Apps) -> Iterator[Remark]:
    if any(app.greeting.is_on and app.install.mode == "off" for app in apps):
        text = "is off while impressions and clicks are sent: Kochava has no install to attribute to them"
        yield Remark(key="install.mode", text=text)


def _on_apps(apps: Apps, page_ids: Iterable[str]) -> Iterator[Remark]:
    pages: dict[str, list[str]] = {}
    for page_id in page_ids:
        pages.setdefault(apps.of(page_id).app_id, []).append(page_id)
    for app_id, alike in pages.items():
        if len(alike) > 1:
            text = f"{app_id} counts Pages {', '.join(alike)} as one; Kochava advises one app for each bot"
            yield Remark(key="kochava_app_id", text=text)
