"""
What happens to a message on its way out: its links become SmartLinks, and a greeting is watched.

User and Page come from the send itself; the handling says only the cause.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar, Token
from typing import Any

import attrs

from ..arguments import optional_channel, optional_id
from ..exceptions import RegistrationError
from ..handling import Handling, current_handling, current_handlings
from ..kochava.records import GREETING
from ..kochava.smartlink_settings import AUTO
from ..messenger.events import ChangeEvent, Channel
from ..messenger.http_request import answer_of
from ..messenger.links.body import iter_links
from ..messenger.outgoing import MESSAGE_KEYS, Endpoint, Outgoing, Recipient, id_text, is_same
from ..telemetry.counts import LeftOut
from .automatic_events import referral_facts
from .funnel import Sent, offers_of
from .greeting import creative_of, current_greeting, mark_of, tracker_of
from .links.rewriting import AppLinks, Rewritten, context_of, has_no_links, is_routed, rewrite
from .people import Person, record_id
from .privacy import Privacy
from .recorder import Recorder
from .settings import App, TrackingContext
from .state import reference_name

REMEMBERED_PEOPLE = 10_000
"""People whose ids in SmartLinks are stored already, as far as this process knows."""


@attrs.define(kw_only=True, eq=False)
class Sending:
    """
    A send. Within its context it is with its sender, where its message is not tracked again.

    Attributes:
        tracker: Which middleware's it is.
        outgoing: As the caller gave it.
        sent: With SmartLinks.
        began_at: Seconds since the epoch.
        handling: The cause, as it was when the call began.
        outer: The send within which this one is made, if any.
        is_open: It has not ended.
    """

    tracker: SendTracker
    outgoing: Outgoing
    sent: Outgoing
    began_at: float
    handling: Handling | None
    outer: Sending | None = None
    is_open: bool = True
    _token: Token[Sending | None] = attrs.field(init=False)

    def __enter__(self) -> None:
        self._token = _sending.set(self)

    def __exit__(self, *_error: object) -> None:
        self.is_open = False
        _sending.reset(self._token)


_sending: ContextVar[Sending | None] = ContextVar("kochava_bot_sending", default=None)


class SendTracker:
    """The send direction of one middleware."""

    def __init__(self, context: TrackingContext, privacy: Privacy, recorder: Recorder) -> None:
        self._context = context
        self._privacy = privacy
        self._recorder = recorder
        self._facts = SendFacts(context, recorder)
        privacy.on_opted_in = self._facts.renew

    def with_page(self, outgoing: Outgoing) -> Outgoing:
        """
        *outgoing* with the Page that sends it. Of a bot that was made without a Page's id, that is the one whose
        webhooks came to this process on the same channel; ``None`` as long as there was none, or more than one.
        """
        if outgoing.page_id is not None or outgoing.channel is None:
            return outgoing
        return attrs.evolve(outgoing, page_id=self._recorder.channels.only_page(outgoing.channel))

    async def _with_channel(self, outgoing: Outgoing, handling: Handling | None, *, at_once: bool) -> Outgoing:
        """*outgoing* with the channel of its Page, else of the event that it answers."""
        if outgoing.channel is not None:
            return outgoing
        channel = None
        look = self._recorder.channels.find(outgoing.page_id)
        if at_once:
            self._recorder.in_background(look)
        else:
            channel = await look
        otherwise = Channel.MESSENGER if handling is None else handling.event.channel
        return attrs.evolve(outgoing, channel=channel or otherwise)

    def rewritten_body(
        self, body: Any, user_id: object, page_id: object, creative: str | None, channel: object = None
    ) -> Any:
        """A Send API body, or its ``message`` alone, as it would leave; as of `KochavaMiddleware.rewrite`."""
        user_id, page_id = optional_id("user_id", user_id), optional_id("page_id", page_id)
        if isinstance(body, Mapping) and "message" not in body and not MESSAGE_KEYS.isdisjoint(body):
            return self.rewritten_body({"message": body}, user_id, page_id, creative, channel)["message"]
        if (mark := mark_of(body)) is not None:
            self._recorder.report_greeting(mark.creative or "a body", "it was only given to `kochava.rewrite`")
        has_recipient = user_id is None or not isinstance(body, Mapping) or "recipient" in body
        whole = body if has_recipient else {**body, "recipient": {"id": user_id}}
        outgoing = Outgoing(body=whole, page_id=page_id, creative=creative)
        event = None if (handling := _cause_of(whole)) is None else handling.event
        own_event = event if event is not None and event.user_id == outgoing.recipient.user_id else None
        outgoing = attrs.evolve(
            outgoing,
            channel=optional_channel(channel)
            or self._recorder.channels.known(page_id)
            or (Channel.MESSENGER if own_event is None else own_event.channel),
        )
        app = self._context.apps.of(page_id)
        links = app.links if own_event is None or not own_event.is_by_reference else app.anonymous_links
        context = context_of(outgoing, creative=creative_of(outgoing))
        rewritten, changed, _ = rewrite(whole, links, context)
        # Outside of handling, nothing could be written: this must not wait.
        is_handled = self._recorder.current(outgoing.recipient.user_id) is not None
        if changed and links is app.links and links.names_people and is_handled:
            self._facts.note_links(outgoing, app, _named_in(outgoing))
        return rewritten if has_recipient else {key: rewritten[key] for key in body}

    def outgoing(self, body: Any, *, page_id: object, channel: object, **fields: Any) -> Outgoing:
        """
        What `KochavaMiddleware.send` is given, as an `Outgoing`.

        Raises:
            RegistrationError: *body* is an `Outgoing`.
            TrackingError: An argument is no id or channel.
        """
        if isinstance(body, Outgoing):
            msg = "`send` takes a Send API body, got an Outgoing: pass its `body`, and its other fields as arguments"
            raise RegistrationError(msg)
        page_id, channel = optional_id("page_id", page_id), optional_channel(channel)
        if page_id is None and (handling := _cause_of(body)) is not None:
            page_id = handling.event.page_id
        channel = channel or self._recorder.channels.known(page_id)
        return Outgoing(body=body, page_id=page_id, channel=channel, **fields)

    async def begin(self, outgoing: Outgoing, *, at_once: bool = False) -> Sending | None:
        """
        Begin a send: rewrite its links. ``None`` when it is the message of a send under way, seen once more by another
        layer, such as an HTTP client beneath an `AsyncBot`; then it passes as it is.

        Args:
            at_once: Wait for nothing. What would have to be waited for is looked up for the next send; until then,
                links do not name a person of whom it is not known whether they may.
        """
        outer = sending = _sending.get()
        while sending is not None:
            if sending.tracker is self and sending.is_open and is_same(sending.sent.body, outgoing.body):
                return None
            sending = sending.outer
        handling = _cause_of(outgoing.body)
        outgoing = self.with_page(await self._with_channel(outgoing, handling, at_once=at_once))
        greeting = current_greeting()
        if greeting is not None and outgoing.has_message:
            greeting.is_sent = True
        sent = await self._rewritten(outgoing, at_once=at_once)
        began_at = self._context.clock.now()
        return Sending(tracker=self, outgoing=outgoing, sent=sent, began_at=began_at, handling=handling, outer=outer)

    def end_later(self, sending: Sending, answer: Any) -> None:
        """As `end`, in the background of the running loop."""
        self._recorder.in_background(self.end(sending, answer))

    async def end(self, sending: Sending, answer: Any) -> None:
        """Record what was sent when it is a greeting, and whose comment it answers."""
        outgoing = sending.outgoing
        app = self._context.apps.of(outgoing.page_id)
        tracker = outgoing.tracker
        is_marked = outgoing.greeting or tracker is not None or mark_of(outgoing.body) is not None
        is_watched = app.has_greeting or (tracker is not None and tracker not in self._context.apps.trackers)
        is_greeting = is_watched and (is_marked or current_greeting() is not None)
        is_private_reply = app.events.attach_referral != "off" and outgoing.recipient.comment_id is not None
        if not is_greeting and not is_private_reply:
            return
        try:
            answered = await answer_of(answer)
            if is_private_reply:
                await self._facts.note_comment(sending, answered)
            if is_greeting:
                await self._record_greeting(sending, answered, app)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            incident = "greeting_not_watched" if is_greeting else "comment_not_noted"
            self._context.incidents.report(incident, reason=type(exc).__name__)

    async def _rewritten(self, outgoing: Outgoing, *, at_once: bool) -> Outgoing:
        """*outgoing* with SmartLinks, or as it is when something goes wrong."""
        app = self._context.apps.of(outgoing.page_id)
        if not app.links.is_active or has_no_links(outgoing.body, app.links):
            return outgoing
        try:
            if app.links.catalogue is not None:
                sites = iter_links(outgoing.body, endpoint=outgoing.endpoint, text_links=app.links.text_links)
                urls = {site.url for site in sites if site.keep is None or is_routed(app.links, site.url, site.keep)}
                if at_once:
                    self._recorder.in_background(app.links.prepare(urls))
                else:
                    await app.links.prepare(urls)
            result = _rewritten(outgoing, app.links)
            # Looked up only when there is a link that names a person: it may cost a round trip to the store.
            if result.changed and app.links.names_people:
                named = _named_in(outgoing)
                if await self._has_suppressed(named, app, at_once=at_once):
                    result = _rewritten(outgoing, app.anonymous_links)
                else:
                    self._facts.note_links(outgoing, app, named)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._context.incidents.report("links_not_rewritten", reason=type(exc).__name__)
            return outgoing
        if not (result.changed or result.left_alone):
            return outgoing
        self._context.counts.links_rewritten += result.changed
        self._context.counts.links_left_alone.update(result.left_alone)
        self._context.counting.add_links(
            outgoing.page_id,
            outgoing.channel,
            now=self._context.clock.now(),
            changed=result.changed,
            left_alone={str(reason): count for reason, count in result.left_alone.items()},
        )
        return attrs.evolve(outgoing, body=result.body) if result.changed else outgoing

    async def _has_suppressed(self, named: Iterable[str], app: App, *, at_once: bool) -> bool:
        """Whether one of the people whose ids links would carry is suppressed, or known by a reference only."""
        user_refs = {handling.event.user_ref for handling in current_handlings()}
        for one in named:
            if one in user_refs:
                return True
            if one in self._context.settings.test_users:
                return True
            if at_once and self._privacy.known_suppression(app, one) is None:
                self._recorder.in_background(self._privacy.is_suppressed(app, one))
                return True
            if await self._privacy.is_suppressed(app, one):
                return True
        return False

    async def _record_greeting(self, sending: Sending, answered: Mapping[str, Any], app: App) -> None:
        outgoing, began_at, handling = sending.outgoing, sending.began_at, sending.handling
        if outgoing.endpoint != Endpoint.MESSAGES or not outgoing.has_message or "error" in answered:
            return
        recipient = outgoing.recipient
        user_id = recipient.user_id or id_text(answered.get("recipient_id"))
        # A paid message has no id yet; its receipts name this one.
        mid = id_text(answered.get("message_id")) or id_text(answered.get("marketing_message_tracking_id"))
        # Of another person than the recipient, the handled event says nothing.
        cause = handling.event if handling is not None and handling.event.user_id == user_id else None
        tracker = tracker_of(outgoing)
        if tracker not in app.destination.trackers:
            self._report_unknown_tracker(tracker, outgoing.page_id, app)
            return
        marked = current_greeting()
        greeting = (
            marked.id_in(handling)
            if marked is not None and handling is not None
            else record_id(app.app_id, "greeting", recipient.user_id or recipient.user_ref, mid or str(began_at))
        )
        sent = Sent(
            at=began_at,
            mid=mid,
            greeting=greeting if tracker == GREETING else record_id(greeting, tracker),
            tracker=tracker,
            offers=offers_of(outgoing.body),
            handler=None if handling is None else handling.handler,
            creative=creative_of(outgoing),
            referral={} if cause is None else referral_facts(cause.referral),
            event=None if handling is None else handling.event.key,
        )
        if user_id is not None:
            recording = self._recorder.current(user_id) or self._recorder.new()
            recording.add_signal(_person_in(outgoing, user_id), sent)
        else:
            identified_by = () if mid is None else (f"mid:{mid}",)
            if recipient.user_ref is not None:
                identified_by = (*identified_by, reference_name(recipient.user_ref, tracker))
            if not identified_by:
                return
            # Written at once: the delivery that names the person may already be on its way.
            recording = self._recorder.new()
            recording.greetings.append((app, identified_by, sent))
        if recording.handling is None:
            await self._recorder.commit(recording)

    def _report_unknown_tracker(self, tracker: str, page_id: str | None, app: App) -> None:
        """A greeting is sent in any case; to count it elsewhere would be wrong."""
        self._context.counts.left_out[LeftOut.UNKNOWN_TRACKER] += 1
        known = ", ".join(repr(name) for name in sorted(app.destination.trackers))
        of_page = "" if page_id is None else f" of Page {page_id}"
        reason = f"is not under `greeting.trackers`{of_page}, which are {known}; the greeting was sent, but not counted"
        self._context.incidents.report("greeting_tracker_unknown", repr(tracker), reason=reason)


class SendFacts:
    """Records what sends say about people, apart from greetings: the ids in links, and whose comment is answered."""

    def __init__(self, context: TrackingContext, recorder: Recorder) -> None:
        self._context = context
        self._recorder = recorder
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def renew(self) -> None:
        """Record ids anew: of a person who opts in, those that were recorded before may be deleted."""
        self._noted.clear()

    def note_links(self, outgoing: Outgoing, app: App, named: Iterable[str]) -> None:
        """Record the ids in SmartLinks: a deletion request names them, too. The message does not wait for it."""
        if app.destination.wire.deletion_url is None:
            return
        param = app.links.settings.user_param
        for user_id in named:
            person = _person_in(outgoing, user_id)
            key = app.identity.key_of(person) if param in (None, AUTO) else param or ""
            value = app.links.user_id(user_id)
            if self._is_noted((app.app_id, f"{key}={value}")):
                continue
            recording = self._recorder.current(user_id) or self._recorder.new()
            recording.add_link_id(person, key, value)
            if recording.handling is None:
                self._recorder.begin_commit(recording)

    def _is_noted(self, key: tuple[str, str]) -> bool:
        now = self._context.clock.monotonic()
        if now < self._noted.get(key, now):
            return True
        # No longer than an answer about the person is reused: they may have been forgotten by another process.
        self._noted[key] = now + self._context.settings.privacy.consent_seconds
        self._noted.move_to_end(key)
        while len(self._noted) > REMEMBERED_PEOPLE:
            self._noted.popitem(last=False)
        return False

    async def note_comment(self, sending: Sending, answered: Mapping[str, Any]) -> None:
        """Record the ad on which a person commented, who is known now: Facebook's answer to a private reply says it."""
        outgoing, handling = sending.outgoing, sending.handling
        comment_id, user_id = outgoing.recipient.comment_id, answered.get("recipient_id")
        if comment_id is None or not user_id or "error" in answered:
            return
        person = _person_in(outgoing, str(user_id))
        # Written at once: a comment can be replied to only once, should this process die before the handling ends.
        recording = self._recorder.new()
        event = None if handling is None else handling.event
        if isinstance(event, ChangeEvent) and event.comment_id == comment_id:
            # The ad is not stored before this handling ends.
            facts = referral_facts(event.referral)
            if not facts:
                return
            recording.add_referral(person, facts, event.timestamp)
        else:
            recording.add_comment(person, comment_id)
        await self._recorder.commit(recording)


