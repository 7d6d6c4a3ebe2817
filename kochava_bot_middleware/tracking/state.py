"""Names and stored forms of the small state that is kept of a person."""

from __future__ import annotations

import attrs
import orjson

from .funnel import Sent


@attrs.frozen(kw_only=True)
class Keys:
    """
    The keys of one person's marks.

    Attributes:
        app_id: The Kochava app.
        name: The person's id as it leaves. Ids are page-scoped, so the Page is not needed.
        prefix: Put before all, so that a dry run leaves no traces in what counts.
    """

    app_id: str
    name: str
    prefix: str = ""

    @property
    def funnel(self) -> str:
        """The greeting that was shown, if any."""
        return f"{self.prefix}funnel:{self.app_id}:{self.name}"

    @property
    def referral(self) -> str:
        """Where they came from."""
        return f"{self.prefix}referral:{self.app_id}:{self.name}"

    @property
    def identities(self) -> str:
        """What was linked."""
        return f"{self.prefix}identities:{self.app_id}:{self.name}"

    @property
    def known(self) -> str:
        """That there is a record of them."""
        return f"{self.prefix}known:{self.app_id}:{self.name}"

    @property
    def all(self) -> tuple[str, ...]:
        """Each of them."""
        return self.funnel, self.referral, self.identities, self.known

    @staticmethod
    def of_page(page_id: str | None, prefix: str = "") -> str:
        """That a Page has delivery events."""
        return f"{prefix}deliveries:{page_id or ''}"


def sent_to_bytes(sent: Sent) -> bytes:
    """The stored form of a greeting whose person is not known yet."""
    return orjson.dumps(attrs.asdict(sent))


def sent_from_bytes(stored: bytes | None) -> Sent | None:
    """Read that form; ``None`` when there is none, or it cannot be read."""
    if stored is None:
        return None
    try:
        fields = orjson.loads(stored)
        return Sent(**{**fields, "offers": tuple(fields["offers"])})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
