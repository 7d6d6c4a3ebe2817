"""The demo's table of figures."""

from __future__ import annotations

from collections.abc import Sequence

from ..store.records import QueueStats
from .story import Write
from .town import Town


async def write_figures(town: Town, write: Write) -> None:
    """Write what happened so far, as a table."""
    messenger, kochava = town.messenger, town.kochava
    answered = messenger.acknowledged
    again = sum(outcome.attempts - 1 for outcome in answered)
    rows = [
        ("webhooks answered 200", f"{len(answered)} (Messenger brought {again} of them again)"),
        ("time to that answer", latencies(messenger.webhooks.answer_seconds)),
        ("messages sent by the bot", f"{len(messenger.sent)}"),
        ("events at Kochava", f"{len(kochava.events)}"),
        ("impressions", f"{len(kochava.impressions)}"),
        ("clicks", f"{len(kochava.clicks)}"),
        ("SmartLink clicks", f"{len(kochava.smartlink_clicks)}"),
    ]
    counts = await town.counts()
    rows += [(f"store, {queue}", sums(count)) for queue, count in counts.items()]
    for name, value in rows:
        write(f"   {name:<26}{value}")


def latencies(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and greatest, in milliseconds."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    median, late = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
    return f"median {median * 1000:.1f} ms, 99 % within {late * 1000:.1f} ms, slowest {ordered[-1] * 1000:.1f} ms"


def sums(stats: QueueStats) -> str:
    """The counts of one queue, which add up."""
    parts = {
        "done": stats.done,
        "waiting": stats.waiting,
        "in flight": stats.in_flight,
        "dead": stats.dead,
        "dropped": stats.dropped,
    }
    return f"{stats.accepted} accepted = " + " + ".join(
        f"{count} {name}" for name, count in parts.items() if count or name == "done"
    )
