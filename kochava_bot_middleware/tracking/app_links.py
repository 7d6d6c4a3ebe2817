"""The SmartLinks of one app, as the middleware uses them: perhaps from a provider, perhaps without people's ids."""

from __future__ import annotations

from collections.abc import Iterable

from ..kochava.smartlink import LinkBuilder, LinkContext, LinkPlan, NoSmartLink, SmartLinks, plan_of
from ..kochava.smartlink_settings import SmartLinkSettings
from ..kochava.smartlink_template import address_of
from .link_provider import Catalogue


class AppLinks(SmartLinks):
    """
    SmartLinks that come from a provider where it has one.

    Args:
        catalogue: The provider's answers; ``None`` without a provider.
        nameless: No link carries the person's id: for those who opted out.
    """

    def __init__(
        self, settings: SmartLinkSettings, *, catalogue: Catalogue | None = None, nameless: bool = False
    ) -> None:
        super().__init__(settings)
        self._catalogue = catalogue
        self._nameless = nameless

    @property
    def is_active(self) -> bool:
        """Whether any link could be replaced at all."""
        return self._catalogue is not None or super().is_active

    @property
    def names_people(self) -> bool:
        """Whether a link may carry the person's id."""
        settings = self.settings
        if settings.user_param is not None or self._catalogue is not None:
            return True
        texts = [settings.default or "", *settings.params.values(), *(route.link for route in settings.routes)]
        return any("{user_id}" in text for text in texts)

    def builder(self, context: LinkContext) -> LinkBuilder:
        """See `SmartLinks.builder`."""
        if self._catalogue is None:
            return super().builder(context)
        return LinkBuilder(context, params=self._params, plan=self._provided_plan, user_id=self.user_id)

    def user_id(self, user_id: str) -> str:
        """See `SmartLinks.user_id`."""
        return "" if self._nameless else super().user_id(user_id)

    async def prepare(self, urls: Iterable[str]) -> None:
        """Let the provider answer for those of *urls* that may become SmartLinks."""
        if self._catalogue is not None:
            await self._catalogue.prepare(url for url in urls if self.why_not(url) in (None, NoSmartLink.NO_TEMPLATE))

    def _provided_plan(self, url: str) -> LinkPlan | NoSmartLink:
        plan = self._remembered(url)
        answer = None if self._catalogue is None else self._catalogue.known(url)
        if plan not in (NoSmartLink.ALREADY_SMARTLINK, NoSmartLink.SKIPPED, NoSmartLink.UNUSABLE_ADDRESS):
            if answer is None or answer.failed:
                return NoSmartLink.NO_TEMPLATE
            address = address_of(url)
            if answer.template is not None and address is not None:
                try:
                    return plan_of(answer.template, answer.template.fill(url, address))
                except UnicodeEncodeError:
                    return NoSmartLink.UNUSABLE_ADDRESS
        return plan
