"""What keeps a store from being opened, as far as it can be seen without opening or making anything."""

from __future__ import annotations

import os
from pathlib import Path

_BEGINNING = b"SQLite format 3\0"


def obstacle(path: Path) -> str | None:
    """What stands in the way of a store at *path*, and what to do; ``None`` when nothing is seen."""
    folder = path.parent
    try:
        if path.is_dir():
            return f"{path} is a folder; name a file in it"
        if not folder.is_dir():
            return f"{folder} is no folder" if folder.exists() else f"there is no folder {folder}; make it first"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"this user may not write to the folder {folder}"
        if path.exists():
            if not os.access(path, os.R_OK | os.W_OK):
                return f"this user may not read and write {path}"
            with path.open("rb") as file:
                if file.read(len(_BEGINNING)) not in (b"", _BEGINNING):
                    return f"{path} is not an SQLite database; name another file"
    except OSError as exc:
        return f"{path}: {exc.strerror or type(exc).__name__}"
    return None
