"""Files of events, one JSON object a line: read twice, to be checked whole before anything of them is recorded."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import IO, Any

import attrs
import orjson

from ..exceptions import KochavaBotError, TrackingError
from ..settings import kind_of
from ..tracking.recording import RequestedEvent
from ..tracking.settings import TrackingContext
from .command import STANDARD_INPUT

KEYS = ("name", "data", "user_id", "id", "time", "device_ids", "page_id", "channel")
"""Of a line: the arguments of `KochavaMiddleware.track`."""

MOST_BYTES = 4 * 2**20
"""Of a line. What is no file of lines must not be read into memory as one."""

MADE_ID = "line-"
"""What an id begins with that was made from a line."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnusableLine(KochavaBotError):
    """A line is no event; the message has its number."""


@attrs.frozen(kw_only=True)
class EventLine:
    """A line of a file that is not blank, and its number, from 1."""

    number: int
    text: bytes

    def event(self, context: TrackingContext, earlier: Counter[bytes]) -> RequestedEvent:
        """
        The event of the line. Where it has no ``id``, one is made from its text and the number of equal lines before
        it, and from nothing else: so a file of which a part was recorded, or that has grown, can be recorded again.

        Args:
            earlier: How often each line without an ``id`` came before, by digest; this one is added. It takes about
                150 bytes a line.

        Raises:
            UnusableLine: It is no event.
        """
        try:
            given = orjson.loads(self.text)
            if not isinstance(given, dict):
                msg = f"wanted an object with {', '.join(KEYS)}, got {kind_of(given)}"
                raise TrackingError(msg)
            unknown = next((key for key in given if key not in KEYS), None)
            if unknown is not None:
                msg = f"wanted keys among {', '.join(KEYS)}, got the unknown key {unknown[:100]!r}"
                raise TrackingError(msg)
            if given.get("id") is None:
                given["id"] = self._made_id(earlier)
            given["time"] = time_of(given.get("time"))
            return RequestedEvent.of(given.pop("name", None), given.pop("data", None), context=context, **given)
        except orjson.JSONDecodeError as exc:
            reason = f"wanted a JSON object, got what is no JSON ({exc.msg}, column {exc.colno})"
        except TrackingError as exc:
            reason = str(exc)
        msg = f"line {self.number}: {reason}"
        raise UnusableLine(msg)

    def _made_id(self, earlier: Counter[bytes]) -> str:
        digest = _digest(self.text)
        number = earlier[digest] = earlier[digest] + 1
        return f"{MADE_ID}{_digest(b'%d %b' % (number, digest)).hex()}"


def _digest(material: bytes) -> bytes:
    return hashlib.blake2b(material, digest_size=16).digest()


def time_of(given: Any) -> Any:
    """A time as it is in JSON: ISO 8601 as a datetime, anything else as it is."""
    if not isinstance(given, str):
        return given
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        wanted = "ISO 8601 with a time zone, such as 2026-09-01T12:00:00Z, or seconds since the epoch"
        msg = f"`time`: wanted {wanted}, got another text"
        raise TrackingError(msg) from None


@contextmanager
def opened_twice(name: str) -> Iterator[IO[bytes]]:
    """
    The file, which can be read again from its beginning; standard input and pipes are copied.

    Raises:
        KochavaBotError: It cannot be opened.
    """
    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer if name == STANDARD_INPUT else stack.enter_context(open(name, "rb"))
        except OSError as exc:
            msg = f"--from {name}: {exc.strerror or type(exc).__name__}"
            raise KochavaBotError(msg) from exc
        if name == STANDARD_INPUT or not file.seekable():
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            file = copy
        yield file


def lines_of(file: IO[bytes]) -> Iterator[EventLine]:
    """The lines of a file that are not blank, from its beginning; raises an `UnusableLine` for one that is too long."""
    file.seek(0)
    number = 0
    while line := file.readline(MOST_BYTES + 1):
        number += 1
        if len(line) > MOST_BYTES:
            msg = f"line {number}: wanted at most {MOST_BYTES} bytes, got more"
            raise UnusableLine(msg)
        text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
        if text:
            yield EventLine(number=number, text=text)
