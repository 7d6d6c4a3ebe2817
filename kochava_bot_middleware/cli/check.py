"""``kochava-bot check``: what would be sent with these settings, and what looks wrong in them. Nothing is sent."""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

from ..clock import SystemClock
from ..exceptions import SettingsError, Violation
from ..inbox.settings import BotSettings
from ..kochava.destination import TrackerUrls, WireSettings
from ..kochava.records import GREETING, Ping
from ..kochava.smartlink import LinkContext
from ..kochava.smartlink_settings import SmartLinkSettings, glob
from ..kochava.smartlink_template import URL_PLACEHOLDERS, LinkTemplate, Placeholder, address_of
from ..kochava.standard import standard_event_like
from ..kochava.wire import AddressNotConfigured, WireRequest, build_request
from ..tracking.greeting import GreetingSettings
from ..tracking.settings import App, Apps, KochavaSettings, Mode
from .command import GOOD
from .entries import opened
from .output import one_line, print_table
from .samples import TEST_USER, SampleKind, app_label, distinct, samples
from .settings import ReadSettings, add_settings_argument

MASK = "…"

EXAMPLE = "https://www.example.com/shoes?color=red"
"""An address that no route is likely to match."""

_OPEN_HEADERS = frozenset({"User-Agent", "Content-Type"})

T = TypeVar("T")

Remark: TypeAlias = tuple[str, str]
"""The key of a setting, and what looks wrong with it and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="the same as --settings")
    parser.add_argument(
        "--store", action="store_true", help="also open the store, and write to it as a bot does when it starts"
    )
    add_settings_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """
    Print requests, SmartLinks and warnings.

    Raises:
        SettingsError: With everything that keeps bot, middleware or store from starting.
    """
    if arguments.file is not None and arguments.settings is not None:
        raise SettingsError([Violation(key="--settings", wanted="one settings file", got="two")])
    read = ReadSettings.of(arguments.file or arguments.settings)
    if read.kochava is not None:
        _print_settings(read.kochava, read.page_ids)
    for key in _placeholders(read.kochava, read.bot):
        print(f"warning: {key}: is the placeholder of an example; put your own there")
    violations = read.violations
    for violation in read.unread if violations else [*read.near_misses, *read.unread]:
        print(f"warning: {violation}")
    if violations:
        # A name that is not read may be why something is missing.
        raise SettingsError([*violations, *read.near_misses])
    if arguments.store and read.kochava is not None and not read.kochava.kept_in.is_memory:
        asyncio.run(_try_store(read.kochava))
    return GOOD


def _placeholders(kochava: KochavaSettings | None, bot: BotSettings | None) -> Iterator[str]:
    """The keys whose values were copied from the documentation, such as ``...``."""
    if kochava is not None and not kochava.kochava_app_id.removeprefix("ko").strip("."):
        yield "kochava.kochava_app_id"
    if bot is not None:
        secrets = {
            "verify_token": bot.verify_token,
            "app_secret": bot.app_secret,
            "page_access_token": bot.page_access_token,
        }
        secrets |= {f"pages.{page_id}.page_access_token": page.page_access_token for page_id, page in bot.pages.items()}
        yield from (f"bot.{key}" for key, one in secrets.items() if one is not None and not one.value.strip(".…"))


def _print_settings(settings: KochavaSettings, page_ids: Sequence[str]) -> None:
    apps = Apps(settings)
    for app in distinct(apps):
        print(f"requests of {app_label(app)}, for the person {TEST_USER!r}\n")
        for line in asyncio.run(_requests(app)):
            print(line)
    for app in distinct(apps, lambda app: app.links.settings):
        _print_links(app)
    for key, text in remarks_on(settings, apps, page_ids):
        print(f"warning: {key}: {text}")


async def _try_store(settings: KochavaSettings) -> None:
    async with opened(settings, SystemClock()):
        print(f"the store at {settings.kept_in} can be read and written")


async def _requests(app: App) -> list[str]:
    lines: list[str] = []
    now = SystemClock().now()
    for kind in SampleKind:
        for record in await samples(kind, app, now=now, new_id=lambda: uuid.uuid4().hex):
            name = f"{kind} of {record.tracker}" if isinstance(record, Ping) and record.tracker != GREETING else kind
            try:
                request = build_request(record, app.destination)
            except AddressNotConfigured:
                lines += [f"{name}: not configured", ""]
                continue
            note = _never_sent(kind, app)
            lines += [f"{name}{note}:", *(f"  {line}" for line in request_lines(request, app.destination.wire)), ""]
    return lines


def _never_sent(kind: SampleKind, app: App) -> str:
    if kind == "install" and app.install.mode == "off":
        return " (install.mode is off: never sent)"
    if kind == "session" and not app.events.sessions:
        return " (events.sessions is off: never sent)"
    if kind == "identity" and app.destination.wire.identity_form == "off":
        return " (wire.identity_form is off: never sent)"
    return ""


def request_lines(request: WireRequest, wire: WireSettings) -> Iterator[str]:
    """A request as it is sent, its secrets masked."""
    yield f"{request.method} {_masked(_without_user(request.url), wire)}"
    for name, value in request.headers.items():
        yield f"{name}: {_masked(value, wire) if name in _OPEN_HEADERS else MASK}"
    if request.body is not None:
        yield _masked(request.body.decode("utf-8", "replace"), wire)


def _masked(text: str, wire: WireSettings) -> str:
    return one_line(wire.masked(text))


def _without_user(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    return f"{scheme}{mark}{MASK if user else ''}{at}{host}{slash}{path}"


def _print_links(app: App) -> None:
    settings = app.links.settings
    if not app.links.is_active:
        print(f"SmartLinks of {app_label(app)}: none, links stay as they are\n")
        return
    print(f"SmartLinks of {app_label(app)}\n")
    context = LinkContext(
        user_id=TEST_USER, page_id=app.destination.page_id, channel="messenger", handler="greet", title="Shop", index=0
    )
    examples = [(route.match, example_of(route.match)) for route in settings.routes]
    if settings.default is not None:
        examples.append(("any other", EXAMPLE))
    maker = app.links.builder(context)
    rows = []
    for match, example in examples:
        made = "no example fits" if example is None else str(maker.make(example))
        rows.append((match, example or "", made))
    print_table(("route", "example", "becomes"), rows)
    print()


def example_of(match: str) -> str | None:
    """An address that a route's pattern matches; ``None`` when none could be made."""
    scheme, mark, rest = match.rpartition("://")
    written = f"{scheme.replace('*', 'https') if mark else 'https'}://{rest.replace('*', 'example')}"
    address = address_of(written)
    return written if address is not None and glob(match).fullmatch(address.normalized) else None


