"""
Settings as an environment can hold them: texts, whose meaning depends on what is wanted in their place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any


class EnvironmentName(str):
    """
    Part of a variable's name. In place of a settings key it has no case; as the key of a mapping it stays as written.
    """

    __slots__ = ()


class EnvironmentText(str):
    """
    The value of a variable. Where a text is wanted it is one, whatever it looks like: a token may consist of digits.
    """

    __slots__ = ()

    def unquoted(self) -> str:
        """
        The text without the TOML quotes around it, if there are any.
        """
        value = self._value()
        return value if isinstance(value, str) else str(self)

    def parsed(self) -> Any:
        """
        The TOML number, boolean, array or inline table that it reads as; else the text.
        """
        value = self._value()
        return value if isinstance(value, (bool, int, float, list, dict)) else self.unquoted()

    def _value(self) -> Any:
        try:
            document = tomllib.loads(f"value = {self}")
        except (ValueError, RecursionError):
            return None
        # A line's end in the text would begin another key.
        return document["value"] if len(document) == 1 else None


def laid_over(under: Any, over: Any) -> Any:
    """
    *over*, together with what only *under* has if both are mappings.
    """
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    merged = dict(under)
    for name, value in over.items():
        merged[name] = laid_over(merged.get(name), value)
    return merged
