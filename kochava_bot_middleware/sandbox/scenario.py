"""The scripted conversation of the demo: one user, step by step, with everything that is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..store.records import Queue
from .demo_bot import WEBSITE
from .environment import DemoEnvironment
from .kochava.records import KochavaRecord
from .kochava.server import ACCEPTED
from .messenger.users import SimulatedUser

Write = Callable[[str], None]

WIDTH = 112
"""Characters of a line; longer ones are folded."""

STEP_SECONDS = 10.0
"""How long a step may take."""


class ScenarioFailed(RuntimeError):
    """A step was not completed; the message has what was refused, or the end of the bot's log."""


async def run_scenario(environment: DemoEnvironment, write: Write) -> None:
    """
    Let one user get started, follow a link, chat and buy; writes at most 60 lines.

    Raises:
        ScenarioFailed: A step was not completed.
    """
    ada = environment.messenger.person()

    def fold(line: str) -> None:
        for part in folded(line):
            write(part)

    try:
        for step in (_greeting, _link, _click, _purchase):
            await step(environment, ada, fold)
    except (TimeoutError, LookupError) as exc:
        reasons = [one.reason for one in environment.kochava.rejections]
        reasons += [str(one.error.get("message")) for one in environment.messenger.refused]
        msg = "; ".join(reasons) or f"the end of the bot's log:\n{environment.bot.log_end()}"
        raise ScenarioFailed(msg) from exc


def folded(line: str) -> list[str]:
    """*line* in parts of at most `WIDTH` characters where it can be broken; all but the first are indented more."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    parts = [""]
    for piece in re.split(r"(?<=\S )|(?=&)", line):
        if len(parts[-1]) + len(piece.rstrip()) > WIDTH and parts[-1].strip():
            parts.append(indent)
        parts[-1] += piece
    return [part.rstrip() for part in parts]


async def _greeting(environment: DemoEnvironment, ada: SimulatedUser, write: Write) -> None:
    write('1. Ada taps "Get started". Messenger sends the bot a signed webhook; the bot answers 200 and greets her.')
    await ada.gets_started()
    message = await ada.next_message(within_seconds=STEP_SECONDS)
    website, chat = message.buttons
    write(f"   The bot's message: {message.text!r}, with two buttons. The URL button was rewritten to a SmartLink:")
    write(f"     before     {_compact({**website, 'url': WEBSITE})}")
    write(f"     after      {_compact(website)}")
    write(f"     unchanged  {_compact(chat)}")
    await _delivered(environment)
    write("   The tap is an event. The request to Kochava:")
    _write_event(environment, write)
    await _write_verdict(environment, write)
    write("   Messenger reported the greeting as delivered, so it was shown: one impression.")
    _write_ping(environment, "/track/impression", environment.kochava.impressions, write)
    write("")


async def _link(environment: DemoEnvironment, ada: SimulatedUser, write: Write) -> None:
    write('2. She taps "Show Website". Messenger sends no webhook for that; the SmartLink counts the click.')
    tap = await ada.taps("Show Website")
    assert tap.visit is not None
    click = environment.kochava.smartlink_clicks[-1]
    write(f"     tapped   {tap.visit.steps[0]}")
    write(f"     Kochava  {_compact({key: click.params[key] for key in ('fb_user_id', 'creative_id', 'sub_site_id')})}")
    write(f"     landed   {tap.visit.landed}")
    write("")


async def _click(environment: DemoEnvironment, ada: SimulatedUser, write: Write) -> None:
    write('3. She taps "Start Chatting": her first step from the greeting, so it is a click.')
    await ada.taps("Start Chatting")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(environment)
    _write_ping(environment, "/v1/cpi/click", environment.kochava.clicks, write)
    write("")


async def _purchase(environment: DemoEnvironment, ada: SimulatedUser, write: Write) -> None:
    write('4. She writes "Shoes, please" and taps "Buy". The handler is decorated with @kochava.event("Purchase", …):')
    await ada.says("Shoes, please")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await ada.taps("Buy")
    await ada.next_message(within_seconds=STEP_SECONDS)
    await _delivered(environment)
    _write_event(environment, write)
    await _write_verdict(environment, write)


async def _delivered(environment: DemoEnvironment) -> None:
    if not await environment.drained(within_seconds=STEP_SECONDS):
        raise TimeoutError


def _write_event(environment: DemoEnvironment, write: Write) -> None:
    body = environment.kochava.events[-1].body
    data = body["data"]
    write(f"     POST {environment.kochava.url}/track/json")
    write(f'     {_opened(body, without="data")}, "data": {{')
    write(f"       {_opened(data, without='event_data')[1:]},")
    write(f'       "event_data": {_compact(data.get("event_data"))}}}}}')


async def _write_verdict(environment: DemoEnvironment, write: Write) -> None:
    track = (await environment.counts())[Queue.TRACK]
    verdict = "delivered" if track.done == track.accepted else "given up"
    write(f"     200 {json.dumps(ACCEPTED)}; verdict: {verdict} ({track.done} of {track.accepted} events so far)")


def _write_ping(environment: DemoEnvironment, path: str, records: Sequence[KochavaRecord], write: Write) -> None:
    query = "&".join(f"{key}={value}" for key, value in records[-1].params.items())
    write(f"     GET {environment.kochava.url}{path}?{query}")


def _compact(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _opened(value: Mapping[str, Any], *, without: str) -> str:
    """JSON of *value* up to where the member *without* can be added."""
    return _compact({key: member for key, member in value.items() if key != without}).removesuffix("}")