def _named_in(outgoing: Outgoing) -> set[str]:
    """The people whose ids the links of *outgoing* may carry."""
    user_id = outgoing.recipient.user_id
    named = set() if user_id is None else {user_id}
    if outgoing.endpoint == Endpoint.BATCH:
        named |= {site.user_id for site in iter_links(outgoing.body, endpoint=outgoing.endpoint) if site.user_id}
    return named


def _person_in(outgoing: Outgoing, user_id: str) -> Person:
    return Person(user_id=user_id, page_id=outgoing.page_id, channel=outgoing.channel or Channel.MESSENGER)


def _cause_of(body: Any) -> Handling | None:
    """The event that a body answers, if one is being handled."""
    if len(current_handlings()) <= 1:
        # Whoever it is sent to.
        return current_handling()
    recipient = Recipient.of(body)
    return current_handling(recipient.user_id, recipient.user_ref, recipient.comment_id)


def _rewritten(outgoing: Outgoing, links: AppLinks) -> Rewritten:
    handling = _cause_of(outgoing.body)
    referral = {} if handling is None else referral_facts(handling.event.referral)
    context = context_of(
        outgoing,
        creative=creative_of(outgoing),
        handler=None if handling is None else handling.handler,
        ref=referral.get("ref"),
        ad_id=referral.get("ad_id"),
    )
    return rewrite(outgoing.body, links, context, endpoint=outgoing.endpoint)
