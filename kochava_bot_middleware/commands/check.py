"""
``kochava-bot check``: what would be sent with these settings, and what is odd about them. Nothing is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import uuid
from collections.abc import Iterable, Iterator

from ..clock import SystemClock
from ..exceptions import SettingsError, Violation
from ..kochava.address import address_of
from ..kochava.destination import WireSettings
from ..kochava.smartlink import LinkContext
from ..kochava.smartlink_settings import glob
from ..kochava.wire import NoAddress, WireRequest, build_request
from ..measuring.apps import App, Apps
from .check_remarks import remarks_on
from .command import GOOD, Parsers, add_command
from .printing import one_line, print_table
from .samples import TEST_USER, SampleKind, distinct, place_of, samples
from .settings_source import add_settings_argument, read_doubts, read_page_ids, read_settings

MASK = "…"

EXAMPLE = "https://www.example.com/shoes?color=red"
"""An address that no route is likely to be made for."""

_OPEN_HEADERS = frozenset({"User-Agent", "Content-Type"})


def add_check(parsers: Parsers) -> None:
    """
    Add the command.
    """
    parser = add_command(parsers, "check", run, "Show every request and SmartLink of these settings; nothing is sent.")
    parser.add_argument("file", metavar="FILE", nargs="?", help="the same as --settings")
    add_settings_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """
    Print requests, links and remarks.
    """
    if arguments.file is not None and arguments.settings is not None:
        wanted = "one settings file"
        raise SettingsError([Violation(key="--settings", wanted=wanted, got="two")])
    path = arguments.file or arguments.settings
    settings = read_settings(path)
    apps = Apps(settings)
    for app in distinct(apps):
        print(f"requests of {place_of(app)}, for the person {TEST_USER!r}\n")
        for line in asyncio.run(_requests(app)):
            print(line)
    for app in _differently_linking(apps):
        _print_links(app)
    for doubt in read_doubts(path):
        print(f"warning: {doubt}")
    for remark in remarks_on(settings, apps, read_page_ids(path)):
        print(f"warning: {remark.key}: {remark.text}")
    return GOOD


async def _requests(app: App) -> list[str]:
    lines: list[str] = []
    now = SystemClock().now()
    for kind in SampleKind:
        for record in await samples(kind, app, now=now, new_id=lambda: uuid.uuid4().hex):
            try:
                request = build_request(record, app.destination)
            except NoAddress:
                lines += [f"{kind}: not configured", ""]
                continue
            off = _why_never(kind, app)
            lines += [f"{kind}{off}:", *(f"  {line}" for line in request_lines(request, app.destination.wire)), ""]
    return lines


def _why_never(kind: SampleKind, app: App) -> str:
    if kind == "install" and app.install.mode == "off":
        return " (install.mode is off: never sent)"
    if kind == "identity" and app.destination.wire.identity_form == "off":
        return " (wire.identity_form is off: never sent)"
    return ""


def request_lines(request: WireRequest, wire: WireSettings) -> Iterator[str]:
    """
    A request as it leaves, its secrets masked.
    """
    yield f"{request.method} {_masked(_without_user(request.url), wire)}"
    for name, value in request.headers.items():
        yield f"{name}: {_masked(value, wire) if name in _OPEN_HEADERS else MASK}"
    if request.body is not None:
        yield _masked(request.body.decode("utf-8", "replace"), wire)


def _masked(text: str, wire: WireSettings) -> str:
    for secret in wire.secrets:
        text = text.replace(secret.value, MASK)
    return one_line(text)


def _without_user(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    return f"{scheme}{mark}{MASK if user else ''}{at}{host}{slash}{path}"


def _differently_linking(apps: Iterable[App]) -> list[App]:
    kept: list[App] = []
    for app in apps:
        if all(app.links.settings != other.links.settings for other in kept):
            kept.append(app)
    return kept


def _print_links(app: App) -> None:
    settings = app.links.settings
    if not app.links.is_active:
        print(f"SmartLinks of {place_of(app)}: none, links stay as they are\n")
        return
    print(f"SmartLinks of {place_of(app)}\n")
    context = LinkContext(
        user_id=TEST_USER, page_id=app.destination.page_id, channel="messenger", handler="greet", title="Shop", index=0
    )
    examples = [(route.match, example_of(route.match)) for route in settings.routes]
    if settings.default is not None:
        examples.append(("any other", EXAMPLE))
    maker = app.links.maker(context)
    rows = []
    for match, example in examples:
        made = "no example fits" if example is None else str(maker.make(example))
        rows.append((match, example or "", made))
    print_table(("route", "example", "becomes"), rows)
    print()


def example_of(match: str) -> str | None:
    """
    An address that a route's pattern fits; ``None`` when none could be made.
    """
    scheme, mark, rest = match.rpartition("://")
    written = f"{scheme.replace('*', 'https') if mark else 'https'}://{rest.replace('*', 'example')}"
    address = address_of(written)
    return written if address is not None and glob(match).fullmatch(address.spelled) else None
