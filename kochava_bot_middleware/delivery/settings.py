"""What can be set about delivery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from ..exceptions import Violation
from ..proxies import ENVIRONMENT, proxy_setting, without_credentials
from ..settings import InvalidValue, Rule, at_least, check_rules, describe, each, one_of

_DAY = 86_400.0


def _waits(_instance: Any, _attribute: Any, value: Any) -> None:
    if not value:
        wanted = "a list of numbers above 0"
        raise InvalidValue(wanted, value)
    each(at_least(0, exclusive=True))(None, None, value)


LEASE_FACTOR = 1.5
"""The default lease, in request timeouts: a third of it is left to renew it in."""

LEAST_LEASE_FACTOR = 1.2


def _within_the_lease(request_timeout_seconds: float, lease_seconds: float | None) -> Iterator[Violation]:
    if lease_seconds is not None and request_timeout_seconds * LEAST_LEASE_FACTOR > lease_seconds:
        most = lease_seconds / LEAST_LEASE_FACTOR
        wanted = f"at most {most:g}, since `lease_seconds` is {lease_seconds:g}; or leave `lease_seconds` out"
        yield Violation(key="request_timeout_seconds", wanted=wanted, got=describe(request_timeout_seconds))


@attrs.frozen(kw_only=True)
class DeliverySettings:
    """
    How the worker sends.

    Attributes:
        concurrency: Most requests at once of one kind, to one destination. There are a quarter more places than that
            in each queue, so that a destination that hangs leaves some to the others.
        lease_seconds: How long a claim is owned without being renewed: what a killed worker had claimed waits so long.
            ``None``: one and a half times `request_timeout_seconds`, at least a fifth more than which it must be.
        request_timeout_seconds: For one request.
        proxy: Through which Kochava is reached: ``environment`` (variables ``HTTPS_PROXY``, ``NO_PROXY`` and so on),
            ``none``, or an address such as ``http://user:password@proxy.example:3128``.
        gate_timeout_seconds: For the check of consent before each request; when it takes longer, the record waits.
        retry_waits_seconds: Upper bounds of the first, second … wait; the last one repeats. Each wait is drawn evenly
            from 0 to its bound. The default is that of Kochava's SDKs.
        max_age_seconds: A record that failed is given up at this age.
        ping_max_age_seconds: A ping is given up at this age, tried or not, since it carries no time.
        head_tries: A record that gets a server error or no answer so often, while its destination serves others, is
            given up.
        on_ambiguous: By event name: ``retry`` (perhaps counted twice) or ``dead`` (perhaps not counted) when it is not
            known whether a request arrived, also because the process died in between.
        on_ambiguous_default: The same for all other events.
        failures_to_open: So many users' records must fail in a row before a destination is taken for down.
        probe_waits_seconds: How long a destination that is down is left alone before the first, second … probe.
        refused_waits_seconds: The same when it refuses the credentials.
        ramp_seconds: How long the slow start after an outage lasts; 0 for none.
        ramp_start_per_second: Requests a second at its beginning; they double every second.
        rate_per_second: Most requests a second to one destination of one app, by this worker; ``None``: no limit.
        poll_seconds: How often to look for what other processes appended, when nothing is due.
        unknown_wait_seconds: How long a record that this worker cannot send is left for another worker.
    """

    concurrency: int = attrs.field(default=16, validator=at_least(1))
    lease_seconds: float | None = attrs.field(default=None, validator=at_least(0, exclusive=True))
    request_timeout_seconds: float = attrs.field(default=10.0, validator=at_least(0, exclusive=True))
    proxy: str = attrs.field(default=ENVIRONMENT, validator=proxy_setting, repr=without_credentials)
    gate_timeout_seconds: float = attrs.field(default=5.0, validator=at_least(0, exclusive=True))
    retry_waits_seconds: Sequence[float] = attrs.field(default=(7.0, 30.0, 300.0, 1800.0), validator=_waits)
    max_age_seconds: float = attrs.field(default=7 * _DAY, validator=at_least(0))
    ping_max_age_seconds: float = attrs.field(default=_DAY, validator=at_least(0))
    head_tries: int = attrs.field(default=20, validator=at_least(1))
    on_ambiguous: Mapping[str, str] = attrs.field(factory=dict, validator=each(one_of("retry", "dead")))
    on_ambiguous_default: str = attrs.field(default="retry", validator=one_of("retry", "dead"))
    failures_to_open: int = attrs.field(default=5, validator=at_least(1))
    probe_waits_seconds: Sequence[float] = attrs.field(default=(7.0, 30.0, 60.0), validator=_waits)
    refused_waits_seconds: Sequence[float] = attrs.field(default=(7.0, 60.0, 300.0), validator=_waits)
    ramp_seconds: float = attrs.field(default=10.0, validator=at_least(0))
    ramp_start_per_second: float = attrs.field(default=10.0, validator=at_least(1))
    rate_per_second: float | None = attrs.field(default=None, validator=at_least(0, exclusive=True))
    poll_seconds: float = attrs.field(default=1.0, validator=at_least(0.01))
    unknown_wait_seconds: float = attrs.field(default=60.0, validator=at_least(1))

    RULES: ClassVar[tuple[Rule, ...]] = (Rule(("request_timeout_seconds", "lease_seconds"), _within_the_lease),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    @property
    def lease(self) -> float:
        """The length of a lease, in seconds."""
        return LEASE_FACTOR * self.request_timeout_seconds if self.lease_seconds is None else self.lease_seconds

    @property
    def gives_up_any(self) -> bool:
        """Whether there are records that are given up when it is not known whether they arrived."""
        return "dead" in (self.on_ambiguous_default, *self.on_ambiguous.values())

    def gives_up_unknown(self, event_name: str) -> bool:
        """Whether a record is given up when it is not known whether it arrived."""
        return self.on_ambiguous.get(event_name, self.on_ambiguous_default) == "dead"
