"""
The audit at the end of the demo: what webhooks promised, compared with what Kochava received.

It uses only what the two platforms saw and the rules of the demo bot; neither the bot nor its store is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import attrs

from .kochava.records import KochavaRecord, RecordKind, Rejection
from .messenger.server import RefusedCall
from .messenger.webhooks import SentWebhook, WebhookOutcome

GET_STARTED = "GET_STARTED"
STOP = "STOP"
IMPRESSION = "Impression"
CLICK = "Click"

_PINGS = {RecordKind.IMPRESSION: IMPRESSION, RecordKind.CLICK: CLICK}

_SHOWN = 10
"""How many entries of one kind are listed when something is wrong."""


@attrs.frozen(kw_only=True, order=True)
class AuditEntry:
    """
    Something that Kochava must receive once.

    Attributes:
        lane: Order counts only within it: usually app and user.
        label: Identifies it. Equal labels in one lane are counted: of two promised, two must be received.
    """

    lane: str
    label: str

    def __str__(self) -> str:
        return f"{self.label} ({self.lane})"


@attrs.frozen(kw_only=True)
class Audit:
    """
    What was promised, compared with what was received.

    Attributes:
        missing: Promised, but not received; once for each time that is missing.
        doubled: Received more often than promised; once for each time too many.
        unexpected: Received, but never promised.
        out_of_order: Pairs of an entry that was late, and the entry promised after it that overtook it in its lane.
        rejections: What Kochava did not accept.
        refused: What Messenger did not accept.
        abandoned: How many webhooks the bot never answered.
        killed: Whether the bot was killed: a request under way then is sent again, so Kochava may receive it twice.
    """

    promised: int
    received: int
    missing: tuple[AuditEntry, ...] = ()
    doubled: tuple[AuditEntry, ...] = ()
    unexpected: tuple[AuditEntry, ...] = ()
    out_of_order: tuple[tuple[AuditEntry, AuditEntry], ...] = ()
    rejections: Sequence[Rejection] = ()
    refused: Sequence[RefusedCall] = ()
    abandoned: int = 0
    killed: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(lines for _, lines in self._faults())

    def lines(self) -> Iterator[str]:
        """The result as text: one line with the counts, then whatever is wrong."""
        doubled = f"{len(self.doubled)} sent again after a kill" if self.killed else f"{len(self.doubled)} doubled"
        yield (
            f"{self.promised} promised by webhooks answered 200, {self.received} received by Kochava: "
            f"{len(self.missing)} missing, {doubled}, {len(self.out_of_order)} out of order"
        )
        for title, found in self._faults():
            yield from (f"  {title}: {line}" for line in found[:_SHOWN])
            if len(found) > _SHOWN:
                yield f"  {title}: … and {len(found) - _SHOWN} more"

    def _faults(self) -> Iterator[tuple[str, list[str]]]:
        yield "missing", [str(entry) for entry in self.missing]
        yield "doubled", [] if self.killed else [str(entry) for entry in self.doubled]
        yield "never promised", [str(entry) for entry in self.unexpected]
        yield (
            "out of order",
            [f"{late} was received after {other.label}" for late, other in self.out_of_order],
        )
        yield "rejected by Kochava", [f"{one.method} {one.path}: {one.reason}" for one in self.rejections]
        yield "refused by Messenger", [f"{one.path}: {one.error.get('message')}" for one in self.refused]
        yield "never answered", [f"{self.abandoned} webhooks"] if self.abandoned else []


def promised_by(outcomes: Iterable[WebhookOutcome]) -> list[AuditEntry]:
    """
    What these webhooks promise, in the order in which the bot answered them.

    Each message and postback is one event. A greeting is an impression, and the first answer to it is a click.
    """
    entries: list[AuditEntry] = []
    greeting: dict[str, str] = {}
    for outcome in outcomes:
        webhook = outcome.webhook
        label = label_of(webhook)
        if label is None:
            continue
        entries.append(_event(webhook.user_id, label))
        if greeting.get(webhook.user_id) == IMPRESSION and not label.startswith("Quick Reply"):
            greeting[webhook.user_id] = CLICK
            entries.append(_ping(webhook.user_id, CLICK))
        if webhook.user_id not in greeting and label == f"Postback {GET_STARTED}":
            greeting[webhook.user_id] = IMPRESSION
            entries.append(_ping(webhook.user_id, IMPRESSION))
    return entries


def opted_out_in(outcomes: Iterable[WebhookOutcome]) -> set[str]:
    """The people who ever told the bot to stop: what waited for them then is not sent, and nobody promised it."""
    stops = (outcome.webhook for outcome in outcomes if outcome.webhook.kind == "message")
    return {webhook.user_id for webhook in stops if webhook.item["message"].get("text") == STOP}


def label_of(webhook: SentWebhook) -> str | None:
    """The label of this webhook's event; ``None`` when it makes none."""
    if webhook.kind == "postback":
        payload = webhook.item["postback"]["payload"]
        return f"Purchase {webhook.mid}" if payload.startswith("BUY:") else f"Postback {payload}"
    if webhook.kind == "message":
        quick_reply = webhook.item["message"].get("quick_reply")
        return f"Question {webhook.mid}" if quick_reply is None else f"Quick Reply {quick_reply['payload']}"
    return None


