"""
What the middleware does to messages on their way out, so that nothing it does can keep one from leaving.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..incidents import Incidents
from ..messenger.events import Channel, Event
from ..messenger.links import iter_links
from ..messenger.outgoing import Outgoing
from ..receiving.handling import Handling, current_handling
from .apps import App, Apps
from .counts import Tally
from .outbound import greeting_sent, is_greeting, people_named, rewritten
from .privacy import Privacy
from .recorder import Recorder
from .told import Unaddressed


class Departures:
    """
    The send direction of one middleware.

    Args:
        test_users: Ids of people whose links carry no id.
        asks_provider: SmartLinks may come from a `LinkProvider`.
    """

    def __init__(
        self,
        *,
        apps: Apps,
        privacy: Privacy,
        recorder: Recorder,
        incidents: Incidents,
        tally: Tally,
        test_users: tuple[str, ...],
        asks_provider: bool,
    ) -> None:
        self._apps = apps
        self._privacy = privacy
        self._recorder = recorder
        self._incidents = incidents
        self._tally = tally
        self._test_users = frozenset(test_users)
        self._asks_provider = asks_provider
        self._pages: dict[Channel, set[str]] = {}

    def saw(self, event: Event) -> None:
        """
        Learn from *event* which Pages this bot has.
        """
        if event.page_id is not None:
            self._pages.setdefault(event.channel, set()).add(event.page_id)

    def of_page(self, outgoing: Outgoing) -> Outgoing:
        """
        *outgoing* with the Page that sends it. Of a bot that was made without a Page's id, that is the one whose
        webhooks came to this process on the same channel; ``None`` as long as there was none, or more than one.
        """
        pages = self._pages.get(outgoing.channel, set())
        if outgoing.page_id is not None or len(pages) != 1:
            return outgoing
        return attrs.evolve(outgoing, page_id=next(iter(pages)))

    async def rewritten(self, outgoing: Outgoing) -> Outgoing:
        """
        *outgoing* with SmartLinks, or as it is when something goes wrong.
        """
        app = self._apps.of(outgoing.page_id)
        if not app.links.is_active:
            return outgoing
        try:
            if self._asks_provider:
                await self._prepare(outgoing, app)
            result = rewritten(outgoing, app.links, current_handling())
            # Looked up only when there is a link that names somebody: it may cost a round trip to the store.
            if result.changed and app.links.names_people and await self._is_nameless(outgoing, app):
                result = rewritten(outgoing, app.nameless_links, current_handling())
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("links_not_rewritten", reason=type(exc).__name__)
            return outgoing
        self._tally.links_rewritten += result.changed
        self._tally.links_left_alone.update(result.left_alone)
        return attrs.evolve(outgoing, body=result.body) if result.changed else outgoing

    async def watch(self, outgoing: Outgoing, answer: Any, began_at: float, handling: Handling | None) -> None:
        """
        Let the funnel know when what was sent is a greeting.

        Args:
            answer: Facebook's.
            began_at: When the call began, in seconds since the epoch.
            handling: The cause, as it was then.
        """
        app = self._apps.of(outgoing.page_id)
        if not app.greeting.is_on or not is_greeting(outgoing):
            return
        try:
            await self._watch(outgoing, answer, began_at, app, handling)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("greeting_not_watched", reason=type(exc).__name__)

    async def _prepare(self, outgoing: Outgoing, app: App) -> None:
        sites = iter_links(outgoing.body, endpoint=outgoing.endpoint, text_links=app.links.text_links)
        await app.links.prepare({site.url for site in sites if site.keep is None})

    async def _is_nameless(self, outgoing: Outgoing, app: App) -> bool:
        for user_id in people_named(outgoing):
            if user_id in self._test_users or await self._privacy.is_barred(app, user_id):
                return True
        return False

    async def _watch(
        self, outgoing: Outgoing, answer: Any, began_at: float, app: App, handling: Handling | None
    ) -> None:
        told = greeting_sent(outgoing, answer, began_at, app, handling)
        if told is None:
            return
        if isinstance(told, Unaddressed):
            # Written at once: the delivery that joins it to the person may already be on its way.
            alone = self._recorder.alone()
            alone.unaddressed(told)
            await self._recorder.commit(alone)
            return
        recording = self._recorder.current() or self._recorder.alone()
        recording.signal(*told)
        if recording.handling is None:
            await self._recorder.commit(recording)
