"""What one handling told, before it is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..kochava.records import Engagement
from ..messenger.events import Event
from .apps import App
from .consent import Decision
from .funnel import Delivered, Sent, Signal
from .people import Person
from .state import Keys


@attrs.frozen(kw_only=True)
class PersonFacts:
    """
    What the author's callables say of a person.

    Attributes:
        decision: Whether they may be told of.
        device: Facts of their device.
        installs: Whether their first record is preceded by an install; ``None`` when that cannot be told now.
    """

    decision: Decision = attrs.field(factory=Decision)
    device: Mapping[str, str] = attrs.field(factory=dict)
    installs: bool | None = False

    @property
    def extra(self) -> dict[str, Any]:
        """Further members of an event's ``data``."""
        consent = self.decision.consent
        return {**self.device, **({} if consent is None else {"gdpr_privacy_consent": consent.as_body()})}


@attrs.frozen(kw_only=True)
class Happening:
    """
    One event of a person.

    Attributes:
        person: Whom it is about.
        engagement: What is told.
        is_named: The author named it; it carries the person's referral.
    """

    person: Person
    engagement: Engagement
    is_named: bool = True


@attrs.frozen(kw_only=True)
class Unaddressed:
    """
    A greeting to somebody whose id Facebook has not told: to a `user_ref`, a comment, or by a token.

    Attributes:
        page_id: The Page that sent.
        names: What will join it to the person later: ``mid:…``, ``user_ref:…``.
        sent: The send.
    """

    page_id: str | None
    names: tuple[str, ...]
    sent: Sent


@attrs.define(kw_only=True, eq=False)
class Told:
    """
    All that one handling, or one call outside of handling, told.

    Attributes:
        event: What was handled; ``None`` outside of handling.
        happenings: In order.
        identities: In order.
        signals: In order.
        unaddressed: In order.
        facts: What the author's callables answered; they are asked once, however often is planned.
    """

    event: Event | None = None
    happenings: list[Happening] = attrs.field(factory=list)
    identities: list[tuple[Person, Mapping[str, str]]] = attrs.field(factory=list)
    signals: list[tuple[Person, Signal]] = attrs.field(factory=list)
    unaddressed: list[Unaddressed] = attrs.field(factory=list)
    facts: dict[tuple[str, str], PersonFacts] = attrs.field(factory=dict)

    def and_also(self, happenings: Sequence[Happening]) -> Told:
        """
        The same with more happenings at its end. All else is shared, so that what the callables answer stays known.
        """
        return Told(
            event=self.event,
            happenings=[*self.happenings, *happenings],
            identities=self.identities,
            signals=self.signals,
            unaddressed=self.unaddressed,
            facts=self.facts,
        )


@attrs.define(kw_only=True, eq=False)
class Subject:
    """
    One person's share in what was told.

    Attributes:
        barred_key: Of the mark that bars the person.
    """

    person: Person
    app: App
    name: str
    keys: Keys
    barred_key: str
    event: Event | None
    happenings: list[Happening] = attrs.field(factory=list)
    identities: dict[str, str] = attrs.field(factory=dict)
    signals: list[Signal] = attrs.field(factory=list)

    @property
    def is_only_delivery(self) -> bool:
        """Whether there is nothing but deliveries, which mostly concern no greeting."""
        if self.happenings or self.identities or not self.signals:
            return False
        return all(isinstance(signal, Delivered) for signal in self.signals)
