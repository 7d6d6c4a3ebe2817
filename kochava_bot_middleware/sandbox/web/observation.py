"""Turns what both local servers see into events of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from ..kochava.records import RecordKind
from ..kochava.server import LocalKochava, query_params
from ..local_server import Exchange
from ..messenger.server import LocalMessenger
from ..messenger.users import ACTS
from ..messenger.webhooks import SentWebhook, WebhookOutcome
from ..strict_json import NotStrictJson, read_json
from .page_events import BODY_LIMIT, EventKind, EventLog, cut, shown
from .smartlinks import LinkReader

ANSWER_LIMIT = 2000
"""Characters of an answer of Kochava that are shown."""

NO_PATH = "there is no such path; each begins with a version, as in /v26.0/me/messages"

_PATHS = {
    "/track/impression": RecordKind.IMPRESSION,
    "/v1/cpi/click": RecordKind.CLICK,
    "/v1/cpi/identityLink.php": RecordKind.IDENTITY_LINK,
}

_IDS = ("fb_user_id", "ig_user_id", "fb_user_ref")


class SandboxObservation:
    """Watches a local Messenger and a local Kochava, and adds what it sees to *log*."""

    def __init__(self, messenger: LocalMessenger, kochava: LocalKochava, log: EventLog) -> None:
        self._messenger = messenger
        self._kochava = kochava
        self._log = log
        self._links = LinkReader(kochava.smartlinks, messenger.hosts)

    def begin(self) -> None:
        """Watch from now on."""
        self._messenger.watchers.append(self._graph)
        self._messenger.webhooks.watchers.append(self._webhook)
        self._kochava.watchers.append(self._to_kochava)

    def _webhook(self, webhook: SentWebhook, outcome: WebhookOutcome | None) -> None:
        detail: dict[str, Any] = {"mid": webhook.mid, "webhook": webhook.kind}
        if outcome is None:
            if webhook.kind in ACTS:
                title, act = _act(webhook)
                self._log.add(EventKind.ACTION, title, user=webhook.user_id, **detail, **act)
            return
        if outcome.again and outcome.attempts > 1:
            # The first failure and the end are enough to show.
            return
        if not outcome.acknowledged:
            detail |= {"failure": _failure(outcome), "retried": outcome.again}
        self._log.add(
            EventKind.WEBHOOK,
            f"{webhook.kind} webhook",
            user=webhook.user_id,
            status=outcome.status,
            good=outcome.acknowledged,
            attempts=outcome.attempts,
            **detail,
        )

    def _graph(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        answer = _decoded(exchange.answer)
        if exchange.status != 200:
            error = answer.get("error")
            failed = NO_PATH if exchange.status == 404 else f"answered {exchange.status}"
            reason = str(error.get("message")) if isinstance(error, Mapping) else failed
            content = exchange.content or {}
            recipient = content.get("recipient")
            user = recipient.get("id") if isinstance(recipient, Mapping) else None
            text = shown(content) if content else cut(exchange.body.decode("utf-8", "replace"))
            self._log.add(
                EventKind.REFUSED,
                reason,
                user=None if user is None else str(user),
                status=exchange.status,
                good=False,
                path=path,
                reason=reason,
                **text,
            )
            return
        body = exchange.content or {}
        if exchange.method != "POST":
            return
        before, links = self._links.before(body)
        lines = _compared(before, body)
        detail = {"links": [attrs.asdict(link) for link in links], **lines}
        if not path.endswith("/messages"):
            self._log.add(EventKind.GRAPH, path.rpartition("/")[2].replace("_", " "), status=200, path=path, **detail)
            return
        user, action = answer.get("recipient_id"), body.get("sender_action")
        message = {} if "cut" in lines else body.get("message") or {}
        self._log.add(
            EventKind.MESSAGE,
            str(action or _title_of(message)),
            user=None if user is None else str(user),
            status=200,
            mid=answer.get("message_id"),
            message=message,
            **({"action": action} if action else {}),
            **detail,
        )

    def _to_kochava(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0]
        is_ping = exchange.method == "GET"
        params = dict(query_params(exchange.path)) if is_ping else {}
        body = _decoded(exchange.body)
        if is_ping:
            text = cut("\n".join(f"{name} = {value}" for name, value in params.items()))
        else:
            text = shown(body) if body else cut(exchange.body.decode("utf-8", "replace"))
        record = _record_kind(path, body, is_smartlink=path in self._kochava.smartlinks)
        data = body.get("data")
        data = data if isinstance(data, dict) else {}
        good, verdict = _verdict(exchange)
        self._log.add(
            EventKind.KOCHAVA,
            verdict,
            user=_user_of({**params, **_ids_of(data), **_ids_of(body)}),
            status=exchange.status,
            good=good,
            record=record,
            name=str(data.get("event_name") or unquote(params.get("creative_id", ""))),
            method=exchange.method,
            path=path,
            answer=exchange.answer[:ANSWER_LIMIT].decode("utf-8", "replace") if exchange.answer[:3] != b"GIF" else "",
            seconds=round(exchange.seconds, 4),
            **text,
        )


def _failure(outcome: WebhookOutcome) -> str:
    """How the bot failed to answer a webhook, and what Facebook does about it."""
    answered = "gave no answer in time" if outcome.status is None else f"answered {outcome.status}, not 200"
    if outcome.again:
        return f"The bot {answered}: Facebook tries again"
    # messenger.md 1, retry and disabling [WH].
    return (
        f"The bot {answered}, at the last of {outcome.attempts} attempts. After 15 minutes of this, Facebook sends you"
        " an alert; after an hour it sends no more webhooks of this Page until you subscribe again"
    )


def _verdict(exchange: Exchange) -> tuple[bool, str]:
    """Whether Kochava took the request, and how that is said."""
    if exchange.status is None:
        return False, "connection reset"
    if exchange.status in (200, 302):
        return True, "accepted" if exchange.status == 200 else "redirected"
    reason = _decoded(exchange.answer).get("error")
    return False, f"refused: {reason}" if reason else f"failed with {exchange.status}"


def _record_kind(path: str, body: Mapping[str, Any], *, is_smartlink: bool) -> str:
    if is_smartlink:
        return RecordKind.SMARTLINK_CLICK
    if path.endswith("/privacy/scrub"):
        return RecordKind.SCRUB
    return str(body.get("action") or _PATHS.get(path, "request"))


def _ids_of(members: Mapping[str, Any]) -> Mapping[str, Any]:
    ids = members.get("device_ids") or members.get("device_id")
    return ids if isinstance(ids, dict) else {}


def _user_of(params: Mapping[str, Any]) -> str | None:
    return next((str(params[name]) for name in _IDS if params.get(name)), None)


def _decoded(raw: bytes) -> dict[str, Any]:
    """An object; empty if *raw* is none."""
    try:
        value = read_json(raw)
    except NotStrictJson:
        return {}
    return value if isinstance(value, dict) else {}


def _act(webhook: SentWebhook) -> tuple[str, dict[str, Any]]:
    """What the person did, as a title and as members of an event's detail."""
    content = webhook.item.get(webhook.kind) or {}
    if webhook.kind == "postback":
        return f"tapped “{content.get('title')}”", {"tapped": content.get("title"), "payload": content.get("payload")}
    if "quick_reply" in content:
        return f"tapped “{content.get('text')}”", {"tapped": content.get("text")}
    if webhook.kind == "message":
        said = str(content.get("text") or "an attachment")
        return f"wrote “{said[:80]}”", {"said": said[:2000]}
    return webhook.kind, {"opened": webhook.kind}


def _title_of(message: Mapping[str, Any]) -> str:
    attachment = message.get("attachment")
    if not isinstance(attachment, Mapping):
        return "text" if "text" in message else "message"
    payload = attachment.get("payload")
    template = payload.get("template_type") if isinstance(payload, Mapping) else None
    return f"{template} template" if template else str(attachment.get("type", "attachment"))


def _compared(before: Any, after: Any) -> dict[str, Any]:
    """
    ``lines`` of both bodies: a text where they are equal, else a pair of both.

    Only texts differ, and JSON writes each on one line, so that both have the same lines.
    """
    size = len(json.dumps(after, ensure_ascii=False))
    if size > BODY_LIMIT:
        return {"lines": [json.dumps(after, ensure_ascii=False)[:600]], "cut": size}
    texts = [json.dumps(body, ensure_ascii=False, indent=2).split("\n") for body in (before, after)]
    return {"lines": [old if old == new else [old, new] for old, new in zip(*texts, strict=True)]}
