"""
Make SmartLinks, and know them again.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from urllib.parse import urlsplit, urlunsplit

from .address import Address, address_of
from .smartlink_maker import LinkContext, LinkMaker, NotMade, Plan, param_of, planned
from .smartlink_settings import Route, SmartLinkSettings, glob
from .smartlink_template import LinkTemplate

__all__ = ["LinkContext", "LinkMaker", "NotMade", "Route", "SmartLinkSettings", "SmartLinks"]

REMEMBERED_ADDRESSES = 4096
"""How many addresses' share of the work is kept; the least recently used goes first."""

_ALWAYS_OURS = frozenset({"smart.link", "imp.control.kochava.com"})

_REF = re.compile(r"[A-Za-z0-9_=-]{1,2083}")


class SmartLinks:
    """
    The settings, compiled. Safe to share: it holds nothing but a bounded cache.
    """

    def __init__(self, settings: SmartLinkSettings) -> None:
        self.settings = settings
        self.text_links = settings.text_links
        self._default = None if settings.default is None else LinkTemplate.parse(settings.default)
        self._routes = [(glob(route.match), LinkTemplate.parse(route.link)) for route in settings.routes]
        self._skip = [glob(pattern) for pattern in settings.skip]
        self._templates = [template for _, template in self._routes] + ([self._default] if self._default else [])
        self._template_hosts = frozenset(template.host for template in self._templates)
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._params = tuple(param_of(name, text) for name, text in settings.params.items())
        if settings.user_param is not None:
            self._params += (param_of(settings.user_param, "{user_id}"),)
        self._remembered = functools.lru_cache(maxsize=REMEMBERED_ADDRESSES)(self._plan)

    @property
    def is_active(self) -> bool:
        """
        Whether any link could be replaced at all.
        """
        return bool(self._templates)

    def make(self, url: str, context: LinkContext) -> str | None:
        """
        The SmartLink for *url*, or ``None`` when it gets none (`why_not` says why).
        """
        made = self.maker(context).make(url)
        return None if isinstance(made, NotMade) else made

    def why_not(self, url: str) -> NotMade | None:
        """
        Why *url* gets no SmartLink; ``None`` when it gets one.
        """
        plan = self._remembered(url)
        return plan if isinstance(plan, NotMade) else None

    def maker(self, context: LinkContext) -> LinkMaker:
        """
        Makes the SmartLinks of one message.
        """
        return LinkMaker(context, params=self._params, plan=self._remembered, user_id=self.user_id)

    def is_smartlink(self, url: str) -> bool:
        """
        Whether an address is a SmartLink or a Kochava click or impression address already.
        """
        address = address_of(url)
        return address is not None and self._is_ours(address)

    def entry_link(self, target_url: str, *, ref: str | None = None, creative: str | None = None) -> str:
        """
        The SmartLink for an ad, QR code or e-mail that leads into the bot.

        Args:
            target_url: The bot's own address, such as ``https://m.me/<page>``.
            ref: Comes back in the bot's first event; put into *target_url*, in place of any it has.
            creative: Name of the creative, for Kochava.

        Raises:
            ValueError: *ref* has other characters than Facebook takes, or no template fits *target_url*.
        """
        if ref is not None:
            if not _REF.fullmatch(ref):
                msg = f"ref takes letters, digits, `_`, `=` and `-`, at most 2083 of them, got {ref!r}"
                raise ValueError(msg)
            target_url = _with_ref(target_url, ref)
        made = self.make(target_url, LinkContext(creative=creative, ref=ref))
        if made is None:
            why = self.why_not(target_url)
            msg = f"no SmartLink for {target_url!r}: {why}; set `smartlinks.default` or a route for it"
            raise ValueError(msg)
        return made

    def user_id(self, user_id: str) -> str:
        """
        A user's id as it leaves: itself, or its keyed hash.
        """
        key = self.settings.user_id_hash_key
        if not self.settings.user_id_hash or key is None:
            return user_id
        return hmac.new(key.value.encode(), user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _plan(self, url: str) -> Plan | NotMade:
        address = address_of(url)
        if address is None:
            return NotMade.UNUSABLE_ADDRESS
        if self._is_ours(address):
            return NotMade.ALREADY_SMARTLINK
        template = self._default
        if self._skip or self._routes:
            spelled = address.spelled
            if any(pattern.fullmatch(spelled) for pattern in self._skip):
                return NotMade.SKIPPED
            template = next((link for match, link in self._routes if match.fullmatch(spelled)), template)
        if template is None:
            return NotMade.NO_TEMPLATE
        try:
            return planned(template, template.fill(url, address))
        except UnicodeEncodeError:
            return NotMade.UNUSABLE_ADDRESS

    def _is_ours(self, address: Address) -> bool:
        name = address.name
        if name in _ALWAYS_OURS or name.endswith(".smart.link"):
            return True
        if name == "control.kochava.com" and address.path.rstrip("/") == "/v1/cpi/click":
            return True
        if self._hosts and (name in self._hosts or address.host in self._hosts):
            return True
        if address.host not in self._template_hosts:
            return False
        return any(template.owns(address) for template in self._templates)


def _with_ref(url: str, ref: str) -> str:
    address = urlsplit(url)
    kept = [field for field in address.query.split("&") if field and field.partition("=")[0] != "ref"]
    return urlunsplit(address._replace(query="&".join([*kept, f"ref={ref}"])))
