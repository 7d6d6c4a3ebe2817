"""The corpus on disk: gzip-compressed JSON lines, and how two recordings are compared."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded"

Case = dict[str, Any]
"""One case: ``name``, ``group``, ``given`` (what goes in) and ``expected`` (what came out)."""

_BASE64 = "base64:"


def read_cases(kind: str) -> list[Case]:
    """The recorded cases of one kind."""
    with gzip.open(path_of(kind), "rt", encoding="ascii") as lines:
        return [json.loads(line) for line in lines]


def write_cases(kind: str, cases: Iterable[Case]) -> None:
    """
    Write cases; the same cases always give the same bytes. Keys are sorted but in ``given``, whose order may count.
    """
    lines = []
    for case in cases:
        ordered = {**_sorted({name: value for name, value in case.items() if name != "given"}), "given": case["given"]}
        lines.append(json.dumps(ordered, ensure_ascii=True, allow_nan=False))
    FOLDER.mkdir(exist_ok=True)
    path_of(kind).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode("ascii"), 9, mtime=0))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def path_of(kind: str) -> Path:
    """Where the cases of one kind are."""
    return FOLDER / f"{kind}.jsonl.gz"


def text_of(content: bytes) -> str:
    """Bytes as text: UTF-8 where they are, else base64."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _BASE64 + base64.b64encode(content).decode()
    return _BASE64 + base64.b64encode(content).decode() if text.startswith(_BASE64) else text


def bytes_of(text: str) -> bytes:
    """The bytes that `text_of` was given."""
    return base64.b64decode(text.removeprefix(_BASE64)) if text.startswith(_BASE64) else text.encode()


def stored(value: Any) -> Any:
    """*value* as it reads back from a file, so that a recording and a replay compare as equals."""
    return json.loads(json.dumps(value))


def first_difference(expected: Any, got: Any, path: str = "$") -> str | None:
    """Where two JSON values first differ, and how; ``None`` when they do not. Types count: 1, 1.0 and true differ."""
    return next(_differences(expected, got, path), None)


def _differences(expected: Any, got: Any, path: str) -> Iterator[str]:
    if type(expected) is not type(got):
        yield f"{path}: expected {_short(expected)}, got {_short(got)}"
    elif isinstance(expected, dict):
        for key in sorted(expected.keys() | got.keys()):
            if key not in got or key not in expected:
                yield f"{path}.{key}: {'missing' if key not in got else f'not expected: {_short(got[key])}'}"
            else:
                yield from _differences(expected[key], got[key], f"{path}.{key}")
    elif isinstance(expected, list):
        for number, pair in enumerate(zip(expected, got, strict=False)):
            yield from _differences(*pair, f"{path}[{number}]")
        if len(expected) != len(got):
            yield f"{path}: expected {len(expected)} items, got {len(got)}"
    elif expected != got:
        yield f"{path}: {_unequal(expected, got)}"


def _unequal(expected: Any, got: Any) -> str:
    if not isinstance(expected, str) or len(expected) + len(got) < 200:
        return f"expected {_short(expected)}, got {_short(got)}"
    at = next((at for at, pair in enumerate(zip(expected, got, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(expected), len(got)) if at is None else at
    start = max(0, at - 40)
    return f"at character {at}: expected …{expected[start : at + 60]!r}, got …{got[start : at + 60]!r}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
