"""SmartLinks from the author's own code: a catalogue, or links that were made elsewhere."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol, TypeVar

import attrs

from ...clock import Clock
from ...exceptions import KochavaBotError
from ...hooks import HookFailed, call_hook
from ...incidents import Incidents
from ...kochava.smartlink_template import LinkTemplate, address_of
from ...settings import at_least
from ...telemetry.counts import Counts


class LinkProvider(Protocol):
    """Gives the SmartLink for an address."""

    async def smartlink_for(self, url: str) -> str | None:
        """
        The SmartLink, or a template of one as a route has it; ``None`` leaves the address to routes and default.

        The parameters of the settings, with the person's id, are appended to it as to any other.
        """


@attrs.frozen(kw_only=True)
class LinkProviderSettings:
    """
    How a `LinkProvider` is called. While it fails or is slow, addresses stay as they are.

    Attributes:
        timeout_seconds: How long a message waits for it; the answer still counts for the next message.
        cache_seconds: For how long an answer is good, also that there is none.
        failure_seconds: How long it is not called again for an address for which it failed.
        give_up_seconds: A call that takes longer is given up.
        cache_size: Answers kept.
        concurrency: Calls at once.
    """

    timeout_seconds: float = attrs.field(default=0.5, validator=at_least(0, exclusive=True))
    cache_seconds: float = attrs.field(default=3600.0, validator=at_least(0))
    failure_seconds: float = attrs.field(default=10.0, validator=at_least(0))
    give_up_seconds: float = attrs.field(default=30.0, validator=at_least(0, exclusive=True))
    cache_size: int = attrs.field(default=4096, validator=at_least(1))
    concurrency: int = attrs.field(default=32, validator=at_least(1))


@attrs.frozen(kw_only=True)
class ProvidedLink:
    """The provider's answer for one address, without a template when it has none or failed."""

    template: LinkTemplate | None = None
    failed: bool = False


_NO_LINK = ProvidedLink()
_FAILED = ProvidedLink(failed=True)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Place = tuple[str, str, bool]
"""Host and path of a provided link, and whether the path is whole: before a placeholder it is only the start of one."""


class Catalogue:
    """A provider's answers, as far as they are known."""

    def __init__(
        self,
        provider: LinkProvider,
        settings: LinkProviderSettings,
        *,
        clock: Clock,
        incidents: Incidents,
        counts: Counts,
    ) -> None:
        self._provider = provider
        self._settings = settings
        self._clock = clock
        self._incidents = incidents
        self._counts = counts
        self._answers: OrderedDict[str, tuple[float, ProvidedLink]] = OrderedDict()
        self._places: OrderedDict[_Place, None] = OrderedDict()
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(settings.concurrency)

    def known(self, url: str) -> ProvidedLink | None:
        """The answer for *url*; ``None`` when there is none yet, or it is too old."""
        found = self._answers.get(url)
        return None if found is None or found[0] <= self._clock.monotonic() else found[1]

    def has_given(self, url: str) -> bool:
        """Whether *url* was made from one of the answers, so that it is a SmartLink already."""
        address = address_of(url) if self._places else None
        if address is None:
            return False
        host, path = address.host, address.path or "/"
        starts = ((host, path[:end], False) for end in range(1, len(path) + 1))
        return (host, path, True) in self._places or any(start in self._places for start in starts)

    async def prepare(self, urls: Iterable[str]) -> None:
        """Ask for those of *urls* that are not known, and wait no longer than allowed."""
        wanted = {url for url in urls if self.known(url) is None and (url in self._answers or not self.has_given(url))}
        if not wanted:
            return
        for url in wanted - self._calls.keys():
            self._calls[url] = asyncio.create_task(self._call(url))
        tasks = {self._calls[url] for url in wanted if url in self._calls}
        _, late = await asyncio.wait(tasks, timeout=self._settings.timeout_seconds)
        if late:
            self._report_failure("slow")
            until = self._clock.monotonic() + self._settings.failure_seconds
            for url in wanted & self._calls.keys():
                self._answers[url] = (until, _FAILED)

    async def close(self) -> None:
        """Cancel the calls that still run."""
        tasks = list(self._calls.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _report_failure(self, reason: str) -> None:
        self._counts.provider_failures += 1
        self._incidents.report("link_provider_failed", reason=reason)

    async def _call(self, url: str) -> None:
        answer, lasts = _FAILED, self._settings.failure_seconds
        try:
            async with self._slots:
                seconds = self._settings.give_up_seconds
                answer = await call_hook(self._provider.smartlink_for, url, read=_read, seconds=seconds)
            lasts = self._settings.cache_seconds
        except HookFailed as exc:
            self._report_failure(str(exc))
        finally:
            self._calls.pop(url, None)
        self._remember(self._answers, url, (self._clock.monotonic() + lasts, answer))
        template, address = answer.template, address_of(url)
        # On its own host, an address could not be told from what it becomes.
        if template is not None and address is not None and template.host != address.host:
            self._remember(self._places, (template.host, template.path, template.path_is_whole), None)

    def _remember(self, kept: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
        kept[key] = value
        kept.move_to_end(key)
        while len(kept) > self._settings.cache_size:
            kept.popitem(last=False)


class NotASmartLink(KochavaBotError):
    """A provider gave something that is no address."""


def _read(link: object) -> ProvidedLink:
    if link is None:
        return _NO_LINK
    try:
        return ProvidedLink(template=LinkTemplate.parse(link))
    except ValueError as exc:
        raise NotASmartLink from exc
