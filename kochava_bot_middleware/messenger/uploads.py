"""Files to upload to Facebook: from a path, from bytes, or from an open file."""

from __future__ import annotations

import asyncio
import io
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final, Self

import attrs
from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

Source = str | os.PathLike[str] | bytes | bytearray | IO[bytes]

_CHUNK_BYTES: Final = 1 << 18

_ESCAPED: Final = re.compile(r'["\x00-\x1f\x7f]')


@attrs.frozen(kw_only=True)
class Upload:
    """
    The content of the ``filedata`` part of a multipart request.

    Attributes:
        source: A path, the bytes, or a file opened for reading bytes. An open file is never closed.
        filename: Name sent to Facebook, without folders.
        content_type: Guessed from the name; ``application/octet-stream`` when that is not possible.
        start: Initial position of an open file; ``None`` when it is not seekable, so that it can be read only once.
    """

    source: Path | bytes | IO[bytes] = attrs.field(repr=False)
    filename: str
    content_type: str
    start: int | None = 0

    @classmethod
    def of(cls, source: Source, *, filename: str | None = None) -> Self:
        """Check the source before anything is sent."""
        start: int | None = 0
        kept: Path | bytes | IO[bytes]
        if isinstance(source, (bytes, bytearray)):
            kept, name = bytes(source), "attachment"
        elif isinstance(source, (str, os.PathLike)):
            kept, name = _existing(Path(source)), os.fspath(source)
        elif isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
            msg = f"an upload must be a path, bytes, or a file opened in binary mode, got {type(source).__name__}"
            raise TypeError(msg)
        else:
            kept, start = source, _position(source)
            name = source.name if isinstance(getattr(source, "name", None), str) else "attachment"
        filename = re.split(r"[\\/]", filename or name)[-1] or "attachment"
        guess, _encoding = mimetypes.guess_type(filename)
        return cls(source=kept, filename=filename, content_type=guess or "application/octet-stream", start=start)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[FilePart]:
        """The part to send, read in threads; valid within the context."""
        if isinstance(self.source, Path):
            file: IO[bytes] = await asyncio.to_thread(self.source.open, "rb")
        else:
            file = io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source
        try:
            size = await asyncio.to_thread(self._rewind, file)
            yield FilePart(file, size=size, filename=self.filename, content_type=self.content_type)
        finally:
            if file is not self.source:
                await asyncio.to_thread(file.close)

    def _rewind(self, file: IO[bytes]) -> int | None:
        if self.start is None:
            return None
        end = file.seek(0, os.SEEK_END)
        file.seek(self.start)
        return end - self.start


class FilePart(Payload):
    """The part ``filedata`` of a multipart request. Unlike aiohttp's own, it does not close the file."""

    def __init__(self, file: IO[bytes], *, size: int | None, filename: str, content_type: str) -> None:
        # aiohttp would write the name in percent encoding, which Facebook shows to people as it is.
        disposition = f'form-data; name="filedata"; filename="{_escaped(filename)}"'
        super().__init__(file, content_type=content_type, headers={"Content-Disposition": disposition})
        self._length = size

    @property
    def size(self) -> int | None:
        return self._length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not supported."""
        msg = "an upload cannot be decoded as text"
        raise TypeError(msg)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the file in chunks."""
        file: Any = self._value
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            await writer.write(chunk)


def _escaped(filename: str) -> str:
    """As browsers and pymessenger write it: UTF-8, with only quotes and line breaks in percent encoding."""
    # A file system may have names that are no text; aiohttp refuses other control characters.
    name = filename.encode("utf-8", "replace").decode()
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _existing(path: Path) -> Path:
    if path.is_dir():
        msg = f"the file to upload is a folder: {path}"
        raise IsADirectoryError(msg)
    if not path.exists():
        msg = f"there is no file to upload at {path}"
        raise FileNotFoundError(msg)
    return path


def _position(file: IO[bytes]) -> int | None:
    try:
        return file.tell() if file.seekable() else None
    except (AttributeError, OSError):
        return None


def is_web_address(source: object) -> bool:
    """Whether *source* is an address for Facebook to fetch rather than a file to upload."""
    return isinstance(source, str) and source.lower().startswith(("https://", "http://"))
