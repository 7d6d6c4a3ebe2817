"""``kochava-bot parse``: the events of a webhook."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from ...exceptions import NotAWebhook
from ...messenger.events import Event, UnknownEvent
from ...messenger.parsing.webhook import parse_webhook
from ..command import UnusableFile, add_files_argument, for_each_file
from ..output import json_line

_COMMON = ("kind", "channel", "page_id", "user_id", "timestamp", "standby", "key")

_LEFT_OUT = frozenset({"raw", "attempt", *_COMMON})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_files_argument(parser, "webhook bodies")


def run(arguments: argparse.Namespace) -> int:
    """Print the events of each file."""
    return for_each_file(arguments.files, "parse", _print_events)


def event_fields(event: Event) -> dict[str, Any]:
    """What is printed of an event: the fields that all events have, then its own."""
    fields: dict[str, Any] = {name: _plain(getattr(event, name)) for name in _COMMON}
    for field in attrs.fields(type(event)):
        if field.name not in _LEFT_OUT:
            fields[field.name] = _plain(getattr(event, field.name))
    if isinstance(event, UnknownEvent):
        fields["raw"] = _plain(event.raw)
    return fields


def _print_events(body: bytes) -> None:
    try:
        events = parse_webhook(body)
    except NotAWebhook as exc:
        reason = f"not a webhook: {exc}"
        raise UnusableFile(reason) from None
    for event in events:
        print(json_line(event_fields(event)))


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member) for member in value]
    return value