def received_in(records: Iterable[KochavaRecord]) -> list[AuditEntry]:
    """What Kochava received, in order of arrival, without clicks on SmartLinks, which browsers send."""
    entries: list[AuditEntry] = []
    for record in records:
        user_id = record.user_id() or "nobody"
        if record.kind in _PINGS:
            entries.append(_ping(user_id, _PINGS[record.kind]))
        elif record.kind is RecordKind.EVENT:
            data = record.event_data if isinstance(record.event_data, dict) else {}
            entries.append(_event(user_id, f"{record.name} {data.get('id', data.get('postback_payload'))}"))
        elif record.kind is not RecordKind.SMARTLINK_CLICK:
            entries.append(_event(user_id, str(record.kind)))
    return entries


def _event(user_id: str, label: str) -> AuditEntry:
    return AuditEntry(lane=f"{user_id} events", label=label)


def _ping(user_id: str, label: str) -> AuditEntry:
    return AuditEntry(lane=f"{user_id} pings", label=label)


def compare(
    promised: Sequence[AuditEntry], received: Sequence[AuditEntry], *, uncertain: Iterable[AuditEntry] = ()
) -> Audit:
    """
    Compare both sides, each in its order.

    *uncertain* entries may be received or not, such as those of webhooks that were never answered. They are neither
    missing nor unexpected, and their order is not checked.
    """
    wanted, arrived, allowed = Counter(promised), Counter(received), Counter(uncertain)
    extra = arrived - wanted - allowed
    known = set(wanted) | set(allowed)
    return Audit(
        promised=len(promised),
        received=len(received),
        missing=tuple(sorted((wanted - arrived).elements())),
        doubled=tuple(sorted(entry for entry in extra.elements() if entry in known)),
        unexpected=tuple(sorted(entry for entry in extra.elements() if entry not in known)),
        out_of_order=tuple(_out_of_order(promised, received)),
    )


def _out_of_order(
    promised: Sequence[AuditEntry], received: Sequence[AuditEntry]
) -> Iterator[tuple[AuditEntry, AuditEntry]]:
    wanted, arrived = _by_lane(promised), _by_lane(received)
    for lane in arrived:
        pairs = _overtaken(wanted[lane], arrived[lane])
        if pairs and not _can_be_matched(wanted[lane], arrived[lane]):
            yield from pairs


def _by_lane(entries: Iterable[AuditEntry]) -> defaultdict[str, list[AuditEntry]]:
    lanes: defaultdict[str, list[AuditEntry]] = defaultdict(list)
    for entry in entries:
        lanes[entry.lane].append(entry)
    return lanes


def _overtaken(promised: Sequence[AuditEntry], received: Sequence[AuditEntry]) -> list[tuple[AuditEntry, AuditEntry]]:
    """What is out of order if the n-th arrival of an entry is matched with the n-th that was promised."""
    places: defaultdict[AuditEntry, list[int]] = defaultdict(list)
    for place, entry in enumerate(promised):
        places[entry].append(place)
    furthest: tuple[int, AuditEntry] | None = None
    found = []
    seen: Counter[AuditEntry] = Counter()
    for entry in received:
        occurrence = seen[entry]
        seen[entry] += 1
        if occurrence >= len(places[entry]):
            continue
        place = places[entry][occurrence]
        if furthest is not None and place < furthest[0]:
            found.append((entry, furthest[1]))
        else:
            furthest = (place, entry)
    return found


def _can_be_matched(promised: Sequence[AuditEntry], received: Sequence[AuditEntry]) -> bool:
    """
    Whether the arrivals can be matched with the promises, one to one and in order.

    Where an entry was promised several times, a missing or repeated arrival may be any of them. There is such a match
    if the longest common subsequence is as long as both sides have entries in common.
    """
    lengths = [0] * (len(promised) + 1)
    for entry in received:
        diagonal = 0
        for place, wanted in enumerate(promised, start=1):
            above = lengths[place]
            lengths[place] = diagonal + 1 if entry == wanted else max(above, lengths[place - 1])
            diagonal = above
    return lengths[-1] == (Counter(promised) & Counter(received)).total()
