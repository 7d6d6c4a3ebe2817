"""
What SmartLinks cost on the way out, as multiples of a bare floor measured in the same run.

Run ``python -m benchmarks.rewriting``. The floor of a template is what no implementation can leave out on a first
sight: take each of its addresses apart, percent-encode it, and join it with what comes before and after.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from rich.console import Console
from rich.table import Table

from kochava_bot_middleware.kochava.smartlink import LinkContext, SmartLinks
from kochava_bot_middleware.kochava.smartlink_settings import SmartLinkSettings
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.tracking.links.rewriting import has_no_links, rewrite

ELEMENTS = 10
BUTTONS = 3

SETTINGS = {"default": "https://acme.smart.link/ab12cd34e?url={url}"}
SUFFIX = "site_id=1001&sub_site_id=messenger&creative_id=greet&fb_user_id=7012345678901234"
CONTEXT = LinkContext(user_id="7012345678901234", page_id="1001", channel="messenger", creative="greet")

_numbers = itertools.count(100_000)

SHORT = "https://shop.example/{}"
LONG = "https://www.shop.example/en/women/shoes/{}?color=red&size=38&utm_source=messenger&utm_campaign=spring"


def fresh_addresses(pattern: str) -> list[str]:
    """As many addresses as a full carousel has, none of them seen before."""
    return [pattern.format(next(_numbers)) for _ in range(ELEMENTS * BUTTONS)]


def carousel(addresses: Sequence[str]) -> dict[str, Any]:
    """A generic template of ten elements with three URL buttons each."""
    buttons = [{"type": "web_url", "title": f"Show {place}", "url": url} for place, url in enumerate(addresses)]
    elements = [
        {
            "title": f"Shoe {place}",
            "subtitle": "Light and red",
            "image_url": f"https://cdn.shop.example/{place}.png",
            "buttons": buttons[place * BUTTONS : (place + 1) * BUTTONS],
        }
        for place in range(ELEMENTS)
    ]
    payload = {"template_type": "generic", "elements": elements}
    return {"recipient": {"id": CONTEXT.user_id}, "message": {"attachment": {"type": "template", "payload": payload}}}


def split_quote_join(addresses: Sequence[str]) -> list[str]:
    """The floor of a template."""
    made = []
    for url in addresses:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc:
            made.append("".join(("https://acme.smart.link/ab12cd34e?url=", quote(url, safe=""), "&", SUFFIX)))
    return made


def microseconds(work: Callable[[Any], object], subjects: Sequence[Any]) -> float:
    """Time of one call."""
    began = time.perf_counter_ns()
    for subject in subjects:
        work(subject)
    return (time.perf_counter_ns() - began) / len(subjects) / 1000


def template_row(pattern: str, calls: int, *, seen: bool) -> tuple[float, float]:
    """Microseconds of a rewriting, and of its floor."""
    links = SmartLinks(from_mapping(SmartLinkSettings, SETTINGS))
    if seen:
        bodies = [carousel(fresh_addresses(pattern))] * calls
        rewrite(bodies[0], links, CONTEXT)
    else:
        bodies = [carousel(fresh_addresses(pattern)) for _ in range(calls)]
    cost = microseconds(lambda body: rewrite(body, links, CONTEXT), bodies)
    floor = microseconds(split_quote_join, [fresh_addresses(pattern) for _ in range(calls)])
    return cost, floor


def text_row(calls: int) -> tuple[float, float]:
    """Microseconds for a text message, and for a copy of it."""
    links = SmartLinks(from_mapping(SmartLinkSettings, SETTINGS))
    bodies: list[dict[str, Any]] = [{"recipient": {"id": "7"}, "message": {"text": "Hello"}}] * (calls * 100)
    return microseconds(lambda body: has_no_links(body, links), bodies), microseconds(dict, bodies)


def main() -> None:
    """Measure each row several times in turn, and print the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    rows: dict[str, tuple[str, Callable[[], tuple[float, float]]]] = {
        f"{seen} addresses of {len(pattern.format(100_000))} characters": (
            budget,
            lambda pattern=pattern, seen=seen: template_row(pattern, arguments.calls, seen=seen == "known"),  # type: ignore[misc]
        )
        for pattern, budgets in ((LONG, ("1.2", "0.25")), (SHORT, ("1.5", "0.5")))
        for seen, budget in zip(("new", "known"), budgets, strict=True)
    }
    rows["text message (floor: a copy of it)"] = "5", lambda: text_row(arguments.calls)
    table = Table("what", "µs", "floor µs", "ratio", "budget", title="Rewriting an outgoing body")
    for name, (budget, measure) in rows.items():
        rounds = [measure() for _ in range(arguments.rounds)]
        ratio = statistics.median(cost / floor for cost, floor in rounds)
        cost, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
        table.add_row(name, f"{cost:.2f}", f"{floor:.2f}", f"{ratio:.2f}", f"≤ {budget}")
    Console().print(table)


if __name__ == "__main__":
    main()
