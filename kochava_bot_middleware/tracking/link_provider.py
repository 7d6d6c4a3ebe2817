"""SmartLinks from the author's own code: a catalogue, or links that were made elsewhere."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from ..exceptions import KochavaBotError
from ..kochava.smartlink_template import LinkTemplate
from ..settings import at_least


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
    How a `LinkProvider` is asked. While it fails or is slow, addresses stay as they are.

    Attributes:
        timeout_seconds: How long a message waits for it; the answer still counts for the next message.
        cache_seconds: For how long an answer is good, also that there is none.
        failure_seconds: How long it is not asked again for an address for which it failed.
        give_up_seconds: A question that takes longer is given up.
        cache_size: Answers kept.
        concurrency: Questions at once.
    """

    timeout_seconds: float = attrs.field(default=0.5, validator=at_least(0, exclusive=True))
    cache_seconds: float = attrs.field(default=3600.0, validator=at_least(0))
    failure_seconds: float = attrs.field(default=10.0, validator=at_least(0))
    give_up_seconds: float = attrs.field(default=30.0, validator=at_least(0, exclusive=True))
    cache_size: int = attrs.field(default=4096, validator=at_least(1))
    concurrency: int = attrs.field(default=32, validator=at_least(1))


@attrs.frozen(kw_only=True)
class ProvidedLink:
    """
    What the provider said of one address.

    Attributes:
        template: The SmartLink; ``None`` when it has none or failed.
        failed: It failed, so the address stays.
    """

    template: LinkTemplate | None = None
    failed: bool = False


_NOTHING = ProvidedLink()
_FAILED = ProvidedLink(failed=True)


class Catalogue:
    """
    A provider's answers, as far as they are known.

    Args:
        monotonic: Seconds since an arbitrary start.
        on_failure: Told of each failure, with its reason.
    """

    def __init__(
        self,
        provider: LinkProvider,
        settings: LinkProviderSettings,
        *,
        monotonic: Callable[[], float],
        on_failure: Callable[[str], None],
    ) -> None:
        self._provider = provider
        self._settings = settings
        self._monotonic = monotonic
        self._on_failure = on_failure
        self._answers: OrderedDict[str, tuple[float, ProvidedLink]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(settings.concurrency)

    def known(self, url: str) -> ProvidedLink | None:
        """The answer for *url*; ``None`` when it was not asked for yet, or is too old."""
        found = self._answers.get(url)
        return None if found is None or found[0] <= self._monotonic() else found[1]

    async def prepare(self, urls: Iterable[str]) -> None:
        """Ask for those of *urls* that are not known, and wait no longer than allowed."""
        wanted = {url for url in urls if self.known(url) is None}
        if not wanted:
            return
        for url in wanted - self._asking.keys():
            self._asking[url] = asyncio.create_task(self._ask(url))
        tasks = {self._asking[url] for url in wanted if url in self._asking}
        _, late = await asyncio.wait(tasks, timeout=self._settings.timeout_seconds)
        if late:
            self._on_failure("slow")
            until = self._monotonic() + self._settings.failure_seconds
            for url in wanted & self._asking.keys():
                self._answers[url] = (until, _FAILED)

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, url: str) -> None:
        answer, lasts = _FAILED, self._settings.failure_seconds
        try:
            async with self._slots, asyncio.timeout(self._settings.give_up_seconds):
                answer = _read(await self._provider.smartlink_for(url))
            lasts = self._settings.cache_seconds
        except Exception as exc:  # noqa: BLE001 - the author's code may raise anything
            self._on_failure(type(exc).__name__)
        finally:
            self._asking.pop(url, None)
        self._answers[url] = (self._monotonic() + lasts, answer)
        self._answers.move_to_end(url)
        while len(self._answers) > self._settings.cache_size:
            self._answers.popitem(last=False)


class NotASmartLink(KochavaBotError):
    """A provider gave what is no address."""


def _read(link: object) -> ProvidedLink:
    if link is None:
        return _NOTHING
    try:
        return ProvidedLink(template=LinkTemplate.parse(link))
    except ValueError as exc:
        raise NotASmartLink from exc
