"""The log of events: what is kept for whom."""

from __future__ import annotations

import asyncio
import json

from kochava_bot_middleware.sandbox.web.page_events import BODY_LIMIT, KEPT, EventKind, EventLog, cut
from tests.fakes import VirtualClock


def numbers(texts: list[str]) -> list[int]:
    """The numbers of events."""
    return [json.loads(text)["number"] for text in texts]


def test_slow_reader_is_told_how_many_events_it_missed() -> None:
    """It gets the newest."""
    log = EventLog(VirtualClock())
    for _ in range(KEPT + 50):
        log.add(EventKind.NOTICE, "tick")
    texts, skipped = log.after(10)
    assert (list(range(51, KEPT + 51)), 40) == (numbers(texts), skipped)


def test_events_of_a_played_person_are_not_pushed_out_by_others() -> None:
    """In their order among the others."""
    log = EventLog(VirtualClock())
    log.play("ada")
    log.add(EventKind.ACTION, "wrote", user="ada")
    for number in range(2 * KEPT):
        log.add(EventKind.ACTION, "wrote", user=str(number))
    texts, skipped = log.after(0)
    assert [1, KEPT + 2] == numbers(texts)[:2]
    assert KEPT == skipped


def test_event_is_ascii_json_on_one_line() -> None:
    """Whatever a person writes: line separators and half characters too."""
    log = EventLog(VirtualClock())
    log.add(EventKind.ACTION, "wrote", said="a\n\u2028\ud800\x00", raw={1, 2})
    ((text,), _) = log.after(0)
    assert text.isascii()
    assert "\n" not in text
    assert "a\n\u2028\ud800\x00" == json.loads(text)["detail"]["said"]


def test_text_of_the_limit_is_whole() -> None:
    """One character more is cut."""
    assert {"text": "x" * BODY_LIMIT} == cut("x" * BODY_LIMIT)
    assert BODY_LIMIT + 1 == cut("x" * (BODY_LIMIT + 1))["cut"]


async def test_waiting_reader_is_woken_by_an_event() -> None:
    """And by nothing before."""
    log = EventLog(VirtualClock())
    waiting = asyncio.create_task(log.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    log.add(EventKind.NOTICE, "tick")
    await waiting
