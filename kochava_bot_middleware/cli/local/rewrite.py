"""``kochava-bot rewrite``: a Send API body as it would be sent, and what became of each of its links."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator, Sequence

from ...kochava.smartlink import SmartLinks
from ...kochava.smartlink_settings import SmartLinkSettings
from ...messenger.events import Channel
from ...messenger.outgoing import Outgoing
from ...tracking.links.rewriting import LinkOutcome, context_of, explain, rewrite
from ...tracking.settings import Apps, Mode
from ..command import UnusableFile, add_files_argument, for_each_file
from ..output import json_line, one_line
from ..settings import add_settings_argument, read_settings

_HEADS = ("place", "kind", "link", "became")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_settings_argument(parser)
    parser.add_argument("--explain", action="store_true", help="also print every link and what became of it")
    parser.add_argument("--page", metavar="ID", help="the Page that sends, if Pages have settings of their own")
    channels = [str(channel) for channel in Channel]
    parser.add_argument("--channel", choices=channels, default=channels[0], help="default: %(default)s")
    add_files_argument(parser, "Send API bodies")


def run(arguments: argparse.Namespace) -> int:
    """Print each file's body, rewritten."""
    settings = read_settings(arguments.settings)
    # A middleware that is off changes nothing.
    off = SmartLinks(SmartLinkSettings())
    links = off if settings.mode is Mode.OFF else Apps(settings).of(arguments.page).links
    return for_each_file(arguments.files, "rewrite", functools.partial(_print_rewritten, links, arguments))


def _print_rewritten(links: SmartLinks, arguments: argparse.Namespace, text: bytes) -> None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        reason = "not JSON, or nested too deep"
        raise UnusableFile(reason) from None
    if not isinstance(body, (dict, list)):
        reason = "JSON, but no object: not a Send API body"
        raise UnusableFile(reason)
    outgoing = Outgoing(body=body, page_id=arguments.page, channel=Channel(arguments.channel))
    context = context_of(outgoing)
    print(json_line(rewrite(body, links, context).body))
    if arguments.explain:
        for line in explained(explain(body, links, context, every_place=True)):
            print(line)


def explained(outcomes: Sequence[LinkOutcome]) -> Iterator[str]:
    """A table of links: where each is, what it is, and its SmartLink or why it has none."""
    if not outcomes:
        yield "no links"
        return
    rows = [_HEADS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])


def _row(outcome: LinkOutcome) -> tuple[str, ...]:
    site = outcome.site
    became = outcome.smartlink or f"left alone: {outcome.left_alone}"
    # Addresses come from the body and may hold anything; a row stays a row.
    return tuple(one_line(cell) for cell in (".".join(map(str, site.path)), str(site.kind), site.url, became))
