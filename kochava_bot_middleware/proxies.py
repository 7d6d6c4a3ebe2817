"""Which proxy a request goes through: that of the environment, one of the settings, or none."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final
from urllib.request import getproxies_environment

from yarl import URL

from .settings import InvalidValue, Secret

ENVIRONMENT: Final = "environment"
"""The setting to read the variables ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in either case."""

NONE: Final = "none"
"""The setting to use no proxy, whatever the environment says."""

_SCHEMES: Final = ("http", "https")

log = logging.getLogger(__name__)


class Proxies:
    """
    The proxies of one client. The environment is read once, when the client is made.

    This machine itself is never reached through a proxy. aiohttp's own ``trust_env`` is not used: it also takes
    credentials for the other side from ``~/.netrc``, and logs the address of a proxy that it cannot use.
    """

    def __init__(self, setting: str = ENVIRONMENT) -> None:
        self._by_scheme: dict[str, URL] = {}
        self._excepted: tuple[str, ...] = ()
        self._known: dict[tuple[str, str, int | None], URL | None] = {}
        if setting == ENVIRONMENT:
            self._read_environment()
        elif setting != NONE:
            self._by_scheme = dict.fromkeys(_SCHEMES, _address(setting))

    def address_for(self, url: URL) -> URL | None:
        """The proxy for a request to *url*, with its credentials; ``None`` when it goes there directly."""
        if not self._by_scheme:
            return None
        place = url.scheme, url.host or "", url.port
        if place not in self._known:
            self._known[place] = self._find(url)
        return self._known[place]

    def _find(self, url: URL) -> URL | None:
        host = (url.host or "").rstrip(".")
        if _is_this_machine(host) or any(_covers(pattern, host, url.port) for pattern in self._excepted):
            return None
        return self._by_scheme.get(url.scheme)

    def _read_environment(self) -> None:
        named = getproxies_environment()
        self._excepted = tuple(re.split(r"[\s,]+", named.get("no", "").lower()))
        for scheme in _SCHEMES:
            variable = scheme if named.get(scheme, "").strip() else "all"
            address = named.get(variable, "").strip()
            if not address:
                continue
            try:
                self._by_scheme[scheme] = _address(address)
            except ValueError as exc:
                log.warning("proxy_left_out: %s_PROXY is not %s; requests go there directly", variable.upper(), exc)


def proxy_setting(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator of a setting for `Proxies`. Its message does not show the value, which may hold a password."""
    if value in (ENVIRONMENT, NONE):
        return
    try:
        _address(value)
    except ValueError as exc:
        wanted = f"{ENVIRONMENT!r}, {NONE!r} or {exc}"
        raise InvalidValue(wanted, Secret(value)) from None


def without_credentials(setting: str) -> str:
    """A proxy setting as it may be shown."""
    return repr(setting) if setting in (ENVIRONMENT, NONE) else repr(str(_address(setting).with_user(None)))


def _address(written: str) -> URL:
    try:
        url = URL(written if "://" in written else f"http://{written}")
        # Reading the port checks it.
        if url.scheme in _SCHEMES and url.host and url.port and not re.search(r"\s", written):
            return url
    except ValueError:
        # Its text repeats the address.
        pass
    msg = "the address of an HTTP proxy, such as http://proxy.example:3128"
    raise ValueError(msg)


def _covers(pattern: str, host: str, port: int | None) -> bool:
    """Whether a part of ``NO_PROXY`` is for this host: ``*``, a name and all below it, an address or network."""
    try:
        network = ip_network(pattern.strip("[]"), strict=False)
    except ValueError:
        name, colon, number = pattern.removeprefix("*").rpartition(":")
        if colon and number != str(port):
            return False
        name = (name if colon else number).strip("[].")
        return pattern == "*" or (name != "" and (host == name or host.endswith(f".{name}")))
    return any(address in network for address in _addresses(host))


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return any(address.is_loopback or address.is_unspecified for address in _addresses(host))


def _addresses(host: str) -> list[IPv4Address | IPv6Address]:
    """The address that *host* is, if it is no name; also as one of IPv4 where it is that, written as one of IPv6."""
    try:
        address = ip_address(host)
    except ValueError:
        return []
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return [address] if mapped is None else [address, mapped]
