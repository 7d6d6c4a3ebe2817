"""
The demo's two books: what the shop's webhooks promised, and what Kochava got.

They are kept by what the platforms saw, from the shop's rules alone; nothing of the bot or its store is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from .kochava_records import KochavaRecord, RecordKind, Rejection
from .ledger import Balance, LedgerEntry, balance
from .sent import RefusedCall
from .webhooks import SentWebhook, WebhookOutcome

GET_STARTED = "GET_STARTED"
IMPRESSION = "Impression"
CLICK = "Click"

_SHOWN = 10
"""How many entries of one kind are listed when something is wrong."""


def promised(outcomes: Iterable[WebhookOutcome]) -> list[LedgerEntry]:
    """
    What must reach Kochava because of these webhooks, in the order in which the bot answered them.

    Each message and postback is one event. A greeting is an impression, and the first answer to it is a click.
    """
    entries: list[LedgerEntry] = []
    pinged: dict[str, str] = {}
    for outcome in outcomes:
        webhook = outcome.webhook
        label = label_of(webhook)
        if label is None:
            continue
        entries.append(_event(webhook.user_id, label))
        if pinged.get(webhook.user_id) == IMPRESSION and not label.startswith("Quick Reply"):
            pinged[webhook.user_id] = CLICK
            entries.append(_ping(webhook.user_id, CLICK))
        if webhook.user_id not in pinged and label == f"Postback {GET_STARTED}":
            pinged[webhook.user_id] = IMPRESSION
            entries.append(_ping(webhook.user_id, IMPRESSION))
    return entries


def label_of(webhook: SentWebhook) -> str | None:
    """What tells this webhook's event from the person's others; ``None`` when it gives none."""
    if webhook.kind == "postback":
        payload = webhook.item["postback"]["payload"]
        return f"Purchase {webhook.mid}" if payload.startswith("BUY:") else f"Postback {payload}"
    if webhook.kind == "message":
        quick_reply = webhook.item["message"].get("quick_reply")
        return f"Question {webhook.mid}" if quick_reply is None else f"Quick Reply {quick_reply['payload']}"
    return None


def received(records: Iterable[KochavaRecord]) -> list[LedgerEntry]:
    """What Kochava got, in order of arrival. Taps on SmartLinks come from people's browsers and are left out."""
    return [_entry(record) for record in records if record.kind is not RecordKind.SMARTLINK_CLICK]


def _entry(record: KochavaRecord) -> LedgerEntry:
    user_id = record.user_id() or "nobody"
    if record.kind is RecordKind.IMPRESSION:
        return _ping(user_id, IMPRESSION)
    if record.kind is RecordKind.CLICK:
        return _ping(user_id, CLICK)
    if record.kind is not RecordKind.EVENT:
        return _event(user_id, f"{record.kind}")
    data = record.event_data if isinstance(record.event_data, dict) else {}
    return _event(user_id, f"{record.name} {data.get('id', data.get('postback_payload'))}")


def _event(user_id: str, label: str) -> LedgerEntry:
    return LedgerEntry(lane=f"{user_id} events", label=label)


def _ping(user_id: str, label: str) -> LedgerEntry:
    return LedgerEntry(lane=f"{user_id} pings", label=label)


@attrs.frozen(kw_only=True)
class Audit:
    """
    The judgement on a whole demo.

    Attributes:
        balance: The two books against each other.
        rejections: What Kochava did not accept.
        refused: What Messenger did not accept.
        abandoned: How many webhooks the bot never answered.
        killed: The bot was killed: a request under way then is sent again, so Kochava may have it twice.
    """

    balance: Balance
    rejections: Sequence[Rejection] = ()
    refused: Sequence[RefusedCall] = ()
    abandoned: int = 0
    killed: bool = False

    @property
    def is_good(self) -> bool:
        """Whether everything is as it must be."""
        return not any(lines for _, lines in self._faults())

    def lines(self) -> Iterator[str]:
        """The judgement for a person: one line when all is well, else what is wrong, too."""
        books = self.balance
        doubled = f"{len(books.doubled)} sent again after a kill" if self.killed else f"{len(books.doubled)} doubled"
        yield (
            f"{books.promised} promised by webhooks answered 200, {books.received} received by Kochava: "
            f"{len(books.missing)} missing, {doubled}, {len(books.out_of_order)} out of order"
        )
        for title, found in self._faults():
            yield from (f"  {title}: {line}" for line in found[:_SHOWN])
            if len(found) > _SHOWN:
                yield f"  {title}: … and {len(found) - _SHOWN} more"

    def _faults(self) -> Iterator[tuple[str, list[str]]]:
        books = self.balance
        yield "missing", [_shown(entry) for entry in books.missing]
        yield "doubled", [] if self.killed else [_shown(entry) for entry in books.doubled]
        yield "never promised", [_shown(entry) for entry in books.unexpected]
        yield "out of order", [f"{_shown(o.late)} came after {o.overtaken_by.label}" for o in books.out_of_order]
        yield "rejected by Kochava", [f"{one.method} {one.path}: {one.reason}" for one in self.rejections]
        yield "refused by Messenger", [f"{one.path}: {one.error.get('message')}" for one in self.refused]
        yield "never answered", [f"{self.abandoned} webhooks"] if self.abandoned else []


def _shown(entry: LedgerEntry) -> str:
    return f"{entry.label} ({entry.lane})"


def audit(
    acknowledged: Sequence[WebhookOutcome],
    records: Sequence[KochavaRecord],
    *,
    abandoned: Sequence[WebhookOutcome] = (),
    rejections: Sequence[Rejection] = (),
    refused: Sequence[RefusedCall] = (),
    killed: bool = False,
) -> Audit:
    """
    Compare the two books.

    Args:
        acknowledged: Webhooks that were answered 200, in that order.
        records: What Kochava accepted, in order of arrival.
        abandoned: Webhooks that were given up; what they promised may have come or not.
        rejections: See `Audit`.
        refused: See `Audit`.
        killed: See `Audit`.
    """
    return Audit(
        balance=balance(promised(acknowledged), received(records), uncertain=promised(abandoned)),
        rejections=tuple(rejections),
        refused=tuple(refused),
        abandoned=len(abandoned),
        killed=killed,
    )
