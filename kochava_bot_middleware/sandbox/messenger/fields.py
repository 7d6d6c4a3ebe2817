"""Checks of single parameters, from which the rules are made; each raises `GraphRefusal`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from .graph import refuse_unless
from .page import SandboxPage

Check = Callable[[str, Any, SandboxPage], None]
"""Checks one parameter: its name, its value, and the Page of the call."""


def anything(_param: str, _value: Any, _page: SandboxPage) -> None:
    """Any value."""


def boolean(param: str, value: Any, _page: SandboxPage) -> None:
    """True or false."""
    refuse_unless(isinstance(value, bool), f"param {param} must be a boolean.")


def identifier(param: str, value: Any, _page: SandboxPage) -> None:
    """An id: a string, or the number that it is made of."""
    is_id = isinstance(value, (str, int)) and not isinstance(value, bool)
    refuse_unless(value is not None and value != "", f"param {param} must be non-empty.")
    refuse_unless(is_id, f"param {param} must be a string.")


def web_url(param: str, value: Any, _page: SandboxPage) -> None:
    """An http or https address."""
    refuse_unless(isinstance(value, str) and value, f"param {param} must be non-empty.")
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        host = None
    is_valid = host is not None and parts.scheme in ("http", "https") and not any(map(str.isspace, value))
    refuse_unless(is_valid, f"param {param} must be a valid URI.")


def text(maximum: int, *, start: str = "", or_else: str = "") -> Check:
    """A string of 1 to *maximum* characters that begins with *start*; *or_else* describes one that does."""

    def check(param: str, value: Any, _page: SandboxPage) -> None:
        refuse_unless(isinstance(value, str), f"param {param} must be a string.")
        refuse_unless(value, f"param {param} must be non-empty.")
        refuse_unless(len(value) <= maximum, f"Length of param {param} must be less than or equal to {maximum}")
        refuse_unless(value.startswith(start), f"param {param} must be {or_else}.")

    return check


def one_of(*words: str) -> Check:
    """One of these words."""
    choice = ", ".join(sorted(words)).upper()

    def check(param: str, value: Any, _page: SandboxPage) -> None:
        refuse_unless(isinstance(value, str) and value in words, f"param {param} must be one of {{{choice}}}.")

    return check


def items(maximum: int, each: Check = anything) -> Check:
    """A list of 1 to *maximum* values that pass *each*; too many is error 105."""

    def check(param: str, value: Any, page: SandboxPage) -> None:
        refuse_unless(isinstance(value, list), f"param {param} must be an array.")
        refuse_unless(value, f"param {param} must be non-empty.")
        refuse_unless(len(value) <= maximum, f"param {param} has too many elements.", code=105)
        for index, one in enumerate(value):
            each(f"{param}[{index}]", one, page)

    return check


def members(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, closed: bool = True
) -> Check:
    """An object with members that pass these checks, and with no other members if it is *closed*."""
    optional = optional or {}

    def check(param: str, value: Any, page: SandboxPage) -> None:
        refuse_unless(isinstance(value, dict), f"param {param} must be an object.")
        for name in value if closed else ():
            known = name in required or name in optional
            refuse_unless(known, f'Invalid keys "{name}" were found in param "{param}".')
        for name, one in required.items():
            one(f"{param}[{name}]", value.get(name), page)
        for name, one in optional.items():
            if name in value:
                one(f"{param}[{name}]", value[name], page)

    return check


def given(check: Check) -> Check:
    """``null``, or what passes *check*."""
    return lambda param, value, page: None if value is None else check(param, value, page)


def filled(check: Check) -> Check:
    """Nothing, such as an empty text, or what passes *check*."""
    return lambda param, value, page: check(param, value, page) if value else None
