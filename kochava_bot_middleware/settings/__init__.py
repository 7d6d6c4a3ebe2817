"""From a settings mapping, a TOML file or the environment to frozen objects; all errors at once."""

from __future__ import annotations

from .sources import ENVIRONMENT_PREFIX, EnvironmentText, from_environment, from_toml, read_environment, toml_lines
from .structure import from_mapping, setting_paths
from .validators import (
    InvalidSettings,
    InvalidValue,
    Rule,
    Secret,
    Validator,
    at_least,
    both_or_neither,
    check_rules,
    describe,
    each,
    host_and_port,
    http_url,
    kind_of,
    needed_by,
    not_empty,
    one_of,
    one_word,
)

__all__ = [
    "ENVIRONMENT_PREFIX",
    "EnvironmentText",
    "InvalidSettings",
    "InvalidValue",
    "Rule",
    "Secret",
    "Validator",
    "at_least",
    "both_or_neither",
    "check_rules",
    "describe",
    "each",
    "from_environment",
    "from_mapping",
    "from_toml",
    "host_and_port",
    "http_url",
    "kind_of",
    "needed_by",
    "not_empty",
    "one_of",
    "one_word",
    "read_environment",
    "setting_paths",
    "toml_lines",
]
