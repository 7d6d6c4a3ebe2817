"""``kochava-bot trace``: what the store holds about one user."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any

from ..clock import Clock, SystemClock
from ..kochava.records import GREETING
from ..store.contract import Store
from ..store.records import Listed, Queue
from ..tracking.funnel import FunnelState, Greeting
from ..tracking.settings import Apps, KochavaSettings
from ..tracking.state import (
    IdentityState,
    Keys,
    KnownState,
    ReferralState,
    StateKey,
    suppression_key,
    suppression_of,
    values_of,
)
from .command import GOOD, readable_text
from .entries import every_entry, fields_of, opened, summary_of
from .output import NOTHING, iso, json_line, moment, print_table, progress
from .settings import add_settings_argument, read_settings

KEPT = "a delivered record is kept as long as its id, see `store.dedupe_seconds`; a handled event is not"

MOST_SHOWN = 10_000
"""Entries of a person that are shown; of more, the last ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("user_id", type=readable_text, metavar="USER_ID", help="their PSID or Instagram-scoped id")
    add_settings_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the entries by time, then the state entries."""
    settings = read_settings(arguments.settings)
    user_id: str = arguments.user_id
    rows, marks = asyncio.run(_trace(settings, user_id, SystemClock()))
    if arguments.json:
        entries = [{**fields_of(row), "detail": row.detail} for row in rows]
        print(json_line({"user_id": user_id, "entries": entries, "marks": marks}))
        return GOOD
    if not rows and not marks:
        print(f"nothing is kept of {user_id!r}; {KEPT}")
        return GOOD
    if rows:
        heads = ("recorded", "queue", "state", "what", "attempts", "due", "ended", "reason", "answer", "id")
        print_table(heads, map(_cells, rows))
    else:
        print(f"no entries; {KEPT}")
    if marks:
        print()
        print_table(("remembered", "what"), ((name, _in_words(facts)) for name, facts in marks.items()))
    return GOOD


async def _trace(
    settings: KochavaSettings, user_id: str, clock: Clock
) -> tuple[list[Listed], dict[str, Mapping[str, Any]]]:
    apps = Apps(settings)
    async with opened(settings, clock, only_reads=True) as store:
        with progress("searching"):
            rows = await _rows(store, apps, user_id)
        marks = await _marks(store, settings, apps, user_id)
    return sorted(rows, key=lambda row: row.entry.created_at), marks


async def _rows(store: Store, apps: Apps, user_id: str) -> list[Listed]:
    rows: list[Listed] = []
    lanes = dict.fromkeys(f"{app.app_id}/{name}" for app in apps for name in app.privacy.names(user_id))
    rows += await store.history(list(lanes), limit=MOST_SHOWN)
    # A lane of the inbox begins with the Page, which the settings need not name.
    rows += [row async for row in every_entry(store, Queue.INBOX) if row.entry.lane.endswith(f"/{user_id}")]
    return rows


async def _marks(store: Store, settings: KochavaSettings, apps: Apps, user_id: str) -> dict[str, Mapping[str, Any]]:
    """What is remembered of the person, by name; values of identities are never shown."""
    names = settings.privacy.names(user_id)
    suppressed = [suppression_key(settings.privacy, settings.kochava_app_id, name) for name in names]
    # What is under the name of today is shown in place of the same under the other.
    all_keys = [Keys(app_id, name) for name in reversed(names) for app_id in dict.fromkeys(app.app_id for app in apps)]
    wanted = [*suppressed, *(key for keys in all_keys for key in keys.all)]
    stored = values_of(wanted, await store.recall(wanted))
    marks: dict[str, Mapping[str, Any]] = {}
    suppression = suppression_of(next((stored[key] for key in suppressed if key in stored), None))
    if suppression is not None:
        marks["suppressed"] = {"because": str(suppression)}
    for keys in all_keys:
        for kind, facts in _facts(keys, stored):
            marks[f"{kind} ({keys.app_id})"] = facts
    return marks


def _facts(keys: Keys, stored: Mapping[StateKey, bytes]) -> list[tuple[str, Mapping[str, Any]]]:
    facts: list[tuple[str, Mapping[str, Any]]] = []
    if keys.known in stored:
        known = KnownState.from_bytes(stored[keys.known])
        facts.append(("first record", {"was": known.first_record or None}))
        facts.append(("sent", {"ids": sorted(known.ids)}))
    if keys.referral in stored:
        referral = ReferralState.from_bytes(stored[keys.referral])
        facts.append(("referral", {"first": dict(referral.first), "last": dict(referral.last)}))
    if keys.identities in stored:
        identities = IdentityState.from_bytes(stored[keys.identities])
        names = {"linked": sorted(identities.linked), "waiting": sorted(identities.pending)}
        facts.append(("identities", names))
    if keys.funnel in stored:
        greetings = FunnelState.from_bytes(stored[keys.funnel]).greetings
        facts += [(_named("greeting", greeting.tracker), _greeting(greeting)) for greeting in greetings]
    return facts


def _named(kind: str, tracker: str) -> str:
    return kind if tracker == GREETING else f"{kind} of {tracker}"


def _greeting(greeting: Greeting) -> Mapping[str, Any]:
    return {
        "handler": greeting.handler,
        "creative": greeting.creative,
        "sent": iso(greeting.sent_at),
        "shown": iso(greeting.shown_at),
        "clicked": iso(greeting.clicked_at),
    }


def _cells(row: Listed) -> tuple[object, ...]:
    entry = row.entry
    due = moment(row.due_at if row.ended_at is None else None)
    what, reason, answer = (text or NOTHING for text in (summary_of(row), row.reason, row.detail))
    ended = moment(row.ended_at)
    recorded, state = moment(entry.created_at), str(row.state)
    return recorded, entry.queue, state, what, row.attempts, due, ended, reason, answer, entry.id


def _in_words(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in facts.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or NOTHING
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NOTHING
    return NOTHING if value is None else str(value)
