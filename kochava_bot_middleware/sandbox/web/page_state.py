"""
What the page shows beside the events: switches, people, the queue, figures and the funnel.

It is sent whole, as one JSON object, whenever it has changed; `PageState.read` makes it.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from typing import Any

from ...exceptions import StoreError
from ...store.contract import Store
from ...store.records import OUTBOX, EntryState, Queue, QueueStats
from .figures import SandboxFigures
from .sandbox import Sandbox

LISTED = 8
"""How many entries of each queue are listed."""

SAMPLES = 240
"""How many samples of the queue are kept for the chart."""


class KochavaSwitch(enum.StrEnum):
    """How the local Kochava behaves."""

    UP = "up"
    SLOW = "slow"
    FAILING = "failing"
    DOWN = "down"


class PageState:
    """
    Reads the state of a sandbox, and holds what only the page's switches know.

    Attributes:
        switch: How Kochava behaves.
        played: Names of the people who are played on the page, by id, in the order in which they came.
        opted_out: Those of them who opted out.
        problem: What is wrong with the address of the bot; ``None`` if nothing is known to be.
        restarts: How often the bot was killed and started again.
        samples: The newest samples for the chart: ``at``, ``waiting``, ``kochava``, ``bot``.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.switch = KochavaSwitch.UP
        self.played: dict[str, str] = {}
        self.opted_out: set[str] = set()
        self.problem: str | None = None
        self.restarts = 0
        self.samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES)
        self._sandbox = sandbox
        self._figures = SandboxFigures(sandbox.messenger, sandbox.kochava)

    async def read(self) -> dict[str, Any]:
        """The whole state. ``queue`` and ``bot`` are ``None`` where this process does not reach them."""
        sandbox = self._sandbox
        bot = sandbox.bot
        return {
            "kochava": self.switch,
            "bot": None if bot is None else {"process": bot.process_id, "restarts": self.restarts},
            "canOptOut": sandbox.opt_out_text is not None,
            "problem": self.problem,
            "webhook": sandbox.messenger.webhook_url,
            "people": [self._person(user, name) for user, name in self.played.items()],
            "queue": None if sandbox.store is None else await _queue(sandbox.store),
            "figures": self._figures.counts(),
            "funnel": self._figures.funnel(),
        }

    def sample(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Keep one more point of the chart; ``None`` without a queue, and before the bot was started."""
        queue, bot = state["queue"], state["bot"]
        is_running = bot is None or bot["process"] is not None
        if queue is None or not (is_running or self.samples):
            return None
        sample = {
            "at": self._sandbox.messenger.clock.now(),
            "waiting": queue["waiting"] + queue["in_flight"],
            "kochava": state["kochava"],
            "bot": is_running,
        }
        self.samples.append(sample)
        return sample

    def _person(self, user: str, name: str) -> dict[str, Any]:
        page = next(page for page in self._sandbox.messenger.pages.values() if user in page.people)
        own = page.user_settings.get(user, {})
        menus = own.get("persistent_menu") or page.profile.get("persistent_menu") or []
        menu: Mapping[str, Any] = next((one for one in menus if one.get("locale") == "default"), {})
        return {
            "user": user,
            "name": name,
            "instagram": page.instagram,
            "optedOut": user in self.opted_out,
            "started": page.people[user].last_action_at is not None,
            "menu": menu.get("call_to_actions") or [],
        }


async def _queue(store: Store) -> dict[str, Any] | None:
    """Counts of the outbox and of the inbox, and what waits or is dead; ``None`` while the store cannot be read."""
    try:
        stats = await store.stats()
        listed = [row for queue in OUTBOX for row in await store.browse(queue, limit=LISTED)]
    except StoreError:
        return None
    outbox = [stats.get(queue, QueueStats()) for queue in OUTBOX]
    inbox = stats.get(Queue.INBOX, QueueStats())
    states = (EntryState.WAITING, EntryState.IN_FLIGHT, EntryState.DEAD)
    return {
        "waiting": sum(one.waiting for one in outbox),
        "in_flight": sum(one.in_flight for one in outbox),
        "delivered": sum(one.done for one in outbox),
        "dead": sum(one.dead for one in outbox),
        "dropped": sum(one.dropped for one in outbox),
        "unhandled": inbox.waiting + inbox.in_flight,
        "entries": [
            {
                "kind": row.entry.kind,
                "name": row.entry.name,
                "state": row.state,
                "attempts": row.attempts,
                "reason": row.reason,
            }
            for row in listed
            if row.state in states
        ][:LISTED],
    }
