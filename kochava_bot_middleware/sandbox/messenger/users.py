"""Simulated users: what they do becomes webhooks, and what the bot sends arrives in their inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from ...clock import Clock
from .browser import Visit
from .webhooks import WebhookOutcome

ACTS = ("message", "postback", "referral", "reaction")
"""Kinds of webhooks with which a person opens the 24-hour window."""


class Platform(Protocol):
    """What a simulated user needs of the local Messenger."""

    clock: Clock

    def next_mid(self) -> str: ...

    async def emit(self, person: SimulatedUser, kind: str, content: Mapping[str, Any]) -> WebhookOutcome | None: ...

    async def visit(self, url: str) -> Visit: ...

    async def comment(self, person: SimulatedUser, value: Mapping[str, Any]) -> WebhookOutcome | None: ...


@attrs.frozen(kw_only=True)
class SentMessage:
    """
    One accepted call of the Send API.

    Attributes:
        mid: The message id that was answered; ``None`` for a sender action.
        page_id: The Page or Instagram account that sent it.
        user_id: The recipient.
        body: The whole decoded body.
        at: When, in seconds since the epoch.
    """

    mid: str | None
    page_id: str
    user_id: str
    body: Mapping[str, Any]
    at: float

    @property
    def message(self) -> Mapping[str, Any]:
        """Its ``message``; empty for a sender action."""
        message: Mapping[str, Any] = self.body.get("message") or {}
        return message

    @property
    def payload(self) -> Mapping[str, Any]:
        """The ``payload`` of its attachment; empty if there is none."""
        attachment = self.message.get("attachment")
        payload = attachment.get("payload") if isinstance(attachment, Mapping) else None
        return payload if isinstance(payload, Mapping) else {}

    @property
    def text(self) -> str | None:
        """Its text, or that of its button template."""
        text = self.message.get("text") or self.payload.get("text")
        return None if text is None else str(text)

    @property
    def buttons(self) -> list[Mapping[str, Any]]:
        """Every button, those of elements included, in reading order."""
        found = list(self.payload.get("buttons") or ())
        for element in self.payload.get("elements") or ():
            found.extend(element.get("buttons") or ())
        return found

    @property
    def quick_replies(self) -> list[Mapping[str, Any]]:
        """Its quick replies."""
        return list(self.message.get("quick_replies") or ())


@attrs.frozen(kw_only=True)
class Tap:
    """The result of a tap on a button: a postback, or what the browser opened."""

    webhook: WebhookOutcome | None = None
    visit: Visit | None = None


class SimulatedUser:
    """
    One user of one Page, created by `LocalMessenger.person`.

    Every action that makes a webhook returns when the bot has answered it 200, or Messenger has given up; the result
    says which, and is ``None`` while no webhook address is set.

    Attributes:
        user_id: PSID or IGSID.
        page_id: The Page or Instagram account they write to.
        instagram: Whether they use Instagram.
        profile: What the User Profile API answers.
        inbox: The messages they received, oldest first, without sender actions.
        last_action_at: When they last opened the 24-hour window; ``None`` if never.
    """

    def __init__(
        self, platform: Platform, user_id: str, page_id: str, *, instagram: bool, profile: Mapping[str, Any]
    ) -> None:
        self.user_id = user_id
        self.page_id = page_id
        self.instagram = instagram
        self.profile = dict(profile)
        self.inbox: list[SentMessage] = []
        self.last_action_at: float | None = None
        self._platform = platform
        self._arrived = asyncio.Event()
        self._taken = 0

    async def says(self, text: str, **more: Any) -> WebhookOutcome | None:
        """Write a message; *more* are further members of ``message``, such as ``reply_to`` or ``referral``."""
        return await self._acts("message", {"message": {"mid": self._platform.next_mid(), "text": text, **more}})

    async def shares(self, *attachments: Mapping[str, Any]) -> WebhookOutcome | None:
        """Send attachments, each as ``{"type": …, "payload": …}``."""
        content = {"mid": self._platform.next_mid(), "attachments": list(attachments)}
        return await self._acts("message", {"message": content})

    async def taps(self, button: str | Mapping[str, Any]) -> Tap:
        """
        Tap a button: a postback button makes a postback, a URL button is opened in a browser.

        Args:
            button: The button itself, or its title, looked for in the newest message that has it.

        Raises:
            LookupError: No message has a button of that title.
            ValueError: A button of this type cannot be tapped here.
        """
        found = self._button(button) if isinstance(button, str) else button
        kind = found.get("type")
        if kind == "web_url":
            return Tap(visit=await self._platform.visit(found["url"]))
        if kind != "postback":
            msg = f"a {kind} button cannot be tapped in the sandbox"
            raise ValueError(msg)
        postback = {"mid": self._platform.next_mid(), "title": found.get("title", ""), "payload": found["payload"]}
        return Tap(webhook=await self._acts("postback", {"postback": postback}))

    async def taps_quick_reply(self, reply: str | Mapping[str, Any]) -> WebhookOutcome | None:
        """
        Tap a quick reply, given itself or by its title; the bot receives it as a message.

        Raises:
            LookupError: The newest message has no quick reply of that title.
        """
        if isinstance(reply, str):
            offered = self.inbox[-1].quick_replies if self.inbox else []
            found = next((one for one in offered if reply in (one.get("title"), self._shown(one))), None)
            if found is None:
                msg = f"the newest message has no quick reply {reply!r}"
                raise LookupError(msg)
            reply = found
        return await self.says(self._shown(reply), quick_reply={"payload": reply["payload"]})

    async def gets_started(
        self, payload: str = "GET_STARTED", *, ref: str | None = None, ad_id: str | None = None
    ) -> WebhookOutcome | None:
        """Tap "Get started" in a new thread, which an m.me link (*ref*) or an ad (*ad_id*) may have led to."""
        postback: dict[str, Any] = {"mid": self._platform.next_mid(), "title": "Get Started", "payload": payload}
        if ref is not None or ad_id is not None:
            postback["referral"] = _referral(ref, ad_id)
        return await self._acts("postback", {"postback": postback})

    async def comes_from(self, *, ref: str | None = None, ad_id: str | None = None) -> WebhookOutcome | None:
        """Follow an m.me link or an ad into the existing thread."""
        return await self._acts("referral", {"referral": _referral(ref, ad_id)})

    async def comments(self, text: str, *, ad_id: str | None = None) -> str:
        """Comment on a post of an Instagram account, which may be an ad; returns the comment's id."""
        comment_id = self._platform.next_mid()
        media = {"id": "17900000000000001", "media_product_type": "FEED" if ad_id is None else "AD"}
        if ad_id is not None:
            media |= {"ad_id": ad_id, "ad_title": "Shoes"}
        value = {"from": {"id": self.user_id, "username": "ada"}, "media": media, "id": comment_id, "text": text}
        await self._platform.comment(self, value)
        return comment_id

    async def reads(self) -> WebhookOutcome | None:
        """Read everything in the inbox."""
        if self.instagram:
            return await self._platform.emit(self, "read", {"read": {"mid": self._newest().mid}})
        return await self._platform.emit(self, "read", {"read": {"watermark": int(self._platform.clock.now() * 1000)}})

    async def reacts(
        self, reaction: str = "love", emoji: str = "\u2764", *, mid: str | None = None
    ) -> WebhookOutcome | None:
        """React to a message of the bot, by default the newest."""
        content = {"reaction": reaction, "emoji": emoji, "action": "react", "mid": mid or self._newest().mid}
        return await self._acts("reaction", {"reaction": content})

    async def does(self, kind: str, content: Mapping[str, Any]) -> WebhookOutcome | None:
        """
        Make any other webhook, such as ``does("optin", {"optin": {"ref": "box"}})``; it does not open the window.

        Raises:
            ValueError: *content* is not of the form of an item: an object under the name of the kind.
        """
        if not any(isinstance(value, Mapping) for value in content.values()):
            msg = f'content must be {{"{kind}": {{…}}}}, got {dict(content)!r}'
            raise ValueError(msg)
        return await self._platform.emit(self, kind, content)

    async def next_message(self, *, within_seconds: float = 5.0) -> SentMessage:
        """
        The oldest message of the inbox that this method has not returned yet; waits for one.

        Raises:
            TimeoutError: None arrived within *within_seconds* of real time.
        """
        try:
            async with asyncio.timeout(within_seconds):
                while self._taken >= len(self.inbox):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            msg = (
                f"no further message reached {self.user_id} within {within_seconds} s, after {self._taken}: look at the"
                " log for `handler_failed`, and at `messenger.refused` for what Messenger did not accept"
            )
            raise TimeoutError(msg) from None
        self._taken += 1
        return self.inbox[self._taken - 1]

    def receive(self, message: SentMessage) -> None:
        """Put *message* into the inbox."""
        self.inbox.append(message)
        self._arrived.set()

    async def _acts(self, kind: str, content: Mapping[str, Any]) -> WebhookOutcome | None:
        self.last_action_at = self._platform.clock.now()
        return await self._platform.emit(self, kind, content)

    def _shown(self, quick_reply: Mapping[str, Any]) -> str:
        """Its title as the user sees it: Instagram cuts it at 20 (messenger.md 6, quick replies [IGQ])."""
        title = str(quick_reply.get("title", ""))
        return title[:20] if self.instagram else title

    def _newest(self) -> SentMessage:
        if not self.inbox:
            msg = "the inbox is empty"
            raise LookupError(msg)
        return self.inbox[-1]

    def _button(self, title: str) -> Mapping[str, Any]:
        for message in reversed(self.inbox):
            for button in message.buttons:
                if button.get("title") == title:
                    return button
        msg = f"no message has a button {title!r}"
        raise LookupError(msg)


def _referral(ref: str | None, ad_id: str | None) -> dict[str, Any]:
    referral: dict[str, Any] = {"source": "SHORTLINK" if ad_id is None else "ADS", "type": "OPEN_THREAD"}
    if ref is not None:
        referral["ref"] = ref
    if ad_id is not None:
        referral["ad_id"] = ad_id
    return referral
