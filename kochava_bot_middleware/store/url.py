"""Takes the address of a store apart, unless a part of it could be read in two ways."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..exceptions import SettingsError, Violation

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_CODE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split_address(url: str, *, has_host: bool = True) -> SplitResult:
    """
    The parts of *url*, still percent-encoded.

    A special character that stands for itself ends the part it is in, so that what follows is lost: of two SQLite files
    ``a#1.db`` and ``a#2.db`` both would be ``a``, and of a password the rest would be a path.

    Args:
        url: The address.
        has_host: Whether there may be a user, a password and a host.

    Raises:
        SettingsError: Says what must be percent-encoded, and quotes nothing, since it may be half a password.
    """
    if _CONTROL.search(url):
        # `urlsplit` takes some of them out.
        _refuse("no line break or other control character", "one")
    if "#" in url:
        _refuse("each # in it to be percent-encoded as %23", "a # as it is")
    place = url.partition("?")[0]
    if _NO_CODE.search(place) or not _is_decodable(place):
        _refuse("each % in it to be percent-encoded as %25, or to begin the code of UTF-8", "another %")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of Python quotes the address.
        parts = None
    if parts is None:
        _refuse(
            "signs such as [ ] in user and password to be percent-encoded (%5B %5D)", "one that cannot be taken apart"
        )
    if has_host and ("@" in parts.path + parts.query or parts.netloc.count("@") > 1):
        _refuse("in user, password and path @ / ? : to be percent-encoded as %40 %2F %3F %3A", "one of them as it is")
    if "?" in url and not parts.query:
        _refuse("an option behind the ?, or, where it belongs to a name, %3F", "neither")
    return parts


def options_of(address: SplitResult) -> dict[str, str]:
    """
    The options behind the ``?``.

    Raises:
        SettingsError: One is given twice, so that it is not clear which of the values counts.
    """
    options: dict[str, str] = {}
    for name, value in parse_qsl(address.query, keep_blank_values=True):
        if name in options:
            _refuse("each option once", f"{name} twice")
        options[name] = value
    return options


def _is_decodable(place: str) -> bool:
    try:
        return "\x00" not in unquote(place, errors="strict")
    except UnicodeDecodeError:
        return False


def _refuse(wanted: str, got: str) -> NoReturn:
    raise SettingsError([Violation(key="store", wanted=wanted, got=got)]) from None
