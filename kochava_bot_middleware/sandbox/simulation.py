"""Conversations with a bot: by a script, or of users who try what the bot offers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs

from .messenger.server import LocalMessenger
from .messenger.users import SentMessage, SimulatedUser
from .script import Action, ConversationScript, ScriptStep

ANSWER_SECONDS = 10.0
"""How long a step waits for the message that it needs."""

TEXTS = ("Hello", "What do you have?", "How much is it?", "Thank you")


@attrs.frozen(kw_only=True)
class SimulationResult:
    """
    What came of it.

    Attributes:
        actions: What people did.
        acknowledged: Webhooks that were answered 200.
        abandoned: Webhooks that were given up after all attempts.
        answer_seconds: How long each 200 took, ascending.
        messages: What the bot sent and Messenger accepted.
        refused: Why Messenger refused a call of the bot, and how often.
        failures: Why a conversation could not go on, and how often.
        tracked: URL buttons that lead to a SmartLink.
        untracked: Hosts of URL buttons that do not, and how often.
    """

    actions: int
    acknowledged: int
    abandoned: int
    answer_seconds: tuple[float, ...]
    messages: int
    refused: Mapping[str, int]
    failures: Mapping[str, int]
    tracked: int
    untracked: Mapping[str, int]

    @property
    def is_good(self) -> bool:
        """Whether every webhook was answered, every call accepted, and every conversation completed."""
        return not (self.abandoned or self.refused or self.failures)

    def percentile(self, part: float) -> float | None:
        """Seconds within which this part of the webhooks was answered 200; ``None`` if none was."""
        if not self.answer_seconds:
            return None
        return self.answer_seconds[min(len(self.answer_seconds) - 1, int(part * len(self.answer_seconds)))]


class Simulation:
    """
    Users who chat with a bot through a local Messenger.

    Args:
        messenger: Delivers what they do, and receives what the bot sends.
        on_action: Called after each thing that somebody did.
    """

    def __init__(self, messenger: LocalMessenger, on_action: Callable[[], None]) -> None:
        self._messenger = messenger
        self._on_action = on_action
        self._actions = 0
        self._failures: Counter[str] = Counter()

    async def run_script(self, script: ConversationScript) -> None:
        """Let all people of *script* have its conversation at the same time."""
        people = [self._messenger.person() for _ in range(script.people)]
        await asyncio.gather(*(self._follow(person, script) for person in people))

    async def explore(self, count: int, *, rate: float, seconds: float, seed: int) -> None:
        """
        Let *count* people try what the bot offers, *rate* actions a second in all, for so long.

        Each taps "Get started" first. An action that is due is not delayed by answers that are slow.
        """
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        people = [self._messenger.person() for _ in range(count)]
        clock = self._messenger.clock
        end = clock.monotonic() + seconds
        due = clock.monotonic()
        number = 0
        async with asyncio.TaskGroup() as group:
            while due < end:
                await clock.sleep(max(0.0, due - clock.monotonic()))
                group.create_task(self._try(people[number % count], chance))
                number += 1
                due += 1 / rate

    def result(self) -> SimulationResult:
        """What has come of it so far."""
        tracked, untracked = 0, Counter[str]()
        for message in self._messenger.sent:
            for url in url_buttons(message):
                host = urlsplit(url).hostname or ""
                if host in self._messenger.hosts:
                    tracked += 1
                else:
                    untracked[host] += 1
        return SimulationResult(
            actions=self._actions,
            acknowledged=len(self._messenger.acknowledged),
            abandoned=len(self._messenger.abandoned),
            answer_seconds=tuple(sorted(self._messenger.webhooks.answer_seconds)),
            messages=len(self._messenger.sent),
            refused=Counter(str(call.error.get("message")) for call in self._messenger.refused),
            failures=self._failures,
            tracked=tracked,
            untracked=untracked,
        )

    async def _follow(self, person: SimulatedUser, script: ConversationScript) -> None:
        for number, step in enumerate(script.steps, start=1):
            failure = await self._do(person, step)
            self._acted()
            if failure is not None:
                self._failures[f"step {number}, {step.action}: {failure}"] += 1
                return

    async def _do(self, person: SimulatedUser, step: ScriptStep) -> str | None:
        """Do one step; returns why it failed."""
        value: Any = step.value
        try:
            match step.action:
                case Action.START:
                    await person.gets_started(**value)
                case Action.SAY:
                    await person.says(value)
                case Action.EXPECT:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        while value not in ((await person.next_message(within_seconds=ANSWER_SECONDS)).text or ""):
                            pass
                case Action.CHOOSE:
                    await person.taps_quick_reply(value)
                case Action.TAP:
                    await person.taps(value)
                case Action.SEND:
                    await person.does(next(iter(value)), value)
                case Action.WAIT:
                    await self._messenger.clock.sleep(value)
        except TimeoutError:
            return f"no message with {value!r} within {ANSWER_SECONDS:g} s"
        except (LookupError, ValueError, aiohttp.ClientError, OSError) as exc:
            return str(exc)
        return None

    async def _try(self, person: SimulatedUser, chance: random.Random) -> None:
        """Start, then tap something of the newest message, or write."""
        step = ScriptStep(action=Action.START, value={})
        if person.last_action_at is not None:
            offers = list(_offers(person.inbox[-1])) if person.inbox else []
            text = ScriptStep(action=Action.SAY, value=chance.choice(TEXTS))
            step = chance.choice(offers) if offers and chance.random() < 0.7 else text
        failure = await self._do(person, step)
        self._acted()
        if failure is not None:
            self._failures[f"{step.action}: {failure}"] += 1

    def _acted(self) -> None:
        self._actions += 1
        self._on_action()


def url_buttons(message: SentMessage) -> Iterator[str]:
    """The address of every URL button of *message*, wherever in its body."""
    found: list[Any] = [message.body]
    while found:
        value = found.pop()
        if isinstance(value, Mapping):
            if value.get("type") == "web_url" and isinstance(value.get("url"), str):
                yield value["url"]
            found.extend(value.values())
        elif isinstance(value, list):
            found.extend(value)


def _offers(message: SentMessage) -> Iterator[ScriptStep]:
    for reply in message.quick_replies:
        if reply.get("content_type") == "text":
            yield ScriptStep(action=Action.CHOOSE, value=str(reply.get("title", "")))
    for button in message.buttons:
        if button.get("type") in ("postback", "web_url") and button.get("title"):
            yield ScriptStep(action=Action.TAP, value=str(button["title"]))
