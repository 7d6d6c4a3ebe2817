"""
The demo's story: one person, step by step, with everything that goes over the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..store.contract import Queue
from .kochava_records import KochavaRecord
from .people import Person
from .shop import WEBSITE
from .town import Town

Write = Callable[[str], None]

WIDTH = 112
STEP_SECONDS = 10.0
"""How long a step may take on a slow machine."""


async def tell_story(town: Town, write: Write) -> None:
    """
    Let one person get started, follow a link, chat and buy; at most 60 lines.

    Raises:
        TimeoutError: A step did not come to its end.
    """
    ada = town.messenger.person()
    await _greeting(town, ada, write)
    await _link(town, ada, write)
    await _step_in(town, ada, write)
    await _purchase(town, ada, write)


async def _greeting(town: Town, ada: Person, write: Write) -> None:
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
    _write_event(town, town.kochava.events[-1], write)
    await _write_verdict(town, write)
    write("   Messenger told that the greeting was delivered, so it was shown: one impression.")
    _write_ping(town, "/track/impression", town.kochava.impressions[-1], write)
    write("")


async def _link(town: Town, ada: Person, write: Write) -> None:
    write('2. She taps "Show Website". No webhook tells of that; the SmartLink is where it is counted.')
    tap = await ada.taps("Show Website")
    assert tap.visit is not None
    click = town.kochava.smartlink_clicks[-1]
    write(f"     tapped  {tap.visit.steps[0]}")
    write(f"     Kochava {_compact({key: click.params[key] for key in ('fb_user_id', 'creative_id', 'site_id')})}")
    write(f"     landed  {tap.visit.landed}")
    write("")


async def _step_in(town: Town, ada: Person, write: Write) -> None:
    write('3. She taps "Start Chatting": her first step from the greeting into the bot, so it is a click.')
    await ada.taps("Start Chatting")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(town)
    _write_ping(town, "/v1/cpi/click", town.kochava.clicks[-1], write)
    write("")


async def _purchase(town: Town, ada: Person, write: Write) -> None:
    write('4. She writes "Shoes, please" and taps "Buy". The handler is decorated with @kochava.event("Purchase", …):')
    await ada.says("Shoes, please")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await ada.taps("Buy")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(town)
    _write_event(town, town.kochava.events[-1], write)
    await _write_verdict(town, write)


async def _delivered(town: Town) -> None:
    if not await town.drained(within_seconds=STEP_SECONDS):
        msg = f"records still wait after {STEP_SECONDS:g} s; the end of the bot's log:\n{town.shop.log_end()}"
        raise TimeoutError(msg)


def _write_event(town: Town, record: KochavaRecord, write: Write) -> None:
    body = record.body
    data = body["data"]
    write(f"     POST {town.kochava.url}/track/json")
    write(f"     {_opened({key: value for key, value in body.items() if key != 'data'})},")
    write(f'      "data": {_opened({key: value for key, value in data.items() if key != "event_data"})},')
    write(f'               "event_data": {_compact(data.get("event_data"))}}}}}')


async def _write_verdict(town: Town, write: Write) -> None:
    track = (await town.counts())[Queue.TRACK]
    write(f'     200 {{"success": "1"}}; verdict: delivered (so far {track.done} of {track.accepted} events)')


def _write_ping(town: Town, path: str, record: KochavaRecord, write: Write) -> None:
    head = f"     GET {town.kochava.url}{path}"
    line = f"{head}?" + "&".join(f"{key}={value}" for key, value in record.params.items())
    for start in range(0, len(line), WIDTH):
        write(line[start : start + WIDTH] if not start else f"         {line[start : start + WIDTH]}")


def _compact(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _opened(value: Mapping[str, Any]) -> str:
    return _compact(value).removesuffix("}")
