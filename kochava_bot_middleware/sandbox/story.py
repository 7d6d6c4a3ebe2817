"""The demo's story: one person, step by step, with everything that goes over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..store.records import Queue
from .kochava_records import KochavaRecord
from .kochava_server import ACCEPTED
from .people import SimulatedUser
from .shop import WEBSITE
from .town import Town

Write = Callable[[str], None]

WIDTH = 112
"""Characters of a line; longer ones are folded."""

STEP_SECONDS = 10.0
"""How long a step may take on a slow machine."""


class StoryFailed(RuntimeError):
    """A step did not come to its end; the message says which platform refused what, or has the end of the bot's log."""


async def tell_story(town: Town, write: Write) -> None:
    """
    Let one person get started, follow a link, chat and buy; at most 60 lines.

    Raises:
        StoryFailed: See there.
    """
    ada = town.messenger.person()

    def fold(line: str) -> None:
        for part in folded(line):
            write(part)

    try:
        for step in (_greeting, _link, _step_in, _purchase):
            await step(town, ada, fold)
    except (TimeoutError, LookupError) as exc:
        reasons = [one.reason for one in town.kochava.rejections]
        reasons += [str(one.error.get("message")) for one in town.messenger.refused]
        msg = "; ".join(reasons) or f"the end of the bot's log:\n{town.shop.log_end()}"
        raise StoryFailed(msg) from exc


def folded(line: str) -> list[str]:
    """*line* in parts of at most `WIDTH`, where it can be broken; what follows is indented a little more."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    parts = [""]
    for piece in re.split(r"(?<=\S )|(?=&)", line):
        if len(parts[-1]) + len(piece.rstrip()) > WIDTH and parts[-1].strip():
            parts.append(indent)
        parts[-1] += piece
    return [part.rstrip() for part in parts]


async def _greeting(town: Town, ada: SimulatedUser, write: Write) -> None:
    write('1. Ada taps "Get started". Messenger brings the bot a signed webhook; the bot answers 200 and greets her.')
    await ada.gets_started()
    message = await ada.next_message(within_seconds=STEP_SECONDS)
    website, chat = message.buttons
    write(f"   The bot says: {message.text!r}, with two buttons. On the way out, the URL button became a SmartLink:")
    write(f"     before  {_compact({**website, 'url': WEBSITE})}")
    write(f"     after   {_compact(website)}")
    write(f"     as is   {_compact(chat)}")
    await _delivered(town)
    write("   The tap itself is an event. On the wire:")
    _write_event(town, write)
    await _write_verdict(town, write)
    write("   Messenger told that the greeting was delivered, so it was shown: one impression.")
    _write_ping(town, "/track/impression", town.kochava.impressions, write)
    write("")


async def _link(town: Town, ada: SimulatedUser, write: Write) -> None:
    write('2. She taps "Show Website". No webhook tells of that; the SmartLink is where it is counted.')
    tap = await ada.taps("Show Website")
    assert tap.visit is not None
    click = town.kochava.smartlink_clicks[-1]
    write(f"     tapped  {tap.visit.steps[0]}")
    write(f"     Kochava {_compact({key: click.params[key] for key in ('fb_user_id', 'creative_id', 'site_id')})}")
    write(f"     landed  {tap.visit.landed}")
    write("")


async def _step_in(town: Town, ada: SimulatedUser, write: Write) -> None:
    write('3. She taps "Start Chatting": her first step from the greeting into the bot, so it is a click.')
    await ada.taps("Start Chatting")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(town)
    _write_ping(town, "/v1/cpi/click", town.kochava.clicks, write)
    write("")


async def _purchase(town: Town, ada: SimulatedUser, write: Write) -> None:
    write('4. She writes "Shoes, please" and taps "Buy". The handler is decorated with @kochava.event("Purchase", …):')
    await ada.says("Shoes, please")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await ada.taps("Buy")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(town)
    _write_event(town, write)
    await _write_verdict(town, write)


async def _delivered(town: Town) -> None:
    if not await town.drained(within_seconds=STEP_SECONDS):
        raise TimeoutError


def _write_event(town: Town, write: Write) -> None:
    body = town.kochava.events[-1].body
    data = body["data"]
    write(f"     POST {town.kochava.url}/track/json")
    write(f'     {_opened(body, without="data")}, "data": {{')
    write(f"       {_opened(data, without='event_data')[1:]},")
    write(f'       "event_data": {_compact(data.get("event_data"))}}}}}')


async def _write_verdict(town: Town, write: Write) -> None:
    track = (await town.counts())[Queue.TRACK]
    verdict = "delivered" if track.done == track.accepted else "given up"
    write(f"     200 {json.dumps(ACCEPTED)}; verdict: {verdict} ({track.done} of {track.accepted} events so far)")


def _write_ping(town: Town, path: str, records: Sequence[KochavaRecord], write: Write) -> None:
    query = "&".join(f"{key}={value}" for key, value in records[-1].params.items())
    write(f"     GET {town.kochava.url}{path}?{query}")


def _compact(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _opened(value: Mapping[str, Any], *, without: str) -> str:
    """JSON of *value*, to which the member *without* is still to be added."""
    return _compact({key: member for key, member in value.items() if key != without}).removesuffix("}")