def remarks_on(settings: KochavaSettings, apps: Apps, page_ids: Sequence[str] = ()) -> list[Remark]:
    """All remarks; those that concern the settings as a whole come last."""
    remarks: list[Remark] = []
    for prefix, links in _each(settings, "smartlinks", settings.smartlinks):
        is_hashed = links.user_id_hash or settings.privacy.user_id_hash
        remarks += _on_links(links, prefix, is_hashed=is_hashed)
    for prefix, greeting in _each(settings, "greeting", settings.greeting):
        remarks += _on_greeting(greeting, prefix)
        remarks += _missing_trackers(greeting, apps, prefix)
    for prefix, wire in _each(settings, "wire", settings.wire):
        remarks += _on_wire(wire, prefix)
    for prefix, events in _each(settings, "events", settings.events):
        remarks += _on_names({f"{prefix}.names.{kind}": name for kind, name in events.names.items()})
    remarks += _on_names({f"delivery.on_ambiguous.{name}": name for name in settings.delivery.on_ambiguous})
    remarks += _on_funnel(apps)
    remarks += _on_pages(settings, page_ids)
    remarks += _on_apps(apps, list(dict.fromkeys([*page_ids, *settings.pages])))
    if settings.privacy.consent is None:
        text = "not set here, so everybody counts as consenting; it is a callable, such as 'shop.hooks:consent_of'"
        remarks.append(("privacy.consent", text))
    if settings.mode is not Mode.LIVE:
        remarks.append(("mode", f"is {str(settings.mode)!r}: the bot sends nothing"))
    remarks.append(("kochava_app_id", "Kochava accepts a bot's events, pings and SmartLinks for paid accounts only"))
    return remarks


