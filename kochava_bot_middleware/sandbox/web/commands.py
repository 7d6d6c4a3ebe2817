"""What the page can do: play a person, and use the switches. Each is one POST with a JSON object."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import aiohttp

from ..messenger.browser import Visit
from ..messenger.users import SimulatedUser
from .page_events import EventKind, EventLog
from .page_state import KochavaSwitch, PageState
from .sandbox import Sandbox

NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Tim", "Frances", "Dennis")
"""First names of the people who are played; the page has no more people than names."""

SLOW_SECONDS = 1.2
"""How long a slow Kochava takes for an answer: shorter than the demo bot waits."""

DEAD_SECONDS = 2.0
"""How long the bot stays dead after it was killed, so that one sees it."""

DRAIN_SECONDS = 60.0
"""How long after an outage or a kill everything may take to be delivered."""

REDELIVERED = 20
"""How many webhooks Facebook delivers again, at most: the newest."""

TEXT_LIMIT = 2000
"""Characters of a message of a person."""


class CommandRefused(Exception):
    """A command that the page cannot carry out; the message says why."""


Answer = dict[str, Any]
Command = Callable[[Mapping[str, Any]], Awaitable[Answer]]


class PageCommands:
    """Carries out the commands of the page; what takes long goes on after the answer, until `close`."""

    def __init__(self, sandbox: Sandbox, state: PageState, log: EventLog) -> None:
        self._sandbox = sandbox
        self._state = state
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._acts: set[asyncio.Task[None]] = set()
        self._killing = asyncio.Lock()
        self.by_name: dict[str, Command] = {
            "person": self._new_person,
            "start": self._start,
            "say": self._say,
            "tap": self._tap,
            "quick_reply": self._quick_reply,
            "opt_out": self._opt_out,
            "kochava": self._switch_kochava,
            "redeliver": self._redeliver,
            "kill": self._kill,
        }

    async def close(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def add_person(self, user_id: str | None = None) -> str:
        """
        Have a person played on the page, who is new without *user_id*; returns the id.

        Raises:
            CommandRefused: There are enough.
        """
        state = self._state
        if user_id in state.played:
            return user_id
        if len(state.played) >= len(NAMES):
            msg = f"{len(NAMES)} people are enough"
            raise CommandRefused(msg)
        name = NAMES[len(state.played)]
        person = self._sandbox.messenger.person(user_id, first_name=name)
        state.played[person.user_id] = name
        self._log.play(person.user_id)
        return person.user_id

    async def _new_person(self, _arguments: Mapping[str, Any]) -> Answer:
        user = self.add_person()
        self._notice(f"{self._state.played[user]} opened the chat")
        return {"user": user}

    async def _start(self, arguments: Mapping[str, Any]) -> Answer:
        self._act(self._person(arguments).gets_started())
        return {}

    async def _say(self, arguments: Mapping[str, Any]) -> Answer:
        self._act(self._person(arguments).says(_text(arguments, "text")))
        return {}

    async def _tap(self, arguments: Mapping[str, Any]) -> Answer:
        person, button = self._person(arguments), _object(arguments, "button")
        if button.get("type") != "web_url":
            _text(button, "payload")
            self._act(person.taps(button))
            return {}
        url = _text(button, "url")
        try:
            visit = await self._sandbox.messenger.visit(url)
        except (aiohttp.ClientError, OSError):
            visit = Visit(steps=(url,), status=None)
            error: str | None = "Kochava does not answer, so its SmartLink leads nowhere."
        else:
            error = None if visit.status is None or visit.status < 400 else f"answered {visit.status}"
        self._log.add(
            EventKind.VISIT,
            f"opened {button.get('title') or url}",
            user=person.user_id,
            status=visit.status,
            good=error is None,
            steps=visit.steps,
            error=error,
        )
        return {"steps": visit.steps, "error": error}

    async def _quick_reply(self, arguments: Mapping[str, Any]) -> Answer:
        reply = _object(arguments, "reply")
        _text(reply, "payload")
        self._act(self._person(arguments).taps_quick_reply(reply))
        return {}

    async def _opt_out(self, arguments: Mapping[str, Any]) -> Answer:
        person, state = self._person(arguments), self._state
        goes_out = person.user_id not in state.opted_out
        text = self._sandbox.opt_out_text if goes_out else self._sandbox.opt_in_text
        if text is None:
            msg = "this bot has no text for opting out"
            raise CommandRefused(msg)
        (state.opted_out.add if goes_out else state.opted_out.discard)(person.user_id)
        name = state.played.get(person.user_id, "The person")
        self._notice(f"{name} {'opts out: nothing more is sent to Kochava' if goes_out else 'opts in again'}")
        self._act(person.says(text))
        return {}

    async def _switch_kochava(self, arguments: Mapping[str, Any]) -> Answer:
        kochava, state = self._sandbox.kochava, self._state
        try:
            switch = KochavaSwitch(_text(arguments, "to"))
        except ValueError as exc:
            raise CommandRefused(str(exc)) from exc
        was, state.switch = state.switch, switch
        kochava.behave()
        match switch:
            case KochavaSwitch.DOWN:
                await kochava.down()
                self._notice("Kochava is down: its port is closed", good=False)
                return {}
            case KochavaSwitch.FAILING:
                kochava.answer_with(503, times=None)
                self._notice("Kochava answers 503 to everything", good=False)
            case KochavaSwitch.SLOW:
                kochava.slow(SLOW_SECONDS, times=None)
                self._notice(f"Kochava takes {SLOW_SECONDS:g} s for each answer", good=False)
            case KochavaSwitch.UP:
                self._notice("Kochava is up")
        await kochava.up()
        if switch is KochavaSwitch.UP and was is not switch:
            self._later(self._compare("the outage"))
        return {}

    async def _redeliver(self, _arguments: Mapping[str, Any]) -> Answer:
        messenger = self._sandbox.messenger
        outcomes = messenger.acknowledged[-REDELIVERED:]
        if not outcomes:
            msg = "no webhook was delivered yet"
            raise CommandRefused(msg)
        self._notice(f"Facebook delivers the last {len(outcomes)} webhooks again, although they were answered 200")
        for outcome in outcomes:
            webhook = outcome.webhook
            status = await messenger.webhooks.post(webhook)
            self._log.add(
                EventKind.WEBHOOK,
                f"{webhook.kind} webhook, again",
                user=webhook.user_id,
                status=status,
                good=status == 200,
                mid=webhook.mid,
                webhook=webhook.kind,
                attempts=1,
                again=True,
            )
        self._later(self._compare("the redelivery"))
        return {}

    async def _kill(self, _arguments: Mapping[str, Any]) -> Answer:
        bot = self._sandbox.bot
        if bot is None:
            msg = "this bot is not run by the sandbox"
            raise CommandRefused(msg)
        if self._killing.locked() or bot.process_id is None:
            msg = "the bot is being started"
            raise CommandRefused(msg)
        self._later(self._restart())
        return {}

    async def _restart(self) -> None:
        bot = self._sandbox.bot
        assert bot is not None
        async with self._killing:
            self._notice(f"The bot was killed: SIGKILL to process {bot.process_id}", good=False)
            await bot.kill()
            await self._sandbox.messenger.clock.sleep(DEAD_SECONDS)
            await bot.start()
            self._state.restarts += 1
            self._notice(f"The bot was started again as process {bot.process_id}, with the same store")
        await self._compare("the kill")

    async def _compare(self, cause: str) -> None:
        """Once what people did has reached the bot and nothing waits, say whether anything is missing."""
        while self._acts:
            await asyncio.wait(self._acts)
        bot, audit = self._sandbox.bot, self._sandbox.audit
        if bot is None or audit is None or not await bot.drained(within_seconds=DRAIN_SECONDS):
            return
        result = audit()
        kept = f"all {result.received} records that were promised are at Kochava"
        title = f"After {cause}: {kept}" if result.is_good else f"After {cause}: something is wrong"
        self._notice(title, good=result.is_good, lines=list(result.lines()))

    def _notice(self, title: str, *, good: bool = True, **detail: Any) -> None:
        self._log.add(EventKind.NOTICE, title, good=good, **detail)

    def _person(self, arguments: Mapping[str, Any]) -> SimulatedUser:
        user = _text(arguments, "user")
        for page in self._sandbox.messenger.pages.values():
            if user in page.people:
                return page.people[user]
        msg = f"nobody has the id {user!r}"
        raise CommandRefused(msg)

    def _act(self, act: Coroutine[Any, Any, Any]) -> None:
        """Let a person act; that ends when the bot has answered, which may be after it was started again."""
        task = self._later(act)
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)

    def _later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT:
        msg = f"{name}: wanted a text of 1 to {TEXT_LIMIT} characters"
        raise CommandRefused(msg)
    return value


def _object(arguments: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = arguments.get(name)
    if not isinstance(value, dict):
        msg = f"{name}: wanted an object"
        raise CommandRefused(msg)
    return value
