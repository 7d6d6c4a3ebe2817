"""A file of webhooks, one JSON object a line: with who wrote, to which Page, when, and the body as it was sent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from ...exceptions import KochavaBotError
from ...sandbox.messenger.webhooks import SentWebhook, WebhookOutcome
from ...sandbox.strict_json import NotStrictJson, read_json
from ..event_lines import EventLine, UnusableLine, lines_of
from ..output import iso

TEXTS = ("kind", "user", "page", "body")
"""The members that are read again. A signature is none of them: it is made anew."""


class WebhookRecorder:
    """
    Appends each webhook to a file as soon as it is sent for the first time; a watcher of `WebhookDelivery`.

    Args:
        file: Where it writes. After a failure, nothing more is written.
        now: Gives the time in seconds since the epoch.
    """

    def __init__(self, file: IO[str], now: Callable[[], float]) -> None:
        self._file: IO[str] | None = file
        self._now = now

    def __call__(self, webhook: SentWebhook, outcome: WebhookOutcome | None) -> None:
        if outcome is not None or self._file is None:
            return
        about = {"time": iso(self._now()), "kind": webhook.kind, "user": webhook.user_id, "page": webhook.page_id}
        try:
            self._file.write(json.dumps({**about, "body": webhook.raw.decode()}) + "\n")
            self._file.flush()
        except OSError as exc:
            self._file = None
            print(f"kochava-bot sandbox: --record: {exc.strerror}: no more webhooks are recorded", file=sys.stderr)


@contextmanager
def recording_file(name: str) -> Iterator[IO[str]]:
    """
    The file, opened for appending. It holds what people write, so a new one is readable by its owner only.

    Raises:
        KochavaBotError: It cannot be opened.
    """
    try:
        file = open(  # noqa: SIM115 - only opening it may fail here
            name, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)
        )
    except OSError as exc:
        msg = f"--record {name}: {exc.strerror}"
        raise KochavaBotError(msg) from exc
    with file:
        yield file


def read_webhooks(name: str, page_id: str) -> list[SentWebhook]:
    """
    The webhooks of a file, in order.

    Args:
        name: Of the file.
        page_id: The Page that they must be of.

    Raises:
        KochavaBotError: It cannot be read, has no webhook, or a line is none; the message has the line's number.
    """
    try:
        with open(name, "rb") as file:
            webhooks = [_webhook(line, page_id) for line in lines_of(file)]
    except UnusableLine as exc:
        msg = f"--replay {name}: {exc}"
        raise KochavaBotError(msg) from None
    except OSError as exc:
        msg = f"--replay {name}: {exc.strerror}"
        raise KochavaBotError(msg) from exc
    if not webhooks:
        msg = f"--replay {name}: wanted webhooks, one a line, as --record writes them, got none"
        raise KochavaBotError(msg)
    return webhooks


def _webhook(line: EventLine, page_id: str) -> SentWebhook:
    given = _decoded(line.text)
    if not isinstance(given, Mapping) or not all(isinstance(given.get(name), str) for name in TEXTS):
        msg = f"line {line.number}: wanted a JSON object with the texts {', '.join(TEXTS)}, got something else"
        raise UnusableLine(msg)
    if given["page"] != page_id:
        msg = f"line {line.number}: page: wanted {page_id!r}, got {given['page']!r}: give `--page {given['page']}`"
        raise UnusableLine(msg)
    raw = given["body"].encode("utf-8", "surrogatepass")
    item = _item(raw)
    if item is None:
        msg = f"line {line.number}: body: wanted one item of `messaging` or `changes`, got something else"
        raise UnusableLine(msg)
    content = item.get("message") or item.get("postback")
    return SentWebhook(
        kind=given["kind"],
        page_id=page_id,
        user_id=given["user"],
        mid=content.get("mid") if isinstance(content, Mapping) else None,
        item=item,
        raw=raw,
    )


def _item(raw: bytes) -> Mapping[str, Any] | None:
    match _decoded(raw):
        case {"entry": [{"messaging": [Mapping() as item]}]} | {"entry": [{"changes": [Mapping() as item]}]}:
            return item
    return None


def _decoded(text: bytes) -> Any:
    try:
        return read_json(text)
    except NotStrictJson:
        return None