def _each(settings: KochavaSettings, name: str, top: T) -> Iterator[tuple[str, T]]:
    """A section at the top and of each Page, with its key."""
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
            yield f"{where}.link", "without {url}, every address that it matches leads to the same place"
        plain = route.match if "://" in route.match else f"https://{route.match}"
        for earlier, other in enumerate(links.routes[:index]):
            if other.match == route.match or glob(other.match).fullmatch(plain):
                yield f"{where}.match", f"never reached: routes[{earlier}] takes what it matches"
                break
    yield from _insecure({f"{key}.default": links.default})
    if (links.default or links.routes) and links.user_param is not None and not is_hashed:
        text = (
            "links contain the person's id, and sharing a link shares it too; "
            "turn user_id_hash on, or, in code, set user_param to None"
        )
        yield f"{key}.user_param", text


def _on_greeting(greeting: GreetingSettings, key: str) -> Iterator[Remark]:
    yield from _on_tracker(greeting, key)
    for name, tracker in greeting.trackers.items():
        yield from _on_tracker(tracker, f"{key}.trackers.{name}")


def _missing_trackers(greeting: GreetingSettings, apps: Apps, key: str) -> Iterator[Remark]:
    """A section of a Page replaces the one at the top whole."""
    for name in sorted(apps.trackers - set(greeting.all_trackers)):
        text = f"has no {name!r}, which other Pages have: its greetings are not counted here; an empty table says so"
        yield f"{key}.trackers", text


def _on_tracker(tracker: TrackerUrls | GreetingSettings, key: str) -> Iterator[Remark]:
    urls = {f"{key}.impression_url": tracker.impression_url, f"{key}.click_url": tracker.click_url}
    for where, url in urls.items():
        if url is not None and not dict(parse_qsl(urlsplit(url).query)).get("campaign_id"):
            yield where, "has no campaign_id; paste the address from Campaign Manager whole"
    yield from _insecure(urls)


def _on_wire(wire: WireSettings, key: str) -> Iterator[Remark]:
    urls = {f"{key}.{name}": getattr(wire, name) for name in ("base_url", "event_url", "identity_url", "deletion_url")}
    yield from _insecure(urls)


def _insecure(urls: Mapping[str, str | None]) -> Iterator[Remark]:
    for key, url in urls.items():
        if url is not None and url.lower().startswith("http://"):
            yield key, "is http: anybody on the way can read the ids in it; use https"


def _on_names(names: Mapping[str, str | None]) -> Iterator[Remark]:
    for key, name in names.items():
        if name is not None and (meant := standard_event_like(name)) is not None:
            yield key, f"Kochava knows its standard events by their exact names: write {str(meant)!r}, not {name!r}"


def _on_funnel(apps: Apps) -> Iterator[Remark]:
    if any(app.greeting.is_on and app.install.mode == "off" for app in apps):
        yield (
            "install.mode",
            "is off while impressions and clicks are sent: Kochava has no install to attribute to them",
        )


def _on_pages(settings: KochavaSettings, page_ids: Sequence[str]) -> Iterator[Remark]:
    for page_id in settings.pages:
        if not page_id.isdecimal():
            yield f"pages.{page_id}", "is not the id of a Page or Instagram account, which has only digits"
        elif page_ids and page_id not in page_ids:
            yield f"pages.{page_id}", f"the bot has no such Page; under bot.pages are {', '.join(page_ids)}"


def _on_apps(apps: Apps, page_ids: Sequence[str]) -> Iterator[Remark]:
    pages: dict[str, list[str]] = {}
    for page_id in page_ids:
        pages.setdefault(apps.of(page_id).app_id, []).append(page_id)
    for app_id, alike in pages.items():
        if len(alike) > 1:
            text = f"{app_id} counts Pages {', '.join(alike)} as one; Kochava advises one app for each bot"
            yield "kochava_app_id", text
